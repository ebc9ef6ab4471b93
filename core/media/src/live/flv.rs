//! FLV (Adobe, version 10.1, and Enhanced RTMP version 2): the header, the metadata and the
//! sequence headers of the decoders are the init bytes. A player begins with a keyframe, or, in a
//! stream without video, with any audio.

use super::Unsplittable;
use super::syntax::{MAX_LOOK, Role, Step, Syntax};

/// Length in bytes of the header and of the number after it.
const HEADER: usize = 13;
/// Length in bytes of a tag's head, and of its length after it.
const TAG_HEAD: usize = 11;
const TAG_TAIL: usize = 4;
/// The beginning of the metadata: the name of the script as a string of AMF 0.
const METADATA_NAME: &[u8; 13] = b"\x02\x00\x0aonMetaData";
/// Bytes of a tag's content by which it is judged.
const JUDGED: usize = METADATA_NAME.len();
/// Most tags in the init bytes: the metadata and a dozen tracks.
const MAX_TAGS: usize = 16;
/// Time without video after which a stream counts as one without, although its header has a flag
/// for video. Servers of RTMP set it always.
const NO_VIDEO_MS: u32 = 3000;

/// A stream of tags.
#[derive(Debug, Default)]
pub(super) struct Flv {
    /// The header.
    header: Vec<u8>,
    /// The tags of the init bytes, by what they set up.
    tags: Vec<(Key, Vec<u8>)>,
    init: Vec<u8>,
    /// Whether audio or video was passed on.
    begun: bool,
    lost: bool,
    video: bool,
    /// Timestamp of the first tag of audio.
    audio_ms: Option<u32>,
}

/// What a tag of the init bytes sets up: type and track.
type Key = (u8, u8);

/// The head of a tag.
#[derive(Clone, Copy, Debug)]
struct Tag {
    kind: u8,
    content: usize,
    ms: u32,
}

/// The content of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// A part of the init bytes.
    Init(Key),
    Video {
        key: bool,
    },
    Audio,
    /// Another script, or the end of a sequence.
    Other,
}

const AUDIO: u8 = 8;
const VIDEO: u8 = 9;
const SCRIPT: u8 = 18;

impl Tag {
    fn parse(bytes: &[u8]) -> Option<Tag> {
        let &[kind, a, b, c, d, e, f, high, stream @ .., _] = bytes.first_chunk::<{ TAG_HEAD + 1 }>()?;
        let content = u32::from_be_bytes([0, a, b, c]) as usize;
        let valid = matches!(kind, AUDIO | VIDEO | SCRIPT) && stream == [0; 3];
        valid.then_some(Tag { kind, content, ms: u32::from_be_bytes([high, d, e, f]) })
    }

    /// Returns its length in bytes.
    fn bytes(&self) -> usize {
        TAG_HEAD + self.content + TAG_TAIL
    }

    /// Whether the length after the tag is right. `None` if it is not there yet.
    fn is_confirmed(&self, bytes: &[u8]) -> Option<bool> {
        let tail = bytes.get(TAG_HEAD + self.content..self.bytes())?;
        Some(tail == ((TAG_HEAD + self.content) as u32).to_be_bytes())
    }

    fn content(&self, content: &[u8]) -> Content {
        match self.kind {
            VIDEO => video(content),
            AUDIO => audio(content),
            _ if content.starts_with(METADATA_NAME) => Content::Init((SCRIPT, 0)),
            _ => Content::Other,
        }
    }
}

/// The packet types of Enhanced RTMP.
const SEQUENCE_START: u8 = 0;
const SEQUENCE_END: u8 = 2;
const METADATA: u8 = 4;

/// Returns the first track of a tag with several, counted from 1. It follows a code of four letters.
fn track_of(content: &[u8]) -> u8 {
    content.get(6).copied().unwrap_or_default().saturating_add(1)
}

