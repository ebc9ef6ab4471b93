//! What follows for peers from the pieces that they gave blocks of, also after they have left.

use crate::swarm::driver::{State, Swarm};
use crate::swarm::peer::Verdict as Conduct;
use playswarm_logic::torrent::bans::Cause;
use playswarm_logic::{PeerKey, PieceIndex};
use std::net::SocketAddr;

impl Swarm {
    fn where_is(st: &State, key: PeerKey) -> Option<SocketAddr> {
        st.peers.get(&key).map(|p| p.addr).or_else(|| st.book.bans.where_was(key))
    }

    /// The piece is right: to the credit of those that gave its blocks. To be called before the picker is told.
    pub(super) fn credit(&self, st: &mut State, piece: PieceIndex) {
        let now = self.now();
        let givers = st.picker.as_ref().map(|picker| picker.givers(piece).to_vec()).unwrap_or_default();
        for key in givers {
            if let Some(p) = st.peers.get_mut(&key) {
                p.right = p.right.saturating_add(1);
            }
            if let Some(addr) = Swarm::where_is(st, key) {
                st.book.bans.was_right(addr, now);
            }
        }
    }

    /// The piece is wrong and this peer was one of several that gave its blocks.
    pub(super) fn suspect(&self, st: &mut State, key: PeerKey) {
        if let Some(addr) = Swarm::where_is(st, key) {
            st.book.bans.suspect(addr, self.now());
        }
    }

    /// This peer gave a wrong block: it is sent away, and its subscriber is banned for a while unless that gave many right ones.
    pub(super) fn convict(&self, st: &mut State, key: PeerKey) {
        let Some(addr) = Swarm::where_is(st, key) else { return };
        if !st.book.bans.was_wrong(addr, self.now()) {
            self.part(st, key, Conduct::Drop("sent a wrong block"));
            return;
        }
        self.part(st, key, Conduct::Lied("sent wrong data"));
        // It has left already, perhaps to come back from an address beside.
        self.turn_away(st, addr, Cause::Lie, "sent wrong data");
    }

    /// Bans a subscriber for a while. Where it lied, all that is connected from there and gave nothing right goes too.
    pub(super) fn turn_away(&self, st: &mut State, addr: SocketAddr, cause: Cause, why: &str) {
        let now = self.now();
        if !st.book.bans.ban(addr, cause, now) {
            return;
        }
        tracing::debug!(%addr, why, "banned");
        let _ = self.events.send(crate::status::Event::PeerBanned { addr, why: why.to_owned() });
        if cause != Cause::Lie {
            return;
        }
        let beside = st.peers.iter().filter(|(_, p)| p.right == 0 && st.book.bans.is_banned(p.addr, now));
        for key in beside.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.part(st, key, Conduct::Gone("its address is turned away".to_owned()));
        }
    }
}
