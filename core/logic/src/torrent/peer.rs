//! One connected peer: its properties, its messages and its requests.

use super::conduct::Conduct;
use super::early::Early;
use super::info_giver::InfoGiver;
use super::pex::PexState;
use super::slot_index::Said;
use super::source::{HostKey, Party};
use super::upload_queue::UploadQueue;
use super::{Connection, Origin, Source};
use crate::picker::{DEFAULT_REQUESTS, Manner};
use crate::{PeerKey, Time};
use playswarm_proto::clients::client_name;
use playswarm_proto::extended::ExtendedHandshake;
use playswarm_proto::handshake::{PeerId, Reserved};
use playswarm_proto::pex::flags;
use std::net::SocketAddr;
use std::time::Duration;

/// Most pieces to withdraw that are held until a peer's extended handshake arrives.
const MAX_WITHDRAWN: usize = 4096;
/// Time for which the peer's data must have waited at each look before the peer counts as waiting
/// for our line. A block takes a moment on any line. If a dozen peers request one now and then,
/// many appear to wait although the line is half empty.
const WAITS_LONG: Duration = Duration::from_millis(900);
/// Time for which a peer that had to wait still counts as waiting.
const WAITED_LATELY: Duration = Duration::from_secs(2);

/// A connected peer, or a connection to a source.
#[derive(Debug)]
pub struct Peer {
    /// Address at which the peer can be dialled, if known.
    pub addr: SocketAddr,
    /// Source of that address.
    pub origin: Origin,
    /// Peer id that the peer claims.
    pub id: PeerId,
    /// Name of the peer's client.
    pub client: String,
    /// Whether the connection runs over uTP.
    pub utp: bool,
    /// Whether the peer opened the connection.
    pub incoming: bool,
    /// Extensions that the peer supports.
    pub reserved: Reserved,
    /// Time in which the connection was established.
    pub rtt: Option<Duration>,
    /// The host and the manner in which it is asked, if this is no BitTorrent peer but a source that
    /// serves ranges over HTTP.
    pub source: Option<(HostKey, Manner)>,
    /// Extended handshake of the peer, with later changes.
    pub extended: ExtendedHandshake,
    /// Requests of the peer.
    pub uploads: UploadQueue,
    /// Whether the peer chokes us.
    pub chokes_us: bool,
    /// Whether the peer is interested in us.
    pub interested: bool,
    /// Bytes of blocks received from the peer.
    pub downloaded: u64,
    /// Bytes of blocks sent to the peer.
    pub uploaded: u64,
    /// Time of the last message from the peer.
    pub(super) heard: Time,
    /// Time at which the peer joined.
    pub(super) joined: Time,
    /// Time of the last block in either direction.
    pub(super) traded: Time,
    /// Time since which both sides have every piece.
    pub(super) redundant_since: Option<Time>,
    /// Whether the peer has pieces that we lack.
    pub(super) wanted: bool,
    /// Number of right pieces to which the peer contributed.
    pub(super) right: u32,
    /// An older connection to a peer with the same id.
    pub(super) twin: Option<PeerKey>,
    /// Further addresses at which the peer answered.
    pub(super) other_addrs: Vec<SocketAddr>,
    /// Whether only the handshake has arrived so far.
    pub(super) silent_so_far: bool,
    /// Whether the address book lists the peer as connected.
    pub(super) booked: bool,
    pub(super) pex: PexState,
    /// Piece announcements that arrived before the number of pieces was known.
    pub(super) early: Early,
    /// Pieces to withdraw once the peer's extended handshake shows whether it supports DONT HAVE.
    withdrawn: Vec<u32>,
    /// The peer's report of its position in the film.
    pub(super) said: Option<Said>,
    /// Whether our position in the film was sent to the peer.
    pub(super) greeted: bool,
    pub(super) giver: InfoGiver,
    pub(super) conduct: Conduct,
    waits: Waits,
    /// Whether reading is paused until fewer of the peer's requests are unanswered.
    pub(super) paused: bool,
}

impl Peer {
    pub(super) fn new(connection: &Connection, twin: Option<PeerKey>, now: Time) -> Peer {
        Peer {
            addr: connection.addr,
            origin: connection.origin,
            client: client_name(&connection.peer_id.0),
            id: connection.peer_id,
            utp: connection.utp,
            incoming: connection.incoming,
            reserved: connection.reserved,
            rtt: connection.rtt,
            source: None,
            extended: ExtendedHandshake::default(),
            uploads: UploadQueue::new(now, connection.reserved.fast()),
            chokes_us: true,
            interested: false,
            downloaded: 0,
            uploaded: 0,
            heard: now,
            joined: now,
            traded: now,
            redundant_since: None,
            wanted: true,
            right: 0,
            twin,
            other_addrs: Vec::new(),
            silent_so_far: true,
            booked: !connection.incoming,
            pex: PexState::default(),
            early: Early::default(),
            withdrawn: Vec::new(),
            said: None,
            greeted: false,
            giver: InfoGiver::default(),
            conduct: Conduct::default(),
            waits: Waits::default(),
            paused: false,
        }
    }

