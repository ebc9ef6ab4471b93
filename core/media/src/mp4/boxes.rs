//! Boxes of ISO/IEC 14496-12 and atoms of QuickTime, which have the same structure: size, kind,
//! body.

use super::bytes::Bytes;
use crate::held::Held;
use std::ops::Range;

/// Most children of a box. A moov has one per track, the others fewer than twenty. Fragments are
/// not children.
const MAX_CHILDREN: usize = 256;

/// Unit in which bytes are fetched. Requesting a block to its end saves a round trip.
const BLOCK_BYTES: u64 = 16 << 10;

/// The position of a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: [u8; 4],
    pub(super) start: u64,
    pub(super) body: Range<u64>,
}

/// Ranges still to be fed before a walk can continue. Parts of the structure whose bytes are
/// missing are skipped meanwhile, so that one request covers all that is known to be needed.
pub(super) type Wants = Vec<Range<u64>>;

/// Returns the range of a box's header and of the bytes after it in its block.
fn peek(at: u64, end: u64) -> Range<u64> {
    /// Length in bytes of the longest header and the first fields of a table.
    const LEAST: u64 = 32;
    at..(at + LEAST).next_multiple_of(BLOCK_BYTES).min(end)
}

/// Reads the header of the box at an offset, within a range that ends at `end`. Returns `Ok(None)`
/// if its bytes are needed first.
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

/// Returns the boxes within a range, as far as their headers are available.
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

/// Returns the first child of a kind.
pub(super) fn child(places: &[Place], kind: [u8; 4]) -> Option<&Place> {
    places.iter().find(|place| place.kind == kind)
}

/// Returns a box's body, or the first `most` bytes of it.
pub(super) fn body<'a>(held: &'a Held, place: &Place, most: u64, wants: &mut Wants) -> Option<Bytes<'a>> {
    let range = place.body.start..place.body.end.min(place.body.start + most);
    let bytes = held.get(range.clone());
    if bytes.is_none() {
        wants.push(range);
    }
    bytes.map(Bytes)
}

/// Iterates over the boxes in bytes that are all available.
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

/// Returns a kind in printable form.
pub(super) fn name(kind: [u8; 4]) -> String {
    kind.escape_ascii().to_string()
}
