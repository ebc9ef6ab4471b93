//! Situations of sources that serve ranges and are asked for runs of blocks.

use super::*;

fn ranges(depth: u8, blocks: u32) -> Manner {
    Manner::Ranges { depth, least_bytes: blocks * BLOCK_BYTES, most_bytes: 64 * BLOCK_BYTES }
}

/// Returns the blocks of these requests, as numbers from the start of the torrent.
fn places(requests: &[(u32, u32, u32)]) -> Vec<u32> {
    requests.iter().map(|(_, piece, block)| piece * 4 + block).collect()
}

impl Table {
    fn source(&mut self, key: u32, pieces: u32, manner: Manner) {
        let peer = PeerKey(key);
        self.tell(Input::PeerJoined { peer, rtt: Some(Duration::from_millis(20)), manner });
        self.tell(Input::PeerHasBits(peer, Bits::full(pieces)));
        self.tell(Input::Unchoked(peer));
    }

    fn outstanding(&self, key: u32) -> u32 {
        self.picker.peer(PeerKey(key)).unwrap().outstanding
    }

    fn cancelled(&self) -> usize {
        self.out.iter().filter(|o| matches!(o, Output::Cancel(..))).count()
    }

    /// Reads where the next 50 pieces are here, so that nothing is urgent.
    fn read_in_comfort(&mut self) {
        (0..50).for_each(|piece| self.tell(Input::PieceVerified(PieceIndex(piece))));
        self.read_from(0);
        self.tell(Input::ReaderBlocked(ReaderKey(1), false));
    }
}

#[test]
fn a_source_is_asked_for_long_runs_across_pieces_while_nothing_is_urgent() {
    let mut t = Table::new(4000);
    t.read_in_comfort();
    t.source(1, 4000, ranges(1, 10));
    let asked = t.requests();
    assert_eq!(places(&asked), (200..210).collect::<Vec<_>>());
    // The next run begins when the last block of this one is here.
    t.wait(20);
    for request in &asked[..9] {
        t.wait(20);
        t.give(*request);
    }
    assert_eq!(t.requests(), []);
    t.wait(20);
    t.give(asked[9]);
    assert_eq!(places(&t.requests()), (210..220).collect::<Vec<_>>());
}

#[test]
fn while_a_reader_waits_the_runs_of_a_pipelined_source_are_short() {
    let mut t = Table::new(4000);
    t.source(1, 4000, ranges(2, 10));
    t.read_from(0);
    let asked = t.requests();
    assert_eq!(places(&asked), [0, 1, 2, 3]);
    // Two runs are outstanding until the first one is here.
    t.give(asked[0]);
    assert_eq!(t.requests(), []);
    t.give(asked[1]);
    assert_eq!(places(&t.requests()), [4, 5]);
}

#[test]
fn runs_grow_with_rate_and_round_trip() {
    let mut t = Table::new(4000);
    t.read_in_comfort();
    let rtt = Some(Duration::from_millis(100));
    t.tell(Input::PeerJoined { peer: PeerKey(1), rtt, manner: ranges(1, 1) });
    t.tell(Input::PeerHasBits(PeerKey(1), Bits::full(4000)));
    t.tell(Input::Unchoked(PeerKey(1)));
    let (mut asked, mut longest) = (t.requests(), 0);
    for _ in 0..10 {
        // A block each 5 ms: a round trip is 20 blocks.
        longest = asked.len();
        t.wait(100);
        for request in std::mem::take(&mut asked) {
            t.wait(5);
            t.give(request);
        }
        asked = t.requests();
    }
    assert_eq!(longest, 64, "the most that it may be");
}

#[test]
fn what_was_sent_to_a_source_is_in_flight_until_it_comes() {
    let mut t = Table::new(4000);
    t.source(1, 4000, ranges(1, 4));
    t.read_from(0);
    let asked = t.requests();
    assert_eq!(places(&asked), [0, 1]);
    t.tell(Input::ReaderSought(ReaderKey(1), 3000 * u64::from(PIECE)));
    assert_eq!((t.cancelled(), t.outstanding(1)), (2, 2));
    assert_eq!(t.requests(), []);
    t.give(asked[0]);
    assert_eq!(t.requests(), [], "the last one is still on its way");
    t.give(asked[1]);
    assert_eq!(places(&t.requests())[..2], [12_000, 12_001]);
    assert_eq!(t.picker.counters().wasted_bytes(), 0, "the blocks are kept");
    t.tell(Input::ReaderSought(ReaderKey(1), 0));
    assert!(t.picker.accepts(PeerKey(1), BlockRef { piece: PieceIndex(3000), block: 0 }), "it comes");
    assert!(!t.picker.wants(BlockRef { piece: PieceIndex(0), block: 1 }), "it is here");
}

#[test]
fn what_was_not_sent_yet_is_rejected_and_makes_room_at_once() {
    let mut t = Table::new(4000);
    t.source(1, 4000, ranges(1, 4));
    t.read_from(0);
    let asked = t.requests();
    t.tell(Input::ReaderSought(ReaderKey(1), 3000 * u64::from(PIECE)));
    for (_, piece, block) in asked {
        t.tell(Input::Rejected(PeerKey(1), BlockRef { piece: PieceIndex(piece), block }));
    }
    assert_eq!(places(&t.requests()), [12_000, 12_001]);
    // The piece was not refused: a seek back requests it.
    t.tell(Input::ReaderSought(ReaderKey(1), 0));
    (0..2).for_each(|block| t.give((1, 3000, block)));
    assert_eq!(places(&t.requests())[..2], [0, 1]);
}

