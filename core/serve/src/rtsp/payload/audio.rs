//! Sound: AAC (RFC 3640), MPEG audio (RFC 2250) and AC-3 (RFC 4184).

use super::{MAX_PAYLOAD_BYTES, Payload, fragments};
use std::fmt::Write as _;

/// Returns the parameters of the mode for frames of up to 8191 bytes (RFC 3640, section 3.3.6).
pub(super) fn aac_parameters(config: &[u8]) -> String {
    let mut text =
        "streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config="
            .to_owned();
    config.iter().for_each(|byte| {
        let _ = write!(text, "{byte:02X}");
    });
    text
}

/// Returns a frame with one access unit header of 16 bits. Each fragment has the frame's whole size.
pub(super) fn aac(frame: &[u8]) -> Vec<Payload> {
    const HEADER_BITS: u16 = 16;
    /// Bits of the index, which follows the size and is zero.
    const INDEX_BITS: u32 = 3;
    let Some(size) = u16::try_from(frame.len()).ok().filter(|size| *size < 1 << 13) else { return Vec::new() };
    let headers = [HEADER_BITS.to_be_bytes(), (size << INDEX_BITS).to_be_bytes()].concat();
    fragments(frame, MAX_PAYLOAD_BYTES - headers.len(), |_, _| headers.clone())
}

/// Returns a frame with the offset of each fragment (RFC 2250, section 3.5).
pub(super) fn mpa(frame: &[u8]) -> Vec<Payload> {
    const HEADER_BYTES: usize = 4;
    let room = MAX_PAYLOAD_BYTES - HEADER_BYTES;
    let mut offset = 0;
    let mut payloads = fragments(frame, room, |_, _| {
        let header = (offset as u32 & 0xffff).to_be_bytes().to_vec();
        offset += room;
        header
    });
    // The marker is for the start after silence.
    payloads.iter_mut().for_each(|payload| payload.marker = false);
    payloads
}

/// Returns a frame with its type and the number of fragments (RFC 4184, section 4.1).
pub(super) fn ac3(frame: &[u8]) -> Vec<Payload> {
    const WHOLE: u8 = 0;
    const FIRST_LONG: u8 = 1;
    const FIRST_SHORT: u8 = 2;
    const LATER: u8 = 3;
    let room = MAX_PAYLOAD_BYTES - 2;
    let count = frame.len().div_ceil(room);
    // The first fragment may have the 5/8 of the frame that can be decoded alone.
    let first_kind = if room * 8 >= frame.len() * 5 { FIRST_LONG } else { FIRST_SHORT };
    fragments(frame, room, |first, _| {
        let kind = match (count, first) {
            (1, _) => WHOLE,
            (_, true) => first_kind,
            _ => LATER,
        };
        vec![kind, count as u8]
    })
}
