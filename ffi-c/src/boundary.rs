//! The boundary between C and Rust, which every call crosses. No panic leaves it and no null
//! pointer enters it. Results are written to the caller's pointer only on success.

use crate::error::{playswarm_code, playswarm_error};
use crate::handles::{self, Handle};
use engine::{Error, Result};
use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Returns the error for an invalid argument.
pub(crate) fn bad(why: String) -> Error {
    Error::BadArgument(why)
}

/// The place for a call's error object, if the caller wants one.
pub(crate) struct ErrorOut(Option<Out<*mut playswarm_error>>);

impl ErrorOut {
    /// Sets the error to NULL, so that it is NULL if the call succeeds.
    ///
    /// # Safety
    /// `error` must be NULL or valid for writes until the call returns.
    pub(crate) unsafe fn new(error: *mut *mut playswarm_error) -> ErrorOut {
        let wanted = !error.is_null();
        // SAFETY: the caller upholds the contract above.
        ErrorOut(wanted.then(|| unsafe { Out::handle(error) }.ok()).flatten())
    }
}

/// Runs the body of a fallible function. An error becomes a code and, if the caller wants one, an
/// error object.
pub(crate) fn call(name: &'static str, error: ErrorOut, body: impl FnOnce() -> Result<()>) -> playswarm_code {
    let e = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return playswarm_code::PLAYSWARM_OK,
        Ok(Err(e)) => e,
        Err(panic) => {
            let what = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let what = what.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            // Dropping the panic payload could panic again.
            std::mem::forget(panic);
            tracing::error!("{name} panicked: {what}");
            Error::Internal(format!("{name} panicked ({what})"))
        }
    };
    tracing::debug!("{name}: {e}");
    let code = playswarm_code::of(e.kind());
    if let Some(error) = error.0 {
        error.give(crate::error::ErrorObject::new(&e));
    }
    code
}

/// Runs the body of a fallible function that has no `error` parameter.
pub(crate) fn call_plain(name: &'static str, body: impl FnOnce() -> Result<()>) -> playswarm_code {
    call(name, ErrorOut(None), body)
}

/// Runs an infallible body. Returns `otherwise` if the body panics.
pub(crate) fn guard<T>(name: &'static str, otherwise: T, body: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(done) => done,
        Err(panic) => {
            std::mem::forget(panic);
            tracing::error!("{name} panicked");
            otherwise
        }
    }
}

/// An output parameter. It is checked before the call does anything and written after everything
/// succeeded.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// `to` must be NULL or valid for writes until the call returns.
    pub(crate) unsafe fn new(to: *mut T, name: &str) -> Result<Out<T>> {
        if to.is_null() { Err(bad(format!("the output pointer for the {name} is NULL"))) } else { Ok(Out(to)) }
    }

    /// Returns `None` for NULL: the caller does not want this output.
    ///
    /// # Safety
    /// The contract of [`Out::new`].
    pub(crate) unsafe fn optional(to: *mut T) -> Option<Out<T>> {
        if to.is_null() { None } else { Some(Out(to)) }
    }

    pub(crate) fn set(self, value: T) {
        // SAFETY: the contract of `new` and `optional`, which also checked for NULL.
        unsafe { self.0.write(value) };
    }
}

impl<H: Handle> Out<*mut H> {
    /// Like [`Out::new`], for a handle. Sets the handle to NULL first, so that it is NULL if the
    /// call fails.
    ///
    /// # Safety
    /// The contract of [`Out::new`].
    pub(crate) unsafe fn handle(to: *mut *mut H) -> Result<Out<*mut H>> {
        // SAFETY: the caller upholds the contract above.
        let out = unsafe { Out::new(to, H::NAME) }?;
        // SAFETY: as above; `Out::new` checked for NULL.
        unsafe { to.write(std::ptr::null_mut()) };
        Ok(out)
    }

    pub(crate) fn give(self, object: H::Object) {
        self.set(handles::add::<H>(object));
    }
}

/// Returns a string argument as text.
///
/// # Safety
/// `text` must be NULL or end with a zero byte. It must not change while the result is in use.
pub(crate) unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a str> {
    if text.is_null() {
        return Err(bad(format!("the {name} is NULL")));
    }
    // SAFETY: the caller upholds the contract above.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| bad(format!("the {name} is not UTF-8")))
}

