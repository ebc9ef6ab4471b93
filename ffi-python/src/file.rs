//! A file of a torrent, for the blocking and the asynchronous interface.
//!
//! Blocking reads share one position, which is kept here. Threads that share a file therefore never
//! read a byte twice. The position moves only when a read completes. Asynchronous reads pass their
//! position, so cancelling one loses no data.

use crate::ends::Ends;
use crate::errors;
use crate::job::Job;
use crate::runtime::is_forked;
use crate::timeline::time_of;
use crate::torrent_handle::TorrentHandle as OpenMedia;
use crate::wait::{timeout_of, wait};
use bytes::Bytes;
use parking_lot::Mutex;
use playswarm::{Error, Result, Stream, TorrentHandle};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio_util::sync::CancellationToken;

/// Value of `ahead` without a limit.
const NO_BOUND: u64 = u64::MAX;

/// A file that stays open until it is closed or dropped.
#[pyclass(frozen, module = "playswarm._playswarm")]
pub(crate) struct File {
    shared: Mutex<Option<Arc<Shared>>>,
    size: u64,
}

struct Shared {
    media: TorrentHandle,
    file: usize,
    stream: tokio::sync::Mutex<Stream>,
    /// Position of the next blocking read.
    position: AtomicU64,
    /// Limit for downloading beyond the data being read, in bytes.
    ahead: AtomicU64,
    bounded: AtomicBool,
    ends: Ends,
    size: u64,
}

/// A caller's buffer, which stays in place while a read fills it.
pub(crate) struct Target {
    buffer: PyUntypedBuffer,
}

impl Target {
    pub(crate) fn new(object: &Bound<'_, PyAny>) -> PyResult<Target> {
        let wanted = || {
            let given = object.get_type().name().map_or_else(|_| "this".to_owned(), |n| n.to_string());
            PyTypeError::new_err(format!("readinto() needs a read-write bytes-like object, not {given}"))
        };
        let buffer = PyUntypedBuffer::get(object)
            .map_err(|e| if e.is_instance_of::<PyBufferError>(object.py()) { e } else { wanted() })?;
        if buffer.readonly() {
            return Err(wanted());
        }
        if !buffer.is_c_contiguous() {
            return Err(PyBufferError::new_err("readinto() needs memory in one piece"));
        }
        Ok(Target { buffer })
    }

    pub(crate) fn len(&self) -> usize {
        self.buffer.len_bytes()
    }

    /// Copies bytes to offset `at`, with or without the GIL.
    pub(crate) fn put(&self, at: usize, bytes: &[u8]) {
        assert!(at.checked_add(bytes.len()).is_some_and(|end| end <= self.len()), "a read beyond its buffer");
        // SAFETY: the exporter keeps these `len` bytes in place and writable until the buffer is
        // released, which happens when `self` is dropped. They are C-contiguous, and the range was
        // checked above. `bytes` is memory of the engine. Python code that accesses the memory at
        // the same time sees old or new bytes. The same holds for any `readinto` of CPython, which
        // releases the GIL during the system call.
        #[allow(unsafe_code)]
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.buffer.buf_ptr().cast::<u8>().add(at), bytes.len());
        }
    }
}

impl Shared {
    /// Positions the stream and limits downloading, for a read of `max` bytes.
    fn place(&self, stream: &mut Stream, position: u64, max: u64) {
        stream.seek_to(position);
        match self.ahead.load(Ordering::Relaxed) {
            NO_BOUND => {
                if self.bounded.swap(false, Ordering::Relaxed) {
                    stream.set_end(self.size);
                }
            }
            ahead => {
                self.bounded.store(true, Ordering::Relaxed);
                stream.set_end(position.saturating_add(max).saturating_add(ahead).min(self.size));
            }
        }
    }

    /// Waits for the first data and fills the buffer with the data that is available without
    /// further waiting. Moves the position.
    async fn read_into(&self, target: &Target) -> Result<usize> {
        let mut stream = self.stream.lock().await;
        let start = self.position.load(Ordering::Relaxed);
        let len = target.len();
        self.place(&mut stream, start, len as u64);
        let mut filled = 0;
        while filled < len {
            if filled > 0 && stream.readable_at(start + filled as u64) == 0 {
                break;
            }
            let bytes = stream.read_chunk(len - filled).await?;
            if bytes.is_empty() {
                break;
            }
            target.put(filled, &bytes);
            filled += bytes.len();
        }
        // A seek from another thread in the meantime takes precedence.
        let end = start + filled as u64;
        let _ = self.position.compare_exchange(start, end, Ordering::Relaxed, Ordering::Relaxed);
        Ok(filled)
    }

    /// Reads `max` bytes from `position`; fewer only at the end of the file.
    async fn read_at(&self, position: u64, max: u64) -> Result<Vec<Bytes>> {
        let mut stream = self.stream.lock().await;
        self.place(&mut stream, position, max);
        let (mut chunks, mut got) = (Vec::new(), 0);
        while got < max {
            let bytes = stream.read_chunk(usize::try_from(max - got).unwrap_or(usize::MAX)).await?;
            if bytes.is_empty() {
                break;
            }
            got += bytes.len() as u64;
            chunks.push(bytes);
        }
        Ok(chunks)
    }
}

pub(crate) fn joined<'py>(py: Python<'py>, chunks: &[Bytes]) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, chunks.iter().map(Bytes::len).sum(), |into| {
        let mut at = 0;
        for chunk in chunks {
            into[at..at + chunk.len()].copy_from_slice(chunk);
            at += chunk.len();
        }
        Ok(())
    })
}

