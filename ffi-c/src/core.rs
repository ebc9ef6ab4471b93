//! What a session and all objects made from it share: the engine's session, its runtime and the
//! callback thread. It ends with the last handle that needs it, so a stream may outlive the handle
//! of its session.

use crate::boundary::bad;
use crate::canceller::Flag;
use crate::dispatch::Dispatcher;
use engine::{Config, Error, Result, Session};
use std::future::Future;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};

/// Number of worker threads, which move packets and hash pieces. With one, hashing would delay
/// packets. More do not help a single viewer.
const WORKERS: usize = 2;
/// Longest time that the last release of an unclosed session waits for verified data to be written.
const LAST_WRITES: Duration = Duration::from_secs(10);

pub(crate) struct Core {
    pub(crate) session: Session,
    pub(crate) dispatcher: Dispatcher,
    /// The runtime. It is `Some` until this is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Core {
    pub(crate) fn start(config: Config) -> Result<Core> {
        outside_of_a_runtime()?;
        let io = |doing| move |source| Error::Io { doing, source };
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("playswarm")
            .enable_all()
            .build()
            .map_err(io("cannot start threads"))?;
        let session = runtime.block_on(Session::new(config))?;
        let dispatcher = Dispatcher::start("playswarm-event").map_err(io("cannot start a thread"))?;
        let handle = runtime.handle().clone();
        Ok(Core { session, dispatcher, runtime: Some(runtime), handle })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `work` to completion on the calling thread.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        outside_of_a_runtime()?;
        self.handle.block_on(work)
    }

    /// Like `wait`, but also ends on cancellation or after `timeout_ms` milliseconds. A
    /// `timeout_ms` of 0 means no timeout.
    pub(crate) fn wait_within<T>(
        &self,
        what: &'static str,
        timeout_ms: u64,
        cancel: Option<&Flag>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let cancelled = async {
            match cancel {
                Some(flag) => flag.wait().await,
                None => std::future::pending().await,
            }
        };
        let after = Duration::from_millis(timeout_ms);
        let over =
            async { if timeout_ms == 0 { std::future::pending().await } else { tokio::time::sleep(after).await } };
        self.wait(async {
            tokio::select! {
                biased;
                () = cancelled => Err(Error::Cancelled),
                done = work => done,
                () = over => Err(Error::TimedOut { what, after }),
            }
        })
    }
}

/// Fails on a thread that drives a tokio runtime, because such a thread must not block. Only Rust
/// programs can have such threads.
fn outside_of_a_runtime() -> Result<()> {
    match Handle::try_current() {
        Ok(_) => Err(bad("this function blocks and cannot be called from a thread of an async runtime".into())),
        Err(_) => Ok(()),
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let closed = async { tokio::time::timeout(LAST_WRITES, self.session.close()).await };
        if outside_of_a_runtime().is_ok() && runtime.block_on(closed).is_err() {
            tracing::warn!("some data could not be written within {} s", LAST_WRITES.as_secs());
        }
        // Bounds the wait for the blocking pool, where a read of an unreachable network drive may
        // hang.
        runtime.shutdown_timeout(Duration::from_secs(1));
    }
}
