//! The table of live handles. A C handle is not a pointer to memory but a number that is used once.
//! A released handle, a handle of another type and a foreign pointer are therefore always detected
//! and never dereferenced.
//!
//! The numbers are not valid addresses, so a caller that dereferences a handle faults at once.

use crate::boundary::bad;
use engine::Result;
use parking_lot::RwLock;
use std::any::Any;
use std::collections::HashMap;
use std::ffi::{CString, c_char};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

/// A handle type of the header, and the object behind it.
pub(crate) trait Handle: 'static {
    type Object: Any + Send + Sync;
    /// Name in the header, without the prefix.
    const NAME: &'static str;
}

struct Entry {
    object: Arc<dyn Any + Send + Sync>,
    name: &'static str,
    count: usize,
}

static TABLE: LazyLock<RwLock<HashMap<usize, Entry>>> = LazyLock::new(RwLock::default);
/// First handle number. On 64-bit systems it lies beyond all mapped memory: between the lower half
/// of the address space and the kernel's.
#[cfg(target_pointer_width = "64")]
const FIRST: usize = 0x7057_0000_0000_0010;
#[cfg(not(target_pointer_width = "64"))]
const FIRST: usize = 0x10;
static NEXT: AtomicUsize = AtomicUsize::new(FIRST);

/// Creates a handle with one reference.
pub(crate) fn add<H: Handle>(object: H::Object) -> *mut H {
    let number = NEXT.fetch_add(16, Ordering::Relaxed);
    let entry = Entry { object: Arc::new(object), name: H::NAME, count: 1 };
    TABLE.write().insert(number, entry);
    std::ptr::without_provenance_mut(number)
}

fn dead<H: Handle>(found: Option<&Entry>) -> engine::Error {
    match found {
        Some(entry) => bad(format!("the handle is a {}, but the function takes a {}", entry.name, H::NAME)),
        None => bad(format!("this {} handle is invalid: it was released, or was not returned by playswarm", H::NAME)),
    }
}

/// Returns the object behind a handle.
pub(crate) fn get<H: Handle>(handle: *const H) -> Result<Arc<H::Object>> {
    if handle.is_null() {
        return Err(bad(format!("the {} is NULL", H::NAME)));
    }
    let table = TABLE.read();
    let found = table.get(&handle.addr());
    let object = found.and_then(|entry| entry.object.clone().downcast().ok());
    object.ok_or_else(|| dead::<H>(found))
}

/// Adds a reference.
pub(crate) fn retain<H: Handle>(handle: *const H) -> Result<()> {
    if handle.is_null() {
        return Err(bad(format!("the {} is NULL", H::NAME)));
    }
    let mut table = TABLE.write();
    match table.get_mut(&handle.addr()) {
        Some(entry) if entry.object.is::<H::Object>() => {
            entry.count = entry.count.checked_add(1).ok_or_else(|| bad("too many references".into()))?;
            Ok(())
        }
        found => Err(dead::<H>(found.as_deref())),
    }
}

/// Releases a reference; the last release ends the handle. NULL is allowed here.
pub(crate) fn release<H: Handle>(handle: *const H) -> Result<()> {
    if handle.is_null() {
        return Ok(());
    }
    let last = {
        let mut table = TABLE.write();
        match table.get_mut(&handle.addr()) {
            Some(entry) if entry.object.is::<H::Object>() => {
                entry.count -= 1;
                if entry.count > 0 { None } else { table.remove(&handle.addr()) }
            }
            found => return Err(dead::<H>(found.as_deref())),
        }
    };
    // Outside of the lock: dropping the object may release further objects and waits for the disk.
    drop(last);
    Ok(())
}

/// Returns the number of handles and strings that the caller holds.
pub(crate) fn alive() -> usize {
    TABLE.read().len() + STRINGS.read().len()
}

static STRINGS: LazyLock<RwLock<HashMap<usize, CString>>> = LazyLock::new(RwLock::default);

