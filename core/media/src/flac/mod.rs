//! FLAC (RFC 9639). The stream information gives the length, the seek table gives points. Positions
//! between them are found by the numbers in frame headers ([`seek`]). Cover art is skipped without
//! being fetched.

mod frame;
mod seek;

use crate::comments;
use crate::container::Container;
use crate::held::{Held, Step, Stop, Walk};
use crate::timeline::{Keyframe, Timeline, Track, TrackKind};
pub(crate) use frame::{FrameHeader, MAX_HEADER_BYTES, STREAM_INFO_BYTES, StreamInfo};
use seek::{Frame, frames};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Bytes requested at a metadata block: its header, and usually a few blocks that follow.
const BLOCK_PEEK: u64 = 4 << 10;

/// Most metadata blocks in a file. A dozen is already many.
const MAX_BLOCKS: u32 = 256;

/// Most points of a seek table: one every five seconds for a day. A larger table is ignored and
/// frames are searched for instead.
const MAX_POINTS: u64 = 18_000;

/// Length of a seek point in bytes: sample, offset, samples in the frame.
const POINT_BYTES: u64 = 18;

/// Longest distance from the end at which the last frame is searched for when the stream
/// information has no length: twice a long frame.
const MAX_TAIL: u64 = 512 << 10;

/// The data that a search for frames needs.
#[derive(Clone, Debug)]
struct Layout {
    info: StreamInfo,
    /// From the start of the first frame to the end of the last.
    bytes: Range<u64>,
    /// Total number of samples.
    total: u64,
}

impl Layout {
    fn time(&self, sample: u64) -> Duration {
        let nanos = u128::from(sample) * 1_000_000_000 / u128::from(self.info.rate);
        Duration::from_nanos(nanos.min(u128::from(u64::MAX)) as u64)
    }
}

/// A walk through the metadata blocks to the first frame.
#[derive(Debug)]
pub(crate) struct Index {
    /// Offset of the next block's header, or of the first frame.
    at: u64,
    begun: bool,
    /// Whether the last block was seen.
    ended: bool,
    blocks: u32,
    info: Option<StreamInfo>,
    /// Position of the seek table in the file.
    table: Option<Range<u64>>,
    /// Sample and offset of each seek point.
    points: Option<Vec<(u64, u64)>>,
    tail: u64,
    track: Track,
}

impl Index {
    /// Creates an index for a stream that begins at an offset.
    pub(crate) fn new(at: u64) -> Index {
        let track = Track { kind: TrackKind::Audio, codec: "flac".into(), ..Track::default() };
        let (info, table, points) = (None, None, None);
        Index { at, begun: false, ended: false, blocks: 0, info, table, points, tail: 32 << 10, track }
    }

    /// Steps through the metadata blocks.
    fn blocks(&mut self, held: &Held) -> Result<(), Stop> {
        const STREAM_INFO: u8 = 0;
        const SEEK_TABLE: u8 = 3;
        const COMMENTS: u8 = 4;
        while !self.ended {
            let peek = self.at..self.at + BLOCK_PEEK;
            let Some(bytes) = held.get(peek.start..peek.start + 4) else { return Err(Stop::need(peek)) };
            if !self.begun {
                if bytes != b"fLaC" {
                    return Err(Stop::failed("does not begin as FLAC does"));
                }
                self.begun = true;
                self.at += 4;
                continue;
            }
            let &[kind, a, b, c] = bytes else { return Err(Stop::failed("ends within its metadata")) };
            let (start, length) = (self.at + 4, u64::from(u32::from_be_bytes([0, a, b, c])));
            let body = start..start + length;
            self.blocks += 1;
            if self.blocks > MAX_BLOCKS {
                return Err(Stop::failed(format!("has more than {MAX_BLOCKS} metadata blocks")));
            }
            match kind & 0x7f {
                STREAM_INFO if self.info.is_none() => {
                    let whole = start..start + STREAM_INFO_BYTES as u64;
                    let Some(bytes) = held.get(whole.clone()) else { return Err(Stop::need(whole)) };
                    self.info = StreamInfo::parse(bytes);
                }
                SEEK_TABLE if length / POINT_BYTES <= MAX_POINTS => self.table = Some(body.clone()),
                COMMENTS => {
                    let here = held.from(start).unwrap_or_default();
                    comments::read(&here[..here.len().min(length as usize)], &mut self.track);
                }
                _ => {}
            }
            self.ended = kind & 0x80 != 0;
            self.at = body.end;
        }
        Ok(())
    }

