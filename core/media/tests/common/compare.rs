//! Compares our index with ffprobe.

use super::{Film, Read, Truth, locate};
use playswarm_media::{Accuracy, Container, Timeline};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Tolerance in seconds: ffprobe prints microseconds, and durations here are whole nanoseconds.
const TIME_ERROR_S: f64 = 0.001;

/// The errors of a film's index and the cost of reading it; prints as a row of a table.
#[derive(Debug)]
pub struct Row {
    pub film: String,
    pub size: u64,
    pub accuracy: Accuracy,
    pub duration_s: f64,
    pub duration_error_s: f64,
    /// Error of the first timestamp.
    pub origin_error_s: f64,
    /// Duration of a frame.
    pub frame_s: f64,
    /// Number of keyframes known to us, and to ffprobe.
    pub keyframes: usize,
    pub keyframes_true: usize,
    /// Largest distance of a keyframe known to us from the nearest of ffprobe's.
    pub max_time_error_s: f64,
    /// Number of our keyframes at a position other than that of ffprobe's keyframe of that time.
    pub offsets_wrong: usize,
    /// Number of keyframes whose `from` is behind a packet that is played then or later.
    pub from_wrong: usize,
    /// Largest distance of `from` before the keyframe.
    pub max_lead: u64,
    pub touched: u64,
    pub rounds: usize,
    pub held: usize,
    pub parse: Duration,
}

impl Row {
    pub const HEAD: &str = "\
        | file | MB | duration s (error) | accuracy | keyframes (of) | max time error ms | offsets wrong | from wrong \
        | touched KiB | share % | rounds | held KiB | parse ms |\n\
        |---|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|";

    pub fn share(&self) -> f64 {
        self.touched as f64 / self.size as f64
    }

