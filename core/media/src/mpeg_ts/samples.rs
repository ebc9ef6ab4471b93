//! Samples of a transport stream: access units and audio frames, put together from the packets.

use super::keys;
use super::packet::{Packet, Packets, Pes, content};
use super::reading::{Event, Transport, ticks_since};
use crate::bisect::Short;
use crate::codec::access_units::Splitter;
use crate::codec::annex_b;
use crate::codec::audio::{Frame, Look};
use crate::held::{Held, Stop};
use crate::samples::{
    Demux, MAX_SAMPLE_BYTES, ParameterSets, Plan, READ_AHEAD_BYTES, Sample, Source, Starts, TrackSetup,
};
use crate::timeline::{Track, TrackKind};
use std::collections::VecDeque;
use std::sync::Arc;

/// Most looks without a packet in a row: some ten megabytes of damage.
const MAX_LOST: u32 = 32;

/// Most timestamps that wait for their frames. A PES packet has one.
const MAX_MARKS: usize = 256;

/// Bytes of the first keyframe that are read for its parameter sets, and their longest span in the
/// file.
const SETS_BYTES: usize = 4 << 10;
const SETS_SPAN: u64 = 256 << 10;

/// Length in bytes of the longest start code.
const START_CODE: u64 = 4;

/// First bytes of a picture by which it is known to be a keyframe.
const KEY_BYTES: usize = 1 << 10;

/// What the index knows of the samples of a film.
#[derive(Debug)]
pub(super) struct Film {
    transport: Transport,
    tracks: Vec<Track>,
    setups: Vec<TrackSetup>,
}

impl Film {
    /// Takes the parameter sets from the first keyframe among the events.
    pub(super) fn new(transport: Transport, tracks: &[Track], held: &Held, events: &[Event]) -> Arc<Film> {
        let setup = |(track, stream): (&Track, &super::program::Elementary)| {
            let key = events.iter().find(|event| event.pid == stream.pid && (event.key || !event.main));
            let sets = key.filter(|_| track.kind == TrackKind::Video).and_then(|event| {
                let range = event.at..event.at.saturating_add(SETS_SPAN);
                let body = content(transport.layout, held, stream.pid, range, SETS_BYTES);
                ParameterSets::in_band(&track.codec, annex_b::units(&body))
            });
            TrackSetup { config: Vec::new(), timescale: 90_000, in_band: sets }
        };
        let setups = tracks.iter().zip(&transport.program.streams).map(setup).collect();
        Arc::new(Film { transport, tracks: tracks.to_vec(), setups })
    }
}

impl Source for Film {
    fn setups(&self) -> &[TrackSetup] {
        &self.setups
    }

    fn demux(self: Arc<Self>, starts: Starts) -> Box<dyn Demux> {
        let streams = starts.tracks().filter_map(|index| {
            let pid = self.transport.program.streams.get(index)?.pid;
            Some(Stream::new(index, pid, self.tracks.get(index)?))
        });
        let streams = streams.collect();
        let packets = Packets::new(self.transport.layout, starts.from.from);
        let origin = self.transport.origin;
        Box::new(Reader { origin, starts, packets, streams, ready: VecDeque::new(), lost: 0, ended: false })
    }
}

/// A reader of the chosen streams.
#[derive(Debug)]
struct Reader {
    /// Timestamp of the film's start.
    origin: u64,
    starts: Starts,
    packets: Packets,
    streams: Vec<Stream>,
    ready: VecDeque<Sample>,
    /// Looks without a packet.
    lost: u32,
    ended: bool,
}

/// An elementary stream that is being put together.
#[derive(Debug)]
struct Stream {
    track: usize,
    pid: u16,
    codec: String,
    video: bool,
    form: Form,
    /// Counter of the last packet.
    counter: Option<u8>,
    /// Whether a PES packet has begun since the start or the last damage.
    begun: bool,
    buffer: Vec<u8>,
    /// Position in the elementary stream of the start of the buffer.
    at: u64,
    /// The PES packets that begin in the buffer.
    marks: VecDeque<Mark>,
    /// Position at which the last PES packet ends, if stated.
    ends: Option<u64>,
    /// Time at which the next sample is expected, in nanoseconds from the film's start.
    next_ns: Option<i64>,
}

