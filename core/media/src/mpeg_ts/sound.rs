//! Duration of the last PES packet of audio. It carries several frames, but seldom as many as the
//! others.

use super::packet;
use super::program::Elementary;
use super::reading::{Event, Transport};
use crate::held::Held;
use crate::timeline::Track;

/// Most bytes read of a PES packet of audio. Those of uncompressed audio are the largest.
const MAX_BYTES: usize = 128 << 10;

/// Returns the track of a stream. The tables do not distinguish the layers of MPEG audio; its first
/// frame does (ISO/IEC 11172-3, 2.4.1.3).
pub(crate) fn with_layer(stream: &Elementary, head: &[Event]) -> Track {
    let mut track = stream.track.clone();
    let first = head.iter().find(|event| event.pid == stream.pid).map(|event| event.body);
    if let (Some([0xff, second]), "mp3") = (first, track.codec.as_str()) {
        track.codec = match second >> 1 & 3 {
            2 => "mp2",
            3 => "mp1",
            _ => "mp3",
        }
        .to_owned();
    }
    track
}

/// Returns the duration in microseconds of the last of one stream's PES packets, by comparing its
/// content to that of the packet before.
pub(crate) fn last_us(transport: &Transport, held: &Held, events: &[&Event], end: u64) -> Option<i64> {
    let [.., before, last] = events else { return None };
    let gap = last.time - before.time;
    let codec = transport.program.streams.iter().find(|s| s.pid == last.pid).map(|s| s.track.codec.as_str())?;
    let units = |event: &Event, end: u64| {
        let body = packet::content(transport.layout, held, event.pid, event.at..end, MAX_BYTES);
        if codec == "aac" { adts_frames(&body) } else { body.len() }
    };
    let (before, last) = (units(before, last.at), units(last, end));
    (before > 0 && gap > 0).then(|| gap.saturating_mul(last as i64) / before as i64)
}

/// Counts the AAC frames in ADTS (ISO/IEC 14496-3, 1.A.2.2), which all have the same duration.
fn adts_frames(mut body: &[u8]) -> usize {
    let mut frames = 0;
    while let [0xff, second, _, third, fourth, fifth, ..] = body
        && second & 0xf6 == 0xf0
    {
        let length = usize::from(third & 3) << 11 | usize::from(*fourth) << 3 | usize::from(fifth >> 5);
        frames += 1;
        body = body.get(length.max(7)..).unwrap_or_default();
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_aac_are_counted() {
        let frame = |length: usize| {
            let mut frame = vec![0; length];
            frame[..2].copy_from_slice(&[0xff, 0xf1]);
            frame[3..6].copy_from_slice(&[(length >> 11) as u8 & 3, (length >> 3) as u8, (length << 5) as u8]);
            frame
        };
        assert_eq!(adts_frames(&[frame(100), frame(2500), frame(7)].concat()), 3);
        assert_eq!(adts_frames(&frame(0x1000)[..50]), 1, "one that is cut off counts");
        assert_eq!(adts_frames(&[0xff, 0xf1, 0, 0, 0, 0, 0, 0]), 1, "a length of nothing ends it");
        assert_eq!(adts_frames(&[1, 2, 3]), 0);
    }
}
