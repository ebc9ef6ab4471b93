//! Log lines of the whole process, passed to one callback on a separate thread. Lines are written
//! while locks are held and packets are processed, where a callback must not run.

use crate::boundary::{ErrorOut, bad, call, guard};
use crate::dispatch::{Dispatcher, Finalizer, Job, Listener};
use crate::error::{playswarm_code, playswarm_error};
use crate::event::playswarm_finalizer;
use crate::handles::c_text;
use engine::Error;
use parking_lot::{Mutex, RwLock};
use std::ffi::{c_char, c_void};
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Severity of a log line.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum playswarm_log_level {
    /// An unexpected failure.
    PLAYSWARM_LOG_ERROR = 1,
    /// A condition that may interest the user.
    PLAYSWARM_LOG_WARN = 2,
    /// The main steps, in few lines.
    PLAYSWARM_LOG_INFO = 3,
    /// Details for diagnosis, including addresses of peers.
    PLAYSWARM_LOG_DEBUG = 4,
    /// Every decision.
    PLAYSWARM_LOG_TRACE = 5,
}

/// Receives log lines on a separate thread, one at a time. `target` is the part of playswarm that
/// wrote the line. `message` is the line in UTF-8, without a line end. Both are valid until the
/// callback returns. It may call any function of this header and must not throw.
pub type playswarm_log_callback = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        level: playswarm_log_level,
        target: *const c_char,
        message: *const c_char,
    ),
>;

type LogListener = Listener<playswarm_log_callback>;

struct Sink {
    listener: Arc<LogListener>,
    dispatcher: Dispatcher,
}

/// Current log level; 0 if logging is off.
static LEVEL: AtomicI32 = AtomicI32::new(0);
static LOST: AtomicU64 = AtomicU64::new(0);
static JOBS: RwLock<Option<(Arc<LogListener>, mpsc::Sender<Job>)>> = RwLock::new(None);
static SINK: Mutex<Option<Sink>> = Mutex::new(None);

fn number(level: &Level) -> i32 {
    match *level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// Whether a line is logged. Our own lines follow the requested level; lines of dependencies are
/// limited to those that concern the user.
fn wanted(meta: &Metadata<'_>) -> bool {
    let level = LEVEL.load(Ordering::Relaxed);
    let ours = meta.target().starts_with("playswarm");
    meta.is_event() && number(meta.level()) <= if ours { level } else { level.min(2) }
}

struct Lines;

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn register_callsite(&self, meta: &'static Metadata<'static>) -> Interest {
        // Evaluated again whenever the level changes.
        if wanted(meta) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, meta: &Metadata<'_>, _: Context<'_, S>) -> bool {
        wanted(meta)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match LEVEL.load(Ordering::Relaxed) {
            0 => LevelFilter::OFF,
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let jobs = JOBS.read();
        let Some((listener, jobs)) = &*jobs else { return };
        let meta = event.metadata();
        let mut line = Line(String::new());
        event.record(&mut line);
        let (level, target, line) = (number(meta.level()), c_text(meta.target()), c_text(&line.0));
        let listener = listener.clone();
        let job: Job = Box::new(move || {
            let lost = LOST.swap(0, Ordering::Relaxed);
            if lost > 0 {
                let line = c_text(&format!("{lost} log lines were lost: the callback was too slow"));
                say(&listener, 2, c"playswarm::log", &line);
            }
            say(&listener, level, &target, &line);
        });
        if jobs.try_send(job).is_err() {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn say(listener: &LogListener, level: i32, target: &std::ffi::CStr, line: &std::ffi::CStr) {
    use playswarm_log_level::*;
    let level = match level {
        1 => PLAYSWARM_LOG_ERROR,
        2 => PLAYSWARM_LOG_WARN,
        3 => PLAYSWARM_LOG_INFO,
        4 => PLAYSWARM_LOG_DEBUG,
        _ => PLAYSWARM_LOG_TRACE,
    };
    listener.call(|callback, user_data| {
        if let Some(callback) = callback {
            // SAFETY: the caller registered it for this; both strings live until it returns.
            unsafe { callback(user_data, level, target.as_ptr(), line.as_ptr()) };
        }
    });
}

/// Formats the message first, then the fields.
struct Line(String);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = if field.name() == "message" {
            let rest = std::mem::take(&mut self.0);
            write!(self.0, "{value:?}{rest}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }
}

/// Sends log lines up to `level` (1 to 5) of all sessions of the process to `callback`. NULL ends
/// logging. Without a callback nothing is logged.
///
/// The process has one log callback; a new one replaces it. When this function returns, the old
/// callback is not called again, unless this function was called from it. `user_data` and
/// `finalizer` work as in playswarm_torrent_set_event_callback. If the callback is too slow, lines
/// are dropped and their number is logged. Callable from any thread, including callbacks.
///
/// Errors: PLAYSWARM_BAD_ARGUMENT for any other level; PLAYSWARM_IO in a Rust program that already
/// has its own logger.
///
/// # Safety
/// `callback` must be callable with `user_data` from another thread until it ends. `error` must be
/// NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn playswarm_set_log_callback(
    level: i32,
    callback: playswarm_log_callback,
    user_data: *mut c_void,
    finalizer: playswarm_finalizer,
    error: *mut *mut playswarm_error,
) -> playswarm_code {
    let finalizer: Finalizer = finalizer;
    // SAFETY: `error` is NULL or valid for writes, as the contract says.
    let error = unsafe { ErrorOut::new(error) };
    call("playswarm_set_log_callback", error, || {
        if callback.is_none() {
            replace(0, None);
            return Ok(());
        }
        if !(1..=5).contains(&level) {
            return Err(bad(format!("there is no log level {level}; use 1 to 5")));
        }
        let io = |doing, source| Error::Io { doing, source };
        static INSTALLED: OnceLock<bool> = OnceLock::new();
        let ours = *INSTALLED.get_or_init(|| {
            tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Lines)).is_ok()
        });
        if !ours {
            return Err(io("cannot log", std::io::Error::other("this program has already installed a log subscriber")));
        }
        let dispatcher = Dispatcher::start("playswarm-log").map_err(|e| io("cannot start a thread", e))?;
        replace(level, Some(Sink { listener: Listener::new(callback, user_data, finalizer), dispatcher }));
        Ok(())
    })
}

fn replace(level: i32, new: Option<Sink>) {
    let jobs = new.as_ref().and_then(|sink| Some((sink.listener.clone(), sink.dispatcher.sender()?)));
    let old = {
        let mut sink = SINK.lock();
        *JOBS.write() = jobs;
        LEVEL.store(level, Ordering::Relaxed);
        std::mem::replace(&mut *sink, new)
    };
    tracing::callsite::rebuild_interest_cache();
    if let Some(Sink { listener, dispatcher }) = old {
        // Delivers the last lines first, unless this runs inside the old callback.
        drop(dispatcher);
        listener.retire();
    }
}

/// Returns the name of a level, such as "warn", or NULL for an unknown number. The string is
/// static; do not free it.
#[unsafe(no_mangle)]
pub extern "C" fn playswarm_log_level_name(level: i32) -> *const c_char {
    guard("playswarm_log_level_name", std::ptr::null(), || match level {
        1 => c"error".as_ptr(),
        2 => c"warn".as_ptr(),
        3 => c"info".as_ptr(),
        4 => c"debug".as_ptr(),
        5 => c"trace".as_ptr(),
        _ => std::ptr::null(),
    })
}
