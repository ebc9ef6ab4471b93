//! A piece that has been begun: which of its blocks are here, and who was asked for the others.

use crate::PeerKey;

/// At most so many peers are asked for the same block: two, and a third where both are strangers that keep the reader waiting.
pub(super) const MAX_ASKERS: usize = 3;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Block {
    pub(super) got: bool,
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

#[derive(Debug)]
pub(super) struct Partial {
    pub(super) blocks: Vec<Block>,
    /// The memory that is set aside for it.
    pub(super) reserved: u64,
    /// It is begun only in case a player jumps there, and memory is set aside as its front grows.
    pub(super) ahead_of_time: bool,
    /// Blocks neither here nor asked for.
    pub(super) open: u32,
    /// Blocks that are not here.
    pub(super) missing: u32,
    /// The blocks from this one on are known without any peer.
    pub(super) known_from: u32,
    /// No open block lies before this one.
    first_open: u32,
    /// How often its hash was wrong.
    pub(super) failures: u32,
    /// Who gave blocks of it when its hash was wrong.
    pub(super) suspects: Vec<PeerKey>,
    /// After repeated failures the piece is taken whole from one peer, so that a liar stands alone.
    pub(super) solo: Option<PeerKey>,
    /// Who gave the blocks that are here, each once.
    pub(super) givers: Vec<PeerKey>,
    /// How many of its blocks each peer took on, for policies that split by quota.
    pub(super) taken: Vec<(PeerKey, u32)>,
}

impl Partial {
    pub(super) fn new(blocks: u32, reserved: u64) -> Partial {
        Partial {
            blocks: vec![Block::default(); blocks as usize],
            reserved,
            ahead_of_time: false,
            open: blocks,
            missing: blocks,
            known_from: blocks,
            first_open: 0,
            failures: 0,
            suspects: Vec::new(),
            solo: None,
            givers: Vec::new(),
            taken: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.missing == self.known_from && self.open == self.missing
    }

    /// The blocks of a piece that was just begun are known from this one on, which is not its first.
    pub(super) fn know_tail(&mut self, from: u32) {
        if from == 0 || from >= self.missing {
            return;
        }
        self.blocks[from as usize..].iter_mut().for_each(|block| block.got = true);
        (self.open, self.missing, self.known_from) = (from, from, from);
    }

    /// The first block that is neither here nor asked for.
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

    /// Its blocks from the first up to the last that is here or asked for.
    pub(super) fn reach(&self) -> u32 {
        let fetched = &self.blocks[..self.known_from as usize];
        fetched.iter().rposition(|b| b.got || b.asked() > 0).map_or(0, |last| last as u32 + 1)
    }

    /// The share of its blocks that is neither here nor asked for.
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
        match self.taken.iter_mut().find(|(p, _)| *p == peer) {
            Some((_, n)) => *n += 1,
            None => self.taken.push((peer, 1)),
        }
    }

    /// The request is answered: the peer keeps the block in its share.
    pub(super) fn answered(&mut self, block: u32, peer: PeerKey) {
        let b = &mut self.blocks[block as usize];
        let before = b.asked();
        b.askers.iter_mut().filter(|a| **a == Some(peer)).for_each(|a| *a = None);
        if before > 0 && b.asked() == 0 && !b.got {
            self.open += 1;
            self.first_open = self.first_open.min(block);
        }
    }

    /// The request is off: the block leaves the peer's share.
    pub(super) fn release(&mut self, block: u32, peer: PeerKey) {
        self.answered(block, peer);
        if let Some((_, n)) = self.taken.iter_mut().find(|(p, _)| *p == peer) {
            *n = n.saturating_sub(1);
        }
    }

    pub(super) fn taken_by(&self, peer: PeerKey) -> u32 {
        self.taken.iter().find(|(p, _)| *p == peer).map_or(0, |(_, n)| *n)
    }

    /// The block came from `peer`; false if it was here already.
    pub(super) fn receive(&mut self, block: u32, peer: PeerKey) -> bool {
        let b = &mut self.blocks[block as usize];
        if b.got {
            return false;
        }
        if b.asked() == 0 {
            self.open -= 1;
        }
        b.got = true;
        self.missing -= 1;
        if !self.givers.contains(&peer) {
            self.givers.push(peer);
        }
        true
    }

    /// The hash was wrong: all blocks are wanted again.
    pub(super) fn fail(&mut self) {
        self.failures += 1;
        for peer in std::mem::take(&mut self.givers) {
            if !self.suspects.contains(&peer) {
                self.suspects.push(peer);
            }
        }
        let n = self.blocks.len() as u32;
        self.blocks.iter_mut().for_each(|b| b.got = false);
        (self.missing, self.known_from, self.first_open, self.solo) = (n, n, 0, None);
        self.open = self.blocks.iter().filter(|b| b.asked() == 0).count() as u32;
        self.taken.clear();
    }
}
