//! `playswarm_cast`: the source of a live channel.

use crate::boundary::{ErrorOut, Out, bytes, call, call_plain, text};
use crate::canceller::playswarm_canceller;
use crate::channel::playswarm_channel_status;
use crate::core::Core;
use crate::error::{playswarm_code, playswarm_error};
use crate::handles::{self, Handle, add_text, c_text};
use crate::session::playswarm_session;
use crate::status::Versioned;
use engine::live::{ArchiveOptions, Cast, CastOptions, new_seed};
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// Bytes of the seed of a channel's secret key.
pub const PLAYSWARM_SEED_BYTES: usize = 32;

/// The source of a live channel. Viewers pass its stream on to each other. The channel is off the
/// air after its last release.
pub struct playswarm_cast {
    _private: (),
}

impl Handle for playswarm_cast {
    type Object = CastObject;
    const NAME: &'static str = "cast";
}

/// The fields are declared in drop order: the runtime last.
pub(crate) struct CastObject {
    cast: Cast,
    core: Arc<Core>,
}

/// Draws the seed of a channel's secret key: PLAYSWARM_SEED_BYTES bytes. The same seed leads to the
/// same channel. Its owner alone can cast to the channel. Callable from any thread.
///
/// # Safety
/// `seed` must point to PLAYSWARM_SEED_BYTES writable bytes. `error` must be NULL or valid for
/// writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_seed_new(seed: *mut u8, error: *mut *mut playswarm_error) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_seed_new", error, || {
        // SAFETY: the caller upholds the contract above; an array of bytes needs no alignment.
        let out = unsafe { Out::new(seed.cast::<[u8; PLAYSWARM_SEED_BYTES]>(), "seed") }?;
        out.set(new_seed()?);
        Ok(())
    })
}

/// Begins to cast a live channel. The channel has no bytes until playswarm_cast_write. `seed` is that
/// of the channel's secret key, from playswarm_seed_new; NULL makes a new channel. `name` is for
/// people and may be NULL. `content_type` is the media type of the stream, such as "video/mp2t"; NULL
/// detects it. `bytes_per_s` is the rate of the stream, about; 0 stands for 3 Mbit/s. It decides the
/// number of stripes, and how many viewers each node can feed. The cast has one reference, which the
/// caller releases with playswarm_cast_unref. Callable from any thread.
///
/// Errors: PLAYSWARM_BAD_CONFIG for an unusable name or type, PLAYSWARM_BAD_ARGUMENT if the session
/// has this channel open already, PLAYSWARM_CLOSED.
///
/// # Safety
/// `seed` must be NULL or point to PLAYSWARM_SEED_BYTES bytes. `name` and `content_type` must be NULL
/// or end with a zero byte. `cast` must be valid for writes. `error` must be NULL or valid for
/// writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_cast(
    session: *mut playswarm_session,
    seed: *const u8,
    name: *const c_char,
    content_type: *const c_char,
    bytes_per_s: u32,
    cast: *mut *mut playswarm_cast,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_session_cast", error, || {
        // SAFETY: `cast` is NULL or valid for writes.
        let out = unsafe { Out::handle(cast) }?;
        let mut options = CastOptions::default();
        if !seed.is_null() {
            // SAFETY: `seed` points to as many bytes.
            let given = unsafe { bytes(seed, PLAYSWARM_SEED_BYTES, "seed") }?;
            options.key = given.try_into().ok();
        }
        if !name.is_null() {
            // SAFETY: `name` ends with a zero byte.
            options.name = unsafe { text(name, "name") }?.to_owned();
        }
        if !content_type.is_null() {
            // SAFETY: `content_type` ends with a zero byte.
            options.content_type = Some(unsafe { text(content_type, "media type") }?.to_owned());
        }
        options.bytes_per_s = bytes_per_s;
        let core = handles::get(session)?.as_ref().clone();
        out.give(CastObject { cast: core.session.cast(options)?, core });
        Ok(())
    })
}

/// Returns the link for viewers, with the addresses at which this machine can be reached as far as it
/// knows them. Free it with playswarm_string_free. Callable from any thread.
///
/// # Safety
/// `link` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_cast_link(
    cast: *const playswarm_cast,
    link: *mut *mut c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_cast_link", error, || {
        // SAFETY: `link` is NULL or valid for writes.
        let out = unsafe { Out::new(link, "link") }?;
        out.set(add_text(c_text(&handles::get(cast)?.cast.link().to_string())));
        Ok(())
    })
}

