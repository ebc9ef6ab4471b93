//! MPEG transport streams (ISO/IEC 13818-1). They have no index: the ends give the duration and the
//! streams, and times between are found by the timestamps of the pictures.
//!
//! A film is one program with one continuous time base. Timestamps wrap every 26.5 hours; times of
//! a longer recording are known only up to the wrap. Where timestamps jump, a search that detects
//! it falls back to the line from the first byte to the last.

pub(crate) mod keys;
pub(crate) mod packet;
pub(crate) mod program;
mod reading;
mod resolution;
mod samples;
mod sound;

use crate::bisect::{Bisect, Bounds, Point, Reading, Stream};
use crate::container::Container;
use crate::held::{Held, Step, Walk};
use crate::locate::SeekPoint;
use crate::timeline::{Keyframe, Search, Timeline, Track, TrackKind};
use packet::{Layout, Packets};
use program::Tables;
use reading::{Event, TICKS, Transport, WRAP, ticks_since, us};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of each end read first, and at most: a second at 16 Mbit/s.
const WINDOW: u64 = 64 << 10;
const MAX_WINDOW: u64 = 2 << 20;
/// Bytes after which a stream that the tables name but that has no packets is no longer waited for.
const ENOUGH: u64 = 256 << 10;
/// Most starts of PES packets remembered of an end.
const MAX_EVENTS: usize = 20_000;
/// Largest ratio of the mean rate to the rate at the beginning. A larger one means that the
/// timestamps at the ends do not belong together.
const MAX_RATIO: f64 = 50.0;
/// Longest duration in microseconds of one frame or one PES packet of audio.
const MAX_FRAME_US: i64 = 10_000_000;
/// Longest reordering in microseconds between the transmission and the display of pictures.
const MAX_REORDER_US: i64 = 1_000_000;
/// Keyframe spacing in microseconds while it is unknown, and its bounds.
const BACK_US: i64 = 2_000_000;
const LEAST_BACK_US: i64 = 300_000;
const MOST_BACK_US: i64 = 10_000_000;
/// Microseconds of a stream without video to buffer before playback starts.
const AUDIO_REACH_US: i64 = 1_000_000;

/// A walk over both ends of the file.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// Bytes read of each end, doubled until they are sufficient.
    head_window: u64,
    tail_window: u64,
    head: Option<Head>,
}

/// The information from the beginning.
#[derive(Debug)]
struct Head {
    transport: Transport,
    tracks: Vec<Track>,
    events: Vec<Event>,
}

impl Ends {
    pub(crate) fn new() -> Ends {
        Ends { head_window: WINDOW, tail_window: WINDOW, head: None }
    }

    /// Returns the information from the beginning, or the range needed for it, or the reason why
    /// there is none.
    fn head(&mut self, held: &Held) -> Result<Head, Result<Range<u64>, &'static str>> {
        loop {
            let window = self.head_window.min(held.size());
            let last = window >= MAX_WINDOW || window >= held.size();
            let bytes = held.get(0..window).ok_or(Ok(0..window))?;
            match head(held, bytes, last || window >= ENOUGH) {
                Ok(head) => return Ok(head),
                Err(why) if last => return Err(Err(why)),
                Err(_) => self.head_window *= 2,
            }
        }
    }

    fn tail(&self, size: u64) -> Range<u64> {
        size.saturating_sub(self.tail_window)..size
    }
}

/// Parses the first bytes. Unless `enough` is set, every timed stream must have a timestamp.
fn head(held: &Held, bytes: &[u8], enough: bool) -> Result<Head, &'static str> {
    let layout = Layout::of(bytes).ok_or("has no transport packets in a row")?;
    let end = bytes.len() as u64;
    let (mut packets, mut tables) = (Packets::new(layout, 0), Tables::default());
    let program = loop {
        match packets.next(held) {
            Ok(at) if packets.at <= end => {
                let packet = packets.packet(held, at);
                if let Some(program) = packet.and_then(|packet| tables.take(&packet).cloned()) {
                    break program;
                }
            }
            _ => return Err("does not say which streams it has"),
        }
    };
    let timed = program.streams.iter().filter(|stream| program.timed(stream.pid)).count();
    let mut transport = Transport { layout, program: Arc::new(program), origin: 0 };
    let events = events(&transport, held, 0..end);
    let mut firsts: Vec<&Event> = Vec::new();
    for event in &events {
        if firsts.iter().all(|first| first.pid != event.pid) {
            firsts.push(event);
        }
    }
    let main = events.iter().find(|event| event.main).ok_or("has no timestamps at its beginning")?.pts;
    if firsts.len() < timed && !enough {
        return Err("has streams without timestamps");
    }
    // The earliest first timestamp of all streams, which may lie on the other side of a wrap.
    transport.origin = firsts.iter().map(|first| first.pts).min_by_key(|pts| ticks_since(*pts, main)).unwrap_or(main);
    let origin = transport.origin;
    let events: Vec<Event> =
        events.into_iter().map(|event| Event { time: us(ticks_since(event.pts, origin)), ..event }).collect();
    let mut tracks =
        transport.program.streams.iter().map(|stream| sound::with_layer(stream, &events)).collect::<Vec<_>>();
    resolution::complete(&mut tracks, &transport, held, &events, end);
    Ok(Head { transport, tracks, events })
}

