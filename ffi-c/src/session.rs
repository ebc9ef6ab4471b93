//! `playswarm_session`: the root object, and the functions that open torrents.

use crate::boundary::{ErrorOut, Out, bad, bytes, call, call_plain, text};
use crate::canceller::playswarm_canceller;
use crate::channel::link_of;
use crate::config::playswarm_config;
use crate::core::Core;
use crate::error::{playswarm_code, playswarm_error};
use crate::handles::{self, Handle};
use crate::status::give_json;
use crate::stream::{StreamObject, playswarm_stream};
use crate::torrent::{TorrentObject, playswarm_torrent};
use engine::{InfoHash, Magnet, Result, Source, TorrentHandle};
use std::ffi::c_char;
use std::path::Path;
use std::sync::Arc;

/// The root object: one listener, one DHT node, any number of torrents, and their threads.
pub struct playswarm_session {
    _private: (),
}

impl Handle for playswarm_session {
    type Object = Arc<Core>;
    const NAME: &'static str = "session";
}

/// Starts a session: opens its listener and joins the DHT. `abi_version` is the
/// PLAYSWARM_ABI_VERSION of the header that the caller was compiled with. `config` may be NULL for
/// the defaults; it is copied. The session has one reference, which the caller releases with
/// playswarm_session_unref. The function waits only until the sockets are open. Callable from any
/// thread.
///
/// Errors: PLAYSWARM_BAD_ARGUMENT if the library does not provide that ABI, PLAYSWARM_BAD_CONFIG
/// for inconsistent settings, PLAYSWARM_LISTEN, PLAYSWARM_STORAGE if the download folder cannot be
/// used.
///
/// # Safety
/// `session` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_new(
    abi_version: u32,
    config: *const playswarm_config,
    session: *mut *mut playswarm_session,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_session_new", error, || {
        // SAFETY: `session` is NULL or valid for writes.
        let session = unsafe { Out::handle(session) }?;
        check_abi(abi_version)?;
        let config = if config.is_null() { engine::Config::default() } else { handles::get(config)?.lock().clone() };
        session.give(Arc::new(Core::start(config)?));
        Ok(())
    })
}

/// Checks that the ABI number is ours and that the header has no additions unknown to this library.
fn check_abi(theirs: u32) -> Result<()> {
    let ours = crate::PLAYSWARM_ABI_VERSION;
    if theirs >> 16 == ours >> 16 && theirs & 0xffff <= ours & 0xffff && theirs & 0xffff != 0 {
        return Ok(());
    }
    let shown = |v: u32| format!("{}.{}", v >> 16, v & 0xffff);
    Err(bad(format!(
        "the program was compiled for ABI {} and this library has {}; compile it again with this library's header",
        shown(theirs),
        shown(ours)
    )))
}

/// Opens a torrent, and returns it with its session. All public variants use this function.
fn opened(
    session: *mut playswarm_session,
    source: Result<Source>,
    timeout_ms: u64,
    canceller: *const playswarm_canceller,
) -> Result<(TorrentHandle, Arc<Core>)> {
    let core = handles::get(session)?;
    let cancel = if canceller.is_null() { None } else { Some(handles::get(canceller)?) };
    let opening = core.session.open(source?);
    let torrent = core.wait_within("opening the torrent", timeout_ms, cancel.as_deref(), opening)?;
    Ok((torrent, core.as_ref().clone()))
}

fn open(
    session: *mut playswarm_session,
    source: Result<Source>,
    timeout_ms: u64,
    canceller: *const playswarm_canceller,
    out: Out<*mut playswarm_torrent>,
) -> Result<()> {
    let (torrent, core) = opened(session, source, timeout_ms, canceller)?;
    out.give(TorrentObject::new(torrent, core));
    Ok(())
}

