//! Consequences for peers of the pieces to which they contributed, also after they have left.

use super::bans::Cause;
use super::source::Party;
use super::{Disconnect, Event, Torrent};
use crate::{PeerKey, PieceIndex, picker};

impl Torrent {
    fn party_of(&self, key: PeerKey) -> Option<Party> {
        self.peers.get(&key).map(super::Peer::party).or_else(|| self.book.bans.who_was(key))
    }

    /// Returns one of the givers if there is only one, or if all are connections to one host.
    pub(super) fn are_one(&self, givers: &[PeerKey]) -> Option<PeerKey> {
        let (first, others) = givers.split_first()?;
        let host = self.party_of(*first).and_then(|party| party.host);
        let same = |key: &PeerKey| host.is_some() && self.party_of(*key).and_then(|party| party.host) == host;
        others.iter().all(same).then_some(*first)
    }

    /// Credits a right piece to the peers that sent its blocks. Call it before the picker learns of
    /// the piece.
    pub(super) fn credit(&mut self, piece: PieceIndex) {
        let givers = self.picker().map(|picker| picker.givers(piece).to_vec()).unwrap_or_default();
        let mut hosts = Vec::new();
        for key in givers {
            if let Some(p) = self.peers.get_mut(&key) {
                p.right = p.right.saturating_add(1);
            }
            let Some(party) = self.party_of(key) else { continue };
            if party.host.is_none_or(|host| !hosts.contains(&host)) {
                self.book.bans.was_right(party, self.now);
            }
            hosts.extend(party.host);
        }
    }

    /// Suspects a peer that sent some blocks of a wrong piece.
    pub(super) fn suspect(&mut self, key: PeerKey) {
        let Some(party) = self.party_of(key) else { return };
        self.book.bans.suspect(party, self.now);
        // The other connections to a host would send the same.
        let lanes = self.peers.iter().filter(|(_, p)| p.source.is_some() && p.party().host == party.host);
        for lane in lanes.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.pick(picker::Input::PeerSuspected(lane));
        }
    }

    /// Disconnects a peer that sent a wrong block. Its subscriber is banned for a while unless it
    /// sent many right ones.
    pub(super) fn convict(&mut self, key: PeerKey) {
        let Some(party) = self.party_of(key) else { return };
        if !self.book.bans.was_wrong(party, self.now) {
            self.disconnect(key, &Disconnect::Kicked("sent a wrong block"));
            return;
        }
        self.disconnect(key, &Disconnect::Lied("sent wrong data"));
        // A peer that has left may return from a neighbouring address.
        self.turn_away(party, Cause::Lie, "sent wrong data");
    }

    /// Bans a subscriber or a host for a while. If it sent wrong data, its other connections close
    /// too: of a subscriber those that sent nothing right, as several users may share its address.
    pub(super) fn turn_away(&mut self, party: Party, cause: Cause, why: &str) {
        let now = self.now;
        if !self.book.bans.ban(party, cause, now) {
            return;
        }
        self.event(Event::PeerBanned { addr: party.addr, why: why.to_owned() });
        if cause != Cause::Lie {
            return;
        }
        let bans = &self.book.bans;
        let innocent = |p: &super::Peer| p.right > 0 && p.source.is_none();
        let beside = self.peers.iter().filter(|(_, p)| !innocent(p) && bans.is_banned(p.party(), now));
        for key in beside.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.disconnect(key, &Disconnect::Closed("its address is banned".to_owned()));
        }
    }
}
