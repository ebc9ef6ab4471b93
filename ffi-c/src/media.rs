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

/// An open torrent. It stays open until its last reference and all its streams are released.
pub struct playswarm_media {
    _private: (),
}

impl Handle for playswarm_media {
    type Object = MediaObject;
    const NAME: &'static str = "media";
}

/// The fields are declared in drop order: the callback first, the runtime last.
pub(crate) struct MediaObject {
    pub(crate) events: Slot<playswarm_event_callback, Task>,
    pub(crate) media: Media,
    /// Name of the torrent. `files` holds the names and media types of its files, created on first
    /// use.
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

/// Returns the name of the torrent in UTF-8. The string lives as long as the media. Returns "" for
/// NULL and for handles that are not a live media. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_media_name(media: *const playswarm_media) -> *const c_char {
    let otherwise = c"".as_ptr();
    crate::border::guard("playswarm_media_name", otherwise, || {
        handles::get(media).map_or(otherwise, |m| m.name.as_ptr())
    })
}

/// Returns the info-hash of the torrent: 20 bytes. Callable from any thread.
///
/// # Safety
/// `info_hash` must point to 20 writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_info_hash(
    media: *const playswarm_media,
    info_hash: *mut u8,
) -> playswarm_code {
    call_plain("playswarm_media_info_hash", || {
        // SAFETY: the caller upholds the contract above; an array of bytes needs no alignment.
        let out = unsafe { Out::new(info_hash.cast::<[u8; 20]>(), "info-hash") }?;
        out.set(handles::get(media)?.media.info_hash().0);
        Ok(())
    })
}

/// Returns the number of files in the torrent, including padding files. Valid file indices are 0 to
/// `count` - 1. Callable from any thread.
///
/// # Safety
/// `count` must be valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_file_count(
    media: *const playswarm_media,
    count: *mut usize,
) -> playswarm_code {
    call_plain("playswarm_media_file_count", || {
        // SAFETY: the caller upholds the contract above.
        let count = unsafe { Out::new(count, "count") }?;
        count.set(handles::get(media)?.media.torrent().files.len());
        Ok(())
    })
}

/// Returns the properties of a file. Set `info->struct_size` to sizeof(playswarm_file_info) before
/// the call; see playswarm_media_status. The strings in `info` live as long as the media. Callable
/// from any thread.
///
/// Errors: PLAYSWARM_NO_SUCH_FILE.
///
/// # Safety
/// `info` must point to `info->struct_size` writable bytes. `error` must be NULL or valid for
/// writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_file(
    media: *const playswarm_media,
    file: usize,
    info: *mut playswarm_file_info,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller upholds the contract above for every pointer.
    unsafe {
        call("playswarm_media_file", error, || {
            let out = Versioned::new(info)?;
            out.set(handles::get(media)?.file_info(file)?);
            Ok(())
        })
    }
}

/// Returns the file to play by default: the largest playable file. Callable from any thread.
///
/// Errors: PLAYSWARM_NO_SUCH_FILE if the torrent has no playable file.
///
/// # Safety
/// `file` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_default_file(
    media: *const playswarm_media,
    file: *mut usize,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller upholds the contract above for every pointer.
    unsafe {
        call("playswarm_media_default_file", error, || {
            let file = Out::new(file, "file")?;
            file.set(handles::get(media)?.media.default_file()?);
            Ok(())
        })
    }
}

/// Finds the file that the user specified by an index, a name or a part of a name that only one
/// file has. Callable from any thread.
///
/// Errors: PLAYSWARM_NO_SUCH_FILE if no file or more than one file matches.
///
/// # Safety
/// `wanted` must end with a zero byte. `file` must be valid for writes. `error` must be NULL or
/// valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_find_file(
    media: *const playswarm_media,
    wanted: *const c_char,
    file: *mut usize,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller upholds the contract above for every pointer.
    unsafe {
        call("playswarm_media_find_file", error, || {
            let out = Out::new(file, "file")?;
            out.set(handles::get(media)?.media.find_file(text(wanted, "wanted file")?)?);
            Ok(())
        })
    }
}

