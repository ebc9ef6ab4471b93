//! Which block from which peer, when (docs/DESIGN.md, "The picker").
//!
//! One door in ([`Picker::handle`]), one door out ([`Picker::poll`]). The order of pieces is made in `plan`, the model of
//! peers in `peer`, second requests in `hedge`, what is fetched when nothing is urgent in `comfort`.

mod api;
mod comfort;
mod hedge;
mod peer;
mod piece;
mod plan;
mod reader;
#[cfg(test)]
mod tests;

pub use api::{Config, Counters, Input, Output, PeerFigures, Policy};

use crate::rng::Rng;
use crate::{Bits, BlockRef, Layout, PeerKey, PieceIndex, ReaderKey, Time};
use peer::Peer;
use piece::Partial;
use plan::Wanted;
use reader::Reader;
use std::collections::{BTreeMap, VecDeque};

/// A peer that nothing is known of is taken to deliver so many bytes per second.
const PRIOR_RATE: f64 = 250_000.0;
/// While something urgent is missing, hedges are weighed this often.
const URGENT_TICK_S: f64 = 0.025;
/// Otherwise silence is looked for this often.
const TICK_S: f64 = 0.25;
/// A peer that is silent for so long while it owes a block is given up for the time being.
const PATIENCE_S: f64 = 1.0;
/// A comfortable reader has so many times [`Config::comfort_s`] picked for it in order before anything else.
const NEAR_COMFORTS: f64 = 1.5;

/// Decides which block is asked of which peer, and when. See the [module](self).
#[derive(Debug)]
pub struct Picker {
    layout: Layout,
    config: Config,
    have: Bits,
    peers: BTreeMap<PeerKey, Peer>,
    readers: BTreeMap<ReaderKey, Reader>,
    partial: BTreeMap<u32, Partial>,
    partial_bytes: u64,
    /// Requests that are out, at all peers.
    outstanding: usize,
    /// How many peers have each piece, seeds left out.
    availability: Vec<u16>,
    seeds: u32,
    plan: Vec<Wanted>,
    /// No entry of the plan before this one has an open block.
    plan_from: usize,
    plan_stale: bool,
    planned_at: Time,
    /// Whether every reader has enough ahead.
    comfortable: bool,
    fetch_all: bool,
    paused: bool,
    /// Rate of an unmeasured peer: the median of the measured ones, as last seen.
    prior: f64,
    rng: Rng,
    comfort_cursor: u32,
    out: VecDeque<Output>,
    counters: Counters,
    next_tick: Time,
    now: Time,
}

impl Picker {
    /// A picker for a torrent of which `have` is already here and verified.
    pub fn new(layout: Layout, have: &Bits, config: Config) -> Picker {
        let pieces = layout.pieces();
        let mut own = Bits::new(pieces);
        have.iter_ones().for_each(|i| {
            own.set(i, true);
        });
        Picker {
            rng: Rng::new(config.seed),
            layout,
            config,
            have: own,
            peers: BTreeMap::new(),
            readers: BTreeMap::new(),
            partial: BTreeMap::new(),
            partial_bytes: 0,
            outstanding: 0,
            availability: vec![0; pieces as usize],
            seeds: 0,
            plan: Vec::new(),
            plan_from: 0,
            plan_stale: true,
            planned_at: Time::ZERO,
            comfortable: false,
            fetch_all: false,
            paused: false,
            prior: PRIOR_RATE,
            comfort_cursor: 0,
            out: VecDeque::new(),
            counters: Counters::default(),
            next_tick: Time::NEVER,
            now: Time::ZERO,
        }
    }

