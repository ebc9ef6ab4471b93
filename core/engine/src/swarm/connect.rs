//! Peers come and go: dialled, taken in, made known to the machines, sent away.

use crate::status::Event;
use crate::swarm::driver::{Content, State, Swarm};
use crate::swarm::handshake::HandshakeError;
use crate::swarm::link::Link;
use crate::swarm::peer::{Peer, Verdict as Conduct};
use crate::swarm::transport::{ConnectError, Manner};
use crate::swarm::turnover::Twin;
use playswarm_logic::choker;
use playswarm_logic::metadata as logic_metadata;
use playswarm_logic::picker::Input;
use playswarm_logic::slots::Dialled;
use playswarm_logic::torrent::Origin;
use playswarm_logic::torrent::address_book::{Dial, End};
use playswarm_logic::torrent::bans::Cause;
use playswarm_logic::torrent::greeting::FirstWords;
use playswarm_logic::torrent::places::Room;
use playswarm_logic::{PeerKey, PieceIndex, Time};
use playswarm_proto::extended::ExtendedHandshake;
use playswarm_proto::fast;
use playswarm_proto::handshake::Reserved;
use playswarm_proto::wire::Message;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

impl Swarm {
    pub(super) fn first_words(&self) -> FirstWords {
        let content = self.content.get();
        let have = content.map(|c| c.store.told());
        let pex = self.config.pex && !content.is_some_and(|c| c.torrent.private);
        let incomplete = have.as_ref().is_none_or(|h| !h.is_full());
        let metadata = content.map(|c| c.torrent.info.len() as u32);
        let port = Some(self.transport.listen_addr().port()).filter(|p| *p != 0);
        FirstWords {
            reserved: Reserved::ours(self.config.dht),
            extended: ExtendedHandshake::ours(metadata, port, pex, self.has_slots(), !incomplete),
            have,
            interested: incomplete,
        }
    }

    /// Dials what the book has to offer.
    pub(super) fn dial(self: &Arc<Self>) {
        if self.cancel.is_cancelled() {
            return;
        }
        let due = {
            let mut st = self.state.lock();
            let room = self.room_for_dials(&st);
            st.book.dial(self.now(), room)
        };
        if due.is_empty() {
            return;
        }
        self.tell_dials();
        for dial in due {
            let swarm = self.clone();
            self.runtime.spawn(async move {
                swarm.connect(dial).await;
                swarm.tell_dials();
            });
        }
    }

    /// The picker hears how many are being dialled.
    fn tell_dials(&self) {
        let mut st = self.state.lock();
        let dialling = st.book.dialling();
        self.pick_with(&mut st, Input::Dialled(dialling));
    }

    /// Carries out a dial of the book's, and says how it ended.
    pub(super) async fn connect(self: &Arc<Self>, dial: Dial) -> Dialled {
        let Dial { addr, origin, patient } = dial;
        let manner = Manner { patient, ..Manner::default() };
        let words = || self.first_words();
        let dialled = tokio::select! {
            () = self.cancel.cancelled() => return Dialled::NotTried,
            r = self.transport.connect(addr, self.info_hash, &words, manner) => r,
        };
        match dialled {
            Ok(link) => self.adopt(link, addr, origin).map_or(Dialled::NotTried, Dialled::Connected),
            Err(ConnectError::Handshake(HandshakeError::Ourselves)) => {
                self.state.lock().book.is_us(addr);
                Dialled::Ourselves
            }
            Err(e) => {
                tracing::debug!(%addr, "cannot connect: {e}");
                self.state.lock().book.ended(addr, self.now(), End::Failed);
                Dialled::Failed
            }
        }
    }

    /// Takes a connection in. `addr`: where that peer can be dialled, as far as we know. Gives the peer that it belongs to,
    /// one that was here before too; `None` where it is not wanted.
    pub(super) fn adopt(self: &Arc<Self>, link: Link, addr: SocketAddr, origin: Origin) -> Option<PeerKey> {
        if self.cancel.is_cancelled() {
            return None;
        }
        let now = self.now();
        let mut st = self.state.lock();
        let twin = match self.twin(&mut st, &link) {
            Twin::None => None,
            Twin::Beside(key) => Some(key),
            Twin::Refused(key) => {
                tracing::debug!(%addr, "it is connected already");
                if !link.incoming && !self.answers_at(&mut st, key, addr, origin) {
                    st.book.ended(addr, now, End::Fault);
                }
                return Some(key);
            }
        };
        if st.book.bans.is_banned(addr, now) || !self.make_room(&mut st, &link, origin) {
            tracing::debug!(%addr, "not taken in");
            if !link.incoming {
                st.book.ended(addr, now, End::Failed);
            }
            return None;
        }
        let key = PeerKey(st.next_peer);
        st.next_peer += 1;
        if !link.incoming {
            st.book.connected(addr, origin);
        }
        let mut link = link;
        let told = link.told.take();
        let (mut peer, tasks) = Peer::new(link, addr, origin, now, &self.cancel);
        peer.twin = twin;
        st.peers.insert(key, peer);
        st.lonely_since = None;
        self.choke_with(&mut st, choker::Input::Joined(key));
        if st.picker.is_some() {
            self.join(&mut st, key, now);
            self.tell_changes(&mut st, key, told.as_ref());
        }
        drop(st);
        let _ = self.events.send(Event::PeerConnected { addr });
        tasks.spawn(self.clone(), key);
        self.arm();
        Some(key)
    }

