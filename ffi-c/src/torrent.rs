//! `playswarm_torrent`: an open torrent and the files in it.

use crate::boundary::{ErrorOut, Out, bad, call, call_plain, text};
use crate::canceller::playswarm_canceller;
use crate::core::Core;
use crate::dispatch::{Slot, Task};
use crate::error::{playswarm_code, playswarm_error};
use crate::event::playswarm_event_callback;
use crate::handles::{self, Handle, c_text};
use crate::status::{Versioned, playswarm_file_info};
use crate::stream::{StreamObject, playswarm_stream};
use engine::{Result, TorrentHandle, metainfo};
use std::ffi::{CString, c_char};
use std::sync::{Arc, OnceLock};

/// An open torrent. It stays open until its last reference and all its streams are released.
pub struct playswarm_torrent {
    _private: (),
}

impl Handle for playswarm_torrent {
    type Object = TorrentObject;
    const NAME: &'static str = "torrent";
}

/// The fields are declared in drop order: the callback first, the runtime last.
pub(crate) struct TorrentObject {
    pub(crate) events: Slot<playswarm_event_callback, Task>,
    pub(crate) torrent: TorrentHandle,
    /// Name of the torrent. `files` holds the names and media types of its files, created on first
    /// use.
    name: CString,
    files: OnceLock<Vec<[CString; 2]>>,
    pub(crate) core: Arc<Core>,
}

impl TorrentObject {
    pub(crate) fn new(torrent: TorrentHandle, core: Arc<Core>) -> TorrentObject {
        let name = c_text(&torrent.metainfo().name);
        TorrentObject { events: Slot::default(), torrent, name, files: OnceLock::new(), core }
    }

    fn file_info(&self, index: usize) -> Result<playswarm_file_info> {
        let files = &self.torrent.metainfo().files;
        let file = files
            .get(index)
            .ok_or_else(|| engine::Error::NoSuchFile { wanted: index.to_string(), files: files.len() })?;
        let texts = self.files.get_or_init(|| {
            let texts = |f: &metainfo::FileEntry| [c_text(&f.name), c_text(metainfo::content_type(&f.name))];
            files.iter().map(texts).collect()
        });
        Ok(playswarm_file_info {
            struct_size: 0,
            length: file.length,
            name: texts[index][0].as_ptr(),
            content_type: texts[index][1].as_ptr(),
            is_playable: u32::from(!file.padding && file.length > 0 && metainfo::is_playable(&file.name)),
            is_padding: u32::from(file.padding),
        })
    }
}

/// Returns the name of the torrent in UTF-8. The string lives as long as the torrent. Returns "" for
/// NULL and for handles that are not a live torrent. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_torrent_name(torrent: *const playswarm_torrent) -> *const c_char {
    let otherwise = c"".as_ptr();
    crate::boundary::guard("playswarm_torrent_name", otherwise, || {
        handles::get(torrent).map_or(otherwise, |m| m.name.as_ptr())
    })
}

/// Returns the info-hash of the torrent: 20 bytes. Callable from any thread.
///
/// # Safety
/// `info_hash` must point to 20 writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_torrent_info_hash(
    torrent: *const playswarm_torrent,
    info_hash: *mut u8,
) -> playswarm_code {
    call_plain("playswarm_torrent_info_hash", || {
        // SAFETY: the caller upholds the contract above; an array of bytes needs no alignment.
        let out = unsafe { Out::new(info_hash.cast::<[u8; 20]>(), "info-hash") }?;
        out.set(handles::get(torrent)?.torrent.info_hash().0);
        Ok(())
    })
}

/// Returns the number of files in the torrent, including padding files. Valid file indices are 0 to
/// `count` - 1. Callable from any thread.
///
/// # Safety
/// `count` must be valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_torrent_file_count(
    torrent: *const playswarm_torrent,
    count: *mut usize,
) -> playswarm_code {
    call_plain("playswarm_torrent_file_count", || {
        // SAFETY: the caller upholds the contract above.
        let count = unsafe { Out::new(count, "count") }?;
        count.set(handles::get(torrent)?.torrent.metainfo().files.len());
        Ok(())
    })
}

