//! Invariants that tests check after every step.

use super::Picker;
use crate::{BlockRef, PieceIndex};

impl Picker {
    /// Checks all invariants, for tests: counts match, and each request is recorded on both sides.
    pub fn check_invariants(&self) -> Result<(), String> {
        let mut bytes = 0;
        for (n, part) in &self.partial {
            bytes += part.reserved;
            let whole = self.layout.bytes_of(PieceIndex(*n));
            let least = match part.ahead_of_time {
                true => self.layout.buffer_bytes(PieceIndex(*n), part.reach()),
                false => whole,
            };
            if part.reserved < u64::from(least) || part.reserved > u64::from(whole) {
                return Err(format!("piece {n}: {} of {whole} bytes are set aside, {least} are needed", part.reserved));
            }
            if self.have.get(*n) {
                return Err(format!("piece {n} is here and being fetched"));
            }
            let open = part.blocks.iter().filter(|b| !b.got && b.asked() == 0).count() as u32;
            let missing = part.blocks.iter().filter(|b| !b.got).count() as u32;
            if (open, missing) != (part.open, part.missing) {
                return Err(format!("piece {n}: counts {} {} for {open} {missing}", part.open, part.missing));
            }
            for (b, block) in part.blocks.iter().enumerate() {
                for peer in block.askers.iter().flatten() {
                    let block = BlockRef { piece: PieceIndex(*n), block: b as u32 };
                    if !self.peers.get(peer).is_some_and(|p| p.queue.iter().any(|a| a.block == block && !a.withdrawn)) {
                        return Err(format!("{peer:?} does not know of {block:?}"));
                    }
                }
                if block.got && block.asked() > 0 {
                    return Err(format!("block {b} of piece {n} is here and still asked for"));
                }
            }
        }
        if bytes != self.partial_bytes {
            return Err(format!("{} bytes set aside, {bytes} counted", self.partial_bytes));
        }
        let outstanding: usize = self.peers.values().map(|p| p.queue.len()).sum();
        if outstanding != self.outstanding {
            return Err(format!("{outstanding} requests are out, {} counted", self.outstanding));
        }
        for (key, p) in &self.peers {
            for (at, ask) in p.queue.iter().enumerate() {
                let known = self
                    .partial
                    .get(&ask.block.piece.0)
                    .is_some_and(|part| part.blocks.get(ask.block.block as usize).is_some_and(|b| b.is_asked_of(*key)));
                if known == ask.withdrawn {
                    return Err(format!("{key:?} was asked for {:?}, which is not noted", ask.block));
                }
                if p.queue.iter().skip(at + 1).any(|other| other.block == ask.block) {
                    return Err(format!("{key:?} was asked twice for {:?}", ask.block));
                }
            }
            let useful = p.bits.iter_ones().filter(|i| !self.have.get(*i)).count() as u32;
            if p.useful != useful {
                return Err(format!("{key:?} has {useful} useful pieces, {} counted", p.useful));
            }
        }
        self.availability.check(&self.peers.values().map(|p| &p.bits))
    }
}
