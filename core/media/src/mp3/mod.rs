//! MPEG audio: start and end of the audio data, duration, and the mapping from time to byte.
//!
//! With a constant bitrate, the position of each frame follows from arithmetic. With a variable
//! bitrate, the only source is the encoder's table of a hundred points, so times are approximate.
//! [`tags`] reads the tags around the audio, [`info`] the encoder's info frame, [`frame`] frame
//! headers; [`seek`] finds the position for a time, [`samples`] reads the frames.

pub(crate) mod frame;
mod info;
mod samples;
mod seek;
pub(crate) mod tags;

use crate::container::Container;
use crate::flac;
use crate::held::{Held, Step, Walk};
use crate::locate::ROUNDING;
use crate::timeline::{Accuracy, Keyframe, Timeline, Track, TrackKind};
use frame::Header;
use info::Info;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Bytes requested where frames are expected: one block of a swarm, about 30 frames.
const WINDOW: u64 = 16 << 10;

/// Bytes requested after the tags: three of the longest usual frames and some junk. Without cover
/// art they are part of the file's first block.
const FIRST: u64 = 6 << 10;

/// Bytes requested at the end of the file, for the footers of tags.
pub(crate) const TAIL: u64 = 256;

/// Longest distance after the tags at which the first frame is searched for. Careless taggers leave
/// junk and padding there; FFmpeg uses the same limit.
const MAX_JUNK: u64 = 128 << 10;

/// Most consecutive ID3 tags that are skipped. One is usual; two are a tagger's mistake.
const MAX_TAGS: u32 = 8;

/// Plausible range of MPEG audio bitrates in bits per second, with a margin. A frame count that
/// implies a bitrate outside it is rejected as false.
const BITRATES: Range<f64> = 4_000.0..500_000.0;

/// Divisor of the tolerance for the encoder's byte count: it may differ from the file's by a
/// sixteenth. A larger difference means that the count belongs to another file.
const BYTES_TOLERANCE: u64 = 16;

/// Largest relative deviation of the mean frame size from the nominal size in a file of constant
/// bitrate: a thousandth, to allow for splices.
const CONSTANT_TOLERANCE: f64 = 0.001;

/// The audio data of a file, with frame positions computed by arithmetic.
#[derive(Clone, Debug)]
pub(crate) struct Sound {
    /// The header of the first audio frame. All frames share its version, layer and sample rate.
    header: Header,
    /// From the start of the first frame to the end of the last.
    bytes: Range<u64>,
    frames: u64,
    /// Samples of leading silence that players omit.
    skipped: u64,
    /// Samples that are played.
    heard: u64,
    /// Whether all frames have the same bitrate, so that arithmetic gives their positions.
    constant: bool,
}

impl Sound {
    /// Returns the mean frame size in bytes.
    fn frame_bytes(&self) -> f64 {
        let nominal = self.header.mean_frame_bytes();
        let size = (self.bytes.end - self.bytes.start) as f64;
        // A difference of less than two frames is junk at the end; a larger one comes from padding
        // at splices.
        if (size - nominal * self.frames as f64).abs() < 2.0 * nominal {
            nominal
        } else {
            size / self.frames.max(1) as f64
        }
    }

    /// Returns the time at which a frame is played.
    fn time(&self, frame: u64) -> Duration {
        samples(((frame * self.header.samples()).saturating_sub(self.skipped)).min(self.heard), self.header.rate)
    }

    /// Returns the frame that is played at a time.
    fn frame_at(&self, time: Duration) -> u64 {
        let nanos = (time + ROUNDING).as_nanos();
        let sample = nanos * u128::from(self.header.rate) / 1_000_000_000 + u128::from(self.skipped);
        (sample as u64 / self.header.samples()).min(self.frames.saturating_sub(1))
    }
}

/// Returns the duration of `count` samples.
fn samples(count: u64, rate: u32) -> Duration {
    let nanos = u128::from(count) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(nanos.min(u128::from(u64::MAX)) as u64)
}

/// A walk through the head and the tail of the file.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// End of the tags found so far.
    at: u64,
    tags: u32,
    track: Track,
    /// Bytes searched so far for the first frame.
    window: u64,
    /// The index of a FLAC file that a tagger prefixed with ID3.
    flac: Option<flac::Index>,
}

