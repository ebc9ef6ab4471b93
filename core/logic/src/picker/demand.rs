//! Demand: the wanted pieces, in their order.
//!
//! [`Demand::order`] is the one order: pieces on which readers are blocked, pieces due soon, seek
//! targets, pieces due later. Beyond that list, within the readers' windows, pieces are taken
//! rarest first. The list reaches [`Config::horizon_bytes`](super::Config::horizon_bytes) ahead of
//! each reader, or twice its full read-ahead where that is more.

use super::Picker;
use super::reader::Reader;
use super::tuning::{LONG_S, PRIOR_READ_RATE, SOON_S, URGENT_S};
use crate::{Bits, BlockRef, PeerKey, PieceIndex, Time};
use std::cmp::Ordering;

/// Number of random pieces that are compared to find a rare one. With 32, the result is among the
/// rarest tenth in 97 of 100 cases, at a cost that does not grow with the torrent. If a peer has no
/// more useful pieces, all of them are compared.
const SAMPLES: u32 = 32;
/// Number of consecutive pieces that are checked if sampling finds none, as nearly all are stored.
const SCAN: u32 = 512;
/// Number of first demands that decide whether a peer, or any peer, has a wanted piece.
const FIRST_DEMANDS: usize = 8;

/// The reason for which a piece is wanted, in the order of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// A reader waits for it now.
    Blocking,
    /// A reader will reach it.
    Due,
    /// It is a seek target. Only while the read-ahead of every reader is full.
    Target,
    /// A reader will reach it, after more than a full read-ahead.
    Later,
}

/// A missing piece that is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    pub(super) piece: u32,
    pub(super) class: Class,
    /// Seconds until its first reader stalls without it.
    pub(super) due_s: f64,
    /// Seconds until it is shown, which is later if the player buffers; zero if unknown.
    pub(super) shown_s: f64,
    /// Time by which its holders can deliver all open blocks of it and before it (see `supply`).
    pub(super) cutoff: Time,
}

impl Demand {
    /// Returns the sort key of the order in which pieces are wanted.
    fn order(&self, other: &Demand) -> Ordering {
        let by_class = self.class.cmp(&other.class);
        by_class.then(self.due_s.total_cmp(&other.due_s)).then(self.piece.cmp(&other.piece))
    }

    /// Returns whether its reader is blocked on it.
    pub(super) fn is_blocking(&self) -> bool {
        self.class == Class::Blocking
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.due_s < URGENT_S
    }

    /// Whether a peer with the shorter horizon may be asked for it.
    pub(super) fn is_within_horizon(&self) -> bool {
        self.class == Class::Target || self.shown_s <= LONG_S
    }
}

impl Picker {
    /// Makes the list anew where something changed it.
    pub(super) fn refresh_demand(&mut self) {
        if self.demand_stale {
            self.make_demand();
        }
    }

    pub(super) fn make_demand(&mut self) {
        self.demand_stale = false;
        self.demand_made_at = self.now;
        self.open_from = 0;
        let first = self.demand.first().map(|w| w.piece);
        self.demand.clear();
        self.read_ahead_full = true;
        for key in self.readers.keys().copied().collect::<Vec<_>>() {
            self.add_reader_demand(key);
        }
        if self.read_ahead_full {
            self.add_targets();
        }
        self.demand.sort_by(Demand::order);
        if self.demand.len() > 1 && (self.readers.len() > 1 || self.read_ahead_full) {
            let mut seen = Bits::new(self.layout.pieces());
            self.demand.retain(|w| seen.set(w.piece, true));
        }
        self.within_horizon = self.demand.iter().rposition(Demand::is_within_horizon).map_or(0, |last| last + 1);
        if self.demand.first().map(|w| w.piece) != first {
            self.progress_at = self.now;
        }
        self.make_supply();
    }

