//! Samples of MPEG audio: its frames, one after the other.

use super::Sound;
use super::frame::{self, HEADER_BYTES, Header, MAX_FRAME_BYTES};
use crate::held::{Held, Stop};
use crate::samples::{Demux, Plan, Sample, Source, Starts, TrackSetup, look};
use std::sync::Arc;

/// Bytes searched at once for the next frame after damage.
const RESYNC: u64 = 64 << 10;

/// What the index knows of the frames.
#[derive(Debug)]
pub(super) struct Film {
    sound: Sound,
    setups: Vec<TrackSetup>,
}

impl Film {
    pub(super) fn new(sound: Sound) -> Arc<Film> {
        let setup = TrackSetup { timescale: sound.header.rate, ..TrackSetup::default() };
        Arc::new(Film { sound, setups: vec![setup] })
    }
}

impl Source for Film {
    fn setups(&self) -> &[TrackSetup] {
        &self.setups
    }

    fn demux(self: Arc<Self>, starts: Starts) -> Box<dyn Demux> {
        let sound = &self.sound;
        let (at, frame) = match starts.whole {
            true => (sound.bytes.start, 0),
            false => (starts.from.offset, sound.frame_at(starts.from.time)),
        };
        let samples = (frame * sound.header.samples()) as i64 - sound.skipped as i64;
        Box::new(Reader { at: at.max(sound.bytes.start), samples, film: self, starts, like: None })
    }
}

/// A reader of frames.
#[derive(Debug)]
struct Reader {
    film: Arc<Film>,
    starts: Starts,
    /// Offset at which the next frame is expected.
    at: u64,
    /// Samples from the start of what is played to the next frame.
    samples: i64,
    /// The header of the first frame; the others have its rate.
    like: Option<Header>,
}

impl Reader {
    /// Returns the bytes of a range of the audio, which end with it.
    fn look<'a>(&self, held: &'a mut Held, bytes: u64) -> Result<&'a [u8], Stop> {
        let end = self.film.sound.bytes.end.min(held.size());
        let range = self.at..self.at.saturating_add(bytes).min(end);
        look(held, range, end)
    }
}

impl Demux for Reader {
    fn next(&mut self, held: &mut Held) -> Result<Option<Sample>, Stop> {
        let end = self.film.sound.bytes.end.min(held.size());
        while self.at.saturating_add(HEADER_BYTES as u64) <= end {
            let bytes = self.look(held, MAX_FRAME_BYTES)?;
            let header = Header::parse(bytes).filter(|header| self.like.is_none_or(|like| header.fits(&like)));
            let Some(header) = header else {
                let bytes = self.look(held, RESYNC)?;
                let ended = self.at + bytes.len() as u64 == end;
                let found = frame::find(bytes, ended, self.like.as_ref()).map(|(at, _)| at as u64);
                // The last bytes are searched again with those that follow.
                let searched = (bytes.len() as u64).saturating_sub(3 * MAX_FRAME_BYTES).max(1);
                self.at += found.unwrap_or(if ended { bytes.len() as u64 } else { searched });
                continue;
            };
            let size = header.frame_bytes();
            let Some(data) = bytes.get(..size as usize).map(<[u8]>::to_vec) else { break };
            let ns =
                |samples: i64| (i128::from(samples) * 1_000_000_000).div_euclid(i128::from(header.rate.max(1))) as i64;
            let (pts_ns, duration_ns) = (ns(self.samples), ns(header.samples() as i64));
            let (track, key, offset) = (0, true, self.at);
            let plan = Plan { track, pts_ns, dts_ns: pts_ns, duration_ns, key, offset };
            self.like.get_or_insert(header);
            self.at += size.max(1);
            self.samples = self.samples.saturating_add(header.samples() as i64);
            if self.starts.take(&plan)? {
                return Ok(Some(plan.with(data)));
            }
        }
        Ok(None)
    }
}
