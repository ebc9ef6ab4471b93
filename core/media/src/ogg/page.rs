//! Ogg pages (RFC 3533 section 6), and the search for pages from an arbitrary offset.

use crate::crc::crc32;
use std::ops::Range;

/// Length in bytes of the fixed part of a page header, before the segment table.
const FIXED_BYTES: usize = 27;

/// Length in bytes of a header with the longest segment table.
pub(crate) const MAX_HEADER_BYTES: u64 = FIXED_BYTES as u64 + 255;

/// Length in bytes of the longest page: a full table of full segments.
pub(crate) const MAX_PAGE_BYTES: u64 = MAX_HEADER_BYTES + 255 * 255;

/// The position of a page, from its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) offset: u64,
    /// Offset at which its packets begin.
    pub(crate) body: u64,
    /// Offset at which the next page begins.
    pub(crate) end: u64,
    /// Serial number of its logical stream.
    pub(crate) serial: u32,
    /// Its number in the stream.
    pub(crate) sequence: u32,
    /// The codec's count at the end of the last packet that ends in this page. `None` if no packet
    /// ends here or the count is invalid.
    pub(crate) granule: Option<u64>,
    /// Number of packets that end in this page.
    pub(crate) packets: u32,
    /// Whether the first packet continues from the page before.
    pub(crate) continued: bool,
    /// Whether the last packet continues in the next page.
    pub(crate) goes_on: bool,
    /// Whether a logical stream begins or ends with this page.
    pub(crate) first: bool,
    pub(crate) last: bool,
}

impl Page {
    /// Parses the page header at the start of these bytes, which lie at an offset. Returns `None`
    /// if they are not a complete header.
    pub(crate) fn parse(bytes: &[u8], offset: u64) -> Option<Page> {
        let fixed: &[u8; FIXED_BYTES] = bytes.first_chunk()?;
        if !fixed.starts_with(b"OggS\0") || fixed[5] > 7 {
            return None;
        }
        let table = bytes.get(FIXED_BYTES..FIXED_BYTES + usize::from(fixed[26]))?;
        let body = offset + (FIXED_BYTES + table.len()) as u64;
        let granule = i64::from_le_bytes(*fixed[6..].first_chunk()?);
        Some(Page {
            offset,
            body,
            end: body + table.iter().map(|length| u64::from(*length)).sum::<u64>(),
            serial: u32::from_le_bytes(*fixed[14..].first_chunk()?),
            sequence: u32::from_le_bytes(*fixed[18..].first_chunk()?),
            granule: u64::try_from(granule).ok(),
            packets: table.iter().filter(|length| **length < 255).count() as u32,
            continued: fixed[5] & 1 != 0,
            goes_on: table.last() == Some(&255),
            first: fixed[5] & 2 != 0,
            last: fixed[5] & 4 != 0,
        })
    }

    /// Iterates over the parts of packets in the page, whose bytes begin here: their positions from
    /// the page's start, and whether a packet ends with the part.
    pub(crate) fn parts(bytes: &[u8]) -> impl Iterator<Item = (Range<usize>, bool)> + use<> {
        let count = bytes.get(FIXED_BYTES - 1).map_or(0, |count| usize::from(*count));
        let table = bytes.get(FIXED_BYTES..FIXED_BYTES + count).unwrap_or_default().to_vec();
        let mut at = FIXED_BYTES + count;
        let mut lengths = table.into_iter().peekable();
        std::iter::from_fn(move || {
            lengths.peek()?;
            let (start, mut ends) = (at, false);
            for length in lengths.by_ref() {
                at += usize::from(length);
                if length < 255 {
                    ends = true;
                    break;
                }
            }
            Some((start..at, ends))
        })
    }

    /// Whether the whole page is available and its checksum is right.
    pub(crate) fn verified(&self, bytes: &[u8]) -> bool {
        const CHECKSUM: Range<usize> = 22..26;
        let Some(page) = bytes.get(..(self.end - self.offset) as usize) else { return false };
        let crc = crc32(crc32(crc32(0, &page[..CHECKSUM.start]), &[0; 4]), &page[CHECKSUM.end..]);
        crc.to_le_bytes() == page[CHECKSUM]
    }
}

/// Most false pages in one walk. Each costs a checksum of up to 64 KiB; all of them together cost
/// about 10 ms.
pub(crate) const MAX_FALSE: u32 = 64;

