//! The boxes of ISO/IEC 14496-12 and the atoms of QuickTime, which are the same: a size, a kind, a body.

use super::bytes::Bytes;
use crate::held::Held;
use std::ops::Range;

/// A box has so many children at most: a moov has one a track, the others fewer than twenty. Fragments are not children.
const MAX_CHILDREN: usize = 256;

/// What is fetched in any case when any byte of it is: asked for to the end, it saves a question.
const BLOCK_BYTES: u64 = 16 << 10;

/// Where a box lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: [u8; 4],
    pub(super) start: u64,
    pub(super) body: Range<u64>,
}

/// What is still to be fed before a walk can go on. A part of the structure whose bytes are missing is left out meanwhile, so
/// that one question asks for all that is known to be needed.
pub(super) type Wants = Vec<Range<u64>>;

/// The bytes of a box's header and what follows it in its block.
fn peek(at: u64, end: u64) -> Range<u64> {
    /// The longest header, and the first fields of a table.
    const LEAST: u64 = 32;
    at..(at + LEAST).next_multiple_of(BLOCK_BYTES).min(end)
}

/// The header of the box at an offset within what ends at `end`. `Ok(None)` if it is wanted first.
pub(super) fn header(held: &Held, at: u64, end: u64, wants: &mut Wants) -> Result<Option<Place>, String> {
    const SHORT: u64 = 8;
    const LONG: u64 = 16;
    if end.saturating_sub(at) < SHORT {
        return Err("has a box without a header".into());
    }
    let Some(bytes) = held.get(at..(at + LONG).min(end)) else {
        wants.push(peek(at, end));
        return Ok(None);
    };
    let mut bytes = Bytes(bytes);
    let (size, kind) = bytes.u32().zip(bytes.kind()).unwrap_or_default();
    let (head, size) = match size {
        0 => (SHORT, end - at),
        1 => (LONG, bytes.u64().unwrap_or_default()),
        size => (SHORT, u64::from(size)),
    };
    if size < head {
        return Err(format!("has a box {} that is smaller than its own header", name(kind)));
    }
    Ok(Some(Place { kind, start: at, body: at + head..at.saturating_add(size) }))
}

/// The boxes within a range, as far as their headers are here.
pub(super) fn children(held: &Held, range: Range<u64>, wants: &mut Wants) -> Result<Vec<Place>, String> {
    let mut found = Vec::new();
    let mut at = range.start;
    // QuickTime ends some lists with four zero bytes.
    while range.end.saturating_sub(at) >= 8 {
        let Some(place) = header(held, at, range.end, wants)? else { break };
        if place.body.end > range.end {
            return Err(format!("has a box {} that reaches past the one it lies in", name(place.kind)));
        }
        at = place.body.end;
        found.push(place);
        if found.len() > MAX_CHILDREN {
            return Err(format!("has a box with more than {MAX_CHILDREN} boxes in it"));
        }
    }
    Ok(found)
}

/// The first child of a kind.
pub(super) fn child(places: &[Place], kind: [u8; 4]) -> Option<&Place> {
    places.iter().find(|place| place.kind == kind)
}

/// A box's body, or the first `most` bytes of it.
pub(super) fn body<'a>(held: &'a Held, place: &Place, most: u64, wants: &mut Wants) -> Option<Bytes<'a>> {
    let range = place.body.start..place.body.end.min(place.body.start + most);
    let bytes = held.get(range.clone());
    if bytes.is_none() {
        wants.push(range);
    }
    bytes.map(Bytes)
}

/// The boxes in bytes that are all here.
pub(super) fn inside(mut bytes: Bytes<'_>) -> impl Iterator<Item = ([u8; 4], Bytes<'_>)> {
    std::iter::from_fn(move || {
        let (size, kind) = bytes.u32().zip(bytes.kind())?;
        let size = match size {
            0 => bytes.0.len(),
            1 => usize::try_from(bytes.u64()?.checked_sub(16)?).ok()?,
            size => (size as usize).checked_sub(8)?,
        };
        Some((kind, Bytes(bytes.take(size)?)))
    })
}

/// A kind as it is printed.
pub(super) fn name(kind: [u8; 4]) -> String {
    kind.escape_ascii().to_string()
}
