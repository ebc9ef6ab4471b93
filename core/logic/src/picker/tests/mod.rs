//! Situations as inputs and expected outputs.

mod having;
mod prices;
mod runs;

use super::*;
use crate::BLOCK_BYTES;
use std::collections::BTreeSet;
use std::time::Duration;

const KIB: u64 = 1024;
/// Pieces of four blocks, so that a picture of the pieces fits on a line.
const PIECE: u32 = 4 * BLOCK_BYTES;

struct Table {
    picker: Picker,
    now: Time,
    out: Vec<Output>,
}

impl Table {
    fn new(pieces: u32) -> Table {
        let layout = Layout::new(u64::from(pieces) * u64::from(PIECE), PIECE).unwrap();
        Table { picker: Picker::new(layout, &Bits::new(pieces), Config::default()), now: Time(1_000_000), out: vec![] }
    }

    fn tell(&mut self, input: Input) {
        self.picker.handle(self.now, input);
        self.out.extend(std::iter::from_fn(|| self.picker.poll()));
        self.picker.check_invariants().unwrap();
    }

    fn wait(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some(at) = Some(self.picker.next_timeout()).filter(|t| *t <= until) {
            self.now = self.now.max(at);
            self.tell(Input::Timeout);
        }
        self.now = until;
    }

    /// Adds a choking peer with the pieces of a picture: `#` present, `.` missing.
    fn joins(&mut self, key: u32, has: &str) {
        let mut bits = Bits::new(has.len() as u32);
        has.chars().enumerate().for_each(|(i, c)| {
            bits.set(i as u32, c == '#');
        });
        let peer = PeerKey(key);
        self.tell(Input::PeerJoined {
            peer,
            rtt: Some(Duration::from_millis(20)),
            manner: Manner::Blocks { requests: 250, fast: true },
        });
        self.tell(Input::PeerHasBits(peer, bits));
    }

    /// The same, unchoking.
    fn peer(&mut self, key: u32, has: &str) {
        self.joins(key, has);
        self.tell(Input::Unchoked(PeerKey(key)));
    }

    fn piece_is_whole(&self, piece: u32) -> bool {
        self.picker.partial.get(&piece).is_some_and(|part| part.missing == 0)
    }

    fn read_from(&mut self, piece: u32) {
        let end = self.picker.layout.total_bytes();
        let position = u64::from(piece) * u64::from(PIECE);
        self.tell(Input::ReaderOpened {
            reader: ReaderKey(1),
            start: 0,
            position,
            end,
            bytes_per_s: Some(500e3),
            window: u64::MAX,
        });
        self.tell(Input::ReaderBlocked(ReaderKey(1), true));
    }

    /// Returns the requests since the last call, as (peer, piece, block).
    fn requests(&mut self) -> Vec<(u32, u32, u32)> {
        std::mem::take(&mut self.out)
            .into_iter()
            .filter_map(|o| match o {
                Output::Request(p, b) => Some((p.0, b.piece.0, b.block)),
                _ => None,
            })
            .collect()
    }

    fn give(&mut self, (peer, piece, block): (u32, u32, u32)) {
        self.tell(Input::Block(PeerKey(peer), BlockRef { piece: PieceIndex(piece), block }));
    }
}

#[test]
fn the_first_piece_is_shared_by_all_peers() {
    let mut t = Table::new(8);
    t.peer(1, "########");
    t.peer(2, "########");
    assert!(t.requests().is_empty(), "nobody reads yet");
    t.read_from(0);
    let asked = t.requests();
    for peer in [1, 2] {
        assert!(asked.iter().any(|r| r.0 == peer && r.1 == 0), "{asked:?}");
    }
    let first: Vec<_> = asked.iter().filter(|r| r.1 == 0).map(|r| r.2).collect();
    assert_eq!(first.len(), 4, "each block of piece 0 is asked once: {asked:?}");
}

#[test]
fn a_seek_cancels_what_lies_outside_of_the_new_window() {
    let mut t = Table::new(4000);
    t.peer(1, &"#".repeat(4000));
    t.read_from(0);
    assert!(!t.requests().is_empty());
    t.tell(Input::ReaderSought(ReaderKey(1), 3000 * u64::from(PIECE)));
    let cancelled = t.out.iter().filter(|o| matches!(o, Output::Cancel(..))).count();
    let asked: Vec<_> = t.requests();
    assert_eq!(cancelled, Config::default().first_requests as usize);
    assert!(asked.iter().all(|r| r.1 >= 3000) && !asked.is_empty(), "{asked:?}");
}

