//! The stream as an FLV file ("Adobe Flash Video File Format Specification", annex E). Messages of
//! RTMP have the payloads of FLV's tags.

use super::amf0::{self, Value};
use bytes::{BufMut, Bytes, BytesMut};

/// Types of messages, and of the tags that they become.
pub(super) const AUDIO: u8 = 8;
pub(super) const VIDEO: u8 = 9;
pub(super) const DATA: u8 = 18;

/// Flags in the header of a file.
const HAS_AUDIO: u8 = 4;
const HAS_VIDEO: u8 = 1;
/// Length of the header of a tag, bytes.
const TAG_HEAD: usize = 11;

/// A string of AMF with which encoders ask a server to keep metadata. It is not in a file.
const SET_DATA_FRAME: &[u8] = b"\x02\x00\x0d@setDataFrame";
const CLEAR_DATA_FRAME: &[u8] = b"\x02\x00\x0f@clearDataFrame";
/// First bytes of metadata: a string of AMF.
const STRING: u8 = 2;

/// The writer of one stream.
#[derive(Debug, Default)]
pub(super) struct Writer {
    has_begun: bool,
    /// Time of the first tag, milliseconds. 0 leaves all times as they are.
    start_ms: u32,
    /// Added to all times.
    offset_ms: u32,
}

impl Writer {
    /// Creates a writer whose first tag has this time, if it is not 0.
    pub(super) fn starting_at(start_ms: u32) -> Writer {
        Writer { start_ms, ..Writer::default() }
    }

    /// Returns a message as a tag, the first one with the header of the file before it. `None` if it
    /// has nothing for a file.
    pub(super) fn tag(&mut self, kind: u8, timestamp: u32, payload: &[u8]) -> Option<Bytes> {
        let payload = match payload.strip_prefix(SET_DATA_FRAME) {
            Some(metadata) if kind == DATA => metadata,
            _ => payload,
        };
        let is_no_data = payload.starts_with(CLEAR_DATA_FRAME) || payload.first() != Some(&STRING);
        if payload.is_empty() || (kind == DATA && is_no_data) {
            return None;
        }
        let mut out = BytesMut::with_capacity(payload.len() + TAG_HEAD + 17);
        if !self.has_begun {
            self.has_begun = true;
            self.offset_ms = if self.start_ms == 0 { 0 } else { self.start_ms.wrapping_sub(timestamp) };
            out.extend_from_slice(b"FLV\x01");
            out.put_u8(if kind == DATA { tracks(payload) } else { HAS_AUDIO | HAS_VIDEO });
            out.put_u32(9);
            // The length of the tag before the first one.
            out.put_u32(0);
        }
        let timestamp = timestamp.wrapping_add(self.offset_ms);
        out.put_u8(kind);
        out.put_uint(payload.len() as u64, 3);
        out.put_uint(u64::from(timestamp & 0xff_ffff), 3);
        out.put_u8((timestamp >> 24) as u8);
        out.put_uint(0, 3);
        out.extend_from_slice(payload);
        // No message is as long as 4 GiB.
        out.put_u32((payload.len() + TAG_HEAD) as u32);
        Some(out.freeze())
    }

    /// Returns the messages within an aggregate message (RTMP, section 7.1.6) as tags. The rest of
    /// one that is cut off is skipped.
    pub(super) fn aggregate(&mut self, timestamp: u32, payload: &[u8]) -> Option<Bytes> {
        let (mut out, mut rest, mut first) = (BytesMut::new(), payload, None);
        while let Some((&[kind, s2, s1, s0, t2, t1, t0, t3, ..], after)) = rest.split_first_chunk::<TAG_HEAD>() {
            let length = u32::from_be_bytes([0, s2, s1, s0]) as usize;
            let Some((body, after)) = after.split_at_checked(length) else { break };
            let time = u32::from_be_bytes([t3, t2, t1, t0]);
            let offset = timestamp.wrapping_sub(*first.get_or_insert(time));
            if [AUDIO, VIDEO, DATA].contains(&kind) {
                out.extend(self.tag(kind, time.wrapping_add(offset), body));
            }
            // The length of the tag follows it.
            rest = after.get(4..).unwrap_or_default();
        }
        (!out.is_empty()).then(|| out.freeze())
    }
}

/// Returns the flags for the tracks that metadata names. Players wait for each track that the flags
/// promise.
fn tracks(metadata: &[u8]) -> u8 {
    let values = amf0::decode(metadata).unwrap_or_default();
    let named = |name: &str| values.iter().any(|value| value.get(name).is_some_and(|v| *v != Value::Null));
    let audio = if named("audiocodecid") { HAS_AUDIO } else { 0 };
    let video = if named("videocodecid") { HAS_VIDEO } else { 0 };
    if audio | video == 0 { HAS_AUDIO | HAS_VIDEO } else { audio | video }
}
