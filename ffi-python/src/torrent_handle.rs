//! An open torrent.

use crate::errors;
use crate::events::Events;
use crate::file::File;
use crate::job::{Job, Progress};
use crate::metainfo::Metainfo;
use crate::rtsp;
use crate::runtime::{self, is_forked};
use crate::timeline::Timeline;
use parking_lot::Mutex;
use playswarm::{Error, PeerAddress, Result};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Interval between progress updates of a download.
const LOOK: Duration = Duration::from_millis(200);

/// A torrent that stays open until it is closed or dropped.
#[pyclass(frozen, module = "playswarm._playswarm")]
pub(crate) struct TorrentHandle {
    torrent: Mutex<Option<playswarm::TorrentHandle>>,
    metainfo: Arc<playswarm::Metainfo>,
    session_closed: CancellationToken,
    closed: CancellationToken,
}

impl TorrentHandle {
    pub(crate) fn new(torrent: playswarm::TorrentHandle, session_closed: CancellationToken) -> TorrentHandle {
        let metainfo = torrent.metainfo().clone();
        let closed = session_closed.child_token();
        TorrentHandle { torrent: Mutex::new(Some(torrent)), metainfo, session_closed, closed }
    }

    fn get(&self, py: Python<'_>) -> PyResult<playswarm::TorrentHandle> {
        let open = if self.closed.is_cancelled() { None } else { self.torrent.lock().clone() };
        open.ok_or_else(|| errors::to_python(py, &Error::Closed))
    }
}

#[pymethods]
impl TorrentHandle {
    #[getter]
    fn metainfo(&self) -> Metainfo {
        Metainfo { torrent: self.metainfo.clone() }
    }

    /// Returns a reader of one file.
    fn stream(&self, py: Python<'_>, file: usize) -> PyResult<File> {
        let torrent = self.get(py)?;
        let stream = torrent.stream(file).map_err(|e| errors::to_python(py, &e))?;
        Ok(File::new(torrent, file, stream, self.session_closed.child_token()))
    }

    /// Returns a status snapshot as JSON.
    fn status(&self, py: Python<'_>) -> PyResult<String> {
        let torrent = self.get(py)?;
        let json = py.detach(|| serde_json::to_string(&torrent.status()));
        json.map_err(|e| PyValueError::new_err(e.to_string()))
    }

