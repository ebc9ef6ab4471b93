//! Groups and packets: what the source signs, and what travels from node to node.

use super::tree::MAX_DEPTH;
use super::{ChannelKey, Hash, MAX_DATA_BYTES, Proof, Shape, Signature, SourceKey};
use bytes::{Buf, BufMut, Bytes};

/// Label of the signed bytes of a group. The last byte is the version.
const LABEL: &[u8] = b"playswarm live group 1";
/// Bytes in front of a packet's proof.
const FIXED_BYTES: usize = 30 + 64 + 2;
/// Longest packet with all its fields. Longer ones are refused unread.
pub const MAX_MESSAGE_BYTES: usize = FIXED_BYTES + 16 * MAX_DEPTH + MAX_DATA_BYTES;

/// Bits of [`Group::flags`]. Readers ignore others.
pub mod flags {
    /// A player can begin with this group, after the head's init bytes.
    pub const RESTART: u8 = 1;
    /// The stream ends after this group.
    pub const END: u8 = 2;
}

/// A group of packets as its source describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Number of the source's run, as in its head.
    pub cast: u64,
    /// Revision of the head that applies.
    pub revision: u8,
    /// Number of the group; each is one above that of the group before.
    pub number: u64,
    /// When its first byte reached the source, milliseconds since 1970 on the source's clock.
    pub born_ms: u64,
    /// Bytes of stream in the group.
    pub length: u32,
    /// Bits of [`flags`].
    pub flags: u8,
}

impl Group {
    /// Returns whether a player can begin with this group.
    pub fn is_restart(&self) -> bool {
        self.flags & flags::RESTART != 0
    }

    /// Returns whether the stream ends after this group.
    pub fn is_end(&self) -> bool {
        self.flags & flags::END != 0
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.cast);
        out.put_u8(self.revision);
        out.put_u64(self.number);
        out.put_u64(self.born_ms);
        out.put_u32(self.length);
        out.put_u8(self.flags);
    }

    /// Returns the bytes that are signed.
    fn statement(&self, root: &Hash) -> Vec<u8> {
        let mut out = Vec::with_capacity(LABEL.len() + 30 + root.len());
        out.put_slice(LABEL);
        self.put(&mut out);
        out.put_slice(root);
        out
    }
}

/// A group with the root of its packets and the source's signature of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedGroup {
    /// The group.
    pub group: Group,
    /// Root of the tree over its packets.
    pub root: Hash,
    /// Signature of the source.
    pub signature: Signature,
}

impl SignedGroup {
    /// Signs a group.
    pub fn new(key: &SourceKey, group: Group, root: Hash) -> SignedGroup {
        SignedGroup { group, root, signature: key.sign(&group.statement(&root)) }
    }

    /// Returns whether the channel's source signed it.
    pub fn is_of(&self, key: &ChannelKey) -> bool {
        key.verifies(&self.group.statement(&self.root), &self.signature)
    }
}

/// The reason why a packet is refused. Every one is an offence: its sender had to verify it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPacket {
    /// It is longer than any packet can be.
    #[error("The packet is longer than any can be.")]
    TooLong,
    /// It ends within its fields, or names a proof that is longer than any can be.
    #[error("The packet ends too early.")]
    Truncated,
    /// Its number, its proof or its length does not fit the channel's groups.
    #[error("The packet does not fit the shape of the channel's groups.")]
    BadShape,
    /// Its proof does not lead to the root that the source signed.
    #[error("The packet is not one that the channel's source signed.")]
    Forged,
}

/// A packet, as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The group of the packet.
    pub group: Group,
    /// Signature of the source over the group and its root.
    pub signature: Signature,
    /// Number of the packet in its group, and of its stripe: first data, then parity.
    pub index: u8,
    /// Path to the root.
    pub proof: Proof,
    /// Bytes of the stream, or parity.
    pub data: Bytes,
}

impl Packet {
    /// Returns the packet's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let siblings = self.proof.siblings();
        let mut out = Vec::with_capacity(FIXED_BYTES + 16 * siblings.len() + self.data.len());
        self.group.put(&mut out);
        out.put_slice(&self.signature);
        out.put_u8(self.index);
        out.put_u8(siblings.len() as u8);
        siblings.iter().for_each(|hash| out.put_slice(hash));
        out.put_slice(&self.data);
        out
    }

    /// Parses a packet. The result is not verified; see [`Packet::verify`].
    ///
    /// # Errors
    ///
    /// Returns an error if the packet is too long or too short.
    pub fn decode(mut bytes: Bytes) -> Result<Packet, BadPacket> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(BadPacket::TooLong);
        }
        if bytes.len() < FIXED_BYTES {
            return Err(BadPacket::Truncated);
        }
        let group = Group {
            cast: bytes.get_u64(),
            revision: bytes.get_u8(),
            number: bytes.get_u64(),
            born_ms: bytes.get_u64(),
            length: bytes.get_u32(),
            flags: bytes.get_u8(),
        };
        let mut signature = [0; 64];
        bytes.copy_to_slice(&mut signature);
        let (index, depth) = (bytes.get_u8(), usize::from(bytes.get_u8()));
        if depth > MAX_DEPTH || bytes.len() < 16 * depth {
            return Err(BadPacket::Truncated);
        }
        let mut siblings = [[0; 16]; MAX_DEPTH];
        siblings[..depth].iter_mut().for_each(|hash| bytes.copy_to_slice(hash));
        let proof = Proof::new(&siblings[..depth]).ok_or(BadPacket::Truncated)?;
        Ok(Packet { group, signature, index, proof, data: bytes })
    }

    /// Verifies a packet of a channel whose head for this cast and revision has `shape`. `known` is
    /// what an earlier packet of the same group was found to belong to; it saves the check of the
    /// signature. Returns the signed group, to be remembered.
    ///
    /// # Errors
    ///
    /// Returns an error if the packet does not fit the shape, or the source did not sign it.
    pub fn verify(
        &self,
        key: &ChannelKey,
        shape: Shape,
        known: Option<&SignedGroup>,
    ) -> Result<SignedGroup, BadPacket> {
        let (length, index) = (self.group.length as usize, usize::from(self.index));
        let fits = index < shape.packets()
            && self.proof.siblings().len() == shape.depth()
            && length <= shape.max_group_bytes()
            && self.data.len() == shape.packet_bytes(length, index);
        if !fits {
            return Err(BadPacket::BadShape);
        }
        let root = self.proof.root(self.index, &self.data);
        let signed = SignedGroup { group: self.group, root, signature: self.signature };
        // The signature is compared too: it is passed on to nodes that have to check it.
        match known == Some(&signed) || signed.is_of(key) {
            true => Ok(signed),
            false => Err(BadPacket::Forged),
        }
    }
}
