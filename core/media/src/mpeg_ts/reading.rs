//! Reads a transport stream from any offset: the times of its pictures and its keyframes.

use super::keys;
use super::packet::{Layout, Packets, Pes};
use super::program::Program;
use crate::bisect::{Key, Look, Point, Reading, Short, Stream};
use crate::held::Held;
use crate::timeline::TrackKind;
use std::sync::Arc;

/// A transport stream whose program is known.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    pub(crate) layout: Layout,
    pub(crate) program: Arc<Program>,
    /// Timestamp of the film's start, of 33 bits.
    pub(crate) origin: u64,
}

/// Range of timestamps: they have 33 bits and wrap every 26.5 hours.
pub(crate) const WRAP: u64 = 1 << 33;
/// Ticks of a timestamp per second.
pub(crate) const TICKS: i64 = 90_000;
/// Ticks by which a timestamp may precede the film's start. An earlier one counts as a day later.
const BEFORE: u64 = 60 * TICKS as u64;
/// Longest distance in bytes from the program's tables to a keyframe at which they are included. A
/// player that begins there then knows the streams at once. FFmpeg repeats the tables every 0.1 s.
const NEAR_TABLES: u64 = 64 << 10;
/// The same for audio that began before the keyframe and lasts into it.
const NEAR_SOUND: u64 = 1 << 20;
/// Longest duration in microseconds of a PES packet of audio.
const SOUND_US: i64 = 1_000_000;

/// Converts ticks to microseconds, rounded.
pub(crate) fn us(ticks: i64) -> i64 {
    ticks.saturating_mul(200).saturating_add(9).div_euclid(18)
}

/// Returns the ticks from one timestamp to another that is later, or slightly earlier.
pub(crate) fn ticks_since(pts: u64, origin: u64) -> i64 {
    let ahead = pts.wrapping_sub(origin) % WRAP;
    if ahead >= WRAP - BEFORE { ahead as i64 - WRAP as i64 } else { ahead as i64 }
}

impl Stream for Transport {
    type Reading = Pictures;

    fn point(&self, held: &Held, cursor: &mut u64, end: u64) -> Look<Point> {
        let mut pictures = self.read(*cursor);
        loop {
            if *cursor >= end {
                return Err(Short::Nothing);
            }
            let event = pictures.event(held);
            *cursor = pictures.at();
            let event = event?;
            if event.main && event.at < end {
                return Ok(Point { at: event.at, time: event.time });
            }
        }
    }

    fn read(&self, at: u64) -> Pictures {
        let main = self.program.main();
        Pictures {
            packets: Packets::new(self.layout, at),
            main: main.map_or(u16::MAX, |main| main.pid),
            codec: main.map(|main| main.track.codec.clone()).unwrap_or_default(),
            // Playback can start at each audio packet.
            any: main.is_none_or(|main| main.track.kind != TrackKind::Video),
            program: Arc::clone(&self.program),
            origin: self.origin,
            time: None,
            tables: None,
            sound: Vec::new(),
        }
    }
}

/// A sequential reader of a transport stream.
#[derive(Debug)]
pub(crate) struct Pictures {
    packets: Packets,
    program: Arc<Program>,
    main: u16,
    codec: String,
    any: bool,
    origin: u64,
    /// The last time of the main stream.
    time: Option<i64>,
    /// Offset of the last PAT.
    tables: Option<u64>,
    /// The last PES packet of each of the other streams: PID, offset and time.
    sound: Vec<(u16, u64, i64)>,
}

/// The start of a PES packet with a timestamp.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) pid: u16,
    pub(crate) at: u64,
    pub(crate) pts: u64,
    pub(crate) time: i64,
    /// Whether it belongs to the main stream.
    pub(crate) main: bool,
    pub(crate) key: bool,
    /// The first byte that a player needs to begin here.
    pub(crate) from: u64,
    /// The first bytes of the elementary stream; zeros if there are none.
    pub(crate) body: [u8; 2],
}

impl Pictures {
    /// Returns the start of the next PES packet of video or audio.
    pub(crate) fn event(&mut self, held: &Held) -> Look<Event> {
        loop {
            let at = self.packets.next(held)?;
            let Some(packet) = self.packets.packet(held, at).filter(|packet| packet.start) else { continue };
            if packet.pid == 0 {
                self.tables = Some(at);
            } else if self.program.timed(packet.pid)
                && let Some(pes) = Pes::parse(packet.payload)
                && let Some(pts) = pes.pts
            {
                let time = us(ticks_since(pts, self.origin));
                let main = packet.pid == self.main;
                let key = main && (self.any || packet.random || keys::starts(&self.codec, pes.body));
                if main {
                    self.time = Some(time);
                } else {
                    self.sound.retain(|(pid, ..)| *pid != packet.pid);
                    self.sound.push((packet.pid, at, time));
                }
                let from = if key { self.from(at, time) } else { at };
                let body = pes.body.first_chunk().copied().unwrap_or_default();
                return Ok(Event { pid: packet.pid, at, pts, time, main, key, from, body });
            }
        }
    }

    fn from(&self, at: u64, time: i64) -> u64 {
        let tables = self.tables.filter(|tables| at - tables <= NEAR_TABLES);
        let lasting = |then: i64| time.saturating_sub(then) < SOUND_US;
        let sound = self.sound.iter().filter(|(_, place, then)| at - place <= NEAR_SOUND && lasting(*then));
        let sound = sound.map(|(_, place, _)| *place).min();
        at.min(tables.unwrap_or(at)).min(sound.unwrap_or(at))
    }
}

impl Reading for Pictures {
    fn at(&self) -> u64 {
        self.packets.at
    }

    fn time(&self) -> Option<i64> {
        self.time
    }

    fn next(&mut self, held: &Held) -> Look<Key> {
        loop {
            let event = self.event(held)?;
            if event.key {
                return Ok(Key { time: event.time, offset: event.at, from: event.from });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_go_on_across_their_wrap() {
        assert_eq!(ticks_since(5, WRAP - 5), 10);
        assert_eq!(ticks_since(WRAP - 5, 5), -10);
        assert_eq!(ticks_since(90_000 * 3600 * 26, 0), 90_000 * 3600 * 26);
        assert_eq!((us(90_000), us(1), us(-1)), (1_000_000, 11, -11));
    }
}
