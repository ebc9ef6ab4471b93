//! The tokio runtime of the process, and its shutdown when the interpreter ends.
//!
//! After shutdown has begun, threads of the runtime do not wait for the GIL, and Python threads
//! that wait here are woken. After [`shut_down`] no thread uses the interpreter, so it can be
//! finalized safely.

use crate::errors;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;

/// Longest time that the end of the interpreter waits for threads that are still inside. They need
/// at most one turn of the GIL.
const LAST_TURN: Duration = Duration::from_secs(2);

struct Home {
    runtime: Runtime,
    /// Process that owns the runtime. Threads do not survive a fork, so a child must not use the
    /// runtime of its parent.
    pid: u32,
}

static HOME: OnceLock<Home> = OnceLock::new();
static CLOSING: AtomicBool = AtomicBool::new(false);
static INSIDE: AtomicUsize = AtomicUsize::new(0);
static BELL: LazyLock<CancellationToken> = LazyLock::new(CancellationToken::new);

/// Whether this process is a fork of the one that owns the runtime.
pub(crate) fn is_forked() -> bool {
    HOME.get().is_some_and(|home| home.pid != std::process::id())
}

/// Returns the handle of the runtime. The first call starts it.
pub(crate) fn handle() -> PyResult<&'static Handle> {
    let home = match HOME.get() {
        Some(home) => home,
        None => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .thread_name("playswarm")
                .enable_all()
                .build()
                .map_err(|e| PyRuntimeError::new_err(format!("cannot start threads: {e}")))?;
            HOME.get_or_init(|| Home { runtime, pid: std::process::id() })
        }
    };
    if home.pid != std::process::id() {
        return Err(PyRuntimeError::new_err(
            "playswarm was used before this process was forked, and its threads are not here; start processes with \
             multiprocessing's \"spawn\" or \"forkserver\", or use playswarm in the child alone",
        ));
    }
    Ok(home.runtime.handle())
}

/// Runs a closure that needs the runtime context and does not wait.
pub(crate) fn within<T>(f: impl FnOnce() -> T) -> PyResult<T> {
    let _around = handle()?.enter();
    Ok(f())
}

/// A guard for a thread that will need the GIL. The end of the interpreter waits for it.
pub(crate) struct Inside;

impl Inside {
    /// Returns the guard, or `None` once the interpreter is ending.
    pub(crate) fn enter() -> Option<Inside> {
        INSIDE.fetch_add(1, Ordering::SeqCst);
        let inside = Inside;
        (!CLOSING.load(Ordering::SeqCst)).then_some(inside)
    }

    /// The same for Python threads. Returns the error to raise once the interpreter is ending.
    pub(crate) fn of_python(py: Python<'_>) -> PyResult<Inside> {
        Inside::enter().ok_or_else(|| errors::to_python(py, &playswarm::Error::Closed))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Completes when the interpreter is about to end.
pub(crate) async fn ending() {
    BELL.cancelled().await;
}

/// Whether the interpreter is about to end.
pub(crate) fn is_ending() -> bool {
    CLOSING.load(Ordering::SeqCst)
}

/// Shuts down at the end of the interpreter, after sessions were closed. It ends every wait and
/// returns when no thread here needs the interpreter any more.
#[pyfunction]
pub(crate) fn shut_down(py: Python<'_>) {
    if is_forked() {
        return;
    }
    CLOSING.store(true, Ordering::SeqCst);
    BELL.cancel();
    py.detach(|| {
        let until = Instant::now() + LAST_TURN;
        while INSIDE.load(Ordering::SeqCst) > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}
