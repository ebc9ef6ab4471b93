//! An incomplete piece: its received blocks, and the requests for the others.

use crate::PeerKey;

/// Most peers from which the same block is requested: two, and a third if both are unmeasured and
/// block a reader.
pub(super) const MAX_ASKERS: usize = 3;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Block {
    pub(super) got: bool,
    /// The peer that sent it.
    pub(super) giver: Option<PeerKey>,
    pub(super) askers: [Option<PeerKey>; MAX_ASKERS],
}

impl Block {
    pub(super) fn asked(&self) -> usize {
        self.askers.iter().flatten().count()
    }

    pub(super) fn is_asked_of(&self, peer: PeerKey) -> bool {
        self.askers.contains(&Some(peer))
    }
}

#[derive(Debug, Default)]
pub(super) struct Partial {
    pub(super) blocks: Vec<Block>,
    /// Memory reserved for it, in bytes.
    pub(super) reserved: u64,
    /// Whether it is begun ahead of time: memory is reserved only as its front grows.
    pub(super) ahead_of_time: bool,
    /// Number of blocks that are neither received nor requested.
    pub(super) open: u32,
    /// Number of blocks that are not received.
    pub(super) missing: u32,
    /// First of the last blocks that are known without any peer.
    pub(super) known_from: u32,
    /// Lower bound on the first open block.
    first_open: u32,
    /// Number of times that its hash was wrong.
    pub(super) failures: u32,
    /// Peers that sent blocks of it when its hash was wrong.
    pub(super) suspects: Vec<PeerKey>,
    /// The one peer from which it is requested after repeated failures, so that a liar is alone.
    pub(super) solo: Option<PeerKey>,
    /// Peers that sent the received blocks, each once.
    pub(super) givers: Vec<PeerKey>,
}

impl Partial {
    pub(super) fn new(blocks: u32, reserved: u64) -> Partial {
        Partial {
            blocks: vec![Block::default(); blocks as usize],
            reserved,
            open: blocks,
            missing: blocks,
            known_from: blocks,
            ..Partial::default()
        }
    }

    /// Returns whether it failed often enough to be requested from one peer alone.
    pub(super) fn is_for_one(&self) -> bool {
        self.failures > 2
    }

    pub(super) fn is_empty(&self) -> bool {
        self.missing == self.known_from && self.open == self.missing
    }

    /// Marks the blocks from this one on as known, in a piece that was just begun. It must not be
    /// the first block.
    pub(super) fn know_tail(&mut self, from: u32) {
        if from == 0 || from >= self.missing {
            return;
        }
        self.blocks[from as usize..].iter_mut().for_each(|block| block.got = true);
        (self.open, self.missing, self.known_from) = (from, from, from);
    }

    /// Returns the first block that is neither received nor requested.
    pub(super) fn next_open(&mut self) -> Option<u32> {
        if self.open == 0 {
            return None;
        }
        while let Some(b) = self.blocks.get(self.first_open as usize) {
            if !b.got && b.asked() == 0 {
                return Some(self.first_open);
            }
            self.first_open += 1;
        }
        None
    }

    /// Returns the number of blocks from the first up to the last that is received or requested.
    pub(super) fn reach(&self) -> u32 {
        let fetched = &self.blocks[..self.known_from as usize];
        fetched.iter().rposition(|b| b.got || b.asked() > 0).map_or(0, |last| last as u32 + 1)
    }

    /// Returns the share of its blocks that are neither received nor requested.
    pub(super) fn open_share(&self) -> f64 {
        f64::from(self.open) / self.blocks.len() as f64
    }

    pub(super) fn add_asker(&mut self, block: u32, peer: PeerKey) {
        let b = &mut self.blocks[block as usize];
        if b.asked() == 0 && !b.got {
            self.open -= 1;
        }
        if let Some(free) = b.askers.iter_mut().find(|a| a.is_none()) {
            *free = Some(peer);
        }
    }

    /// Removes a request that was answered or cancelled.
    pub(super) fn release(&mut self, block: u32, peer: PeerKey) {
        let b = &mut self.blocks[block as usize];
        let before = b.asked();
        b.askers.iter_mut().filter(|a| **a == Some(peer)).for_each(|a| *a = None);
        if before > 0 && b.asked() == 0 && !b.got {
            self.open += 1;
            self.first_open = self.first_open.min(block);
        }
    }

    /// Returns the number of blocks that this peer sent or has outstanding.
    pub(super) fn taken_by(&self, peer: PeerKey) -> u32 {
        self.blocks.iter().filter(|b| b.giver == Some(peer) || b.is_asked_of(peer)).count() as u32
    }

    /// Stores that the block came from `peer`. Returns whether it was missing before.
    pub(super) fn receive(&mut self, block: u32, peer: PeerKey) -> bool {
        let b = &mut self.blocks[block as usize];
        if b.got {
            return false;
        }
        if b.asked() == 0 {
            self.open -= 1;
        }
        (b.got, b.giver) = (true, Some(peer));
        self.missing -= 1;
        if !self.givers.contains(&peer) {
            self.givers.push(peer);
        }
        true
    }

    /// Resets all blocks after a wrong hash: they are wanted again.
    pub(super) fn fail(&mut self) {
        self.failures += 1;
        for peer in std::mem::take(&mut self.givers) {
            if !self.suspects.contains(&peer) {
                self.suspects.push(peer);
            }
        }
        let n = self.blocks.len() as u32;
        self.blocks.iter_mut().for_each(|b| (b.got, b.giver) = (false, None));
        (self.missing, self.known_from, self.first_open, self.solo) = (n, n, 0, None);
        self.open = self.blocks.iter().filter(|b| b.asked() == 0).count() as u32;
    }
}
