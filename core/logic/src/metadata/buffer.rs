//! The buffer in which the parts of an info dictionary are collected.

use crate::{BLOCK_BYTES, PeerKey};

/// A buffer for the info dictionary that is filled part by part.
#[derive(Debug)]
pub(super) struct Buffer {
    /// Each part with its contributor; `None` while it is missing.
    pub(super) parts: Vec<Option<(PeerKey, Vec<u8>)>>,
    /// Number of parts that are missing.
    pub(super) missing: usize,
}

impl Buffer {
    pub(super) fn new(size: u32) -> Buffer {
        let parts = parts_of(size) as usize;
        Buffer { parts: vec![None; parts], missing: parts }
    }

    /// Returns whether this part exists and is missing.
    pub(super) fn lacks(&self, part: u32) -> bool {
        self.parts.get(part as usize).is_some_and(Option::is_none)
    }

    /// Stores a part unless it is here.
    pub(super) fn put(&mut self, peer: PeerKey, part: u32, data: Vec<u8>) {
        if let Some(slot @ None) = self.parts.get_mut(part as usize) {
            *slot = Some((peer, data));
            self.missing -= 1;
        }
    }

    /// Returns the number of bytes that are here.
    pub(super) fn bytes(&self) -> usize {
        self.parts.iter().flatten().map(|(_, data)| data.len()).sum()
    }
}

/// Returns the number of parts of metadata of this size.
pub(super) fn parts_of(size: u32) -> u32 {
    size.div_ceil(BLOCK_BYTES)
}

/// Returns the length of a part in bytes.
pub(super) fn part_bytes(size: u32, part: u32) -> usize {
    u64::from(size).saturating_sub(u64::from(part) * u64::from(BLOCK_BYTES)).min(u64::from(BLOCK_BYTES)) as usize
}