#[test]
fn a_block_that_comes_in_spite_of_a_cancel_is_kept() {
    let mut t = Table::new(4000);
    t.peer(1, &"#".repeat(4000));
    t.read_from(0);
    t.requests();
    t.tell(Input::ReaderSought(ReaderKey(1), 3000 * u64::from(PIECE)));
    t.tell(Input::ReaderSought(ReaderKey(1), 0));
    let block = BlockRef { piece: PieceIndex(0), block: 0 };
    assert!(t.picker.accepts(PeerKey(1), block));
    t.give((1, 0, 0));
    assert_eq!(t.picker.counters().wasted_bytes(), 0);
}

#[test]
fn unasked_blocks_are_refused_and_counted() {
    let mut t = Table::new(8);
    t.peer(1, "########");
    t.read_from(0);
    assert!(!t.picker.accepts(PeerKey(1), BlockRef { piece: PieceIndex(7), block: 3 }));
    t.give((1, 7, 3));
    assert_eq!(t.picker.counters().unasked_bytes, 16 * KIB);
}

#[test]
fn partial_peers_are_asked_only_for_what_they_have() {
    let mut t = Table::new(8);
    t.peer(1, ".#.#.#.#");
    t.read_from(0);
    let asked = t.requests();
    assert!(!asked.is_empty() && asked.iter().all(|r| r.1 % 2 == 1), "{asked:?}");
}

#[test]
fn a_choke_frees_what_was_asked_for_others() {
    let mut t = Table::new(8);
    t.peer(1, "########");
    t.read_from(0);
    let first = t.requests();
    t.tell(Input::Choked(PeerKey(1)));
    t.peer(2, "########");
    let after = t.requests();
    assert!(after.iter().all(|r| r.0 == 2));
    assert!(after.iter().any(|r| first.iter().any(|f| (f.1, f.2) == (r.1, r.2))), "{after:?}");
}

#[test]
fn peers_that_choke_us_but_allow_one_piece_are_not_waited_for_with_the_others() {
    let mut t = Table::new(64);
    t.read_from(0);
    for key in 1..=20 {
        let peer = PeerKey(key);
        t.tell(Input::PeerJoined {
            peer,
            rtt: Some(Duration::from_millis(20)),
            manner: Manner::Blocks { requests: 250, fast: true },
        });
        t.tell(Input::PeerHasBits(peer, Bits::full(64)));
        t.tell(Input::AllowedFast(peer, PieceIndex(40)));
    }
    t.peer(99, &"#".repeat(64));
    // The peer that unchokes us needs 300 ms for a block. The others send their allowed fast pieces
    // at once.
    let mut of_piece_0 = BTreeSet::new();
    let mut owed = Vec::new();
    for _ in 0..20 {
        for r in t.requests() {
            if r.0 == 99 { owed.push(r) } else { t.give(r) }
        }
        t.wait(300);
        if !owed.is_empty() {
            let r = owed.remove(0);
            t.give(r);
            if r.1 == 0 {
                of_piece_0.insert(r.2);
            }
        }
    }
    assert_eq!(of_piece_0.len(), 4, "the piece that the reader waits for came from the only one that may give it");
}

#[test]
fn what_a_new_peer_allows_before_it_unchokes_us_does_not_stand_before_the_first_piece() {
    let mut t = Table::new(64);
    t.read_from(0);
    let peer = PeerKey(1);
    t.joins(1, &"#".repeat(64));
    t.tell(Input::AllowedFast(peer, PieceIndex(40)));
    t.tell(Input::AllowedFast(peer, PieceIndex(0)));
    assert!(t.requests().iter().all(|r| r.1 == 0), "of what it allows only what the reader waits for is asked at once");
    t.tell(Input::Unchoked(peer));
    assert!(t.requests().iter().all(|r| r.1 == 0));
}

#[test]
fn a_peer_that_does_not_unchoke_us_is_asked_for_what_it_allows_a_little_later() {
    let mut t = Table::new(64);
    t.read_from(0);
    let peer = PeerKey(1);
    t.joins(1, &"#".repeat(64));
    t.tell(Input::AllowedFast(peer, PieceIndex(40)));
    t.wait(1000);
    assert!(t.requests().iter().any(|r| r.1 == 40));
}

/// A reader has waited for a while when forty peers join that have everything, a few milliseconds
/// apart.
fn forty_strangers() -> Table {
    let mut t = Table::new(400);
    t.read_from(0);
    // Finding the peers takes at least that long.
    t.wait(600);
    for key in 1..=40 {
        t.peer(key, &"#".repeat(400));
        t.wait(4);
    }
    t
}

