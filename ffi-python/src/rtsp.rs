//! An RTSP server of one torrent.

use crate::job::Job;
use crate::runtime::is_forked;
use parking_lot::Mutex;
use playswarm::{Error, Result, TorrentHandle};
use playswarm_serve::{RtspConfig, RtspView, serve_rtsp};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tokio_util::sync::CancellationToken;

/// A server that runs until it is closed or dropped.
#[pyclass(frozen, module = "playswarm._playswarm")]
pub(crate) struct RtspServer {
    server: Mutex<Option<playswarm_serve::RtspServer>>,
    view: RtspView,
    url: String,
}

/// Starts a server.
pub(crate) fn start(
    torrent: TorrentHandle,
    closed: CancellationToken,
    file: usize,
    listen: Option<&str>,
    token: Option<String>,
) -> Result<Job> {
    let mut config = RtspConfig::default();
    if let Some(address) = listen {
        let why = || format!("{address:?} is not an IP address and a port, such as 127.0.0.1:8554");
        config.listen = address.parse().map_err(|_| Error::BadConfig { name: "listen".into(), why: why() })?;
    }
    config.token = token;
    let work = async move {
        tokio::select! {
            server = serve_rtsp(torrent, file, config) => server,
            () = closed.cancelled() => Err(Error::Closed),
        }
    };
    Ok(Job::new("starting the RTSP server", work, |py, server| {
        let (view, url) = (server.view(), server.url());
        Ok(Py::new(py, RtspServer { server: Mutex::new(Some(server)), view, url })?.into_any())
    }))
}

#[pymethods]
impl RtspServer {
    #[getter]
    fn url(&self) -> &str {
        &self.url
    }

    /// Returns the sessions of players as JSON.
    fn sessions(&self) -> PyResult<String> {
        serde_json::to_string(&self.view.sessions()).map_err(|e| PyValueError::new_err(e.to_string()))
    }

    /// Stops listening and closes the connections of all players.
    fn close(&self) -> Job {
        let server = self.server.lock().take();
        let work = async move {
            if let Some(server) = server {
                server.stop().await;
            }
            Ok(())
        };
        Job::new("closing the RTSP server", work, |py, ()| Ok(py.None()))
    }

    #[getter]
    fn is_closed(&self) -> bool {
        self.server.lock().is_none()
    }
}

impl Drop for RtspServer {
    fn drop(&mut self) {
        if is_forked() {
            std::mem::forget(self.server.get_mut().take());
        }
    }
}
