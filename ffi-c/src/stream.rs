//! `playswarm_stream`: a reader of a file or of a live channel, usable from any number of threads.
//!
//! A waiting read holds no lock, so a seek never waits for it. A seek wakes waiting reads, which
//! continue at the new position.

use crate::boundary::{ErrorOut, Out, bad, call, call_plain, guard};
use crate::canceller::Flag;
use crate::core::Core;
use crate::dispatch::{Listener, Slot, Task};
use crate::error::{playswarm_code, playswarm_error};
use crate::event::playswarm_finalizer;
use crate::handles::{self, Handle};
use crate::reader::Reader;
use crate::watch::{self, Place, Wakeup};
use engine::live::LiveStream;
use engine::{Error, Result, SeekPoint, Stream, TorrentHandle};
use parking_lot::Mutex;
use std::ffi::c_void;
use std::sync::Arc;
use std::time::Duration;

/// A reader of one file, or of a live channel. Any thread may use it. With several concurrent
/// readers, each byte goes to exactly one of them.
pub struct playswarm_stream {
    _private: (),
}

impl Handle for playswarm_stream {
    type Object = StreamObject;
    const NAME: &'static str = "stream";
}

/// The fields are declared in drop order: the callback first, the runtime last.
pub(crate) struct StreamObject {
    callback: Slot<watch::Callback, Task>,
    wakeup: Arc<Wakeup>,
    ringer: Mutex<Option<Task>>,
    place: Arc<Place>,
    stream: Mutex<Reader>,
    /// The torrent and the number of the file; `None` for a channel.
    file: Option<(TorrentHandle, usize)>,
    cancel: Flag,
    core: Arc<Core>,
}

impl StreamObject {
    pub(crate) fn new(stream: Stream, torrent: TorrentHandle, file: usize, core: Arc<Core>) -> StreamObject {
        StreamObject::of(Reader::File(stream), Some((torrent, file)), core)
    }

    pub(crate) fn live(stream: LiveStream, core: Arc<Core>) -> StreamObject {
        StreamObject::of(Reader::Live(stream), None, core)
    }

    fn of(stream: Reader, file: Option<(TorrentHandle, usize)>, core: Arc<Core>) -> StreamObject {
        StreamObject {
            callback: Slot::default(),
            wakeup: Arc::default(),
            ringer: Mutex::default(),
            place: Arc::default(),
            stream: Mutex::new(stream),
            file,
            cancel: Flag::default(),
            core,
        }
    }

    /// Reads up to `capacity` bytes into `to`. Returns their number.
    ///
    /// # Safety
    /// `to` must point to `capacity` bytes that are valid for writes.
    unsafe fn read(&self, to: *mut u8, capacity: usize) -> Result<usize> {
        loop {
            let mut poked = std::pin::pin!(self.cancel.poke.notified());
            // Registers before the check, so that no seek or cancellation is lost in between.
            poked.as_mut().enable();
            if self.cancel.is_set() {
                return Err(Error::Cancelled);
            }
            let ready = {
                let mut stream = self.stream.lock();
                if let Some(bytes) = stream.try_read_chunk(capacity)? {
                    self.place.set(stream.position());
                    drop(stream);
                    // SAFETY: at most `capacity` bytes are copied, which the caller guarantees; the
                    // source does not overlap.
                    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
                    return Ok(bytes.len());
                }
                stream.ready()
            };
            self.core.wait(async {
                tokio::select! {
                    biased;
                    () = poked => Ok(()),
                    ready = ready => ready,
                }
            })?;
        }
    }

    fn seek(&self, offset: i64, whence: i32) -> Result<u64> {
        let position = {
            let mut stream = self.stream.lock();
            let base = match whence {
                PLAYSWARM_SEEK_SET => 0,
                PLAYSWARM_SEEK_CUR => stream.position(),
                PLAYSWARM_SEEK_END => stream.size()?,
                _ => return Err(bad(format!("whence is {whence}; use PLAYSWARM_SEEK_SET, _CUR or _END"))),
            };
            let position = base.checked_add_signed(offset).filter(|p| i64::try_from(*p).is_ok());
            let position = position.ok_or_else(|| {
                bad("the seek leads before the start of the file, or beyond the largest offset".into())
            })?;
            self.seek_to(&mut stream, position)?;
            position
        };
        Ok(position)
    }

    /// Moves to a time. Waits without a lock for information that is not known yet.
    pub(crate) fn seek_time(&self, time: Duration) -> Result<SeekPoint> {
        let (torrent, file) = self.file.as_ref().ok_or(Error::NoSize)?;
        let locating = torrent.locate(*file, time);
        let seek_point = self.core.wait_within("looking for a time", 0, Some(&self.cancel), locating)?;
        self.seek_to(&mut self.stream.lock(), seek_point.from)?;
        Ok(seek_point)
    }

    pub(crate) fn time(&self) -> Option<Duration> {
        self.stream.lock().time()
    }

