//! MPEG transport streams (ISO/IEC 13818-1).

mod elementary;
mod packets;
mod tables;

use crate::samples::{Sample, TrackSetup};
use crate::timeline::{Timeline, Track, TrackKind};
use elementary::Carriage;
use packets::{Pid, write_null};
use tables::{Entry, PAT_PID, PMT_PID, SDT_PID};

/// PID of the first stream; the others follow.
const FIRST_PID: u16 = 0x100;

/// Most streams, so that the program map table fits one section.
const MAX_STREAMS: usize = 32;

/// Ticks of timestamps and clock references per second.
const TICKS: i64 = 90_000;

/// Ticks by which the clock precedes decoding times: the time for which data stays in a decoder's
/// buffer.
const DELAY: i64 = TICKS / 10;

/// Most ticks between tables, and between clock references (ETSI TR 101 154 has 40 ms).
const TABLES_EVERY: i64 = TICKS / 10;
const PCR_EVERY: i64 = TICKS / 25;

/// Longest gap in ticks that is filled with clock references. After a longer one the clock jumps.
const MAX_FILLED: i64 = TICKS;

/// A muxer of samples into a transport stream with one program.
///
/// Presentation timestamps are those of the samples in ticks of 1/90000 s, modulo 2^33. They equal
/// the normal play time, so a player shows the film's own times after any jump. Samples may come in
/// any order that a [`Samples`](crate::Samples) reader gives.
///
/// Tables come ten times a second and before each keyframe, so a player can begin at any keyframe.
/// Every call appends whole packets of 188 bytes.
///
/// ```
/// use playswarm_media::{Sample, Timeline, mux::TsMuxer};
///
/// fn mux(timeline: &Timeline, tracks: &[usize], samples: &[Sample]) -> Option<Vec<u8>> {
///     let mut muxer = TsMuxer::new(timeline, tracks)?;
///     let mut stream = Vec::new();
///     samples.iter().for_each(|sample| muxer.write(sample, &mut stream));
///     muxer.flush(&mut stream);
///     Some(stream)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct TsMuxer {
    tables: [(Pid, Vec<u8>); 3],
    streams: Vec<Stream>,
    /// Index of the stream that carries the clock.
    clock: usize,
    /// Ticks of the last tables and of the last clock reference.
    tables_at: Option<i64>,
    clock_at: Option<i64>,
    /// A PES packet in the making.
    pes: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Stream {
    track: usize,
    video: bool,
    pid: Pid,
    carriage: Carriage,
    /// Whether only the start of the next PES packet ends the last one.
    open: bool,
}

impl TsMuxer {
    /// Creates a muxer for tracks of a film, given by their indexes in [`Timeline::tracks`]. Tracks
    /// that [cannot be carried](TsMuxer::carries) are left out. Returns `None` if none remains.
    pub fn new(timeline: &Timeline, tracks: &[usize]) -> Option<TsMuxer> {
        let stream = |track: &usize| {
            let (about, setup) = (timeline.tracks().get(*track)?, timeline.setups().get(*track)?);
            Some((*track, about.kind == TrackKind::Video, Carriage::of(about, setup)?))
        };
        let numbered = tracks.iter().filter_map(stream).take(MAX_STREAMS).zip(FIRST_PID..);
        let stream =
            |((track, video, carriage), pid)| Stream { track, video, pid: Pid::new(pid), carriage, open: false };
        let streams: Vec<Stream> = numbered.map(stream).collect();
        let clock = streams.iter().position(|stream| stream.video).unwrap_or(0);
        let entry = |stream: &Stream| Entry {
            pid: stream.pid.number,
            stream_type: stream.carriage.stream_type,
            descriptors: stream.carriage.descriptors.clone(),
        };
        let entries: Vec<Entry> = streams.iter().map(entry).collect();
        let pmt = tables::pmt(streams.get(clock)?.pid.number, &entries);
        let tables = [(Pid::new(PAT_PID), tables::pat()), (Pid::new(PMT_PID), pmt), (Pid::new(SDT_PID), tables::sdt())];
        Some(TsMuxer { tables, streams, clock, tables_at: None, clock_at: None, pes: Vec::new() })
    }

    /// Whether transport streams carry a track.
    pub fn carries(track: &Track, setup: &TrackSetup) -> bool {
        Carriage::of(track, setup).is_some()
    }

