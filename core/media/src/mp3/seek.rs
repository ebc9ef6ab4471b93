//! Finds the MPEG audio frame that begins at a time: by arithmetic and a check of the position, or
//! as the nearest frame after an estimated position.

use super::Sound;
use super::frame::{self, MAX_FRAME_BYTES};
use crate::held::{Held, Step, Walk};
use crate::locate::{SeekPoint, ahead};
use crate::timeline::{Search, Timeline};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Bytes requested at an estimated position: more than four of the longest usual frames.
const WINDOW: u64 = 8 << 10;

/// Longest distance from there at which a frame is searched for. Damage or a picture may lie within
/// the audio.
const MAX_RESYNC: u64 = 64 << 10;

impl Search for Sound {
    fn walk(&self, timeline: &Arc<Timeline>, time: Duration) -> Box<dyn Walk<Found = SeekPoint>> {
        Box::new(Find { sound: self.clone(), timeline: timeline.clone(), time, exact: self.constant, window: WINDOW })
    }
}

#[derive(Debug)]
struct Find {
    sound: Sound,
    timeline: Arc<Timeline>,
    time: Duration,
    /// Whether positions from arithmetic are still trusted.
    exact: bool,
    window: u64,
}

impl Find {
    fn seek_point(&self, time: Duration, offset: u64, estimated: bool) -> SeekPoint {
        SeekPoint { time, offset, from: offset, until: ahead(&self.timeline, self.time, offset), estimated }
    }

    /// Returns the bytes of a range of the audio and whether it reaches the end. Returns the range
    /// as the error if its bytes are not available.
    fn look<'a>(&self, held: &'a Held, range: Range<u64>) -> Result<(&'a [u8], bool), Range<u64>> {
        let range = range.start.max(self.sound.bytes.start)..range.end.min(self.sound.bytes.end);
        held.get(range.clone()).map(|bytes| (bytes, range.end == self.sound.bytes.end)).ok_or(range)
    }

    /// Returns the frame at the position predicted by arithmetic, within half a frame.
    fn by_arithmetic(&self, held: &Held) -> Result<Option<SeekPoint>, Range<u64>> {
        let sound = &self.sound;
        let wanted = sound.frame_at(self.time);
        let guess = sound.bytes.start + (wanted as f64 * sound.frame_bytes()) as u64;
        let half = sound.header.frame_bytes() / 2;
        let from = guess.saturating_sub(half).max(sound.bytes.start);
        let (bytes, ended) = self.look(held, from..guess + half + 3 * MAX_FRAME_BYTES)?;
        let nearest = (0..bytes.len().min((guess + half + 1 - from) as usize))
            .filter(|at| {
                let header = frame::confirmed(bytes, *at, ended);
                header.is_some_and(|h| h.fits(&sound.header) && h.bitrate == sound.header.bitrate)
            })
            .min_by_key(|at| (from + *at as u64).abs_diff(guess));
        Ok(nearest.map(|at| self.seek_point(sound.time(wanted), from + at as u64, false)))
    }
}

impl Walk for Find {
    type Found = SeekPoint;

    fn step(&mut self, held: &mut Held) -> Step<SeekPoint> {
        if self.exact {
            match self.by_arithmetic(held) {
                Err(range) => return Step::Need(vec![range]),
                Ok(Some(seek_point)) => return Step::Done(seek_point),
                Ok(None) => self.exact = false,
            }
        }
        let guess = self.timeline.byte_at(self.time).max(self.sound.bytes.start);
        // The end of the audio is preceded by a frame.
        let guess = guess.min(self.sound.bytes.end.saturating_sub(2 * MAX_FRAME_BYTES).max(self.sound.bytes.start));
        match self.look(held, guess..guess + self.window) {
            Err(range) => Step::Need(vec![range]),
            Ok((bytes, ended)) => match frame::find(bytes, ended, Some(&self.sound.header)) {
                Some((at, _)) => Step::Done(self.seek_point(self.time, guess + at as u64, true)),
                None if ended || self.window >= MAX_RESYNC => Step::Done(self.seek_point(self.time, guess, true)),
                None => {
                    self.window *= 2;
                    self.step(held)
                }
            },
        }
    }
}