/// Returns the starts of PES packets in an available range.
fn events(transport: &Transport, held: &Held, range: Range<u64>) -> Vec<Event> {
    let mut pictures = transport.read(range.start);
    let mut events = Vec::new();
    while let Ok(event) = pictures.event(held) {
        if pictures.at() > range.end || events.len() >= MAX_EVENTS {
            break;
        }
        events.push(event);
    }
    events
}

/// Returns the end of the streams in microseconds: the end of the last picture or audio packet of
/// each.
fn end(transport: &Transport, held: &Held, head: &[Event], tail: &[Event]) -> Option<i64> {
    let of = |events: &'_ [Event], pid: u16| -> Vec<i64> {
        let mut times: Vec<_> = events.iter().filter(|event| event.pid == pid).map(|event| event.time).collect();
        times.sort_unstable();
        times
    };
    let ends = transport.program.streams.iter().filter_map(|stream| {
        let times = of(tail, stream.pid);
        let last = *times.last()?;
        let events: Vec<_> = tail.iter().filter(|event| event.pid == stream.pid).collect();
        let sound = stream.track.kind == TrackKind::Audio;
        let sound = sound.then(|| sound::last_us(transport, held, &events, held.size())).flatten();
        let frame = sound.or_else(|| usual_gap(&times)).or_else(|| usual_gap(&of(head, stream.pid)));
        Some(last + frame.unwrap_or(0).min(MAX_FRAME_US))
    });
    ends.max()
}

/// Returns the median gap between these times.
fn usual_gap(times: &[i64]) -> Option<i64> {
    let mut gaps: Vec<_> = times.windows(2).map(|w| w[1] - w[0]).filter(|gap| *gap > 0).collect();
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).copied()
}

impl Walk for Ends {
    type Found = Timeline;

    fn step(&mut self, held: &mut Held) -> Step<Timeline> {
        if self.head.is_none() {
            match self.head(held) {
                Ok(head) => self.head = Some(head),
                Err(Ok(range)) => return Step::Need(vec![range, self.tail(held.size())]),
                Err(Err(why)) => return Step::Failed(why.into()),
            }
        }
        let size = held.size();
        let range = self.tail(size);
        let last = self.tail_window >= MAX_WINDOW.min(size) || held.hole_before(size);
        if held.get(range.clone()).is_none() {
            return Step::Need(vec![range]);
        }
        let Some(Head { transport, tracks, events: head }) = &self.head else {
            return Step::Failed("has no beginning".into());
        };
        let tail = events(transport, held, range);
        let count = |events: &[Event], pid: u16| events.iter().filter(|event| event.pid == pid).count();
        let enough = transport.program.streams.iter().all(|stream| {
            let main = transport.program.main().is_some_and(|main| main.pid == stream.pid);
            count(head, stream.pid) == 0 || count(&tail, stream.pid) >= if main { 8 } else { 2 }
        });
        let most_is_enough = self.tail_window >= ENOUGH && tail.iter().filter(|event| event.main).count() >= 2;
        if !enough && !most_is_enough && !last {
            self.tail_window *= 2;
            return Step::Need(vec![self.tail(size)]);
        }
        let end = end(transport, held, head, &tail);
        // The first keyframe of a recording that begins within a group of pictures may lie after
        // the bytes read at its beginning.
        let mut tracks = tracks.clone();
        resolution::complete(&mut tracks, transport, held, &tail, size);
        let source = samples::Film::new(transport.clone(), &tracks, held, head);
        Step::Done(timeline(transport, tracks, head, &tail, end, size).with_source(source))
    }
}

