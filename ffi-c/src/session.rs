//! `playswarm_session`: the root, and the ways to open a torrent.

use crate::border::{Out, bad, bytes, call, call_plain, text};
use crate::canceller::playswarm_canceller;
use crate::config::playswarm_config;
use crate::core::Core;
use crate::error::{playswarm_code, playswarm_error};
use crate::handles::{self, Handle};
use crate::media::{MediaObject, playswarm_media};
use engine::{InfoHash, Result, Source};
use std::ffi::c_char;
use std::path::Path;
use std::sync::Arc;

/// The root of everything: one listener, one DHT node, many torrents, and the threads that they need.
pub struct playswarm_session {
    _private: (),
}

impl Handle for playswarm_session {
    type Object = Arc<Core>;
    const NAME: &'static str = "session";
}

/// Starts a session: listens, joins the DHT. `abi_version` is PLAYSWARM_ABI_VERSION of the header that the caller was
/// compiled with. `config` may be NULL for the defaults; it is copied. The session has one reference, which the caller
/// gives back with playswarm_session_unref. From any thread; it waits for sockets only.
///
/// PLAYSWARM_BAD_ARGUMENT where this library does not have that ABI, PLAYSWARM_BAD_CONFIG for settings that do not fit
/// each other, PLAYSWARM_LISTEN, PLAYSWARM_STORAGE where the folder cannot be used.
///
/// # Safety
/// `session` may be written; `error` is NULL or may be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_new(
    abi_version: u32,
    config: *const playswarm_config,
    session: *mut *mut playswarm_session,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_session_new", error, || {
            let session = Out::handle(session)?;
            check_abi(abi_version)?;
            let config =
                if config.is_null() { engine::Config::default() } else { handles::get(config)?.lock().clone() };
            session.give(Arc::new(Core::start(config)?));
            Ok(())
        })
    }
}

/// The same number, and no additions that this library does not know.
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

/// What all ways to open a torrent have in common.
///
/// # Safety
/// That of [`playswarm_session_open`].
unsafe fn open(
    session: *mut playswarm_session,
    source: Result<Source>,
    timeout_ms: u64,
    canceller: *const playswarm_canceller,
    media: *mut *mut playswarm_media,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let out = unsafe { Out::handle(media) }?;
    let core = handles::get(session)?;
    let cancel = if canceller.is_null() { None } else { Some(handles::get(canceller)?) };
    let opening = core.session.open(source?);
    let media = core.wait_within("opening the torrent", timeout_ms, cancel.as_deref(), opening)?;
    out.give(MediaObject::new(media, core.as_ref().clone()));
    Ok(())
}

/// Opens what a user typed: a magnet link, 40 hexadecimal digits, a path or URL of a torrent file; UTF-8. It waits until
/// it is known what is in the torrent (a magnet link must find a peer first), for at most `timeout_ms` milliseconds
/// unless that is 0, until `canceller`, which may be NULL, is cancelled, and never for longer than the setting
/// "metadata_timeout_ms" for peers. The media has one reference, which the caller gives back with playswarm_media_unref. A
/// torrent that is open already is shared. From any thread.
///
/// PLAYSWARM_BAD_SOURCE, PLAYSWARM_BAD_TORRENT, PLAYSWARM_FETCH, PLAYSWARM_NO_METADATA, PLAYSWARM_STORAGE,
/// PLAYSWARM_TIMED_OUT, PLAYSWARM_CANCELLED, PLAYSWARM_CLOSED.
///
/// # Safety
/// `source` ends with a zero byte; `media` may be written; `error` is NULL or may be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_open(
    session: *mut playswarm_session,
    source: *const c_char,
    timeout_ms: u64,
    canceller: *const playswarm_canceller,
    media: *mut *mut playswarm_media,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_session_open", error, || {
            let source = text(source, "source").and_then(Source::parse);
            open(session, source, timeout_ms, canceller, media)
        })
    }
}

