//! Judges when a peer has done enough harm to be disconnected or banned.
//!
//! Pure: the driver reports, this module judges. Wrong data is judged where pieces are verified,
//! because only there are the senders of a bad piece's blocks known.

use super::api::Disconnect;
use crate::Time;
use playswarm_proto::extended::ours;
use playswarm_proto::wire::{Message, WireError};
use std::time::Duration;

/// Score at which a peer is disconnected.
const LIMIT: f64 = 100.0;
/// Points forgotten per second. Accidents of honest clients are rare enough to fade.
const FORGOTTEN_PER_S: f64 = 0.5;
/// Interval over which messages are counted.
const STRETCH: Duration = Duration::from_secs(1);
/// Most HAVE and DONT HAVE messages a second, beyond one for each piece. A client may announce all
/// its pieces again after a recheck. With limited storage it gives up a piece for each one that it
/// fetches.
const MAX_HAVES: u32 = 10_000;
/// Most changes of CHOKE and INTERESTED a second, beyond two for each piece. A leech that keeps up
/// with a seed loses interest with each piece it gets, and regains it with the next HAVE: libtorrent
/// does so 150 times a second while the seed still verifies its files.
const MAX_FLIPS: u32 = 50;
/// Most requests, cancels and rejects a second: 2.5 GiB/s of blocks.
const MAX_REQUESTS: u32 = 160_000;
/// Most extended, unknown and other messages a second.
const MAX_OTHERS: u32 = 1_000;
/// Most messages from a peer that announce all its pieces at once. One is usual. A client that
/// learns the metadata late sends another.
const MAX_AT_ONCE: u32 = 4;
/// Share of time for which the messages of one peer may occupy the swarm.
const TOLL_SHARE: f64 = 0.02;
/// Time for which a peer may occupy it at once, seconds, as its first messages do.
const TOLL_CREDIT_S: f64 = 0.05;
/// Longest pause in reading from a peer that exceeded its share, seconds. Keep-alives and cancels
/// still arrive in time.
const MAX_REST_S: f64 = 2.0;

/// An offence of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// Bytes that are no valid message, a bitfield of the wrong size or at the wrong time, or
    /// invalid bencode.
    Malformed,
    /// A message longer than any valid one.
    TooLong,
    /// Far more messages of one kind in a second than are plausible, with the reason.
    Flood(&'static str),
    /// A request outside of the torrent, or longer than a block may be.
    BadRequest,
    /// A request for a piece that we lack.
    RequestForMissing,
    /// A request long after a choke, for a piece that is not allowed fast.
    RequestWhileChoked,
    /// A block that was not requested.
    UnaskedBlock,
    /// An extension message that came too often or was invalid.
    Extension,
    /// A FAST message from a peer that did not offer FAST, or an index beyond the last piece.
    OutOfPlace,
}

impl Offence {
    fn points(self) -> f64 {
        match self {
            Offence::Malformed | Offence::TooLong | Offence::Flood(_) => LIMIT,
            Offence::BadRequest | Offence::OutOfPlace => 10.0,
            Offence::Extension => 5.0,
            // Honest clients may answer a few requests long after they were cancelled.
            Offence::UnaskedBlock => 1.0,
            Offence::RequestForMissing => 2.0,
            Offence::RequestWhileChoked => 0.5,
        }
    }

    /// Returns the reason, as a status shows it.
    pub fn why(self) -> &'static str {
        match self {
            Offence::Malformed => "sent a malformed message",
            Offence::TooLong => "sent a message that is too long",
            Offence::Flood(why) => why,
            Offence::BadRequest => "requested blocks that do not exist",
            Offence::RequestForMissing => "requested pieces that we do not have",
            Offence::RequestWhileChoked => "kept requesting while choked",
            Offence::UnaskedBlock => "sent blocks that were not requested",
            Offence::Extension => "misused an extension",
            Offence::OutOfPlace => "sent messages that are not allowed in this state",
        }
    }
}

/// A record of the offences on one connection.
#[derive(Debug, Default)]
pub struct Conduct {
    points: f64,
    judged_at: Time,
    stretch_from: Time,
    haves: u32,
    flips: u32,
    requests: u32,
    others: u32,
    at_once: u32,
}

