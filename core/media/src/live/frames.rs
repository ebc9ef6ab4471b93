//! MPEG audio and AAC in ADTS: frames that follow each other. There are no init bytes, and a player
//! can begin with each frame.

use super::Unsplittable;
use super::syntax::{MAX_ELEMENT, Role, Step, Syntax};
use crate::codec::audio::{Frame, Look};
use crate::mp3::frame::Header;
use crate::mp3::tags::{ID3_HEADER_BYTES, id3_bytes};

/// Media types of these streams, as Icecast's sources state them.
pub(super) const MEDIA_TYPES: [&str; 6] =
    ["audio/mpeg", "audio/mp3", "audio/aac", "audio/aacp", "audio/x-aac", "audio/mpa"];

/// FFmpeg's names of the codecs.
const CODECS: [&str; 2] = ["mp3", "aac"];

/// Frames that must follow a candidate after damage. Sync words also occur within audio data.
const FOLLOWERS: usize = 2;

/// Length in bytes of the longest header.
const HEADER: usize = 7;

/// Length in bytes of a tag of ID3v1.
const ID3V1: usize = 128;

/// A stream of frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// `None` while a frame is searched for.
    codec: Option<&'static str>,
    extension: Option<&'static str>,
    /// Whether damage is in front.
    lost: bool,
    /// Duration of the frames so far, in nanoseconds.
    ns: i64,
}

/// Whether bytes begin with frames. Those that are in view are looked at.
pub(super) fn begins(head: &[u8]) -> bool {
    CODECS.iter().any(|codec| follow(codec, head, true) == Some(true))
}

/// Whether frames of a codec follow each other from here on. `None` if more bytes are needed; if
/// the stream `ended` with these, they are not.
fn follow(codec: &str, bytes: &[u8], ended: bool) -> Option<bool> {
    let mut at = 0;
    for _ in 0..=FOLLOWERS {
        match Frame::parse(codec, &bytes[at.min(bytes.len())..]) {
            Look::Found(frame) if alike(codec, bytes, &bytes[at..]) => at += frame.bytes,
            // The first frame must be there.
            Look::Short => return if ended { Some(at > 0) } else { None },
            _ => return Some(false),
        }
    }
    Some(true)
}

/// Whether the headers of two frames may belong to one stream.
fn alike(codec: &str, a: &[u8], b: &[u8]) -> bool {
    if codec == "mp3" {
        return Header::parse(a).zip(Header::parse(b)).is_some_and(|(a, b)| a.fits(&b));
    }
    // All fields before the flags for copies (ISO/IEC 14496-3, 1.A.2.2).
    let fixed = |header: &[u8]| header.first_chunk::<4>().map(|&[a, b, c, d]| [a, b, c, d & 0xc0]);
    fixed(a) == fixed(b)
}

impl Frames {
    /// Searches for frames.
    fn search(&mut self, bytes: &[u8], ended: bool) -> Step {
        let candidates = bytes.iter().enumerate().filter(|(_, byte)| **byte == 0xff).map(|(at, _)| at);
        for at in candidates {
            for codec in CODECS {
                match follow(codec, &bytes[at..], ended) {
                    Some(true) => {
                        self.codec = Some(codec);
                        self.extension = Some(codec);
                    }
                    Some(false) => continue,
                    None if at == 0 => return Step::Need(bytes.len() + 1),
                    None => {}
                }
                return Step::Take(at as u64, Role::Damage);
            }
        }
        Step::Take(bytes.len() as u64, Role::Damage)
    }
}

impl Syntax for Frames {
    fn next(&mut self, bytes: &[u8], ended: bool) -> Result<Step, Unsplittable> {
        if !self.lost && b"ID3".starts_with(&bytes[..bytes.len().min(3)]) {
            let Some(header) = bytes.get(..ID3_HEADER_BYTES as usize) else {
                return Ok(Step::Need(ID3_HEADER_BYTES as usize));
            };
            if let Some(tag) = id3_bytes(header).filter(|tag| *tag <= MAX_ELEMENT) {
                return Ok(Step::Take(tag, Role::Unit));
            }
        }
        if self.codec.is_none() {
            let step = self.search(bytes, ended);
            self.lost = self.codec.is_none();
            if step != Step::Take(0, Role::Damage) {
                return Ok(step);
            }
        }
        let codec = self.codec.unwrap_or_default();
        match Frame::parse(codec, bytes) {
            Look::Found(frame) if bytes.len() < frame.bytes => Ok(Step::Need(frame.bytes)),
            Look::Found(frame) => {
                let begins = self.ns / 1000;
                self.ns = self.ns.saturating_add(frame.ns);
                Ok(Step::Take(frame.bytes as u64, Role::Restart(Some(begins))))
            }
            Look::Short => Ok(Step::Need(HEADER)),
            Look::Lost if bytes.starts_with(b"TAG") => Ok(Step::Take(ID3V1 as u64, Role::Unit)),
            Look::Lost => {
                self.codec = None;
                Ok(Step::Take(1, Role::Damage))
            }
        }
    }

    fn init(&self) -> &[u8] {
        &[]
    }

    fn extension(&self) -> Option<&'static str> {
        self.extension
    }
}