    /// Something happened. Drain [`Picker::poll`] afterwards.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::PeerJoined { peer, rtt, max_requests, fast } => {
                let new =
                    Peer::new(self.now, rtt, max_requests, fast, self.layout.pieces(), self.config.first_requests);
                debug_assert!(!self.peers.contains_key(&peer), "a peer's key is never reused");
                self.peers.insert(peer, new);
            }
            Input::PeerLeft(peer) => self.peer_left(peer),
            Input::PeerHasBits(peer, bits) => self.peer_has_bits(peer, &bits),
            Input::PeerHas(peer, piece) => self.peer_has(peer, piece),
            Input::Choked(peer) => {
                if let Some(p) = self.peers.get_mut(&peer) {
                    p.choked = true;
                    if !p.fast {
                        p.drop_requests();
                    }
                    // BEP 6: what is allowed fast is answered all the same.
                    let kept = if p.fast { p.allowed.clone() } else { Vec::new() };
                    self.release(peer, |piece| !kept.contains(&piece));
                }
            }
            Input::Unchoked(peer) => {
                if let Some(p) = self.peers.get_mut(&peer) {
                    p.choked = false;
                    p.last_heard = self.now;
                    self.fill(peer);
                }
            }
            Input::AllowedFast(peer, piece) => {
                if let Some(p) = self.peers.get_mut(&peer)
                    // BEP 6 proposes ten; a peer that names thousands is not believed.
                    && p.allowed.len() < 64
                    && piece.0 < self.layout.pieces()
                    && !p.allowed.contains(&piece.0)
                {
                    p.allowed.push(piece.0);
                    self.fill(peer);
                }
            }
            Input::Rejected(peer, block) => self.rejected(peer, block),
            Input::Block(peer, block) => self.block(peer, block),
            Input::Unkept(peer, block) => self.unkept(peer, block),
            Input::PeerTakes(peer, requests) => {
                if let Some(p) = self.peers.get_mut(&peer) {
                    p.max_requests = requests.max(1);
                }
            }
            Input::Progress(peer) => {
                if let Some(p) = self.peers.get_mut(&peer) {
                    p.last_heard = self.now;
                }
            }
            Input::PieceVerified(piece) => self.verified(piece),
            Input::PieceFailed(piece) => self.failed(piece),
            Input::PieceLost(piece) => self.lost(piece),
            Input::ReaderOpened { reader, position, end, bytes_per_s, window } => {
                let end = end.min(self.layout.total_bytes());
                let mut new = Reader::new(self.now, position, end, window, bytes_per_s);
                new.ready_to = self.layout.piece_at(position).0;
                self.readers.insert(reader, new);
                self.turn_to_readers();
            }
            Input::ReaderRead(reader, position) => {
                if let Some(r) = self.readers.get_mut(&reader) {
                    let before = self.layout.piece_at(r.position);
                    r.read_to(self.now, position);
                    if self.layout.piece_at(position) != before {
                        self.plan_stale = true;
                    }
                }
            }
            Input::ReaderSought(reader, position) => {
                if let Some(r) = self.readers.get_mut(&reader) {
                    r.jump_to(self.now, position);
                    r.ready_to = self.layout.piece_at(position).0;
                    self.turn_to_readers();
                }
            }
            Input::ReaderWaits(reader, waits) => {
                if let Some(r) = self.readers.get_mut(&reader)
                    && r.waiting != waits
                {
                    r.waiting = waits;
                    self.plan_stale = true;
                    if waits {
                        self.next_tick = self.next_tick.min(self.now.plus_secs(URGENT_TICK_S));
                    }
                }
            }
            Input::ReaderRate(reader, rate) => {
                if let Some(r) = self.readers.get_mut(&reader) {
                    r.set_rate(rate);
                    self.plan_stale = true;
                }
            }
            Input::ReaderClosed(reader) => {
                if self.readers.remove(&reader).is_some() {
                    self.turn_to_readers();
                }
            }
            Input::FetchAll(on) => {
                self.fetch_all = on;
                self.turn_to_readers();
            }
            Input::Paused(on) => {
                self.paused = on;
                if on {
                    self.cancel_where(|_| true);
                } else {
                    self.turn_to_readers();
                }
            }
            Input::Timeout => self.tick(),
        }
        self.arm();
    }

    /// What to do next, until there is nothing more.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Input::Timeout`] is wanted, if at all. Earlier is harmless.
    pub fn next_timeout(&self) -> Option<Time> {
        (self.next_tick != Time::NEVER).then_some(self.next_tick)
    }

    /// Bytes counted so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What is here and verified.
    pub fn have(&self) -> &Bits {
        &self.have
    }

    /// A peer's figures; `None` if there is no such peer.
    pub fn peer(&self, peer: PeerKey) -> Option<PeerFigures> {
        self.peers.get(&peer).map(|p| p.figures(self.prior))
    }

    /// Pieces that are begun and not complete.
    pub fn partial_pieces(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.partial.keys().map(|p| PieceIndex(*p))
    }

    /// A reader's rate in bytes per second, as given or measured.
    pub fn reader_rate(&self, reader: ReaderKey) -> Option<f64> {
        self.readers.get(&reader).and_then(Reader::rate)
    }

    /// Whether every reader has enough ahead of it.
    pub fn is_comfortable(&self) -> bool {
        self.comfortable
    }

    /// Whether the bytes of this block would be of use.
    pub fn wants(&self, block: BlockRef) -> bool {
        self.layout.block_bytes(block) > 0
            && !self.have.get(block.piece.0)
            && match self.partial.get(&block.piece.0) {
                Some(part) => !part.blocks[block.block as usize].got,
                None => self.may_welcome(block.piece),
            }
    }

    /// Whether the bytes of this block, from this peer, are to be kept: it was asked for them and they are of use.
    pub fn accepts(&self, peer: PeerKey, block: BlockRef) -> bool {
        self.wants(block)
            && self
                .peers
                .get(&peer)
                .is_some_and(|p| p.queue.iter().any(|a| a.block == block) || p.ghosts.iter().any(|g| g.block == block))
    }

    // ---- peers ----

    fn peer_left(&mut self, peer: PeerKey) {
        // Out of the table first, or what it leaves behind would be asked of it again.
        let Some(p) = self.peers.remove(&peer) else { return };
        self.outstanding -= p.queue.len();
        for ask in p.queue {
            if let Some(part) = self.partial.get_mut(&ask.block.piece.0) {
                part.release(ask.block.block, peer);
            }
        }
        self.count_bits(&p.bits, false);
        for part in self.partial.values_mut().filter(|part| part.solo == Some(peer)) {
            part.solo = None;
        }
        self.plan_from = 0;
        self.fill_all();
    }

    fn count_bits(&mut self, bits: &Bits, add: bool) {
        if bits.is_full() {
            self.seeds = if add { self.seeds + 1 } else { self.seeds.saturating_sub(1) };
            return;
        }
        for i in bits.iter_ones() {
            let n = &mut self.availability[i as usize];
            *n = if add { n.saturating_add(1) } else { n.saturating_sub(1) };
        }
    }

    fn peer_has_bits(&mut self, peer: PeerKey, bits: &Bits) {
        if bits.len() != self.layout.pieces() {
            return;
        }
        let Some(p) = self.peers.get_mut(&peer) else { return };
        p.useful = if bits.is_full() {
            bits.len() - self.have.count()
        } else {
            bits.iter_ones().filter(|i| !self.have.get(*i)).count() as u32
        };
        let old = std::mem::replace(&mut p.bits, bits.clone());
        self.count_bits(&old, false);
        self.count_bits(bits, true);
        self.say_interest(peer);
        self.fill(peer);
    }

    fn peer_has(&mut self, peer: PeerKey, piece: PieceIndex) {
        let Some(p) = self.peers.get_mut(&peer) else { return };
        if !p.bits.set(piece.0, true) {
            return;
        }
        if p.bits.is_full() {
            // From here on it is counted as a seed.
            for n in &mut self.availability {
                *n = n.saturating_sub(1);
            }
            let n = &mut self.availability[piece.0 as usize];
            *n = n.saturating_add(1);
            self.seeds += 1;
        } else {
            let n = &mut self.availability[piece.0 as usize];
            *n = n.saturating_add(1);
        }
        if !self.have.get(piece.0) {
            p.useful += 1;
            self.say_interest(peer);
            self.fill(peer);
        }
    }

    fn say_interest(&mut self, peer: PeerKey) {
        if let Some(p) = self.peers.get_mut(&peer)
            && p.interested != (p.useful > 0)
        {
            p.interested = p.useful > 0;
            self.out.push_back(Output::Interested(peer, p.interested));
        }
    }

    fn rejected(&mut self, peer: PeerKey, block: BlockRef) {
        let Some(p) = self.peers.get_mut(&peer) else { return };
        p.last_heard = self.now;
        if p.answers_cancel(block) {
            return;
        }
        if p.take(block).is_some() {
            self.outstanding -= 1;
            if let Some(part) = self.partial.get_mut(&block.piece.0) {
                part.release(block.block, peer);
            }
            // Whoever rejects while it does not choke us does not have what it claimed, or will not give it now: it
            // is not asked for that piece for a while, lest the two of us talk in circles.
            if !p.choked {
                p.refuse(block.piece.0, self.now);
            }
            p.allowed.retain(|a| *a != block.piece.0);
            self.plan_from = 0;
            self.fill_all();
        } else {
            p.lay_ghost(block);
        }
    }

    /// Takes back what is asked of a peer for the pieces that `gone` names, without a word to it.
    fn release(&mut self, peer: PeerKey, gone: impl Fn(u32) -> bool) {
        let Some(p) = self.peers.get_mut(&peer) else { return };
        let before = p.queue.len();
        let (kept, lost): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut p.queue).into_iter().partition(|ask| !gone(ask.block.piece.0));
        p.queue = kept;
        if lost.is_empty() {
            return;
        }
        debug_assert!(p.queue.len() < before);
        self.outstanding -= lost.len();
        // BEP 6 keeps requests alive through a choke; BEP 3 drops them.
        let live = !p.choked || p.fast;
        for ask in lost {
            p.haunt(ask.block, self.now, live);
            if let Some(part) = self.partial.get_mut(&ask.block.piece.0) {
                part.release(ask.block.block, peer);
            }
        }
        self.plan_from = 0;
        self.fill_all();
    }

    // ---- blocks and pieces ----

    fn block(&mut self, peer: PeerKey, block: BlockRef) {
        let bytes = self.layout.block_bytes(block);
        let slack = self.slack_s();
        let Some(p) = self.peers.get_mut(&peer) else { return };
        self.counters.received_bytes += u64::from(bytes);
        let ask = p.take(block);
        self.outstanding -= usize::from(ask.is_some());
        let known = ask.is_some() || p.lay_ghost(block);
        if !known || bytes == 0 {
            self.counters.unasked_bytes += u64::from(bytes);
            return;
        }
        let was_snubbed = p.snubbed;
        p.learn(ask, bytes, self.now, slack, self.prior);
        self.welcome(block.piece);
        let fresh = !self.have.get(block.piece.0)
            && self.partial.get_mut(&block.piece.0).is_some_and(|part| part.receive(block.block, peer));
        if fresh {
            let askers = self.partial.get(&block.piece.0).map(|part| part.blocks[block.block as usize].askers);
            for other in askers.into_iter().flatten().flatten() {
                if let Some(part) = self.partial.get_mut(&block.piece.0) {
                    if other == peer { part.answered(block.block, peer) } else { part.release(block.block, other) }
                }
                if other != peer
                    && let Some(o) = self.peers.get_mut(&other)
                    && o.take(block).is_some()
                {
                    self.outstanding -= 1;
                    o.haunt(block, self.now, false);
                    self.counters.cancels += 1;
                    self.out.push_back(Output::Cancel(other, block));
                    self.fill(other);
                }
            }
        } else {
            self.counters.duplicate_bytes += u64::from(bytes);
            if let Some(part) = self.partial.get_mut(&block.piece.0) {
                part.release(block.block, peer);
            }
        }
        if was_snubbed {
            self.fill_all();
        } else {
            self.fill(peer);
        }
    }

    /// A block that comes late, after its piece was given up, is kept all the same if there is room.
    fn welcome(&mut self, piece: PieceIndex) {
        if self.may_welcome(piece) && !self.partial.contains_key(&piece.0) {
            self.partial_bytes += u64::from(self.layout.bytes_of(piece));
            self.partial.insert(piece.0, Partial::new(self.layout.blocks_of(piece)));
        }
    }

    fn may_welcome(&self, piece: PieceIndex) -> bool {
        !self.have.get(piece.0)
            && self.partial_bytes + u64::from(self.layout.bytes_of(piece)) <= self.config.max_partial_bytes
    }

    fn unkept(&mut self, peer: PeerKey, block: BlockRef) {
        let bytes = u64::from(self.layout.block_bytes(block));
        let slack = self.slack_s();
        let Some(p) = self.peers.get_mut(&peer) else { return };
        self.counters.received_bytes += bytes;
        self.counters.forgotten_bytes += bytes;
        if let Some(ask) = p.take(block) {
            self.outstanding -= 1;
            p.learn(Some(ask), bytes as u32, self.now, slack, self.prior);
            if let Some(part) = self.partial.get_mut(&block.piece.0) {
                part.release(block.block, peer);
            }
            self.plan_from = 0;
        } else {
            p.lay_ghost(block);
        }
    }

    fn verified(&mut self, piece: PieceIndex) {
        self.drop_partial(piece.0);
        if !self.have.set(piece.0, true) {
            return;
        }
        let mut changed = Vec::new();
        for (key, p) in &mut self.peers {
            if p.bits.get(piece.0) {
                p.useful = p.useful.saturating_sub(1);
                if p.useful == 0 {
                    changed.push(*key);
                }
            }
        }
        changed.into_iter().for_each(|key| self.say_interest(key));
        self.plan_stale = true;
    }

    fn failed(&mut self, piece: PieceIndex) {
        if let Some(part) = self.partial.get_mut(&piece.0) {
            self.counters.failed_bytes += u64::from(self.layout.bytes_of(piece));
            part.fail();
        }
        self.plan_stale = true;
        self.fill_all();
    }

    fn lost(&mut self, piece: PieceIndex) {
        if !self.have.set(piece.0, false) {
            return;
        }
        let mut changed = Vec::new();
        for (key, p) in &mut self.peers {
            if p.bits.get(piece.0) {
                p.useful += 1;
                changed.push(*key);
            }
        }
        for r in self.readers.values_mut() {
            r.ready_to = self.layout.piece_at(r.position).0;
        }
        changed.into_iter().for_each(|key| self.say_interest(key));
        self.plan_stale = true;
        self.fill_all();
    }

    /// Ends a piece's assembly; whatever is still asked of it is cancelled.
    fn drop_partial(&mut self, piece: u32) {
        let Some(part) = self.partial.remove(&piece) else { return };
        self.partial_bytes -= u64::from(self.layout.bytes_of(PieceIndex(piece)));
        for (n, b) in part.blocks.iter().enumerate() {
            let block = BlockRef { piece: PieceIndex(piece), block: n as u32 };
            for peer in b.askers.into_iter().flatten() {
                if let Some(p) = self.peers.get_mut(&peer)
                    && p.take(block).is_some()
                {
                    self.outstanding -= 1;
                    p.haunt(block, self.now, false);
                    self.counters.cancels += 1;
                    self.out.push_back(Output::Cancel(peer, block));
                }
            }
        }
    }

    /// Takes back the requests for pieces that `unwanted` names.
    fn cancel_where(&mut self, unwanted: impl Fn(u32) -> bool) {
        let mut any = false;
        for (key, p) in &mut self.peers {
            let mut at = 0;
            while let Some(ask) = p.queue.get(at).copied() {
                if !unwanted(ask.block.piece.0) {
                    at += 1;
                    continue;
                }
                any = true;
                p.queue.remove(at);
                self.outstanding -= 1;
                p.haunt(ask.block, self.now, false);
                if let Some(part) = self.partial.get_mut(&ask.block.piece.0) {
                    part.release(ask.block.block, *key);
                }
                self.counters.cancels += 1;
                self.out.push_back(Output::Cancel(*key, ask.block));
            }
        }
        if any {
            self.plan_from = 0;
        }
        let empty: Vec<u32> = self
            .partial
            .iter()
            .filter(|(n, p)| p.is_empty() && p.failures == 0 && unwanted(**n))
            .map(|(n, _)| *n)
            .collect();
        empty.into_iter().for_each(|n| self.drop_partial(n));
    }

    /// The readers changed: what none of them wants soon is cancelled, and all peers turn to what they want now.
    fn turn_to_readers(&mut self) {
        self.make_plan();
        let mut wanted: Vec<u32> = self.plan.iter().map(|w| w.piece).collect();
        wanted.sort_unstable();
        let keep_rest = self.fetch_all;
        self.cancel_where(|piece| !keep_rest && wanted.binary_search(&piece).is_err());
        self.fill_all();
    }

    // ---- asking ----

    fn slack_s(&self) -> f64 {
        let ms = if self.comfortable { self.config.comfort_slack_ms } else { self.config.slack_ms };
        ms / 1000.0
    }

    fn fill_all(&mut self) {
        if self.paused || (self.readers.is_empty() && !self.fetch_all) {
            return;
        }
        let keys: Vec<PeerKey> = self.peers.iter().filter(|(_, p)| p.serves(self.now)).map(|(key, _)| *key).collect();
        for key in keys {
            self.fill(key);
        }
    }

    /// Asks this peer for as much as it should have in its queue now.
    fn fill(&mut self, peer: PeerKey) {
        if self.paused || (self.readers.is_empty() && !self.fetch_all) {
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
            if let Some(block) = self.pick_hedge(peer) {
                self.ask(peer, block);
                continue;
            }
            if self.would_be_in_the_way(peer) {
                return;
            }
            // Once everybody is comfortable, what players jump to comes before what is due in half a minute.
            let near_s = if self.comfortable { NEAR_COMFORTS * self.config.comfort_s } else { f64::INFINITY };
            let picked = self
                .pick(peer, near_s)
                .or_else(|| self.pick_jump(peer))
                .or_else(|| self.pick(peer, f64::INFINITY))
                .or_else(|| self.pick_comfort(peer));
            let Some(block) = picked else { return };
            self.ask(peer, block);
        }
    }

    /// While a reader waits for a piece that will soon be here, nothing else may take up the viewer's line: neither
    /// from peers that lack that piece, nor, where much of it is on its way already, from anybody.
    fn would_be_in_the_way(&self, peer: PeerKey) -> bool {
        let Some(first) = self.plan.first().filter(|w| w.due_s < 0.0 && w.is_soon(self.now)) else { return false };
        let lacks = self.peers.get(&peer).is_some_and(|p| !p.can_ask(first.piece));
        let much = self.outstanding as u64 * 2 > u64::from(self.layout.blocks_of(PieceIndex(first.piece)));
        lacks || (much && self.open_blocks(first.piece) == 0)
    }

    fn ask(&mut self, peer: PeerKey, block: BlockRef) {
        let blocks = self.layout.blocks_of(block.piece);
        let bytes = u64::from(self.layout.bytes_of(block.piece));
        let slack = self.slack_s();
        let part = self.partial.entry(block.piece.0).or_insert_with(|| {
            self.partial_bytes += bytes;
            Partial::new(blocks)
        });
        part.add_asker(block.block, peer);
        if part.failures >= 2 {
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
    fn may_take(&self, key: PeerKey, p: &Peer, piece: u32) -> bool {
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
        // Suspects may help only where nobody else can.
        !part.suspects.contains(&key)
            || !self
                .peers
                .iter()
                .any(|(k, o)| !part.suspects.contains(k) && o.can_ask(piece) && o.serves(self.now) && !o.snubbed)
    }

    /// Whether another piece may be begun; for what is needed first, room is made.
    fn may_begin(&mut self, piece: u32, rank: usize) -> bool {
        let bytes = u64::from(self.layout.bytes_of(PieceIndex(piece)));
        if self.partial_bytes + bytes <= self.config.max_partial_bytes || self.partial.is_empty() {
            return true;
        }
        // The piece needed first may always be begun, and one more while it is hashed.
        const ALWAYS: usize = 2;
        if rank >= ALWAYS {
            return false;
        }
        while self.partial_bytes + bytes > self.config.max_partial_bytes {
            let near: Vec<u32> = self.plan.iter().take(ALWAYS).map(|w| w.piece).collect();
            let least = self
                .partial
                .iter()
                .filter(|(n, p)| !near.contains(n) && p.missing > 0)
                .min_by_key(|(_, p)| p.blocks.len() as u32 - p.missing)
                .map(|(n, _)| *n);
            let Some(least) = least else { return true };
            if let Some(part) = self.partial.get(&least) {
                let got = part.blocks.iter().enumerate().filter(|(_, b)| b.got);
                self.counters.forgotten_bytes += got
                    .map(|(n, _)| {
                        u64::from(self.layout.block_bytes(BlockRef { piece: PieceIndex(least), block: n as u32 }))
                    })
                    .sum::<u64>();
            }
            self.drop_partial(least);
            self.out.push_back(Output::Forget(PieceIndex(least)));
        }
        true
    }

    fn open_blocks(&self, piece: u32) -> u32 {
        match self.partial.get(&piece) {
            Some(part) => part.open,
            None if self.have.get(piece) => 0,
            None => self.layout.blocks_of(PieceIndex(piece)),
        }
    }

    /// The first open block of a piece, which must have one.
    fn next_open(&mut self, piece: u32) -> Option<BlockRef> {
        let block = match self.partial.get_mut(&piece) {
            Some(part) => part.next_open()?,
            None => 0,
        };
        Some(BlockRef { piece: PieceIndex(piece), block })
    }

    // ---- time ----

    fn tick(&mut self) {
        if self.now < self.next_tick {
            return;
        }
        self.next_tick = Time::NEVER;
        let now = self.now;
        self.peers.values_mut().for_each(|p| p.forget_refusals(now));
        let least = if self.is_urgent() { PATIENCE_S } else { 2.0 * PATIENCE_S };
        let quiet: Vec<PeerKey> = self
            .peers
            .iter()
            .filter(|(_, p)| !p.queue.is_empty() && p.quiet_s(self.now, self.prior) > p.patience_s(least, self.prior))
            .map(|(key, _)| *key)
            .collect();
        for key in quiet {
            if let Some(p) = self.peers.get_mut(&key) {
                p.snub(self.now);
                self.counters.timeouts += p.queue.len() as u64;
                self.release(key, |_| true);
            }
        }
        if self.now.since(self.planned_at).as_secs_f64() >= TICK_S {
            self.plan_stale = true;
        }
        self.fill_all();
        if self.outstanding == 0 {
            self.ask_anybody();
        }
    }

    /// Nothing is under way though something is wanted: every rule of who should be asked for what has ruled everybody
    /// out. Then whoever has it is asked, for an unlikely source is better than none.
    fn ask_anybody(&mut self) {
        if self.paused {
            return;
        }
        for piece in self.plan.iter().map(|w| w.piece).collect::<Vec<_>>() {
            if self.open_blocks(piece) == 0 {
                continue;
            }
            let Some(peer) = self.peers.iter().find(|(_, p)| p.can_ask(piece)).map(|(key, _)| *key) else { continue };
            if let Some(block) = self.next_open(piece) {
                self.ask(peer, block);
            }
            return;
        }
    }

    /// A reader waits, or what is missing is due within moments.
    fn is_urgent(&self) -> bool {
        self.plan.first().is_some_and(Wanted::is_urgent)
    }

    fn arm(&mut self) {
        if self.readers.is_empty() && !self.fetch_all {
            self.next_tick = Time::NEVER;
            return;
        }
        let every = if self.is_urgent() { URGENT_TICK_S } else { TICK_S };
        self.next_tick = self.next_tick.min(self.now.plus_secs(every));
    }

    /// Everything that must always hold, for tests: counts agree with what they count, and requests are noted on
    /// both sides.
    pub fn check_invariants(&self) -> Result<(), String> {
        let mut bytes = 0;
        for (n, part) in &self.partial {
            bytes += u64::from(self.layout.bytes_of(PieceIndex(*n)));
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
                    if !self.peers.get(peer).is_some_and(|p| p.queue.iter().any(|a| a.block == block)) {
                        return Err(format!("{peer:?} does not know of {block:?}"));
                    }
                }
                if block.got && block.asked() > 0 {
                    return Err(format!("block {b} of piece {n} is here and still asked for"));
                }
            }
        }
        if bytes != self.partial_bytes {
            return Err(format!("{} bytes begun, {bytes} counted", self.partial_bytes));
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
                if !known {
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
        Ok(())
    }
}
