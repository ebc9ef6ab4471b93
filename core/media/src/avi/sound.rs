//! Sound of AVI films: frames where they have headers, whose bytes may begin anywhere in a chunk.

use super::headers::Stream;
use super::samples::Film;
use crate::codec::audio::{Frame, Look};
use crate::samples::{MAX_SAMPLE_BYTES, Plan, Sample};
use std::collections::VecDeque;

/// Most chunks that one frame may lie in.
const MAX_MARKS: usize = 1024;

/// Most blocks of a sample without a header, as in FFmpeg.
const MAX_BLOCKS: u64 = 1024;

/// A sound track that is being read.
#[derive(Debug)]
pub(super) struct Sound {
    track: usize,
    codec: String,
    /// Whether frames have headers. Otherwise a chunk is one, or many blocks.
    framed: bool,
    buffer: Vec<u8>,
    /// Position of the buffer in the track.
    at: u64,
    /// The chunks that begin in the buffer: position in the track, time and offset in the file.
    marks: VecDeque<(u64, i64, u64)>,
    next_ns: i64,
    offset: u64,
}

impl Sound {
    pub(super) fn new(track: usize, stream: &Stream) -> Sound {
        let codec = stream.track.codec.clone();
        let raw_aac = codec == "aac" && !stream.config.is_empty();
        let framed = Frame::has_header(&codec) && codec != "opus" && !raw_aac;
        Sound { track, codec, framed, buffer: Vec::new(), at: 0, marks: VecDeque::new(), next_ns: 0, offset: 0 }
    }

    /// Takes a chunk that begins with a unit.
    pub(super) fn take(&mut self, film: &Film, unit: u64, offset: u64, data: &[u8], out: &mut Vec<Sample>) {
        let stream = &film.streams[self.track];
        let ns = |unit: u64| film.ns(stream, i64::try_from(unit).unwrap_or(i64::MAX));
        if self.framed {
            self.marks.push_back((self.at + self.buffer.len() as u64, ns(unit), offset));
            self.buffer.extend_from_slice(data);
            self.split(out);
            if self.buffer.len() as u64 > MAX_SAMPLE_BYTES || self.marks.len() > MAX_MARKS {
                self.drop(self.buffer.len());
            }
            return;
        }
        let each = u64::from(stream.sample_size);
        let part = if each > 1 { each.saturating_mul(MAX_BLOCKS) as usize } else { data.len().max(1) };
        let mut unit = unit;
        for data in data.chunks(part) {
            let units = stream.units(data.len() as u32);
            let (pts_ns, end_ns) = (ns(unit), ns(unit.saturating_add(units)));
            out.push(self.sample(pts_ns, end_ns.saturating_sub(pts_ns), offset, data.to_vec()));
            unit = unit.saturating_add(units);
        }
    }

    fn sample(&self, pts_ns: i64, duration_ns: i64, offset: u64, data: Vec<u8>) -> Sample {
        Plan { track: self.track, pts_ns, dts_ns: pts_ns, duration_ns, key: true, offset }.with(data)
    }

    /// Cuts the complete frames from the buffer.
    fn split(&mut self, out: &mut Vec<Sample>) {
        loop {
            match Frame::parse(&self.codec, &self.buffer) {
                Look::Found(frame) if frame.bytes <= self.buffer.len() => {
                    // A frame has the time of the chunk in which it is the first to begin.
                    let begun = self.marks.partition_point(|(at, ..)| *at <= self.at);
                    if let Some((_, ns, offset)) = self.marks.drain(..begun).next_back() {
                        (self.next_ns, self.offset) = (ns, offset);
                    }
                    let data = self.buffer[..frame.bytes].to_vec();
                    out.push(self.sample(self.next_ns, frame.ns, self.offset, data));
                    self.next_ns = self.next_ns.saturating_add(frame.ns);
                    self.buffer.drain(..frame.bytes);
                    self.at += frame.bytes as u64;
                }
                Look::Found(_) | Look::Short => return,
                Look::Lost => {
                    let first = if self.codec.ends_with("ac3") { 0x0b } else { 0xff };
                    let next = self.buffer.iter().skip(1).position(|byte| *byte == first);
                    self.drop(next.map_or(self.buffer.len(), |next| next + 1));
                }
            }
        }
    }

    /// Drops bytes that belong to no frame.
    fn drop(&mut self, bytes: usize) {
        self.buffer.drain(..bytes);
        self.at += bytes as u64;
    }
}