impl Conduct {
    /// Records an offence.
    ///
    /// # Errors
    /// The reason to disconnect the peer.
    pub fn note(&mut self, now: Time, offence: Offence) -> Result<(), Disconnect> {
        let faded = now.since(self.judged_at).as_secs_f64() * FORGOTTEN_PER_S;
        self.points = (self.points - faded).max(0.0) + offence.points();
        self.judged_at = now;
        match offence {
            _ if self.points < LIMIT => Ok(()),
            // These do not happen by accident, and a new connection would repeat them.
            Offence::Malformed | Offence::Flood(_) | Offence::UnaskedBlock => Err(Disconnect::Banned(offence.why())),
            _ => Err(Disconnect::Kicked(offence.why())),
        }
    }

    /// Counts a message, of a torrent with `pieces` pieces, to detect floods. The cost is a few
    /// additions.
    ///
    /// # Errors
    /// As [`Conduct::note`].
    pub fn message(&mut self, now: Time, message: &Message, pieces: u32) -> Result<(), Disconnect> {
        if now.since(self.stretch_from) >= STRETCH {
            (self.stretch_from, self.haves, self.flips, self.requests, self.others) = (now, 0, 0, 0, 0);
        }
        let (count, most, why) = match message {
            // Blocks arrive at line rate. The picker counts those that were not requested.
            Message::Piece { .. } => return Ok(()),
            // A viewer with limited storage sends both for each piece that it plays.
            Message::Have(_) | Message::Extended { id: ours::LT_DONTHAVE, .. } => {
                (&mut self.haves, MAX_HAVES.saturating_add(pieces), "flooded us with HAVE messages")
            }
            Message::Choke | Message::Unchoke | Message::Interested | Message::NotInterested => (
                &mut self.flips,
                MAX_FLIPS.saturating_add(pieces.saturating_mul(2)),
                "flooded us with changes of CHOKE and INTERESTED",
            ),
            Message::Request(_) | Message::Cancel(_) | Message::Reject(_) => {
                (&mut self.requests, MAX_REQUESTS, "flooded us with requests")
            }
            _ => (&mut self.others, MAX_OTHERS, "flooded us with extension messages"),
        };
        *count += 1;
        if *count > most { self.note(now, Offence::Flood(why)) } else { Ok(()) }
    }
}

impl Conduct {
    /// Counts a message that announces all pieces (bitfield, HAVE ALL, HAVE NONE). Returns whether
    /// to process it. It costs time in proportion to the number of pieces, and belongs right behind
    /// the handshake.
    pub fn says_all(&mut self) -> bool {
        self.at_once = self.at_once.saturating_add(1);
        self.at_once <= MAX_AT_ONCE
    }
}

/// A measure of the time for which a peer occupied the swarm with messages other than blocks and
/// requests. It bounds the harm of messages that are cheap to send and costly to process.
#[derive(Debug, Default)]
pub struct Toll {
    spent_s: f64,
    at: Time,
}

impl Toll {
    /// Charges the processing time of a peer's messages. Returns the pause before reading more from
    /// it.
    pub fn pay(&mut self, now: Time, took: Duration) -> Duration {
        let paid = now.since(self.at).as_secs_f64() * TOLL_SHARE;
        self.spent_s = (self.spent_s - paid).max(0.0) + took.as_secs_f64();
        self.at = now;
        Duration::from_secs_f64(((self.spent_s - TOLL_CREDIT_S) / TOLL_SHARE).clamp(0.0, MAX_REST_S))
    }
}

