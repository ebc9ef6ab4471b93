//! Vorbis (RFC 5215), with the configuration in the description.

use super::{MAX_PAYLOAD_BYTES, Payload};
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;

/// Identifies the configuration, the only one of a presentation.
const IDENT: [u8; 3] = [0, 0, 1];

/// Returns the packed headers (sections 3.2.1 and 6). `None` if they are too long for the format.
pub(super) fn parameters(headers: [&[u8]; 3]) -> Option<String> {
    let whole = headers.concat();
    let length = u16::try_from(whole.len()).ok()?;
    let mut packed = 1u32.to_be_bytes().to_vec();
    packed.extend_from_slice(&IDENT);
    packed.extend_from_slice(&length.to_be_bytes());
    // The number of headers less one, and the lengths of all but the last.
    packed.push(2);
    headers[..2].iter().for_each(|header| packed.extend(base128(header.len())));
    packed.extend_from_slice(&whole);
    Some(format!("configuration={}", BASE64.encode(packed)))
}

/// Returns a number in groups of seven bits, the highest first. All but the last have the top bit.
fn base128(number: usize) -> impl Iterator<Item = u8> {
    let groups = (usize::BITS - number.leading_zeros()).div_ceil(7).max(1);
    (0..groups).rev().map(move |group| (number >> (7 * group) & 0x7f) as u8 | if group > 0 { 0x80 } else { 0 })
}

/// Returns a packet alone in a payload, or in fragments.
pub(super) fn split(packet: &[u8]) -> Vec<Payload> {
    /// The identification, the kind of fragment and the number of packets; and a length.
    const HEADER_BYTES: usize = 6;
    const FIRST: u8 = 1 << 6;
    const MIDDLE: u8 = 2 << 6;
    const LAST: u8 = 3 << 6;
    let parts = packet.len().div_ceil(MAX_PAYLOAD_BYTES - HEADER_BYTES);
    let part = |(n, part): (usize, &[u8])| {
        let kind = match n {
            _ if parts == 1 => 1,
            0 => FIRST,
            n if n + 1 == parts => LAST,
            _ => MIDDLE,
        };
        let data = [&IDENT[..], &[kind], &(part.len() as u16).to_be_bytes(), part].concat();
        Payload { data, ..Payload::default() }
    };
    packet.chunks(MAX_PAYLOAD_BYTES - HEADER_BYTES).enumerate().map(part).collect()
}
