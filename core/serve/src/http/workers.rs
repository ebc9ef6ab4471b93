//! Work that takes longer than a moment, off the threads that serve the connections.
//!
//! Those threads belong to the runtime of the application, and its other tasks wait while one of
//! them computes.

use playswarm::{Error, Result};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Runs a bounded number of jobs at the same time on blocking threads. Further jobs wait for their
/// turn.
pub(crate) struct Workers {
    turns: Arc<Semaphore>,
}

impl Workers {
    /// Returns workers for this many jobs at the same time.
    pub(crate) fn new(at_once: usize) -> Workers {
        Workers { turns: Arc::new(Semaphore::new(at_once)) }
    }

    /// Runs a job and returns its result. A job that has begun keeps its turn to its end, even when
    /// the caller is gone.
    ///
    /// # Errors
    /// [`Error::Internal`] where the job panicked, or the runtime shuts down.
    pub(crate) async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        // It is never closed, so this is a turn.
        let turn = self.turns.clone().acquire_owned().await;
        let work = tokio::task::spawn_blocking(move || {
            let done = job();
            drop(turn);
            done
        });
        work.await.map_err(|e| Error::Internal(format!("a job of the HTTP server failed: {e}")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_job_keeps_its_turn_when_its_caller_has_gone() {
        let workers = Arc::new(Workers::new(1));
        let ((begun, has_begun), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel::<()>());
        let caller = tokio::spawn({
            let workers = workers.clone();
            async move {
                let job = move || {
                    begun.send(()).unwrap();
                    goes_on.recv()
                };
                workers.run(job).await.unwrap().unwrap();
            }
        });
        tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        let second = workers.run(|| 2);
        tokio::pin!(second);
        let early = tokio::time::timeout(std::time::Duration::from_millis(50), &mut second).await;
        assert!(early.is_err(), "the first job still has the turn");
        go_on.send(()).unwrap();
        assert_eq!(second.await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_job_that_panics_is_an_error_and_frees_its_turn() {
        let workers = Workers::new(1);
        assert!(matches!(workers.run(|| panic!("on purpose")).await, Err::<(), _>(Error::Internal(_))));
        assert_eq!(workers.run(|| 1).await.unwrap(), 1);
    }
}
