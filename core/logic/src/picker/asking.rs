//! Filling the queues: who may be asked for what, and when nothing may be asked at all.

use super::api::Output;
use super::peer::Peer;
use super::plan::Wanted;
use super::{NEAR_COMFORTS, Picker};
use crate::{BlockRef, PeerKey, PieceIndex, Time};

/// A reader waits for so many blocks in a row, or for a whole piece where that has more: 1 MiB, with which a player has
/// something to begin with. Where more is under way in a round trip, for that much: else the round trip would bound the rate.
const WAITED_BLOCKS: u32 = 64;
/// The same in seconds, where the media's rate is known: what most players want before they begin.
const WAITED_S: f64 = 3.0;
/// A piece that is waited for and of which nothing came for so long is stuck. The time that it takes to find and reach somebody
/// who has it does not count.
const STUCK_S: f64 = 0.5;
/// While a reader waits, peers of which nothing is known are asked for so many blocks in all, or for the piece that it waits for:
/// more would share the viewer's line with those, and all come in one burst. 128 KiB: an eighth of a second at 8 Mbit/s.
const FIRST_BLOCKS: usize = 8;
/// So many times as many where it is stuck.
const STUCK_MORE: usize = 2;
/// Whoever is dialled, and whoever has come, serves us within so many seconds, or not for long.
pub(super) const COMING_S: f64 = 0.3;

impl Picker {
    pub(super) fn slack_s(&self) -> f64 {
        let ms = if self.comfortable { self.config.comfort_slack_ms } else { self.config.slack_ms };
        ms / 1000.0
    }

    /// Whether anything is wanted: by a reader, or because all is to be fetched.
    pub fn is_wanted_at_all(&self) -> bool {
        !self.readers.is_empty() || self.fetch_all
    }

    pub(super) fn fill_all(&mut self) {
        if self.paused || !self.is_wanted_at_all() {
            return;
        }
        let keys: Vec<PeerKey> = self.peers.iter().filter(|(_, p)| p.serves(self.now)).map(|(key, _)| *key).collect();
        for key in keys {
            self.fill(key);
        }
    }

    /// Asks this peer for as much as it should have in its queue now.
    pub(super) fn fill(&mut self, peer: PeerKey) {
        if self.paused || !self.is_wanted_at_all() {
            return;
        }
        self.refresh_plan();
        let slack = self.slack_s();
        loop {
            let Some(p) = self.peers.get(&peer) else { return };
            if !p.serves(self.now) || p.queue.len() >= p.limit(self.now, slack, self.prior) {
                return;
            }
            if p.snubbed && !p.queue.is_empty() {
                // One block at a time tells whether it is back.
                return;
            }
            let Some(block) = self.next_block(peer) else { return };
            self.ask(peer, block);
        }
    }

    /// What to ask this peer for next; `None` where it is left alone for now.
    fn next_block(&mut self, peer: PeerKey) -> Option<BlockRef> {
        // What is waited for is asked of two each before anything else is at all, and what follows it before what comes after.
        let first_s = self.plan.first().map_or(0.0, |w| w.due_s);
        if let Some(block) = self.pick_hedge(peer).or_else(|| self.pick_second(peer, first_s)) {
            return Some(block);
        }
        let in_the_way = self.would_be_in_the_way(peer);
        if in_the_way || self.waits_for_soon() {
            // More than the player needs to go on would only fill the line before that.
            let within_s = self.waited_s(peer);
            let leaves = in_the_way || self.may_leave_to_others(peer);
            let picked = if leaves { None } else { self.pick(peer, within_s) };
            return picked.or_else(|| self.pick_second(peer, within_s));
        }
        if self.are_strangers_asked_enough(peer) {
            return None;
        }
        // Once everybody is comfortable, what players jump to comes before what is due in half a minute.
        let near_s = if self.comfortable { NEAR_COMFORTS * self.config.comfort_s } else { f64::INFINITY };
        self.pick(peer, near_s)
            .or_else(|| self.pick_jump(peer))
            .or_else(|| self.pick(peer, f64::INFINITY))
            .or_else(|| self.pick_comfort(peer))
    }

    /// Whether a reader waits for what will soon be here: a small piece from the moment on in which somebody who has it has come.
    /// Where nothing of it has come for a while there is no telling when it will, and the others need not wait for that.
    fn waits_for_soon(&self) -> bool {
        let Some(first) = self.plan.first().filter(|w| w.is_waited_for() && !self.is_stuck()) else { return false };
        let comes = |p: &Peer| p.can_ask(first.piece) || (p.bits.get(first.piece) && self.is_coming(p));
        first.is_soon(self.now) || (first.is_new() && self.peers.values().any(comes))
    }

