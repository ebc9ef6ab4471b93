//! Forwards the engine's log to Python's `logging`. A subscriber puts events into a bounded queue,
//! and a Python thread takes them out. Threads of the runtime never wait for the GIL to log.

use crate::runtime::{self, Inside, is_forked};
use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;
use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

/// Largest number of queued records. Further ones are counted and dropped.
const MAX_WAITING: usize = 4096;
/// Longest wait of a call of [`next_log`].
const TURN: Duration = Duration::from_millis(200);

/// Log levels of Python.
const ERROR: u8 = 40;
const WARNING: u8 = 30;
const INFO: u8 = 20;
const DEBUG: u8 = 10;
const TRACE: u8 = 5;

/// Level, target, message, fields by name, spans from the outermost to the innermost, file, line.
type Record = (u8, String, String, Vec<(String, String)>, Vec<String>, Option<String>, u32);

static LEVEL: AtomicU8 = AtomicU8::new(WARNING);
static QUEUE: Mutex<VecDeque<Record>> = Mutex::new(VecDeque::new());
static NEWS: Condvar = Condvar::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Sets the lowest level to log. The first call installs the subscriber. Returns whether it is
/// installed, which fails if the process already has another subscriber.
#[pyfunction]
pub(crate) fn log_level(level: u8) -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    LEVEL.store(level, Ordering::Relaxed);
    let installed =
        *INSTALLED.get_or_init(|| tracing::subscriber::set_global_default(Registry::default().with(Bridge)).is_ok());
    tracing::callsite::rebuild_interest_cache();
    installed
}

/// Takes the queued records, or waits briefly for some. Returns `None` when the interpreter is
/// about to end. The number counts the records dropped since the last call.
#[pyfunction]
pub(crate) fn next_log(py: Python<'_>) -> Option<(Vec<Record>, u64)> {
    let _inside = Inside::enter().filter(|_| !is_forked())?;
    py.detach(|| {
        let mut queue = QUEUE.lock();
        if queue.is_empty() {
            NEWS.wait_for(&mut queue, TURN);
        }
        let records = queue.drain(..).collect();
        drop(queue);
        (!runtime::is_ending()).then(|| (records, DROPPED.swap(0, Ordering::Relaxed)))
    })
}

fn level_of(level: Level) -> u8 {
    match level {
        Level::ERROR => ERROR,
        Level::WARN => WARNING,
        Level::INFO => INFO,
        Level::DEBUG => DEBUG,
        Level::TRACE => TRACE,
    }
}

struct Bridge;

/// The name and the fields of a span, as text.
struct SpanText(String);

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(String, String)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.others.push((field.name().to_owned(), format!("{value:?}")));
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.others.push((field.name().to_owned(), value.to_owned()));
        }
    }
}

/// Whether an event is logged. Other crates log internal details, so they need a higher level.
fn is_wanted(metadata: &Metadata<'_>) -> bool {
    let wanted = LEVEL.load(Ordering::Relaxed);
    let target = metadata.target();
    let least = if target.starts_with("playswarm") {
        wanted
    } else if target.starts_with("librqbit_utp") {
        // It warns of a small socket buffer at each start, which requires no action by the user.
        wanted.max(ERROR)
    } else {
        wanted.max(WARNING)
    };
    level_of(*metadata.level()) >= least
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        is_wanted(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let levels = [LevelFilter::TRACE, LevelFilter::DEBUG, LevelFilter::INFO, LevelFilter::WARN, LevelFilter::ERROR];
        let wanted = LEVEL.load(Ordering::Relaxed);
        let least = levels.into_iter().find(|l| l.into_level().is_some_and(|l| level_of(l) >= wanted));
        Some(least.unwrap_or(LevelFilter::OFF))
    }

    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut fields = Fields::default();
        attrs.record(&mut fields);
        let mut text = attrs.metadata().name().to_owned();
        for (name, value) in &fields.others {
            let _ = write!(text, " {name}={value}");
        }
        span.extensions_mut().insert(SpanText(text));
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        if runtime::is_ending() || is_forked() {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let spans = ctx.event_scope(event).map_or_else(Vec::new, |scope| {
            scope.from_root().filter_map(|s| s.extensions().get::<SpanText>().map(|t| t.0.clone())).collect()
        });
        let meta = event.metadata();
        let record = (
            level_of(*meta.level()),
            meta.target().to_owned(),
            fields.message,
            fields.others,
            spans,
            meta.file().map(str::to_owned),
            meta.line().unwrap_or(0),
        );
        let mut queue = QUEUE.lock();
        if queue.len() < MAX_WAITING {
            queue.push_back(record);
            NEWS.notify_one();
        } else {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}
