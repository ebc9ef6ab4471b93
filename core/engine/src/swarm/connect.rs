//! Peers come and go: dialled, taken in, made known to the machines, sent away.

use crate::discovery::Origin;
use crate::status::Event;
use crate::swarm::book::Dial;
use crate::swarm::driver::{Content, State, Swarm};
use crate::swarm::extended::ExtendedHandshake;
use crate::swarm::fast;
use crate::swarm::handshake::{FirstWords, HandshakeError, Reserved};
use crate::swarm::link::Link;
use crate::swarm::peer::{Peer, Verdict as Conduct};
use crate::swarm::transport::{ConnectError, Manner};
use crate::swarm::wire::Message;
use playswarm_logic::choker;
use playswarm_logic::metadata as logic_metadata;
use playswarm_logic::picker::Input;
use playswarm_logic::slots::Dialled;
use playswarm_logic::{PeerKey, PieceIndex, Time};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Two that dial each other at once notice it within so long.
const CROSSING: Duration = Duration::from_secs(5);

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
            let room = self.config.max_peers.saturating_sub(st.peers.len());
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
                self.state.lock().book.ended(addr, self.now(), false);
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
        let mut twin = st.peers.iter().find(|(_, p)| p.id == link.peer_id).map(|(key, _)| *key);
        if let Some(key) = twin
            && st.peers.get(&key).is_some_and(|p| self.crossed(p, &link))
        {
            self.part(&mut st, key, Conduct::Gone("it dialled us while we dialled it".to_owned()));
            twin = None;
        }
        // Who comes to us, and viewers that hold what we need next, find a place beyond those that we fill ourselves.
        let beyond = match origin {
            Origin::Slots => self.config.slots.max_parents,
            _ if link.incoming => self.config.max_peers / 4,
            _ => 0,
        };
        let full = st.peers.len() >= self.config.max_peers + beyond;
        if twin.is_some() || full || st.book.is_banned(addr) {
            tracing::debug!(%addr, twin = twin.is_some(), full, "not taken in");
            if !link.incoming {
                // A twin is here already by another way: later attempts would end like this one.
                st.book.ended(addr, now, true);
            }
            return twin;
        }
        let key = PeerKey(st.next_peer);
        st.next_peer += 1;
        if !link.incoming {
            st.book.connected(addr, origin);
        }
        let mut link = link;
        let told = link.told.take();
        let (peer, tasks) = Peer::new(link, addr, origin, now, &self.cancel);
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

    /// Whether two of ours dialled each other at once and this new link is the one that both keep: that of the one with
    /// the smaller id. Other clients' rules are not known, so there the first link stays.
    pub(super) fn crossed(&self, old: &Peer, new: &Link) -> bool {
        let ours = self.transport.peer_id().0;
        old.incoming != new.incoming
            && old.heard.elapsed() < CROSSING
            && old.downloaded == 0
            && new.peer_id.0.starts_with(&ours[..4])
            && new.incoming == (new.peer_id.0 < ours)
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
        let banned = matches!(why, Conduct::Ban(_));
        let fault = !matches!(why, Conduct::Gone(_)) || peer.downloaded == 0;
        if peer.booked {
            if !peer.incoming && peer.silent_so_far && matches!(why, Conduct::Gone(_)) {
                st.book.was_curt(peer.addr);
            }
            st.book.ended(peer.addr, now, fault);
        }
        match why {
            Conduct::Ban(why) => {
                tracing::debug!(addr = %peer.addr, client = peer.client, why, "banned");
                st.book.ban(peer.addr);
                let _ = self.events.send(Event::PeerBanned { addr: peer.addr, why: why.to_owned() });
            }
            Conduct::Drop(why) => {
                tracing::debug!(addr = %peer.addr, client = peer.client, why, "dropped");
                let _ = self.events.send(Event::PeerDisconnected { addr: peer.addr, why: why.to_owned() });
            }
            Conduct::Gone(why) => {
                tracing::debug!(addr = %peer.addr, why, "gone");
                let _ = self.events.send(Event::PeerDisconnected { addr: peer.addr, why });
            }
        }
        if st.peers.is_empty() {
            st.lonely_since = Some(Instant::now());
        }
        self.pick_with(st, Input::PeerLeft(key));
        self.choke_with(st, choker::Input::Left(key));
        self.metadata_with(st, logic_metadata::Input::Left(key));
        self.viewer_left(st, key, banned);
    }
}
