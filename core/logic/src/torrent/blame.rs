//! Consequences for peers of the pieces to which they contributed, also after they have left.

use super::bans::Cause;
use super::{Disconnect, Event, Torrent};
use crate::{PeerKey, PieceIndex};
use std::net::SocketAddr;

impl Torrent {
    fn address_of(&self, key: PeerKey) -> Option<SocketAddr> {
        self.peers.get(&key).map(|p| p.addr).or_else(|| self.book.bans.where_was(key))
    }

    /// Credits a right piece to the peers that sent its blocks. Call it before the picker learns of
    /// the piece.
    pub(super) fn credit(&mut self, piece: PieceIndex) {
        let givers = self.picker().map(|picker| picker.givers(piece).to_vec()).unwrap_or_default();
        for key in givers {
            if let Some(p) = self.peers.get_mut(&key) {
                p.right = p.right.saturating_add(1);
            }
            if let Some(addr) = self.address_of(key) {
                self.book.bans.was_right(addr, self.now);
            }
        }
    }

    /// Suspects a peer that sent some blocks of a wrong piece.
    pub(super) fn suspect(&mut self, key: PeerKey) {
        if let Some(addr) = self.address_of(key) {
            self.book.bans.suspect(addr, self.now);
        }
    }

    /// Disconnects a peer that sent a wrong block. Its subscriber is banned for a while unless it
    /// sent many right ones.
    pub(super) fn convict(&mut self, key: PeerKey) {
        let Some(addr) = self.address_of(key) else { return };
        if !self.book.bans.was_wrong(addr, self.now) {
            self.disconnect(key, &Disconnect::Kicked("sent a wrong block"));
            return;
        }
        self.disconnect(key, &Disconnect::Lied("sent wrong data"));
        // A peer that has left may return from a neighbouring address.
        self.turn_away(addr, Cause::Lie, "sent wrong data");
    }

    /// Bans a subscriber for a while. If it sent wrong data, its other connections that sent
    /// nothing right close too.
    pub(super) fn turn_away(&mut self, addr: SocketAddr, cause: Cause, why: &str) {
        let now = self.now;
        if !self.book.bans.ban(addr, cause, now) {
            return;
        }
        self.event(Event::PeerBanned { addr, why: why.to_owned() });
        if cause != Cause::Lie {
            return;
        }
        let bans = &self.book.bans;
        let beside = self.peers.iter().filter(|(_, p)| p.right == 0 && bans.is_banned(p.addr, now));
        for key in beside.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.disconnect(key, &Disconnect::Closed("its address is banned".to_owned()));
        }
    }
}
