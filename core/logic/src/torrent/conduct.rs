//! When a peer has done enough harm to be dropped, or never spoken to again.
//!
//! Pure: the driver reports, this judges. Wrong data is not judged here but where pieces are verified: only there is it
//! known whose blocks a bad piece was made of.

use crate::Time;
use playswarm_proto::extended::ours;
use playswarm_proto::wire::{Message, WireError};
use std::time::Duration;

/// Points at which a peer is dropped.
const LIMIT: f64 = 100.0;
/// Points forgotten per second: what honest clients do by accident is rare enough to fade.
const FORGOTTEN_PER_S: f64 = 0.5;
/// The stretch over which messages are counted.
const STRETCH: Duration = Duration::from_secs(1);
/// HAVEs and DONT HAVEs a second beyond one for each piece. A client may name all its pieces anew, as it does after a
/// recheck, and gives back a piece for each that it fetches where its room is limited.
const MAX_HAVES: u32 = 10_000;
/// Changes of CHOKE and INTERESTED a second. A client may flip with every piece; this is flooding.
const MAX_FLIPS: u32 = 50;
/// Requests, cancels and rejects a second: 2.5 GiB/s of blocks.
const MAX_REQUESTS: u32 = 160_000;
/// Extended, unknown and other messages a second.
const MAX_OTHERS: u32 = 1_000;
/// Times that a peer may say at once which pieces it has. Once is usual; a client that learns the metadata late says it again.
const MAX_AT_ONCE: u32 = 4;
/// Share of the time for which what a peer says may keep the swarm busy.
const TOLL_SHARE: f64 = 0.02;
/// Seconds that it may keep the swarm busy at once, as its first words do.
const TOLL_CREDIT_S: f64 = 0.05;
/// Longest rest of a peer that kept the swarm busy for too long, seconds. Keep-alives and cancels still come through.
const MAX_REST_S: f64 = 2.0;

/// Something that a peer should not have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// Bytes that are no message, a bitfield of the wrong size or at the wrong time, bencode that is none.
    Malformed,
    /// A message longer than any honest one.
    TooLong,
    /// Far more messages of a kind in a second than make sense.
    Flood,
    /// A request outside the torrent, or longer than a block may be.
    BadRequest,
    /// A request for a piece that we have not got.
    RequestForMissing,
    /// A request long after it was choked, for a piece that is not allowed fast.
    RequestWhileChoked,
    /// A block that nobody asked for.
    UnaskedBlock,
    /// Something of an extension came too often, or made no sense.
    Extension,
    /// FAST's messages from a peer that did not offer FAST, or an index beyond the last piece.
    OutOfPlace,
}

impl Offence {
    fn points(self) -> f64 {
        match self {
            Offence::Malformed | Offence::TooLong | Offence::Flood => LIMIT,
            Offence::BadRequest | Offence::OutOfPlace => 10.0,
            Offence::Extension => 5.0,
            // Honest clients may answer what was cancelled long ago, a few at a time.
            Offence::UnaskedBlock => 1.0,
            Offence::RequestForMissing => 2.0,
            Offence::RequestWhileChoked => 0.5,
        }
    }

    /// The reason as a status shows it.
    pub fn why(self) -> &'static str {
        match self {
            Offence::Malformed => "sent a malformed message",
            Offence::TooLong => "sent a message that is too long",
            Offence::Flood => "flooded us with messages",
            Offence::BadRequest => "asked for blocks that do not exist",
            Offence::RequestForMissing => "asked for pieces that we do not have",
            Offence::RequestWhileChoked => "kept asking while choked",
            Offence::UnaskedBlock => "sent blocks that nobody asked for",
            Offence::Extension => "misused an extension",
            Offence::OutOfPlace => "sent messages that are out of place",
        }
    }
}

/// What to do with the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Fine,
    /// Close the connection; it may come back.
    Drop(Offence),
    /// Close the connection and turn its address away from now on.
    Ban(Offence),
}

/// The record of one connection.
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
    /// The peer did this.
    pub fn note(&mut self, now: Time, offence: Offence) -> Verdict {
        let faded = now.since(self.judged_at).as_secs_f64() * FORGOTTEN_PER_S;
        self.points = (self.points - faded).max(0.0) + offence.points();
        self.judged_at = now;
        match offence {
            _ if self.points < LIMIT => Verdict::Fine,
            // No accident makes these, and trying again would bring them again.
            Offence::Malformed | Offence::Flood | Offence::UnaskedBlock => Verdict::Ban(offence),
            _ => Verdict::Drop(offence),
        }
    }

    /// The peer sent this message, of a torrent with so many pieces; floods are noticed here. Cheap: a few additions.
    pub fn message(&mut self, now: Time, message: &Message, pieces: u32) -> Verdict {
        if now.since(self.stretch_from) >= STRETCH {
            (self.stretch_from, self.haves, self.flips, self.requests, self.others) = (now, 0, 0, 0, 0);
        }
        let (count, most) = match message {
            // As fast as the line is; the picker counts blocks that nobody asked for.
            Message::Piece { .. } => return Verdict::Fine,
            // A viewer with little room says both for each piece that it plays.
            Message::Have(_) | Message::Extended { id: ours::LT_DONTHAVE, .. } => {
                (&mut self.haves, MAX_HAVES.saturating_add(pieces))
            }
            Message::Choke | Message::Unchoke | Message::Interested | Message::NotInterested => {
                (&mut self.flips, MAX_FLIPS)
            }
            Message::Request(_) | Message::Cancel(_) | Message::Reject(_) => (&mut self.requests, MAX_REQUESTS),
            _ => (&mut self.others, MAX_OTHERS),
        };
        *count += 1;
        if *count > most { self.note(now, Offence::Flood) } else { Verdict::Fine }
    }
}

