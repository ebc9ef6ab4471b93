//! ASF (Advanced Systems Format, Microsoft 2004): duration and streams from its header. Points come
//! from its simple index, if that lies within the requested bytes.

use super::{Short, Told, head, le16, le32, le64};
use crate::held::Held;
use crate::riff_codecs;
use crate::timeline::{Track, TrackKind};
use std::time::Duration;

const FILE: [u8; 8] = [0xa1, 0xdc, 0xab, 0x8c, 0x47, 0xa9, 0xcf, 0x11];
const STREAM: [u8; 8] = [0x91, 0x07, 0xdc, 0xb7, 0xb7, 0xa9, 0xcf, 0x11];
const SIMPLE_INDEX: [u8; 8] = [0x90, 0x08, 0x00, 0x33, 0xb1, 0xe5, 0xcf, 0x11];
const AUDIO: [u8; 8] = [0x40, 0x9e, 0x69, 0xf8, 0x4d, 0x5b, 0xcf, 0x11];
const VIDEO: [u8; 8] = [0xc0, 0xef, 0x19, 0xbc, 0x4d, 0x5b, 0xcf, 0x11];

/// Length of an object's GUID and size in bytes.
const OBJECT: usize = 24;
/// Length of the data object's head in bytes.
const DATA_HEAD: u64 = 50;
/// Lengths in bytes of the simple index's head and of an entry: a packet number, a packet count.
const INDEX_HEAD: u64 = 56;
const ENTRY: u64 = 6;
/// Most entries that are read: a day with one per second.
const MAX_ENTRIES: u64 = 86_400;

pub(super) fn read(held: &Held) -> Result<Told, Short> {
    let size = le64(head(held, 30)?, 16).ok_or(Short::Nothing("is cut short"))?;
    let header = head(held, size)?;
    let mut told = Told::default();
    let (mut packet_bytes, mut preroll) = (0, 0);
    let mut at = 30;
    while let Some(object) = header.get(at..).filter(|rest| rest.len() >= OBJECT) {
        let bytes = le64(object, 16).and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
        if object.starts_with(&FILE) {
            let live = le32(object, 88).is_some_and(|flags| flags & 1 != 0);
            if let (Some(play), Some(before), false) = (le64(object, 64), le64(object, 80), live) {
                preroll = before;
                told.duration_s = play as f64 / 1e7 - before as f64 / 1e3;
            }
            packet_bytes = le32(object, 96).unwrap_or(0);
        } else if object.starts_with(&STREAM) {
            told.tracks.extend(track(object));
        }
        at = at.saturating_add(bytes.max(OBJECT));
    }
    told.line = match line(held, size, packet_bytes.into(), preroll) {
        Err(Short::Nothing(_)) => Vec::new(),
        line => line?,
    };
    Ok(told)
}

fn track(object: &[u8]) -> Option<Track> {
    let data = object.get(78..)?;
    if object.get(OBJECT..)?.starts_with(&VIDEO) {
        let code = *data.get(27..)?.first_chunk()?;
        let resolution = Some((le32(data, 0)?, le32(data, 4)?)).filter(|r| r.0 > 0 && r.1 > 0);
        return Some(Track { kind: TrackKind::Video, codec: riff_codecs::video(code), resolution, ..Track::default() });
    }
    if object.get(OBJECT..)?.starts_with(&AUDIO) {
        let codec = riff_codecs::audio(le16(data, 0)?, le16(data, 14)?.into());
        let audio = Some((le16(data, 2)?.into(), le32(data, 4)?));
        return Some(Track { kind: TrackKind::Audio, codec, audio, ..Track::default() });
    }
    None
}

/// Reads the points of the simple index, which follows the data object.
fn line(held: &Held, data: u64, packet_bytes: u64, preroll_ms: u64) -> Result<Vec<(Duration, u64)>, Short> {
    let nothing = Short::Nothing("has no index");
    let at = |bytes: std::ops::Range<u64>| held.get(bytes.clone()).ok_or(Short::Need(bytes));
    let Some(data_bytes) = le64(at(data..data.saturating_add(DATA_HEAD))?, 16) else { return Err(nothing) };
    let index = data.saturating_add(data_bytes);
    if packet_bytes == 0 || index >= held.size() {
        return Err(nothing);
    }
    let head = at(index..index + INDEX_HEAD)?;
    let (Some(step), Some(entries)) = (le64(head, 40), le32(head, 52)) else { return Err(nothing) };
    if !head.starts_with(&SIMPLE_INDEX) || step == 0 {
        return Err(nothing);
    }
    let end = index + INDEX_HEAD + ENTRY * u64::from(entries).min(MAX_ENTRIES);
    let entries = at(index + INDEX_HEAD..end)?;
    let preroll = Duration::from_millis(preroll_ms.min(60_000));
    let point = |(n, entry): (usize, &[u8])| {
        let time = Duration::from_nanos((n as u64).saturating_mul(step).saturating_mul(100)).saturating_sub(preroll);
        let packet = u64::from(le32(entry, 0).unwrap_or(0));
        (time, (data + DATA_HEAD).saturating_add(packet.saturating_mul(packet_bytes)))
    };
    Ok(entries.chunks_exact(ENTRY as usize).enumerate().map(point).collect())
}
