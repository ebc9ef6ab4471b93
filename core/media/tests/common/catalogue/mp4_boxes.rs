//! MP4 films that FFmpeg does not write, built from the boxes of films that it does.

use super::mp4;
use crate::common::{Film, Truth};

/// Length of the box before the media data of a film with offsets past 4 GiB.
pub const HOLE: u64 = 5 << 30;

/// Returns the boxes that begin in these bytes, each with its header, as kind and bytes.
fn boxes(mut bytes: &[u8]) -> Vec<([u8; 4], &[u8])> {
    let mut boxes = Vec::new();
    while let Some((size, rest)) = bytes.split_first_chunk() {
        let (one, rest_of_file) = bytes.split_at(u32::from_be_bytes(*size) as usize);
        boxes.push((*rest.first_chunk().unwrap(), one));
        bytes = rest_of_file;
    }
    boxes
}

/// Builds a box.
fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
}

/// Replaces each `stco` by a `co64` and adds `shift` to its offsets.
fn with_co64(bytes: &[u8], shift: u64) -> Vec<u8> {
    let altered = boxes(bytes).into_iter().map(|(kind, bytes)| match &kind {
        b"moov" | b"trak" | b"mdia" | b"minf" | b"stbl" => boxed(&kind, &with_co64(&bytes[8..], shift)),
        b"stco" => {
            let (count, offsets) = bytes[8..].split_at(8);
            let offsets = offsets.chunks_exact(4).map(|offset| u32::from_be_bytes(offset.try_into().unwrap()));
            let offsets = offsets.flat_map(|offset| (u64::from(offset) + shift).to_be_bytes());
            boxed(b"co64", &[count, &offsets.collect::<Vec<u8>>()].concat())
        }
        _ => bytes.to_vec(),
    });
    altered.collect::<Vec<_>>().concat()
}

/// Offsets of 64 bits. The `moov` is at the end, so no offset changes.
pub fn co64() -> Film {
    Film::altered(&mp4::moov_at_the_end(), "co64.mp4", |bytes| with_co64(&bytes, 0))
}

/// The same film with a box of [`HOLE`] bytes before its media data. Returns the bytes before the
/// content of that box, and those after it.
pub fn past_four_gigabytes() -> (Vec<u8>, Vec<u8>) {
    let bytes = mp4::moov_at_the_end().bytes();
    let media = boxes(&bytes).iter().take_while(|(kind, _)| kind != b"mdat").map(|(_, bytes)| bytes.len()).sum();
    let free = [&1_u32.to_be_bytes()[..], b"free", &HOLE.to_be_bytes()].concat();
    let (before, after) = bytes.split_at(media);
    ([before, &free].concat(), with_co64(after, HOLE))
}

/// A range of fragments: its bytes, with or without an index at their start, and its times in
/// microseconds.
#[derive(Clone)]
struct Part {
    bytes: Vec<u8>,
    indexed: bool,
    begins: u32,
    lasts: u32,
}

/// Builds a `sidx` of these parts, or a box of another kind with the same content. `gap` bytes are
/// between it and the first part.
fn sidx(kind: &[u8; 4], parts: &[Part], gap: usize) -> Vec<u8> {
    let mut words = vec![0, 1, 1_000_000, parts[0].begins, gap as u32, parts.len() as u32];
    for part in parts {
        let size = part.bytes.len() as u32;
        // An index begins with a keyframe if the first part that it refers to does.
        words.extend([if part.indexed { 1 << 31 | size } else { size }, part.lasts, 0x9000_0000]);
    }
    boxed(kind, &words.into_iter().flat_map(u32::to_be_bytes).collect::<Vec<u8>>())
}

/// Puts an index of parts before them.
fn indexed(kind: &[u8; 4], parts: &[Part]) -> Part {
    let bytes = parts.iter().map(|part| part.bytes.as_slice()).collect::<Vec<_>>().concat();
    let lasts = parts.iter().map(|part| part.lasts).sum();
    Part { bytes: [sidx(kind, parts, 0), bytes].concat(), indexed: true, begins: parts[0].begins, lasts }
}

/// Returns the bytes before the fragments of a film without an index, and the fragments.
fn fragments(film: &Film) -> (Vec<u8>, Vec<Part>) {
    let (bytes, truth) = (film.bytes(), Truth::of(&film.path()));
    let (mut before, mut parts, mut at) = (Vec::new(), Vec::<Part>::new(), 0);
    let keyframes = truth.keyframes();
    for (kind, bytes) in boxes(&bytes) {
        if &kind == b"moof" {
            let keyframe = keyframes.iter().find(|keyframe| keyframe.1 > at).unwrap();
            let begins = (keyframe.0 * 1e6).round() as u32;
            parts.push(Part { bytes: Vec::new(), indexed: false, begins, lasts: 0 });
        }
        parts.last_mut().map_or(&mut before, |part| &mut part.bytes).extend_from_slice(bytes);
        at += bytes.len() as u64;
    }
    let mut end = ((truth.start + truth.duration) * 1e6).round() as u32;
    for part in parts.iter_mut().rev() {
        part.lasts = end - part.begins;
        end = part.begins;
    }
    (before, parts)
}

/// A film whose index refers to nested ones, each before the parts that it indexes, and the same
/// film without indexes.
pub fn indexes_among_fragments() -> [Film; 2] {
    let (before, fragments) = fragments(&mp4::many_fragments_bare());
    [b"sidx", b"free"].map(|kind| {
        let of = |parts: &[Part], each: usize| parts.chunks(each).map(|parts| indexed(kind, parts)).collect::<Vec<_>>();
        let all = indexed(kind, &of(&of(&fragments, 50), 4));
        Film::built(
            &format!("{}-among-fragments.mp4", String::from_utf8_lossy(kind)),
            [&before[..], &all.bytes].concat(),
        )
    })
}

/// A film whose index refers to others that follow at once, all before the first fragment, and the
/// same film without indexes.
pub fn indexes_in_front() -> [Film; 2] {
    let (before, fragments) = fragments(&mp4::fragments_bare());
    [b"sidx", b"free"].map(|kind| {
        let (mut indexes, mut media): (Vec<Part>, Vec<u8>) = (Vec::new(), Vec::new());
        let groups: Vec<&[Part]> = fragments.chunks(3).collect();
        for (n, parts) in groups.iter().enumerate() {
            let others: usize = groups[n + 1..].iter().map(|parts| sidx(kind, parts, 0).len()).sum();
            indexes.push(Part { bytes: sidx(kind, parts, others + media.len()), ..indexed(kind, parts) });
            media.extend(parts.iter().flat_map(|part| &part.bytes));
        }
        let all = indexed(kind, &indexes);
        Film::built(
            &format!("{}-in-front.mp4", String::from_utf8_lossy(kind)),
            [&before[..], &all.bytes, &media].concat(),
        )
    })
}