/// Returns a pointer and length as a slice.
///
/// # Safety
/// `data` must be NULL or point to `length` bytes. They must not change while the result is in use.
pub(crate) unsafe fn bytes<'a>(data: *const u8, length: usize, name: &str) -> Result<&'a [u8]> {
    if data.is_null() {
        return Err(bad(format!("the {name} is NULL")));
    }
    if isize::try_from(length).is_err() {
        return Err(bad(format!("the length {length} of the {name} is too large")));
    }
    // SAFETY: the caller upholds the contract above; `length` does not exceed `isize::MAX`.
    Ok(unsafe { std::slice::from_raw_parts(data, length) })
}

/// Returns the ABI version of this library: the PLAYSWARM_ABI_VERSION of the header it was built
/// with.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_abi_version() -> u32 {
    crate::PLAYSWARM_ABI_VERSION
}

/// Returns the version of the library, for example "0.1.0". The string is static; do not free it.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// Frees a string that a function of this header returned as `char *`. NULL is allowed.
///
/// Returns PLAYSWARM_BAD_ARGUMENT if the pointer is not one of these strings or was freed before.
/// Nothing happens in that case.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_string_free(string: *mut c_char) -> playswarm_code {
    call_plain("playswarm_string_free", || handles::free_text(string))
}

/// Returns the number of handles and strings that were given to the caller and not released. At the
/// end of a program without leaks it is 0.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_live_handles() -> usize {
    guard("playswarm_live_handles", 0, handles::alive)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::{playswarm_error_code, playswarm_error_message, playswarm_error_unref};
    use engine::ErrorKind;

    fn failing(body: impl FnOnce() -> Result<()>) -> (playswarm_code, String) {
        let mut error = std::ptr::null_mut();
        // SAFETY: `error` is a local variable.
        let code = call("the_test", unsafe { ErrorOut::new(&raw mut error) }, body);
        assert_eq!(playswarm_error_code(error), code);
        // SAFETY: the message of a live error is a string.
        let message = unsafe { CStr::from_ptr(playswarm_error_message(error)) }.to_str().unwrap().to_owned();
        assert_eq!(playswarm_error_unref(error), playswarm_code::PLAYSWARM_OK);
        assert_eq!(playswarm_error_unref(error), playswarm_code::PLAYSWARM_BAD_ARGUMENT);
        (code, message)
    }

    #[test]
    fn a_panic_becomes_a_code_and_a_sentence() {
        let (code, message) = failing(|| panic!("out of cheese"));
        assert_eq!(code, playswarm_code::PLAYSWARM_INTERNAL);
        assert!(message.contains("the_test") && message.contains("out of cheese"), "{message}");
        assert_eq!(guard("the_test", 7, || panic!("again")), 7);
    }

    #[test]
    fn an_error_becomes_its_kind_and_its_sentence() {
        let (code, message) = failing(|| Err(Error::Cancelled));
        assert_eq!((code as i32, message.as_str()), (ErrorKind::Cancelled.number(), "the read was cancelled"));
    }

    #[test]
    fn the_error_output_is_optional() {
        assert_eq!(call_plain("the_test", || Err(Error::Closed)), playswarm_code::PLAYSWARM_CLOSED);
        let mut error = std::ptr::without_provenance_mut(16);
        // SAFETY: `error` is a local variable.
        let out = unsafe { ErrorOut::new(&raw mut error) };
        assert_eq!(call("the_test", out, || Ok(())), playswarm_code::PLAYSWARM_OK);
        assert!(error.is_null(), "it is never left as it was");
    }

    #[test]
    fn foreign_texts_and_bytes_are_checked() {
        // SAFETY: the pointers are NULL, strings that end with a zero byte, or bytes that exist.
        unsafe {
            assert!(text(std::ptr::null(), "key").unwrap_err().to_string().contains("the key is NULL"));
            assert!(text(c"\xff".as_ptr(), "key").unwrap_err().to_string().contains("UTF-8"));
            assert_eq!(text(c"dir".as_ptr(), "key").unwrap(), "dir");
            assert!(bytes(std::ptr::null(), 0, "torrent").is_err());
            assert!(bytes(b"x".as_ptr(), usize::MAX, "torrent").is_err());
            assert_eq!(bytes(b"xy".as_ptr(), 2, "torrent").unwrap(), b"xy");
            assert!(Out::<u64>::new(std::ptr::null_mut(), "size").is_err());
        }
    }
}
