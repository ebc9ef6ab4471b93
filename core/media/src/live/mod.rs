//! Live streams: where a player can begin, and which bytes it needs first.
//!
//! A source pushes the bytes of a container without end. A [`Splitter`] detects the container and
//! cuts the bytes into [`Unit`]s. Some of them are **restart points**: a player that gets the
//! **init bytes**, then this unit and all that follow plays them without an error. All players that
//! began earlier need nothing but the units.
//!
//! Each container has a file that implements `Syntax`. It uses the parsers that the index of that
//! container uses, and only judges the bytes in front of it; the splitter owns the buffer, the
//! limits and the distance of restart points.
//!
//! ```
//! use playswarm_media::live::Splitter;
//!
//! let mut splitter = Splitter::new(Some("text/plain"));
//! splitter.push(&b"no container".repeat(100))?;
//! let first = splitter.poll().expect("what no container is known for is passed on");
//! assert!(first.restart && first.init.is_some_and(|init| init.is_empty()));
//! # Ok::<(), playswarm_media::live::Unsplittable>(())
//! ```

mod flac;
mod flv;
mod frames;
mod matroska;
mod mp4;
mod mpeg_ts;
mod ogg;
mod syntax;

use crate::container::Container;
use crate::endings::Format;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::fmt;
use syntax::{MAX_LOOK, Opaque, Role, Step, Syntax};

/// Most init bytes. The head of a channel has room for as many.
pub const MAX_INIT_BYTES: usize = 1 << 20;

/// Longest unit. Longer elements are passed on in several units while they arrive, so that they
/// are not delayed until they are complete. At 3 Mbit/s this is 11 ms.
pub const MAX_UNIT_BYTES: usize = 4 << 10;

/// Shortest time between restart points in microseconds. A group of a channel begins at each, and
/// where a player can begin with every frame of sound, groups would be too small.
const SPACING_US: i64 = 500_000;

/// A run of bytes of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unit {
    /// The bytes.
    pub bytes: Bytes,
    /// Whether a player can begin with the first of them, after the init bytes.
    pub restart: bool,
    /// The init bytes from here on, if they are not those of the restart points before. Present at
    /// the first restart point, and only at restart points. Empty for streams that need none.
    pub init: Option<Bytes>,
}

/// The reason why viewers could not join a stream. Its text says what to do instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsplittable {
    /// An MP4 whose index describes all samples, so that it is complete only at its end.
    WholeMp4,
    /// An MP4 whose fragments count from the beginning of the stream.
    AbsoluteMp4,
    /// More than [`MAX_INIT_BYTES`] that each player would need first.
    LongInit,
}

impl fmt::Display for Unsplittable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FLAGS: &str = "-movflags frag_keyframe+empty_moov+default_base_moof";
        match self {
            Unsplittable::WholeMp4 => write!(
                f,
                "the MP4 stream has no fragments, so that no viewer could begin within it; make it with FFmpeg's \
                 `{FLAGS}`, or send MPEG-TS"
            ),
            Unsplittable::AbsoluteMp4 => write!(
                f,
                "the fragments of the MP4 stream count from its beginning, which later viewers do not have; make it \
                 with FFmpeg's `{FLAGS}`"
            ),
            Unsplittable::LongInit => write!(
                f,
                "the stream begins with more than 1 MiB that each viewer would need first; leave out cover art, \
                 attachments and chapters"
            ),
        }
    }
}

impl std::error::Error for Unsplittable {}

/// Cuts a live stream into units.
///
/// It holds at most about 1 MiB, and the units that were not polled. Damage is left out up to the
/// next place where the container can be recognised. The same bytes give the same units, however
/// they were pushed; this does not apply to streams of unknown containers, which are passed on at
/// once.
#[derive(Debug)]
pub struct Splitter {
    content_type: Option<String>,
    /// `None` until the container is known.
    syntax: Option<Box<dyn Syntax>>,
    buffer: BytesMut,
    /// Bytes in the buffer that the next look needs.
    needed: usize,
    /// Bytes at the front that were judged, and what they are.
    judged: u64,
    role: Role,
    units: VecDeque<Unit>,
    /// The init bytes of the last restart point.
    init: Option<Bytes>,
    /// Time of the last restart point in microseconds.
    restarted_us: Option<i64>,
    interval_us: Option<i64>,
    failed: Option<Unsplittable>,
}

