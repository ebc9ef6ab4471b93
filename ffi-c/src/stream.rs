//! `playswarm_stream`: a seekable reader of one file, for any number of threads.
//!
//! Nothing is locked while a read waits, so a seek never does. Who waits is woken by a seek and goes on from there.

use crate::border::{Out, bad, call, call_plain, guard};
use crate::canceller::Flag;
use crate::core::Core;
use crate::dispatch::{Listener, Slot, Task};
use crate::error::{playswarm_code, playswarm_error};
use crate::event::playswarm_finalizer;
use crate::handles::{self, Handle};
use crate::watch::{self, Bell, Place};
use engine::{Error, Result, Stream};
use parking_lot::Mutex;
use std::ffi::c_void;
use std::sync::Arc;

/// A reader of one file. Any thread may use it; each byte goes to one of those who read it at once.
pub struct playswarm_stream {
    _private: (),
}

impl Handle for playswarm_stream {
    type Object = StreamObject;
    const NAME: &'static str = "stream";
}

/// The order of the fields is that in which they end: what calls back first, the runtime last.
pub(crate) struct StreamObject {
    callback: Slot<watch::Callback, Task>,
    bell: Arc<Bell>,
    ringer: Mutex<Option<Task>>,
    place: Arc<Place>,
    stream: Mutex<Stream>,
    size: u64,
    cancel: Flag,
    core: Arc<Core>,
}

impl StreamObject {
    pub(crate) fn new(stream: Stream, core: Arc<Core>) -> StreamObject {
        StreamObject {
            callback: Slot::default(),
            bell: Arc::default(),
            ringer: Mutex::default(),
            place: Arc::default(),
            size: stream.size(),
            stream: Mutex::new(stream),
            cancel: Flag::default(),
            core,
        }
    }

    /// Up to `capacity` bytes for `to`; how many there were.
    ///
    /// # Safety
    /// `to` points to `capacity` bytes that may be written.
    unsafe fn read(&self, to: *mut u8, capacity: usize) -> Result<usize> {
        loop {
            let mut poked = std::pin::pin!(self.cancel.poke.notified());
            // Before the look, so that no seek or cancel falls between.
            poked.as_mut().enable();
            if self.cancel.is_set() {
                return Err(Error::Cancelled);
            }
            let ready = {
                let mut stream = self.stream.lock();
                if let Some(bytes) = stream.try_read_chunk(capacity)? {
                    self.place.set(stream.position());
                    drop(stream);
                    // SAFETY: no more than `capacity` bytes, and the caller's promise; ours lie elsewhere.
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
                PLAYSWARM_SEEK_END => self.size,
                _ => return Err(bad(format!("whence cannot be {whence}; use PLAYSWARM_SEEK_SET, _CUR or _END"))),
            };
            let position = base.checked_add_signed(offset).filter(|p| i64::try_from(*p).is_ok());
            let position = position
                .ok_or_else(|| bad("a seek to before the start of the file, or beyond what can be told".into()))?;
            self.seek_to(&mut stream, position);
            position
        };
        Ok(position)
    }

    fn seek_to(&self, stream: &mut Stream, position: u64) {
        stream.seek_to(position);
        self.place.set(position);
        self.place.poke();
        self.cancel.poke.notify_waiters();
    }
}

/// For playswarm_stream_seek: from the start of the file. The numbers are those of <stdio.h>.
pub const PLAYSWARM_SEEK_SET: i32 = 0;
/// From the present position.
pub const PLAYSWARM_SEEK_CUR: i32 = 1;
/// From the end of the file.
pub const PLAYSWARM_SEEK_END: i32 = 2;

/// Reads from the position on and moves it. Waits until at least one byte is here and verified, puts up to `capacity` bytes into
/// `buffer` and their number into `read`: 0 at the end of the file, and for a capacity of 0. It gives what is there and no more,
/// which is often less than `capacity`. From any thread; a seek from another one makes a read that waits go on from there.
///
/// PLAYSWARM_CANCELLED after playswarm_stream_cancel, PLAYSWARM_CLOSED after playswarm_session_close, PLAYSWARM_STORAGE where what
/// is on disk cannot be read. Nothing has moved then.
///
/// # Safety
/// `buffer` points to `capacity` bytes that may be written, or is NULL and that is 0; `read` may be written; `error` is NULL or may be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_stream_read(
    stream: *mut playswarm_stream,
    buffer: *mut c_void,
    capacity: usize,
    read: *mut usize,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_stream_read", error, || {
            let out = Out::new(read, "number of bytes")?;
            if buffer.is_null() && capacity > 0 {
                return Err(bad("there is nowhere to read to: the buffer is NULL".into()));
            }
            out.set(handles::get(stream)?.read(buffer.cast(), capacity)?);
            Ok(())
        })
    }
}

/// Moves to `offset` bytes from the file's start, the position or the file's end (`whence`: PLAYSWARM_SEEK_SET, _CUR, _END). It
/// never waits for data. Past the end is no mistake, and reads there give nothing. `position`, which may be NULL, gets where the stream is then.
/// From any thread.
///
/// PLAYSWARM_BAD_ARGUMENT for a place before the start or beyond INT64_MAX; nothing has moved then.
///
/// # Safety
/// `position` and `error` are NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_stream_seek(
    stream: *mut playswarm_stream,
    offset: i64,
    whence: i32,
    position: *mut u64,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_stream_seek", error, || {
            let now = handles::get(stream)?.seek(offset, whence)?;
            if !position.is_null() {
                position.write(now);
            }
            Ok(())
        })
    }
}

