//! Decides which block is requested from which peer, and when. docs/adr/0016-picker.md has the
//! rules on one page.
//!
//! Three ideas carry all decisions: *demand* (the order of missing pieces), *supply* (what each
//! peer can deliver, and when) and *price* (a request is made where its gain is at least its
//! price). `peer` is the model of one peer, `memory` bounds the pieces that are begun, `integrity`
//! deals with pieces that failed their hash.

mod api;
mod availability;
mod blocks;
mod demand;
mod integrity;
mod invariants;
mod memory;
mod peer;
mod peers;
mod piece;
mod price;
mod reader;
mod requests;
mod runs;
mod supply;
#[cfg(test)]
mod tests;
mod tuning;

pub(crate) use api::DEFAULT_REQUESTS;
pub use api::{Config, Counters, Input, Manner, Output, PeerFigures, Pointers, Rule, Share};

use crate::buffering::Arrival;
use crate::rng::Rng;
use crate::{Bits, BlockRef, Layout, PeerKey, PieceIndex, ReaderKey, Time};
use availability::Availability;
use demand::Demand;
use peer::Peer;
use piece::Partial;
use price::Latest;
use reader::Reader;
use std::collections::{BTreeMap, VecDeque};
use supply::Supply;
use tuning::{PATIENCE_S, PRIOR_RATE, TICK_S};

/// Interval between two checks for duplicates while a piece is urgent, in seconds.
const URGENT_TICK_S: f64 = TICK_S / 10.0;
/// Most outstanding requests at a peer, whatever it accepts: 64 MiB.
const MAX_REQUESTS: u32 = 4096;
/// Most allowed fast pieces that are accepted from a peer. BEP 6 proposes ten.
const MAX_ALLOWED: usize = 64;

/// The picker; see the [module](self).
#[derive(Debug)]
pub struct Picker {
    layout: Layout,
    config: Config,
    have: Bits,
    peers: BTreeMap<PeerKey, Peer>,
    readers: BTreeMap<ReaderKey, Reader>,
    partial: BTreeMap<u32, Partial>,
    /// Pieces whose last blocks are known, each with the first of these.
    known_tails: BTreeMap<u32, u32>,
    partial_bytes: u64,
    /// Number of outstanding requests at all peers.
    outstanding: usize,
    availability: Availability,
    /// The missing pieces ahead of the readers, in the order in which they are wanted.
    demand: Vec<Demand>,
    /// No entry of the demand before this one has an open block.
    open_from: usize,
    /// No entry of the demand from this one on is within the horizon of a peer that has one.
    within_horizon: usize,
    demand_stale: bool,
    demand_made_at: Time,
    supply: Supply,
    /// Replaces gain and price, for comparisons.
    rule: Option<Box<dyn Rule>>,
    /// Whether every reader's read-ahead is full.
    read_ahead_full: bool,
    fetch_all: bool,
    paused: bool,
    /// Avoids repeated checks for duplicates while nothing changes.
    latest: Option<Latest>,
    /// Bytes that arrive per second, and the time of the last update.
    line_rate: f64,
    line_rate_at: Time,
    /// Rate of arrival while a read-ahead is not full.
    arrival: Arrival,
    /// Times of the duplicates that were sent in the last [`PATIENCE_S`].
    duplicates: VecDeque<Time>,
    /// Time of the last progress of the first demand: a block of it arrived, it became the first,
    /// the first peer that has it joined, or its first block was requested.
    progress_at: Time,
    /// Number of peers being dialled, and the time until which they are worth waiting for.
    dialled: usize,
    dialled_until: Time,
    /// Rate of an unmeasured peer: the median of the measured ones, as last seen.
    prior: f64,
    rng: Rng,
    rarest_cursor: u32,
    out: VecDeque<Output>,
    counters: Counters,
    next_tick: Time,
    now: Time,
}