/// Opens a source as a user types it (UTF-8): a magnet link, 40 hexadecimal digits, or the path or
/// URL of a torrent file. Waits until the metainfo is known; for a magnet link a peer must send it
/// first. The wait ends after `timeout_ms` milliseconds (0 means no timeout) or when `canceller`,
/// which may be NULL, is cancelled. The setting "metadata_timeout_ms" always bounds the wait for
/// peers.
///
/// The torrent has one reference, which the caller releases with playswarm_torrent_unref. A torrent
/// that is already open is shared. Callable from any thread.
///
/// Errors: PLAYSWARM_BAD_SOURCE, PLAYSWARM_BAD_TORRENT, PLAYSWARM_FETCH, PLAYSWARM_NO_METADATA,
/// PLAYSWARM_STORAGE, PLAYSWARM_TIMED_OUT, PLAYSWARM_CANCELLED, PLAYSWARM_CLOSED.
///
/// # Safety
/// `source` must end with a zero byte. `torrent` must be valid for writes. `error` must be NULL or
/// valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_open(
    session: *mut playswarm_session,
    source: *const c_char,
    timeout_ms: u64,
    canceller: *const playswarm_canceller,
    torrent: *mut *mut playswarm_torrent,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_session_open", error, || {
        // SAFETY: `torrent` is NULL or valid for writes.
        let out = unsafe { Out::handle(torrent) }?;
        // SAFETY: `source` is NULL or ends with a zero byte.
        let source = unsafe { text(source, "source") }.and_then(Source::parse);
        open(session, source, timeout_ms, canceller, out)
    })
}

/// Like playswarm_session_open, but `path` is always the path of a torrent file and need not be
/// UTF-8.
///
/// # Safety
/// `path` must end with a zero byte. `torrent` must be valid for writes. `error` must be NULL or
/// valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_open_file(
    session: *mut playswarm_session,
    path: *const c_char,
    timeout_ms: u64,
    canceller: *const playswarm_canceller,
    torrent: *mut *mut playswarm_torrent,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_session_open_file", error, || {
        // SAFETY: `torrent` is NULL or valid for writes.
        let out = unsafe { Out::handle(torrent) }?;
        // SAFETY: `path` is NULL or ends with a zero byte.
        let source = unsafe { path_of(path) }.map(|path| Source::from(path.as_path()));
        open(session, source, timeout_ms, canceller, out)
    })
}

/// Returns the path in a string argument.
///
/// # Safety
/// The contract of [`text`].
unsafe fn path_of(path: *const c_char) -> Result<std::path::PathBuf> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        if path.is_null() {
            return Err(bad("the path is NULL".into()));
        }
        // SAFETY: the caller upholds the contract above.
        let bytes = unsafe { std::ffi::CStr::from_ptr(path) }.to_bytes();
        Ok(Path::new(std::ffi::OsStr::from_bytes(bytes)).to_owned())
    }
    #[cfg(not(unix))]
    {
        // SAFETY: the caller upholds the contract above.
        let path = unsafe { text(path, "path") }?;
        Ok(Path::new(path).to_owned())
    }
}

/// Like playswarm_session_open, but takes the content of a torrent file, which is copied.
///
/// # Safety
/// `metainfo` must point to `length` bytes. `torrent` must be valid for writes. `error` must be NULL
/// or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_open_bytes(
    session: *mut playswarm_session,
    metainfo: *const u8,
    length: usize,
    timeout_ms: u64,
    canceller: *const playswarm_canceller,
    torrent: *mut *mut playswarm_torrent,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_session_open_bytes", error, || {
        // SAFETY: `torrent` is NULL or valid for writes.
        let out = unsafe { Out::handle(torrent) }?;
        // SAFETY: `metainfo` is NULL or points to `length` bytes.
        let source = unsafe { bytes(metainfo, length, "torrent") }.and_then(|bytes| {
            if bytes.len() > engine::metainfo::MAX_TORRENT_BYTES {
                return Err(bad(format!("the length {length} is too large for a torrent file")));
            }
            Ok(Source::TorrentBytes(bytes.to_vec().into()))
        });
        open(session, source, timeout_ms, canceller, out)
    })
}

/// Like playswarm_session_open, but takes an info-hash of 20 bytes. Its peers must come from the
/// DHT, the local network or the setting "peers".
///
/// # Safety
/// `info_hash` must point to 20 bytes. `torrent` must be valid for writes. `error` must be NULL or
/// valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_open_info_hash(
    session: *mut playswarm_session,
    info_hash: *const u8,
    timeout_ms: u64,
    canceller: *const playswarm_canceller,
    torrent: *mut *mut playswarm_torrent,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_session_open_info_hash", error, || {
        // SAFETY: `torrent` is NULL or valid for writes.
        let out = unsafe { Out::handle(torrent) }?;
        // SAFETY: `info_hash` is NULL or points to 20 bytes.
        let source = unsafe { bytes(info_hash, 20, "info-hash") }.map(|bytes| {
            let mut hash = [0; 20];
            hash.copy_from_slice(bytes);
            Source::Magnet(Magnet::new(InfoHash(hash)))
        });
        open(session, source, timeout_ms, canceller, out)
    })
}