fn video(content: &[u8]) -> Content {
    const KEY: u8 = 1;
    const COMMAND: u8 = 5;
    const MULTITRACK: u8 = 6;
    /// AVC, and HEVC as some servers have it.
    const WITH_PACKET_TYPE: [u8; 2] = [7, 12];
    let Some(&first) = content.first() else { return Content::Other };
    let second = content.get(1).copied().unwrap_or_default();
    let (frame, low) = (first >> 4 & 7, first & 15);
    let (kind, track) = match first & 0x80 != 0 {
        true if low == MULTITRACK => (second & 15, track_of(content)),
        true => (low, 0),
        false if WITH_PACKET_TYPE.contains(&low) => (second, 0),
        false => (1, 0),
    };
    match kind {
        _ if frame == COMMAND => Content::Other,
        SEQUENCE_START => Content::Init((VIDEO, track)),
        SEQUENCE_END | METADATA => Content::Other,
        _ => Content::Video { key: frame == KEY },
    }
}

fn audio(content: &[u8]) -> Content {
    const AAC: u8 = 10;
    const ENHANCED: u8 = 9;
    const MULTITRACK: u8 = 5;
    let Some(&first) = content.first() else { return Content::Other };
    let second = content.get(1).copied().unwrap_or_default();
    let (kind, track) = match first >> 4 {
        AAC => (second, 0),
        ENHANCED if first & 15 == MULTITRACK => (second & 15, track_of(content)),
        ENHANCED => (first & 15, 0),
        _ => (1, 0),
    };
    match kind {
        SEQUENCE_START => Content::Init((AUDIO, track)),
        SEQUENCE_END | METADATA if first >> 4 == ENHANCED => Content::Other,
        _ => Content::Audio,
    }
}

impl Flv {
    /// Takes a tag of the init bytes. Its time is of no importance.
    fn remember(&mut self, key: Key, tag: &[u8]) {
        // More are refused at the next restart point.
        if self.init.len() + tag.len() > 2 * MAX_LOOK {
            return;
        }
        let same = |old: &[u8]| old.get(TAG_HEAD..) == tag.get(TAG_HEAD..);
        match self.tags.iter().position(|(known, _)| *known == key) {
            Some(at) if same(&self.tags[at].1) => return,
            Some(at) => self.tags[at].1 = tag.to_vec(),
            None if self.tags.len() < MAX_TAGS => self.tags.push((key, tag.to_vec())),
            None => return,
        }
        let tags = self.tags.iter().map(|(_, tag)| tag.as_slice());
        self.init = std::iter::once(self.header.as_slice()).chain(tags).collect::<Vec<_>>().concat();
    }

    fn judge(&mut self, tag: &Tag, bytes: &[u8]) -> Result<Step, Unsplittable> {
        let judged = TAG_HEAD + tag.content.min(JUDGED);
        let Some(content) = bytes.get(TAG_HEAD..judged) else { return Ok(Step::Need(judged)) };
        let role = match tag.content(content) {
            Content::Init(_) if tag.bytes() > MAX_LOOK && !self.begun => return Err(Unsplittable::LongInit),
            Content::Init(_) if tag.bytes() > MAX_LOOK => Role::Unit,
            Content::Init(key) => {
                let Some(whole) = bytes.get(..tag.bytes()) else { return Ok(Step::Need(tag.bytes())) };
                self.video |= key.0 == VIDEO;
                self.remember(key, whole);
                if self.begun { Role::Unit } else { Role::Init }
            }
            Content::Video { key } => {
                (self.begun, self.video) = (true, true);
                if key { Role::Restart(Some(i64::from(tag.ms) * 1000)) } else { Role::Unit }
            }
            Content::Audio => {
                self.begun = true;
                let first = *self.audio_ms.get_or_insert(tag.ms);
                let flagged = self.header.get(4).is_some_and(|flags| flags & 1 != 0);
                let alone = !self.video && (!flagged || tag.ms.wrapping_sub(first) >= NO_VIDEO_MS);
                if alone { Role::Restart(Some(i64::from(tag.ms) * 1000)) } else { Role::Unit }
            }
            Content::Other => Role::Unit,
        };
        Ok(Step::Take(tag.bytes() as u64, role))
    }

