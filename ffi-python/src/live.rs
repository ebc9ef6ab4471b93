//! Live channels: their source, their handle, and their stream.

use crate::ends::Ends;
use crate::errors;
use crate::file::{Target, joined};
use crate::job::Job;
use crate::runtime::{self, is_forked};
use crate::wait::{timeout_of, wait};
use bytes::Bytes;
use parking_lot::Mutex;
use playswarm::live::{self, ChannelHead, LiveStream};
use playswarm::{Error, Result};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Longest wait for viewers to get the end of a stream.
const LAST_PACKETS: Duration = Duration::from_secs(1);

/// Name, media type and bytes per second.
type Head = (String, String, u32);

/// Number, milliseconds since 1970, milliseconds, bytes, info-hash and link.
type Minute = (u64, u64, u32, u64, String, String);

fn minute_of(minute: live::ChannelMinute) -> Minute {
    let (begun_ms, duration_ms) = (minute.begun_ms, minute.duration_ms);
    (minute.number, begun_ms, duration_ms, minute.bytes, minute.info_hash.to_string(), minute.magnet)
}

fn head_of(head: ChannelHead) -> Head {
    (head.name, head.content_type, head.bytes_per_s)
}

fn json_of(status: &live::ChannelStatus) -> PyResult<String> {
    serde_json::to_string(status).map_err(|e| PyValueError::new_err(e.to_string()))
}

fn closed(py: Python<'_>) -> PyErr {
    errors::to_python(py, &Error::Closed)
}

/// The source of a channel, which is on the air until it is closed or dropped.
#[pyclass(frozen, module = "playswarm._playswarm")]
pub(crate) struct Cast {
    cast: Mutex<Option<Arc<live::Cast>>>,
}

impl Cast {
    pub(crate) fn new(cast: live::Cast) -> Cast {
        Cast { cast: Mutex::new(Some(Arc::new(cast))) }
    }

    fn get(&self, py: Python<'_>) -> PyResult<Arc<live::Cast>> {
        self.cast.lock().clone().ok_or_else(|| closed(py))
    }
}

#[pymethods]
impl Cast {
    /// Returns the link for viewers.
    fn link(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.get(py)?.link().to_string())
    }

    /// Sends bytes of the stream. Never waits.
    fn write(&self, py: Python<'_>, data: &[u8]) -> PyResult<usize> {
        let cast = self.get(py)?;
        py.detach(|| cast.push(data)).map_err(|e| errors::to_python(py, &e))?;
        Ok(data.len())
    }

    /// Tells viewers the title of what is playing.
    fn set_title(&self, py: Python<'_>, title: &str) -> PyResult<()> {
        let cast = self.get(py)?;
        py.detach(|| cast.set_title(title));
        Ok(())
    }

    /// Ends the stream.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        let cast = self.get(py)?;
        py.detach(|| cast.end()).map_err(|e| errors::to_python(py, &e))
    }

    /// Returns the source's place in the channel as JSON.
    fn status(&self, py: Python<'_>) -> PyResult<String> {
        json_of(&self.get(py)?.status())
    }

    #[getter]
    fn is_closed(&self) -> bool {
        self.cast.lock().is_none()
    }

    /// Takes the channel off the air, after the last packets were sent.
    fn close(&self) -> PyResult<Job> {
        let cast = self.cast.lock().take();
        // Spawned: it goes on even if the job is not awaited.
        let closing = cast.map(|cast| Ok::<_, PyErr>(runtime::handle()?.spawn(go_off_air(cast)))).transpose()?;
        Ok(finishing("ending the cast", closing))
    }
}

async fn go_off_air(cast: Arc<live::Cast>) {
    // The last minute, and the torrent of the whole. Without an archive, there is nothing to wait for.
    cast.archived().await;
    cast.flush(LAST_PACKETS).await;
}

fn finishing(what: &'static str, task: Option<tokio::task::JoinHandle<()>>) -> Job {
    let work = async move {
        if let Some(task) = task {
            // The task is never aborted, so it can only complete.
            let _ = task.await;
        }
        Ok(())
    };
    Job::new(what, work, |py, ()| Ok(py.None()))
}

impl Drop for Cast {
    fn drop(&mut self) {
        if is_forked() {
            std::mem::forget(self.cast.get_mut().take());
        }
    }
}

/// A channel that is watched until it is closed or dropped.
#[pyclass(frozen, module = "playswarm._playswarm")]
pub(crate) struct Channel {
    channel: Mutex<Option<live::Channel>>,
    link: String,
    session_closed: CancellationToken,
}

impl Channel {
    pub(crate) fn new(channel: live::Channel, session_closed: CancellationToken) -> Channel {
        let link = channel.link().to_string();
        Channel { channel: Mutex::new(Some(channel)), link, session_closed }
    }

    fn get(&self, py: Python<'_>) -> PyResult<live::Channel> {
        self.channel.lock().clone().ok_or_else(|| closed(py))
    }
}

#[pymethods]
impl Channel {
    #[getter]
    fn link(&self) -> &str {
        &self.link
    }

    /// Returns the description of the stream, once it is known.
    fn head(&self, py: Python<'_>) -> PyResult<Option<Head>> {
        Ok(self.get(py)?.head().map(head_of))
    }

    /// Returns the node's place in the channel as JSON.
    fn status(&self, py: Python<'_>) -> PyResult<String> {
        json_of(&self.get(py)?.status())
    }

    /// Waits until all of an ended stream that can be had is in the archive.
    fn archived(&self, py: Python<'_>) -> PyResult<Job> {
        let channel = self.get(py)?;
        let work = async move {
            channel.archived().await;
            Ok(())
        };
        Ok(Job::new("waiting for the archive", work, |py, ()| Ok(py.None())))
    }