    /// Parses the points of the seek table without its placeholders.
    fn read_points(&self, table: &[u8]) -> Vec<(u64, u64)> {
        let u64_at = |point: &[u8], at: usize| point[at..].first_chunk().map_or(0, |b| u64::from_be_bytes(*b));
        let points = table.chunks_exact(POINT_BYTES as usize).map(|point| (u64_at(point, 0), u64_at(point, 8)));
        // A placeholder's sample number is all ones.
        points.filter(|(sample, _)| *sample < u64::MAX >> 8).collect()
    }

    /// Returns the total number of samples, from the number of the last frame.
    fn count(&mut self, held: &Held, info: &StreamInfo) -> Result<u64, Stop> {
        loop {
            let from = held.size().saturating_sub(self.tail).max(self.at);
            let Some(bytes) = held.get(from..held.size()) else { return Err(Stop::need(from..held.size())) };
            let found = frames(bytes, from, info);
            // The frame must follow another one, so that it is not a chance match.
            let last = (1..found.len()).rev().find(|i| found[..*i].iter().rev().any(|f| f.next() == found[*i].sample));
            if let Some(last) = last {
                return Ok(found[last].next());
            }
            if from == self.at || self.tail >= MAX_TAIL {
                return Err(Stop::failed("does not say how long it is, and its last frame cannot be found"));
            }
            self.tail *= 4;
        }
    }

    fn read(&mut self, held: &Held) -> Result<Timeline, Stop> {
        self.blocks(held)?;
        let Some(info) = self.info else { return Err(Stop::failed("has no stream information")) };
        self.track.audio = Some((info.channels, info.rate));
        let first = self.at..self.at + MAX_HEADER_BYTES;
        let mut needed: Vec<Range<u64>> = [Some(first), self.table.clone()].into_iter().flatten().collect();
        needed.retain(|range| held.get(range.clone()).is_none());
        if !needed.is_empty() {
            return Err(Stop::Need(needed));
        }
        if let Some(table) = self.table.take() {
            self.points = Some(self.read_points(held.get(table).unwrap_or_default()));
        }
        let total = match info.total {
            0 => self.count(held, &info)?,
            total => total,
        };
        let first = held.get(self.at..self.at + MAX_HEADER_BYTES).and_then(|bytes| FrameHeader::parse(bytes, &info));
        let layout = Layout { info, bytes: self.at..held.size(), total };
        let duration = layout.time(total);
        let Some(first) = first else {
            let why = "the FLAC file's index cannot be used: its metadata does not end where its sound begins";
            return Ok(Timeline::estimate(Container::Flac, held.size(), Some(duration), why));
        };
        // Files cut from longer ones begin with a later number, and their seek table counts from
        // there as well.
        let start = Frame::new(self.at, &first, &info).sample;
        if start >= total {
            let why = "the FLAC file's index cannot be used: its frames begin behind its end";
            return Ok(Timeline::estimate(Container::Flac, held.size(), Some(duration), why));
        }
        let keyframe = |(sample, offset): (u64, u64)| {
            let offset = self.at.checked_add(offset).filter(|offset| *offset < held.size())?;
            (sample < total).then(|| Keyframe { time: layout.time(sample), offset, from: offset })
        };
        let points = std::iter::once((start, 0)).chain(self.points.take().unwrap_or_default());
        let mut keyframes: Vec<Keyframe> = points.filter_map(keyframe).collect();
        if keyframes.windows(2).any(|pair| pair[0].time > pair[1].time || pair[0].offset > pair[1].offset) {
            // A table with decreasing offsets is invalid.
            keyframes.truncate(1);
        }
        Ok(Timeline::new(Container::Flac, held.size(), duration, keyframes).with_search(Arc::new(layout)))
    }
}

impl Walk for Index {
    type Found = Timeline;

    fn step(&mut self, held: &mut Held) -> Step<Timeline> {
        match self.read(held) {
            Ok(timeline) => Step::Done(timeline.with_tracks(vec![self.track.clone()])),
            Err(stop) => stop.into(),
        }
    }
}
