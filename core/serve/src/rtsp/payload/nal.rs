//! H.264 (RFC 6184) and H.265 (RFC 7798): NAL units, alone in a packet or in fragments.

use super::{MAX_PAYLOAD_BYTES, ParameterSets, Payload, fragments};
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use std::fmt::Write as _;

/// The form of NAL unit headers of a codec, and of the headers of its fragments.
pub(super) struct Units {
    header_bytes: usize,
    /// Returns the headers of a fragment without its start and end bits, and ends with the byte that
    /// has them.
    fragment: fn(&[u8]) -> Vec<u8>,
}

pub(super) const H264: Units = Units {
    header_bytes: 1,
    fragment: |header| {
        const FU_A: u8 = 28;
        vec![header[0] & 0xe0 | FU_A, header[0] & 0x1f]
    },
};

pub(super) const H265: Units = Units {
    header_bytes: 2,
    fragment: |header| {
        const FU: u8 = 49;
        vec![header[0] & 0x81 | FU << 1, header[1], header[0] >> 1 & 0x3f]
    },
};

/// Splits an access unit. Its last packet has the marker.
pub(super) fn split(sample: &[u8], sets: Option<&ParameterSets>, codec: &Units) -> Vec<Payload> {
    const START: u8 = 0x80;
    const END: u8 = 0x40;
    let mut payloads = Vec::new();
    let mut add = |unit: &[u8]| {
        if unit.len() <= codec.header_bytes {
            return;
        }
        if unit.len() <= MAX_PAYLOAD_BYTES {
            payloads.push(Payload { data: unit.to_vec(), ..Payload::default() });
            return;
        }
        let (header, body) = unit.split_at(codec.header_bytes);
        let headers = (codec.fragment)(header);
        payloads.extend(fragments(body, MAX_PAYLOAD_BYTES - headers.len(), |first, last| {
            let mut headers = headers.clone();
            if let Some(bits) = headers.last_mut() {
                *bits |= if first { START } else { 0 } | if last { END } else { 0 };
            }
            headers
        }));
    };
    match sets {
        Some(sets) => sets.units(sample).for_each(&mut add),
        None => byte_stream(sample).for_each(&mut add),
    }
    let last = payloads.len().saturating_sub(1);
    payloads.iter_mut().enumerate().for_each(|(n, payload)| payload.marker = n == last);
    payloads
}

/// Iterates over the NAL units between start codes (Annex B), without the zeros that follow them.
fn byte_stream(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let start = |bytes: &[u8]| bytes.windows(3).position(|w| w == [0, 0, 1]);
    let mut rest = start(data).map(|at| &data[at + 3..]);
    std::iter::from_fn(move || {
        let unit = rest?;
        let next = start(unit);
        rest = next.map(|at| &unit[at + 3..]);
        let unit = &unit[..next.unwrap_or(unit.len())];
        let zeros = unit.iter().rev().take_while(|b| **b == 0).count();
        Some(&unit[..unit.len() - zeros])
    })
}

fn sets_text(sets: &[Vec<u8>]) -> String {
    sets.iter().map(|set| BASE64.encode(set)).collect::<Vec<_>>().join(",")
}

/// Returns the parameters of RFC 6184, section 8.1.
pub(super) fn h264_parameters(sets: Option<&ParameterSets>) -> String {
    let mut text = "packetization-mode=1".to_owned();
    if let Some(sets) = sets
        && let Some([_, profile, constraints, level, ..]) = sets.sps.first().map(Vec::as_slice)
    {
        let _ = write!(text, ";profile-level-id={profile:02X}{constraints:02X}{level:02X}");
        let all: Vec<_> = sets.sps.iter().chain(&sets.pps).cloned().collect();
        let _ = write!(text, ";sprop-parameter-sets={}", sets_text(&all));
    }
    text
}

/// Returns the parameters of RFC 7798, section 7.1.
pub(super) fn h265_parameters(sets: Option<&ParameterSets>) -> Option<String> {
    let sets = sets?;
    let [vps, sps, pps] = [&sets.vps, &sets.sps, &sets.pps].map(|sets| sets_text(sets));
    Some(format!("sprop-vps={vps};sprop-sps={sps};sprop-pps={pps}"))
}