/// Gives a string to the caller, which must pass it to [`free_text`].
pub(crate) fn add_text(text: CString) -> *mut c_char {
    let at = text.as_ptr().cast_mut();
    STRINGS.write().insert(at.addr(), text);
    at
}

/// Frees a string. A second free is detected as long as no later string has the same address.
pub(crate) fn free_text(text: *mut c_char) -> Result<()> {
    if text.is_null() {
        return Ok(());
    }
    let freed = STRINGS.write().remove(&text.addr());
    freed.map(drop).ok_or_else(|| bad("this string was not returned by playswarm, or was freed already".into()))
}

/// Returns a C string with the text up to its first zero byte.
pub(crate) fn c_text(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use engine::ErrorKind;
    use std::ffi::CStr;
    use std::sync::atomic::AtomicBool;

    struct Apple;
    struct Pear;
    struct Core(Arc<AtomicBool>);
    impl Drop for Core {
        fn drop(&mut self) {
            assert!(!self.0.swap(true, Ordering::SeqCst), "dropped twice");
        }
    }
    impl Handle for Apple {
        type Object = Core;
        const NAME: &'static str = "apple";
    }
    impl Handle for Pear {
        type Object = u8;
        const NAME: &'static str = "pear";
    }

    #[test]
    fn the_last_reference_ends_a_handle_and_later_uses_are_errors() {
        let gone = Arc::new(AtomicBool::new(false));
        let apple = add::<Apple>(Core(gone.clone()));
        retain(apple).unwrap();
        release(apple).unwrap();
        assert!(!gone.load(Ordering::SeqCst) && get(apple).is_ok());
        release(apple).unwrap();
        assert!(gone.load(Ordering::SeqCst));
        for e in [release(apple).unwrap_err(), retain(apple).unwrap_err(), get(apple).err().unwrap()] {
            assert_eq!(e.kind(), ErrorKind::BadArgument);
            assert!(e.to_string().contains("is invalid"), "{e}");
        }
    }

    #[test]
    fn an_object_in_use_outlives_its_handle() {
        let gone = Arc::new(AtomicBool::new(false));
        let apple = add::<Apple>(Core(gone.clone()));
        let used = get(apple).unwrap();
        release(apple).unwrap();
        assert!(!gone.load(Ordering::SeqCst));
        drop(used);
        assert!(gone.load(Ordering::SeqCst));
    }

    #[test]
    fn a_handle_of_another_type_is_an_error() {
        let pear = add::<Pear>(1);
        let e = get(pear.cast::<Apple>()).err().unwrap();
        assert!(e.to_string().contains("the handle is a pear, but the function takes a apple"), "{e}");
        assert!(release(pear.cast::<Apple>()).is_err() && retain(pear.cast::<Apple>()).is_err());
        release(pear).unwrap();
    }

    #[test]
    fn null_is_an_error_and_may_be_released() {
        assert!(get::<Pear>(std::ptr::null()).is_err() && retain::<Pear>(std::ptr::null()).is_err());
        release::<Pear>(std::ptr::null()).unwrap();
        free_text(std::ptr::null_mut()).unwrap();
    }

    #[test]
    fn a_text_is_freed_once() {
        let text = add_text(c_text("a\0b"));
        // SAFETY: `add_text` returned it, and it is not freed yet.
        assert_eq!(unsafe { CStr::from_ptr(text) }.to_bytes(), b"a");
        free_text(text).unwrap();
        assert!(free_text(text).is_err());
    }

    #[test]
    fn many_threads_take_and_give_references() {
        let pear = add::<Pear>(7).addr();
        let pear = move || std::ptr::without_provenance_mut::<Pear>(pear);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        retain(pear()).unwrap();
                        assert_eq!(*get(pear()).unwrap(), 7);
                        release(pear()).unwrap();
                    }
                });
            }
        });
        release(pear()).unwrap();
        assert!(release(pear()).is_err());
    }
}