/// Opens a reader at the start of a file. Any number of readers may be open. Downloading begins
/// with the first read. The stream has one reference, which the caller releases with
/// playswarm_stream_unref. It may outlive the handles of the media and the session. Callable from
/// any thread.
///
/// Errors: PLAYSWARM_NO_SUCH_FILE.
///
/// # Safety
/// `stream` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_stream(
    media: *mut playswarm_media,
    file: usize,
    stream: *mut *mut playswarm_stream,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller upholds the contract above for every pointer.
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

/// Starts to download the beginning of a file before the first read, so that a player starts
/// sooner. It ends with the first read or after 30 seconds. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_media_prefetch(media: *mut playswarm_media, file: usize) -> playswarm_code {
    call_plain("playswarm_media_prefetch", || {
        handles::get(media)?.media.prefetch(file);
        Ok(())
    })
}

/// Selects whether the whole torrent is downloaded (1) or only the data that streams need (0, the
/// default). Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_media_fetch_all(media: *mut playswarm_media, on: i32) -> playswarm_code {
    call_plain("playswarm_media_fetch_all", || {
        handles::get(media)?.media.fetch_all(on != 0);
        Ok(())
    })
}

/// Connects to a peer. Examples of addresses: "192.0.2.7:6881", "[2001:db8::7]:6881",
/// "peer.example:6881". Host names are resolved in the background. The function does not wait.
/// Callable from any thread.
///
/// Errors: PLAYSWARM_BAD_ARGUMENT if the text is not an address.
///
/// # Safety
/// `address` must end with a zero byte. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_add_peer(
    media: *mut playswarm_media,
    address: *const c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller upholds the contract above for every pointer.
    unsafe {
        call("playswarm_media_add_peer", error, || {
            let address = text(address, "address")?;
            let address: engine::PeerAddress = address.parse().map_err(bad)?;
            handles::get(media)?.media.add_peer(address);
            Ok(())
        })
    }
}

/// Checks the files in the download folder and accepts every piece with a correct hash. Use it for
/// files that another program wrote. Waits until the check ends or `canceller` is cancelled;
/// `canceller` may be NULL. `verified_bytes`, which may be NULL, receives the size of the correct
/// pieces in bytes. Callable from any thread.
///
/// Errors: PLAYSWARM_STORAGE, PLAYSWARM_CANCELLED, PLAYSWARM_CLOSED.
///
/// # Safety
/// `verified_bytes` and `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_check_files(
    media: *mut playswarm_media,
    canceller: *const playswarm_canceller,
    verified_bytes: *mut u64,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller upholds the contract above for every pointer.
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

/// Waits until all verified data is on disk or `canceller` is cancelled; `canceller` may be NULL.
/// Callable from any thread.
///
/// Errors: PLAYSWARM_DISK_FULL or PLAYSWARM_STORAGE if the data cannot be written;
/// PLAYSWARM_CANCELLED.
///
/// # Safety
/// `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_media_sync(
    media: *mut playswarm_media,
    canceller: *const playswarm_canceller,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller upholds the contract above for every pointer.
    unsafe {
        call("playswarm_media_sync", error, || {
            let media = handles::get(media)?;
            let cancel = if canceller.is_null() { None } else { Some(handles::get(canceller)?) };
            media.core.wait_within("writing", 0, cancel.as_deref(), media.media.sync())
        })
    }
}

/// Adds a reference. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_media_ref(media: *mut playswarm_media) -> playswarm_code {
    call_plain("playswarm_media_ref", || handles::retain(media))
}

/// Releases a reference. The last release ends the strings and the event callback of the media. The
/// torrent stays open while it has streams. NULL is allowed. Callable from any thread, including
/// callbacks.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_media_unref(media: *mut playswarm_media) -> playswarm_code {
    call_plain("playswarm_media_unref", || handles::release(media))
}