    fn seek_to(&self, stream: &mut Reader, position: u64) -> Result<()> {
        stream.seek_to(position)?;
        self.place.set(position);
        self.place.poke();
        self.cancel.poke.notify_waiters();
        Ok(())
    }
}

/// Origin for playswarm_stream_seek: the start of the file. The values equal those of <stdio.h>.
pub const PLAYSWARM_SEEK_SET: i32 = 0;
/// Origin for playswarm_stream_seek: the current position.
pub const PLAYSWARM_SEEK_CUR: i32 = 1;
/// Origin for playswarm_stream_seek: the end of the file.
pub const PLAYSWARM_SEEK_END: i32 = 2;

/// Reads at the current position and advances it. Waits until at least one byte is available and
/// verified. Copies up to `capacity` bytes to `buffer` and stores their number in `read`. The
/// number is 0 at the end of the file or channel and for a `capacity` of 0. The function returns
/// what is available, which is often less than `capacity`. A seek from another thread makes a waiting read
/// continue at the new position. Callable from any thread.
///
/// Errors: PLAYSWARM_CANCELLED after playswarm_stream_cancel, PLAYSWARM_CLOSED after
/// playswarm_session_close or playswarm_channel_leave, PLAYSWARM_STORAGE if data on disk cannot be read. The position does not
/// change in these cases.
///
/// # Safety
/// `buffer` must point to `capacity` writable bytes; it may be NULL if `capacity` is 0. `read` must
/// be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_stream_read(
    stream: *mut playswarm_stream,
    buffer: *mut c_void,
    capacity: usize,
    read: *mut usize,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_stream_read", error, || {
        // SAFETY: `read` is NULL or valid for writes.
        let out = unsafe { Out::new(read, "number of bytes") }?;
        if buffer.is_null() && capacity > 0 {
            return Err(bad("the buffer is NULL".into()));
        }
        let stream = handles::get(stream)?;
        // SAFETY: `buffer` is valid for writes of `capacity` bytes, and not NULL unless that is 0.
        out.set(unsafe { stream.read(buffer.cast(), capacity) }?);
        Ok(())
    })
}

/// Moves to `offset` bytes from the start of the file, the current position or the end of the file.
/// `whence` selects the origin: PLAYSWARM_SEEK_SET, _CUR or _END. The function never waits for
/// data. A position past the end is allowed; reads there return 0 bytes. `position`, which may be
/// NULL, receives the new position. Callable from any thread.
///
/// Errors: PLAYSWARM_BAD_ARGUMENT for a position before the start or beyond INT64_MAX,
/// PLAYSWARM_NO_SIZE for a live channel, unless the position stays the same. The position does not
/// change in these cases.
///
/// # Safety
/// `position` and `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_stream_seek(
    stream: *mut playswarm_stream,
    offset: i64,
    whence: i32,
    position: *mut u64,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_stream_seek", error, || {
        // SAFETY: `position` is NULL or valid for writes.
        let position = unsafe { Out::optional(position) };
        let now = handles::get(stream)?.seek(offset, whence)?;
        if let Some(position) = position {
            position.set(now);
        }
        Ok(())
    })
}

/// Returns the size of the file in bytes. Callable from any thread.
///
/// Errors: PLAYSWARM_NO_SIZE for a live channel, which has no size and cannot be sought in.
///
/// # Safety
/// `size` must be valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_stream_size(stream: *const playswarm_stream, size: *mut u64) -> playswarm_code {
    call_plain("playswarm_stream_size", || {
        // SAFETY: the caller upholds the contract above.
        let size = unsafe { Out::new(size, "size") }?;
        size.set(handles::get(stream)?.stream.lock().size()?);
        Ok(())
    })
}

/// Returns the position of the next byte to read; for a live channel, the number of bytes that were
/// read. Callable from any thread.
///
/// # Safety
/// `position` must be valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_stream_position(
    stream: *const playswarm_stream,
    position: *mut u64,
) -> playswarm_code {
    call_plain("playswarm_stream_position", || {
        // SAFETY: the caller upholds the contract above.
        let position = unsafe { Out::new(position, "position") }?;
        position.set(handles::get(stream)?.stream.lock().position());
        Ok(())
    })
}

/// Returns the number of bytes that can be read from `position` without waiting for the swarm; 0
/// past the end, and for a live channel at other positions than the present one. It never waits. Callable from any thread.
///
/// # Safety
/// `readable` must be valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_stream_readable_at(
    stream: *const playswarm_stream,
    position: u64,
    readable: *mut u64,
) -> playswarm_code {
    call_plain("playswarm_stream_readable_at", || {
        // SAFETY: the caller upholds the contract above.
        let readable = unsafe { Out::new(readable, "number of bytes") }?;
        readable.set(handles::get(stream)?.stream.lock().readable_at(position));
        Ok(())
    })
}

