//! `playswarm_media`: an open torrent and the files in it.

use crate::border::{Out, bad, call, call_plain, text};
use crate::canceller::playswarm_canceller;
use crate::core::Core;
use crate::dispatch::{Slot, Task};
use crate::error::{playswarm_code, playswarm_error};
use crate::event::playswarm_event_callback;
use crate::handles::{self, Handle, c_text};
use crate::status::{Versioned, playswarm_file_info};
use crate::stream::{StreamObject, playswarm_stream};
use engine::{Media, Result, torrent};
use std::ffi::{CString, c_char};
use std::sync::{Arc, OnceLock};

/// An open torrent. It stays open until its last reference and all its streams are gone.
pub struct playswarm_media {
    _private: (),
}

impl Handle for playswarm_media {
    type Object = MediaObject;
    const NAME: &'static str = "media";
}

/// The order of the fields is that in which they end: what calls back first, the runtime last.
pub(crate) struct MediaObject {
    pub(crate) events: Slot<playswarm_event_callback, Task>,
    pub(crate) media: Media,
    /// Of the torrent and, made when they are asked for, of its files.
    name: CString,
    files: OnceLock<Vec<[CString; 2]>>,
    pub(crate) core: Arc<Core>,
}

impl MediaObject {
    pub(crate) fn new(media: Media, core: Arc<Core>) -> MediaObject {
        let name = c_text(&media.torrent().name);
        MediaObject { events: Slot::default(), media, name, files: OnceLock::new(), core }
    }

    fn file_info(&self, index: usize) -> Result<playswarm_file_info> {
        let files = &self.media.torrent().files;
        let file = files
            .get(index)
            .ok_or_else(|| engine::Error::NoSuchFile { wanted: index.to_string(), files: files.len() })?;
        let texts = self.files.get_or_init(|| {
            let texts = |f: &torrent::FileEntry| [c_text(&f.name), c_text(torrent::content_type(&f.name))];
            files.iter().map(texts).collect()
        });
        Ok(playswarm_file_info {
            struct_size: 0,
            length: file.length,
            name: texts[index][0].as_ptr(),
            content_type: texts[index][1].as_ptr(),
            is_playable: u32::from(!file.padding && file.length > 0 && torrent::is_playable(&file.name)),
            is_padding: u32::from(file.padding),
        })
    }
}

/// The torrent's name, UTF-8; it lives as long as the media. "" for NULL and for what is no live media. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_media_name(media: *const playswarm_media) -> *const c_char {
    let otherwise = c"".as_ptr();
    crate::border::guard("playswarm_media_name", otherwise, || {
        handles::get(media).map_or(otherwise, |m| m.name.as_ptr())
    })
}

/// The torrent's info-hash: 20 bytes. From any thread.
///
/// # Safety
/// `info_hash` points to 20 bytes that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_info_hash(
    media: *const playswarm_media,
    info_hash: *mut u8,
) -> playswarm_code {
    call_plain("playswarm_media_info_hash", || {
        // SAFETY: the caller's promise; an array of bytes may lie anywhere.
        let out = unsafe { Out::new(info_hash.cast::<[u8; 20]>(), "info-hash") }?;
        out.set(handles::get(media)?.media.info_hash().0);
        Ok(())
    })
}

/// How many files the torrent has, padding included: their numbers are 0 to one less. From any thread.
///
/// # Safety
/// `count` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_file_count(
    media: *const playswarm_media,
    count: *mut usize,
) -> playswarm_code {
    call_plain("playswarm_media_file_count", || {
        // SAFETY: the caller's promise.
        let count = unsafe { Out::new(count, "count") }?;
        count.set(handles::get(media)?.media.torrent().files.len());
        Ok(())
    })
}

/// What a file is. `info->struct_size` is to be sizeof(playswarm_file_info) before the call; see playswarm_media_status. The
/// strings in it live as long as the media. From any thread.
///
/// PLAYSWARM_NO_SUCH_FILE.
///
/// # Safety
/// `info` points to `info->struct_size` bytes that may be written; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_file(
    media: *const playswarm_media,
    file: usize,
    info: *mut playswarm_file_info,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_media_file", error, || {
            let out = Versioned::new(info)?;
            out.set(handles::get(media)?.file_info(file)?);
            Ok(())
        })
    }
}

/// The file to play when the user names none: the largest that can be played. From any thread.
///
/// PLAYSWARM_NO_SUCH_FILE where nothing can be played.
///
/// # Safety
/// `file` may be written; `error` is NULL or may be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_default_file(
    media: *const playswarm_media,
    file: *mut usize,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_media_default_file", error, || {
            let file = Out::new(file, "file")?;
            file.set(handles::get(media)?.media.default_file()?);
            Ok(())
        })
    }
}

