//! Tells those who run a loop of their own when more of a stream can be read: by a callback, or by a file descriptor.

use crate::dispatch::{Job, Listener};
use engine::Readable;
use std::ffi::c_void;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use tokio::sync::{Notify, mpsc};

/// Told to look.
pub(crate) type Callback = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Where a stream is, for who watches it. Shared by the stream and the tasks that watch it.
#[derive(Default)]
pub(crate) struct Place {
    position: AtomicU64,
    /// The stream was sought, or cancelled: who watches should look.
    moved: Notify,
}

impl Place {
    /// The stream was read.
    pub(crate) fn set(&self, position: u64) {
        self.position.store(position, Ordering::SeqCst);
    }

    /// The stream is somewhere else now, or what it says is.
    pub(crate) fn poke(&self) {
        self.moved.notify_waiters();
    }
}

/// Calls `tell` at once, whenever more can be read, after seeks and cancels, and when the torrent is closed, which is the
/// last time.
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

/// A descriptor that becomes readable when somebody should look.
#[derive(Default)]
pub(crate) struct Bell(OnceLock<OwnedFd>);

impl Bell {
    /// The descriptor; made the first time, and then `true`.
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
            // Full: then it rings already.
            let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
        }
    }
}

/// Hands what is told to the thread that calls back.
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
            // Where there is no thread to call back on any more there is nobody to tell.
            let _ = jobs.send(job).await;
        }
    })
    .await;
}
