//! Announced pieces of peers, and distant peers with fast lines.

use super::*;
use crate::picker::peer::Ask;

/// Plays a film of 10 MB/s from one seed of 80 MB/s with a round trip of 200 ms, over a shared
/// line. Returns the seconds of film played after this number of seconds.
fn plays_at_distance(seconds: u32) -> f64 {
    const FILM: f64 = 10e6;
    let layout = Layout::new(1 << 30, 1 << 20).unwrap();
    let picker = Picker::new(layout, &Bits::new(layout.pieces()), Config::default());
    let mut t = Table { picker, now: Time(1_000_000), out: vec![] };
    let (peer, end) = (PeerKey(1), layout.total_bytes());
    let rtt = Some(Duration::from_millis(200));
    t.picker.handle(t.now, Input::PeerJoined { peer, rtt, manner: Manner::Blocks { requests: 2000, fast: true } });
    t.tell(Input::PeerHasBits(peer, Bits::full(layout.pieces())));
    t.tell(Input::Unchoked(peer));
    let (reader, rate) = (ReaderKey(1), Some(FILM));
    t.tell(Input::ReaderOpened { reader, start: 0, position: 0, end, bytes_per_s: rate, window: u64::MAX });
    t.tell(Input::ReaderBlocked(reader, true));
    let mut coming: VecDeque<(Time, BlockRef)> = VecDeque::new();
    let mut line_free = t.now;
    let (mut position, mut owed, mut waiting) = (0u64, 0.0, true);
    for _ in 0..seconds * 1000 {
        for output in std::mem::take(&mut t.out) {
            if let Output::Request(_, block) = output {
                line_free = line_free.max(t.now + Duration::from_millis(200)) + Duration::from_micros(205);
                coming.push_back((line_free, block));
            }
        }
        t.now = t.now + Duration::from_millis(1);
        if t.picker.next_timeout() <= t.now {
            t.picker.handle(t.now, Input::Timeout);
        }
        while let Some((_, block)) = coming.front().copied().filter(|(at, _)| *at <= t.now) {
            coming.pop_front();
            t.picker.handle(t.now, Input::Block(peer, block));
            if t.picker.partial.get(&block.piece.0).is_some_and(|part| part.missing == 0) {
                t.picker.handle(t.now, Input::PieceVerified(block.piece));
            }
        }
        // The player reads the bytes due by now, as far as they are available.
        owed = (owed + FILM / 1000.0).min(FILM);
        while owed > 0.0 && t.picker.have.get(layout.piece_at(position).0) {
            let step = (64u64 << 10).min(owed as u64 + 1);
            position += step;
            owed -= step as f64;
        }
        t.picker.handle(t.now, Input::ReaderRead(reader, position));
        let waits = !t.picker.have.get(layout.piece_at(position).0);
        if waits != waiting {
            waiting = waits;
            t.picker.handle(t.now, Input::ReaderBlocked(reader, waits));
        }
        t.out.extend(std::iter::from_fn(|| t.picker.poll()));
    }
    t.picker.check_invariants().unwrap();
    position as f64 / FILM
}

#[test]
fn a_distant_seed_of_a_fast_line_feeds_a_film_that_one_mebibyte_a_round_trip_would_not() {
    let played = plays_at_distance(20);
    assert!(played > 18.0, "{played} s of 20 s");
}

#[test]
fn all_that_was_out_at_a_fast_peer_is_expected_after_a_seek() {
    let mut t = Table::new(40_000);
    let peer = PeerKey(1);
    let rtt = Some(Duration::from_millis(200));
    t.tell(Input::PeerJoined { peer, rtt, manner: Manner::Blocks { requests: 5000, fast: false } });
    t.tell(Input::PeerHasBits(peer, Bits::full(40_000)));
    t.tell(Input::Unchoked(peer));
    t.read_from(0);
    t.tell(Input::ReaderBlocked(ReaderKey(1), false));
    // Its measured rate permits thousands of requests at once.
    let p = t.picker.peers.get_mut(&peer).unwrap();
    for n in 0..4000 {
        let block = BlockRef { piece: PieceIndex(n / 4), block: n % 4 };
        p.ask(Ask { block, asked: t.now, sent: t.now, filled: true, begins: true, withdrawn: false });
    }
    let asks: Vec<_> = p.queue.drain(..).collect();
    for ask in &asks {
        p.mark_stale(*ask, t.now, false);
    }
    let expected = asks.iter().filter(|ask| p.take_stale(ask.block).is_some()).count();
    assert_eq!(expected, asks.len());
}