/// Positions at which frames are sampled to test for a constant bitrate, in eighths of the file.
const SAMPLES_AT: [u64; 3] = [2, 4, 6];

impl Walk for Index {
    type Found = Timeline;

    fn step(&mut self, held: &mut Held) -> Step<Timeline> {
        if let Some(flac) = &mut self.flac {
            return flac.step(held);
        }
        loop {
            let head = self.at..self.at + tags::ID3_HEADER_BYTES;
            let Some(header) = held.get(head.clone()) else { return Step::Need(vec![head]) };
            let Some(bytes) = tags::id3_bytes(header).filter(|_| self.tags < MAX_TAGS) else {
                if header.starts_with(b"fLaC") {
                    self.flac = Some(flac::Index::new(self.at));
                    return self.step(held);
                }
                break;
            };
            tags::read_id3(held.from(self.at).unwrap_or_default(), &mut self.track);
            self.tags += 1;
            self.at += bytes;
            if self.at >= held.size() {
                return Step::Failed("has a tag as large as the whole file".into());
            }
        }
        self.window = self.window.max(FIRST);
        let window = self.at..(self.at + self.window).min(held.size());
        let tail = held.size().saturating_sub(TAIL)..held.size();
        let (Some(bytes), Some(end)) = (held.get(window.clone()), held.get(tail.clone())) else {
            return Step::Need(vec![window, tail]);
        };
        let end = tags::sound_end(held.size(), end).max(self.at);
        let whole = window.end >= end;
        let bytes = &bytes[..(end.min(window.end) - window.start) as usize];
        let Some((junk, first)) = frame::find(bytes, whole, None) else {
            if whole || self.window > MAX_JUNK {
                let why = format!("has no MPEG audio within {} KiB of byte {}", MAX_JUNK >> 10, self.at);
                return Step::Failed(why);
            }
            self.window *= 2;
            return self.step(held);
        };
        let start = window.start + junk as u64;
        let first_bytes = &bytes[junk..(junk + first.frame_bytes() as usize).min(bytes.len())];
        let info = info::parse(first_bytes, &first);
        // The info frame is silent and may have another bitrate than the audio.
        let after = junk + first.frame_bytes() as usize;
        let (start, header) = match (&info, Header::parse(bytes.get(after..).unwrap_or_default())) {
            (Some(_), Some(header)) if header.fits(&first) => (start + first.frame_bytes(), header),
            _ => (start, first),
        };
        self.track.kind = TrackKind::Audio;
        self.track.codec = header.codec().into();
        self.track.audio = Some((header.channels, header.rate));
        let head = Head { header, bytes: start..end, info };
        match head.by_info(held.size()) {
            Some(timeline) => Step::Done(timeline.with_tracks(vec![self.track.clone()])),
            None => match head.by_samples(held) {
                Step::Done(timeline) => Step::Done(timeline.with_tracks(vec![self.track.clone()])),
                step => step,
            },
        }
    }
}

/// The information from the head of a file.
struct Head {
    header: Header,
    bytes: Range<u64>,
    info: Option<Info>,
}

impl Head {
    fn size(&self) -> u64 {
        self.bytes.end - self.bytes.start
    }

    fn sound(&self, frames: u64, constant: bool) -> Sound {
        let (delay, padding) = self.info.as_ref().and_then(|info| info.silence).unwrap_or((0, 0));
        // A layer III decoder delays by 529 samples. That matters only where the encoder's delay is
        // known.
        let skipped = if delay > 0 { delay + 529 } else { 0 };
        let all = frames * self.header.samples();
        let heard = all.checked_sub(delay + padding).filter(|heard| *heard > 0).unwrap_or(all);
        Sound { header: self.header, bytes: self.bytes.clone(), frames, skipped, heard, constant }
    }

