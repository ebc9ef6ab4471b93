//! VP8 (RFC 7741) and VP9 (RFC 9628) with the shortest payload descriptor.

use super::{MAX_PAYLOAD_BYTES, Payload, fragments};

pub(super) fn vp8(frame: &[u8]) -> Vec<Payload> {
    const START_OF_PARTITION: u8 = 0x10;
    fragments(frame, MAX_PAYLOAD_BYTES - 1, |first, _| vec![if first { START_OF_PARTITION } else { 0 }])
}

pub(super) fn vp9(frame: &[u8], key: bool) -> Vec<Payload> {
    const INTER: u8 = 0x40;
    const START: u8 = 0x08;
    const END: u8 = 0x04;
    fragments(frame, MAX_PAYLOAD_BYTES - 1, |first, last| {
        let bit = |on: bool, bit: u8| if on { bit } else { 0 };
        vec![bit(!key, INTER) | bit(first, START) | bit(last, END)]
    })
}