    /// Adds the missing pieces ahead of a reader, up to its horizon.
    fn add_reader_demand(&mut self, key: crate::ReaderKey) {
        let (layout, now, config) = (self.layout, self.now, &self.config);
        let Some(r) = self.readers.get_mut(&key).filter(|r| r.position < r.end) else { return };
        let last = layout.piece_at(r.end - 1).0;
        r.ready_to = r.ready_to.max(layout.piece_at(r.position).0);
        while r.ready_to <= last && self.have.get(r.ready_to) {
            r.ready_to += 1;
        }
        let ready = layout.start_of(PieceIndex(r.ready_to)).min(r.end).saturating_sub(r.position);
        let full = config.read_ahead_bytes_at(r.rate());
        let fetch_end = r.fetch_end();
        if ready < full.min(fetch_end.saturating_sub(r.position)) {
            self.read_ahead_full = false;
        }
        let buffer_s = r.player_buffer_s(now);
        let known = r.rate().is_some();
        let rate = r.rate().unwrap_or(PRIOR_READ_RATE).max(1.0);
        let horizon = config.horizon_bytes.max(2 * full);
        let stop = (r.position + ready).saturating_add(horizon).min(fetch_end);
        for piece in (r.ready_to..=last).take_while(|piece| layout.start_of(PieceIndex(*piece)) < stop) {
            if self.have.get(piece) {
                continue;
            }
            let ahead = layout.start_of(PieceIndex(piece)).saturating_sub(r.position);
            let due_s = ahead as f64 / rate;
            let blocking = piece == r.ready_to && r.is_blocked(now, due_s);
            let (class, due_s) = if blocking { (Class::Blocking, 0.0) } else { (Class::Due, due_s) };
            let shown_s = if known { due_s + buffer_s } else { 0.0 };
            self.demand.push(Demand { piece, class, due_s, shown_s, cutoff: Time::NEVER });
        }
    }

    /// Adds the seek targets if every read-ahead is full. They come before pieces that are due more
    /// than [`SOON_S`] later.
    fn add_targets(&mut self) {
        let near_s = self.config.read_ahead_s + SOON_S;
        for w in self.demand.iter_mut().filter(|w| w.due_s > near_s) {
            w.class = Class::Later;
        }
        if self.rule.is_some() {
            return;
        }
        for r in self.readers.values() {
            let here = self.layout.piece_at(r.position).0;
            let ahead = r.targets.iter().filter(|at| **at < r.fetch_end()).map(|at| self.layout.piece_at(*at).0);
            for piece in ahead.filter(|piece| *piece > here && !self.have.get(*piece)) {
                let (class, shown_s) = (Class::Target, f64::INFINITY);
                self.demand.push(Demand { piece, class, due_s: near_s, shown_s, cutoff: Time::NEVER });
            }
        }
    }

    /// Returns whether a reader is blocked, or a missing piece is due within moments.
    pub(super) fn is_urgent(&self) -> bool {
        self.demand.first().is_some_and(Demand::is_urgent)
    }

    /// Returns the first demand if a reader is blocked on it.
    pub(super) fn blocking(&self) -> Option<&Demand> {
        self.demand.first().filter(|w| w.is_blocking())
    }

    pub(super) fn open_blocks(&self, piece: u32) -> u32 {
        match self.partial.get(&piece) {
            Some(part) => part.open,
            None if self.have.get(piece) => 0,
            None => self.layout.blocks_of(PieceIndex(piece)),
        }
    }

    /// Skips the first demands without an open block.
    pub(super) fn skip_requested(&mut self) {
        while self.demand.get(self.open_from).is_some_and(|w| self.open_blocks(w.piece) == 0) {
            self.open_from += 1;
        }
    }

    /// Returns the first open block of a piece, which must have one.
    pub(super) fn next_open(&mut self, piece: u32) -> Option<BlockRef> {
        let block = match self.partial.get_mut(&piece) {
            Some(part) => part.next_open()?,
            None => 0,
        };
        Some(BlockRef { piece: PieceIndex(piece), block })
    }

