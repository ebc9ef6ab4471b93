//! `playswarm_canceller`, and the flag that it shares with streams.

use crate::border::{Out, call, call_plain, guard};
use crate::error::{playswarm_code, playswarm_error};
use crate::handles::{self, Handle};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// A flag that ends waiting. It stays set until it is reset.
#[derive(Default)]
pub(crate) struct Flag {
    set: AtomicBool,
    /// Wakes those who wait, for whatever reason they should look again.
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

    /// Ends once it is set.
    pub(crate) async fn wait(&self) {
        loop {
            let mut poked = std::pin::pin!(self.poke.notified());
            // Before the look, so that no poke falls between.
            poked.as_mut().enable();
            if self.is_set() {
                return;
            }
            poked.await;
        }
    }
}

/// Ends a call that waits (opening a torrent, looking through files) from another thread.
pub struct playswarm_canceller {
    _private: (),
}

impl Handle for playswarm_canceller {
    type Object = Flag;
    const NAME: &'static str = "canceller";
}

/// Makes a canceller with one reference, which the caller gives back with playswarm_canceller_unref. From any thread.
///
/// # Safety
/// `canceller` may be written; `error` is NULL or may be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_canceller_new(
    canceller: *mut *mut playswarm_canceller,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    // SAFETY: the caller's promise, for all of these.
    unsafe {
        call("playswarm_canceller_new", error, || {
            Out::handle(canceller)?.give(Flag::default());
            Ok(())
        })
    }
}

/// Ends the calls that wait with this canceller, and all later ones at once, with PLAYSWARM_CANCELLED. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_canceller_cancel(canceller: *mut playswarm_canceller) -> playswarm_code {
    call_plain("playswarm_canceller_cancel", || handles::get(canceller).map(|flag| flag.set()))
}

/// Makes it as if it had not been cancelled. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_canceller_reset(canceller: *mut playswarm_canceller) -> playswarm_code {
    call_plain("playswarm_canceller_reset", || handles::get(canceller).map(|flag| flag.reset()))
}

/// 1 while it is cancelled, else 0; 0 for NULL and for what is no live canceller. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_canceller_is_cancelled(canceller: *const playswarm_canceller) -> i32 {
    guard("playswarm_canceller_is_cancelled", 0, || i32::from(handles::get(canceller).is_ok_and(|flag| flag.is_set())))
}

/// Takes one more reference. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_canceller_ref(canceller: *mut playswarm_canceller) -> playswarm_code {
    call_plain("playswarm_canceller_ref", || handles::retain(canceller))
}

/// Gives a reference back; calls that wait with it may still do so. NULL is no mistake. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_canceller_unref(canceller: *mut playswarm_canceller) -> playswarm_code {
    call_plain("playswarm_canceller_unref", || handles::release(canceller))
}