#[test]
fn dozens_of_strangers_are_asked_for_what_the_reader_waits_for_and_little_more() {
    let mut t = forty_strangers();
    let mut asked = t.requests();
    assert!(asked.iter().all(|r| r.1 < 2) && asked.len() <= 16, "more would stand before it in the line: {asked:?}");
    for block in 0..4 {
        let of: BTreeSet<u32> = asked.iter().filter(|r| (r.1, r.2) == (0, block)).map(|r| r.0).collect();
        assert_eq!(of.len(), 2, "any one of them may have a full line: {asked:?}");
    }
    // No peer answers. Later pieces are requested from them, but not from all at once.
    t.wait(600);
    asked.extend(t.requests());
    assert!((12..=24).contains(&asked.len()), "{asked:?}");
}

#[test]
fn a_peer_that_proved_quick_helps_out_two_strangers_that_are_not() {
    let mut t = forty_strangers();
    let mut asked = t.requests();
    // The peer of the second piece answers at once, those of the first do not.
    let quick: Vec<_> = asked.iter().filter(|r| r.1 == 1).copied().collect();
    assert!(!quick.is_empty(), "{asked:?}");
    for r in &quick {
        t.give(*r);
    }
    t.wait(350);
    asked.extend(t.requests());
    let third = asked.iter().find(|r| {
        let of: Vec<u32> = asked.iter().filter(|o| (o.1, o.2) == (0, r.2)).map(|o| o.0).collect();
        r.1 == 0 && of.len() == 3 && of.last() == Some(&r.0)
    });
    assert!(third.is_some_and(|r| quick.iter().any(|q| q.0 == r.0)), "{asked:?}");
}

#[test]
fn between_two_pieces_no_peer_is_asked_for_much_later_ones() {
    let mut t = forty_strangers();
    let asked = t.requests();
    let (reader, end) = (ReaderKey(2), u64::from(PIECE));
    t.tell(Input::ReaderOpened { reader, start: 0, position: 0, end, bytes_per_s: None, window: end });
    for block in 0..4 {
        let of = asked.iter().find(|r| (r.1, r.2) == (0, block)).copied().unwrap();
        t.give(of);
    }
    t.tell(Input::PieceVerified(PieceIndex(0)));
    // The film's index has been read and its reader is closed. The player's reader opens a moment
    // later.
    t.tell(Input::ReaderClosed(reader));
    t.tell(Input::ReaderBlocked(ReaderKey(1), false));
    t.wait(3);
    t.tell(Input::ReaderRead(ReaderKey(1), u64::from(PIECE)));
    t.tell(Input::ReaderBlocked(ReaderKey(1), true));
    let asked = t.requests();
    assert!(asked.len() <= 24 && asked.iter().all(|r| r.1 < 24), "three seconds are enough: {asked:?}");
}

#[test]
fn a_peer_without_useful_pieces_gets_not_interested() {
    let mut t = Table::new(4);
    t.read_from(0);
    t.peer(1, "#...");
    assert!(!t.out.iter().any(|o| matches!(o, Output::Interested(..))), "the handshake said so: {:?}", t.out);
    t.peer(2, "....");
    assert!(t.out.contains(&Output::Interested(PeerKey(2), false)), "{:?}", t.out);
    t.tell(Input::PeerHas(PeerKey(2), PieceIndex(1)));
    assert!(t.out.contains(&Output::Interested(PeerKey(2), true)), "{:?}", t.out);
}

#[test]
fn a_peer_may_still_unchoke_us_before_it_is_asked_for_the_little_that_it_allows() {
    let mut t = Table::new(64);
    t.read_from(0);
    t.wait(700);
    let peer = PeerKey(1);
    t.joins(1, &"#".repeat(64));
    t.tell(Input::AllowedFast(peer, PieceIndex(40)));
    t.wait(250);
    let asked = t.requests();
    assert!(asked.is_empty(), "{asked:?}");
    t.tell(Input::Unchoked(peer));
    assert!(t.requests().iter().all(|r| r.1 == 0));
}

#[test]
fn a_silent_peer_holds_nothing_up() {
    let mut t = Table::new(512);
    let all = "#".repeat(512);
    t.peer(1, &all);
    t.peer(2, &all);
    t.read_from(0);
    // Peer 2 answers each request after 30 ms, peer 1 never does.
    let mut of_piece_0 = BTreeSet::new();
    for _ in 0..200 {
        let asked = t.requests();
        t.wait(30);
        for r in asked.into_iter().filter(|r| r.0 == 2) {
            t.give(r);
            if r.1 == 0 {
                of_piece_0.insert(r.2);
            }
        }
    }
    assert_eq!(of_piece_0.len(), 4, "all of piece 0 came from the peer that answers");
    assert!(t.picker.peer(PeerKey(1)).unwrap().snubbed);
    assert!(t.picker.counters().hedges > 0);
}

