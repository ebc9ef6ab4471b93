//! Which block from which peer, when (docs/DESIGN.md, "The picker").
//!
//! One door in ([`Picker::handle`]), one door out ([`Picker::poll`]). The order of pieces is made in `plan`, the model of
//! peers in `peer`, second requests in `hedge`, what is fetched when nothing is urgent in `comfort`.

mod api;
mod asking;
mod availability;
mod blocks;
mod comfort;
mod hedge;
mod invariants;
mod jumps;
mod peer;
mod peers;
mod piece;
mod plan;
mod reader;
mod room;
mod sparing;
#[cfg(test)]
mod tests;

pub use api::{Config, Counters, Input, Output, PeerFigures, Policy};

use crate::rng::Rng;
use crate::{Bits, BlockRef, Layout, PeerKey, PieceIndex, ReaderKey, Time};
use availability::Availability;
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
/// Where nobody is fit to be asked, anybody is asked for one of the first so many pieces.
const ANYBODY_PIECES: usize = 256;
/// Requests that are out at a peer at most, whatever it says that it takes: 64 MiB.
const MAX_REQUESTS: u32 = 4096;
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
    /// Pieces whose last blocks are known, and the first of these.
    known_tails: BTreeMap<u32, u32>,
    partial_bytes: u64,
    /// Requests that are out, at all peers.
    outstanding: usize,
    availability: Availability,
    plan: Vec<Wanted>,
    /// No entry of the plan before this one has an open block.
    plan_from: usize,
    plan_stale: bool,
    plan_made_at: Time,
    cutoffs_at: Time,
    /// Whether every reader has enough ahead.
    comfortable: bool,
    fetch_all: bool,
    paused: bool,
    /// Whether peers that have all and watch nothing are spared, and whether a viewer has all.
    spares_origins: bool,
    full_viewers: bool,
    /// When a block was last asked again in spite of the budget.
    emergency_at: Time,
    /// When the last block came of the piece that is wanted first, or it became that; or the first peer came that has it, or
    /// was asked for it.
    waited_at: Time,
    /// How many peers are being dialled, and until when they are worth waiting for.
    dialled: usize,
    dialled_until: Time,
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
            known_tails: BTreeMap::new(),
            partial_bytes: 0,
            outstanding: 0,
            availability: Availability::new(pieces),
            plan: Vec::new(),
            plan_from: 0,
            plan_stale: true,
            plan_made_at: Time::ZERO,
            cutoffs_at: Time::ZERO,
            comfortable: false,
            fetch_all: false,
            paused: false,
            spares_origins: false,
            full_viewers: false,
            emergency_at: Time::ZERO,
            waited_at: Time::ZERO,
            dialled: 0,
            dialled_until: Time::ZERO,
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
                let mut new =
                    Peer::new(self.now, rtt, max_requests, fast, self.layout.pieces(), self.config.first_requests);
                new.interested = !self.have.is_full();
                debug_assert!(!self.peers.contains_key(&peer), "a peer's key is never reused");
                self.peers.insert(peer, new);
            }
            Input::Dialled(peers) => {
                if peers > self.dialled {
                    self.dialled_until = self.now.plus_secs(asking::COMING_S);
                }
                self.dialled = peers;
            }
            Input::PeerLeft(peer) => self.peer_left(peer),
            Input::KnownTails(tails) => {
                self.known_tails = tails.into_iter().map(|(piece, from)| (piece.0, from)).collect();
            }
            Input::PeerHasBits(peer, bits) => self.peer_has_bits(peer, &bits),
            Input::PeerHas(peer, piece) => self.peer_has(peer, piece),
            Input::PeerLacks(peer, piece) => self.peer_lacks(peer, piece),
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
                    p.is_heard(self.now);
                    self.count_viewers();
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
                    // As a rule UNCHOKE is right behind. What is allowed is some piece: asked for at once, it would stand
                    // before the one that the reader waits for. Where no UNCHOKE comes, the next event fills the queue.
                    self.refresh_plan();
                    if self.plan.first().is_some_and(|w| w.piece == piece.0) {
                        self.fill(peer);
                    }
                }
            }
            Input::Rejected(peer, block) => self.rejected(peer, block),
            Input::Block(peer, block) => self.block(peer, block),
            Input::Unkept(peer, block) => self.unkept(peer, block),
            Input::PeerViews(peer) => {
                if let Some(p) = self.peers.get_mut(&peer) {
                    p.views = true;
                    self.count_viewers();
                }
            }
            Input::PeerSuspected(peer) => {
                if let Some(p) = self.peers.get_mut(&peer) {
                    p.suspected = true;
                }
            }
            Input::PeerTakes(peer, requests) => {
                if let Some(p) = self.peers.get_mut(&peer) {
                    p.max_requests = requests.clamp(1, MAX_REQUESTS);
                }
            }
            Input::Progress(peer) => {
                if let Some(p) = self.peers.get_mut(&peer) {
                    p.progresses(self.now, self.prior);
                }
            }
            Input::PieceVerified(piece) => self.verified(piece),
            Input::PieceFailed(piece) => self.failed(piece),
            Input::PieceLost(piece) => self.lost(piece),
            Input::ReaderOpened { reader, start, position, end, bytes_per_s, window } => {
                let end = end.min(self.layout.total_bytes());
                let mut new = Reader::new(self.now, position, end, window, bytes_per_s);
                new.ready_to = self.layout.piece_at(position).0;
                let steps = u64::from(self.config.jump_points);
                new.jumps = (1..steps).map(|step| start + end.saturating_sub(start) / steps * step).collect();
                self.readers.insert(reader, new);
                self.turn_to_readers();
            }
            Input::ReaderLimits { reader, end, window } => {
                if let Some(r) = self.readers.get_mut(&reader) {
                    (r.end, r.window) = (end.min(self.layout.total_bytes()), window);
                    self.turn_to_readers();
                }
            }
            Input::ReaderJumps(reader, places) => {
                if let Some(r) = self.readers.get_mut(&reader)
                    && self.config.jump_points > 0
                {
                    r.jumps = places;
                }
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
                    r.waits(self.now, waits);
                    self.plan_stale = true;
                    if waits {
                        self.waited_at = self.now;
                        self.next_tick = self.next_tick.min(self.now.plus_secs(URGENT_TICK_S));
                    }
                }
            }
            Input::ReaderLead(reader, seconds) => {
                if let Some(r) = self.readers.get_mut(&reader) {
                    r.lead_s = if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
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

    /// Returns the pieces that a peer has; `None` if there is no such peer.
    pub fn bits(&self, peer: PeerKey) -> Option<&Bits> {
        self.peers.get(&peer).map(|p| &p.bits)
    }

    /// How many peers have this piece, and how many of these let us ask for it.
    pub fn piece_holders(&self, piece: PieceIndex) -> (usize, usize) {
        let with = self.peers.values().filter(|p| p.bits.get(piece.0));
        with.fold((0, 0), |(n, serving), p| (n + 1, serving + usize::from(!p.choked)))
    }

    /// Pieces that are begun and not complete.
    pub fn partial_pieces(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.partial.keys().map(|p| PieceIndex(*p))
    }

    /// The peers that gave the blocks of this piece, which is not verified yet.
    pub fn givers(&self, piece: PieceIndex) -> &[PeerKey] {
        self.partial.get(&piece.0).map_or(&[], |part| &part.givers)
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
                None => self.may_welcome(block),
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

    pub(super) fn tick(&mut self) {
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
        if self.now.since(self.plan_made_at).as_secs_f64() >= TICK_S {
            self.plan_stale = true;
        }
        self.fill_all();
        // What is asked of peers that went quiet is no more than a question whether they are back.
        if !self.is_somebody_coming() && self.peers.values().all(|p| p.snubbed || p.queue.is_empty()) {
            self.ask_anybody();
        }
    }

    /// Nothing is under way though something is wanted: every rule of who should be asked for what has ruled everybody
    /// out. Then whoever has it is asked, for an unlikely source is better than none; the likely ones first.
    pub(super) fn ask_anybody(&mut self) {
        if self.paused {
            return;
        }
        for w in self.plan.iter().take(ANYBODY_PIECES).copied().collect::<Vec<_>>() {
            if self.open_blocks(w.piece) == 0 {
                continue;
            }
            let able = |p: &Peer| p.can_ask(w.piece) && p.queue.is_empty() && !self.holds_back(p, &w);
            let able = self.peers.iter().filter(|(_, p)| able(p));
            let Some(peer) = able.min_by_key(|(_, p)| (p.snubbed, !p.serves(self.now))).map(|(key, _)| *key) else {
                continue;
            };
            if let Some(block) = self.next_open(w.piece) {
                self.ask(peer, block);
            }
            return;
        }
    }

    /// A reader waits, or what is missing is due within moments.
    pub(super) fn is_urgent(&self) -> bool {
        self.plan.first().is_some_and(Wanted::is_urgent)
    }

    pub(super) fn arm(&mut self) {
        if !self.is_wanted_at_all() {
            self.next_tick = Time::NEVER;
            return;
        }
        let every = if self.is_urgent() { URGENT_TICK_S } else { TICK_S };
        self.next_tick = self.next_tick.min(self.now.plus_secs(every));
    }
}
