//! The session.

use crate::errors;
use crate::job::Job;
use crate::live::{Cast, Channel};
use crate::metainfo::Metainfo;
use crate::runtime::{self, is_forked};
use crate::search::Search;
use crate::torrent_handle::TorrentHandle;
use parking_lot::Mutex;
use playswarm::live::{ArchiveOptions, CastOptions, channel_link};
use playswarm::{Config, Error, Result, Source};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// A session. It is closed when it is dropped.
#[pyclass(frozen, module = "playswarm._playswarm")]
pub(crate) struct Session {
    session: Mutex<Option<playswarm::Session>>,
    /// Signals to its events and files that the session is closed.
    closed: CancellationToken,
}

fn parse(py: Python<'_>, json: &str) -> PyResult<Config> {
    serde_json::from_str(json).map_err(|e| {
        // "… at line 1 column 7" has no meaning for callers that passed keywords.
        let text = e.to_string();
        errors::bad_config(py, text.split(" at line ").next().unwrap_or(&text))
    })
}

fn written(py: Python<'_>, config: &Config) -> PyResult<String> {
    serde_json::to_string(config).map_err(|e| errors::bad_config(py, &e.to_string()))
}

/// Returns every setting with its default, as JSON. With `offline`, the settings use only this
/// machine.
#[pyfunction]
pub(crate) fn default_config(py: Python<'_>, offline: bool) -> PyResult<String> {
    written(py, &if offline { Config::offline("") } else { Config::default() })
}

/// Checks settings (JSON, possibly partial) and returns them with the defaults filled in.
#[pyfunction]
pub(crate) fn check_config(py: Python<'_>, json: &str) -> PyResult<String> {
    let config = parse(py, json)?;
    config.check().map_err(|e| errors::to_python(py, &e))?;
    written(py, &config)
}

/// Returns the numeric settings with their valid values, as JSON.
#[pyfunction]
pub(crate) fn config_ranges(py: Python<'_>, json: &str) -> PyResult<String> {
    serde_json::to_string(&parse(py, json)?.ranges()).map_err(|e| errors::bad_config(py, &e.to_string()))
}

/// Starts a session with settings given as JSON.
#[pyfunction]
pub(crate) fn open_session(py: Python<'_>, json: &str) -> PyResult<Job> {
    let config = parse(py, json)?;
    Ok(Job::new("starting a session", playswarm::Session::new(config), |py, session| {
        let made = Session { session: Mutex::new(Some(session)), closed: CancellationToken::new() };
        Ok(Py::new(py, made)?.into_any())
    }))
}

fn source_of(py: Python<'_>, source: &Bound<'_, PyAny>) -> PyResult<Source> {
    if let Ok(torrent) = source.cast::<Metainfo>() {
        return Ok(Source::from(&*torrent.get().torrent));
    }
    if let Ok(text) = source.extract::<String>() {
        return Source::parse(&text).map_err(|e| errors::to_python(py, &e));
    }
    // Accepts any bytes-like object. A list of numbers would also convert, but is rejected.
    if let Ok(bytes) = PyBuffer::<u8>::get(source) {
        return Ok(Source::TorrentBytes(bytes.to_vec(py)?.into()));
    }
    if let Ok(path) = source.extract::<PathBuf>() {
        return Ok(Source::TorrentFile(path));
    }
    let given = source.get_type().name()?;
    Err(PyTypeError::new_err(format!("a torrent's source is a str, a path, bytes or a Metainfo, not {given}")))
}

impl Session {
    fn get(&self) -> Result<playswarm::Session> {
        self.session.lock().clone().ok_or(Error::Closed)
    }
}

#[pymethods]
impl Session {
    /// Opens a torrent.
    fn open(&self, py: Python<'_>, source: &Bound<'_, PyAny>) -> PyResult<Job> {
        let source = source_of(py, source)?;
        let session = self.get().map_err(|e| errors::to_python(py, &e))?;
        let closed = self.closed.clone();
        let work = async move {
            tokio::select! {
                opened = session.open(source) => opened,
                () = closed.clone().cancelled_owned() => Err(Error::Closed),
            }
        };
        let closed = self.closed.clone();
        Ok(Job::new("opening the torrent", work, move |py, media| {
            Ok(Py::new(py, TorrentHandle::new(media, closed))?.into_any())
        }))
    }