#[test]
fn a_request_that_the_only_peer_dropped_is_sent_again() {
    let mut t = Table::new(64);
    t.peer(1, &"#".repeat(64));
    t.read_from(0);
    let (mut dropped, mut given) = (false, BTreeSet::new());
    for _ in 0..400 {
        for asked in t.requests() {
            // The first request for this block is ignored.
            if (asked.1, asked.2) == (0, 1) && !dropped {
                dropped = true;
            } else {
                t.give(asked);
                given.insert((asked.1, asked.2));
            }
        }
        t.wait(100);
    }
    assert!(dropped && given.contains(&(0, 1)), "the reader waits for a request that nobody has");
    assert_eq!(t.picker.counters().wasted_bytes(), 0);
}

#[test]
fn the_loser_of_a_hedge_is_cancelled() {
    let mut t = Table::new(64);
    let all = "#".repeat(64);
    t.peer(1, &all);
    t.peer(2, &all);
    t.read_from(0);
    let mut hedged = None;
    let mut seen: Vec<(u32, u32)> = t.requests().into_iter().filter(|r| r.0 == 1).map(|r| (r.1, r.2)).collect();
    let mut pending: Vec<(u32, u32, u32)> = vec![];
    t.tell(Input::Timeout);
    for _ in 0..100 {
        t.wait(10);
        let asked = t.requests();
        hedged = hedged.or(asked.iter().find(|r| r.0 == 2 && seen.contains(&(r.1, r.2))).copied());
        if hedged.is_some() {
            break;
        }
        seen.extend(asked.iter().filter(|r| r.0 == 1).map(|r| (r.1, r.2)));
        pending.extend(asked.into_iter().filter(|r| r.0 == 2));
        if pending.is_empty() {
            // The blocks requested from peer 2 at the start.
            let out: Vec<_> =
                t.picker.peers[&PeerKey(2)].queue.iter().map(|a| (2, a.block.piece.0, a.block.block)).collect();
            pending.extend(out);
        }
        for r in std::mem::take(&mut pending) {
            t.give(r);
        }
    }
    let hedged = hedged.expect("a hedge");
    t.out.clear();
    t.give(hedged);
    let block = BlockRef { piece: PieceIndex(hedged.1), block: hedged.2 };
    assert!(t.out.contains(&Output::Cancel(PeerKey(1), block)));
}

#[test]
fn a_piece_that_failed_is_fetched_from_others_than_its_givers() {
    let mut t = Table::new(8);
    t.peer(1, "########");
    t.read_from(0);
    for r in t.requests().into_iter().filter(|r| r.1 == 0) {
        t.give(r);
    }
    for r in t.requests().into_iter().filter(|r| r.1 == 0) {
        t.give(r);
    }
    t.peer(2, "########");
    t.requests();
    t.tell(Input::PieceFailed(PieceIndex(0)));
    let again = t.requests();
    assert!(again.iter().filter(|r| r.1 == 0).all(|r| r.0 == 2), "{again:?}");
    assert_eq!(t.picker.counters().failed_bytes, u64::from(PIECE));
}

#[test]
fn a_rejected_block_goes_to_another_peer_and_not_back() {
    let mut t = Table::new(8);
    t.peer(1, "########");
    t.peer(2, "########");
    t.read_from(0);
    let rejected = *t.requests().iter().find(|r| r.0 == 1).unwrap();
    t.tell(Input::Rejected(PeerKey(1), BlockRef { piece: PieceIndex(rejected.1), block: rejected.2 }));
    for _ in 0..20 {
        let asked = t.requests();
        assert!(!asked.iter().any(|r| r.0 == 1 && r.1 == rejected.1), "{asked:?}");
        t.wait(20);
        asked.into_iter().filter(|r| r.0 == 2).for_each(|r| t.give(r));
    }
}

#[test]
fn nothing_is_asked_while_paused() {
    let mut t = Table::new(8);
    t.tell(Input::Paused(true));
    t.peer(1, "########");
    t.read_from(0);
    assert!(t.requests().is_empty());
    t.tell(Input::Paused(false));
    assert!(!t.requests().is_empty());
}

#[test]
fn no_reader_no_requests() {
    let mut t = Table::new(8);
    t.peer(1, "########");
    t.read_from(0);
    assert!(!t.requests().is_empty());
    t.tell(Input::ReaderClosed(ReaderKey(1)));
    assert!(t.out.iter().all(|o| matches!(o, Output::Cancel(..))) && !t.out.is_empty());
    assert_eq!(t.picker.next_timeout(), Time::NEVER);
}