/// Returns the pages in bytes that lie at an offset. `known` states whether the bytes begin with a
/// page. The first page after a gap must have a valid checksum over all its bytes. Pages that
/// follow it without a gap are accepted by position. The last one may reach past the bytes. Each
/// false page decrements `doubts`.
pub(crate) fn scan(bytes: &[u8], offset: u64, known: bool, doubts: &mut u32) -> Vec<Page> {
    let (mut pages, mut at, mut sure) = (Vec::new(), 0, known);
    while at < bytes.len() {
        let page = Page::parse(&bytes[at..], offset + at as u64);
        match page {
            Some(page) if sure || *doubts > 0 && page.verified(&bytes[at..]) => {
                at = usize::try_from(page.end - offset).unwrap_or(bytes.len());
                sure = true;
                pages.push(page);
            }
            page => {
                *doubts = doubts.saturating_sub(u32::from(page.is_some_and(|p| p.end - offset <= bytes.len() as u64)));
                sure = false;
                let next = bytes[at + 1..].windows(4).position(|magic| magic == b"OggS");
                at = next.map_or(bytes.len(), |next| at + 1 + next);
            }
        }
    }
    pages
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;

    /// Returns a page with its checksum.
    pub(crate) fn page(serial: u32, granule: i64, flags: u8, table: &[u8]) -> Vec<u8> {
        let mut page = b"OggS\0".to_vec();
        page.push(flags);
        page.extend_from_slice(&granule.to_le_bytes());
        page.extend_from_slice(&serial.to_le_bytes());
        page.extend_from_slice(&[0; 8]);
        page.push(table.len() as u8);
        page.extend_from_slice(table);
        page.resize(page.len() + table.iter().map(|l| usize::from(*l)).sum::<usize>(), 0x5a);
        seal(&mut page);
        page
    }

    /// Writes the right checksum into a page.
    pub(crate) fn seal(page: &mut [u8]) {
        page[22..26].fill(0);
        let sum = crc32(0, page);
        page[22..26].copy_from_slice(&sum.to_le_bytes());
    }

    #[test]
    fn a_page_tells_what_its_segments_say() {
        let bytes = page(7, 960, 2, &[255, 255, 10, 20, 255]);
        let parsed = Page::parse(&bytes, 100).unwrap();
        assert_eq!((parsed.serial, parsed.granule, parsed.packets), (7, Some(960), 2));
        assert!(parsed.goes_on && parsed.first && !parsed.last);
        assert_eq!((parsed.body, parsed.end), (132, 100 + bytes.len() as u64));
        let parts: Vec<_> = Page::parts(&bytes).collect();
        assert_eq!(parts, [(32..552, true), (552..572, true), (572..827, false)]);
        assert_eq!(Page::parse(&page(7, -1, 0, &[255]), 0).unwrap().granule, None);
        assert_eq!(Page::parse(&bytes[..30], 0), None);
    }

    #[test]
    fn the_first_page_after_garbage_needs_its_checksum() {
        let (a, b) = (page(1, 10, 0, &[30]), page(1, 20, 0, &[40]));
        let garbage = b"OggS\0 and more of it: OggS\0\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_vec();
        let bytes = [garbage.clone(), a.clone(), b.clone(), garbage.clone(), b.clone()].concat();
        let granules = |pages: Vec<Page>| pages.iter().map(|p| p.granule.unwrap()).collect::<Vec<_>>();
        assert_eq!(granules(scan(&bytes, 5, false, &mut 64)), [10, 20, 20]);
        let mut broken = a;
        broken[30] ^= 1;
        assert_eq!(granules(scan(&[broken.clone(), b.clone()].concat(), 0, false, &mut 64)), [20]);
        assert_eq!(granules(scan(&[broken, b].concat(), 0, true, &mut 64)), [10, 20]);
    }

    #[test]
    fn false_pages_without_end_cost_a_bounded_number_of_checksums() {
        let bytes = b"OggS\0\0aaaaaaaabbbbbbbbbbbb\x01\x05".repeat(4000);
        let mut doubts = MAX_FALSE;
        assert_eq!(scan(&bytes, 0, false, &mut doubts), []);
        assert_eq!(doubts, 0);
    }
}