    /// Finds a place for a new connection, if need be that of a less useful one.
    fn make_room(&self, st: &mut State, link: &Link, origin: Origin) -> bool {
        match origin {
            // Viewers that hold what we need next find a place beyond those that we fill ourselves.
            Origin::Slots => st.peers.len() < self.config.max_peers + self.config.slots.max_parents,
            _ if link.incoming => match self.room_for(st, link.remote.ip()) {
                Room::Free => true,
                Room::Instead(key) => {
                    self.part(st, key, Conduct::Gone("its place is for another".to_owned()));
                    true
                }
                Room::None => false,
            },
            _ => self.room_for_dials(st) > 0,
        }
    }

    /// A peer and the picker get to know each other.
    pub(super) fn join(&self, st: &mut State, key: PeerKey, now: Time) {
        let Some(content) = self.content.get() else { return };
        let pieces = content.torrent.layout.pieces();
        let Some(p) = st.peers.get_mut(&key) else { return };
        let (rtt, fast, max_requests) = (p.rtt, p.reserved.fast(), p.extended.reqq.unwrap_or(250));
        let forgotten = p.early.is_forgotten();
        let has = p.take_early(pieces);
        let (unchoked, views) = (!p.chokes_us, p.said.is_some());
        let suspected = st.book.bans.is_suspect(p.addr, now);
        if let Some(picker) = &mut st.picker {
            picker.handle(now, Input::PeerJoined { peer: key, rtt, max_requests, fast });
            match has {
                Some(bits) if bits.count() == 0 => {}
                Some(bits) => picker.handle(now, Input::PeerHasBits(key, bits)),
                None => {
                    self.part(st, key, Conduct::Ban("sent a bitfield of the wrong size"));
                    return;
                }
            }
            if forgotten {
                // A new connection begins with its pieces.
                self.part(st, key, Conduct::Gone("what it said of its pieces was forgotten".to_owned()));
                return;
            }
            if suspected {
                picker.handle(now, Input::PeerSuspected(key));
            }
            if views {
                picker.handle(now, Input::PeerViews(key));
            }
            if unchoked {
                picker.handle(now, Input::Unchoked(key));
            }
        }
        self.drain_picker(st);
        self.allow_fast(st, key, now, content);
    }

    /// Tells a newcomer which pieces it may ask for while it is choked (BEP 6).
    fn allow_fast(&self, st: &mut State, key: PeerKey, now: Time, content: &Content) {
        let pieces = content.torrent.layout.pieces();
        let have = content.store.told();
        let State { peers, fast_grants, .. } = st;
        let Some(p) = peers.get_mut(&key).filter(|p| p.reserved.fast()) else { return };
        if p.share() >= 1.0 {
            return;
        }
        let allowed: Vec<u32> = fast::allowed_fast(p.addr.ip(), &self.info_hash, pieces, fast::ALLOWED_FAST);
        // A request for a missing piece would only be refused.
        let here = allowed.into_iter().filter(|piece| have.get(*piece));
        let sized = here.map(|piece| (piece, content.torrent.layout.bytes_of(PieceIndex(piece))));
        let granted = fast_grants.grant(now, p.addr.ip(), sized);
        p.uploads.allow_fast(granted.iter().copied());
        granted.into_iter().for_each(|(piece, _)| p.say(Message::AllowedFast(piece)));
    }

    /// Ends a connection.
    pub(super) fn part(&self, st: &mut State, key: PeerKey, why: Conduct) {
        let Some(peer) = st.peers.remove(&key) else { return };
        peer.cancel.cancel();
        let now = self.now();
        let banned = matches!(why, Conduct::Ban(_) | Conduct::Lied(_));
        let cause = if matches!(why, Conduct::Lied(_)) { Cause::Lie } else { Cause::Protocol };
        let end = match &why {
            Conduct::Gone(_) if peer.redundant_since.is_some() => End::BothComplete,
            Conduct::Gone(_) if peer.downloaded > 0 => End::Helped,
            Conduct::Gone(_) => End::Failed,
            Conduct::Redundant => End::BothComplete,
            Conduct::Drop(_) | Conduct::Ban(_) | Conduct::Lied(_) => End::Fault,
        };
        if peer.downloaded > 0 {
            st.book.bans.left(key, peer.addr);
        }
        if peer.booked {
            if !peer.incoming && peer.silent_so_far && matches!(why, Conduct::Gone(_)) {
                st.book.was_curt(peer.addr);
            }
            st.book.ended(peer.addr, now, end);
        }
        peer.other_addrs.iter().for_each(|addr| st.book.ended(*addr, now, end));
        let addr = peer.addr;
        let why = match why {
            Conduct::Ban(why) | Conduct::Lied(why) | Conduct::Drop(why) => why.to_owned(),
            Conduct::Redundant => "both have all".to_owned(),
            Conduct::Gone(why) => why,
        };
        if !banned {
            tracing::debug!(%addr, client = peer.client, why, "gone");
            let _ = self.events.send(Event::PeerDisconnected { addr, why: why.clone() });
        }
        if st.peers.is_empty() {
            st.lonely_since = Some(Instant::now());
        }
        self.pick_with(st, Input::PeerLeft(key));
        self.choke_with(st, choker::Input::Left(key));
        self.metadata_with(st, logic_metadata::Input::Left(key));
        self.viewer_left(st, key, banned);
        if banned {
            self.turn_away(st, addr, cause, &why);
        }
    }
}
