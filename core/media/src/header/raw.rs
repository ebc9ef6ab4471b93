//! Files of constant rate, whose length gives the duration (WAV, AIFF, DV), and RealMedia, whose
//! header gives it.

use super::{Short, Told, be16, be32, head, le16, le32, le64};
use crate::held::Held;
use crate::riff_codecs;
use crate::timeline::{Track, TrackKind};
use std::time::Duration;

/// Most chunks read before the audio.
const MAX_CHUNKS: u32 = 32;
/// Size of a chunk whose length is unknown while the file is written; also the first size that does
/// not fit the field.
const UNKNOWN: u32 = u32::MAX;

pub(super) fn wav(held: &Held) -> Result<Told, Short> {
    let (mut at, mut rate, mut large) = (12, 0, None);
    let mut track = None;
    for _ in 0..MAX_CHUNKS {
        let chunk = chunk(held, at)?;
        let size = le32(chunk, 4).ok_or(Short::Nothing("has no sound"))?;
        match chunk.get(..4) {
            Some(b"ds64") => large = le64(chunk, 16),
            Some(b"fmt ") => {
                rate = le32(chunk, 16).unwrap_or(0);
                track = audio(chunk);
            }
            Some(b"data") => {
                let rest = held.size().saturating_sub(at + 8);
                let bytes = if matches!(size, 0 | UNKNOWN) { large.unwrap_or(rest) } else { size.into() };
                return Ok(constant(at + 8, bytes.min(rest), f64::from(rate), track));
            }
            _ => {}
        }
        at += 8 + u64::from(size).next_multiple_of(2);
    }
    Err(Short::Nothing("has no sound"))
}

fn audio(chunk: &[u8]) -> Option<Track> {
    let codec = riff_codecs::audio(le16(chunk, 8)?, le16(chunk, 22)?.into());
    let audio = Some((le16(chunk, 10)?.into(), le32(chunk, 12)?));
    Some(Track { kind: TrackKind::Audio, codec, audio, ..Track::default() })
}

pub(super) fn aiff(held: &Held) -> Result<Told, Short> {
    let (mut at, mut seconds) = (12, 0.0);
    let mut track = None;
    for _ in 0..MAX_CHUNKS {
        let chunk = chunk(held, at)?;
        let size = be32(chunk, 4).ok_or(Short::Nothing("has no sound"))?;
        match chunk.get(..4) {
            Some(b"COMM") => {
                let (channels, frames, bits) = (be16(chunk, 8), be32(chunk, 10), be16(chunk, 14));
                let rate = chunk.get(16..26).map_or(0.0, extended);
                seconds = f64::from(frames.unwrap_or(0)) / rate;
                let audio = channels.map(|channels| (channels.into(), rate as u32));
                let codec = format!("pcm_s{}be", bits.unwrap_or(0));
                track = Some(Track { kind: TrackKind::Audio, codec, audio, ..Track::default() });
            }
            Some(b"SSND") => {
                let bytes = u64::from(size).min(held.size().saturating_sub(at + 8));
                return Ok(constant(at + 8, bytes, bytes as f64 / seconds, track));
            }
            _ => {}
        }
        at += 8 + u64::from(size).next_multiple_of(2);
    }
    Err(Short::Nothing("has no sound"))
}

/// Decodes an 80-bit number (IEEE 754 extended) in the range of sample rates.
fn extended(bytes: &[u8]) -> f64 {
    let (Some(power), Some(high)) = (be16(bytes, 0), be32(bytes, 2)) else { return 0.0 };
    f64::from(high) * f64::from(i32::from(power & 0x7fff) - 16383 - 31).exp2()
}

/// Returns the head of a chunk and the first bytes of its content.
fn chunk(held: &Held, at: u64) -> Result<&[u8], Short> {
    let range = at..at.saturating_add(64);
    held.get(range.clone()).filter(|chunk| !chunk.is_empty()).ok_or(match at < held.size() {
        true => Short::Need(range),
        false => Short::Nothing("has no sound"),
    })
}

/// Describes bytes of a constant rate from an offset on.
fn constant(from: u64, bytes: u64, rate: f64, track: Option<Track>) -> Told {
    let duration_s = bytes as f64 / rate;
    let is_time = duration_s.is_finite() && (0.0..1e9).contains(&duration_s);
    let end = Duration::from_secs_f64(if is_time { duration_s } else { 0.0 });
    let tracks = track.into_iter().collect();
    Told { duration_s, tracks, line: vec![(Duration::ZERO, from), (end, from + bytes)] }
}

pub(super) fn dv(held: &Held) -> Result<Told, Short> {
    /// Offset of the signal type: in the video's source pack, in the first block of its auxiliary
    /// data.
    const KIND: usize = 80 * 5 + 48 + 3;
    let bytes = head(held, KIND as u64 + 1)?;
    let pal = bytes.get(3).is_some_and(|b| b & 0x80 != 0);
    let (frame, rate) = if pal { (144_000.0, 25.0) } else { (120_000.0, 30_000.0 / 1001.0) };
    let factor = match bytes.get(KIND).map(|b| b & 0x1f) {
        Some(0) => 1.0,
        Some(4) => 2.0,
        _ => return Err(Short::Nothing("is of a kind whose rate is not known")),
    };
    let resolution = Some(if pal { (720, 576) } else { (720, 480) });
    let track = Track { kind: TrackKind::Video, codec: "dvvideo".into(), resolution, ..Track::default() };
    Ok(constant(0, held.size(), frame * factor * rate, Some(track)))
}

pub(super) fn real_media(held: &Held) -> Result<Told, Short> {
    let mut at = u64::from(be32(head(held, 18)?, 4).unwrap_or(18)).clamp(18, 64);
    for _ in 0..MAX_CHUNKS {
        let chunk = chunk(held, at)?;
        let size = be32(chunk, 4).filter(|size| *size >= 10).ok_or(Short::Nothing("has no properties"))?;
        if chunk.starts_with(b"PROP") {
            let ms = be32(chunk, 30).ok_or(Short::Nothing("has no properties"))?;
            return Ok(Told { duration_s: f64::from(ms) / 1e3, ..Told::default() });
        }
        at += u64::from(size);
    }
    Err(Short::Nothing("has no properties"))
}
