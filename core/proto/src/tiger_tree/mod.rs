//! The tiger tree of a file, which proves each of its slices against one root (THEX: Chapweske and
//! Mohr, "Tree Hash EXchange format", 2003).
//!
//! A leaf is the Tiger hash of a byte 0 and up to 1,024 bytes of the file; a node is that of a byte
//! 1 and its two children. A node without a sibling moves up unchanged. So a slice of 2^k KiB that
//! begins at a multiple of its length has a node of its own, which is the root of the slice's tree.
//! The shape of a tree follows from the file's length alone.

mod level;
#[cfg(test)]
mod tests;
mod thex;

pub use level::{BadTree, Level, MAX_NODES};
pub use thex::{MAX_THEX_BYTES, Transfer, claimed_root, read, to_dime};

use ::tiger::{Digest as _, Tiger};

/// A hash of a tree, and its root.
pub type Digest = [u8; 24];

/// Bytes of a file in one leaf.
pub const LEAF_BYTES: u64 = 1024;
/// Length of a hash, bytes.
pub const DIGEST_BYTES: usize = 24;

/// Returns the hash of at most [`LEAF_BYTES`] of a file.
fn leaf(bytes: &[u8]) -> Digest {
    Tiger::new().chain_update([0]).chain_update(bytes).finalize().into()
}

/// Returns the hash of two hashes.
fn node(left: &Digest, right: &Digest) -> Digest {
    Tiger::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// Returns the root of a file, or of a slice of one.
pub fn root_of(bytes: &[u8]) -> Digest {
    let mut hasher = TreeHasher::new();
    hasher.update(bytes);
    hasher.finish()
}

/// A computation of a root in progress.
///
/// It keeps one hash for each level, so a file of any length takes less than 2 KiB.
#[derive(Clone, Debug, Default)]
pub struct TreeHasher {
    /// The beginning of a leaf.
    partial: Vec<u8>,
    /// Complete subtrees from the left on, each with the number of its leaves, a power of two.
    subtrees: Vec<(u64, Digest)>,
}

impl TreeHasher {
    /// Creates an empty computation.
    pub fn new() -> TreeHasher {
        TreeHasher::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let leaf_bytes = LEAF_BYTES as usize;
        if !self.partial.is_empty() {
            let missing = (leaf_bytes - self.partial.len()).min(bytes.len());
            self.partial.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.partial.len() < leaf_bytes {
                return;
            }
            let digest = leaf(&self.partial);
            self.partial.clear();
            self.push(digest);
        }
        let (whole, rest) = bytes.as_chunks::<{ LEAF_BYTES as usize }>();
        whole.iter().for_each(|chunk| self.push(leaf(chunk)));
        self.partial.extend_from_slice(rest);
    }

    /// Adds the next leaf, and joins subtrees of one size.
    fn push(&mut self, digest: Digest) {
        let (mut leaves, mut digest) = (1, digest);
        while let Some((_, left)) = self.subtrees.pop_if(|(size, _)| *size == leaves) {
            digest = node(&left, &digest);
            leaves *= 2;
        }
        self.subtrees.push((leaves, digest));
    }

    /// Returns the root of all added bytes.
    pub fn finish(mut self) -> Digest {
        if !self.partial.is_empty() || self.subtrees.is_empty() {
            let digest = leaf(&self.partial);
            self.push(digest);
        }
        join(self.subtrees.into_iter().map(|(_, digest)| digest))
    }
}

/// Returns the root over subtrees, each smaller than the one before it.
fn join(subtrees: impl DoubleEndedIterator<Item = Digest>) -> Digest {
    subtrees.rev().reduce(|right, left| node(&left, &right)).unwrap_or_else(|| leaf(&[]))
}
