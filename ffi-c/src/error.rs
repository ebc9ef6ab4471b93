//! `playswarm_error` and the codes: the C form of the table in [`engine::ErrorKind`].

use crate::boundary::{call_plain, guard};
use crate::handles::{self, Handle, c_text};
use engine::{Error, ErrorKind};
use std::ffi::{CString, c_char};

/// Result of a call. 0 is success; the others are kinds of errors. Their numbers never change.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum playswarm_code {
    /// Success.
    PLAYSWARM_OK = 0,
    /// The source is not a torrent.
    PLAYSWARM_BAD_SOURCE = 1,
    /// The torrent is damaged, hostile or beyond a limit.
    PLAYSWARM_BAD_TORRENT = 2,
    /// The torrent file could not be downloaded from its URL.
    PLAYSWARM_FETCH = 3,
    /// No peer sent the metadata of a magnet link.
    PLAYSWARM_NO_METADATA = 4,
    /// The file does not exist, or the torrent has no playable file.
    PLAYSWARM_NO_SUCH_FILE = 5,
    /// A file or folder cannot be used.
    PLAYSWARM_STORAGE = 6,
    /// The disk is full.
    PLAYSWARM_DISK_FULL = 7,
    /// The session cannot listen on an address.
    PLAYSWARM_LISTEN = 8,
    /// A setting is invalid.
    PLAYSWARM_BAD_CONFIG = 9,
    /// The caller cancelled the call.
    PLAYSWARM_CANCELLED = 10,
    /// The session or torrent is closed.
    PLAYSWARM_CLOSED = 11,
    /// The time limit of the call expired.
    PLAYSWARM_TIMED_OUT = 12,
    /// Any other input or output error.
    PLAYSWARM_IO = 13,
    /// A call had an invalid argument: NULL, a handle that is not alive, or an impossible size or
    /// position. Nothing was done.
    PLAYSWARM_BAD_ARGUMENT = 14,
    /// An internal error of playswarm.
    PLAYSWARM_INTERNAL = 15,
    /// A live channel has no size, and only the present position.
    PLAYSWARM_NO_SIZE = 16,
}

impl playswarm_code {
    /// Returns the code of a kind of error. Each kind has one: the tests compare the tables.
    pub(crate) fn of(kind: ErrorKind) -> playswarm_code {
        use playswarm_code::*;
        match kind {
            ErrorKind::BadSource => PLAYSWARM_BAD_SOURCE,
            ErrorKind::BadTorrent => PLAYSWARM_BAD_TORRENT,
            ErrorKind::Fetch => PLAYSWARM_FETCH,
            ErrorKind::NoMetadata => PLAYSWARM_NO_METADATA,
            ErrorKind::NoSuchFile => PLAYSWARM_NO_SUCH_FILE,
            ErrorKind::Storage => PLAYSWARM_STORAGE,
            ErrorKind::DiskFull => PLAYSWARM_DISK_FULL,
            ErrorKind::Listen => PLAYSWARM_LISTEN,
            ErrorKind::BadConfig => PLAYSWARM_BAD_CONFIG,
            ErrorKind::Cancelled => PLAYSWARM_CANCELLED,
            ErrorKind::Closed => PLAYSWARM_CLOSED,
            ErrorKind::TimedOut => PLAYSWARM_TIMED_OUT,
            ErrorKind::Io => PLAYSWARM_IO,
            ErrorKind::BadArgument => PLAYSWARM_BAD_ARGUMENT,
            ErrorKind::NoSize => PLAYSWARM_NO_SIZE,
            _ => PLAYSWARM_INTERNAL,
        }
    }
}

/// The reason why a call failed: its code and a sentence for users. The caller that requested it
/// owns it.
pub struct playswarm_error {
    _private: (),
}

impl Handle for playswarm_error {
    type Object = ErrorObject;
    const NAME: &'static str = "error";
}

pub(crate) struct ErrorObject {
    code: playswarm_code,
    message: CString,
}

impl ErrorObject {
    pub(crate) fn new(e: &Error) -> ErrorObject {
        ErrorObject { code: playswarm_code::of(e.kind()), message: c_text(&e.to_string()) }
    }
}

/// Returns the code that the call returned. Returns PLAYSWARM_BAD_ARGUMENT for NULL and for handles
/// that are not a live error. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_error_code(error: *const playswarm_error) -> playswarm_code {
    let otherwise = playswarm_code::PLAYSWARM_BAD_ARGUMENT;
    guard("playswarm_error_code", otherwise, || handles::get(error).map_or(otherwise, |e| e.code))
}

/// Returns the message as one UTF-8 sentence without a line end. It lives as long as the error: do
/// not free it. Returns "" for NULL and for handles that are not a live error. Callable from any
/// thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_error_message(error: *const playswarm_error) -> *const c_char {
    let otherwise = c"".as_ptr();
    guard("playswarm_error_message", otherwise, || handles::get(error).map_or(otherwise, |e| e.message.as_ptr()))
}

/// Adds a reference. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_error_ref(error: *mut playswarm_error) -> playswarm_code {
    call_plain("playswarm_error_ref", || handles::retain(error))
}

/// Releases a reference. The last release frees the error. NULL is allowed. Callable from any
/// thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_error_unref(error: *mut playswarm_error) -> playswarm_code {
    call_plain("playswarm_error_unref", || handles::release(error))
}

/// Returns the name of a code in snake case, such as "ok" or "bad_source", or NULL for an unknown
/// number. The string is static; do not free it.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_code_name(code: i32) -> *const c_char {
    described(code, |texts| &texts.0)
}

/// Returns a one-line description of a code, or NULL for an unknown number. The string is static;
/// do not free it.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_code_description(code: i32) -> *const c_char {
    described(code, |texts| &texts.1)
}

/// Returns 1 if a later attempt may succeed (a tracker does not answer, the disk is full),
/// otherwise 0.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_code_is_temporary(code: i32) -> i32 {
    use ErrorKind::{DiskFull, Fetch, NoMetadata, TimedOut};
    i32::from(matches!(ErrorKind::from_number(code), Some(Fetch | NoMetadata | DiskFull | TimedOut)))
}

type Texts = (CString, CString);

fn described(code: i32, part: fn(&Texts) -> &CString) -> *const c_char {
    static TEXTS: std::sync::LazyLock<Vec<Texts>> = std::sync::LazyLock::new(|| {
        let ok = (c_text("ok"), c_text("it was done"));
        let kinds = ErrorKind::all().map(|kind| (c_text(kind.name()), c_text(kind.description())));
        std::iter::once(ok).chain(kinds).collect()
    });
    guard("playswarm_code_name", std::ptr::null(), || {
        let texts = usize::try_from(code).ok().and_then(|code| TEXTS.get(code));
        texts.map_or(std::ptr::null(), |texts| part(texts).as_ptr())
    })
}
