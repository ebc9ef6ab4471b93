//! Notifies callers with their own event loop when more of a stream can be read, by a callback or a
//! file descriptor.

use crate::dispatch::{Job, Listener};
use crate::reader::Readable;
use std::ffi::c_void;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use tokio::sync::{Notify, mpsc};

/// The callback that signals a change.
pub(crate) type Callback = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// The position of a stream, shared by the stream and the tasks that watch it.
#[derive(Default)]
pub(crate) struct Place {
    position: AtomicU64,
    /// Signals that the stream moved or was cancelled, so that watchers check it.
    moved: Notify,
}

impl Place {
    /// Records the position after a read.
    pub(crate) fn set(&self, position: u64) {
        self.position.store(position, Ordering::SeqCst);
    }

    /// Notifies the watchers after a seek or a cancellation.
    pub(crate) fn poke(&self) {
        self.moved.notify_waiters();
    }
}

/// Calls `tell` at once, whenever more data can be read, and after seeks and cancellations. The
/// last call is made when the torrent is closed or the channel's stream has ended.
pub(crate) async fn watch<T>(readable: Readable, place: Arc<Place>, tell: impl Fn() -> T)
where
    T: Future<Output = ()> + Send,
{
    loop {
        let mut moved = std::pin::pin!(place.moved.notified());
        moved.as_mut().enable();
        let position = place.position.load(Ordering::SeqCst);
        let known = readable.at(position);
        tell().await;
        tokio::select! {
            changed = readable.changed(position, known) => {
                if changed.is_err() {
                    return tell().await;
                }
            }
            () = moved => {}
        }
    }
}

/// An eventfd that becomes readable when the stream should be checked.
#[derive(Default)]
pub(crate) struct Wakeup(OnceLock<OwnedFd>);

impl Wakeup {
    /// Returns the descriptor, and whether this call created it.
    pub(crate) fn fd(&self) -> std::io::Result<(RawFd, bool)> {
        if let Some(fd) = self.0.get() {
            return Ok((fd.as_raw_fd(), false));
        }
        use rustix::event::{EventfdFlags, eventfd};
        let new = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let mut first = false;
        let fd = self.0.get_or_init(|| {
            first = true;
            new
        });
        Ok((fd.as_raw_fd(), first))
    }

    pub(crate) fn ring(&self) {
        if let Some(fd) = self.0.get() {
            // A full counter already signals.
            let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
        }
    }
}

/// Sends notifications to the callback thread.
pub(crate) async fn call_back(
    readable: Readable,
    place: Arc<Place>,
    listener: Weak<Listener<Callback>>,
    jobs: mpsc::Sender<Job>,
) {
    watch(readable, place, move || {
        let (listener, jobs) = (listener.clone(), jobs.clone());
        let job: Job = Box::new(move || {
            let Some(listener) = listener.upgrade() else { return };
            listener.call(|callback, user_data| {
                if let Some(callback) = callback {
                    // SAFETY: the caller registered it for this.
                    unsafe { callback(user_data) };
                }
            });
        });
        async move {
            // Fails only when the callback thread has ended, and then there is no receiver.
            let _ = jobs.send(job).await;
        }
    })
    .await;
}