/// Returns the properties of a file. Set `info->struct_size` to sizeof(playswarm_file_info) before
/// the call; see playswarm_torrent_status. The strings in `info` live as long as the torrent. Callable
/// from any thread.
///
/// Errors: PLAYSWARM_NO_SUCH_FILE.
///
/// # Safety
/// `info` must point to `info->struct_size` writable bytes. `error` must be NULL or valid for
/// writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_torrent_file(
    torrent: *const playswarm_torrent,
    file: usize,
    info: *mut playswarm_file_info,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_torrent_file", error, || {
        // SAFETY: `info` is NULL or points to `struct_size` writable bytes.
        let out = unsafe { Versioned::new(info) }?;
        out.set(handles::get(torrent)?.file_info(file)?);
        Ok(())
    })
}

/// Returns the file to play by default, judged by names: the largest playable file.
/// playswarm_torrent_choose_file also reads from files. Callable from any thread.
///
/// Errors: PLAYSWARM_NO_SUCH_FILE if the torrent has no playable file.
///
/// # Safety
/// `file` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_torrent_default_file(
    torrent: *const playswarm_torrent,
    file: *mut usize,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_torrent_default_file", error, || {
        // SAFETY: `file` is NULL or valid for writes.
        let file = unsafe { Out::new(file, "file") }?;
        file.set(handles::get(torrent)?.torrent.default_file()?);
        Ok(())
    })
}

/// Returns the file to play by default, judged by names, and by the first bytes of large files whose
/// names tell nothing. Waits for these bytes, for 10 seconds at most, or until `canceller` is
/// cancelled; `canceller` may be NULL. Without them, names decide. Callable from any thread.
///
/// Errors: PLAYSWARM_NO_SUCH_FILE if the torrent has no playable file; PLAYSWARM_CANCELLED.
///
/// # Safety
/// `file` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_torrent_choose_file(
    torrent: *mut playswarm_torrent,
    canceller: *const playswarm_canceller,
    file: *mut usize,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_torrent_choose_file", error, || {
        // SAFETY: `file` is NULL or valid for writes.
        let file = unsafe { Out::new(file, "file") }?;
        let torrent = handles::get(torrent)?;
        let cancel = if canceller.is_null() { None } else { Some(handles::get(canceller)?) };
        let choosing = torrent.torrent.choose_file();
        file.set(torrent.core.wait_within("choosing the file", 0, cancel.as_deref(), choosing)?);
        Ok(())
    })
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
pub unsafe extern "C" fn playswarm_torrent_find_file(
    torrent: *const playswarm_torrent,
    wanted: *const c_char,
    file: *mut usize,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_torrent_find_file", error, || {
        // SAFETY: `file` is NULL or valid for writes.
        let out = unsafe { Out::new(file, "file") }?;
        // SAFETY: `wanted` is NULL or ends with a zero byte.
        out.set(handles::get(torrent)?.torrent.find_file(unsafe { text(wanted, "wanted file") }?)?);
        Ok(())
    })
}

/// Opens a reader at the start of a file. Any number of readers may be open. Downloading begins
/// with the first read. The stream has one reference, which the caller releases with
/// playswarm_stream_unref. It may outlive the handles of the torrent and the session. Callable from
/// any thread.
///
/// Errors: PLAYSWARM_NO_SUCH_FILE.
///
/// # Safety
/// `stream` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_torrent_stream(
    torrent: *mut playswarm_torrent,
    file: usize,
    stream: *mut *mut playswarm_stream,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_torrent_stream", error, || {
        // SAFETY: `stream` is NULL or valid for writes.
        let out = unsafe { Out::handle(stream) }?;
        let torrent = handles::get(torrent)?;
        let stream = torrent.torrent.stream(file)?;
        out.give(StreamObject::new(stream, torrent.torrent.clone(), file, torrent.core.clone()));
        Ok(())
    })
}

