//! Work that takes time, independent of its caller: a thread ([`Job::wait`]) or an event loop
//! ([`Job::start`]).

use crate::errors;
use crate::runtime::{self, Inside};
use crate::wait::{timeout_of, wait};
use parking_lot::Mutex;
use playswarm::Result;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The result of the work. It is converted to an object while the GIL is held.
type Reply = Box<dyn for<'py> FnOnce(Python<'py>) -> PyResult<Py<PyAny>> + Send>;
type Work = Pin<Box<dyn Future<Output = Result<Reply>> + Send>>;

/// Progress of long work, updated from any thread without the GIL.
#[derive(Default)]
pub(crate) struct Progress {
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    pub(crate) fn tell(&self, done: u64, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        // Several threads report progress, not always in order.
        self.done.fetch_max(done, Ordering::Relaxed);
    }

    fn get(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}

/// Work that begins when a caller waits for it.
#[pyclass(frozen, module = "playswarm._playswarm")]
pub(crate) struct Job {
    what: &'static str,
    work: Mutex<Option<Work>>,
    progress: Arc<Progress>,
}

impl Job {
    /// Creates a job. `what` names it in a timeout error.
    pub(crate) fn new<T: Send + 'static>(
        what: &'static str,
        work: impl Future<Output = Result<T>> + Send + 'static,
        reply: impl for<'py> FnOnce(Python<'py>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Job {
        Job::with_progress(what, Arc::default(), work, reply)
    }

    pub(crate) fn with_progress<T: Send + 'static>(
        what: &'static str,
        progress: Arc<Progress>,
        work: impl Future<Output = Result<T>> + Send + 'static,
        reply: impl for<'py> FnOnce(Python<'py>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Job {
        let work: Work = Box::pin(async move {
            let value = work.await?;
            Ok(Box::new(move |py: Python<'_>| reply(py, value)) as Reply)
        });
        Job { what, work: Mutex::new(Some(work)), progress }
    }

    fn take(&self) -> PyResult<Work> {
        self.work.lock().take().ok_or_else(|| PyRuntimeError::new_err("this job was already started"))
    }
}

#[pymethods]
impl Job {
    /// Waits for the job for at most `timeout` seconds. Calls `progress(done, total)` on this
    /// thread during the wait.
    #[pyo3(signature = (timeout=None, progress=None))]
    #[allow(clippy::needless_pass_by_value)] // PyO3 hands these over.
    fn wait(&self, py: Python<'_>, timeout: Option<f64>, progress: Option<Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let timeout = timeout_of(timeout)?;
        let mut told = None;
        let mut tell = |_: Python<'_>| -> PyResult<()> {
            let now = self.progress.get();
            if let Some(progress) = &progress
                && now.1 > 0
                && told != Some(now)
            {
                told = Some(now);
                progress.call1(now)?;
            }
            Ok(())
        };
        let reply = wait(py, self.what, timeout, self.take()?, &mut tell)?;
        tell(py)?;
        reply(py)
    }

    /// Starts the job for an event loop. When it is done, `deliver(future, value, error)` is called
    /// there.
    fn start(&self, event_loop: Py<PyAny>, future: Py<PyAny>, deliver: Py<PyAny>) -> PyResult<Running> {
        let work = self.take()?;
        let task = runtime::handle()?.spawn(async move {
            let done = work.await;
            let Some(_inside) = Inside::enter() else { return };
            // Waiting for the GIL may take long; other tasks of this thread move to other threads.
            tokio::task::block_in_place(|| {
                Python::try_attach(|py| {
                    let (value, error) = match done.map_err(|e| errors::to_python(py, &e)).and_then(|reply| reply(py)) {
                        Ok(value) => (value, py.None()),
                        Err(e) => (py.None(), e.into_value(py).into_any()),
                    };
                    // A loop that is already closed needs no result.
                    let _ = event_loop.call_method1(py, "call_soon_threadsafe", (deliver, future, value, error));
                    drop(event_loop);
                });
            });
        });
        Ok(Running { task: task.abort_handle() })
    }

    /// Returns the bytes done and the total, as far as known.
    fn progress(&self) -> (u64, u64) {
        self.progress.get()
    }
}

/// A job that was started for an event loop.
#[pyclass(frozen, module = "playswarm._playswarm")]
pub(crate) struct Running {
    task: tokio::task::AbortHandle,
}

#[pymethods]
impl Running {
    /// Drops the job if it is not done.
    fn abort(&self) {
        self.task.abort();
    }
}
