//! MPEG-4 video (RFC 6416): pictures in fragments without a header.

use super::{MAX_PAYLOAD_BYTES, Payload, fragments};
use std::fmt::Write as _;

/// Returns the parameters of section 7.1: the profile of the object sequence, and its headers.
pub(super) fn parameters(config: &[u8]) -> Option<String> {
    const SEQUENCE: [u8; 4] = [0, 0, 1, 0xb0];
    let place = config.windows(SEQUENCE.len()).position(|code| code == SEQUENCE);
    let profile = place.and_then(|place| config.get(place + SEQUENCE.len()));
    let mut text = format!("profile-level-id={};config=", profile.unwrap_or(&1));
    config.iter().for_each(|byte| {
        let _ = write!(text, "{byte:02X}");
    });
    (!config.is_empty()).then_some(text)
}

pub(super) fn split(picture: &[u8]) -> Vec<Payload> {
    fragments(picture, MAX_PAYLOAD_BYTES, |_, _| Vec::new())
}