impl From<&WireError> for Offence {
    fn from(error: &WireError) -> Offence {
        match error {
            WireError::TooLong { .. } => Offence::TooLong,
            WireError::Malformed { .. } => Offence::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn at(s: f64) -> Time {
        Time::from_secs_f64(s)
    }

    fn banned(offence: Offence) -> Result<(), Disconnect> {
        Err(Disconnect::Banned(offence.why()))
    }

    fn kicked(offence: Offence) -> Result<(), Disconnect> {
        Err(Disconnect::Kicked(offence.why()))
    }

    #[test]
    fn a_malformed_message_bans_and_an_oversized_one_only_disconnects() {
        assert_eq!(Conduct::default().note(at(1.0), Offence::Malformed), banned(Offence::Malformed));
        assert_eq!(Conduct::default().note(at(1.0), Offence::TooLong), kicked(Offence::TooLong));
    }

    #[test]
    fn small_offences_fade_but_many_at_once_do_not() {
        let mut conduct = Conduct::default();
        for i in 0..100 {
            assert_eq!(conduct.note(at(f64::from(i) * 10.0), Offence::RequestForMissing), Ok(()));
        }
        let mut conduct = Conduct::default();
        let results: Vec<_> = (0..50).map(|_| conduct.note(at(1.0), Offence::RequestForMissing)).collect();
        assert_eq!(results[48..], [Ok(()), kicked(Offence::RequestForMissing)]);
    }

    #[test]
    fn ten_thousand_haves_a_second_are_a_flood_and_five_thousand_are_not() {
        let mut conduct = Conduct::default();
        for i in 0..50_000 {
            assert_eq!(conduct.message(at(f64::from(i) / 5000.0), &Message::Have(i), 0), Ok(()));
        }
        let last = (0..10_001).map(|i| conduct.message(at(20.0), &Message::Have(i), 0)).last();
        assert_eq!(last, Some(banned(Offence::Flood("flooded us with HAVE messages"))));
    }

    #[test]
    fn naming_each_piece_anew_is_no_flood_however_many_there_are() {
        let mut conduct = Conduct::default();
        let mut say = |i| conduct.message(at(1.5), &Message::Have(i), 30_000);
        assert!((0..40_000).all(|i| say(i) == Ok(())));
        assert_eq!(say(0), banned(Offence::Flood("flooded us with HAVE messages")));
    }

    #[test]
    fn giving_back_a_piece_for_each_that_comes_is_no_flood() {
        let mut conduct = Conduct::default();
        let gone = Message::Extended { id: ours::LT_DONTHAVE, payload: Bytes::from_static(&[0, 0, 0, 7]) };
        let mut say = |message: &Message| conduct.message(at(1.5), message, 600);
        let both = |say: &mut dyn FnMut(&Message) -> Result<(), Disconnect>| [say(&Message::Have(8)), say(&gone)];
        assert!((0..5_000).all(|_| both(&mut say) == [Ok(()), Ok(())]), "80 MB/s in pieces of 16 KiB");
        assert!(
            (0..5_000).any(|_| say(&gone) == banned(Offence::Flood("flooded us with HAVE messages"))),
            "within bounds"
        );
    }

    #[test]
    fn all_pieces_at_once_are_heeded_a_few_times() {
        let mut conduct = Conduct::default();
        let heeded: Vec<bool> = (0..6).map(|_| conduct.says_all()).collect();
        assert_eq!(heeded, [true, true, true, true, false, false]);
    }

    #[test]
    fn a_peer_that_keeps_us_busy_is_heard_for_a_small_share_of_the_time() {
        let (mut toll, mut now, mut busy) = (Toll::default(), 0.0, 0.0);
        assert_eq!(toll.pay(at(0.0), Duration::from_millis(40)), Duration::ZERO);
        while now < 60.0 {
            now += 0.001 + toll.pay(at(now), Duration::from_millis(1)).as_secs_f64();
            busy += 0.001;
        }
        assert!(busy < 0.03 * now, "{busy}");
        // The toll is forgotten after a while.
        assert_eq!(toll.pay(at(now + 60.0), Duration::from_millis(40)), Duration::ZERO);
    }

    #[test]
    fn endless_choking_and_unchoking_is_a_flood() {
        let mut conduct = Conduct::default();
        let flips = (0..70).map(|i| if i % 2 == 0 { Message::Choke } else { Message::Unchoke });
        assert_eq!(
            flips.map(|m| conduct.message(at(0.5), &m, 9)).last(),
            Some(banned(Offence::Flood("flooded us with changes of CHOKE and INTERESTED")))
        );
    }

    #[test]
    fn a_leech_that_regains_interest_with_each_piece_of_a_seed_is_no_flood() {
        let mut conduct = Conduct::default();
        for _ in 0..320 {
            assert_eq!(conduct.message(at(1.0), &Message::NotInterested, 320), Ok(()));
            assert_eq!(conduct.message(at(1.0), &Message::Interested, 320), Ok(()));
        }
    }

    #[test]
    fn a_closed_connection_is_no_offence() {
        assert_eq!(Offence::from(&WireError::Malformed { id: 4, length: 9 }), Offence::Malformed);
    }
}
