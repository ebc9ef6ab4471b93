//! What ends the reads of a file or a channel: its own end, that of the session, a cancellation.

use parking_lot::Mutex;
use playswarm::{Error, Result};
use tokio_util::sync::CancellationToken;

pub(crate) struct Ends {
    session_closed: CancellationToken,
    closed: CancellationToken,
    cancelled: Mutex<CancellationToken>,
}

impl Ends {
    pub(crate) fn new(session_closed: CancellationToken) -> Ends {
        Ends { session_closed, closed: CancellationToken::new(), cancelled: Mutex::default() }
    }

    /// Completes with the reason when reads must end.
    async fn ended(&self) -> Error {
        let cancelled = self.cancelled.lock().clone();
        tokio::select! {
            () = self.closed.cancelled() => Error::Closed,
            () = self.session_closed.cancelled() => Error::Closed,
            () = cancelled.cancelled() => Error::Cancelled,
        }
    }

    pub(crate) async fn unless_ended<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            why = self.ended() => Err(why),
            done = work => done,
        }
    }

    /// Ends reads for good.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Ends current reads and makes later ones fail.
    pub(crate) fn cancel(&self) {
        self.cancelled.lock().cancel();
    }

    /// Allows reads again after a cancellation.
    pub(crate) fn reset(&self) {
        let mut cancelled = self.cancelled.lock();
        if cancelled.is_cancelled() {
            *cancelled = CancellationToken::new();
        }
    }
}
