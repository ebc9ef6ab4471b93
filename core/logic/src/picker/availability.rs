//! Counts the peers that have each piece. The cost of a HAVE does not depend on the number of
//! pieces.

use crate::Bits;

#[derive(Debug)]
pub(super) struct Availability {
    /// Number of peers that announced all pieces at once.
    seeds: i32,
    /// By piece: the number of other peers that have it, less the seeds that lost it.
    each: Vec<i32>,
    /// Number of peers that have every piece now, however they announced it.
    full: i32,
}

impl Availability {
    pub(super) fn new(pieces: u32) -> Availability {
        Availability { seeds: 0, each: vec![0; pieces as usize], full: 0 }
    }

    /// Adds a peer with these pieces. Returns whether it counts as a seed until it is removed.
    pub(super) fn add(&mut self, bits: &Bits) -> bool {
        if bits.is_full() {
            self.seeds += 1;
            self.full += 1;
        } else {
            bits.iter_ones().for_each(|piece| self.each[piece as usize] += 1);
        }
        bits.is_full()
    }

    /// Removes the same peer, with the pieces that it had by then.
    pub(super) fn remove(&mut self, bits: &Bits, as_seed: bool) {
        self.full -= i32::from(bits.is_full());
        if as_seed {
            self.seeds -= 1;
            bits.iter_zeros().for_each(|piece| self.each[piece as usize] += 1);
        } else {
            bits.iter_ones().for_each(|piece| self.each[piece as usize] -= 1);
        }
    }

    /// Counts one more piece of a peer; `bits` includes it.
    pub(super) fn gain(&mut self, piece: u32, bits: &Bits) {
        self.each[piece as usize] += 1;
        self.full += i32::from(bits.is_full());
    }

    /// Counts one piece less of a peer; `bits` excludes it.
    pub(super) fn lose(&mut self, piece: u32, bits: &Bits) {
        self.each[piece as usize] -= 1;
        self.full -= i32::from(bits.count() + 1 == bits.len());
    }

    /// Returns the number of peers that have this piece.
    pub(super) fn of(&self, piece: u32) -> i32 {
        self.seeds + self.each[piece as usize]
    }

    /// Returns whether a peer that is no seed has this piece.
    pub(super) fn is_at_partial(&self, piece: u32) -> bool {
        self.of(piece) > self.full
    }

    /// Checks that the counts match these peers.
    pub(super) fn check<'a>(&self, peers: &(impl Iterator<Item = &'a Bits> + Clone)) -> Result<(), String> {
        let full = peers.clone().filter(|bits| bits.is_full()).count() as i32;
        if full != self.full {
            return Err(format!("{full} peers have all, {} counted", self.full));
        }
        for piece in 0..self.each.len() as u32 {
            let have = peers.clone().filter(|bits| bits.get(piece)).count() as i32;
            if have != self.of(piece) {
                return Err(format!("{have} peers have piece {piece}, {} counted", self.of(piece)));
            }
        }
        Ok(())
    }
}