/// Like playswarm_session_open for the path of a torrent file, whatever the path looks like (it need not be UTF-8).
///
/// # Safety
/// `path` ends with a zero byte; `media` may be written; `error` is NULL or may be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_open_file(
    session: *mut playswarm_session,
    path: *const c_char,
    timeout_ms: u64,
    canceller: *const playswarm_canceller,
    media: *mut *mut playswarm_media,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_session_open_file", error, || {
            let source = path_of(path).map(|path| Source::from(path.as_path()));
            open(session, source, timeout_ms, canceller, media)
        })
    }
}

/// # Safety
/// That of [`text`].
unsafe fn path_of(path: *const c_char) -> Result<std::path::PathBuf> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        if path.is_null() {
            return Err(bad("the path is NULL".into()));
        }
        // SAFETY: the caller's promise.
        let bytes = unsafe { std::ffi::CStr::from_ptr(path) }.to_bytes();
        Ok(Path::new(std::ffi::OsStr::from_bytes(bytes)).to_owned())
    }
    #[cfg(not(unix))]
    // SAFETY: the caller's promise.
    unsafe {
        text(path, "path").map(|path| Path::new(path).to_owned())
    }
}

/// Like playswarm_session_open for the bytes of a torrent file, which are copied.
///
/// # Safety
/// `torrent` points to `length` bytes; `media` may be written; `error` is NULL or may be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_open_bytes(
    session: *mut playswarm_session,
    torrent: *const u8,
    length: usize,
    timeout_ms: u64,
    canceller: *const playswarm_canceller,
    media: *mut *mut playswarm_media,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_session_open_bytes", error, || {
            let source = bytes(torrent, length, "torrent").and_then(|bytes| {
                if bytes.len() > engine::torrent::MAX_TORRENT_BYTES {
                    return Err(bad(format!("no torrent file is {length} bytes long")));
                }
                Ok(Source::TorrentBytes(bytes.to_vec().into()))
            });
            open(session, source, timeout_ms, canceller, media)
        })
    }
}

/// Like playswarm_session_open for a bare info-hash: 20 bytes. Its peers must be found by the DHT, on the local network,
/// or be given in the setting "peers".
///
/// # Safety
/// `info_hash` points to 20 bytes; `media` may be written; `error` is NULL or may be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_open_info_hash(
    session: *mut playswarm_session,
    info_hash: *const u8,
    timeout_ms: u64,
    canceller: *const playswarm_canceller,
    media: *mut *mut playswarm_media,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_session_open_info_hash", error, || {
            let source = bytes(info_hash, 20, "info-hash").map(|bytes| {
                let mut hash = [0; 20];
                hash.copy_from_slice(bytes);
                Source::InfoHash(InfoHash(hash))
            });
            open(session, source, timeout_ms, canceller, media)
        })
    }
}

/// The port on which peers can connect to this session. From any thread.
///
/// # Safety
/// `port` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_port(session: *const playswarm_session, port: *mut u16) -> playswarm_code {
    call_plain("playswarm_session_port", || {
        // SAFETY: the caller's promise.
        let port = unsafe { Out::new(port, "port") }?;
        port.set(handles::get(session)?.session.listen_addr().map_or(0, |addr| addr.port()));
        Ok(())
    })
}

/// Stops all: what waits in any thread, and all later reads and opens, end with PLAYSWARM_CLOSED, and what is verified is
/// written, which this waits for. Handles stay alive until they are released. A second call does nothing. From any thread,
/// callbacks too.
///
/// # Safety
/// `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_close(
    session: *mut playswarm_session,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise.
    unsafe {
        call("playswarm_session_close", error, || {
            let core = handles::get(session)?;
            core.wait(async {
                core.session.close().await;
                Ok(())
            })
        })
    }
}

/// Takes one more reference. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_session_ref(session: *mut playswarm_session) -> playswarm_code {
    call_plain("playswarm_session_ref", || handles::retain(session))
}

/// Gives a reference back. The session itself ends when its last reference and all its medias and streams are gone; that
/// last release waits (up to 10 s) for what is verified to be written. NULL is no mistake. From any thread, callbacks too.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_session_unref(session: *mut playswarm_session) -> playswarm_code {
    call_plain("playswarm_session_unref", || handles::release(session))
}