    /// Returns a block from beyond the list, rarest piece first for the swarm's sake. Only while
    /// every read-ahead is full, or for a peer without other wanted pieces.
    pub(super) fn pick_rarest(&mut self, peer: PeerKey) -> Option<BlockRef> {
        let p = self.peers.get(&peer)?;
        if p.snubbed || self.has_horizon(p) {
            return None;
        }
        let idle = || !self.demand.iter().take(FIRST_DEMANDS).any(|w| p.can_ask(w.piece)) && p.queue.len() < 2;
        // A super-seeding seed shows further pieces only once the shown ones have spread. If no
        // peer may be asked for the first demands, every piece is wanted, also behind the readers.
        let any = self.is_nothing_available();
        let in_order = self.rule.as_ref().is_none_or(|rule| rule.in_order_s().is_infinite());
        if !self.read_ahead_full && in_order && !any && !idle() {
            return None;
        }
        // An incomplete piece is completed before another is begun.
        let begun = self
            .partial
            .iter()
            .find(|(n, part)| part.open > 0 && self.may_take(peer, p, **n) && (any || self.is_ahead(**n)));
        let begun = begun.map(|(n, _)| *n);
        if let Some(piece) = begun.filter(|piece| self.reserve(*piece, usize::MAX)) {
            return self.next_open(piece);
        }
        let piece = self.rarest(peer, any)?;
        if self.reserve(piece, usize::MAX) { self.next_open(piece) } else { None }
    }

    /// Returns whether a reader may still want this piece.
    fn is_ahead(&self, piece: u32) -> bool {
        let start = self.layout.start_of(PieceIndex(piece));
        let end = start + u64::from(self.layout.bytes_of(PieceIndex(piece)));
        self.fetch_all || self.readers.values().any(|r| end > r.position && start < r.fetch_end())
    }

    fn is_nothing_available(&self) -> bool {
        let available = |piece| self.peers.values().any(|p| p.serves(self.now) && p.can_ask(piece));
        !self.demand.is_empty() && !self.demand.iter().take(FIRST_DEMANDS).any(|w| available(w.piece))
    }

    fn is_wanted(&self, peer: PeerKey, piece: u32, any: bool) -> bool {
        !self.have.get(piece)
            && !self.partial.contains_key(&piece)
            && self.peers.get(&peer).is_some_and(|p| p.can_ask(piece))
            && (any || self.is_ahead(piece))
    }

    fn rarest(&mut self, peer: PeerKey, any: bool) -> Option<u32> {
        let p = self.peers.get(&peer)?;
        if p.useful <= SAMPLES {
            let wanted = p.bits.beyond(&self.have).filter(|piece| self.is_wanted(peer, *piece, any));
            return wanted.min_by_key(|piece| self.availability.of(*piece));
        }
        let (first, last) = if any { (0, self.layout.pieces() - 1) } else { self.span_ahead()? };
        let width = last - first + 1;
        let mut best: Option<(i32, u32)> = None;
        for _ in 0..SAMPLES {
            let piece = first + self.rng.below(width);
            if self.is_wanted(peer, piece, any) {
                let rarity = self.availability.of(piece);
                if best.is_none_or(|(r, _)| rarity < r) {
                    best = Some((rarity, piece));
                }
            }
        }
        if let Some((_, piece)) = best {
            return Some(piece);
        }
        for _ in 0..SCAN.min(width) {
            let next = self.rarest_cursor + 1;
            self.rarest_cursor = if next <= first || next > last { first } else { next };
            if self.is_wanted(peer, self.rarest_cursor, any) {
                return Some(self.rarest_cursor);
            }
        }
        None
    }

    /// Returns the pieces from the rearmost reader to the foremost end.
    fn span_ahead(&self) -> Option<(u32, u32)> {
        if self.fetch_all {
            return Some((0, self.layout.pieces() - 1));
        }
        let first = self.readers.values().filter(|r| r.position < r.end).map(|r| r.position).min()?;
        let end = self.readers.values().map(Reader::fetch_end).max()?;
        let last = self.layout.piece_at(end.max(first + 1) - 1).0;
        Some((self.layout.piece_at(first).0, last))
    }
}
