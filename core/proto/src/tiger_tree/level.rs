//! One level of a tree: the nodes of all slices of one length.

use super::{DIGEST_BYTES, Digest, LEAF_BYTES, node, root_of};
use bytes::Bytes;

/// Most nodes of a level that is kept: as fine as a torrent's pieces, and 192 KiB.
pub const MAX_NODES: u64 = 8192;
/// Largest length of a slice, as a power of two of [`LEAF_BYTES`]: 8 EiB, longer than any file.
const MAX_SLICE_LOG2: u32 = 53;

/// First bytes of a saved level, with the version of its format.
const SAVED_MAGIC: &[u8] = b"PLAYTRE1";

/// The reason why a tree cannot be used, as the end of a sentence about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadTree {
    /// Its root is not the wanted one.
    #[error("it belongs to another file")]
    OtherRoot,
    /// A level does not have the hashes of the level above it.
    #[error("its level {0} contradicts the level above it")]
    Contradiction(u32),
    /// It has no level, or not as many nodes as its level needs.
    #[error("it is too short")]
    Short,
    /// More nodes than are kept.
    #[error("it has more than {MAX_NODES} nodes in a level")]
    Long,
    /// Its records are not those of DIME.
    #[error("it is not in the format of tree exchange (DIME)")]
    NotDime,
}

/// A level of the tree of a file: one node for each slice. It is checked against the root when it
/// is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    file_bytes: u64,
    slice_log2: u32,
    nodes: Bytes,
}

/// Returns the number of nodes at a level: slices of 2^`slice_log2` KiB of a file of this length.
/// An empty file has one.
pub(super) fn nodes_at(file_bytes: u64, slice_log2: u32) -> u64 {
    let leaves = file_bytes.div_ceil(LEAF_BYTES).max(1);
    match slice_log2 {
        0..=MAX_SLICE_LOG2 => leaves.div_ceil(1 << slice_log2),
        _ => 1,
    }
}

/// Returns the level that has only the root, as its number from the leaves on.
pub(super) fn height(file_bytes: u64) -> u32 {
    (0..).find(|level| nodes_at(file_bytes, *level) == 1).unwrap_or(MAX_SLICE_LOG2)
}

/// Returns the hashes in `nodes`.
fn digests(nodes: &[u8]) -> &[Digest] {
    nodes.as_chunks::<DIGEST_BYTES>().0
}

/// Returns the level above one.
pub(super) fn parents(nodes: &[Digest]) -> Vec<Digest> {
    let pair = |pair: &[Digest]| match pair {
        [left, right] => node(left, right),
        // A node without a sibling moves up.
        alone => alone[0],
    };
    nodes.chunks(2).map(pair).collect()
}

impl Level {
    /// Creates the level of slices of 2^`slice_log2` KiB from its nodes, and checks it against the
    /// root.
    ///
    /// # Errors
    /// The reason why it is not this level of the file with this root.
    pub fn new(file_bytes: u64, slice_log2: u32, nodes: Bytes, root: &Digest) -> Result<Level, BadTree> {
        let count = nodes_at(file_bytes, slice_log2);
        if count > MAX_NODES {
            return Err(BadTree::Long);
        }
        if nodes.len() as u64 != count * DIGEST_BYTES as u64 {
            return Err(BadTree::Short);
        }
        let level = Level { file_bytes, slice_log2, nodes };
        if level.root() != *root {
            return Err(BadTree::OtherRoot);
        }
        Ok(level)
    }

    /// Creates the level that has these nodes, whatever its root is. `None` if the file has no level
    /// of as many nodes, or it is not kept.
    pub fn of_nodes(file_bytes: u64, nodes: Bytes) -> Option<Level> {
        let count = (nodes.len() / DIGEST_BYTES) as u64;
        let is_whole = nodes.len().is_multiple_of(DIGEST_BYTES) && count <= MAX_NODES;
        let slice_log2 = (0..=height(file_bytes)).find(|level| nodes_at(file_bytes, *level) == count)?;
        is_whole.then_some(Level { file_bytes, slice_log2, nodes })
    }

    /// Returns the finest level above this one whose slices have at least `bytes`, or the root.
    #[must_use]
    pub fn coarsened(self, bytes: u64) -> Level {
        let Level { file_bytes, mut slice_log2, nodes } = self;
        let mut nodes = digests(&nodes).to_vec();
        while nodes.len() > 1 && LEAF_BYTES << slice_log2 < bytes {
            nodes = parents(&nodes);
            slice_log2 += 1;
        }
        Level { file_bytes, slice_log2, nodes: nodes.into_flattened().into() }
    }