/// Starts to download the beginning of a file before the first read, so that a player starts
/// sooner. It ends with the first read or after 30 seconds. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_torrent_prefetch(torrent: *mut playswarm_torrent, file: usize) -> playswarm_code {
    call_plain("playswarm_torrent_prefetch", || {
        handles::get(torrent)?.torrent.prefetch(file);
        Ok(())
    })
}

/// Selects whether the whole torrent is downloaded (1) or only the data that streams need (0, the
/// default). Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_torrent_fetch_all(torrent: *mut playswarm_torrent, on: i32) -> playswarm_code {
    call_plain("playswarm_torrent_fetch_all", || {
        handles::get(torrent)?.torrent.fetch_all(on != 0);
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
pub unsafe extern "C" fn playswarm_torrent_add_peer(
    torrent: *mut playswarm_torrent,
    address: *const c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_torrent_add_peer", error, || {
        // SAFETY: `address` is NULL or ends with a zero byte.
        let address = unsafe { text(address, "address") }?;
        let address: engine::PeerAddress = address.parse().map_err(bad)?;
        handles::get(torrent)?.torrent.add_peer(address);
        Ok(())
    })
}

/// Adds a mirror: the http or https URL of a web server that has the torrent's only file, or of the
/// folder that has its files (BEP 19). What it sends is verified like data of peers. The function
/// does not wait. Callable from any thread.
///
/// Errors: PLAYSWARM_BAD_ARGUMENT if the text is no such URL.
///
/// # Safety
/// `url` must end with a zero byte. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_torrent_add_source(
    torrent: *mut playswarm_torrent,
    url: *const c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_torrent_add_source", error, || {
        // SAFETY: `url` is NULL or ends with a zero byte.
        let url = unsafe { text(url, "url") }?;
        handles::get(torrent)?.torrent.add_source(url)
    })
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
pub unsafe extern "C" fn playswarm_torrent_recheck(
    torrent: *mut playswarm_torrent,
    canceller: *const playswarm_canceller,
    verified_bytes: *mut u64,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_torrent_recheck", error, || {
        // SAFETY: `verified_bytes` is NULL or valid for writes.
        let verified_bytes = unsafe { Out::optional(verified_bytes) };
        let torrent = handles::get(torrent)?;
        let cancel = if canceller.is_null() { None } else { Some(handles::get(canceller)?) };
        let checking = torrent.torrent.recheck(|_, _| {});
        let right = torrent.core.wait_within("searching the files", 0, cancel.as_deref(), checking)?;
        if let Some(verified_bytes) = verified_bytes {
            verified_bytes.set(right);
        }
        Ok(())
    })
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
pub unsafe extern "C" fn playswarm_torrent_sync(
    torrent: *mut playswarm_torrent,
    canceller: *const playswarm_canceller,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_torrent_sync", error, || {
        let torrent = handles::get(torrent)?;
        let cancel = if canceller.is_null() { None } else { Some(handles::get(canceller)?) };
        torrent.core.wait_within("writing", 0, cancel.as_deref(), torrent.torrent.sync())
    })
}

/// Adds a reference. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_torrent_ref(torrent: *mut playswarm_torrent) -> playswarm_code {
    call_plain("playswarm_torrent_ref", || handles::retain(torrent))
}

/// Releases a reference. The last release ends the strings and the event callback of the torrent. The
/// torrent stays open while it has streams. NULL is allowed. Callable from any thread, including
/// callbacks.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_torrent_unref(torrent: *mut playswarm_torrent) -> playswarm_code {
    call_plain("playswarm_torrent_unref", || handles::release(torrent))
}