impl Splitter {
    /// Creates a splitter that detects the container by the first bytes. The media type that the
    /// source states is used where these say nothing.
    pub fn new(content_type: Option<&str>) -> Splitter {
        Splitter {
            content_type: content_type.map(str::to_owned),
            syntax: None,
            buffer: BytesMut::new(),
            needed: 0,
            judged: 0,
            role: Role::Damage,
            units: VecDeque::new(),
            init: None,
            restarted_us: None,
            interval_us: None,
            failed: None,
        }
    }

    /// Creates a splitter of a stream whose restart points the caller marks. Its content is not
    /// looked at.
    pub fn opaque(content_type: Option<&str>) -> Splitter {
        Splitter { syntax: Some(Box::new(Opaque::new())), ..Splitter::new(content_type) }
    }

    /// Takes the next bytes of the stream. Fails if viewers could not join it; it then fails each
    /// time.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Unsplittable> {
        self.buffer.extend_from_slice(bytes);
        self.split(false)
    }

    /// Declares that a player can begin with the next byte. Has an effect only on
    /// [opaque](Splitter::opaque) streams, and on others once their container turned out to be
    /// unknown.
    pub fn mark_restart(&mut self) {
        if let Some(syntax) = &mut self.syntax {
            syntax.mark_restart();
        }
    }

    /// Declares that the stream has ended. An element that was cut off is left out.
    pub fn finish(&mut self) -> Result<(), Unsplittable> {
        self.split(true)
    }

    /// Returns the next unit.
    pub fn poll(&mut self) -> Option<Unit> {
        self.units.pop_front()
    }

    /// Returns the usual file extension for the stream, without a dot. `None` before the first
    /// restart point, and where it is unknown.
    pub fn extension(&self) -> Option<&'static str> {
        self.init.as_ref().and(self.syntax.as_ref()).and_then(|syntax| syntax.extension())
    }

    /// Returns the media type of the stream: that of its container, else that which the source
    /// states. `None` before the first restart point.
    pub fn content_type(&self) -> Option<&str> {
        self.init.as_ref()?;
        let found = self.extension().and_then(|extension| Format::by_name(&format!("live.{extension}")));
        let stated = || self.content_type.as_deref().unwrap_or("application/octet-stream");
        Some(found.map_or_else(stated, |format| format.media_type))
    }

    /// Returns the seconds between the last two restart points. A viewer waits for up to as long
    /// before it can begin. `None` if unknown.
    pub fn restart_interval_s(&self) -> Option<f64> {
        self.interval_us.map(|us| us as f64 / 1e6)
    }

    /// Returns the number of bytes that were pushed and are not in units yet.
    pub fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    fn split(&mut self, ended: bool) -> Result<(), Unsplittable> {
        if let Some(why) = self.failed {
            return Err(why);
        }
        let result = self.advance(ended);
        if let Err(why) = result {
            self.failed = Some(why);
            self.buffer = BytesMut::new();
        }
        result
    }

    fn advance(&mut self, ended: bool) -> Result<(), Unsplittable> {
        loop {
            if self.judged > 0 {
                if !self.pass(ended)? {
                    return Ok(());
                }
                continue;
            }
            if self.buffer.is_empty() || (self.buffer.len() < self.needed && !ended) {
                return Ok(());
            }
            let Some(syntax) = &mut self.syntax else {
                if self.buffer.len() < Container::SNIFF_BYTES && !ended {
                    self.needed = Container::SNIFF_BYTES;
                } else {
                    self.syntax = Some(detect(&self.buffer, self.content_type.as_deref()));
                }
                continue;
            };
            match syntax.next(&self.buffer, ended)? {
                // The rest of an element that was cut off.
                Step::Need(_) if ended => self.buffer.clear(),
                Step::Need(bytes) => self.needed = bytes.clamp(self.buffer.len() + 1, self.buffer.len() + MAX_LOOK),
                Step::Take(bytes, role) => (self.needed, self.judged, self.role) = (0, bytes.max(1), role),
            }
        }
    }

    /// Passes on the next judged bytes. Returns whether there were enough of them.
    fn pass(&mut self, ended: bool) -> Result<bool, Unsplittable> {
        let most = if self.role.is_passed_on() { MAX_UNIT_BYTES } else { usize::MAX };
        let whole = usize::try_from(self.judged).unwrap_or(usize::MAX).min(most);
        let here = whole.min(self.buffer.len());
        if here == 0 || (here < whole && self.role.is_passed_on() && !ended) {
            return Ok(false);
        }
        self.judged -= here as u64;
        if !self.role.is_passed_on() {
            self.buffer.advance(here);
            return Ok(true);
        }
        let bytes = self.buffer.split_to(here).freeze();
        let unit = match std::mem::replace(&mut self.role, Role::Unit) {
            Role::Restart(us) => self.restart(bytes, us)?,
            _ => Unit { bytes, ..Unit::default() },
        };
        self.units.push_back(unit);
        Ok(true)
    }

    /// Returns the unit of a restart point, or an ordinary one if the last restart point is near.
    fn restart(&mut self, bytes: Bytes, us: Option<i64>) -> Result<Unit, Unsplittable> {
        let init = self.syntax.as_ref().map(|syntax| syntax.init()).unwrap_or_default();
        if init.len() > MAX_INIT_BYTES {
            return Err(Unsplittable::LongInit);
        }
        let since = us.zip(self.restarted_us).map(|(now, last)| now.saturating_sub(last));
        let changed = self.init.as_deref() != Some(init);
        if !changed && since.is_some_and(|since| (0..SPACING_US).contains(&since)) {
            return Ok(Unit { bytes, ..Unit::default() });
        }
        self.interval_us = since.filter(|since| *since > 0);
        self.restarted_us = us;
        let init = changed.then(|| Bytes::copy_from_slice(init));
        if init.is_some() {
            self.init.clone_from(&init);
        }
        Ok(Unit { bytes, restart: true, init })
    }
}