    /// Asserts that all known keyframes are right, and that an index that claims to be exact has
    /// all.
    pub fn assert_right(&self) {
        assert!(!matches!(self.accuracy, Accuracy::Estimate { .. }), "{}: {:?}", self.film, self.accuracy);
        assert!(self.duration_error_s.abs() <= self.frame_s + TIME_ERROR_S, "duration: {self:#?}");
        assert!(self.origin_error_s.abs() <= self.frame_s + TIME_ERROR_S, "start: {self:#?}");
        assert!(self.max_time_error_s <= TIME_ERROR_S, "times: {self:#?}");
        assert_eq!((self.offsets_wrong, self.from_wrong), (0, 0), "offsets: {self:#?}");
        if self.accuracy == Accuracy::Exact {
            assert_eq!(self.keyframes, self.keyframes_true, "keyframes: {self:#?}");
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accuracy = match &self.accuracy {
            Accuracy::Exact => "exact",
            Accuracy::Sparse => "sparse",
            _ => "estimate",
        };
        write!(
            f,
            "| {} | {:.2} | {:.3} ({:+.3}) | {accuracy} | {} ({}) | {:.3} | {} | {} | {} | {:.3} | {} | {} | {:.2} |",
            self.film,
            self.size as f64 / 1e6,
            self.duration_s,
            self.duration_error_s,
            self.keyframes,
            self.keyframes_true,
            self.max_time_error_s * 1e3,
            self.offsets_wrong,
            self.from_wrong,
            self.touched >> 10,
            self.share() * 100.0,
            self.rounds,
            self.held >> 10,
            self.parse.as_secs_f64() * 1e3,
        )
    }
}

/// Compares an index with ffprobe's output. A keyframe before the start counts as at the start: an
/// edit list cut it away, but decoding needs it. Of several, as AAC has them, the last counts.
pub fn compare(film: &Film, truth: &Truth, read: &Read) -> Row {
    let timeline = &read.timeline;
    let origin = timeline.origin_us() as f64 / 1e6;
    let mut keys = truth.keyframes();
    keys.drain(..keys.partition_point(|k| k.0 <= origin).saturating_sub(1));
    for key in &mut keys {
        key.0 = key.0.max(origin);
    }
    let ours: Vec<f64> = timeline.keyframes().iter().map(|k| k.time.as_secs_f64() + origin).collect();
    let lowest = truth.lowest_from(&ours);
    let sparse = *timeline.accuracy() == Accuracy::Sparse;
    let mut row = Row {
        film: film.name.clone(),
        size: timeline.size(),
        accuracy: timeline.accuracy().clone(),
        duration_s: timeline.duration().as_secs_f64(),
        duration_error_s: timeline.duration().as_secs_f64() - truth.duration,
        origin_error_s: origin - truth.start,
        frame_s: truth.frame(),
        keyframes: ours.len(),
        keyframes_true: keys.len(),
        max_time_error_s: 0.0,
        offsets_wrong: 0,
        from_wrong: 0,
        max_lead: 0,
        touched: read.touched,
        rounds: read.rounds,
        held: read.held,
        parse: read.parse,
    };
    for ((keyframe, time), lowest) in timeline.keyframes().iter().zip(ours).zip(lowest) {
        let (true_time, true_offset) = nearest(&keys, time);
        row.max_time_error_s = row.max_time_error_s.max((time - true_time).abs());
        // Cues give the cluster. Reading it gives the block.
        let offset = match timeline.container() {
            Container::Matroska => locate(film, timeline, keyframe.time).0.offset,
            _ => keyframe.offset,
        };
        let reached = is_reached(truth, offset, true_offset);
        row.offsets_wrong += usize::from(offset != true_offset && !(sparse && reached));
        row.from_wrong += usize::from(keyframe.from > lowest);
        row.max_lead = row.max_lead.max(keyframe.offset - keyframe.from);
    }
    row
}

/// Whether reading on from an offset reaches that keyframe as the first packet of the main track. A
/// sparse index of fragments or clusters knows no more until a search has read there.
fn is_reached(truth: &Truth, offset: u64, keyframe: u64) -> bool {
    offset <= keyframe && !truth.main_packets().filter_map(|p| p.pos).any(|pos| (offset..keyframe).contains(&pos))
}

fn nearest(keys: &[(f64, u64)], time: f64) -> (f64, u64) {
    let after = keys.partition_point(|k| k.0 < time);
    let near = &keys[after.saturating_sub(1)..keys.len().min(after + 1)];
    let nearest = near.iter().min_by(|a, b| (a.0 - time).abs().total_cmp(&(b.0 - time).abs()));
    nearest.copied().unwrap_or((f64::NAN, u64::MAX))
}

/// Seeks to the start, the end, the keyframes and between them. Asserts that each seek point is the
/// keyframe at or before the time. Returns the most bytes that a seek touched.
pub fn check_landings(film: &Film, truth: &Truth, timeline: &Arc<Timeline>) -> u64 {
    let origin = timeline.origin_us() as f64 / 1e6;
    let keys = truth.keyframes();
    let step = keys.len().div_ceil(40).max(1);
    let on_keys = keys.iter().step_by(step).map(|k| k.0 - origin + 2.0 * TIME_ERROR_S);
    let between = (0..40).map(|n| truth.duration * f64::from(n) / 39.0);
    let mut most = 0;
    for time in on_keys.chain(between).map(|time| time.clamp(0.0, timeline.duration().as_secs_f64())) {
        let (seek_point, touched) = locate(film, timeline, Duration::from_secs_f64(time));
        let before = |time: f64| keys[keys.partition_point(|k| k.0 <= time + origin).saturating_sub(1)];
        // Within the error of a keyframe's time, both it and the previous one are right.
        let (late, early) = (before(time + TIME_ERROR_S), before(time - TIME_ERROR_S));
        let (key_time, key_offset) = if seek_point.offset == early.1 { early } else { late };
        let error = seek_point.time.as_secs_f64() - (key_time - origin).max(0.0);
        let what = format!("{}: a seek to {time} gave {seek_point:?}, but the keyframe is at {key_time}", film.name);
        assert!(
            error.abs() <= TIME_ERROR_S && seek_point.offset == key_offset && !seek_point.estimated,
            "{what}, {key_offset}"
        );
        assert!(seek_point.from <= seek_point.offset && seek_point.offset < seek_point.until, "{what}");
        assert!(seek_point.from <= truth.lowest_from(&[key_time])[0], "{what}, its `from` is too late");
        most = most.max(touched);
    }
    most
}
