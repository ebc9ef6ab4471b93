//! The thread on which callbacks run, and the registered callbacks. A callback never runs while a
//! lock is held that other functions of the header take. It may therefore call any of them.

use parking_lot::{Mutex, ReentrantMutex};
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// Number of calls that may wait for the thread. Senders wait when the queue is full, and excess
/// events are dropped at their source.
const QUEUE: usize = 256;

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// A thread that runs jobs one after another.
pub(crate) struct Dispatcher {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Dispatcher {
    pub(crate) fn start(name: &str) -> io::Result<Dispatcher> {
        let (jobs, mut heard) = mpsc::channel::<Job>(QUEUE);
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            while let Some(job) = heard.blocking_recv() {
                crate::boundary::guard("a callback", (), job);
            }
        })?;
        Ok(Dispatcher { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Returns the sender for jobs, or `None` once the dispatcher is ending.
    pub(crate) fn sender(&self) -> Option<mpsc::Sender<Job>> {
        self.jobs.clone()
    }
}

impl Drop for Dispatcher {
    /// Waits for the thread to end, unless this is that thread: a callback may release the last
    /// handle.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // The job's panic was already caught.
            let _ = thread.join();
        }
    }
}

/// Frees the user data that was registered with a callback.
pub(crate) type Finalizer = Option<unsafe extern "C" fn(*mut c_void)>;

/// A callback `F` with its user data. It runs on one thread at a time. After it is retired it is
/// not called again, and its user data is freed exactly once.
pub(crate) struct Listener<F: Copy> {
    callback: F,
    state: ReentrantMutex<State>,
}

struct State {
    user_data: UserData,
    finalizer: RefCell<Finalizer>,
    running: Cell<bool>,
    retired: Cell<bool>,
}

struct UserData(*mut c_void);
// SAFETY: playswarm only passes the pointer back to the caller's functions. The header documents on
// which threads.
unsafe impl Send for UserData {}

impl<F: Copy> Listener<F> {
    pub(crate) fn new(callback: F, user_data: *mut c_void, finalizer: Finalizer) -> Arc<Listener<F>> {
        let state = State {
            user_data: UserData(user_data),
            finalizer: RefCell::new(finalizer),
            running: Cell::new(false),
            retired: Cell::new(false),
        };
        Arc::new(Listener { callback, state: ReentrantMutex::new(state) })
    }

    /// Runs the callback through `call`, unless it is retired.
    pub(crate) fn call(&self, call: impl FnOnce(F, *mut c_void)) {
        let state = self.state.lock();
        if state.retired.get() || state.running.get() {
            return;
        }
        state.running.set(true);
        call(self.callback, state.user_data.0);
        state.running.set(false);
        if state.retired.get() {
            state.finish();
        }
    }

    /// Waits for a callback that is running on another thread; none runs afterwards. The user data
    /// is freed now or, if the callback itself retires the listener, when the callback returns.
    pub(crate) fn retire(&self) {
        let state = self.state.lock();
        state.retired.set(true);
        if !state.running.get() {
            state.finish();
        }
    }
}

impl State {
    fn finish(&self) {
        // Taken first, because the finalizer may call back into this object.
        let finalizer = self.finalizer.borrow_mut().take();
        if let Some(finalizer) = finalizer {
            // SAFETY: the caller registered both together, for one call after the last callback.
            unsafe { finalizer(self.user_data.0) };
        }
    }
}

/// A slot for one listener. Setting another listener retires the previous one, and so does dropping
/// the slot.
pub(crate) struct Slot<F: Copy, R>(Mutex<Option<Registered<F, R>>>);

struct Registered<F: Copy, R> {
    listener: Arc<Listener<F>>,
    /// The source of its events, which ends when it is dropped.
    _feed: R,
}

impl<F: Copy, R> Default for Slot<F, R> {
    fn default() -> Self {
        Slot(Mutex::default())
    }
}

impl<F: Copy, R> Slot<F, R> {
    pub(crate) fn set(&self, new: Option<(Arc<Listener<F>>, R)>) {
        let new = new.map(|(listener, feed)| Registered { listener, _feed: feed });
        let old = std::mem::replace(&mut *self.0.lock(), new);
        // Outside of the lock, because the finalizer may call back into this object.
        if let Some(old) = old {
            old.listener.retire();
        }
    }
}

impl<F: Copy, R> Drop for Slot<F, R> {
    fn drop(&mut self) {
        if let Some(old) = self.0.get_mut().take() {
            old.listener.retire();
        }
    }
}

/// A task that is aborted when this is dropped.
pub(crate) struct Task(pub(crate) tokio::task::JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    type Callback = fn(usize);

    unsafe extern "C" fn count(calls: *mut c_void) {
        // SAFETY: the tests pass an AtomicUsize that outlives the listener.
        unsafe { (*calls.cast::<AtomicUsize>()).fetch_add(1, Ordering::SeqCst) };
    }

    fn nothing(_: usize) {}

    #[test]
    fn what_was_given_along_is_freed_once_and_nothing_is_called_afterwards() {
        let freed = AtomicUsize::new(0);
        let listener = Listener::new(nothing as Callback, (&raw const freed).cast_mut().cast(), Some(count));
        let mut calls = 0;
        listener.call(|_, _| calls += 1);
        listener.retire();
        listener.retire();
        listener.call(|_, _| calls += 1);
        assert_eq!((calls, freed.load(Ordering::SeqCst)), (1, 1));
    }

    #[test]
    fn a_callback_that_retires_itself_still_has_what_was_given_along() {
        let freed = AtomicUsize::new(0);
        let listener = Listener::new(nothing as Callback, (&raw const freed).cast_mut().cast(), Some(count));
        listener.call(|_, _| {
            listener.retire();
            assert_eq!(freed.load(Ordering::SeqCst), 0, "it is being used");
        });
        assert_eq!(freed.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn the_next_listener_of_a_place_retires_the_last() {
        let freed = AtomicUsize::new(0);
        let listener = || Listener::new(nothing as Callback, (&raw const freed).cast_mut().cast(), Some(count));
        let slot = Slot::<Callback, ()>::default();
        slot.set(Some((listener(), ())));
        slot.set(Some((listener(), ())));
        assert_eq!(freed.load(Ordering::SeqCst), 1);
        drop(slot);
        assert_eq!(freed.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn the_thread_does_all_it_was_given_before_it_ends() {
        let done = Arc::new(AtomicUsize::new(0));
        let dispatcher = Dispatcher::start("test").unwrap();
        for n in 0..10 {
            let done = done.clone();
            let job: Job = Box::new(move || {
                done.fetch_add(1, Ordering::SeqCst);
                assert_ne!(n, 3, "the others are done all the same");
            });
            assert!(dispatcher.sender().unwrap().blocking_send(job).is_ok());
        }
        drop(dispatcher);
        assert_eq!(done.load(Ordering::SeqCst), 10);
    }
}