impl Picker {
    /// Creates a picker. The pieces in `have` are verified already.
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
            demand: Vec::new(),
            open_from: 0,
            within_horizon: 0,
            demand_stale: true,
            demand_made_at: Time::ZERO,
            supply: Supply::default(),
            rule: None,
            read_ahead_full: false,
            fetch_all: false,
            paused: false,
            latest: None,
            line_rate: 0.0,
            line_rate_at: Time::ZERO,
            arrival: Arrival::default(),
            duplicates: VecDeque::new(),
            progress_at: Time::ZERO,
            dialled: 0,
            dialled_until: Time::ZERO,
            prior: PRIOR_RATE,
            rarest_cursor: 0,
            out: VecDeque::new(),
            counters: Counters::default(),
            next_tick: Time::NEVER,
            now: Time::ZERO,
        }
    }

    /// Replaces gain and price by a rule: no duplicates, no seek targets, no horizons. For
    /// comparisons in the simulator.
    #[must_use]
    pub fn with_rule(mut self, rule: Box<dyn Rule>) -> Picker {
        self.rule = Some(rule);
        self
    }

    /// Handles an input. [`Picker::poll`] returns the resulting actions.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        while self.duplicates.front().is_some_and(|at| self.now.since(*at).as_secs_f64() > PATIENCE_S) {
            self.duplicates.pop_front();
        }
        match input {
            Input::PeerJoined { peer, rtt, manner } => self.peer_joined(peer, rtt, manner),
            Input::PeerManner(peer, manner) => self.peer_manner(peer, manner),
            Input::Dialled(peers) => self.dialled(peers),
            Input::PeerLeft(peer) => self.peer_left(peer),
            Input::KnownTails(tails) => {
                self.known_tails = tails.into_iter().map(|(piece, from)| (piece.0, from)).collect();
            }
            Input::PeerHasBits(peer, bits) => self.peer_has_bits(peer, &bits),
            Input::PeerHas(peer, piece) => self.peer_has(peer, piece),
            Input::PeerLacks(peer, piece) => self.peer_lacks(peer, piece),
            Input::Choked(peer) => self.choked(peer),
            Input::Unchoked(peer) => self.unchoked(peer),
            Input::AllowedFast(peer, piece) => self.allowed_fast(peer, piece),
            Input::Rejected(peer, block) => self.rejected(peer, block),
            Input::Block(peer, block) => self.block(peer, block),
            Input::Unkept(peer, block) => self.unkept(peer, block),
            Input::PeerViews(peer) => self.peer_views(peer),
            Input::PeerSuspected(peer) => {
                if let Some(p) = self.peers.get_mut(&peer) {
                    p.suspected = true;
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
                self.reader_opened(reader, start, Reader::new(self.now, position, end, window, bytes_per_s));
            }
            Input::ReaderLimits { reader, end, window } => self.reader_limits(reader, end, window),
            Input::ReaderSeekTargets(reader, places) => self.reader_targets(reader, places),
            Input::ReaderRead(reader, position) => self.reader_read(reader, position),
            Input::ReaderSought(reader, position) => self.reader_sought(reader, position),
            Input::ReaderBlocked(reader, waits) => self.reader_waits(reader, waits),
            Input::ReaderBuffer(reader, seconds) => self.reader_buffer(reader, seconds),
            Input::ReaderRate(reader, rate) => self.set_reader_rate(reader, rate),
            Input::ReaderClosed(reader) => self.reader_closed(reader),
            Input::FetchAll(on) => self.set_fetch_all(on),
            Input::Paused(on) => self.set_paused(on),
            Input::Timeout => self.tick(),
        }
        self.arm();
    }

    /// Returns the next action; `None` once all are taken.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Returns when [`Input::Timeout`] is due, if ever. An earlier one is harmless.
    pub fn next_timeout(&self) -> Time {
        self.next_tick
    }

    /// Returns the counters.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns the verified pieces.
    pub fn have(&self) -> &Bits {
        &self.have
    }

    /// Returns the measurements of a peer; `None` if there is no such peer.
    pub fn peer(&self, peer: PeerKey) -> Option<PeerFigures> {
        self.peers.get(&peer).map(|p| p.figures(self.prior))
    }

    /// Returns the pieces that a peer has; `None` if there is no such peer.
    pub fn bits(&self, peer: PeerKey) -> Option<&Bits> {
        self.peers.get(&peer).map(|p| &p.bits)
    }

    /// Returns the number of peers that have this piece, and how many of them permit requests for
    /// it.
    pub fn piece_holders(&self, piece: PieceIndex) -> (usize, usize) {
        let with = self.peers.values().filter(|p| p.bits.get(piece.0));
        with.fold((0, 0), |(n, serving), p| (n + 1, serving + usize::from(!p.choked)))
    }

    /// Returns the incomplete pieces.
    pub fn partial_pieces(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.partial.keys().map(|p| PieceIndex(*p))
    }

    /// Returns the peers that sent the blocks of this piece, which is not verified yet.
    pub fn givers(&self, piece: PieceIndex) -> &[PeerKey] {
        self.partial.get(&piece.0).map_or(&[], |part| &part.givers)
    }

    /// Returns a reader's rate in bytes per second, given or measured.
    pub fn reader_rate(&self, reader: ReaderKey) -> Option<f64> {
        self.readers.get(&reader).and_then(Reader::rate)
    }

    /// Returns the rate at which data arrives while readers want it, in bytes per second. `None` until
    /// it was measured.
    pub fn arrival_bytes_per_s(&self, now: Time) -> Option<f64> {
        self.arrival.bytes_per_s(now)
    }

    /// Returns the pointers of a reader's buffer; `None` if there is no such reader.
    pub fn pointers(&self, reader: ReaderKey) -> Option<Pointers> {
        let r = self.readers.get(&reader)?;
        let here = self.layout.bytes_here(&self.have, r.position, r.end.saturating_sub(r.position));
        Some(Pointers { offset: r.position, end_of_data: r.position + here, end_of_buffer: r.fetch_end() })
    }

    /// Returns whether the bytes of this block would be useful.
    pub fn wants(&self, block: BlockRef) -> bool {
        self.layout.block_bytes(block) > 0
            && !self.have.get(block.piece.0)
            && match self.partial.get(&block.piece.0) {
                Some(part) => !part.blocks[block.block as usize].got,
                None => self.has_room_for(block),
            }
    }

    /// Returns whether to keep the bytes of this block from this peer: they were requested from it
    /// and are useful.
    pub fn accepts(&self, peer: PeerKey, block: BlockRef) -> bool {
        self.wants(block)
            && self
                .peers
                .get(&peer)
                .is_some_and(|p| p.queue.iter().any(|a| a.block == block) || p.stale.iter().any(|g| g.block == block))
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
            .filter(|(_, p)| p.owes() && p.quiet_s(self.now, self.prior) > p.patience_s(least, self.prior))
            .map(|(key, _)| *key)
            .collect();
        for key in quiet {
            if let Some(p) = self.peers.get_mut(&key) {
                p.snub(self.now);
                self.counters.timeouts += p.queue.iter().filter(|ask| !ask.withdrawn).count() as u64;
                self.release(key, |_| true);
            }
        }
        if self.now.since(self.demand_made_at).as_secs_f64() >= TICK_S {
            self.demand_stale = true;
        }
        self.fill_all();
        // Requests to snubbed peers only test whether they answer again.
        if self.peers.values().all(|p| p.snubbed || p.queue.is_empty()) {
            self.request_anything();
        }
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
