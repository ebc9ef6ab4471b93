//! Containers of which only the duration is read, from their header or their ends. Seeking uses a
//! straight line, or a line through the points that the header lists.

mod asf;
mod flv;
mod program_stream;
mod raw;

use crate::container::Container;
use crate::held::{Held, Step, Walk};
use crate::timeline::{Timeline, Track};
use std::ops::Range;
use std::time::Duration;

/// Most bytes of a header that are read.
const MAX_HEADER: u64 = 256 << 10;
/// Longest plausible duration in seconds.
const LONGEST_S: f64 = 1000.0 * 3600.0;
/// Lowest and highest plausible rate in bytes per second: that of speech, and above raw
/// high-definition video.
const LEAST_RATE: f64 = 200.0;
const MOST_RATE: f64 = 500e6;

/// The data from a header.
#[derive(Debug, Default)]
struct Told {
    duration_s: f64,
    tracks: Vec<Track>,
    /// Points that map time to byte, if there are any.
    line: Vec<(Duration, u64)>,
}

/// The reason why a header reader stopped early.
enum Short {
    Need(Range<u64>),
    /// The reason why nothing can be read.
    Nothing(&'static str),
}

/// A reader of a header. It is called again with more bytes until it needs no more.
type Read = fn(&Held) -> Result<Told, Short>;

/// A walk through a header.
#[derive(Debug)]
pub(crate) struct Header {
    container: Container,
    steps: u32,
}

impl Header {
    /// Returns the walk for a container; `None` if it is not one of these.
    pub(crate) fn of(container: Container) -> Option<Header> {
        read_of(container).map(|_| Header { container, steps: 0 })
    }
}

fn read_of(container: Container) -> Option<Read> {
    match container {
        Container::Asf => Some(asf::read),
        Container::Flv => Some(flv::read),
        Container::RealMedia => Some(raw::real_media),
        Container::MpegPs => Some(program_stream::read),
        Container::Wav => Some(raw::wav),
        Container::Aiff => Some(raw::aiff),
        Container::Dv => Some(raw::dv),
        _ => None,
    }
}

/// Returns the bytes at the end of a file that are requested together with the head.
pub(crate) fn tail(container: Container, size: u64) -> Option<Range<u64>> {
    match container {
        Container::MpegPs => Some(size.saturating_sub(program_stream::WINDOW)..size),
        Container::Flv => Some(size.saturating_sub(flv::TAIL)..size),
        _ => None,
    }
}

impl Walk for Header {
    type Found = Timeline;

    fn step(&mut self, held: &mut Held) -> Step<Timeline> {
        /// Most steps; more than any of the readers takes.
        const MAX_STEPS: u32 = 64;
        self.steps += 1;
        let read = read_of(self.container).filter(|_| self.steps <= MAX_STEPS);
        let why = match read.map(|read| read(held)) {
            Some(Ok(told)) if is_believable(told.duration_s, held.size()) => {
                let why =
                    format!("the {} file's header tells how long it plays and little more", self.container.name());
                let duration = Some(Duration::from_secs_f64(told.duration_s));
                let timeline = Timeline::estimate(self.container, held.size(), duration, why);
                return Step::Done(timeline.with_tracks(told.tracks).with_line(ascending(told.line)));
            }
            Some(Err(Short::Need(range))) => return Step::Need(vec![range]),
            Some(Err(Short::Nothing(why))) => why,
            Some(Ok(_)) | None => "tells no time that fits the file",
        };
        let why = format!("the {} file {why}", self.container.name());
        Step::Done(Timeline::estimate(self.container, held.size(), None, why))
    }
}

fn is_believable(seconds: f64, size: u64) -> bool {
    seconds.is_finite()
        && seconds > 0.0
        && seconds <= LONGEST_S
        && (LEAST_RATE..MOST_RATE).contains(&(size as f64 / seconds))
}

/// Returns the points that ascend in both time and byte.
fn ascending(mut line: Vec<(Duration, u64)>) -> Vec<(Duration, u64)> {
    line.sort_unstable();
    let mut last = None;
    line.retain(|&(time, byte)| {
        let fits = last.is_none_or(|(t, b)| time > t && byte > b);
        if fits {
            last = Some((time, byte));
        }
        fits
    });
    line
}

/// Returns the first bytes of a file: at least `bytes` if the file has them, and at most the limit
/// for a header.
fn head(held: &Held, bytes: u64) -> Result<&[u8], Short> {
    let range = 0..bytes.min(MAX_HEADER);
    held.get(range.clone()).ok_or(Short::Need(range))
}

fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