    fn is_stuck(&self) -> bool {
        self.now.since(self.waited_at).as_secs_f64() > STUCK_S
    }

    /// Whether it joined moments ago: its UNCHOKE may be on its way.
    fn is_coming(&self, p: &Peer) -> bool {
        self.now.since(p.joined).as_secs_f64() < COMING_S
    }

    /// Whether somebody who has what is waited for joined moments ago.
    pub(super) fn is_somebody_coming(&self) -> bool {
        let first = self.plan.first().filter(|w| w.is_waited_for());
        first.is_some_and(|w| self.peers.values().any(|p| p.bits.get(w.piece) && self.is_coming(p)))
    }

    /// Whether this piece is waited for before all others, and nothing of it was asked of anybody yet.
    pub(super) fn is_waited_for_and_new(&self, piece: u32) -> bool {
        let first = self.plan.first().is_some_and(|w| w.is_waited_for() && w.piece == piece);
        first && self.partial.get(&piece).is_none_or(|part| part.open == part.missing)
    }

    /// While a piece is urgent: whether a peer of which nothing is known had better not be asked for more. Dozens of strangers
    /// with a few blocks each would fill the viewer's line with what nobody waits for.
    fn are_strangers_asked_enough(&self, peer: PeerKey) -> bool {
        let Some(first) = self.plan.first().filter(|w| w.is_urgent()) else { return false };
        let Some(p) = self.peers.get(&peer).filter(|p| !p.measured()) else { return false };
        if p.can_ask(first.piece) && self.open_blocks(first.piece) > 0 {
            return false;
        }
        let one_each = self.is_small(first.piece) && !p.queue.is_empty();
        one_each || self.outstanding >= STUCK_MORE * self.first_blocks(first.piece)
    }

    /// What peers of which nothing is known are asked for in all while a reader waits for this piece.
    fn first_blocks(&self, piece: u32) -> usize {
        FIRST_BLOCKS.max(self.layout.blocks_of(PieceIndex(piece)) as usize)
    }

    /// While a reader waits, how far ahead this peer is asked, in seconds: one of which nothing is known only for the first few
    /// small pieces.
    fn waited_s(&self, peer: PeerKey) -> f64 {
        let known = self.peers.get(&peer).is_none_or(|p| p.samples > 0);
        let Some(first) = self.plan.first().filter(|_| !known) else { return WAITED_S };
        let near = FIRST_BLOCKS / self.layout.blocks_of(PieceIndex(first.piece)).max(1) as usize;
        if near < 2 {
            return WAITED_S;
        }
        let last = first.piece + near as u32 - 1;
        self.plan.iter().find(|w| w.piece == last).map_or(WAITED_S, |w| w.due_s)
    }

    /// While a reader waits, whether a peer of which nothing is known had better not be asked for more: where more than is
    /// waited for is on its way already, or where as many others as it has open blocks are about to come or have come
    /// with it, each of which will bring one sooner than this one a second.
    fn may_leave_to_others(&self, peer: PeerKey) -> bool {
        let Some(first) = self.plan.first() else { return false };
        let Some(p) = self.peers.get(&peer).filter(|p| !p.measured()) else { return false };
        let open = |w: &Wanted| p.can_ask(w.piece) && self.open_blocks(w.piece) > 0;
        if self.outstanding >= self.first_blocks(first.piece)
            && !self.plan.iter().take_while(|w| w.is_waited_for()).any(open)
        {
            return true;
        }
        let coming = |o: &Peer| {
            let comes = self.is_coming(o) || o.can_ask(first.piece);
            o.bits.get(first.piece) && !o.measured() && o.queue.is_empty() && comes
        };
        let dialled = if self.now < self.dialled_until { self.dialled } else { 0 };
        let others = || dialled + self.peers.values().filter(|o| coming(o)).count();
        !p.queue.is_empty() && others() > self.open_blocks(first.piece) as usize
    }

