//! The prices of requests: the viewer's line, duplicates, and unreliable peers.

use super::*;

#[test]
fn the_first_blocks_are_left_to_peers_that_are_being_dialled() {
    let mut t = Table::new(400);
    t.tell(Input::Dialled(3));
    t.read_from(0);
    let mut of = BTreeMap::new();
    for key in 1..=3u32 {
        t.tell(Input::Dialled(3 - key as usize));
        t.peer(key, &"#".repeat(400));
        of.insert(key, t.requests().iter().filter(|r| r.1 == 0).count());
    }
    assert_eq!(of.into_values().collect::<Vec<_>>(), [2, 1, 1], "four blocks, as even as they go");
}

#[test]
fn a_clip_of_small_pieces_from_unmeasured_peers_is_not_fetched_twice() {
    let mut t = Table::new(16);
    (1..=3).for_each(|key| t.peer(key, &"#".repeat(16)));
    t.read_from(0);
    // Peers of 150, 50 and 30 kB/s, each of which sends its requested blocks one after another.
    let service_ms = [109, 328, 546];
    let mut owed: [VecDeque<(u32, u32, u32)>; 3] = Default::default();
    let mut busy = [0u64; 3];
    for ms in 0..60_000u64 {
        for output in std::mem::take(&mut t.out) {
            match output {
                Output::Request(p, b) => owed[p.0 as usize - 1].push_back((p.0, b.piece.0, b.block)),
                // The first block is in the socket already.
                Output::Cancel(p, b) => {
                    let owed = &mut owed[p.0 as usize - 1];
                    let first = owed.front().copied();
                    owed.retain(|r| Some(*r) == first || (r.1, r.2) != (b.piece.0, b.block));
                }
                _ => {}
            }
        }
        for peer in 0..3 {
            busy[peer] = if owed[peer].is_empty() { 0 } else { busy[peer] + 1 };
            if busy[peer] == service_ms[peer] {
                busy[peer] = 0;
                let r = owed[peer].pop_front().unwrap();
                t.give(r);
                if t.piece_is_whole(r.1) {
                    t.tell(Input::PieceVerified(PieceIndex(r.1)));
                }
            }
        }
        t.wait(1);
        if t.picker.have().is_full() {
            let counters = t.picker.counters();
            assert!(counters.wasted_bytes() * 100 <= 3 * counters.received_bytes, "{counters:?} after {ms} ms");
            return;
        }
    }
    panic!("a mebibyte in a minute");
}

#[test]
fn while_a_reader_waits_a_late_block_of_the_next_piece_is_requested_again_as_well() {
    let mut t = Table::new(64);
    (1..=12).for_each(|key| t.peer(key, &"#".repeat(64)));
    // A piece lasts 0.8 s, and a player does not begin with one.
    let (reader, end) = (ReaderKey(1), t.picker.layout.total_bytes());
    let (bytes_per_s, window) = (Some(80e3), u64::MAX);
    t.tell(Input::ReaderOpened { reader, start: 0, position: 0, end, bytes_per_s, window });
    t.tell(Input::ReaderBlocked(reader, true));
    let mut of_late = Vec::new();
    for _ in 0..20 {
        for r in t.requests() {
            match (r.1, r.2) {
                (1, 0) => of_late.push(r.0),
                // The reader still waits for this one.
                (0, 3) => {}
                _ => t.give(r),
            }
        }
        t.wait(50);
    }
    assert!(of_late.len() > 1, "{of_late:?}");
}

#[test]
fn a_silent_peer_is_never_asked_for_more_than_it_takes() {
    let mut t = Table::new(64);
    let peer = PeerKey(1);
    t.tell(Input::PeerJoined {
        peer,
        rtt: Some(Duration::from_millis(20)),
        manner: Manner::Blocks { requests: 2, fast: true },
    });
    t.tell(Input::PeerHasBits(peer, Bits::full(64)));
    t.tell(Input::Unchoked(peer));
    t.read_from(0);
    t.wait(60_000);
    let cancelled = t.out.iter().filter(|o| matches!(o, Output::Cancel(..))).count();
    assert!(t.requests().len() - cancelled <= 2);
    assert!(t.picker.counters().timeouts > 0);
}

#[test]
fn a_piece_that_fails_again_and_again_is_taken_from_the_most_credible_peer_alone() {
    let mut t = Table::new(64);
    (1..=3).for_each(|key| t.peer(key, &"#".repeat(64)));
    t.read_from(0);
    // Peer 3 sends wrong data only.
    let mut lied = BTreeSet::new();
    let (mut failures, mut of_piece_0) = (0, BTreeSet::new());
    for _ in 0..200 {
        let requests = t.requests();
        t.wait(30);
        for r in requests {
            if r.1 == 0 && failures == 3 {
                of_piece_0.insert(r.0);
            }
            // Until then the hostile peer alone makes the first piece fail.
            if r.0 == 3 {
                lied.insert(r.1);
            }
            t.give(r);
            if t.piece_is_whole(r.1) {
                let wrong = lied.remove(&r.1) || (r.1 == 0 && failures < 3);
                failures += u32::from(wrong && r.1 == 0);
                let piece = PieceIndex(r.1);
                t.tell(if wrong { Input::PieceFailed(piece) } else { Input::PieceVerified(piece) });
            }
        }
        if t.picker.have().get(0) {
            break;
        }
    }
    assert!(t.picker.have().get(0) && of_piece_0.len() == 1 && !of_piece_0.contains(&3), "{of_piece_0:?}");
}