    /// Returns a byte for each piece: 0 missing, 1 being downloaded, 2 available.
    fn piece_map<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let torrent = self.get(py)?;
        let map: Vec<u8> = py.detach(|| {
            let status = torrent.status();
            let of = |c| match c {
                b'#' => 2,
                b'+' => 1,
                _ => 0,
            };
            status.piece_map.bytes().map(of).collect()
        });
        Ok(PyBytes::new(py, &map))
    }

    fn events(&self, py: Python<'_>) -> PyResult<Events> {
        Ok(Events::new(self.get(py)?.events(), self.closed.clone()))
    }

    /// Returns the timing information of a file. Its index is read from the swarm if it is not
    /// known.
    fn timeline(&self, py: Python<'_>, file: usize) -> PyResult<Job> {
        let torrent = self.get(py)?;
        let closed = self.closed.clone();
        let work = async move {
            tokio::select! {
                timeline = torrent.timeline(file) => timeline,
                () = closed.cancelled() => Err(Error::Closed),
            }
        };
        Ok(Job::new("reading the index of the file", work, move |py, timeline| {
            Ok(Py::new(py, Timeline { timeline, file })?.into_any())
        }))
    }

    /// Returns the file to play by default. Reads first bytes where names tell nothing.
    fn choose_file(&self, py: Python<'_>) -> PyResult<Job> {
        let torrent = self.get(py)?;
        let closed = self.closed.clone();
        let work = async move {
            tokio::select! {
                file = torrent.choose_file() => file,
                () = closed.cancelled() => Err(Error::Closed),
            }
        };
        Ok(Job::new("choosing the file", work, |py, file: usize| Ok(file.into_pyobject(py)?.into_any().unbind())))
    }

    /// Serves the files over RTSP.
    fn serve_rtsp(&self, py: Python<'_>, file: usize, listen: Option<&str>, token: Option<String>) -> PyResult<Job> {
        let torrent = self.get(py)?;
        rtsp::start(torrent, self.session_closed.clone(), file, listen, token).map_err(|e| errors::to_python(py, &e))
    }

    /// Returns the timing information that is known now.
    fn known_timeline(&self, py: Python<'_>, file: usize) -> PyResult<Option<Timeline>> {
        Ok(self.get(py)?.known_timeline(file).map(|timeline| Timeline { timeline, file }))
    }

    fn add_peer(&self, py: Python<'_>, addr: &str) -> PyResult<()> {
        let addr: PeerAddress = addr.parse().map_err(PyValueError::new_err)?;
        let torrent = self.get(py)?;
        runtime::within(|| torrent.add_peer(addr))
    }

    fn add_source(&self, py: Python<'_>, url: &str) -> PyResult<()> {
        let torrent = self.get(py)?;
        runtime::within(|| torrent.add_source(url))?.map_err(|e| errors::to_python(py, &e))
    }

    fn prefetch(&self, py: Python<'_>, file: usize) -> PyResult<()> {
        let torrent = self.get(py)?;
        runtime::within(|| torrent.prefetch(file))
    }

    fn fetch_all(&self, py: Python<'_>, on: bool) -> PyResult<()> {
        let torrent = self.get(py)?;
        runtime::within(|| torrent.fetch_all(on))
    }

    /// Downloads all files and waits for completion. Returns their size in bytes.
    fn download(&self, py: Python<'_>) -> PyResult<Job> {
        let torrent = self.get(py)?;
        let progress = Arc::new(Progress::default());
        let told = progress.clone();
        let closed = self.closed.clone();
        let work = async move {
            tokio::select! {
                () = closed.cancelled() => Err(Error::Closed),
                done = complete(&torrent, &told) => done,
            }
        };
        Ok(Job::with_progress("the download", progress, work, |py, n: u64| {
            Ok(n.into_pyobject(py)?.into_any().unbind())
        }))
    }

    /// Checks the files on disk. Returns the size of the correct pieces in bytes.
    fn recheck(&self, py: Python<'_>) -> PyResult<Job> {
        let torrent = self.get(py)?;
        let progress = Arc::new(Progress::default());
        let told = progress.clone();
        let work = async move { torrent.recheck(move |done, total| told.tell(done, total)).await };
        Ok(Job::with_progress("checking the files", progress, work, |py, n: u64| {
            Ok(n.into_pyobject(py)?.into_any().unbind())
        }))
    }

    fn sync(&self, py: Python<'_>) -> PyResult<Job> {
        let torrent = self.get(py)?;
        Ok(Job::new("writing to the disk", async move { torrent.sync().await }, |py, ()| Ok(py.None())))
    }

    pub(crate) fn close(&self, py: Python<'_>) {
        self.closed.cancel();
        let torrent = self.torrent.lock().take();
        // Dropping the last handle takes locks that other threads hold while they work.
        py.detach(|| drop(torrent));
    }

    #[getter]
    fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }
}

/// Downloads all pieces until this completes or is dropped.
async fn complete(torrent: &playswarm::TorrentHandle, progress: &Progress) -> Result<u64> {
    struct Wanted<'a>(&'a playswarm::TorrentHandle);
    impl Drop for Wanted<'_> {
        fn drop(&mut self) {
            self.0.fetch_all(false);
        }
    }
    torrent.fetch_all(true);
    let _wanted = Wanted(torrent);
    loop {
        let status = torrent.status();
        progress.tell(status.verified_bytes, status.total_bytes);
        if torrent.is_complete()? {
            return Ok(status.total_bytes);
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl Drop for TorrentHandle {
    fn drop(&mut self) {
        if is_forked() {
            std::mem::forget(self.torrent.get_mut().take());
        }
    }
}