fn timeline(
    transport: &Transport,
    tracks: Vec<Track>,
    head: &[Event],
    tail: &[Event],
    end: Option<i64>,
    size: u64,
) -> Timeline {
    let program = &transport.program;
    let mains = |events: &[Event]| -> Vec<(i64, u64)> {
        events.iter().filter(|event| event.main).map(|event| (event.time, event.at)).collect()
    };
    // The rate at the beginning, to check the ends against.
    let begun = mains(head);
    let rate = begun.first().zip(begun.last()).and_then(|(first, last)| {
        let seconds = (last.0 - first.0) as f64 / 1e6;
        (seconds > 0.1).then(|| (last.1 - first.1) as f64 / seconds)
    });
    let by_rate = rate.map(|rate| Duration::try_from_secs_f64(size as f64 / rate.max(1.0)).unwrap_or(Duration::MAX));
    let duration = end.filter(|end| *end > 0).map(|end| Duration::from_micros(end as u64));
    let ended = mains(tail);
    let follows = match (begun.last(), ended.first()) {
        (Some(last), Some(first)) => first.1 <= last.1 || first.0 >= last.0.saturating_sub(MAX_REORDER_US),
        _ => true,
    };
    let sane = duration.zip(by_rate).is_none_or(|(duration, by_rate)| {
        let ratio = duration.as_secs_f64() / by_rate.as_secs_f64();
        (1.0 / MAX_RATIO..MAX_RATIO).contains(&ratio)
    });
    let Some(duration) = duration.filter(|_| sane && follows) else {
        let why = "the MPEG-TS file's times cannot be used: those of its end do not follow those of its beginning";
        let timeline = Timeline::estimate(Container::MpegTs, size, by_rate, why);
        return timeline.with_tracks(tracks);
    };
    let keys: Vec<&Event> = head.iter().chain(tail).filter(|event| event.key && event.time >= 0).collect();
    let gaps = keys.windows(2).filter(|w| w[0].at < w[1].at).map(|w| w[1].time - w[0].time);
    let within = gaps.filter(|gap| (LEAST_BACK_US..=MOST_BACK_US).contains(gap)).max();
    let mut keyframes: Vec<Keyframe> = Vec::new();
    for key in keys {
        // Overlapping head and tail contain the same keyframes. Times that do not ascend belong to
        // another time base.
        let time = Duration::from_micros(key.time.unsigned_abs());
        if time <= duration && keyframes.last().is_none_or(|last| last.time < time && last.offset < key.at) {
            keyframes.push(Keyframe { time, offset: key.at, from: key.from });
        }
    }
    let video = program.main().is_some_and(|main| main.track.kind == TrackKind::Video);
    let origin = transport.origin as i64;
    // As in FFmpeg: a clock that wraps within a minute begins below zero.
    let origin = if origin >= WRAP as i64 - 60 * TICKS { origin - WRAP as i64 } else { origin };
    let first = begun.first().map_or(0, |(_, at)| *at);
    let search = Times { transport: transport.clone(), first, back: within.unwrap_or(BACK_US), video };
    Timeline::new(Container::MpegTs, size, duration, keyframes)
        .with_tracks(tracks)
        .with_origin_us(us(origin))
        .with_search(Arc::new(search))
}

/// A search by timestamps.
#[derive(Debug)]
struct Times {
    transport: Transport,
    /// Offset of the first picture.
    first: u64,
    /// The usual keyframe spacing in microseconds.
    back: i64,
    video: bool,
}

impl Search for Times {
    fn walk(&self, timeline: &Arc<Timeline>, time: Duration) -> Box<dyn Walk<Found = SeekPoint>> {
        let bounds = Bounds {
            start: Point { at: self.first.min(timeline.keyframes().first().map_or(0, |first| first.from)), time: 0 },
            end: Point {
                at: timeline.size(),
                time: i64::try_from(timeline.duration().as_micros()).unwrap_or(i64::MAX),
            },
            back: if self.video { self.back } else { 0 },
            reach: if self.video { 0 } else { AUDIO_REACH_US },
            hint: None,
        };
        Box::new(Bisect::new(self.transport.clone(), time, bounds))
    }
}