    /// Returns the bytes in which a level is saved: the file's length, the root and the nodes.
    pub fn to_saved(&self) -> Vec<u8> {
        [SAVED_MAGIC, &self.file_bytes.to_le_bytes(), &self.root(), &self.nodes[..]].concat()
    }

    /// Reads a level that was saved. `None` if it is damaged.
    pub fn from_saved(bytes: &Bytes) -> Option<Level> {
        let (length, rest) = bytes.strip_prefix(SAVED_MAGIC)?.split_first_chunk()?;
        let (root, nodes) = rest.split_first_chunk::<DIGEST_BYTES>()?;
        let level = Level::of_nodes(u64::from_le_bytes(*length), bytes.slice_ref(nodes))?;
        (level.root() == *root).then_some(level)
    }

    /// Computes the finest level of a file that is kept. Its bytes come in any cuts.
    pub fn of_file<'a>(file_bytes: u64, chunks: impl IntoIterator<Item = &'a [u8]>) -> Option<Level> {
        let slice_log2 = (0..).find(|level| nodes_at(file_bytes, *level) <= MAX_NODES)?;
        let slice_bytes = LEAF_BYTES << slice_log2;
        let (mut nodes, mut hasher, mut here, mut total) = (Vec::new(), super::TreeHasher::new(), 0, 0);
        for mut chunk in chunks {
            total += chunk.len() as u64;
            while !chunk.is_empty() {
                let length = usize::try_from(slice_bytes - here).unwrap_or(usize::MAX).min(chunk.len());
                hasher.update(&chunk[..length]);
                here += length as u64;
                chunk = &chunk[length..];
                if here == slice_bytes {
                    nodes.extend_from_slice(&std::mem::take(&mut hasher).finish());
                    here = 0;
                }
            }
        }
        if here > 0 || nodes.is_empty() {
            nodes.extend_from_slice(&hasher.finish());
        }
        (total == file_bytes).then_some(Level { file_bytes, slice_log2, nodes: nodes.into() })
    }

    /// Returns the root of the tree.
    pub fn root(&self) -> Digest {
        let mut nodes = digests(&self.nodes).to_vec();
        while nodes.len() > 1 {
            nodes = parents(&nodes);
        }
        nodes[0]
    }

    /// Returns the length of the file, bytes.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Returns the length of every slice except the last, bytes.
    pub fn slice_bytes(&self) -> u64 {
        LEAF_BYTES << self.slice_log2.min(MAX_SLICE_LOG2)
    }

    /// Returns the number of slices; 1 for an empty file.
    pub fn slices(&self) -> u64 {
        (self.nodes.len() / DIGEST_BYTES) as u64
    }

    /// Returns the hash that a slice must have; `None` past the end.
    pub fn node(&self, slice: u64) -> Option<&Digest> {
        digests(&self.nodes).get(usize::try_from(slice).ok()?)
    }

    /// Returns the length of the slices of the finest level of a file that is kept and has slices of
    /// at least `bytes`, or that of the root.
    pub fn slice_bytes_of(file_bytes: u64, bytes: u64) -> u64 {
        let root = height(file_bytes);
        let fits = |level: &u32| nodes_at(file_bytes, *level) <= MAX_NODES && LEAF_BYTES << level >= bytes;
        LEAF_BYTES << (0..root).find(fits).unwrap_or(root)
    }

    /// Whether these are the bytes of a slice.
    pub fn check(&self, slice: u64, bytes: &[u8]) -> bool {
        let start = slice.saturating_mul(self.slice_bytes());
        let length = self.file_bytes.saturating_sub(start).min(self.slice_bytes());
        bytes.len() as u64 == length && self.node(slice).is_some_and(|node| *node == root_of(bytes))
    }

    /// Returns the tree from the root down to this level, breadth first, as THEX transfers it.
    pub fn to_breadth_first(&self) -> Vec<u8> {
        let mut levels = vec![digests(&self.nodes).to_vec()];
        while let Some(last) = levels.last().filter(|last| last.len() > 1) {
            levels.push(parents(last));
        }
        levels.into_iter().rev().flatten().flatten().collect()
    }
}
