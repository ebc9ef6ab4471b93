//! The hash tree over a group's packets: SHA-256 cut to 16 bytes, with a prefix that separates
//! leaves from inner nodes. The leaves are filled up to a power of two with zeros.

use super::MAX_PACKETS;
use aws_lc_rs::digest::{Context, SHA256};

/// A node of the tree. 16 bytes suffice: a forger needs a second preimage, 2^128 attempts. Only the
/// source could use a collision, and it can sign two groups as well.
pub type Hash = [u8; 16];

/// First byte of a leaf's hash.
const LEAF: u8 = 0;
/// First byte of an inner node's hash.
const INNER: u8 = 1;
/// Node in place of packets that do not exist.
const NO_PACKET: Hash = [0; 16];
/// Most hashes in a proof.
pub(super) const MAX_DEPTH: usize = MAX_PACKETS.next_power_of_two().trailing_zeros() as usize;

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; 16];
    hash.copy_from_slice(&context.finish().as_ref()[..16]);
    hash
}

fn leaf(index: u8, data: &[u8]) -> Hash {
    hash(&[&[LEAF, index], data])
}

fn inner(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[INNER], left, right])
}

/// A path from a packet to the root: the sibling at each level, from the leaf upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    depth: u8,
    hashes: [Hash; MAX_DEPTH],
}

impl Proof {
    /// Creates a proof of these siblings; `None` if there are more than any tree has.
    pub fn new(siblings: &[Hash]) -> Option<Proof> {
        let mut hashes = [NO_PACKET; MAX_DEPTH];
        hashes.get_mut(..siblings.len())?.copy_from_slice(siblings);
        Some(Proof { depth: siblings.len() as u8, hashes })
    }

    /// Returns the siblings, from the leaf upwards.
    pub fn siblings(&self) -> &[Hash] {
        &self.hashes[..usize::from(self.depth)]
    }

    /// Returns the root to which the proof leads from a packet.
    pub fn root(&self, index: u8, data: &[u8]) -> Hash {
        let mut node = leaf(index, data);
        for (level, sibling) in self.siblings().iter().enumerate() {
            node = match index >> level & 1 {
                0 => inner(&node, sibling),
                _ => inner(sibling, &node),
            };
        }
        node
    }
}

/// The whole tree over the packets of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The levels, from the leaves to the root.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// Returns the tree over these packets, in order.
    ///
    /// # Panics
    ///
    /// Panics if there are none, or more than [`MAX_PACKETS`].
    pub fn new<D: AsRef<[u8]>>(packets: &[D]) -> Tree {
        assert!((1..=MAX_PACKETS).contains(&packets.len()), "a group has 1 to {MAX_PACKETS} packets");
        let mut leaves: Vec<Hash> = (0..).zip(packets).map(|(index, data)| leaf(index, data.as_ref())).collect();
        leaves.resize(packets.len().next_power_of_two(), NO_PACKET);
        let mut levels = vec![leaves];
        while levels[levels.len() - 1].len() > 1 {
            let below = &levels[levels.len() - 1];
            levels.push(below.chunks_exact(2).map(|pair| inner(&pair[0], &pair[1])).collect());
        }
        Tree { levels }
    }

    /// Returns the root.
    pub fn root(&self) -> Hash {
        self.levels[self.levels.len() - 1][0]
    }

    /// Returns the proof of a packet; `None` if the tree has no such leaf.
    pub fn proof(&self, index: usize) -> Option<Proof> {
        let below_root = &self.levels[..self.levels.len() - 1];
        let siblings = below_root.iter().enumerate().map(|(level, nodes)| nodes.get(index >> level ^ 1).copied());
        let siblings: Option<Vec<Hash>> = siblings.collect();
        (index < self.levels[0].len()).then_some(siblings?).and_then(|s| Proof::new(&s))
    }
}