/// Opens what a user types and returns a reader of it: a torrent, as in playswarm_session_open, or a
/// link to a live channel, as in playswarm_session_watch. `file` is the file of a torrent, as in
/// playswarm_torrent_find_file; NULL stands for its default file. For players, the prefix
/// `playswarm:` of a link may be absent. The stream keeps the torrent or channel open.
///
/// Waits like playswarm_session_open for a torrent, and not for a channel. The stream has one
/// reference, which the caller releases with playswarm_stream_unref. Callable from any thread.
///
/// Errors: those of playswarm_session_open, PLAYSWARM_NO_SUCH_FILE.
///
/// # Safety
/// `source` must end with a zero byte. `file` must be NULL or end with a zero byte. `stream` must be
/// valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_open_stream(
    session: *mut playswarm_session,
    source: *const c_char,
    file: *const c_char,
    timeout_ms: u64,
    canceller: *const playswarm_canceller,
    stream: *mut *mut playswarm_stream,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_session_open_stream", error, || {
        // SAFETY: `stream` is NULL or valid for writes.
        let out = unsafe { Out::handle(stream) }?;
        // SAFETY: `source` is NULL or ends with a zero byte.
        let source = unsafe { text(source, "source") }?;
        // SAFETY: `file` ends with a zero byte.
        let file = if file.is_null() { None } else { Some(unsafe { text(file, "file") }?) };
        if let Some(link) = link_of(source) {
            let core = handles::get(session)?.as_ref().clone();
            out.give(StreamObject::live(core.session.watch(&link?)?.stream(), core));
            return Ok(());
        }
        let (torrent, core) = opened(session, Source::parse(source), timeout_ms, canceller)?;
        let file = match file {
            Some(wanted) => torrent.find_file(wanted)?,
            None => torrent.default_file()?,
        };
        out.give(StreamObject::new(torrent.stream(file)?, torrent, file, core));
        Ok(())
    })
}

/// Returns the port on which peers can connect to this session. Callable from any thread.
///
/// # Safety
/// `port` must be valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_port(session: *const playswarm_session, port: *mut u16) -> playswarm_code {
    call_plain("playswarm_session_port", || {
        // SAFETY: the caller upholds the contract above.
        let port = unsafe { Out::new(port, "port") }?;
        port.set(handles::get(session)?.session.listen_addr().map_or(0, |addr| addr.port()));
        Ok(())
    })
}

/// Returns the progress of the magnet links that calls are opening, as a JSON array: peers found and
/// connected, received bytes of the metadata, and what trackers said. docs/C.md lists the fields.
/// Free it with playswarm_string_free. Callable from any thread.
///
/// # Safety
/// `json` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_opening_json(
    session: *const playswarm_session,
    json: *mut *mut c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_session_opening_json", error, || {
        // SAFETY: `json` is NULL or valid for writes.
        let json = unsafe { Out::new(json, "JSON") }?;
        give_json(json, serde_json::to_string(&handles::get(session)?.session.opening()))
    })
}

/// Closes the session. All waiting calls in any thread and all later reads and opens fail with
/// PLAYSWARM_CLOSED. Waits until verified data is written. Handles stay alive until they are
/// released. A second call does nothing. Callable from any thread, including callbacks.
///
/// # Safety
/// `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_close(
    session: *mut playswarm_session,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_session_close", error, || {
        let core = handles::get(session)?;
        core.wait(async {
            core.session.close().await;
            Ok(())
        })
    })
}

/// Adds a reference. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_session_ref(session: *mut playswarm_session) -> playswarm_code {
    call_plain("playswarm_session_ref", || handles::retain(session))
}

/// Releases a reference. The session ends when its last reference and all its torrents and streams
/// are released. That last release waits up to 10 s for verified data to be written. NULL is
/// allowed. Callable from any thread, including callbacks.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_session_unref(session: *mut playswarm_session) -> playswarm_code {
    call_plain("playswarm_session_unref", || handles::release(session))
}
