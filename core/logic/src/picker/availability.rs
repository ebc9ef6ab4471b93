//! How many peers have each piece. What a peer says of one piece costs the same however many pieces
//! there are.

use crate::Bits;

#[derive(Debug)]
pub(super) struct Availability {
    /// Peers that said at once that they have all.
    seeds: i32,
    /// By piece: the other peers that have it, less the seeds that do not have it any more.
    each: Vec<i32>,
    /// Peers that have every piece now, however they said so.
    full: i32,
}

impl Availability {
    pub(super) fn new(pieces: u32) -> Availability {
        Availability { seeds: 0, each: vec![0; pieces as usize], full: 0 }
    }

    /// A peer has these pieces. Returns whether it counts as a seed until it is removed.
    pub(super) fn add(&mut self, bits: &Bits) -> bool {
        if bits.is_full() {
            self.seeds += 1;
            self.full += 1;
        } else {
            bits.iter_ones().for_each(|piece| self.each[piece as usize] += 1);
        }
        bits.is_full()
    }

    /// The same peer is gone, with the pieces that it had by then.
    pub(super) fn remove(&mut self, bits: &Bits, as_seed: bool) {
        self.full -= i32::from(bits.is_full());
        if as_seed {
            self.seeds -= 1;
            bits.iter_zeros().for_each(|piece| self.each[piece as usize] += 1);
        } else {
            bits.iter_ones().for_each(|piece| self.each[piece as usize] -= 1);
        }
    }

    /// A peer has one more piece, `bits` with it.
    pub(super) fn gain(&mut self, piece: u32, bits: &Bits) {
        self.each[piece as usize] += 1;
        self.full += i32::from(bits.is_full());
    }

    /// A peer has one piece less, `bits` without it.
    pub(super) fn lose(&mut self, piece: u32, bits: &Bits) {
        self.each[piece as usize] -= 1;
        self.full -= i32::from(bits.count() + 1 == bits.len());
    }

    /// Peers that have this piece.
    pub(super) fn of(&self, piece: u32) -> i32 {
        self.seeds + self.each[piece as usize]
    }

    /// Whether a peer has this piece that does not have all.
    pub(super) fn is_at_partial(&self, piece: u32) -> bool {
        self.of(piece) > self.full
    }

    /// Whether the counts are those of these peers.
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
