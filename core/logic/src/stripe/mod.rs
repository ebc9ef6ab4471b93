//! Live streams in stripes: groups of K data and P parity packets, any K of which suffice.
//!
//! At the source, the [`Cutter`] divides the stream into groups, a [`Code`] makes the packets of
//! each, and [`packets`] signs them. Packet *i* of each group belongs to stripe *i*, and stripes
//! come from different parents. At a viewer or relay, the [`Receiver`] verifies packets before they
//! are passed on, and keeps them in the [`BackBuffer`]. Its [`Assembler`] decides which group is
//! next. docs/LIVE.md has the bytes.
//!
//! Which peers give and receive which stripe is not decided here.

pub mod assembler;
mod back_buffer;
mod code;
pub mod cutter;
mod receiver;
#[cfg(test)]
mod tests;

pub use assembler::{Arrival, Assembler};
pub use back_buffer::BackBuffer;
pub use code::Code;
pub use cutter::{Cut, Cutter};
pub use receiver::{Counts, Input, Output, Receiver};

use bytes::Bytes;
use playswarm_proto::live::{Group, Packet, SignedGroup, SourceKey, Tree};
use serde::{Deserialize, Serialize};

/// The settings of a receiver. Units are in the names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How far behind the newest group a player starts, and goes on after a loss. 1 s: it hides a
    /// repair, which takes less.
    pub margin_s: f64,
    /// Time after which other nodes are asked for the packets of an incomplete group, and then
    /// asked again. Half the margin: 0.5 s.
    pub want_after_s: f64,
    /// Time after which an incomplete group is given up, if there is a later place to go on. Twice
    /// the margin: 2 s.
    pub patience_s: f64,
    /// Stretch of stream that the back buffer keeps. 30 s.
    pub back_s: f64,
    /// Most bytes in the back buffer, those of incomplete groups included. 64 MiB: 30 s of
    /// 18 Mbit/s.
    pub back_bytes: usize,
    /// Most groups in the back buffer and ahead of the player. 1024: 51 s of the shortest groups.
    pub max_groups: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            margin_s: 1.0,
            want_after_s: 0.5,
            patience_s: 2.0,
            back_s: 30.0,
            back_bytes: 64 << 20,
            max_groups: 1024,
        }
    }
}

/// Returns the packets of a group at its source, in the order of their stripes. The group's length
/// is set to that of its bytes.
pub fn packets(key: &SourceKey, code: &Code, group: Group, bytes: &Bytes) -> Vec<Packet> {
    let group = Group { length: bytes.len() as u32, ..group };
    let packets = code.packets(bytes);
    let tree = Tree::new(&packets);
    let signed = SignedGroup::new(key, group, tree.root());
    (0..).zip(packets).filter_map(|(index, data)| packet(&signed, &tree, index, data)).collect()
}

fn packet(signed: &SignedGroup, tree: &Tree, index: u8, data: Bytes) -> Option<Packet> {
    let proof = tree.proof(usize::from(index))?;
    Some(Packet { group: signed.group, signature: signed.signature, index, proof, data })
}
