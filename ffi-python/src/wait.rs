//! Waiting on a Python thread with the GIL released. The wait ends after a timeout, on a signal or
//! when the interpreter ends.

use crate::errors;
use crate::runtime::{self, Inside};
use playswarm::{Error, Result};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

/// Longest delay before a signal (Ctrl-C) is noticed.
const SLICE: Duration = Duration::from_millis(40);

/// Converts a timeout in seconds from Python; `None` means no timeout.
pub(crate) fn timeout_of(seconds: Option<f64>) -> PyResult<Option<Duration>> {
    match seconds {
        None => Ok(None),
        Some(s) if s.is_nan() || s < 0.0 => Err(PyValueError::new_err("a timeout cannot be negative")),
        // A time beyond the range of the clock means no timeout.
        Some(s) => Ok(Duration::try_from_secs_f64(s).ok().filter(|d| Instant::now().checked_add(*d).is_some())),
    }
}

enum Step<T> {
    Done(Result<T>),
    Ending,
    Slice,
}

/// Waits for work. Calls `each` periodically on this thread with the GIL; an exception from it ends
/// the wait. Work that is not done when the wait ends is dropped.
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    what: &'static str,
    timeout: Option<Duration>,
    work: impl Future<Output = Result<T>> + Send,
    mut each: impl FnMut(Python<'_>) -> PyResult<()>,
) -> PyResult<T> {
    let handle = runtime::handle()?;
    let _inside = Inside::of_python(py)?;
    let until = timeout.map(|t| Instant::now() + t);
    let mut work = pin!(work);
    loop {
        let slice = Instant::now() + SLICE;
        let slice = until.map_or(slice, |until| until.min(slice));
        let step = py.detach(|| {
            handle.block_on(async {
                tokio::select! {
                    biased;
                    done = &mut work => Step::Done(done),
                    () = runtime::ending() => Step::Ending,
                    () = tokio::time::sleep_until(slice.into()) => Step::Slice,
                }
            })
        });
        match step {
            Step::Done(Ok(value)) => return Ok(value),
            Step::Done(Err(e)) => return Err(errors::to_python(py, &e)),
            Step::Ending => return Err(errors::to_python(py, &Error::Closed)),
            Step::Slice => {
                py.check_signals()?;
                each(py)?;
                if let (Some(until), Some(after)) = (until, timeout)
                    && Instant::now() >= until
                {
                    return Err(errors::to_python(py, &Error::TimedOut { what, after }));
                }
            }
        }
    }
}