    /// Searches for a tag that is followed by its length.
    fn search(&mut self, bytes: &[u8], ended: bool) -> Step {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() > TAG_HEAD) {
            // A header within damage is found wherever the pushed bytes were cut.
            if is_header(rest) {
                break;
            }
            if let Some(tag) = Tag::parse(rest).filter(|tag| tag.content > 0 && tag.bytes() <= MAX_LOOK) {
                match tag.is_confirmed(rest) {
                    Some(true) => {
                        self.lost = false;
                        break;
                    }
                    None if !ended && at == 0 => return Step::Need(tag.bytes()),
                    None if !ended => break,
                    _ => {}
                }
            }
            at += 1;
        }
        if at == 0 && self.lost { Step::Need(TAG_HEAD + 1) } else { Step::Take(at as u64, Role::Damage) }
    }
}

/// Returns whether a file header is here.
fn is_header(bytes: &[u8]) -> bool {
    bytes.starts_with(b"FLV\x01") && bytes.get(5..9) == Some(&[0, 0, 0, 9])
}

/// Returns init bytes of FLV without the header of the file, and others unchanged.
pub(super) fn without_header(init: &[u8]) -> &[u8] {
    if is_header(init) { init.get(HEADER..).unwrap_or_default() } else { init }
}

impl Syntax for Flv {
    fn next(&mut self, bytes: &[u8], ended: bool) -> Result<Step, Unsplittable> {
        if bytes.len() < HEADER {
            return Ok(Step::Need(HEADER));
        }
        if is_header(bytes) {
            self.lost = false;
            // Players expect a header at the beginning only.
            if self.begun {
                return Ok(Step::Take(HEADER as u64, Role::Damage));
            }
            self.header = bytes[..HEADER].to_vec();
            self.init.clone_from(&self.header);
            return Ok(Step::Take(HEADER as u64, Role::Init));
        }
        if self.lost {
            let step = self.search(bytes, ended);
            if self.lost || step != Step::Take(0, Role::Damage) {
                return Ok(step);
            }
        }
        match Tag::parse(bytes) {
            Some(tag) => self.judge(&tag, bytes),
            None => {
                self.lost = true;
                Ok(Step::Take(1, Role::Damage))
            }
        }
    }

    fn init(&self) -> &[u8] {
        &self.init
    }

    fn extension(&self) -> Option<&'static str> {
        Some("flv")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_judged_by_codec_and_packet_type() {
        let key = |key| Content::Video { key };
        for (content, expected) in [
            (&b"\x17\x00"[..], Content::Init((VIDEO, 0))),
            (b"\x17\x01", key(true)),
            (b"\x27\x01", key(false)),
            (b"\x17\x02", Content::Other),
            (b"\x12", key(true)),
            (b"\x57\x00", Content::Other),
            (b"\x90hvc1", Content::Init((VIDEO, 0))),
            (b"\x91hvc1", key(true)),
            (b"\xa3av01", key(false)),
            (b"\x92av01", Content::Other),
            (b"\x96\x00hvc1\x02", Content::Init((VIDEO, 3))),
            (b"\x96\x01hvc1\xff", key(true)),
            (b"", Content::Other),
        ] {
            assert_eq!(video(content), expected, "{content:02x?}");
        }
        for (content, expected) in [
            (&b"\xaf\x00"[..], Content::Init((AUDIO, 0))),
            (b"\xaf\x01", Content::Audio),
            (b"\x2f\x00", Content::Audio),
            (b"\x90Opus", Content::Init((AUDIO, 0))),
            (b"\x91Opus", Content::Audio),
            (b"\x95\x00Opus\xff", Content::Init((AUDIO, 255))),
        ] {
            assert_eq!(audio(content), expected, "{content:02x?}");
        }
    }
}