/// Sends bytes of the stream to the channel. They may end anywhere. It never waits: the caller gives
/// the pace, which is that of the players. Callable from any thread.
///
/// Errors: PLAYSWARM_BAD_CONFIG if viewers could not join the stream; the message says what to do
/// instead.
///
/// # Safety
/// `data` must point to `length` bytes; it may be NULL if `length` is 0. `error` must be NULL or
/// valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_cast_write(
    cast: *mut playswarm_cast,
    data: *const c_void,
    length: usize,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_cast_write", error, || {
        let object = handles::get(cast)?;
        if length == 0 {
            return Ok(());
        }
        // SAFETY: `data` is NULL or points to `length` bytes.
        object.cast.push(unsafe { bytes(data.cast(), length, "data") }?)
    })
}

/// Tells viewers the title of what is playing from now on, in UTF-8, such as "ARTIST - TITLE", of which
/// 255 bytes are sent. An empty one takes the title back. Callable from any thread.
///
/// Errors: PLAYSWARM_BAD_ARGUMENT.
///
/// # Safety
/// `title` must end with a zero byte. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_cast_set_title(
    cast: *mut playswarm_cast,
    title: *const c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_cast_set_title", error, || {
        // SAFETY: `title` is NULL or ends with a zero byte.
        let title = unsafe { text(title, "title") }?;
        handles::get(cast)?.cast.set_title(title);
        Ok(())
    })
}

/// Begins to archive the cast, before its first bytes. The stream is written to the folder `dir` in
/// files of at least `seconds` seconds (2 to 120; 0 means 60). Each is a torrent, which viewers seed.
/// After the end there is also one torrent of all files; playswarm_cast_wait_archived waits for it.
/// Callable from any thread.
///
/// Errors: PLAYSWARM_BAD_CONFIG for `seconds` out of range, PLAYSWARM_BAD_ARGUMENT if the cast has an
/// archive already, PLAYSWARM_CLOSED. A folder that cannot be written is no error: the stream goes on,
/// and the status says why the archive is incomplete.
///
/// # Safety
/// `dir` must end with a zero byte. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_cast_archive(
    cast: *mut playswarm_cast,
    dir: *const c_char,
    seconds: u32,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_cast_archive", error, || {
        // SAFETY: `dir` is NULL or ends with a zero byte.
        let mut options = ArchiveOptions::new(unsafe { text(dir, "folder") }?);
        if seconds != 0 {
            options.seconds = seconds;
        }
        handles::get(cast)?.cast.archive(&options)
    })
}

/// Waits until the archive of an ended cast is complete: its last file, and the torrent of all. The
/// wait ends after `timeout_ms` milliseconds (0 means no timeout) or when `canceller`, which may be
/// NULL, is cancelled. Without an archive, it does not wait. Callable from any thread.
///
/// Errors: PLAYSWARM_TIMED_OUT, PLAYSWARM_CANCELLED.
///
/// # Safety
/// `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_cast_wait_archived(
    cast: *const playswarm_cast,
    timeout_ms: u64,
    canceller: *const playswarm_canceller,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_cast_wait_archived", error, || {
        let object = handles::get(cast)?;
        let cancel = if canceller.is_null() { None } else { Some(handles::get(canceller)?) };
        let archived = async {
            object.cast.archived().await;
            Ok(())
        };
        object.core.wait_within("waiting for the archive", timeout_ms, cancel.as_deref(), archived)
    })
}

/// Ends the stream. Viewers receive all written bytes before the end, if the cast is not released
/// within a second. Callable from any thread.
///
/// Errors: PLAYSWARM_BAD_CONFIG if viewers could not have joined the stream.
///
/// # Safety
/// `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_cast_end(
    cast: *mut playswarm_cast,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_cast_end", error, || handles::get(cast)?.cast.end())
}

/// Returns a snapshot of the source's place in its channel. Set `status->struct_size` before the
/// call. Callable from any thread.
///
/// Errors: PLAYSWARM_BAD_ARGUMENT if `struct_size` is smaller than in the first version of the
/// struct.
///
/// # Safety
/// `status` must point to `status->struct_size` writable bytes. `error` must be NULL or valid for
/// writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_cast_get_status(
    cast: *const playswarm_cast,
    status: *mut playswarm_channel_status,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_cast_get_status", error, || {
        // SAFETY: `status` is NULL or points to `struct_size` writable bytes.
        let out = unsafe { Versioned::new(status) }?;
        let cast = handles::get(cast)?;
        out.set(playswarm_channel_status::of(&cast.cast.status(), cast.cast.head().as_ref()));
        Ok(())
    })
}

/// Adds a reference. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_cast_ref(cast: *mut playswarm_cast) -> playswarm_code {
    call_plain("playswarm_cast_ref", || handles::retain(cast))
}

/// Releases a reference. The last release takes the channel off the air at once. NULL is allowed.
/// Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_cast_unref(cast: *mut playswarm_cast) -> playswarm_code {
    call_plain("playswarm_cast_unref", || handles::release(cast))
}