    /// Appends a sample. One of a track that is not carried is ignored.
    pub fn write(&mut self, sample: &Sample, out: &mut Vec<u8>) {
        let Some(index) = self.streams.iter().position(|stream| stream.track == sample.track) else { return };
        let (pts, dts) = (ticks(sample.pts_ns), ticks(sample.dts_ns));
        let key = sample.key && self.streams[index].video;
        if key || self.tables_at.is_none_or(|at| (dts - at).abs() >= TABLES_EVERY) {
            self.tables_at = Some(dts);
            self.tables.iter_mut().for_each(|(pid, section)| pid.write(section, false, None, out));
        }
        let pcr = self.reference(index, dts.saturating_sub(DELAY), out);
        let stream = &mut self.streams[index];
        let mut pes = std::mem::take(&mut self.pes);
        pes.clear();
        stream.begin(pts, Some(dts).filter(|dts| stream.video && *dts != pts), &mut pes);
        stream.carriage.append(sample, &mut pes);
        let length = u16::try_from(pes.len() - PES_HEAD).ok();
        // Of video alone the length may be unknown; no frame of sound is that long.
        stream.open = length.is_none();
        pes[4..PES_HEAD].copy_from_slice(&length.unwrap_or(0).to_be_bytes());
        // Decoding can begin at each frame of sound.
        stream.pid.write(&pes, key || !stream.video, pcr, out);
        self.pes = pes;
    }

    /// Announces a jump: the next samples continue neither the times nor the pictures. Tables come
    /// first then, and each stream's first packet has its discontinuity flag set.
    ///
    /// [Flush](TsMuxer::flush) before it, or the last picture before the jump is lost.
    pub fn restart(&mut self) {
        (self.tables_at, self.clock_at) = (None, None);
        self.streams.iter_mut().for_each(|stream| stream.pid.discontinuity = true);
    }

    /// Ends what was written, so that a player decodes the last picture without waiting for the
    /// next one.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        for stream in self.streams.iter_mut().filter(|stream| stream.open) {
            stream.open = false;
            let empty = [0, 0, 1, stream.carriage.stream_id, 0, 3, 0x80, 0, 0];
            stream.pid.write(&empty, false, None, out);
        }
    }

    /// Appends null packets, which show a player that the stream still lives.
    pub fn idle(&self, packets: usize, out: &mut Vec<u8>) {
        write_null(packets, out);
    }

    /// Returns the clock reference for a sample of the stream that carries the clock. Writes those
    /// that are due before it, and those due at samples of other streams.
    fn reference(&mut self, index: usize, now: i64, out: &mut Vec<u8>) -> Option<u64> {
        let now = self.clock_at.map_or(now, |at| if at - now > MAX_FILLED { now } else { at.max(now) });
        let pid = &mut self.streams[self.clock].pid;
        if let Some(at) = self.clock_at
            && now - at <= MAX_FILLED
        {
            let mut due = at + PCR_EVERY;
            while due < now {
                pid.write_pcr(wrapped(due), out);
                due += PCR_EVERY;
            }
            if index != self.clock {
                self.clock_at = Some(due - PCR_EVERY);
                return None;
            }
        }
        self.clock_at = Some(now);
        if index == self.clock {
            return Some(wrapped(now));
        }
        pid.write_pcr(wrapped(now), out);
        None
    }
}

/// Length in bytes of a PES packet's head, whose last two bytes are the length of what follows.
const PES_HEAD: usize = 6;

impl Stream {
    /// Begins a PES packet with these timestamps (ISO/IEC 13818-1, 2.4.3.6).
    fn begin(&self, pts: i64, dts: Option<i64>, pes: &mut Vec<u8>) {
        const ALIGNED: u8 = 0x84;
        let (flags, length) = if dts.is_some() { (0xc0, 10) } else { (0x80, 5) };
        pes.extend_from_slice(&[0, 0, 1, self.carriage.stream_id, 0, 0, ALIGNED, flags, length]);
        pes.extend_from_slice(&stamp(if dts.is_some() { 3 } else { 2 }, pts));
        if let Some(dts) = dts {
            pes.extend_from_slice(&stamp(1, dts));
        }
    }
}

/// Returns a timestamp with its prefix and marker bits.
fn stamp(prefix: u8, ticks: i64) -> [u8; 5] {
    let ticks = wrapped(ticks);
    let bits = |shift: u32| (ticks >> shift) as u8;
    [prefix << 4 | bits(29) & 0x0e | 1, bits(22), bits(14) | 1, bits(7), bits(0) << 1 | 1]
}

/// Returns ticks modulo 2^33.
fn wrapped(ticks: i64) -> u64 {
    ticks.rem_euclid(1 << 33) as u64
}

/// Converts nanoseconds to ticks, rounded to nearest.
fn ticks(ns: i64) -> i64 {
    (i128::from(ns) * 9 + 50_000).div_euclid(100_000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_have_their_marker_bits() {
        assert_eq!(stamp(2, (1 << 33) - 1), [0x2f, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(stamp(3, 0), [0x31, 0, 1, 0, 1]);
        assert_eq!(stamp(1, -1), [0x1f, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!((ticks(11_111), ticks(1_000_000_000), ticks(-40_000_000)), (1, 90_000, -3600));
    }
}
