//! `playswarm_error` and the codes: C's face of the table that [`engine::ErrorKind`] is.

use crate::border::{call_plain, guard};
use crate::handles::{self, Handle, c_text};
use engine::{Error, ErrorKind};
use std::ffi::{CString, c_char};

/// What became of a call. 0 is success; the others are kinds of errors, whose numbers never change.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum playswarm_code {
    /// It was done.
    PLAYSWARM_OK = 0,
    /// The source is not a torrent.
    PLAYSWARM_BAD_SOURCE = 1,
    /// The torrent is damaged, hostile or beyond a limit.
    PLAYSWARM_BAD_TORRENT = 2,
    /// Something could not be fetched.
    PLAYSWARM_FETCH = 3,
    /// Nobody gave the metadata of a magnet link.
    PLAYSWARM_NO_METADATA = 4,
    /// There is no such file, or nothing that can be played.
    PLAYSWARM_NO_SUCH_FILE = 5,
    /// A file or folder could not be used.
    PLAYSWARM_STORAGE = 6,
    /// The disk is full.
    PLAYSWARM_DISK_FULL = 7,
    /// An address could not be listened on.
    PLAYSWARM_LISTEN = 8,
    /// A setting cannot be used.
    PLAYSWARM_BAD_CONFIG = 9,
    /// Cancelled by the caller.
    PLAYSWARM_CANCELLED = 10,
    /// The session or media is closed.
    PLAYSWARM_CLOSED = 11,
    /// Out of time.
    PLAYSWARM_TIMED_OUT = 12,
    /// Other input or output.
    PLAYSWARM_IO = 13,
    /// A call was made wrongly: NULL, a handle that is not alive, a size or position that cannot be. Nothing was done.
    PLAYSWARM_BAD_ARGUMENT = 14,
    /// A fault of playswarm itself.
    PLAYSWARM_INTERNAL = 15,
}

impl playswarm_code {
    /// The code of a kind of error. Each kind has one: the tests compare the tables.
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
            _ => PLAYSWARM_INTERNAL,
        }
    }
}

/// Why a call failed: its code and a sentence for people. Whoever asked for it owns it.
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

/// The code that the call returned; PLAYSWARM_BAD_ARGUMENT for NULL and for what is no live error. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_error_code(error: *const playswarm_error) -> playswarm_code {
    let otherwise = playswarm_code::PLAYSWARM_BAD_ARGUMENT;
    guard("playswarm_error_code", otherwise, || handles::get(error).map_or(otherwise, |e| e.code))
}

/// The sentence, UTF-8, without a line's end. It lives as long as the error: do not free it. "" for NULL and for what is
/// no live error. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_error_message(error: *const playswarm_error) -> *const c_char {
    let otherwise = c"".as_ptr();
    guard("playswarm_error_message", otherwise, || handles::get(error).map_or(otherwise, |e| e.message.as_ptr()))
}

/// Takes one more reference. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_error_ref(error: *mut playswarm_error) -> playswarm_code {
    call_plain("playswarm_error_ref", || handles::retain(error))
}

/// Gives a reference back; the last one frees the error. NULL is no mistake. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_error_unref(error: *mut playswarm_error) -> playswarm_code {
    call_plain("playswarm_error_unref", || handles::release(error))
}

/// A code's name in snake case, "ok" or such as "bad_source"; NULL for a number that is no code. Never freed.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_code_name(code: i32) -> *const c_char {
    described(code, |texts| &texts.0)
}

/// What a code stands for, in a line; NULL for a number that is no code. Never freed.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_code_description(code: i32) -> *const c_char {
    described(code, |texts| &texts.1)
}

/// 1 if trying again later may help (a tracker that does not answer, a full disk), else 0.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_code_is_temporary(code: i32) -> i32 {
    use ErrorKind::{DiskFull, Fetch, NoMetadata, TimedOut};
    i32::from(matches!(ErrorKind::from_number(code), Some(Fetch | NoMetadata | DiskFull | TimedOut)))
}

type Texts = (CString, CString);

fn described(code: i32, part: fn(&Texts) -> &CString) -> *const c_char {
    static TEXTS: std::sync::LazyLock<Vec<Texts>> = std::sync::LazyLock::new(|| {
        let ok = (c_text("ok"), c_text("it was done"));
        let kinds = ErrorKind::ALL.iter().map(|kind| (c_text(kind.name()), c_text(kind.description())));
        std::iter::once(ok).chain(kinds).collect()
    });
    guard("playswarm_code_name", std::ptr::null(), || {
        let texts = usize::try_from(code).ok().and_then(|code| TEXTS.get(code));
        texts.map_or(std::ptr::null(), |texts| part(texts).as_ptr())
    })
}
