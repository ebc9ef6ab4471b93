//! `playswarm_canceller`, and the cancellation flag that it shares with streams.

use crate::boundary::{ErrorOut, Out, call, call_plain, guard};
use crate::error::{playswarm_code, playswarm_error};
use crate::handles::{self, Handle};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// A flag that ends waiting calls. It stays set until it is reset.
#[derive(Default)]
pub(crate) struct Flag {
    set: AtomicBool,
    /// Wakes the waiting calls, so that they check their condition again.
    pub(crate) poke: Notify,
}

impl Flag {
    pub(crate) fn set(&self) {
        self.set.store(true, Ordering::SeqCst);
        self.poke.notify_waiters();
    }

    pub(crate) fn reset(&self) {
        self.set.store(false, Ordering::SeqCst);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.set.load(Ordering::SeqCst)
    }

    /// Completes once the flag is set.
    pub(crate) async fn wait(&self) {
        loop {
            let mut poked = std::pin::pin!(self.poke.notified());
            // Registers before the check, so that no notification is lost in between.
            poked.as_mut().enable();
            if self.is_set() {
                return;
            }
            poked.await;
        }
    }
}

/// A means to end a waiting call (opening a torrent, checking files) from another thread.
pub struct playswarm_canceller {
    _private: (),
}

impl Handle for playswarm_canceller {
    type Object = Flag;
    const NAME: &'static str = "canceller";
}

/// Creates a canceller with one reference. The caller releases it with playswarm_canceller_unref.
/// Callable from any thread.
///
/// # Safety
/// `canceller` must be valid for writes. `error` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_canceller_new(
    canceller: *mut *mut playswarm_canceller,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_canceller_new", error, || {
        // SAFETY: `canceller` is NULL or valid for writes.
        unsafe { Out::handle(canceller) }?.give(Flag::default());
        Ok(())
    })
}

/// Ends all calls that wait with this canceller, with PLAYSWARM_CANCELLED. Later calls with it fail
/// at once. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_canceller_cancel(canceller: *mut playswarm_canceller) -> playswarm_code {
    call_plain("playswarm_canceller_cancel", || handles::get(canceller).map(|flag| flag.set()))
}

/// Resets the canceller to its uncancelled state. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_canceller_reset(canceller: *mut playswarm_canceller) -> playswarm_code {
    call_plain("playswarm_canceller_reset", || handles::get(canceller).map(|flag| flag.reset()))
}

/// Returns 1 while the canceller is cancelled, otherwise 0. Returns 0 for NULL and for handles that
/// are not a live canceller. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_canceller_is_cancelled(canceller: *const playswarm_canceller) -> i32 {
    guard("playswarm_canceller_is_cancelled", 0, || i32::from(handles::get(canceller).is_ok_and(|flag| flag.is_set())))
}

/// Adds a reference. Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_canceller_ref(canceller: *mut playswarm_canceller) -> playswarm_code {
    call_plain("playswarm_canceller_ref", || handles::retain(canceller))
}

/// Releases a reference. Calls that wait with this canceller continue to wait. NULL is allowed.
/// Callable from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_canceller_unref(canceller: *mut playswarm_canceller) -> playswarm_code {
    call_plain("playswarm_canceller_unref", || handles::release(canceller))
}
