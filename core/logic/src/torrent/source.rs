//! Sources: hosts that serve ranges of the torrent over HTTP (web seeds, mirrors).
//!
//! A connection to a source, a *lane*, is a peer of the picker that is asked for runs. The driver
//! translates. A request for a run becomes a GET, and its body blocks (`Message::Piece`). "Busy" (503)
//! becomes CHOKE, "ready again" UNCHOKE, the ranges that it has a bitfield. Each block that will not
//! come is a REJECT (416, 503, or a lost connection).
//!
//! A source takes no part in the BitTorrent protocol: no choker, uploads, peer exchange, connection
//! places or address book. It has every piece and does not watch, as a rule, so that viewers spare
//! it like an idle seed. The lanes to one host count as one for blame and bans.

use super::{Admission, Event, Origin, Peer, Torrent};
use crate::picker::{self, Manner};
use crate::{Bits, PeerKey, Time};
use std::net::SocketAddr;
use std::time::Duration;

/// A host that serves ranges, numbered by the driver. Numbers are never reused within one torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostKey(pub u32);

/// A connection to a source.
#[derive(Clone, Debug)]
pub struct Source {
    /// The host, which may have several lanes.
    pub host: HostKey,
    /// How the source came to be known: [`Origin::WebSeed`], [`Origin::Mirror`],
    /// [`Origin::Servent`] or [`Origin::Alternate`].
    pub origin: Origin,
    /// Remote address of the connection.
    pub addr: SocketAddr,
    /// Name of the host and its program, for the status.
    pub server: String,
    /// How the source is asked.
    pub manner: Manner,
    /// Time in which the connection was established, if it is a round trip.
    pub rtt: Option<Duration>,
    /// Pieces that are whole in what the source serves; `None` for all of them.
    pub bits: Option<Bits>,
}

/// The party to which a peer's blocks are ascribed: its host if it is a source, otherwise its
/// address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// Address of the peer.
    pub addr: SocketAddr,
    /// The host, if the peer is a source.
    pub host: Option<HostKey>,
}

impl From<SocketAddr> for Party {
    fn from(addr: SocketAddr) -> Party {
        Party { addr, host: None }
    }
}

impl Torrent {
    /// Adds a connection to a source, which serves at once. It is refused while the host is banned,
    /// while the info dictionary is not known, and if `bits` has another number of pieces.
    pub fn connect_source(&mut self, now: Time, source: &Source) -> Admission {
        self.now = now;
        let peer = Peer::of_source(source, now);
        let Some(pieces) = self.ready().map(|ready| ready.content.layout.pieces()) else { return Admission::Refused };
        let bits = source.bits.clone().unwrap_or_else(|| Bits::full(pieces));
        if bits.len() != pieces || self.book.bans.is_banned(peer.party(), now) {
            return Admission::Refused;
        }
        let suspected = self.book.bans.is_suspect(peer.party(), now);
        let key = self.add_peer(peer);
        self.pick(picker::Input::PeerJoined { peer: key, rtt: source.rtt, manner: source.manner });
        if suspected {
            self.pick(picker::Input::PeerSuspected(key));
        }
        self.pick(picker::Input::PeerHasBits(key, bits));
        self.pick(picker::Input::Unchoked(key));
        self.event(Event::PeerConnected { addr: source.addr });
        Admission::Joined(key)
    }

    /// Returns whether a host is banned, as it sent wrong data.
    pub fn is_host_banned(&self, now: Time, host: HostKey) -> bool {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        self.book.bans.is_banned(Party { addr: nowhere, host: Some(host) }, now)
    }

    /// Returns the connections that speak the BitTorrent protocol: all but those to sources.
    pub(super) fn connections(&self) -> impl Iterator<Item = (&PeerKey, &Peer)> {
        self.peers.iter().filter(|(_, p)| p.source.is_none())
    }

    /// Changes the manner in which a source is asked.
    pub(super) fn source_manner(&mut self, key: PeerKey, manner: Manner) {
        if let Some((_, asked)) = self.peers.get_mut(&key).and_then(|p| p.source.as_mut()) {
            *asked = manner;
            self.pick(picker::Input::PeerManner(key, manner));
        }
    }
}