/// Sets the torrent's data rate in bytes per second, if the player knows it. It determines the
/// deadlines of pieces. Otherwise the rate is measured from the reads. It has no effect on a live
/// channel. Callable from any thread.
///
/// Errors: PLAYSWARM_BAD_ARGUMENT unless the rate is a positive, finite number.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_stream_set_rate(stream: *mut playswarm_stream, bytes_per_s: f64) -> playswarm_code {
    call_plain("playswarm_stream_set_rate", || {
        if !(bytes_per_s.is_finite() && bytes_per_s > 0.0) {
            return Err(bad(format!("{bytes_per_s} bytes per second is not a rate; use a positive number")));
        }
        handles::get(stream)?.stream.lock().set_rate(bytes_per_s);
        Ok(())
    })
}

/// Ends all waiting reads and time seeks with PLAYSWARM_CANCELLED. Later ones fail at once until
/// playswarm_stream_reset. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_stream_cancel(stream: *mut playswarm_stream) -> playswarm_code {
    call_plain("playswarm_stream_cancel", || {
        let stream = handles::get(stream)?;
        stream.cancel.set();
        stream.place.poke();
        Ok(())
    })
}

/// Allows reads of a cancelled stream again. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_stream_reset(stream: *mut playswarm_stream) -> playswarm_code {
    call_plain("playswarm_stream_reset", || handles::get(stream).map(|stream| stream.cancel.reset()))
}

/// Returns 1 while the stream is cancelled, otherwise 0. Returns 0 for NULL and for handles that
/// are not a live stream. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_stream_is_cancelled(stream: *const playswarm_stream) -> i32 {
    guard("playswarm_stream_is_cancelled", 0, || i32::from(handles::get(stream).is_ok_and(|s| s.cancel.is_set())))
}

/// Signals that the readable state of a stream changed. It runs on the session's callback thread,
/// one call at a time. It may call any function of this header, should return soon and must not
/// throw.
pub type playswarm_readable_callback = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Registers a callback for changes of the readable data. It is called once at registration and
/// whenever more data can be read at the position. It is also called after each seek and
/// cancellation, when the session is closed, and at the end of a live channel. Then check playswarm_stream_readable_at and read
/// the available data. The callback does not start a download; the first read does.
///
/// Each stream has one callback. The rules for replacing it, for NULL, `user_data` and `finalizer`
/// are those of playswarm_torrent_set_event_callback. Callable from any thread, including callbacks.
///
/// # Safety
/// `callback` must be callable with `user_data` from another thread until it ends. `error` must be
/// NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_stream_set_readable_callback(
    stream: *mut playswarm_stream,
    callback: playswarm_readable_callback,
    user_data: *mut c_void,
    finalizer: playswarm_finalizer,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_stream_set_readable_callback", error, || {
        let object = handles::get(stream)?;
        if callback.is_none() {
            object.callback.set(None);
            return Ok(());
        }
        let jobs = object.core.dispatcher.sender().ok_or(Error::Closed)?;
        let listener = Listener::new(callback, user_data, finalizer);
        let readable = object.stream.lock().readable();
        let feed = watch::call_back(readable, object.place.clone(), Arc::downgrade(&listener), jobs);
        let task = Task(object.core.handle().spawn(feed));
        object.callback.set(Some((listener, task)));
        Ok(())
    })
}

/// Returns a file descriptor (an eventfd) for poll, select or epoll. It becomes readable whenever a
/// callback of playswarm_stream_set_readable_callback would be called. Read 8 bytes from it, then
/// check playswarm_stream_readable_at. Every call returns the same descriptor. The stream closes
/// it: do not close it. Linux only. Callable from any thread.
///
/// # Safety
/// `fd` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_stream_eventfd(
    stream: *mut playswarm_stream,
    fd: *mut i32,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_stream_eventfd", error, || {
        // SAFETY: `fd` is NULL or valid for writes.
        let out = unsafe { Out::new(fd, "descriptor") }?;
        let object = handles::get(stream)?;
        let made = object.wakeup.fd();
        let (fd, first) = made.map_err(|source| Error::Io { doing: "creating an eventfd", source })?;
        if first {
            let (readable, wakeup) = (object.stream.lock().readable(), object.wakeup.clone());
            let feed = watch::watch(readable, object.place.clone(), move || {
                wakeup.ring();
                std::future::ready(())
            });
            *object.ringer.lock() = Some(Task(object.core.handle().spawn(feed)));
        }
        out.set(fd);
        Ok(())
    })
}

/// Adds a reference. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_stream_ref(stream: *mut playswarm_stream) -> playswarm_code {
    call_plain("playswarm_stream_ref", || handles::retain(stream))
}

/// Releases a reference. After the last release the data that the stream needed is not downloaded
/// any more. Reads in other threads complete normally. NULL is allowed. Callable from any thread,
/// including callbacks.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_stream_unref(stream: *mut playswarm_stream) -> playswarm_code {
    call_plain("playswarm_stream_unref", || handles::release(stream))
}
