//! Converts the engine's errors to Python exceptions. The kind is its name in the engine's table.
//! `playswarm._errors` maps that name to the class.

use playswarm::Error;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Returns an error of the engine as the exception of its kind.
pub(crate) fn to_python(py: Python<'_>, e: &Error) -> PyErr {
    let kind = serde_json::to_value(e.kind()).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
    let (source, path) = match e {
        Error::Storage { source, path, .. } => (Some(source), Some(path)),
        Error::Listen { source, .. } | Error::Io { source, .. } => (Some(source), None),
        Error::DiskFull { path } => (None, Some(path)),
        _ => (None, None),
    };
    let errno = source.and_then(std::io::Error::raw_os_error);
    raise(py, (kind, e.kind() as i32, e.to_string(), errno, path))
}

/// Returns the exception for an invalid setting that was found before the engine's own check.
pub(crate) fn bad_config(py: Python<'_>, why: &str) -> PyErr {
    let code = playswarm::ErrorKind::BadConfig as i32;
    raise(py, ("bad_config".to_owned(), code, format!("the settings cannot be used: {why}"), None, None))
}

type Made<'a> = (String, i32, String, Option<i32>, Option<&'a std::path::PathBuf>);

fn raise(py: Python<'_>, what: Made<'_>) -> PyErr {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let made = MAKE.import(py, "playswarm._errors", "from_engine").and_then(|make| make.call1(what));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(e) => e,
    }
}