    /// Returns the announced minutes of the archive: number, beginning, duration, bytes, info-hash and
    /// link of each.
    fn minutes(&self, py: Python<'_>) -> PyResult<Vec<Minute>> {
        Ok(self.get(py)?.minutes().into_iter().map(minute_of).collect())
    }

    /// Waits until a player can begin. Returns the description of the stream.
    fn on_air(&self, py: Python<'_>) -> PyResult<Job> {
        let channel = self.get(py)?;
        let work = async move { channel.on_air().await.ok_or(Error::Closed) };
        Ok(Job::new("waiting for the stream", work, |py, head| {
            Ok(head_of(head).into_pyobject(py)?.into_any().unbind())
        }))
    }

    /// Returns a reader of the stream, from the present on.
    fn stream(&self, py: Python<'_>) -> PyResult<LiveFile> {
        Ok(LiveFile::new(self.get(py)?.stream(), self.session_closed.child_token()))
    }

    #[getter]
    fn is_closed(&self) -> bool {
        self.channel.lock().is_none() || self.session_closed.is_cancelled()
    }

    /// Closes this handle. If nothing else in the session uses the channel, its node leaves in order:
    /// the nodes that it feeds first get other parents.
    fn close(&self) -> PyResult<Job> {
        let channel = self.channel.lock().take().filter(|channel| !channel.is_shared());
        let leave = |channel: live::Channel| async move { channel.leave().await };
        let leaving = channel.map(|channel| Ok::<_, PyErr>(runtime::handle()?.spawn(leave(channel)))).transpose()?;
        Ok(finishing("leaving the channel", leaving))
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if is_forked() {
            std::mem::forget(self.channel.get_mut().take());
        }
    }
}

/// A reader of a channel.
#[pyclass(frozen, module = "playswarm._playswarm")]
pub(crate) struct LiveFile {
    shared: Mutex<Option<Arc<Shared>>>,
}

struct Shared {
    stream: tokio::sync::Mutex<LiveStream>,
    ends: Ends,
}

impl Shared {
    /// Waits for the first bytes, and fills the buffer with what is here.
    async fn read_into(&self, target: &Target) -> Result<usize> {
        let mut stream = self.stream.lock().await;
        let mut filled = 0;
        while filled < target.len() {
            let more = stream.try_read_chunk(target.len() - filled);
            let bytes = match more? {
                Some(bytes) => bytes,
                None if filled > 0 => break,
                None => stream.read_chunk(target.len()).await?,
            };
            if bytes.is_empty() {
                break;
            }
            target.put(filled, &bytes);
            filled += bytes.len();
        }
        Ok(filled)
    }

    /// Waits for the first bytes, and returns what is here, `max` at most.
    async fn read(&self, max: usize) -> Result<Vec<Bytes>> {
        let mut stream = self.stream.lock().await;
        let mut chunks = vec![stream.read_chunk(max).await?];
        let mut got = chunks[0].len();
        // Nothing is awaited from here on: a read that is dropped loses no bytes.
        while got > 0
            && got < max
            && let Some(more) = stream.try_read_chunk(max - got)?.filter(|more| !more.is_empty())
        {
            got += more.len();
            chunks.push(more);
        }
        Ok(chunks)
    }
}

impl LiveFile {
    fn new(stream: LiveStream, session_closed: CancellationToken) -> LiveFile {
        let shared = Shared { stream: tokio::sync::Mutex::new(stream), ends: Ends::new(session_closed) };
        LiveFile { shared: Mutex::new(Some(Arc::new(shared))) }
    }

    fn get(&self, py: Python<'_>) -> PyResult<Arc<Shared>> {
        self.shared.lock().clone().ok_or_else(|| closed(py))
    }
}

#[pymethods]
impl LiveFile {
    /// Reads into the caller's buffer. Returns as many bytes as are here, at least one, or 0 at the
    /// end of the stream.
    #[pyo3(signature = (buffer, timeout=None))]
    fn readinto(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<usize> {
        let shared = self.get(py)?;
        let target = Target::new(buffer)?;
        let work = shared.ends.unless_ended(shared.read_into(&target));
        wait(py, "the read", timeout_of(timeout)?, work, |_| Ok(()))
    }

    /// Returns as many bytes as are here, at least one, or none at the end of the stream.
    fn read(&self, py: Python<'_>, max: usize) -> PyResult<Job> {
        let shared = self.get(py)?;
        let work = async move { shared.ends.unless_ended(shared.read(max)).await };
        Ok(Job::new("the read", work, |py, chunks| Ok(joined(py, &chunks)?.into_any().unbind())))
    }

    /// Returns the number of bytes that were read.
    #[getter]
    fn position(&self, py: Python<'_>) -> PyResult<u64> {
        let shared = self.get(py)?;
        let work = async { Ok(shared.stream.lock().await.position()) };
        wait(py, "the read before", None, shared.ends.unless_ended(work), |_| Ok(()))
    }

    /// Ends current reads and makes later ones fail.
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        self.get(py)?.ends.cancel();
        Ok(())
    }

    /// Allows reads again after a cancellation.
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        self.get(py)?.ends.reset();
        Ok(())
    }

    #[getter]
    fn is_closed(&self) -> bool {
        self.shared.lock().is_none()
    }

    /// Ends waiting reads.
    fn close(&self, py: Python<'_>) {
        let Some(shared) = self.shared.lock().take() else { return };
        shared.ends.close();
        py.detach(|| drop(shared));
    }
}

impl Drop for LiveFile {
    fn drop(&mut self) {
        if is_forked() {
            std::mem::forget(self.shared.get_mut().take());
        }
    }
}