impl Conduct {
    /// The peer says at once which pieces it has (bitfield, HAVE ALL, HAVE NONE). Whether that is to be heeded: it costs as much as
    /// there are pieces, and belongs right behind the handshake.
    pub fn says_all(&mut self) -> bool {
        self.at_once = self.at_once.saturating_add(1);
        self.at_once <= MAX_AT_ONCE
    }
}

/// How long a peer has kept the swarm busy with anything but blocks and requests: a bound on the harm of whatever is cheap to say and dear
/// to hear.
#[derive(Debug, Default)]
pub struct Toll {
    spent_s: f64,
    at: Time,
}

impl Toll {
    /// What the peer said took so long to hear. How long to rest before more is heard of it.
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

    #[test]
    fn malformed_messages_ban_and_oversized_ones_drop() {
        assert_eq!(Conduct::default().note(at(1.0), Offence::Malformed), Verdict::Ban(Offence::Malformed));
        assert_eq!(Conduct::default().note(at(1.0), Offence::TooLong), Verdict::Drop(Offence::TooLong));
    }

    #[test]
    fn small_offences_fade_but_many_at_once_do_not() {
        let mut conduct = Conduct::default();
        for i in 0..100 {
            assert_eq!(conduct.note(at(f64::from(i) * 10.0), Offence::RequestForMissing), Verdict::Fine);
        }
        let mut conduct = Conduct::default();
        let verdicts: Vec<_> = (0..50).map(|_| conduct.note(at(1.0), Offence::RequestForMissing)).collect();
        assert_eq!(verdicts[48..], [Verdict::Fine, Verdict::Drop(Offence::RequestForMissing)]);
    }

    #[test]
    fn ten_thousand_haves_a_second_are_a_flood_and_five_thousand_are_not() {
        let mut conduct = Conduct::default();
        for i in 0..50_000 {
            assert_eq!(conduct.message(at(f64::from(i) / 5000.0), &Message::Have(i), 0), Verdict::Fine);
        }
        let verdict = (0..10_001).map(|i| conduct.message(at(20.0), &Message::Have(i), 0)).last();
        assert_eq!(verdict, Some(Verdict::Ban(Offence::Flood)));
    }

    #[test]
    fn naming_each_piece_anew_is_no_flood_however_many_there_are() {
        let mut conduct = Conduct::default();
        let mut say = |i| conduct.message(at(1.5), &Message::Have(i), 30_000);
        assert!((0..40_000).all(|i| say(i) == Verdict::Fine));
        assert_eq!(say(0), Verdict::Ban(Offence::Flood));
    }

    #[test]
    fn giving_back_a_piece_for_each_that_comes_is_no_flood() {
        let mut conduct = Conduct::default();
        let gone = Message::Extended { id: ours::LT_DONTHAVE, payload: Bytes::from_static(&[0, 0, 0, 7]) };
        let mut say = |message: &Message| conduct.message(at(1.5), message, 600);
        let both = |say: &mut dyn FnMut(&Message) -> Verdict| [say(&Message::Have(8)), say(&gone)];
        assert!((0..5_000).all(|_| both(&mut say) == [Verdict::Fine; 2]), "80 MB/s in pieces of 16 KiB");
        assert!((0..5_000).any(|_| say(&gone) == Verdict::Ban(Offence::Flood)), "within bounds");
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
        // Forgotten after a while.
        assert_eq!(toll.pay(at(now + 60.0), Duration::from_millis(40)), Duration::ZERO);
    }

    #[test]
    fn endless_choking_and_unchoking_is_a_flood() {
        let mut conduct = Conduct::default();
        let flips = (0..60).map(|i| if i % 2 == 0 { Message::Choke } else { Message::Unchoke });
        assert_eq!(flips.map(|m| conduct.message(at(0.5), &m, 9)).last(), Some(Verdict::Ban(Offence::Flood)));
    }

    #[test]
    fn a_closed_connection_is_no_offence() {
        assert_eq!(Offence::from(&WireError::Malformed { id: 4, length: 9 }), Offence::Malformed);
    }
}