#[test]
fn how_many_have_a_piece_is_known_whatever_peers_say() {
    let mut t = Table::new(20);
    t.read_from(0);
    t.peer(1, &"#".repeat(20));
    t.peer(2, &("#".repeat(19) + "."));
    t.peer(3, &".".repeat(20));
    let say = |t: &mut Table, peer, piece, has| {
        let (peer, piece) = (PeerKey(peer), PieceIndex(piece));
        // `tell` compares the counts with the peers each time.
        t.tell(if has { Input::PeerHas(peer, piece) } else { Input::PeerLacks(peer, piece) });
    };
    say(&mut t, 2, 19, true);
    say(&mut t, 1, 4, false);
    say(&mut t, 1, 4, false);
    say(&mut t, 1, 5, false);
    say(&mut t, 1, 4, true);
    say(&mut t, 2, 19, false);
    say(&mut t, 3, 0, true);
    t.tell(Input::PieceVerified(PieceIndex(7)));
    say(&mut t, 1, 7, false);
    t.tell(Input::PieceLost(PieceIndex(7)));
    t.tell(Input::PeerHasBits(PeerKey(3), Bits::full(20)));
    t.tell(Input::PeerLeft(PeerKey(1)));
    t.tell(Input::PeerHasBits(PeerKey(3), Bits::new(20)));
    t.tell(Input::PeerLeft(PeerKey(2)));
    t.tell(Input::PeerLeft(PeerKey(3)));
}

#[test]
fn news_of_one_piece_costs_about_the_same_however_many_there_are() {
    let cost = |pieces: u32| {
        let mut t = Table::new(pieces);
        t.read_from(0);
        for key in 1..=10 {
            t.joins(key, &"#".repeat(pieces as usize));
        }
        t.tell(Input::Unchoked(PeerKey(1)));
        let began = std::time::Instant::now();
        for n in 0..20_000 {
            let (peer, piece) = (PeerKey(1 + n % 10), PieceIndex(pieces - 1 - n % 100));
            t.now = t.now + Duration::from_micros(50);
            t.picker.handle(t.now, Input::PeerLacks(peer, piece));
            t.picker.handle(t.now, Input::PeerHas(peer, piece));
            while t.picker.poll().is_some() {}
        }
        began.elapsed().as_secs_f64()
    };
    // The first run warms up the processor.
    let _ = cost(1000);
    let (few, many) = (cost(4000), cost(400_000));
    assert!(many < 10.0 * few, "{few} s for some thousand pieces, {many} s for a hundred times as many");
}

#[test]
fn any_announced_piece_is_taken_if_no_peer_has_the_wanted_ones() {
    let mut t = Table::new(4000);
    t.read_from(2000);
    t.tell(Input::ReaderRead(ReaderKey(1), 2000 * u64::from(PIECE)));
    t.peer(1, &".".repeat(4000));
    // Behind the reader, and far ahead of it.
    for shown in [7, 3990] {
        t.tell(Input::PeerHas(PeerKey(1), PieceIndex(shown)));
        for _ in 0..10 {
            for r in t.requests() {
                t.give(r);
            }
            t.wait(30);
        }
        assert!(t.picker.partial.get(&shown).is_some_and(|part| part.missing == 0), "piece {shown} was taken");
        t.tell(Input::PieceVerified(PieceIndex(shown)));
    }
    // If another peer has the wanted pieces, those behind the reader are not requested.
    t.peer(2, &"#".repeat(4000));
    t.tell(Input::PeerHas(PeerKey(1), PieceIndex(9)));
    for _ in 0..10 {
        t.wait(30);
        assert!(t.requests().iter().all(|r| r.1 != 9));
    }
}