/// Returns those of new init bytes that a player needs which plays the stream already.
pub fn continuation(init: &[u8]) -> &[u8] {
    match Container::sniff(&init[..init.len().min(Container::SNIFF_BYTES)]) {
        Container::Flv => flv::without_header(init),
        // Here a second header ends the stream for some players, and is skipped by the others.
        Container::Matroska | Container::Mp4 | Container::Flac => &[],
        _ => init,
    }
}

/// Chooses the syntax by the first bytes, else by the media type.
fn detect(bytes: &[u8], content_type: Option<&str>) -> Box<dyn Syntax> {
    let head = &bytes[..bytes.len().min(Container::SNIFF_BYTES)];
    let media_type = content_type.and_then(|stated| stated.split(';').next()).unwrap_or_default().trim();
    match Container::sniff(head) {
        Container::MpegTs => Box::new(mpeg_ts::MpegTs::default()),
        Container::Flv => Box::new(flv::Flv::default()),
        Container::Matroska => Box::new(matroska::Matroska::default()),
        Container::Mp4 => Box::new(mp4::Mp4::default()),
        Container::Ogg => Box::new(ogg::Ogg::default()),
        Container::Flac => Box::new(flac::Flac::default()),
        Container::Mp3 => Box::new(frames::Frames::default()),
        _ if frames::begins(head) => Box::new(frames::Frames::default()),
        // These need no beginning. The source may have joined the stream itself.
        _ if media_type.eq_ignore_ascii_case("video/mp2t") => Box::new(mpeg_ts::MpegTs::default()),
        _ if frames::MEDIA_TYPES.iter().any(|known| media_type.eq_ignore_ascii_case(known)) => {
            Box::new(frames::Frames::default())
        }
        _ => Box::new(Opaque::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::continuation;

    #[test]
    fn a_player_that_goes_on_gets_no_second_header() {
        let flv = [&b"FLV\x01\x05\0\0\0\x09\0\0\0\0"[..], &[7; 100]].concat();
        assert_eq!(continuation(&flv), [7; 100]);
        let webm = [&b"\x1a\x45\xdf\xa3\x88\x42\x82\x84webm"[..], &[0; 100]].concat();
        let mp4 = [&b"\0\0\0\x14ftypisom\0\0\0\0isom\0\0\0\x08moov"[..], &[0; 100]].concat();
        let flac = [&b"fLaC\x80\0\0\x22"[..], &[0; 100]].concat();
        for init in [&webm, &mp4, &flac] {
            assert!(continuation(init).is_empty(), "{init:?}");
        }
        // The next link of a chain.
        let ogg = [&b"OggS\0\x02"[..], &[0; 100]].concat();
        assert_eq!(continuation(&ogg), ogg);
    }
}
