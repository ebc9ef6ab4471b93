//! AV1 ("RTP Payload Format For AV1" of the Alliance for Open Media, 1.0).

use super::{MAX_PAYLOAD_BYTES, Payload, fragments};
use std::fmt::Write as _;

/// Types of OBUs (AV1 specification, 6.2.2).
const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;

/// Bytes before the OBUs of an `AV1CodecConfigurationRecord`.
const RECORD_HEAD: usize = 4;

/// Returns the parameters of section 7.2.1 from an `AV1CodecConfigurationRecord`.
pub(super) fn parameters(config: &[u8]) -> Option<String> {
    let [_, second, third, ..] = config else { return None };
    let mut text = String::new();
    let _ = write!(text, "profile={};level-idx={};tier={}", second >> 5, second & 0x1f, third >> 7);
    Some(text)
}

/// Splits a temporal unit: each packet has one OBU or a part of one, without its size. A keyframe
/// gets the sequence header of the configuration if it has none.
pub(super) fn split(unit: &[u8], key: bool, config: &[u8]) -> Vec<Payload> {
    const CONTINUES: u8 = 0x80;
    const CONTINUED: u8 = 0x40;
    const ONE_ELEMENT: u8 = 0x10;
    const NEW_SEQUENCE: u8 = 0x08;
    let mut list = obus(unit);
    if key && list.iter().all(|obu| kind(obu) != SEQUENCE_HEADER) {
        list.splice(0..0, obus(config.get(RECORD_HEAD..).unwrap_or_default()));
    }
    let mut payloads = Vec::new();
    for obu in list.iter().filter(|obu| ![TEMPORAL_DELIMITER, TILE_LIST, PADDING].contains(&kind(obu))) {
        payloads.extend(fragments(obu, MAX_PAYLOAD_BYTES - 1, |first, last| {
            vec![ONE_ELEMENT | if first { 0 } else { CONTINUES } | if last { 0 } else { CONTINUED }]
        }));
    }
    let last = payloads.len().saturating_sub(1);
    payloads.iter_mut().enumerate().for_each(|(n, payload)| payload.marker = n == last);
    if let Some(first) = payloads.first_mut().and_then(|first| first.data.first_mut()).filter(|_| key) {
        *first |= NEW_SEQUENCE;
    }
    payloads
}

fn kind(obu: &[u8]) -> u8 {
    obu.first().map_or(0, |head| head >> 3 & 15)
}

/// Returns the OBUs of a temporal unit without their sizes, up to the first that does not fit.
fn obus(unit: &[u8]) -> Vec<Vec<u8>> {
    const EXTENDED: u8 = 4;
    const SIZED: u8 = 2;
    let (mut rest, mut found) = (unit, Vec::new());
    while let Some(&head) = rest.first() {
        let header = 1 + usize::from(head & EXTENDED != 0);
        let Some((header, after)) = rest.split_at_checked(header) else { break };
        let sized = if head & SIZED == 0 { Some((after.len(), after)) } else { leb128(after) };
        let Some((body, after)) = sized.and_then(|(size, after)| after.split_at_checked(size)) else { break };
        found.push([&[head & !SIZED], &header[1..], body].concat());
        rest = after;
    }
    found
}

/// Reads a number of up to eight bytes with seven bits each, the lowest first.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    const MAX_BYTES: usize = 8;
    let last = bytes.iter().take(MAX_BYTES).position(|byte| byte & 0x80 == 0)?;
    let (number, rest) = bytes.split_at(last + 1);
    let number = number.iter().rev().fold(0u64, |number, byte| number << 7 | u64::from(byte & 0x7f));
    Some((usize::try_from(number).ok()?, rest))
}
