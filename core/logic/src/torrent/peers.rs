//! The life of a peer: dialling, admission, joining the picker, disconnection.

use super::address_book::{Dial, End, Finding};
use super::bans::Cause;
use super::greeting::Greeting;
use super::places::Room;
use super::turnover::Twin;
use super::{Admission, Connection, Disconnect, Event, Origin, Output, Peer, Phase, Torrent};
use crate::slots::Dialled;
use crate::{Bits, PeerKey, PieceIndex, Time, choker, metadata, picker, slots};
use playswarm_proto::extended::ExtendedHandshake;
use playswarm_proto::fast;
use playswarm_proto::handshake::Reserved;
use playswarm_proto::wire::Message;
use std::net::SocketAddr;

impl Torrent {
    /// Returns the first messages for a new connection.
    pub fn greeting(&self) -> Greeting {
        let ready = self.ready();
        let have = ready.map(|ready| ready.told.clone());
        let incomplete = have.as_ref().is_none_or(|have| !have.is_full());
        let metadata = ready.map(|ready| ready.content.info.len() as u32);
        let port = Some(self.config.listen.port()).filter(|port| *port != 0);
        let pex = self.config.pex && !self.is_private();
        Greeting {
            reserved: Reserved::ours(self.config.dht),
            extended: ExtendedHandshake::ours(metadata, port, pex, self.has_slots(), !incomplete),
            have,
            interested: incomplete,
            more: Vec::new(),
        }
    }

    /// Returns whether a connection from `remote` may be accepted.
    pub fn admits(&self, now: Time, remote: SocketAddr) -> bool {
        !self.book.bans.is_banned(remote, now) && self.room_for(now, remote.ip()) != Room::None
    }

