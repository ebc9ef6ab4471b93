//! The last seconds of a channel: packets of incomplete groups, and the bytes of complete ones.

use super::{Code, Config, packet};
use bytes::Bytes;
use playswarm_proto::live::{Group, Packet, Shape, SignedGroup, Tree};
use std::collections::BTreeMap;

/// The groups that are held, by number. Parity of complete groups is not kept but made again.
#[derive(Clone, Debug)]
pub struct BackBuffer {
    back_ms: u64,
    max_bytes: usize,
    groups: BTreeMap<u64, Held>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Held {
    signed: SignedGroup,
    shape: Shape,
    content: Content,
    /// Whether the source made the parity wrongly. Only data packets are used then.
    wrong_parity: bool,
    /// The tree over all packets, once it was needed.
    tree: Option<Tree>,
}

#[derive(Clone, Debug)]
enum Content {
    Packets(Vec<Option<Bytes>>),
    Whole(Bytes),
}

impl Content {
    fn bytes(&self) -> usize {
        match self {
            Content::Packets(packets) => packets.iter().flatten().map(Bytes::len).sum(),
            Content::Whole(bytes) => bytes.len(),
        }
    }
}

/// What a packet did for its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It was stored, or its group was whole before.
    Stored,
    /// Its group became whole. `restored` says whether data packets were made from parity.
    Whole {
        /// Whether data packets were made from parity.
        restored: bool,
    },
    /// It shows that the source made the group's parity wrongly.
    WrongParity,
}

impl BackBuffer {
    pub(super) fn new(config: &Config) -> BackBuffer {
        let back_ms = (config.back_s * 1000.0) as u64;
        BackBuffer { back_ms, max_bytes: config.back_bytes, groups: BTreeMap::new(), bytes: 0 }
    }

    /// Returns the bytes of stream and parity that are held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the numbers of the oldest and of the newest group of which something is held.
    pub fn span(&self) -> Option<(u64, u64)> {
        Some((*self.groups.first_key_value()?.0, *self.groups.last_key_value()?.0))
    }

    /// Returns what the source signed of a group.
    pub fn signed(&self, number: u64) -> Option<&SignedGroup> {
        self.groups.get(&number).map(|held| &held.signed)
    }

    /// Returns the description and the bytes of a complete group.
    pub fn read(&self, number: u64) -> Option<(&Group, &Bytes)> {
        let held = self.groups.get(&number)?;
        match &held.content {
            Content::Whole(bytes) => Some((&held.signed.group, bytes)),
            Content::Packets(_) => None,
        }
    }

    /// Returns the group with which a new player begins, when the groups below `next` were given
    /// out: the newest restart group that is this much older than the last one. If none is, the
    /// oldest from which all groups are here.
    pub fn start(&self, next: u64, margin_s: f64) -> Option<u64> {
        let margin_ms = (margin_s * 1000.0) as u64;
        let newest = self.read(next.checked_sub(1)?)?.0.born_ms;
        let mut start = None;
        for number in (0..next).rev() {
            let Some((group, _)) = self.read(number) else { break };
            if group.is_restart() {
                start = Some(number);
                if newest.saturating_sub(group.born_ms) >= margin_ms {
                    break;
                }
            }
        }
        start
    }

    /// Returns a packet for another node, also one that never arrived here if its group is complete.
    /// `code` is that of the group's shape.
    pub(super) fn packet(&mut self, number: u64, index: u8, code: &Code) -> Option<Packet> {
        let held = self.groups.get_mut(&number)?;
        let Content::Whole(bytes) = &held.content else { return None };
        let shape = held.shape;
        if usize::from(index) >= shape.packets() || held.wrong_parity {
            return None;
        }
        let mut made = None;
        if held.tree.is_none() {
            let packets = code.packets(bytes);
            let tree = Tree::new(&packets);
            held.wrong_parity = tree.root() != held.signed.root;
            if held.wrong_parity {
                return None;
            }
            (held.tree, made) = (Some(tree), Some(packets));
        }
        let data = match (made, usize::from(index)) {
            (Some(made), index) => made.get(index)?.clone(),
            (None, index) if index < shape.data() => bytes.slice(shape.range(bytes.len(), index)),
            (None, index) => code.packets(bytes).get(index)?.clone(),
        };
        packet(&held.signed, held.tree.as_ref()?, index, data)
    }

    /// Returns the shape of a group.
    pub(super) fn shape(&self, number: u64) -> Option<Shape> {
        self.groups.get(&number).map(|held| held.shape)
    }

    /// Stores a verified packet, and restores its group if that is possible now.
    pub(super) fn store(&mut self, signed: SignedGroup, packet: &Packet, code: &mut Code) -> Effect {
        let shape = code.shape();
        let held = self.groups.entry(packet.group.number).or_insert_with(|| Held {
            signed,
            shape,
            content: Content::Packets(vec![None; shape.packets()]),
            wrong_parity: false,
            tree: None,
        });
        let index = usize::from(packet.index);
        let Content::Packets(packets) = &mut held.content else { return Effect::Stored };
        if held.wrong_parity && index >= shape.data() {
            return Effect::Stored;
        }
        let before = packets[index].as_ref().map_or(0, Bytes::len);
        packets[index] = Some(packet.data.clone());
        self.bytes = self.bytes + packet.data.len() - before;
        let before = held.content.bytes();
        let effect = held.restore(code);
        self.bytes = self.bytes - before + held.content.bytes();
        effect
    }

    /// Drops the oldest groups that are beyond the limits of time and bytes. Returns the number below
    /// which none is kept, if one was dropped.
    pub(super) fn trim(&mut self) -> Option<u64> {
        let mut below = None;
        let newest = self.groups.last_key_value().map_or(0, |(_, held)| held.signed.group.born_ms);
        while self.groups.len() > 1
            && let Some(oldest) = self.groups.first_entry()
        {
            let is_old = newest.saturating_sub(oldest.get().signed.group.born_ms) > self.back_ms;
            if !is_old && self.bytes <= self.max_bytes {
                break;
            }
            below = Some(oldest.key().saturating_add(1));
            self.bytes -= oldest.remove().content.bytes();
        }
        below
    }

    /// Drops the groups below this number.
    pub(super) fn forget(&mut self, below: u64) {
        let kept = self.groups.split_off(&below);
        self.bytes -= self.groups.values().map(|held| held.content.bytes()).sum::<usize>();
        self.groups = kept;
    }
}

impl Held {
    fn restore(&mut self, code: &mut Code) -> Effect {
        let Content::Packets(packets) = &mut self.content else { return Effect::Stored };
        let length = self.signed.group.length as usize;
        let Some(bytes) = code.restore(length, packets) else { return Effect::Stored };
        let restored = packets[..self.shape.data()].contains(&None);
        if restored {
            // Parity is verified to be the source's, not to be right. If it is, all packets made
            // again have the root that was signed.
            let tree = Tree::new(&code.packets(&bytes));
            if tree.root() != self.signed.root {
                self.wrong_parity = true;
                packets[self.shape.data()..].fill(None);
                return Effect::WrongParity;
            }
            self.tree = Some(tree);
        }
        self.content = Content::Whole(bytes);
        Effect::Whole { restored }
    }
}
