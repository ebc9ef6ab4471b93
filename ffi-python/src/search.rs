//! Searches of the Gnutella network.

use crate::errors;
use crate::job::Job;
use crate::runtime::is_forked;
use parking_lot::Mutex;
use playswarm::gnutella::{self, Kind, Query};
use playswarm::{Error, Session};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// A search, until it is closed or dropped.
#[pyclass(frozen, module = "playswarm._playswarm")]
pub(crate) struct Search {
    search: Mutex<Option<Arc<gnutella::Search>>>,
}

fn written(json: serde_json::Result<String>) -> PyResult<String> {
    json.map_err(|e| PyValueError::new_err(e.to_string()))
}

/// Returns the query, with a kind by its name.
fn query_of(words: String, kind: Option<&str>, wait: Option<f64>, most: usize) -> PyResult<Query> {
    let mut query = Query::new(words);
    query.kind = match kind {
        None => None,
        Some("video") => Some(Kind::Video),
        Some("audio") => Some(Kind::Audio),
        Some(other) => {
            return Err(PyValueError::new_err(format!("{other:?} is no kind of file; use 'video', 'audio' or None")));
        }
    };
    let seconds = wait.map(Duration::try_from_secs_f64).transpose();
    query.wait = seconds.map_err(|e| PyValueError::new_err(format!("wait is no number of seconds: {e}")))?;
    query.most = most;
    Ok(query)
}

impl Search {
    /// Begins a search.
    pub(crate) fn begin(
        py: Python<'_>,
        session: &Session,
        words: String,
        kind: Option<&str>,
        wait: Option<f64>,
        most: usize,
    ) -> PyResult<Search> {
        let query = query_of(words, kind, wait, most)?;
        let search = session.search(query).map_err(|e| errors::to_python(py, &e))?;
        Ok(Search { search: Mutex::new(Some(Arc::new(search))) })
    }

    fn get(&self, py: Python<'_>) -> PyResult<Arc<gnutella::Search>> {
        self.search.lock().clone().ok_or_else(|| errors::to_python(py, &Error::Closed))
    }
}

#[pymethods]
impl Search {
    /// Waits for the next file, as JSON; None once the search has ended.
    fn next(&self, py: Python<'_>) -> PyResult<Job> {
        let search = self.get(py)?;
        let work = async move { search.next().await };
        Ok(Job::new("waiting for a file", work, |py, hit| match hit {
            Some(hit) => Ok(written(serde_json::to_string(&hit))?.into_pyobject(py)?.into_any().unbind()),
            None => Ok(py.None()),
        }))
    }

    /// Returns all files so far, as JSON.
    fn hits(&self, py: Python<'_>) -> PyResult<String> {
        let search = self.get(py)?;
        written(serde_json::to_string(&py.detach(|| search.hits())))
    }

    /// Ends the search, and forgets what it found.
    fn close(&self) {
        drop(self.search.lock().take());
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        if is_forked() {
            // Threads that do not exist in this process may hold its locks.
            std::mem::forget(self.search.get_mut().take());
        }
    }
}
