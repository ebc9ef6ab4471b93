//! The times at which pictures of AVI films are shown. The file gives the order of decoding alone.

use super::headers::Stream;
use super::samples::Film;
use crate::codec::annex_b;
use crate::codec::sps;
use crate::mpeg_ts::keys;
use crate::samples::{MAX_SAMPLE_BYTES, ParameterSets, Plan, Sample};

/// Most pictures that wait for the next reference. Encoders place up to sixteen between two.
const MAX_WAITING: usize = 32;

/// First bytes of a picture by which it is judged.
const JUDGED: usize = 1 << 10;

/// A video track that is being read.
#[derive(Debug)]
pub(super) struct Shown {
    track: usize,
    codec: String,
    /// Whether pictures may be shown in another order than they are decoded. The header or the first
    /// keyframe states it.
    reorders: Option<bool>,
    /// Parameter sets of H.264, if they say that units have lengths before them.
    sets: Option<ParameterSets>,
    /// A picture that others refer to, and those that are decoded after it and shown before it. Each
    /// with its unit.
    waiting: Vec<(u64, bool, u64, Vec<u8>)>,
    bytes: usize,
}

impl Shown {
    pub(super) fn new(track: usize, stream: &Stream) -> Shown {
        let codec = stream.track.codec.clone();
        let sized = codec == "h264" && stream.config.first() == Some(&1);
        let sets = ParameterSets::avc(&stream.config).filter(|_| sized);
        let reorders = match &sets {
            Some(sets) => sets.sps.first().and_then(|set| sps::h264(set)).map(|set| set.reorder != Some(0)),
            None => reorders(&codec, &stream.config),
        };
        Shown { track, codec, reorders, sets, waiting: Vec::new(), bytes: 0 }
    }

    /// Takes a picture, which has a unit. `start` forces a keyframe.
    pub(super) fn take(
        &mut self,
        film: &Film,
        unit: u64,
        start: bool,
        offset: u64,
        data: &[u8],
        out: &mut Vec<Sample>,
    ) {
        // An empty chunk repeats the picture before it.
        if data.is_empty() {
            return;
        }
        let units = self.sets.as_ref().map(|sets| sets.units(data).map(|unit| &unit[..1]).collect::<Vec<_>>());
        // Judged as if start codes preceded the first bytes.
        let judged = units.map(|units| units.iter().flat_map(|unit| [0, 0, 1, unit[0], 0x80]).collect::<Vec<u8>>());
        let head = judged.as_deref().unwrap_or(data.get(..JUDGED).unwrap_or(data));
        let key = start || self.is_key(head, unit);
        let reorders = *self.reorders.get_or_insert_with(|| reorders(&self.codec, head).unwrap_or(true));
        let waits = self.waiting.len() < MAX_WAITING && self.bytes + data.len() <= MAX_SAMPLE_BYTES as usize;
        if !reorders {
            out.push(self.sample(film, unit, unit as i64, key, offset, data.to_vec()));
            return;
        }
        if !is_skipped(&self.codec, head) || !waits {
            self.finish(film, unit, out);
        }
        self.bytes += data.len();
        self.waiting.push((unit, key, offset, data.to_vec()));
    }

    /// Ends the wait: the next reference, or the end, has a unit.
    pub(super) fn finish(&mut self, film: &Film, next: u64, out: &mut Vec<Sample>) {
        self.bytes = 0;
        for (n, (unit, key, offset, data)) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            // References are shown when the next one is decoded; others at once.
            let shown = if n == 0 { next } else { unit };
            out.push(self.sample(film, unit, shown as i64 - 1, key, offset, data));
        }
    }

    fn sample(&self, film: &Film, unit: u64, shown: i64, key: bool, offset: u64, data: Vec<u8>) -> Sample {
        let stream = &film.streams[self.track];
        let (unit, delay) = (unit as i64, i64::from(self.reorders == Some(true)));
        let pts_ns = film.ns(stream, shown);
        let dts_ns = film.ns(stream, unit - delay).min(pts_ns);
        let duration_ns = film.ns(stream, unit + 1) - film.ns(stream, unit);
        Plan { track: self.track, pts_ns, dts_ns, duration_ns, key, offset }.with(data)
    }

    fn is_key(&self, head: &[u8], unit: u64) -> bool {
        match self.codec.as_str() {
            "mjpeg" | "rawvideo" | "huffyuv" | "ffvhuff" | "dvvideo" => true,
            // The type of the picture comes first.
            "msmpeg4v2" | "msmpeg4v3" | "wmv1" => head.first().is_some_and(|first| first >> 6 == 0),
            codec => unit == 0 || keys::starts(codec, head),
        }
    }
}

/// Whether headers state that pictures are shown in another order than they are decoded. `None` if
/// they do not state it.
fn reorders(codec: &str, headers: &[u8]) -> Option<bool> {
    match codec {
        "mpeg4" => annex_b::units(headers).find_map(low_delay).map(|low_delay| !low_delay),
        "h264" => Some(annex_b::units(headers).find_map(sps::h264)?.reorder != Some(0)),
        _ => Some(false),
    }
}

/// Whether no other picture refers to a picture, so that it is shown before the one decoded before it.
fn is_skipped(codec: &str, head: &[u8]) -> bool {
    const B: u8 = 2;
    let mut units = annex_b::units(head);
    match codec {
        "mpeg4" => units.any(|unit| matches!(unit, [0xb6, kind, ..] if kind >> 6 == B)),
        _ => units.any(|unit| matches!(unit, [kind, ..] if kind & 0x1f == 1 && kind & 0x60 == 0)),
    }
}

/// Whether the header of an MPEG-4 layer states that no picture is shown late (ISO/IEC 14496-2,
/// 6.2.3). `None` for other units, and if it does not state it.
fn low_delay(unit: &[u8]) -> Option<bool> {
    const LAYERS: std::ops::RangeInclusive<u8> = 0x20..=0x2f;
    let (_, rest) = unit.split_first().filter(|(first, _)| LAYERS.contains(first))?;
    let bit = |at: usize| Some(rest.get(at / 8)? >> (7 - at % 8) & 1 == 1);
    let mut at = 9;
    // A version and a priority; an aspect ratio, which may be extended; the kind of colours.
    at += if bit(at)? { 8 } else { 1 };
    let aspect = (0..4).try_fold(0, |n, i| Some(n << 1 | u8::from(bit(at + i)?)))?;
    at += if aspect == 15 { 20 } else { 4 };
    if bit(at)? { bit(at + 3) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_picture_is_known_by_its_header() {
        assert!(is_skipped("mpeg4", &[0, 0, 1, 0xb6, 0x90]));
        assert!(!is_skipped("mpeg4", &[0, 0, 1, 0xb0, 1, 0, 0, 1, 0xb6, 0x50]));
        assert!(is_skipped("h264", &[0, 0, 0, 1, 0x01, 0x9a]));
        assert!(!is_skipped("h264", &[0, 0, 0, 1, 0x41, 0x9a]));
    }

    #[test]
    fn a_layer_header_states_the_delay() {
        let headers = [0, 0, 1, 0xb0, 1, 0, 0, 1, 0x20, 0, 0xc4, 0x8d, 0x88, 0, 0xcd, 5];
        assert_eq!(reorders("mpeg4", &headers), Some(false));
        assert_eq!(reorders("mpeg4", &headers[..12]), None);
        assert_eq!(reorders("mpeg4", &[0, 0, 1, 0x20, 0, 0xc4, 0x8d, 0x08]), Some(true));
        assert_eq!(reorders("mpeg4", &[]), None);
    }
}