    /// Returns the metainfo of a torrent.
    fn describe(&self, py: Python<'_>, source: &Bound<'_, PyAny>) -> PyResult<Job> {
        let source = source_of(py, source)?;
        let session = self.get().map_err(|e| errors::to_python(py, &e))?;
        let closed = self.closed.clone();
        let work = async move {
            tokio::select! {
                described = session.describe(source) => described,
                () = closed.cancelled_owned() => Err(Error::Closed),
            }
        };
        Ok(Job::new("fetching the torrent's metadata", work, |py, torrent| {
            Ok(Py::new(py, Metainfo { torrent })?.into_any())
        }))
    }

    /// Begins to cast a live channel. `key` is the seed of its secret key, `archive` the folder of its
    /// archive.
    #[pyo3(signature = (name, key, content_type, bytes_per_s, archive))]
    fn cast(
        &self,
        py: Python<'_>,
        name: String,
        key: Option<[u8; 32]>,
        content_type: Option<String>,
        bytes_per_s: u32,
        archive: Option<PathBuf>,
    ) -> PyResult<Cast> {
        let mut options = CastOptions::default();
        (options.name, options.key) = (name, key);
        (options.content_type, options.bytes_per_s) = (content_type, bytes_per_s);
        options.archive = archive.map(ArchiveOptions::new);
        let cast = self.get().and_then(|session| session.cast(options));
        cast.map(Cast::new).map_err(|e| errors::to_python(py, &e))
    }

    /// Joins a live channel, and keeps its archive in this folder.
    #[pyo3(signature = (link, archive))]
    fn watch(&self, py: Python<'_>, link: &str, archive: Option<PathBuf>) -> PyResult<Channel> {
        let channel = channel_link(link).and_then(|link| {
            let channel = self.get()?.watch(&link)?;
            archive.map_or(Ok(()), |dir| channel.archive(&ArchiveOptions::new(dir)))?;
            Ok(channel)
        });
        let channel = channel.map_err(|e| errors::to_python(py, &e))?;
        Ok(Channel::new(channel, self.closed.child_token()))
    }

    /// Searches the Gnutella network.
    #[pyo3(signature = (words, kind, wait, most))]
    fn search(
        &self,
        py: Python<'_>,
        words: String,
        kind: Option<&str>,
        wait: Option<f64>,
        most: usize,
    ) -> PyResult<Search> {
        let session = self.get().map_err(|e| errors::to_python(py, &e))?;
        Search::begin(py, &session, words, kind, wait, most)
    }

    /// Closes the session. It continues in the background even if the job is not awaited.
    fn close(&self) -> PyResult<Job> {
        let session = self.session.lock().take();
        self.closed.cancel();
        let closing = session.map(close_in_background).transpose()?;
        let work = async move {
            if let Some(closing) = closing {
                // The task is never aborted, so it can only complete.
                let _ = closing.await;
            }
            Ok(())
        };
        Ok(Job::new("closing the session", work, |py, ()| Ok(py.None())))
    }

    #[getter]
    fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Returns the address on which peers can connect.
    #[getter]
    fn listen_addr(&self, py: Python<'_>) -> PyResult<Option<(String, u16)>> {
        let session = self.get().map_err(|e| errors::to_python(py, &e))?;
        Ok(session.listen_addr().map(|a| (a.ip().to_string(), a.port())))
    }

    /// Returns the settings as JSON.
    #[getter]
    fn config(&self, py: Python<'_>) -> PyResult<String> {
        written(py, self.get().map_err(|e| errors::to_python(py, &e))?.config())
    }

    /// Returns the progress of the torrents that are being opened, as JSON.
    fn opening(&self, py: Python<'_>) -> PyResult<String> {
        let session = self.get().map_err(|e| errors::to_python(py, &e))?;
        let opening = py.detach(|| session.opening());
        serde_json::to_string(&opening).map_err(|e| errors::bad_config(py, &e.to_string()))
    }

    /// Returns the status of each torrent that seeds in the background, as JSON.
    fn seeded_in_background(&self, py: Python<'_>) -> PyResult<String> {
        let session = self.get().map_err(|e| errors::to_python(py, &e))?;
        let kept = py.detach(|| session.seeded_in_background());
        serde_json::to_string(&kept).map_err(|e| errors::bad_config(py, &e.to_string()))
    }
}

fn close_in_background(session: playswarm::Session) -> PyResult<tokio::task::JoinHandle<()>> {
    Ok(runtime::handle()?.spawn(async move { session.close().await }))
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(session) = self.session.get_mut().take() else { return };
        if is_forked() {
            // Threads that do not exist in this process may hold its locks.
            std::mem::forget(session);
            return;
        }
        self.closed.cancel();
        // A session cannot exist without a runtime.
        let _ = close_in_background(session);
    }
}