    /// While a reader waits for a piece that will soon be here, nothing else may take up the viewer's line: neither
    /// from peers that lack that piece, nor, where much of it is on its way already, from anybody. Pieces right behind it count as
    /// one with it as long as they are small together, or a reader would get one small piece a round trip. What another reader
    /// waits for (a film's index at its end) is in nobody's way.
    pub(super) fn would_be_in_the_way(&self, peer: PeerKey) -> bool {
        let Some(first) = self.plan.first().filter(|w| w.is_waited_for() && w.is_soon(self.now)) else { return false };
        let waited_for = |w: &&Wanted| w.is_waited_for();
        let peer_can = |piece| self.peers.get(&peer).is_some_and(|p| p.can_ask(piece));
        let mut others = self.plan.iter().skip(1).take_while(waited_for);
        if others.any(|w| self.open_blocks(w.piece) > 0 && peer_can(w.piece)) {
            return false;
        }
        let (mut blocks, mut open, mut lacks) = (0, 0, true);
        let measured = self.peers.values().filter(|p| p.measured() && p.serves(self.now) && !p.snubbed);
        let most = WAITED_BLOCKS.max(measured.map(|p| p.in_flight(self.prior)).sum::<f64>() as u32);
        let mut next = first.piece;
        for w in self.plan.iter().take_while(|w| w.due_s < WAITED_S) {
            let more = self.layout.blocks_of(PieceIndex(w.piece));
            if w.piece != next {
                continue;
            }
            if blocks > 0 && blocks + more > most {
                break;
            }
            lacks &= !peer_can(w.piece) || (blocks > 0 && blocks + more > WAITED_BLOCKS);
            next += 1;
            blocks += more;
            open += self.open_blocks(w.piece);
        }
        let much = self.outstanding as u64 * 2 > u64::from(blocks);
        lacks || (much && open == 0)
    }

    pub(super) fn ask(&mut self, peer: PeerKey, block: BlockRef) {
        let slack = self.slack_s();
        if self.is_waited_for_and_new(block.piece.0) {
            self.waited_at = self.now;
        }
        self.set_aside(block);
        let Some(part) = self.partial.get_mut(&block.piece.0) else { return };
        part.add_asker(block.block, peer);
        if part.failures > 2 {
            part.solo = Some(peer);
        }
        let Some(p) = self.peers.get_mut(&peer) else { return };
        // A request that still stands there needs no second one.
        let stands = p.revive(block);
        p.ask(block, self.now, slack, self.prior);
        self.outstanding += 1;
        if p.snubbed {
            p.retry_at = Time::NEVER;
        }
        if !stands {
            self.counters.requests += 1;
            self.out.push_back(Output::Request(peer, block));
        }
    }

    /// Whether this peer may take open blocks of this piece: it has it, and a piece that failed is kept from suspects.
    pub(super) fn may_take(&self, key: PeerKey, p: &Peer, piece: u32) -> bool {
        if !p.can_ask(piece) {
            return false;
        }
        let Some(part) = self.partial.get(&piece) else { return true };
        if part.failures == 0 {
            return true;
        }
        if let Some(solo) = part.solo
            && self.peers.get(&solo).is_some_and(|o| o.can_ask(piece) && o.serves(self.now) && !o.snubbed)
        {
            return solo == key;
        }
        let able = |k: &PeerKey, o: &Peer| *k != key && o.can_ask(piece) && o.serves(self.now) && !o.snubbed;
        let Some(at) = part.suspects.iter().position(|k| *k == key) else {
            let better = |k: &PeerKey, o: &Peer| able(k, o) && !o.suspected && !part.suspects.contains(k);
            return !p.suspected || !self.peers.iter().any(|(k, o)| better(k, o));
        };
        let others = self.peers.iter().filter(|(k, o)| able(k, o) && !part.suspects.contains(k)).count();
        if others * 2 >= part.suspects.len() {
            return false;
        }
        // Else one half of the suspects tries, then the other: whichever brings a right piece convicts the liars of the
        // first try, at half the rate and not at that of one peer.
        let half = |at: usize| part.failures > 2 || at % 2 == part.failures as usize - 1;
        let helped = |k: &PeerKey| part.suspects.iter().position(|s| s == k).is_some_and(half);
        half(at) || !self.peers.iter().any(|(k, o)| able(k, o) && helped(k))
    }

    pub(super) fn open_blocks(&self, piece: u32) -> u32 {
        match self.partial.get(&piece) {
            Some(part) => part.open,
            None if self.have.get(piece) => 0,
            None => self.layout.blocks_of(PieceIndex(piece)),
        }
    }

    /// The first open block of a piece, which must have one.
    pub(super) fn next_open(&mut self, piece: u32) -> Option<BlockRef> {
        let block = match self.partial.get_mut(&piece) {
            Some(part) => part.next_open()?,
            None => 0,
        };
        Some(BlockRef { piece: PieceIndex(piece), block })
    }
}