#[test]
fn a_cancelled_block_that_is_wanted_again_is_awaited_and_not_requested() {
    let mut t = Table::new(4000);
    t.source(1, 4000, ranges(4, 2));
    t.read_from(0);
    let asked = t.requests();
    assert_eq!(places(&asked), [0, 1, 2, 3]);
    t.tell(Input::ReaderSought(ReaderKey(1), 3000 * u64::from(PIECE)));
    t.tell(Input::ReaderSought(ReaderKey(1), 0));
    asked.iter().for_each(|r| t.give(*r));
    let again: Vec<u32> = places(&t.requests()).into_iter().filter(|place| *place < 4).collect();
    assert_eq!(again, []);
    assert!(t.piece_is_whole(0));
}

#[test]
fn a_duplicate_run_ends_with_the_block_that_is_expected_last() {
    let mut t = Table::new(4000);
    t.joins(1, &"#".repeat(4000));
    t.tell(Input::Unchoked(PeerKey(1)));
    t.read_from(0);
    assert_eq!(places(&t.requests()), [0, 1, 2, 3]);
    t.wait(600);
    t.requests();
    t.source(2, 4000, ranges(2, 2));
    t.wait(100);
    let all = t.requests();
    let duplicates: Vec<_> = all.iter().filter(|r| r.0 == 2 && r.1 == 0).copied().collect();
    assert_eq!(places(&duplicates)[..2], [2, 3], "{all:?}");
}

#[test]
fn a_silent_source_gets_no_further_request_before_it_answers() {
    let mut t = Table::new(4000);
    t.source(1, 4000, ranges(2, 2));
    t.read_from(0);
    let asked = t.requests();
    t.wait(30_000);
    assert!(t.picker.peer(PeerKey(1)).unwrap().snubbed);
    assert_eq!(t.requests(), [], "all that it may have are outstanding");
    assert_eq!(t.picker.counters().timeouts, asked.len() as u64, "each is given up once");
    t.peer(2, &"#".repeat(4000));
    assert_eq!(places(&t.requests())[..4], [0, 1, 2, 3]);
    asked.iter().for_each(|r| t.give(*r));
    assert!(!t.picker.peer(PeerKey(1)).unwrap().snubbed);
    assert!(t.requests().iter().any(|r| r.0 == 1));
}

#[test]
fn a_rejected_run_is_one_reject() {
    let mut t = Table::new(4000);
    t.read_in_comfort();
    t.source(1, 4000, ranges(1, 16));
    for (_, piece, block) in t.requests() {
        t.tell(Input::Rejected(PeerKey(1), BlockRef { piece: PieceIndex(piece), block }));
    }
    assert!(!t.picker.peer(PeerKey(1)).unwrap().snubbed);
    let again = t.requests();
    assert!(!again.is_empty() && again.iter().all(|r| r.1 >= 54), "the pieces of the run are refused: {again:?}");
}

#[test]
fn a_source_that_has_all_pieces_is_spared_like_an_idle_seed() {
    for is_spared in [true, false] {
        let mut t = Table::new(512);
        t.peer(1, &"#".repeat(512));
        if is_spared {
            t.tell(Input::PeerViews(PeerKey(1)));
        }
        t.source(2, 512, ranges(2, 8));
        t.read_from(0);
        let asked = served(&mut t, 6000, &[1, 2])[&2].clone();
        let is_early = |piece: &u32| u64::from(*piece) * u64::from(PIECE) > 5_100_000;
        assert!(asked.contains(&0), "the film begins with whoever has it: {asked:?}");
        assert_eq!(asked.iter().any(is_early), !is_spared, "{asked:?}");
    }
}

#[test]
fn further_sources_are_needed_while_the_peers_deliver_less_than_is_read() {
    let mut t = Table::new(4000);
    t.read_from(0);
    assert!(t.picker.is_short(), "nobody is there");
    t.source(1, 4000, ranges(2, 2));
    assert!(!t.picker.is_short(), "it may be fast enough");
    for n in 0..20 {
        // 16 KiB each 60 ms are 270 kB/s, and the film has 500.
        t.wait(60);
        t.give((1, n / 4, n % 4));
    }
    assert!(t.picker.is_short());
    t.source(2, 4000, ranges(2, 2));
    assert!(!t.picker.is_short());
}

#[test]
fn a_download_of_everything_needs_further_sources_without_a_reader() {
    let mut t = Table::new(4000);
    t.source(1, 4000, ranges(2, 8));
    assert!(!t.picker.is_short(), "nothing is wanted");
    t.tell(Input::FetchAll(true));
    assert!(!t.picker.is_short(), "it may be fast enough");
    let mut asked = VecDeque::new();
    // 16 KiB each 60 ms are 270 kB/s, and each 4 ms 4 MB/s.
    for (ms, blocks, is_short) in [(60, 40, true), (4, 1000, false)] {
        for _ in 0..blocks {
            asked.extend(t.requests());
            t.wait(ms);
            asked.pop_front().into_iter().for_each(|request| t.give(request));
        }
        assert_eq!(t.picker.is_short(), is_short, "a block each {ms} ms");
    }
}

#[test]
fn the_pointers_of_a_reader_tell_what_is_here_and_what_may_be_fetched() {
    let mut t = Table::new(40);
    (0..3).for_each(|piece| t.tell(Input::PieceVerified(PieceIndex(piece))));
    t.read_from(0);
    t.tell(Input::ReaderRead(ReaderKey(1), 1000));
    let end = t.picker.layout.total_bytes();
    t.tell(Input::ReaderLimits { reader: ReaderKey(1), end, window: 1 << 20 });
    let pointers = Pointers { offset: 1000, end_of_data: 3 * u64::from(PIECE), end_of_buffer: 1000 + (1 << 20) };
    assert_eq!(t.picker.pointers(ReaderKey(1)), Some(pointers));
    assert_eq!(t.picker.pointers(ReaderKey(2)), None);
}