    /// Returns the record of a connection to a source. It has nothing of the BitTorrent protocol.
    pub(super) fn of_source(source: &Source, now: Time) -> Peer {
        let connection = Connection {
            addr: source.addr,
            origin: source.origin,
            remote: source.addr,
            peer_id: PeerId([0; 20]),
            reserved: Reserved(0),
            incoming: false,
            utp: false,
            rtt: source.rtt,
            told: None,
        };
        Peer {
            client: source.server.clone(),
            source: Some((source.host, source.manner)),
            chokes_us: false,
            booked: false,
            ..Peer::new(&connection, None, now)
        }
    }

    /// Returns the manner in which the peer is asked for data.
    pub(super) fn manner(&self) -> Manner {
        match self.source {
            Some((_, manner)) => manner,
            None => {
                Manner::Blocks { requests: self.extended.reqq.unwrap_or(DEFAULT_REQUESTS), fast: self.reserved.fast() }
            }
        }
    }

    /// Returns whether the peer rejects requests that it will not answer (BEP 6), as sources do.
    pub(super) fn rejects(&self) -> bool {
        self.source.is_some() || self.reserved.fast()
    }

    /// Returns the party to which its blocks are ascribed.
    pub(super) fn party(&self) -> Party {
        Party { addr: self.addr, host: self.source.map(|(host, _)| host) }
    }

    /// Notes that a piece was lost.
    pub(super) fn withdraw(&mut self, piece: u32) {
        self.withdrawn.push(piece);
    }

    /// Returns the peer's message number for DONT HAVE (BEP 54) and the pieces that can be
    /// withdrawn now.
    pub(super) fn take_withdrawn(&mut self) -> Option<(u8, Vec<u32>)> {
        if let Some(id) = self.extended.dont_have_id() {
            return (!self.withdrawn.is_empty()).then(|| (id, std::mem::take(&mut self.withdrawn)));
        }
        if self.withdrawn.len() > MAX_WITHDRAWN || self.extended != ExtendedHandshake::default() {
            self.withdrawn.clear();
        }
        None
    }

    /// Returns whether the peer's requests are answered without waiting. Call this periodically.
    /// `sending` tells whether a block is being written to the peer.
    pub(super) fn is_served(&mut self, now: Time, sending: bool) -> bool {
        let waits = sending || !self.uploads.is_empty();
        self.waits.look(now, waits)
    }

    /// Returns whether to resume reading, and notes that it resumes.
    pub(super) fn resumes(&mut self) -> bool {
        let resumes = self.paused && self.uploads.is_shallow();
        self.paused &= !resumes;
        resumes
    }

    /// Returns the flags of the peer for peer exchange. `complete` tells whether it requests
    /// nothing.
    pub(super) fn pex_flags(&self, complete: bool) -> u8 {
        let flag = |holds: bool, flag: u8| if holds { flag } else { 0 };
        flag(complete, flags::SEED) | flag(self.utp, flags::UTP) | flag(!self.incoming, flags::REACHABLE)
    }
}

/// A record of periodic looks, which tells whether a peer waits for our line.
#[derive(Debug, Default)]
struct Waits {
    since: Option<Time>,
    long_at: Option<Time>,
}

impl Waits {
    /// Notes whether data waits for the peer now. Returns whether the peer is served without
    /// waiting.
    fn look(&mut self, now: Time, something: bool) -> bool {
        self.since = something.then(|| self.since.unwrap_or(now));
        if self.since.is_some_and(|since| now.since(since) >= WAITS_LONG) {
            self.long_at = Some(now);
        }
        self.long_at.is_none_or(|at| now.since(at) > WAITED_LATELY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_waits_for_our_line_if_something_waits_for_it_at_each_look() {
        let mut waits = Waits::default();
        let mut look = |ms: u64, something| waits.look(Time(ms * 1000), something);
        // Data waits by chance at two looks in three, as on a well used line.
        let by_chance: Vec<bool> = (0..=30).map(|n| look(n * 500, n % 3 != 0)).collect();
        assert!(by_chance.iter().all(|served| *served));
        let all_the_time: Vec<bool> = (31..35).map(|n| look(n * 500, true)).collect();
        assert_eq!(all_the_time, [true, true, false, false]);
        let afterwards: Vec<bool> = (35..41).map(|n| look(n * 500, false)).collect();
        assert_eq!(afterwards, [false, false, false, false, true, true]);
    }
}
