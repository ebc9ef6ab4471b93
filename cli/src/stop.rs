//! Requests to stop the program (Ctrl-C and SIGTERM), and the bound on the duration of its
//! shutdown.

use anyhow::{Result, anyhow};
use playswarm::Session;
use std::time::Duration;

/// Longest shutdown. After it the program ends even if a peer or a disk does not respond.
const CLOSING: Duration = Duration::from_millis(1500);

/// A receiver of stop signals. It also reports those that arrived before the first wait.
pub(crate) struct Stop {
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 2],
    was_asked: bool,
}

impl Stop {
    /// Must be called before anything that takes time, so that it can be interrupted.
    pub(crate) fn new() -> Result<Stop> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let on = |kind| signal(kind).map_err(|e| anyhow!("cannot handle signals: {e}"));
            // SIGHUP is not handled; otherwise `nohup` would have no effect.
            Ok(Stop { signals: [on(SignalKind::interrupt())?, on(SignalKind::terminate())?], was_asked: false })
        }
        #[cfg(not(unix))]
        Ok(Stop { was_asked: false })
    }

    /// Returns when the program is asked to stop.
    pub(crate) async fn asked(&mut self) {
        #[cfg(unix)]
        {
            let [a, b] = &mut self.signals;
            tokio::select! { _ = a.recv() => {} _ = b.recv() => {} }
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.was_asked = true;
    }

    /// Whether the program was already asked to stop.
    pub(crate) fn was_asked(&self) -> bool {
        self.was_asked
    }

    /// Returns the result of the work; `None` if the program was asked to stop before.
    pub(crate) async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! { done = work => Some(done), () = self.asked() => None }
    }
}

/// Closes the session within the time limit.
pub(crate) async fn close(session: &Session) {
    if tokio::time::timeout(CLOSING, session.close()).await.is_err() {
        tracing::warn!("the session took too long to close");
    }
}