/// Bytes of the file. From any thread.
///
/// # Safety
/// `size` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_stream_size(stream: *const playswarm_stream, size: *mut u64) -> playswarm_code {
    call_plain("playswarm_stream_size", || {
        // SAFETY: the caller's promise.
        let size = unsafe { Out::new(size, "size") }?;
        size.set(handles::get(stream)?.size);
        Ok(())
    })
}

/// The next byte that will be read. From any thread.
///
/// # Safety
/// `position` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_stream_position(
    stream: *const playswarm_stream,
    position: *mut u64,
) -> playswarm_code {
    call_plain("playswarm_stream_position", || {
        // SAFETY: the caller's promise.
        let position = unsafe { Out::new(position, "position") }?;
        position.set(handles::get(stream)?.stream.lock().position());
        Ok(())
    })
}

/// How many bytes from `position` on can be read without waiting for the swarm; 0 past the end. It never waits. From any
/// thread.
///
/// # Safety
/// `readable` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_stream_readable_at(
    stream: *const playswarm_stream,
    position: u64,
    readable: *mut u64,
) -> playswarm_code {
    call_plain("playswarm_stream_readable_at", || {
        // SAFETY: the caller's promise.
        let readable = unsafe { Out::new(readable, "number of bytes") }?;
        readable.set(handles::get(stream)?.stream.lock().readable_at(position));
        Ok(())
    })
}

/// Tells the media's rate in bytes per second, where the player knows it: what must come when follows from it. Measured from the
/// reads otherwise. From any thread.
///
/// PLAYSWARM_BAD_ARGUMENT for what is no positive number.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_stream_set_rate(stream: *mut playswarm_stream, bytes_per_s: f64) -> playswarm_code {
    call_plain("playswarm_stream_set_rate", || {
        if !(bytes_per_s.is_finite() && bytes_per_s > 0.0) {
            return Err(bad(format!("{bytes_per_s} bytes per second are no rate")));
        }
        handles::get(stream)?.stream.lock().set_rate(bytes_per_s);
        Ok(())
    })
}

/// Ends the reads and time seeks that wait, and all later ones at once, with PLAYSWARM_CANCELLED, until playswarm_stream_reset.
/// From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_stream_cancel(stream: *mut playswarm_stream) -> playswarm_code {
    call_plain("playswarm_stream_cancel", || {
        let stream = handles::get(stream)?;
        stream.cancel.set();
        stream.place.poke();
        Ok(())
    })
}

/// Lets a stream that was cancelled be read again. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_stream_reset(stream: *mut playswarm_stream) -> playswarm_code {
    call_plain("playswarm_stream_reset", || handles::get(stream).map(|stream| stream.cancel.reset()))
}

/// 1 while the stream is cancelled, else 0; 0 for NULL and for what is no live stream. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_stream_is_cancelled(stream: *const playswarm_stream) -> i32 {
    guard("playswarm_stream_is_cancelled", 0, || i32::from(handles::get(stream).is_ok_and(|s| s.cancel.is_set())))
}

/// Hears that a stream should be looked at, on the session's own thread, one call at a time. It may call any function of this
/// header, should return soon and must not throw.
pub type playswarm_readable_callback = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Calls back at once, whenever more can be read from the position than could, after each seek and cancel, and when the session
/// is closed: look with playswarm_stream_readable_at and read what is there. It makes nobody fetch anything; the first read does.
/// There is one callback a stream; the rules for replacing it, for NULL, `user_data` and `finalizer` are those of
/// playswarm_media_set_event_callback. From any thread, callbacks too.
///
/// # Safety
/// `callback` may be called with `user_data` from another thread until it is ended; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_stream_set_readable_callback(
    stream: *mut playswarm_stream,
    callback: playswarm_readable_callback,
    user_data: *mut c_void,
    finalizer: playswarm_finalizer,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise.
    unsafe {
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
}

/// A descriptor (an eventfd) for poll, select or epoll that becomes readable at the times at which
/// playswarm_stream_set_readable_callback would call back. Read 8 bytes from it, then look with playswarm_stream_readable_at. It is the
/// same at each call, and is closed with the stream: do not close it. Linux only. From any thread.
///
/// # Safety
/// `fd` may be written; `error` is NULL or may be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_stream_eventfd(
    stream: *mut playswarm_stream,
    fd: *mut i32,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_stream_eventfd", error, || {
            let out = Out::new(fd, "descriptor")?;
            let object = handles::get(stream)?;
            let made = object.bell.fd();
            let (fd, first) = made.map_err(|source| Error::Io { doing: "cannot make an eventfd", source })?;
            if first {
                let (readable, bell) = (object.stream.lock().readable(), object.bell.clone());
                let feed = watch::watch(readable, object.place.clone(), move || {
                    bell.ring();
                    std::future::ready(())
                });
                *object.ringer.lock() = Some(Task(object.core.handle().spawn(feed)));
            }
            out.set(fd);
            Ok(())
        })
    }
}

/// Takes one more reference. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_stream_ref(stream: *mut playswarm_stream) -> playswarm_code {
    call_plain("playswarm_stream_ref", || handles::retain(stream))
}

/// Gives a reference back. What it wanted is not fetched any more once the last one is gone; reads of it in other threads
/// still end as they would. NULL is no mistake. From any thread, callbacks too.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_stream_unref(stream: *mut playswarm_stream) -> playswarm_code {
    call_plain("playswarm_stream_unref", || handles::release(stream))
}