impl File {
    pub(crate) fn new(media: TorrentHandle, file: usize, stream: Stream, session_closed: CancellationToken) -> File {
        let size = stream.size();
        let shared = Shared {
            media,
            file,
            stream: tokio::sync::Mutex::new(stream),
            position: AtomicU64::new(0),
            ahead: AtomicU64::new(NO_BOUND),
            bounded: AtomicBool::new(false),
            ends: Ends::new(session_closed),
            size,
        };
        File { shared: Mutex::new(Some(Arc::new(shared))), size }
    }

    fn get(&self, py: Python<'_>) -> PyResult<Arc<Shared>> {
        self.shared.lock().clone().ok_or_else(|| errors::to_python(py, &Error::Closed))
    }
}

#[pymethods]
impl File {
    #[getter]
    fn size(&self) -> u64 {
        self.size
    }

    #[getter]
    fn position(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.get(py)?.position.load(Ordering::Relaxed))
    }

    /// Sets the position of the next blocking read. Downloading follows with that read.
    fn seek(&self, py: Python<'_>, position: u64) -> PyResult<()> {
        self.get(py)?.position.store(position, Ordering::Relaxed);
        Ok(())
    }

    /// Reads into the caller's buffer. Returns as many bytes as are available, at least one, or 0
    /// at the end of the file.
    #[pyo3(signature = (buffer, timeout=None))]
    fn readinto(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<usize> {
        let shared = self.get(py)?;
        let target = Target::new(buffer)?;
        let work = shared.ends.unless_ended(shared.read_into(&target));
        wait(py, "the read", timeout_of(timeout)?, work, |_| Ok(()))
    }

    /// Reads `size` bytes from the position; fewer only at the end of the file. An interrupted read
    /// loses no data.
    #[pyo3(signature = (size, timeout=None))]
    fn read<'py>(&self, py: Python<'py>, size: u64, timeout: Option<f64>) -> PyResult<Bound<'py, PyBytes>> {
        let shared = self.get(py)?;
        let start = shared.position.load(Ordering::Relaxed);
        let work = shared.ends.unless_ended(shared.read_at(start, size));
        let chunks = wait(py, "the read", timeout_of(timeout)?, work, |_| Ok(()))?;
        let bytes = joined(py, &chunks)?;
        let end = start + bytes.as_bytes().len() as u64;
        let _ = shared.position.compare_exchange(start, end, Ordering::Relaxed, Ordering::Relaxed);
        Ok(bytes)
    }

    /// Reads `size` bytes from the given position.
    fn read_at(&self, py: Python<'_>, position: u64, size: u64) -> PyResult<Job> {
        let shared = self.get(py)?;
        let work = async move { shared.ends.unless_ended(shared.read_at(position, size)).await };
        Ok(Job::new("the read", work, |py, chunks| Ok(joined(py, &chunks)?.into_any().unbind())))
    }

    /// Moves to the keyframe at or before a time. Returns its time in seconds, the byte where
    /// reading begins, and whether this is an estimate. Reads pass that byte, or follow after
    /// [`File::seek`].
    fn seek_time(&self, py: Python<'_>, seconds: f64) -> PyResult<Job> {
        let (shared, time) = (self.get(py)?, time_of(seconds)?);
        let work = async move {
            let seek = async { shared.stream.lock().await.seek_to_time(time).await };
            shared.ends.unless_ended(seek).await
        };
        Ok(Job::new("looking up the time", work, |py, seek_point| {
            let seek_point = (seek_point.time.as_secs_f64(), seek_point.from, seek_point.estimated);
            Ok(seek_point.into_pyobject(py)?.into_any().unbind())
        }))
    }

    /// Returns the media time in seconds at a byte, if the timing of the file is known.
    fn time_at(&self, py: Python<'_>, position: u64) -> PyResult<Option<f64>> {
        let shared = self.get(py)?;
        Ok(shared.media.known_timeline(shared.file).map(|t| t.time_at(position).as_secs_f64()))
    }

    /// Returns the number of bytes that can be read from `position` without waiting for the swarm.
    fn readable_at(&self, py: Python<'_>, position: u64) -> PyResult<u64> {
        let shared = self.get(py)?;
        let work = async { Ok(shared.stream.lock().await.readable_at(position)) };
        wait(py, "the read before", None, shared.ends.unless_ended(work), |_| Ok(()))
    }

    /// Limits downloading beyond the data being read, in bytes; `None` removes the limit.
    fn set_ahead(&self, py: Python<'_>, bytes: Option<u64>) -> PyResult<()> {
        self.get(py)?.ahead.store(bytes.unwrap_or(NO_BOUND), Ordering::Relaxed);
        Ok(())
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

    /// Ends waiting reads and frees the read-ahead at once. An `owned` torrent is closed in the
    /// same step, so that no Python signal is handled in between.
    #[pyo3(signature = (owned=None))]
    #[allow(clippy::needless_pass_by_value)] // PyO3 hands it over.
    fn close(&self, py: Python<'_>, owned: Option<Bound<'_, OpenMedia>>) {
        if let Some(media) = owned {
            media.get().close(py);
        }
        let Some(shared) = self.shared.lock().take() else { return };
        shared.ends.close();
        py.detach(|| drop(shared));
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if is_forked() {
            std::mem::forget(self.shared.get_mut().take());
        }
    }
}