#[test]
fn a_slow_peer_is_not_given_what_a_fast_one_brings_sooner() {
    let mut t = Table::new(400);
    let all = "#".repeat(400);
    t.peer(1, &all);
    t.peer(2, &all);
    t.read_from(0);
    // Peer 1 sends a block each 5 ms, peer 2 each 400 ms. After a while both rates are measured.
    let (mut fast, mut slow) = (VecDeque::new(), VecDeque::new());
    let mut slow_in_first = 0;
    for step in 0..2000u32 {
        for r in t.requests() {
            if r.0 == 1 {
                fast.push_back(r);
            } else {
                slow.push_back(r);
            }
            let first_missing = t.picker.demand.first().map_or(0, |w| w.piece);
            if r.0 == 2 && step > 400 && r.1 == first_missing {
                slow_in_first += 1;
            }
        }
        t.wait(5);
        if let Some(r) = fast.pop_front() {
            t.give(r);
        }
        if step % 80 == 79
            && let Some(r) = slow.pop_front()
        {
            t.give(r);
        }
        let done: Vec<u32> = t.picker.partial.iter().filter(|(_, p)| p.missing == 0).map(|(n, _)| *n).collect();
        for n in done {
            t.tell(Input::PieceVerified(PieceIndex(n)));
        }
    }
    assert_eq!(slow_in_first, 0, "the slow peer was asked for the piece that the viewer waits for");
    let rate = t.picker.peer(PeerKey(1)).unwrap().rate_bytes_per_s.unwrap();
    assert!((2e6..5e6).contains(&rate), "16 KiB each 5 ms are 3.3 MB/s, not {rate}");
}

#[test]
fn while_one_reader_waits_for_the_last_blocks_of_its_piece_another_that_waits_is_served() {
    let mut t = Table::new(64);
    (1..=4).for_each(|peer| t.peer(peer, &"#".repeat(64)));
    t.read_from(0);
    assert!(t.requests().iter().filter(|r| r.1 == 0).count() == 4, "all of the first piece is on its way");
    let end = t.picker.layout.total_bytes();
    let position = end - u64::from(PIECE);
    t.tell(Input::ReaderOpened { reader: ReaderKey(2), start: 0, position, end, bytes_per_s: None, window: u64::MAX });
    t.tell(Input::ReaderBlocked(ReaderKey(2), true));
    t.give((1, 0, 0));
    t.wait(20);
    assert!(t.requests().iter().any(|r| r.1 == 63), "the index at the end is asked for meanwhile");
}

/// A film of 64 pieces of 4 MiB, read at 500 kB/s, with the first `here` of them read or ready.
fn film_with_full_read_ahead(here: u32) -> Table {
    let layout = Layout::new(64 * 4 * 1024 * KIB, 4 << 20).unwrap();
    let mut have = Bits::new(64);
    (0..here).for_each(|n| {
        have.set(n, true);
    });
    let config = Config { max_partial_bytes: 32 << 20, ..Config::default() };
    let mut t = Table { picker: Picker::new(layout, &have, config), now: Time::ZERO, out: Vec::new() };
    t.peer(1, &"#".repeat(64));
    t.read_from(0);
    t.tell(Input::ReaderBlocked(ReaderKey(1), false));
    t
}

#[test]
fn the_places_to_which_players_jump_grow_together_within_their_share_of_memory() {
    let mut t = film_with_full_read_ahead(24);
    let mut blocks = [0u32; 64];
    // Too few to fill their share of memory, so they are completed one after another.
    while blocks.iter().sum::<u32>() < 500 {
        for r in t.requests() {
            blocks[r.1 as usize] += 1;
            t.wait(5);
            t.give(r);
        }
    }
    // The tenths of the film ahead of the present pieces: all are begun, and none is far ahead of
    // another.
    let places = [25, 31, 38, 44, 51, 57].map(|n| blocks[n]);
    let (least, most) = (places.iter().min().unwrap(), places.iter().max().unwrap());
    assert!(*least >= 32 && most - least <= 8, "{places:?}");
    let begun: u64 = t.picker.partial.values().filter(|p| p.ahead_of_time).map(|p| p.reserved).sum();
    assert!(begun <= 16 << 20, "{begun} bytes");
    t.picker.check_invariants().unwrap();
}