/// How an elementary stream is split into samples.
#[derive(Debug)]
enum Form {
    Pictures(Splitter),
    Frames,
    /// Each PES packet is one.
    Whole,
}

/// The beginning of a PES packet.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Position in the elementary stream.
    at: u64,
    /// Ticks from the film's start.
    pts: Option<i64>,
    dts: Option<i64>,
    /// Offset in the file.
    offset: u64,
    random: bool,
}

impl Stream {
    fn new(track: usize, pid: u16, about: &Track) -> Stream {
        let form = match Splitter::new(&about.codec) {
            Some(splitter) => Form::Pictures(splitter),
            None if Frame::has_header(&about.codec) => Form::Frames,
            None => Form::Whole,
        };
        Stream {
            track,
            pid,
            codec: about.codec.clone(),
            video: about.kind == TrackKind::Video,
            form,
            counter: None,
            begun: false,
            buffer: Vec::new(),
            at: 0,
            marks: VecDeque::new(),
            ends: None,
            next_ns: None,
        }
    }

    /// Drops what is incomplete, up to the next PES packet.
    fn reset(&mut self) {
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        self.marks.clear();
        (self.begun, self.ends, self.next_ns) = (false, None, None);
        if let Form::Pictures(splitter) = &mut self.form {
            splitter.reset();
        }
    }

    /// Takes a packet that lies at an offset. Samples that it completes are added to `ready`.
    fn take(&mut self, packet: &Packet<'_>, offset: u64, origin: u64, ready: &mut Vec<Sample>) {
        if packet.payload.is_empty() {
            return;
        }
        let last = self.counter.replace(packet.counter);
        if last == Some(packet.counter) && !packet.discontinuity {
            // Packets may be sent twice.
            return;
        }
        let follows = last.is_none_or(|last| (last + 1) & 0x0f == packet.counter);
        if !follows && !packet.discontinuity {
            self.reset();
        }
        if packet.start {
            let Some(pes) = Pes::parse(packet.payload) else { return self.reset() };
            if matches!(self.form, Form::Whole) {
                self.whole(ready);
            }
            let end = self.at + self.buffer.len() as u64;
            let ticks = |stamp: u64| ticks_since(stamp, origin);
            let (pts, dts) = (pes.pts.map(ticks), pes.dts.or(pes.pts).map(ticks));
            self.marks.push_back(Mark { at: end, pts, dts, offset, random: packet.random });
            self.ends = pes.body_bytes.map(|bytes| end + bytes as u64);
            self.begun = true;
            self.buffer.extend_from_slice(pes.body);
        } else if self.begun {
            self.buffer.extend_from_slice(packet.payload);
        }
        if self.buffer.len() as u64 > MAX_SAMPLE_BYTES || self.marks.len() > MAX_MARKS {
            return self.reset();
        }
        self.split(ready);
    }

    /// Cuts the complete samples from the buffer.
    fn split(&mut self, ready: &mut Vec<Sample>) {
        loop {
            match &mut self.form {
                Form::Pictures(splitter) => match splitter.next(&self.buffer) {
                    Some(length) => ready.extend(self.cut(0, length, 0)),
                    None => return,
                },
                Form::Frames => match Frame::parse(&self.codec, &self.buffer) {
                    Look::Found(frame) if frame.head + frame.bytes <= self.buffer.len() => {
                        ready.extend(self.cut(frame.head, frame.head + frame.bytes, frame.ns));
                    }
                    Look::Found(_) | Look::Short => return,
                    Look::Lost => self.skip(),
                },
                Form::Whole => {
                    if self.ends.is_some_and(|ends| ends <= self.at + self.buffer.len() as u64) {
                        self.whole(ready);
                    }
                    return;
                }
            }
        }
    }

