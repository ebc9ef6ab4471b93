//! `playswarm_search`: a search of the Gnutella network.

use crate::boundary::{ErrorOut, Out, bad, call, call_plain, text};
use crate::canceller::playswarm_canceller;
use crate::core::Core;
use crate::error::{playswarm_code, playswarm_error};
use crate::handles::{self, Handle, add_text, c_text};
use crate::session::playswarm_session;
use crate::status::give_json;
use engine::Result;
use engine::gnutella::{Hit, Kind, Query, Search};
use std::ffi::c_char;
use std::sync::Arc;
use std::time::Duration;

/// A search of the Gnutella network. It ends with its last reference.
pub struct playswarm_search {
    _private: (),
}

impl Handle for playswarm_search {
    type Object = SearchObject;
    const NAME: &'static str = "search";
}

/// The fields are declared in drop order: the runtime last.
pub(crate) struct SearchObject {
    search: Search,
    core: Arc<Core>,
}

/// Returns the kind of this name.
fn kind_of(name: &str) -> Result<Kind> {
    match name {
        "video" => Ok(Kind::Video),
        "audio" => Ok(Kind::Audio),
        _ => Err(bad(format!("{name:?} is no kind of file; use \"video\", \"audio\" or NULL"))),
    }
}

/// Searches the Gnutella network for files, by the words of their names. Strangers see the words, so
/// the setting "gnutella.enabled" has to allow it; docs/GNUTELLA.md says more. `kind` is "video",
/// "audio" or NULL for any. The search ends after `wait_ms` milliseconds (0 means the setting
/// "gnutella.search_wait_ms"), or once `most` files were found (0 means 50). A session keeps the
/// results of four searches: a fifth one ends the oldest. The search has one reference, which the
/// caller releases with playswarm_search_unref. The function does not wait. Callable from any thread.
///
/// Errors: PLAYSWARM_BAD_CONFIG if the network is off, PLAYSWARM_BAD_ARGUMENT for a text without a
/// word, PLAYSWARM_CLOSED.
///
/// # Safety
/// `words` must end with a zero byte. `kind` must be NULL or end with a zero byte. `search` must be
/// valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_session_search(
    session: *mut playswarm_session,
    words: *const c_char,
    kind: *const c_char,
    wait_ms: u64,
    most: usize,
    search: *mut *mut playswarm_search,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_session_search", error, || {
        // SAFETY: `search` is NULL or valid for writes.
        let out = unsafe { Out::handle(search) }?;
        // SAFETY: `words` is NULL or ends with a zero byte.
        let mut query = Query::new(unsafe { text(words, "text") }?);
        if !kind.is_null() {
            // SAFETY: `kind` ends with a zero byte.
            query.kind = Some(kind_of(unsafe { text(kind, "kind") }?)?);
        }
        query.wait = (wait_ms > 0).then(|| Duration::from_millis(wait_ms));
        query.most = if most > 0 { most } else { query.most };
        let core = handles::get(session)?.as_ref().clone();
        out.give(SearchObject { search: core.session.search(query)?, core });
        Ok(())
    })
}

/// Waits for the next file. `json` receives it as a JSON object, which docs/CLI.md describes under
/// search, or NULL once the search has ended. `link`, which may be NULL, receives the magnet link with
/// which the file is opened, or NULL if it has no hash. Free both with playswarm_string_free. Each file
/// is given once, and those that look like spam are not. The wait ends after `timeout_ms`
/// milliseconds (0 means no timeout) or when `canceller`, which may be NULL, is cancelled. Callable
/// from any thread.
///
/// Errors: PLAYSWARM_TIMED_OUT, also if no servent could be reached in all the time,
/// PLAYSWARM_CANCELLED, PLAYSWARM_CLOSED.
///
/// # Safety
/// `json` must be valid for writes. `link` and `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_search_next(
    search: *const playswarm_search,
    timeout_ms: u64,
    canceller: *const playswarm_canceller,
    json: *mut *mut c_char,
    link: *mut *mut c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_search_next", error, || {
        // SAFETY: `json` is NULL or valid for writes.
        let json = unsafe { Out::new(json, "JSON") }?;
        // SAFETY: `link` is NULL or valid for writes.
        let link = unsafe { Out::optional(link) };
        let object = handles::get(search)?;
        let cancel = if canceller.is_null() { None } else { Some(handles::get(canceller)?) };
        let next = object.search.next();
        let hit = object.core.wait_within("waiting for a file", timeout_ms, cancel.as_deref(), next)?;
        if let Some(link) = link {
            let magnet = hit.as_ref().and_then(Hit::magnet);
            link.set(magnet.map_or(std::ptr::null_mut(), |magnet| add_text(c_text(&magnet))));
        }
        match hit {
            Some(hit) => give_json(json, serde_json::to_string(&hit)),
            None => {
                json.set(std::ptr::null_mut());
                Ok(())
            }
        }
    })
}

/// Returns all files so far with all their sources, as a JSON array, those of the most networks
/// first. Those that look like spam say why ("hidden"). Free it with playswarm_string_free. Callable
/// from any thread.
///
/// # Safety
/// `json` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_search_hits_json(
    search: *const playswarm_search,
    json: *mut *mut c_char,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_search_hits_json", error, || {
        // SAFETY: `json` is NULL or valid for writes.
        let json = unsafe { Out::new(json, "JSON") }?;
        give_json(json, serde_json::to_string(&handles::get(search)?.search.hits()))
    })
}

/// Adds a reference. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_search_ref(search: *mut playswarm_search) -> playswarm_code {
    call_plain("playswarm_search_ref", || handles::retain(search))
}

/// Releases a reference. The last release ends the search, and forgets what it found. NULL is
/// allowed. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_search_unref(search: *mut playswarm_search) -> playswarm_code {
    call_plain("playswarm_search_unref", || handles::release(search))
}