#[test]
fn a_piece_begun_ahead_of_time_is_finished_when_the_player_jumps_there() {
    let mut t = film_with_full_read_ahead(24);
    for _ in 0..300 {
        for r in t.requests() {
            t.wait(5);
            t.give(r);
        }
    }
    let here = t.picker.partial[&51].blocks.iter().filter(|b| b.got).count();
    assert!(here > 10, "{here} blocks");
    t.tell(Input::ReaderSought(ReaderKey(1), 51 * 4096 * KIB));
    t.tell(Input::ReaderBlocked(ReaderKey(1), true));
    t.requests();
    assert!(!t.picker.partial[&51].ahead_of_time);
    assert_eq!(t.picker.partial[&51].reserved, 4096 * KIB);
    assert_eq!(t.picker.partial[&51].blocks.iter().filter(|b| b.got).count(), here);
    t.picker.check_invariants().unwrap();
}

#[test]
fn a_peer_that_answers_in_pulses_is_asked_for_more_with_each() {
    let mut t = Table::new(4000);
    t.peer(1, &"#".repeat(4000));
    t.read_from(0);
    let mut asked = t.requests();
    // Twice a second it sends all requested blocks, and then pauses.
    for _ in 0..30 {
        t.wait(500);
        for r in std::mem::take(&mut asked) {
            t.give(r);
            let whole = t.picker.partial.iter().find(|(_, part)| part.missing == 0).map(|(piece, _)| *piece);
            if let Some(piece) = whole {
                t.tell(Input::PieceVerified(PieceIndex(piece)));
            }
        }
        asked = t.requests();
    }
    assert!(asked.len() >= 24, "{} blocks for the next half second", asked.len());
}

/// Runs for this time. Requests to these peers are answered after 30 ms. Returns the pieces
/// requested from each.
fn served(t: &mut Table, ms: u64, peers: &[u32]) -> BTreeMap<u32, BTreeSet<u32>> {
    let mut asked_of: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for _ in 0..ms / 30 {
        let asked = t.requests();
        t.wait(30);
        for r in asked {
            asked_of.entry(r.0).or_default().insert(r.1);
            if peers.contains(&r.0) {
                t.give(r);
                let part = t.picker.partial.get(&r.1);
                if part.is_some_and(|part| part.missing == 0) {
                    t.tell(Input::PieceVerified(PieceIndex(r.1)));
                }
            }
        }
    }
    asked_of
}

#[test]
fn among_viewers_an_origin_sends_pieces_that_are_shown_soon_or_that_no_other_peer_has() {
    let mut t = Table::new(512);
    t.peer(1, &"#".repeat(512));
    // The viewer lacks only the pieces shown at 20 to 26 seconds.
    t.peer(2, &("#".repeat(153) + &".".repeat(46) + &"#".repeat(313)));
    t.tell(Input::PeerViews(PeerKey(2)));
    t.read_from(0);
    let asked = served(&mut t, 6000, &[1, 2]);
    let seconds = |piece: &u32| f64::from(*piece * PIECE) / 500e3;
    assert!(asked[&1].iter().any(|piece| seconds(piece) < 10.0), "the film begins with whoever has it");
    assert!(asked[&1].iter().all(|piece| seconds(piece) < 10.2 || (153..199).contains(piece)), "{:?}", asked[&1]);
    assert!((153..199).all(|piece| asked[&1].contains(&piece)), "nobody else has these: {:?}", asked[&1]);
    let jumps: Vec<u32> = (1..10).map(|n| n * 512 / 10).collect();
    let last = asked[&2].iter().filter(|piece| !jumps.contains(piece)).map(seconds).fold(0.0, f64::max);
    assert!((50.0..60.1).contains(&last), "a viewer gives what is shown within the minute, not {last}");
}

#[test]
fn among_viewers_that_have_nothing_yet_an_origin_sends_a_minute_and_no_more() {
    let asked = |viewers: u32| {
        let mut t = Table::new(1024);
        t.peer(1, &"#".repeat(1024));
        for key in 2..2 + viewers {
            t.peer(key, &".".repeat(1024));
            t.tell(Input::PeerViews(PeerKey(key)));
        }
        t.read_from(0);
        served(&mut t, 15_000, &[1])[&1].clone()
    };
    let jumps: Vec<u32> = (1..10).map(|n| n * 1024 / 10).collect();
    let seconds = |piece: &u32| f64::from(*piece * PIECE) / 500e3;
    let farthest =
        |asked: &BTreeSet<u32>| asked.iter().filter(|piece| !jumps.contains(piece)).map(seconds).fold(0.0, f64::max);
    let [among, alone] = [1, 0].map(|viewers| farthest(&asked(viewers)));
    assert!((50.0..70.0).contains(&among), "{among}");
    assert!(alone > 100.0, "alone, it reads on to the end, and not to {alone}");
}