    /// Returns the timeline from the info frame. `None` if there is none, or if it is false or
    /// belongs to another file.
    fn by_info(&self, file_size: u64) -> Option<Timeline> {
        let info = self.info.as_ref()?;
        let frames = info.frames?;
        let seconds = (frames * self.header.samples()) as f64 / f64::from(self.header.rate);
        let off = info.bytes.map_or(0, |bytes| bytes.abs_diff(self.size()));
        if !BITRATES.contains(&(self.size() as f64 * 8.0 / seconds)) || off > self.size() / BYTES_TOLERANCE {
            return None;
        }
        let mean = self.size() as f64 / frames as f64;
        let constant = info.constant
            && (mean / self.header.mean_frame_bytes() - 1.0).abs() < CONSTANT_TOLERANCE + 1.0 / frames as f64;
        let sound = self.sound(frames, constant);
        if !constant && info.shares.windows(2).any(|pair| pair[0] > pair[1]) {
            let why = "the table of contents in its Xing or VBRI header runs backwards";
            return Some(timeline(file_size, sound, Vec::new()).with_accuracy(Accuracy::Estimate { why: why.into() }));
        }
        let step = info.step_frames.map_or(frames as f64 / info.shares.len().max(1) as f64, |step| step as f64);
        let points = info.shares.iter().enumerate().map(|(i, share)| {
            let into = (u128::from(self.size()) * u128::from(*share)) >> 16;
            (sound.time((i as f64 * step) as u64), self.bytes.start + into as u64)
        });
        let points = if constant { Vec::new() } else { points.collect() };
        Some(timeline(file_size, sound, points))
    }

    /// Builds the timeline by sampling frames. Tests whether all have the same bitrate and the
    /// position that arithmetic predicts.
    fn by_samples(&self, held: &mut Held) -> Step<Timeline> {
        let (size, mean) = (self.size(), self.header.mean_frame_bytes());
        let places = SAMPLES_AT.map(|eighths| self.bytes.start + size / 8 * eighths);
        let windows = places.map(|at| at..(at + WINDOW).min(self.bytes.end));
        if windows.iter().any(|window| held.get(window.clone()).is_none()) {
            return Step::Need(windows.to_vec());
        }
        let (mut bitrates, mut count, mut constant) = (f64::from(self.header.bitrate), 1.0, true);
        for window in windows {
            let bytes = held.get(window.clone()).unwrap_or_default();
            let Some((mut at, mut header)) = frame::find(bytes, window.end == self.bytes.end, Some(&self.header))
            else {
                constant = false;
                continue;
            };
            let frame = (window.start + at as u64 - self.bytes.start) as f64 / mean;
            // Padding shifts a frame from its mean position by less than its slot; splices shift it
            // slightly more.
            constant &= (frame - frame.round()).abs() * mean <= 8.0;
            loop {
                constant &= header.bitrate == self.header.bitrate;
                bitrates += f64::from(header.bitrate);
                count += 1.0;
                at += header.frame_bytes() as usize;
                match bytes.get(at..).and_then(Header::parse).filter(|next| next.fits(&self.header)) {
                    Some(next) => header = next,
                    None => break,
                }
            }
        }
        let mean = if constant { mean } else { mean * bitrates / count / f64::from(self.header.bitrate) };
        let frames = ((size as f64 / mean).round() as u64).max(1);
        let timeline = timeline(held.size(), self.sound(frames, constant), Vec::new());
        if constant {
            return Step::Done(timeline);
        }
        let why = match self.info {
            Some(_) => "its Xing or VBRI header does not fit the file, so times come from the mean bitrate",
            None => "its bitrate varies and no Xing or VBRI header says how, so times come from the mean bitrate",
        };
        Step::Done(timeline.with_accuracy(Accuracy::Estimate { why: why.into() }))
    }
}

fn timeline(file_size: u64, sound: Sound, points: Vec<(Duration, u64)>) -> Timeline {
    let first = Keyframe { time: Duration::ZERO, offset: sound.bytes.start, from: sound.bytes.start };
    let origin_us = samples(sound.skipped, sound.header.rate).as_micros() as i64;
    let duration = samples(sound.heard, sound.header.rate);
    Timeline::new(Container::Mp3, file_size, duration, vec![first])
        .with_origin_us(origin_us)
        .with_line(points)
        .with_source(samples::Film::new(sound.clone()))
        .with_search(Arc::new(sound))
}
