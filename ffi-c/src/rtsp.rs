//! `playswarm_rtsp_server`: the files of a torrent for players that take RTSP.

use crate::boundary::{ErrorOut, Out, bad, call, call_plain, guard, text};
use crate::core::Core;
use crate::error::{playswarm_code, playswarm_error};
use crate::handles::{self, Handle, c_text};
use crate::status::give_json;
use crate::torrent::playswarm_torrent;
use playswarm_serve::{RtspConfig, RtspServer, RtspView, serve_rtsp};
use std::ffi::{CString, c_char};
use std::sync::Arc;

/// A running RTSP server of one torrent. It keeps the torrent open. It ends with its last reference.
pub struct playswarm_rtsp_server {
    _private: (),
}

impl Handle for playswarm_rtsp_server {
    type Object = RtspObject;
    const NAME: &'static str = "RTSP server";
}

pub(crate) struct RtspObject {
    /// It is `Some` until this is dropped.
    server: Option<RtspServer>,
    view: RtspView,
    url: CString,
    core: Arc<Core>,
}

impl Drop for RtspObject {
    fn drop(&mut self) {
        let Some(server) = self.server.take() else { return };
        // Fails only on a thread that must not wait. The server then ends in the background.
        let _ = self.core.wait(async {
            server.stop().await;
            Ok(())
        });
    }
}

/// Serves the files of a torrent over RTSP. docs/RTSP.md lists the players and formats. `file` is
/// the file that playswarm_rtsp_server_url names; its URL begins with the address that `listen`
/// names. `listen` is an IP address and a port, such as "0.0.0.0:8554"; NULL means loopback and any
/// free port. `token`, which may be NULL, is a secret that clients must know; it is part of the URL.
/// The server has one reference, which the caller releases with playswarm_rtsp_server_unref.
/// Callable from any thread.
///
/// Errors: PLAYSWARM_NO_SUCH_FILE, PLAYSWARM_LISTEN, PLAYSWARM_BAD_CONFIG for an unsuitable token.
///
/// # Safety
/// `listen` and `token` must be NULL or end with a zero byte. `server` must be valid for writes.
/// `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_torrent_serve_rtsp(
    torrent: *mut playswarm_torrent,
    file: usize,
    listen: *const c_char,
    token: *const c_char,
    server: *mut *mut playswarm_rtsp_server,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_torrent_serve_rtsp", error, || {
        // SAFETY: `server` is NULL or valid for writes.
        let out = unsafe { Out::handle(server) }?;
        let torrent = handles::get(torrent)?;
        let mut config = RtspConfig::default();
        if !listen.is_null() {
            // SAFETY: `listen` ends with a zero byte.
            let address = unsafe { text(listen, "address") }?;
            config.listen = address
                .parse()
                .map_err(|_| bad(format!("{address:?} is not an IP address and a port, such as 127.0.0.1:8554")))?;
        }
        if !token.is_null() {
            // SAFETY: `token` ends with a zero byte.
            config.token = Some(unsafe { text(token, "token") }?.to_owned());
        }
        let core = torrent.core.clone();
        let server = core.wait(serve_rtsp(torrent.torrent.clone(), file, config))?;
        let (url, view) = (c_text(&server.url()), server.view());
        out.give(RtspObject { server: Some(server), view, url, core });
        Ok(())
    })
}

/// Returns the URL of the server's file, with the token. The string lives as long as the server.
/// Returns "" for NULL and for handles that are not a live server. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_rtsp_server_url(server: *const playswarm_rtsp_server) -> *const c_char {
    let otherwise = c"".as_ptr();
    guard("playswarm_rtsp_server_url", otherwise, || handles::get(server).map_or(otherwise, |s| s.url.as_ptr()))
}

/// Returns the sessions of players as a JSON array; docs/HTTP.md describes its fields under
/// /status. Free it with playswarm_string_free. Callable from any thread.
///
/// # Safety
/// `json` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_rtsp_server_sessions_json(
    server: *const playswarm_rtsp_server,
    json: *mut *mut c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_rtsp_server_sessions_json", error, || {
        // SAFETY: `json` is NULL or valid for writes.
        let json = unsafe { Out::new(json, "JSON") }?;
        give_json(json, serde_json::to_string(&handles::get(server)?.view.sessions()))
    })
}

/// Adds a reference. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_rtsp_server_ref(server: *mut playswarm_rtsp_server) -> playswarm_code {
    call_plain("playswarm_rtsp_server_ref", || handles::retain(server))
}

/// Releases a reference. The last release closes the listener and the connections of all players.
/// NULL is allowed. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_rtsp_server_unref(server: *mut playswarm_rtsp_server) -> playswarm_code {
    call_plain("playswarm_rtsp_server_unref", || handles::release(server))
}