#[test]
fn an_origin_is_not_spared_where_the_viewers_are_few_or_the_reader_waits_on() {
    // Two origins and one viewer: the supply is sufficient.
    let mut t = Table::new(512);
    let all = "#".repeat(512);
    (1..=3).for_each(|key| t.peer(key, &all));
    t.tell(Input::PeerViews(PeerKey(3)));
    t.read_from(0);
    let asked = served(&mut t, 6000, &[1, 2, 3]);
    assert!([1, 2].iter().all(|key| asked[key].iter().any(|piece| *piece > 200)), "{asked:?}");
    // The only viewer rejects the awaited piece. The origin is asked in the end, although the
    // player has half a minute buffered.
    let mut t = plenty_in_hand();
    let mut first_asked = None;
    for n in 0..100 {
        t.wait(30);
        for r in t.requests() {
            match r {
                (1, 0, _) => first_asked = first_asked.or(Some(n * 30)),
                (2, 0, n) => {
                    t.tell(Input::Rejected(PeerKey(2), BlockRef { piece: PieceIndex(0), block: n }));
                }
                r => t.give(r),
            }
        }
    }
    assert!(first_asked.is_some_and(|ms| (1500..2700).contains(&ms)), "{first_asked:?}");
}

#[test]
fn an_origin_is_not_spared_for_a_viewer_that_does_not_deliver() {
    // Peer 2 reports a position and has everything, and sends a block each third of a second: a
    // tenth of the film's rate.
    let mut t = Table::new(512);
    (1..=2).for_each(|key| t.peer(key, &"#".repeat(512)));
    t.tell(Input::PeerViews(PeerKey(2)));
    t.read_from(0);
    let mut slow = VecDeque::new();
    let mut of_origin = BTreeSet::new();
    for n in 0..200 {
        t.wait(30);
        for r in t.requests() {
            if r.0 == 2 {
                slow.push_back(r);
                continue;
            }
            of_origin.insert(r.1);
            t.give(r);
            if t.picker.partial.get(&r.1).is_some_and(|part| part.missing == 0) {
                t.tell(Input::PieceVerified(PieceIndex(r.1)));
            }
        }
        if n % 11 == 10
            && let Some(r) = slow.pop_front()
        {
            t.give(r);
        }
    }
    let seconds = |piece: &u32| f64::from(*piece * PIECE) / 500e3;
    let beyond = of_origin.iter().filter(|piece| (20.0..60.0).contains(&seconds(piece))).count();
    assert!(beyond > 200, "{beyond} of 305 pieces that are shown in 20 to 60 s came from the origin");
}

#[test]
fn a_newcomer_from_a_suspected_address_is_not_asked_for_a_piece_that_failed() {
    let mut t = Table::new(8);
    (1..=2).for_each(|key| t.peer(key, "########"));
    t.read_from(0);
    while t.picker.partial.get(&0).is_none_or(|part| part.missing > 0) {
        t.wait(30);
        t.requests().into_iter().for_each(|r| t.give(r));
    }
    t.tell(Input::PieceFailed(PieceIndex(0)));
    t.tell(Input::PeerLeft(PeerKey(1)));
    t.requests();
    // It returns under another key, and another peer joins.
    t.joins(3, "########");
    t.tell(Input::PeerSuspected(PeerKey(3)));
    t.joins(4, "########");
    t.tell(Input::Unchoked(PeerKey(4)));
    t.tell(Input::Unchoked(PeerKey(3)));
    for _ in 0..20 {
        t.wait(30);
        for r in t.requests() {
            assert!(r.0 != 3 || r.1 != 0, "{r:?}");
            if r.0 == 4 && r.1 != 0 {
                t.give(r);
            }
        }
    }
}

/// Peer 1 is an origin, and peer 2 a viewer with everything. The player waits, and shows in half a
/// minute the bytes that it reads now.
fn plenty_in_hand() -> Table {
    let mut t = Table::new(512);
    t.read_from(0);
    t.tell(Input::ReaderBuffer(ReaderKey(1), 30.0));
    let peer = PeerKey(2);
    t.tell(Input::PeerJoined {
        peer,
        rtt: Some(Duration::from_millis(20)),
        manner: Manner::Blocks { requests: 250, fast: true },
    });
    t.tell(Input::PeerViews(peer));
    t.tell(Input::PeerHasBits(peer, Bits::full(512)));
    t.tell(Input::Unchoked(peer));
    t.peer(1, &"#".repeat(512));
    t
}