    /// Notes the statements of untrusted sources about addresses.
    pub(super) fn found(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            self.book.take(self.now, finding);
        }
        self.dial();
    }

    /// Adds addresses that the user or the link named.
    pub(super) fn given(&mut self, addrs: Vec<SocketAddr>) {
        for addr in addrs {
            self.book.add(self.now, addr, Origin::Given);
        }
        self.dial();
    }

    /// Dials the addresses that the address book returns.
    pub(super) fn dial(&mut self) {
        if matches!(self.phase, Phase::Failed) {
            return;
        }
        let room = self.room_for_dials();
        let due = self.book.dial(self.now, room);
        if !due.is_empty() {
            self.outputs.extend(due.into_iter().map(Output::Dial));
            self.dials_changed();
        }
    }

    /// Reports the number of dials in progress to the picker.
    fn dials_changed(&mut self) {
        self.pick(picker::Input::Dialled(self.book.dialling()));
    }

    pub(super) fn dial_failed(&mut self, dial: Dial, ourselves: bool) {
        if ourselves {
            self.book.is_us(dial.addr);
        } else {
            self.book.ended(dial.addr, self.now, End::Failed);
        }
        self.slot_dial_ended(dial.addr, if ourselves { Dialled::Ourselves } else { Dialled::Failed });
        self.dials_changed();
        self.dial();
    }

    /// Reports the result of a dial that the slot index requested.
    pub(super) fn slot_dial_ended(&mut self, addr: SocketAddr, how: Dialled) {
        if self.slot_dials.remove(&addr) {
            self.tell_slots(slots::Input::Dialled(addr, how));
        }
    }

    /// Accepts or refuses a new connection.
    pub fn connect(&mut self, now: Time, connection: &Connection) -> Admission {
        self.now = now;
        let admission = self.take_in(connection);
        if !connection.incoming {
            let how = match admission {
                Admission::Joined(key) | Admission::Known(key) => Dialled::Connected(key),
                Admission::Refused => Dialled::NotTried,
            };
            self.slot_dial_ended(connection.addr, how);
            self.dials_changed();
        }
        admission
    }

    fn take_in(&mut self, connection: &Connection) -> Admission {
        let Connection { addr, origin, incoming, .. } = *connection;
        let twin = match self.twin(connection) {
            Twin::None => None,
            Twin::Beside(key) => Some(key),
            Twin::Refused(key) => {
                if !incoming && !self.answers_at(key, addr, origin) {
                    self.book.ended(addr, self.now, End::Fault);
                }
                return Admission::Known(key);
            }
        };
        if self.book.bans.is_banned(addr, self.now) || !self.make_room(connection) {
            if !incoming {
                self.book.ended(addr, self.now, End::Failed);
            }
            return Admission::Refused;
        }
        if !incoming {
            self.book.connected(self.now, addr, origin);
        }
        let key = self.add_peer(Peer::new(connection, twin, self.now));
        self.choke(choker::Input::Joined(key));
        self.join(key);
        self.tell_changes(key, connection.told.as_ref());
        self.event(Event::PeerConnected { addr });
        Admission::Joined(key)
    }

    /// Adds a peer under a new key.
    pub(super) fn add_peer(&mut self, peer: Peer) -> PeerKey {
        let key = PeerKey(self.next_peer);
        self.next_peer += 1;
        self.peers.insert(key, peer);
        self.lonely_since = None;
        key
    }

    /// Finds a place for a new connection, if necessary that of a less useful one.
    fn make_room(&mut self, connection: &Connection) -> bool {
        match connection.origin {
            // Viewers that hold the next pieces get places beyond the general limit on dials.
            Origin::Slots => self.peers.len() < self.config.max_peers + self.config.slots.max_parents,
            _ if connection.incoming => match self.room_for(self.now, connection.remote.ip()) {
                Room::Free => true,
                Room::Instead(key) => {
                    self.give_place_of(key);
                    true
                }
                Room::None => false,
            },
            _ => self.room_for_dials() > 0,
        }
    }

    /// Closes a connection to give its place to another.
    pub(super) fn give_place_of(&mut self, key: PeerKey) {
        self.disconnect(key, &Disconnect::Closed("its connection place went to another peer".to_owned()));
    }

    /// Adds a peer to the picker, once the info dictionary is known.
    pub(super) fn join(&mut self, key: PeerKey) {
        let Some(pieces) = self.ready().map(|ready| ready.content.layout.pieces()) else { return };
        let now = self.now;
        let Some(p) = self.peers.get_mut(&key) else { return };
        let (rtt, manner) = (p.rtt, p.manner());
        let forgotten = p.early.is_forgotten();
        let bits = std::mem::take(&mut p.early).take(pieces);
        let (unchoked, views) = (!p.chokes_us, p.said.is_some());
        let suspected = self.book.bans.is_suspect(p.party(), now);
        let Some(bits) = bits else {
            self.disconnect(key, &Disconnect::Banned("sent a bitfield of the wrong size"));
            return;
        };
        if forgotten {
            // A new connection begins with the peer's pieces.
            self.disconnect(key, &Disconnect::Closed("its early messages about pieces were dropped".to_owned()));
            return;
        }
        let Phase::Ready(ready) = &mut self.phase else { return };
        let picker = &mut ready.picker;
        picker.handle(now, picker::Input::PeerJoined { peer: key, rtt, manner });
        if bits.count() > 0 {
            picker.handle(now, picker::Input::PeerHasBits(key, bits));
        }
        if suspected {
            picker.handle(now, picker::Input::PeerSuspected(key));
        }
        if views {
            picker.handle(now, picker::Input::PeerViews(key));
        }
        if unchoked {
            picker.handle(now, picker::Input::Unchoked(key));
        }
        self.drain_picker();
        self.allow_fast(key);
    }

    /// Sends a new peer the pieces that it may request while it is choked (BEP 6).
    fn allow_fast(&mut self, key: PeerKey) {
        let Phase::Ready(ready) = &self.phase else { return };
        let Some(p) = self.peers.get_mut(&key).filter(|p| p.reserved.fast()) else { return };
        if ready.picker.bits(key).is_some_and(Bits::is_full) {
            return;
        }
        let layout = ready.content.layout;
        let ip = p.addr.ip();
        let allowed = fast::allowed_fast(ip, &self.config.info_hash, layout.pieces(), fast::ALLOWED_FAST);
        // A request for a missing piece would only be rejected.
        let here = allowed.into_iter().filter(|piece| ready.told.get(*piece));
        let sized = here.map(|piece| (piece, layout.bytes_of(PieceIndex(piece))));
        let granted = self.fast_grants.grant(self.now, ip, sized);
        p.uploads.allow_fast(granted.iter().copied());
        for (piece, _) in granted {
            self.say(key, Message::AllowedFast(piece));
        }
    }

    /// Closes a connection and updates all state that depends on it.
    pub(super) fn disconnect(&mut self, key: PeerKey, why: &Disconnect) {
        let Some(peer) = self.peers.remove(&key) else { return };
        self.do_later(Output::Disconnect(key));
        let now = self.now;
        let end = match why {
            Disconnect::Closed(_) if peer.redundant_since.is_some() => End::BothComplete,
            Disconnect::Closed(_) if peer.downloaded > 0 => End::Helped,
            Disconnect::Closed(_) => End::Failed,
            Disconnect::Redundant => End::BothComplete,
            Disconnect::Kicked(_) | Disconnect::Banned(_) | Disconnect::Lied(_) => End::Fault,
        };
        if peer.downloaded > 0 {
            self.book.bans.left(key, peer.party());
        }
        if peer.booked {
            if !peer.incoming && peer.silent_so_far && matches!(why, Disconnect::Closed(_)) {
                self.book.was_curt(peer.addr);
            }
            self.book.ended(peer.addr, now, end);
        }
        peer.other_addrs.iter().for_each(|addr| self.book.ended(*addr, now, end));
        let ban = match why {
            Disconnect::Banned(_) => Some(Cause::Protocol),
            Disconnect::Lied(_) => Some(Cause::Lie),
            Disconnect::Closed(_) | Disconnect::Kicked(_) | Disconnect::Redundant => None,
        };
        let why = match why {
            Disconnect::Banned(why) | Disconnect::Lied(why) | Disconnect::Kicked(why) => (*why).to_owned(),
            Disconnect::Redundant => "both have all".to_owned(),
            Disconnect::Closed(why) => why.clone(),
        };
        if ban.is_none() {
            self.event(Event::PeerDisconnected { addr: peer.addr, why: why.clone() });
        }
        if self.peers.is_empty() {
            self.lonely_since = Some(now);
        }
        self.pick(picker::Input::PeerLeft(key));
        self.choke(choker::Input::Left(key));
        self.fetch_metadata(metadata::Input::Left(key));
        self.viewer_left(key, ban.is_some());
        if let Some(cause) = ban {
            self.turn_away(peer.party(), cause, &why);
        }
    }

    /// Returns the addresses of useful peers, for a program that resumes this torrent.
    pub fn worthy_peers(&self) -> Vec<SocketAddr> {
        self.book.worthy()
    }

    /// Restricts the torrent to peers from its trackers (BEP 27). After a magnet link, other peers
    /// may have connected before that was known: they are disconnected.
    pub(super) fn make_private(&mut self) {
        self.do_later(Output::MakePrivate);
        self.book.make_private();
        let others: Vec<PeerKey> = self
            .connections()
            .filter(|(_, p)| !self.book.is_named_for_private(p.addr, p.incoming))
            .map(|(key, _)| *key)
            .collect();
        for key in others {
            let why = "the torrent is private, and no tracker named this peer".to_owned();
            self.disconnect(key, &Disconnect::Closed(why));
        }
        // The handshake had offered PEX.
        let taken_back = ExtendedHandshake { ut_pex: Some(0), ps_slot: Some(0), ..ExtendedHandshake::default() };
        self.say_to_all_extended(&taken_back);
    }

    /// Sends an extended handshake that changes an earlier one.
    pub(super) fn say_to_all_extended(&mut self, said: &ExtendedHandshake) {
        let payload = said.encode();
        let speaks = |(key, p): (&PeerKey, &Peer)| p.reserved.extended().then_some(*key);
        let outputs = self.peers.iter().filter_map(speaks);
        let send = |key| Output::Send(key, Message::Extended { id: 0, payload: payload.clone() });
        self.outputs.extend(outputs.map(send));
    }

    /// Returns whether a peer requests nothing more: it has every piece, or all that it wants (BEP
    /// 21).
    pub(super) fn peer_is_complete(&self, key: PeerKey) -> bool {
        let says_so = self.peers.get(&key).is_some_and(|p| p.extended.upload_only == Some(true));
        says_so
            || self.picker().and_then(|picker| picker.bits(key)).is_some_and(|bits| !bits.is_empty() && bits.is_full())
    }

    /// Returns the share of the pieces that a peer has, 0 to 1.
    pub fn share_of(&self, key: PeerKey) -> f64 {
        let bits = self.picker().and_then(|picker| picker.bits(key)).filter(|bits| !bits.is_empty());
        bits.map_or(0.0, |bits| f64::from(bits.count()) / f64::from(bits.len()))
    }

    /// Returns the connected peers.
    pub fn peers(&self) -> impl Iterator<Item = (PeerKey, &Peer)> {
        self.peers.iter().map(|(key, p)| (*key, p))
    }
}