    /// Skips bytes up to where a frame may begin.
    fn skip(&mut self) {
        let first = if self.codec == "opus" {
            0x7f
        } else if self.codec.ends_with("ac3") {
            0x0b
        } else {
            0xff
        };
        let next = self.buffer.iter().skip(1).position(|byte| *byte == first);
        let length = next.map_or(self.buffer.len(), |next| next + 1);
        self.buffer.drain(..length);
        self.at += length as u64;
    }

    /// Cuts all of the buffer as one sample.
    fn whole(&mut self, ready: &mut Vec<Sample>) {
        if !self.buffer.is_empty() {
            ready.extend(self.cut(0, self.buffer.len(), 0));
        }
    }

    /// Ends the stream.
    fn finish(&mut self, ready: &mut Vec<Sample>) {
        // A frame that is cut short is no sample, the last picture ends with the stream.
        if !matches!(self.form, Form::Frames) {
            self.whole(ready);
        }
    }

    /// Cuts a sample from the buffer. It has the timestamps of the PES packet in which it is the
    /// first to begin.
    fn cut(&mut self, head: usize, length: usize, duration_ns: i64) -> Option<Sample> {
        let data = self.buffer.get(head..length)?.to_vec();
        self.buffer.drain(..length);
        // Zeros before a start code may end the PES packet before.
        let begun = self.at + if self.video { START_CODE } else { 0 };
        let marks = self.marks.partition_point(|mark| mark.at <= begun);
        let mark = self.marks.drain(..marks).next_back();
        self.at += length as u64;
        let ns = |ticks: i64| (i128::from(ticks) * 100_000).div_euclid(9) as i64;
        let pts_ns = mark.and_then(|mark| mark.pts).map(ns).or(self.next_ns)?;
        let dts_ns = mark.and_then(|mark| mark.dts).map_or(pts_ns, ns);
        self.next_ns = Some(pts_ns.saturating_add(duration_ns));
        let random = mark.is_some_and(|mark| mark.random);
        let key = !self.video || random || keys::starts(&self.codec, data.get(..KEY_BYTES).unwrap_or(&data));
        let offset = mark.map_or(0, |mark| mark.offset);
        Some(Plan { track: self.track, pts_ns, dts_ns: dts_ns.min(pts_ns), duration_ns, key, offset }.with(data))
    }
}

impl Reader {
    /// Adds those of some samples that belong to the reading.
    fn add(&mut self, samples: Vec<Sample>) -> Result<(), Stop> {
        for sample in samples {
            if self.starts.take(&sample.plan())? {
                self.ready.push_back(sample);
            }
        }
        Ok(())
    }
}

impl Demux for Reader {
    fn next(&mut self, held: &mut Held) -> Result<Option<Sample>, Stop> {
        loop {
            if let Some(sample) = self.ready.pop_front() {
                return Ok(Some(sample));
            }
            if self.ended {
                return Ok(None);
            }
            let mut samples = Vec::new();
            match self.packets.next(held) {
                Ok(at) => {
                    self.lost = 0;
                    if let Some(packet) = self.packets.packet(held, at)
                        && let Some(stream) = self.streams.iter_mut().find(|stream| stream.pid == packet.pid)
                    {
                        stream.take(&packet, at, self.origin, &mut samples);
                    }
                }
                Err(Short::Need(range)) => {
                    held.forget_before(range.start);
                    held.wish(range.start..range.start.saturating_add(READ_AHEAD_BYTES));
                    return Err(Stop::need(range));
                }
                Err(Short::Lost) => {
                    self.lost += 1;
                    if self.lost > MAX_LOST {
                        return Err(Stop::failed("has no transport packets after damage"));
                    }
                }
                Err(Short::Nothing) => {
                    self.ended = true;
                    self.streams.iter_mut().for_each(|stream| stream.finish(&mut samples));
                }
            }
            self.add(samples)?;
        }
    }
}
