//! One connected peer: what it is, what it said, what it is owed.

use super::conduct::Conduct;
use super::early::Early;
use super::info_giver::InfoGiver;
use super::pex::PexState;
use super::slot_index::Said;
use super::upload_queue::UploadQueue;
use super::{Connection, Origin};
use crate::{PeerKey, Time};
use playswarm_proto::clients::client_name;
use playswarm_proto::extended::ExtendedHandshake;
use playswarm_proto::handshake::{PeerId, Reserved};
use playswarm_proto::pex::flags;
use std::net::SocketAddr;
use std::time::Duration;

/// Most pieces that wait to be withdrawn until a peer's extended handshake comes.
const MAX_WITHDRAWN: usize = 4096;
/// Time for which something must have waited at each look before a peer counts as waiting for our line. A block takes a
/// moment on any line: where a dozen peers request one now and then, many are seen waiting though the line is half empty.
const WAITS_LONG: Duration = Duration::from_millis(900);
/// Time for which a peer that had to wait counts as waiting.
const WAITED_LATELY: Duration = Duration::from_secs(2);

/// A connected peer.
#[derive(Debug)]
pub struct Peer {
    /// Address at which it can be dialled, as far as known.
    pub addr: SocketAddr,
    /// How that address came to be known.
    pub origin: Origin,
    /// Peer id that it claims.
    pub id: PeerId,
    /// Name of its client.
    pub client: String,
    /// Whether the connection runs over uTP.
    pub utp: bool,
    /// Whether it connected to us.
    pub incoming: bool,
    /// Extensions that it speaks.
    pub reserved: Reserved,
    /// Time that the connection took to open.
    pub rtt: Option<Duration>,
    /// Its extended handshake, as of now.
    pub extended: ExtendedHandshake,
    /// Its requests.
    pub uploads: UploadQueue,
    /// Whether it chokes us.
    pub chokes_us: bool,
    /// Whether it is interested in us.
    pub interested: bool,
    /// Bytes of blocks that it gave.
    pub downloaded: u64,
    /// Bytes of blocks that it got.
    pub uploaded: u64,
    /// When something last came from it.
    pub(super) heard: Time,
    /// When it joined.
    pub(super) joined: Time,
    /// When a block last went either way.
    pub(super) traded: Time,
    /// Since when both sides have everything.
    pub(super) redundant_since: Option<Time>,
    /// Whether it has what we lack.
    pub(super) wanted: bool,
    /// Right pieces to which it gave blocks.
    pub(super) right: u32,
    /// An older connection to a peer of the same id.
    pub(super) twin: Option<PeerKey>,
    /// Further addresses at which it answered.
    pub(super) other_addrs: Vec<SocketAddr>,
    /// Whether nothing but a handshake came yet.
    pub(super) silent_so_far: bool,
    /// Whether the address book has it as connected.
    pub(super) booked: bool,
    pub(super) pex: PexState,
    /// What it said of its pieces before their number was known.
    pub(super) early: Early,
    /// Pieces to withdraw once its extended handshake says whether it takes DONT HAVE.
    withdrawn: Vec<u32>,
    /// What it said of its place in the film.
    pub(super) said: Option<Said>,
    /// Whether it was told our place in the film.
    pub(super) greeted: bool,
    pub(super) giver: InfoGiver,
    pub(super) conduct: Conduct,
    waits: Waits,
    /// Whether reading from it pauses until fewer of its requests are unanswered.
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

    /// Notes that a piece is not here any more.
    pub(super) fn withdraw(&mut self, piece: u32) {
        self.withdrawn.push(piece);
    }

    /// Returns the number under which it takes DONT HAVE (BEP 54) and the pieces that can be withdrawn now.
    pub(super) fn take_withdrawn(&mut self) -> Option<(u8, Vec<u32>)> {
        if let Some(id) = self.extended.dont_have_id() {
            return (!self.withdrawn.is_empty()).then(|| (id, std::mem::take(&mut self.withdrawn)));
        }
        if self.withdrawn.len() > MAX_WITHDRAWN || self.extended != ExtendedHandshake::default() {
            self.withdrawn.clear();
        }
        None
    }

    /// Returns whether its requests are answered as they come. To be asked now and then. `sending`: whether a block is
    /// being written to it.
    pub(super) fn is_served(&mut self, now: Time, sending: bool) -> bool {
        let waits = sending || !self.uploads.is_empty();
        self.waits.look(now, waits)
    }

    /// Returns whether reading should go on, and notes that it does.
    pub(super) fn resumes(&mut self) -> bool {
        let resumes = self.paused && self.uploads.is_shallow();
        self.paused &= !resumes;
        resumes
    }

    /// Returns what peer exchange tells others of it. `complete`: whether it requests nothing.
    pub(super) fn pex_flags(&self, complete: bool) -> u8 {
        let flag = |holds: bool, flag: u8| if holds { flag } else { 0 };
        flag(complete, flags::SEED) | flag(self.utp, flags::UTP) | flag(!self.incoming, flags::REACHABLE)
    }
}

/// Whether a peer waits for our line, from looks at it now and then.
#[derive(Debug, Default)]
struct Waits {
    since: Option<Time>,
    long_at: Option<Time>,
}

impl Waits {
    /// Notes whether something waits for the peer now. Returns whether the peer is served as it asks.
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
        // Two looks in three by chance, as on a line that is used well.
        let by_chance: Vec<bool> = (0..=30).map(|n| look(n * 500, n % 3 != 0)).collect();
        assert!(by_chance.iter().all(|served| *served));
        let all_the_time: Vec<bool> = (31..35).map(|n| look(n * 500, true)).collect();
        assert_eq!(all_the_time, [true, true, false, false]);
        let afterwards: Vec<bool> = (35..41).map(|n| look(n * 500, false)).collect();
        assert_eq!(afterwards, [false, false, false, false, true, true]);
    }
}