/// The file that a user means by a number, by its name, or by a part of its name that no other file has. From any thread.
///
/// PLAYSWARM_NO_SUCH_FILE where there is none or more than one.
///
/// # Safety
/// `wanted` ends with a zero byte; `file` may be written; `error` is NULL or may be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_find_file(
    media: *const playswarm_media,
    wanted: *const c_char,
    file: *mut usize,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_media_find_file", error, || {
            let out = Out::new(file, "file")?;
            out.set(handles::get(media)?.media.find_file(text(wanted, "wanted file")?)?);
            Ok(())
        })
    }
}

/// Opens a reader of one file, at its start; any number may be open at once. Nothing is fetched before it is read. It has
/// one reference, which the caller gives back with playswarm_stream_unref, and may outlive the media's and the session's
/// handles. From any thread.
///
/// PLAYSWARM_NO_SUCH_FILE.
///
/// # Safety
/// `stream` may be written; `error` is NULL or may be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_stream(
    media: *mut playswarm_media,
    file: usize,
    stream: *mut *mut playswarm_stream,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_media_stream", error, || {
            let out = Out::handle(stream)?;
            let media = handles::get(media)?;
            let stream = media.media.stream(file)?;
            out.give(StreamObject::new(stream, media.media.clone(), file, media.core.clone()));
            Ok(())
        })
    }
}

/// Starts fetching the beginning of a file before anybody reads it, so that a player finds it there. It ends by itself
/// once somebody reads, or after half a minute. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_media_prefetch(media: *mut playswarm_media, file: usize) -> playswarm_code {
    call_plain("playswarm_media_prefetch", || {
        handles::get(media)?.media.prefetch(file);
        Ok(())
    })
}

/// Fetches all of the torrent (1), read or not, or only what is read (0), as from the start. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_media_fetch_all(media: *mut playswarm_media, on: i32) -> playswarm_code {
    call_plain("playswarm_media_fetch_all", || {
        handles::get(media)?.media.fetch_all(on != 0);
        Ok(())
    })
}

/// Dials a peer, such as "192.0.2.7:6881", "[2001:db8::7]:6881" or "peer.example:6881", whose name is looked up in the
/// background. From any thread; it does not wait.
///
/// PLAYSWARM_BAD_ARGUMENT for what is no address.
///
/// # Safety
/// `address` ends with a zero byte; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_add_peer(
    media: *mut playswarm_media,
    address: *const c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_media_add_peer", error, || {
            let address = text(address, "address")?;
            let address: engine::PeerAddress = address.parse().map_err(bad)?;
            handles::get(media)?.media.add_peer(address);
            Ok(())
        })
    }
}

/// Looks through the files that are in the folder and takes over every piece that is right: for files that playswarm did
/// not write itself. Waits for that, until `canceller`, which may be NULL, is cancelled. `verified_bytes`, which may be NULL,
/// gets the bytes of the pieces that are right. From any thread.
///
/// PLAYSWARM_STORAGE, PLAYSWARM_CANCELLED, PLAYSWARM_CLOSED.
///
/// # Safety
/// `verified_bytes` and `error` are NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_check_files(
    media: *mut playswarm_media,
    canceller: *const playswarm_canceller,
    verified_bytes: *mut u64,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_media_check_files", error, || {
            let media = handles::get(media)?;
            let cancel = if canceller.is_null() { None } else { Some(handles::get(canceller)?) };
            let checking = media.media.check_files(|_, _| {});
            let right = media.core.wait_within("looking through the files", 0, cancel.as_deref(), checking)?;
            if !verified_bytes.is_null() {
                verified_bytes.write(right);
            }
            Ok(())
        })
    }
}

/// Waits until all that is verified is on disk, until `canceller`, which may be NULL, is cancelled. From any thread.
///
/// PLAYSWARM_DISK_FULL or PLAYSWARM_STORAGE where it cannot be written, PLAYSWARM_CANCELLED.
///
/// # Safety
/// `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_sync(
    media: *mut playswarm_media,
    canceller: *const playswarm_canceller,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_media_sync", error, || {
            let media = handles::get(media)?;
            let cancel = if canceller.is_null() { None } else { Some(handles::get(canceller)?) };
            media.core.wait_within("writing", 0, cancel.as_deref(), media.media.sync())
        })
    }
}

/// Takes one more reference. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_media_ref(media: *mut playswarm_media) -> playswarm_code {
    call_plain("playswarm_media_ref", || handles::retain(media))
}

/// Gives a reference back. Its strings and its event callback end with the last one; the torrent stays open while streams
/// of it are. NULL is no mistake. From any thread, callbacks too.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_media_unref(media: *mut playswarm_media) -> playswarm_code {
    call_plain("playswarm_media_unref", || handles::release(media))
}
