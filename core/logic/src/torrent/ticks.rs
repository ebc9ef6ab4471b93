//! Periodic checks.

use super::address_book::Need;
use super::{Disconnect, Output, Peer, Phase, Surroundings, Torrent};
use crate::{PeerKey, choker, picker};
use std::time::Duration;

/// Time between two ticks.
pub const HOUSEKEEPING: Duration = Duration::from_millis(500);
/// Longest silence before a connection counts as dead. BEP 3 expects a keep-alive every two
/// minutes.
const SILENCE: Duration = Duration::from_secs(150);
/// Longest silence of a peer that owes an answer, since a pulled cable sends no RST. It is not
/// shorter, because TCP's own retries revive a repaired line. The other side refuses a new
/// connection as long as it considers the old one alive.
const OWING_SILENCE: Duration = Duration::from_secs(75);
/// Number of serving peers below which more are requested from all sources while a reader is
/// blocked.
const FEW_PEERS: usize = 3;
/// Shortest time between two such requests.
const ASK_EVERY: Duration = Duration::from_secs(15);

impl Torrent {
    pub(super) fn tick(&mut self, surroundings: &Surroundings) {
        self.set_paused(!surroundings.room);
        self.end_silent();
        self.end_old_prefetch();
        self.end_useless();
        self.settle_twins();
        self.turn_over();
        self.fit_windows(surroundings.disk_room_bytes);
        self.tell_choker(&surroundings.sending);
        self.ask_for_more_peers();
        self.exchange_peers();
        self.say_owed_rejects();
        self.tell_leads();
        self.update_slot_index(surroundings.unix_s);
        self.starved_since = self.starved().map(|_| self.starved_since.unwrap_or(self.now));
        self.dial();
    }

    /// Pauses requests while there is no memory for more pieces.
    fn set_paused(&mut self, paused: bool) {
        if paused != self.paused && self.ready().is_some() {
            self.paused = paused;
            self.pick(picker::Input::Paused(paused));
        }
    }

    fn end_silent(&mut self) {
        let now = self.now;
        let dead = |(key, p): &(&PeerKey, &Peer)| {
            // Messages cannot arrive while reading is paused.
            let silent = if p.paused { Duration::ZERO } else { now.since(p.heard) };
            let owes = || self.picker().and_then(|picker| picker.peer(**key)).is_some_and(|figures| figures.snubbed);
            // A source says nothing of its own accord.
            (silent > SILENCE && p.source.is_none()) || (silent > OWING_SILENCE && owes())
        };
        let dead: Vec<PeerKey> = self.peers.iter().filter(dead).map(|(key, _)| *key).collect();
        for key in dead {
            self.disconnect(key, &Disconnect::Closed("was silent for too long".to_owned()));
        }
    }

    /// Reports which peers owe us blocks, since only they can snub us, and which are served. A peer
    /// whose requests are answered as they arrive takes nothing from others, and holds no slot.
    fn tell_choker(&mut self, sending: &[PeerKey]) {
        let now = self.now;
        let picker = match &self.phase {
            Phase::Ready(ready) => Some(&ready.picker),
            Phase::Metadata(_) | Phase::Failed => None,
        };
        for (key, p) in &mut self.peers {
            let figures = picker.and_then(|picker| picker.peer(*key));
            let owes = figures.is_some_and(|figures| figures.outstanding > 0 && !figures.choked);
            self.choker.handle(now, choker::Input::Asked(*key, owes));
            self.choker.handle(now, choker::Input::Served(*key, p.is_served(now, sending.contains(key))));
        }
        self.choke(choker::Input::Timeout);
    }

    /// Requests more peers from all sources if a reader is blocked and few peers serve us.
    fn ask_for_more_peers(&mut self) {
        let serves = |(key, p): &(&PeerKey, &Peer)| {
            let snubbed = self.picker().and_then(|picker| picker.peer(**key)).is_some_and(|f| f.snubbed);
            !p.chokes_us && !snubbed && self.share_of(**key) > 0.0
        };
        let few = self.peers.iter().filter(serves).count() < FEW_PEERS;
        let need = match &self.phase {
            Phase::Ready(ready) if ready.picker.have().is_full() => Need::Nothing,
            Phase::Ready(ready) if few && ready.picker.is_wanted_at_all() => Need::Much,
            Phase::Metadata(_) if self.peers.len() < FEW_PEERS => Need::Much,
            _ => Need::Some,
        };
        self.book.set_need(need);
        let waiting = self.readers.values().any(|r| r.waiting);
        let last = self.asked_for_peers_at.unwrap_or(self.began);
        if few && waiting && self.now.since(last) > ASK_EVERY {
            self.asked_for_peers_at = Some(self.now);
            self.book.hurry(self.now);
            self.do_later(Output::AskForPeers);
        }
    }
}