#[test]
fn a_player_that_has_plenty_waits_for_its_viewers_first() {
    let mut t = plenty_in_hand();
    let asked = served(&mut t, 1500, &[2]);
    assert!(!asked.contains_key(&1) && asked[&2].contains(&0), "{asked:?}");
}

#[test]
fn small_pieces_are_not_fetched_one_a_round_trip() {
    // Pieces of one block. A reader waits for the first of them; the peer answers after 80 ms.
    let layout = Layout::new(64 << 20, BLOCK_BYTES).unwrap();
    let picker = Picker::new(layout, &Bits::new(layout.pieces()), Config::default());
    let mut t = Table { picker, now: Time(1_000_000), out: vec![] };
    t.peer(1, &"#".repeat(4096));
    t.read_from(0);
    let mut position = 0;
    for _ in 0..10 {
        let asked = t.requests();
        t.wait(80);
        for r in asked {
            t.give(r);
            t.tell(Input::PieceVerified(PieceIndex(r.1)));
        }
        // The reader reads the available bytes and waits again.
        let ready = (0..).take_while(|piece| t.picker.have().get(*piece)).count() as u64 * u64::from(BLOCK_BYTES);
        if ready > position {
            position = ready;
            t.tell(Input::ReaderBlocked(ReaderKey(1), false));
            t.tell(Input::ReaderRead(ReaderKey(1), position));
            t.tell(Input::ReaderBlocked(ReaderKey(1), true));
        }
    }
    // Three at first, and more as the peer's measured rate grows.
    assert!(position >= 60 * u64::from(BLOCK_BYTES), "{} blocks in ten round trips", position / u64::from(BLOCK_BYTES));
}

#[test]
fn a_peer_that_dribbles_is_silent_after_a_while() {
    let mut t = Table::new(64);
    t.peer(1, &"#".repeat(64));
    t.read_from(0);
    let held: Vec<(u32, u32, u32)> = t.requests();
    let mut seconds = 0;
    while !t.picker.peer(PeerKey(1)).unwrap().snubbed {
        t.wait(1000);
        t.tell(Input::Progress(PeerKey(1)));
        seconds += 1;
        assert!(seconds < 20, "ten bytes a second are no answer");
    }
    assert!(seconds > 10, "a slow line has its time: {seconds} s");
    t.peer(2, &"#".repeat(64));
    let asked = t.requests();
    assert!(held.iter().any(|h| asked.contains(&(2, h.1, h.2))), "{asked:?}");
}

#[test]
fn a_block_that_keeps_the_player_waiting_is_asked_again_whatever_was_wasted_before() {
    let mut t = Table::new(512);
    let all = "#".repeat(512);
    (1..=3).for_each(|peer| t.peer(peer, &all));
    t.picker.counters.duplicate_bytes = 1 << 30;
    t.read_from(0);
    // Peer 1 sends slowly, the others answer at once.
    let mut farthest = 0;
    let mut rounds = 0;
    while !t.picker.have().get(0) {
        rounds += 1;
        assert!(rounds < 100, "three seconds, and the first piece is not here");
        let asked = t.requests();
        t.wait(30);
        t.tell(Input::Progress(PeerKey(1)));
        for r in asked.into_iter().filter(|r| r.0 != 1) {
            farthest = farthest.max(r.1);
            t.give(r);
            if t.picker.partial.get(&r.1).is_some_and(|part| part.missing == 0) {
                t.tell(Input::PieceVerified(PieceIndex(r.1)));
            }
        }
    }
    assert!(farthest > 24, "what comes behind does not wait for a piece that is stuck: {farthest}");
    assert!(t.picker.counters().hedges <= 2, "one a second at most");
}

#[test]
fn zeros_of_pad_files_are_not_asked_for_until_their_piece_is_wrong() {
    let mut t = Table::new(2);
    t.tell(Input::KnownTails(vec![(PieceIndex(0), 1), (PieceIndex(1), 3)]));
    t.peer(1, "##");
    t.read_from(0);
    let mut asked = BTreeSet::new();
    while !(t.piece_is_whole(0) && t.piece_is_whole(1)) {
        let requests = t.requests();
        assert!(!requests.is_empty());
        for (peer, piece, block) in requests {
            asked.insert((piece, block));
            t.tell(Input::Block(PeerKey(peer), BlockRef { piece: PieceIndex(piece), block }));
        }
    }
    assert_eq!(asked.into_iter().collect::<Vec<_>>(), [(0, 0), (1, 0), (1, 1), (1, 2)]);
    t.tell(Input::PieceFailed(PieceIndex(0)));
    t.wait(100);
    assert!(t.requests().contains(&(1, 0, 0)));
    assert!(!t.piece_is_whole(0));
}
