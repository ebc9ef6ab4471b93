//! Situations of a whole torrent, with peers that are simulated message by message.

mod sources;

use super::*;
use crate::Layout;
use bytes::Bytes;
use playswarm_proto::extended::{ExtendedHandshake, decode_dont_have, ours};
use playswarm_proto::handshake::{PeerId, Reserved};
use playswarm_proto::{AddressClass, InfoHash};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

const PIECES: u32 = 64;
const BLOCKS: u32 = 4;
const DONT_HAVE: u8 = 3;

/// A torrent under test, and its last outputs.
struct World {
    torrent: Torrent,
    now: Time,
    said: Vec<Output>,
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([9, 9, n, 1], 6881))
}

fn config() -> Config {
    Config {
        info_hash: InfoHash([1; 20]),
        peer_id: PeerId::from_random([1; 12]),
        listen: addr(0),
        dht: false,
        pex: true,
        slot_index: false,
        max_peers: 8,
        upload_bytes_per_s: 0,
        memory_limit_bytes: 64 << 20,
        storage_limit_bytes: 0,
        seed: 7,
        picker: picker::Config::default(),
        upload_slots: 8,
        slots: slots::Config::default(),
    }
}

fn layout() -> Layout {
    let piece = BLOCKS * BLOCK_BYTES;
    Layout::new(u64::from(PIECES) * u64::from(piece), piece).unwrap()
}

impl World {
    /// Creates a torrent that has only these pieces.
    fn with(have: &[u32]) -> World {
        World::new(config(), have)
    }

    fn new(config: Config, have: &[u32]) -> World {
        let mut world = World { torrent: Torrent::new(Time::ZERO, config), now: Time::ZERO, said: Vec::new() };
        let content = Content {
            layout: layout(),
            files: std::iter::once(0..layout().total_bytes()).collect(),
            private: false,
            info: Bytes::from_static(b"de"),
        };
        let mut bits = Bits::new(PIECES);
        have.iter().for_each(|piece| _ = bits.set(*piece, true));
        world.tell(Input::Ready { content, have: bits.clone(), told: bits, known_tails: Vec::new() });
        world
    }

    fn drain(&mut self) {
        self.said = std::iter::from_fn(|| self.torrent.poll()).collect();
    }

    fn tell(&mut self, input: Input) {
        self.torrent.handle(self.now, input);
        self.drain();
    }

    fn pass(&mut self, seconds: f64) {
        let end = self.now.plus_secs(seconds);
        while self.now < end {
            self.now = self.now + HOUSEKEEPING;
            self.tell(Input::Tick(Surroundings { room: true, disk_room_bytes: u64::MAX, ..Surroundings::default() }));
        }
    }

    fn connection(n: u8, incoming: bool) -> Connection {
        Connection {
            addr: addr(n),
            origin: if incoming { Origin::Incoming } else { Origin::Tracker },
            remote: addr(n),
            peer_id: PeerId([n; 20]),
            reserved: Reserved::ours(false),
            incoming,
            utp: false,
            rtt: None,
            told: None,
        }
    }

    fn connect(&mut self, n: u8) -> PeerKey {
        let admission = self.torrent.connect(self.now, &World::connection(n, true));
        self.drain();
        match admission {
            Admission::Joined(key) => key,
            other => panic!("{other:?}"),
        }
    }

    /// Connects a seed that unchokes us.
    fn seed(&mut self, n: u8) -> PeerKey {
        let key = self.connect(n);
        self.hear(key, vec![Message::HaveAll, Message::Unchoke]);
        key
    }

    fn hear(&mut self, key: PeerKey, mut messages: Vec<Message>) {
        self.torrent.receive_messages(self.now, key, &mut messages).unwrap();
        self.drain();
    }

    fn read(&mut self) -> ReaderKey {
        let reader = OpenReader { purpose: Purpose::Play, file: 0, start: 0, end: layout().total_bytes(), position: 0 };
        self.tell(Input::ReaderOpened(ReaderKey(0), reader));
        self.tell(Input::ReaderBlocked(ReaderKey(0), 0));
        ReaderKey(0)
    }

    fn messages_to(&self, key: PeerKey) -> Vec<Message> {
        let sent = self.said.iter().filter_map(|output| match output {
            Output::Send(to, message) if *to == key => Some(message.clone()),
            _ => None,
        });
        sent.collect()
    }

    fn requests_to(&self, key: PeerKey) -> Vec<Span> {
        let spans = self.messages_to(key).into_iter().filter_map(|message| match message {
            Message::Request(span) => Some(span),
            _ => None,
        });
        spans.collect()
    }

    /// Admits a peer's answer to a request.
    fn admit(&mut self, key: PeerKey, span: Span) -> (Ticket, bool) {
        let data = Bytes::from(vec![0; span.length as usize]);
        let block = Message::Piece { piece: span.piece, begin: span.begin, data };
        self.torrent.admit_blocks(self.now, key, &[block]).unwrap()[0].unwrap()
    }

    fn receive(&mut self, key: PeerKey, ticket: Ticket, stored: Stored) -> Vec<(usize, Ticket)> {
        let received = Received { ticket, bytes: BLOCK_BYTES, stored };
        let again = self.torrent.receive_blocks(self.now, key, &[received], false).unwrap();
        self.drain();
        again
    }
}

#[test]
fn a_reader_makes_requests_of_a_peer_that_has_its_piece() {
    let mut world = World::with(&[]);
    let seed = world.seed(1);
    world.read();
    world.pass(0.5);
    let all: Vec<Span> = world.requests_to(seed);
    assert!(!all.is_empty() || world.torrent.picker().unwrap().peer(seed).unwrap().outstanding > 0);
}

#[test]
fn a_block_that_was_stored_for_a_piece_that_failed_meanwhile_is_stored_again() {
    let mut world = World::with(&[]);
    let seed = world.connect(1);
    world.read();
    world.hear(seed, vec![Message::HaveAll, Message::Unchoke]);
    let span = world.requests_to(seed)[0];
    let (ticket, wanted) = world.admit(seed, span);
    assert!(wanted && ticket.generation == 0);
    // The piece fails while the block is copied: its blocks are dropped.
    world.tell(Input::Corrupt(PieceIndex(span.piece), Vec::new()));
    assert!(world.said.iter().any(|o| matches!(o, Output::DropBlocks(piece, 1) if piece.0 == span.piece)));
    let again = world.receive(seed, ticket, Stored::Kept);
    let [(0, renewed)] = again[..] else { panic!("{again:?}") };
    assert_eq!((renewed.block, renewed.generation), (ticket.block, 1));
    assert!(world.receive(seed, renewed, Stored::Kept).is_empty());
    let accepted = world.torrent.picker().unwrap().accepts(seed, ticket.block);
    assert!(!accepted, "it is here now");
}

#[test]
fn a_piece_is_announced_to_all_and_withdrawn_from_those_that_understand() {
    let mut world = World::with(&[]);
    let (modern, old) = (world.connect(1), world.connect(2));
    let handshake = ExtendedHandshake { lt_donthave: Some(DONT_HAVE), ..ExtendedHandshake::default() };
    world.hear(modern, vec![Message::Extended { id: 0, payload: handshake.encode() }]);
    world.hear(old, vec![Message::Extended { id: 0, payload: Bytes::from_static(b"d1:v1:xe") }]);
    world.tell(Input::Verified(PieceIndex(5), Vec::new()));
    assert_eq!(world.messages_to(modern), [Message::Have(5)]);
    assert_eq!(world.messages_to(old), [Message::Have(5)]);
    world.tell(Input::Lost(vec![(PieceIndex(5), true)]));
    let [Message::Extended { id: DONT_HAVE, payload }] = &world.messages_to(modern)[..] else { panic!() };
    assert_eq!(decode_dont_have(payload), Some(5));
    assert_eq!(world.messages_to(old), []);
    // A greeting announces the pieces stored now.
    assert_eq!(world.torrent.greeting().have, Some(Bits::new(PIECES)));
}

#[test]
fn a_peer_learns_of_changes_since_its_greeting() {
    let mut world = World::with(&[1, 2]);
    let mut told = Bits::new(PIECES);
    told.set(1, true);
    told.set(9, true);
    let connection = Connection { told: Some(told), ..World::connection(1, true) };
    let Admission::Joined(key) = world.torrent.connect(world.now, &connection) else { panic!() };
    world.drain();
    assert!(world.messages_to(key).contains(&Message::Have(2)));
    assert!(!world.messages_to(key).contains(&Message::Have(1)));
}

#[test]
fn a_magnet_asks_for_its_info_and_hears_what_peers_said_before() {
    let mut torrent = Torrent::new(Time::ZERO, config());
    let Admission::Joined(key) = torrent.connect(Time::ZERO, &World::connection(1, true)) else { panic!() };
    let offer = ExtendedHandshake {
        ut_metadata: Some(ours::UT_METADATA),
        metadata_size: Some(2),
        ..ExtendedHandshake::default()
    };
    let mut said = vec![Message::HaveAll, Message::Unchoke, Message::Extended { id: 0, payload: offer.encode() }];
    torrent.receive_messages(Time::ZERO, key, &mut said).unwrap();
    let asked = std::iter::from_fn(|| torrent.poll())
        .filter(|output| matches!(output, Output::Send(_, Message::Extended { id: ours::UT_METADATA, .. })))
        .count();
    assert_eq!(asked, 1);
    let mut world = World { torrent, now: Time::ZERO, said: Vec::new() };
    let content = Content {
        layout: layout(),
        files: std::iter::once(0..layout().total_bytes()).collect(),
        private: false,
        info: Bytes::from_static(b"de"),
    };
    let none = Bits::new(PIECES);
    world.tell(Input::Ready { content, have: none.clone(), told: none, known_tails: Vec::new() });
    assert_eq!(world.torrent.share_of(key), 1.0);
    assert!(world.torrent.metadata_progress().is_none());
}

#[test]
fn a_private_torrent_keeps_only_peers_of_trackers_and_stops_other_ways_to_find_them() {
    let mut torrent = Torrent::new(Time::ZERO, config());
    let named = |n, origin| Finding::Peer { addr: addr(n), origin, by: AddressClass::Global };
    torrent.handle(Time::ZERO, Input::Found(vec![named(1, Origin::Tracker), named(2, Origin::Dht)]));
    let mut connect = |n: u8, origin| {
        let connection = Connection { origin, ..World::connection(n, false) };
        match torrent.connect(Time::ZERO, &connection) {
            Admission::Joined(key) => key,
            other => panic!("{other:?}"),
        }
    };
    let (named, found) = (connect(1, Origin::Tracker), connect(2, Origin::Dht));
    let content = Content {
        layout: layout(),
        files: std::iter::once(0..layout().total_bytes()).collect(),
        private: true,
        info: Bytes::from_static(b"de"),
    };
    let none = Bits::new(PIECES);
    torrent.handle(Time::ZERO, Input::Ready { content, have: none.clone(), told: none, known_tails: Vec::new() });
    let said: Vec<Output> = std::iter::from_fn(|| torrent.poll()).collect();
    assert!(said.iter().any(|output| matches!(output, Output::MakePrivate)));
    let left: Vec<PeerKey> = torrent.peers().map(|(key, _)| key).collect();
    assert_eq!((left, named != found), (vec![named], true));
}

#[test]
fn useless_connections_give_way_at_once_while_a_reader_waits_for_what_none_of_them_has() {
    let mut world = World::with(&[]);
    // Peers without pieces take all places for incoming connections and for dials.
    for n in 1..=8 {
        let key = world.connect(n);
        world.hear(key, vec![Message::HaveNone]);
    }
    for n in 11..=12 {
        let connection = Connection { origin: Origin::Given, ..World::connection(n, false) };
        world.tell(Input::Given(vec![addr(n)]));
        let Admission::Joined(key) = world.torrent.connect(world.now, &connection) else { panic!("{n}") };
        world.hear(key, vec![Message::HaveNone]);
    }
    world.read();
    world.tell(Input::Given(vec![addr(20), addr(21)]));
    assert!(!world.said.iter().any(|output| matches!(output, Output::Dial(_))), "there is no place");
    let mut dialled = Vec::new();
    for _ in 0..80 {
        world.pass(0.5);
        dialled.extend(world.said.iter().filter_map(|output| match output {
            Output::Dial(dial) => Some((dial.addr, world.now.as_secs_f64())),
            _ => None,
        }));
    }
    assert!(dialled.iter().any(|(to, _)| *to == addr(20)) && dialled.iter().any(|(to, _)| *to == addr(21)));
    let times: Vec<f64> =
        dialled.iter().filter(|(to, _)| [addr(20), addr(21)].contains(to)).map(|(_, at)| *at).collect();
    assert!(times.windows(2).all(|w| w[1] - w[0] < 1.0), "both at once: {times:?}");
}

/// A film that shows one piece a second.
struct EvenTime;

impl FileTime for EvenTime {
    fn duration(&self) -> Duration {
        Duration::from_secs(PIECES.into())
    }

    fn time_at(&self, byte: u64) -> Duration {
        Duration::from_secs_f64(byte as f64 / f64::from(BLOCKS * BLOCK_BYTES))
    }

    fn bytes_per_s(&self, _: Duration) -> Option<f64> {
        Some(f64::from(BLOCKS * BLOCK_BYTES))
    }

    fn byte_range(&self, times: Range<Duration>) -> Range<u64> {
        let byte = |time: Duration| time.as_secs() * u64::from(BLOCKS * BLOCK_BYTES);
        byte(times.start)..byte(times.end)
    }

    fn seek_target(&self, _: Duration) -> Option<u64> {
        None
    }
}

/// A torrent with the slot index, whose player has read the first 30 of 32 pieces at once.
fn thirty_seconds_read() -> World {
    let mut world = World::new(Config { slot_index: true, ..config() }, &(0..32).collect::<Vec<_>>());
    world.tell(Input::TimeKnown { file: 0, time: Arc::new(EvenTime), index: Vec::new() });
    world.read();
    world.tell(Input::ReaderRead(ReaderKey(0), 30 * u64::from(BLOCKS * BLOCK_BYTES)));
    world
}

impl World {
    fn shows(&mut self, second: f64, playing: bool) {
        let time = Duration::from_secs_f64(second);
        self.tell(Input::PlayerShows { player: PlayerKey(0), file: 0, time, playing });
    }

    fn playhead(&self) -> (f64, bool) {
        let report = self.torrent.slot_status(self.now).unwrap();
        (report.playhead_s, report.playing)
    }
}

#[test]
fn the_playhead_that_a_player_reports_replaces_the_estimate() {
    let mut world = thirty_seconds_read();
    world.pass(2.0);
    assert!((world.playhead().0 - 1.5).abs() < 0.6 && world.playhead().1, "{:?}", world.playhead());
    world.shows(12.0, true);
    world.pass(3.0);
    assert_eq!(world.playhead(), (15.0, true));
    world.shows(15.5, false);
    world.pass(60.0);
    assert_eq!(world.playhead(), (15.5, false));
    // A reader elsewhere, of a track that is not interleaved, is no seek.
    let reader = OpenReader { purpose: Purpose::Play, file: 0, start: 0, end: layout().total_bytes(), position: 0 };
    world.tell(Input::ReaderOpened(ReaderKey(1), reader));
    world.tell(Input::ReaderRead(ReaderKey(1), 1000));
    world.pass(1.0);
    assert_eq!(world.playhead(), (15.5, false));
    // A player that no longer reports is not believed forever.
    world.shows(16.0, true);
    world.pass(60.0);
    assert_eq!(world.playhead(), (26.0, true));
    world.tell(Input::PlayerClosed(PlayerKey(0)));
    world.pass(1.0);
    assert_ne!(world.playhead().0, 26.0, "the estimate counts again");
}

#[test]
fn a_viewer_relieves_the_seed_for_as_long_as_the_reported_playhead_is_behind_the_reader() {
    for (shown, seed_is_asked) in [(30.0, true), (4.0, false)] {
        let mut world = thirty_seconds_read();
        world.shows(shown, true);
        let viewer = world.connect(2);
        let message = slots::Message { playhead_ms: 4000, playing: true, ..slots::Message::default() };
        let payload = Bytes::from(message.encode());
        world.hear(viewer, vec![Message::Extended { id: ours::PS_SLOT, payload }, Message::HaveAll, Message::Unchoke]);
        let seed = world.connect(1);
        world.hear(seed, vec![Message::HaveAll]);
        world.torrent.receive_messages(world.now, seed, &mut vec![Message::Unchoke]).unwrap();
        world.drain();
        let asked = !world.requests_to(seed).is_empty();
        assert_eq!(asked, seed_is_asked, "with a playhead at {shown} s");
    }
}

#[test]
fn a_peer_that_comes_back_from_elsewhere_takes_the_place_of_its_silent_connection() {
    let mut world = World::with(&[]);
    let old = world.seed(1);
    world.read();
    world.pass(12.0);
    let elsewhere = Connection { addr: addr(40), remote: addr(40), ..World::connection(1, true) };
    let Admission::Joined(new) = world.torrent.connect(world.now, &elsewhere) else { panic!() };
    world.drain();
    assert!(world.torrent.peers().any(|(key, _)| key == old), "until the new one has shown that it is of use");
    world.hear(new, vec![Message::HaveAll, Message::Unchoke]);
    let third = Connection { addr: addr(41), remote: addr(41), ..World::connection(1, true) };
    assert!(matches!(world.torrent.connect(world.now, &third), Admission::Known(_)), "two of an id at most");
}

#[test]
fn a_liar_is_banned_with_all_that_comes_from_its_network_and_gave_nothing() {
    let mut world = World::with(&[]);
    let liar = world.seed(1);
    let beside = Connection {
        peer_id: PeerId([77; 20]),
        remote: SocketAddr::from(([9, 9, 1, 1], 7000)),
        addr: SocketAddr::from(([9, 9, 1, 1], 7000)),
        ..World::connection(1, true)
    };
    let Admission::Joined(beside) = world.torrent.connect(world.now, &beside) else { panic!() };
    world.drain();
    world.tell(Input::Corrupt(PieceIndex(0), vec![liar]));
    let gone: Vec<PeerKey> = world
        .said
        .iter()
        .filter_map(|output| if let Output::Disconnect(key) = output { Some(*key) } else { None })
        .collect();
    assert!(gone.contains(&liar) && gone.contains(&beside), "{gone:?}");
    assert!(!world.torrent.admits(world.now, addr(1)));
    assert!(world.torrent.admits(world.now.plus_secs(3600.0), addr(1)), "not for ever");
}

#[test]
fn a_deep_queue_pauses_reading_and_serving_resumes_it() {
    let mut world = World::with(&(0..PIECES).collect::<Vec<_>>());
    let peer = world.connect(1);
    world.hear(peer, vec![Message::Interested]);
    world.pass(11.0);
    let spans = |from: u32| {
        (0..600).map(move |n| {
            let n = from + n;
            Span { piece: n / 64 % PIECES, begin: n % 64 * 1024, length: 1024 }
        })
    };
    let mut first: Vec<Message> = spans(0).map(Message::Request).collect();
    assert!(!world.torrent.receive_messages(world.now, peer, &mut first).unwrap());
    let mut second: Vec<Message> = spans(600).map(Message::Request).collect();
    assert!(world.torrent.receive_messages(world.now, peer, &mut second).unwrap());
    assert!(world.torrent.is_paused(world.now, peer));
    world.drain();
    let mut resumed = false;
    while !resumed && world.torrent.next_upload(peer).is_some() {
        world.drain();
        resumed = world.said.iter().any(|output| matches!(output, Output::Resume(key) if *key == peer));
    }
    assert!(resumed && !world.torrent.is_paused(world.now, peer));
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    let run = || {
        let mut world = World::with(&[3]);
        let mut trace = Vec::new();
        let seeds = [world.seed(1), world.seed(2)];
        world.read();
        for round in 0..40 {
            world.pass(0.5);
            let key = seeds[round % 2];
            for span in world.requests_to(key) {
                let (ticket, wanted) = world.admit(key, span);
                let stored = if wanted { Stored::Kept } else { Stored::Unwanted };
                world.receive(key, ticket, stored);
                trace.push(format!("{:?}", world.said));
            }
        }
        trace
    };
    assert_eq!(run(), run());
}

mod any_peer {
    use super::*;
    use proptest::prelude::*;

    /// An action of a peer, a reader or the store.
    #[derive(Clone, Debug)]
    enum Step {
        Connect(u8, bool),
        Say(u8, Vec<Message>),
        Answer(u8),
        Close(u8),
        Piece(u32, u8),
        Read(u64),
        Jump(u64),
        Pass,
    }

    fn span() -> impl Strategy<Value = Span> {
        (0..PIECES + 2, 0..BLOCKS + 1, prop_oneof![Just(BLOCK_BYTES), 0..BLOCK_BYTES * 9])
            .prop_map(|(piece, block, length)| Span { piece, begin: block * BLOCK_BYTES, length })
    }

    fn message() -> impl Strategy<Value = Message> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
        prop_oneof![
            Just(Message::Choke),
            Just(Message::Unchoke),
            Just(Message::Interested),
            Just(Message::NotInterested),
            Just(Message::HaveAll),
            Just(Message::HaveNone),
            (0..PIECES + 2).prop_map(Message::Have),
            (0..PIECES + 2).prop_map(Message::AllowedFast),
            bytes().prop_map(Message::Bitfield),
            span().prop_map(Message::Request),
            span().prop_map(Message::Cancel),
            span().prop_map(Message::Reject),
            (0u8..6, bytes()).prop_map(|(id, payload)| Message::Extended { id, payload }),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        let peer = 0u8..6;
        prop_oneof![
            (peer.clone(), any::<bool>()).prop_map(|(n, incoming)| Step::Connect(n, incoming)),
            (peer.clone(), proptest::collection::vec(message(), 1..6)).prop_map(|(n, said)| Step::Say(n, said)),
            peer.clone().prop_map(Step::Answer),
            peer.prop_map(Step::Close),
            (0..PIECES, 0u8..5).prop_map(|(piece, what)| Step::Piece(piece, what)),
            (0..layout().total_bytes()).prop_map(Step::Read),
            (0..layout().total_bytes()).prop_map(Step::Jump),
            Just(Step::Pass),
        ]
    }

    /// Performs a step as a driver would. Requests to each peer are kept for its answers.
    fn take(world: &mut World, asked: &mut BTreeMap<PeerKey, Vec<Span>>, step: Step) {
        world.said.clear();
        let now = world.now;
        let keys: Vec<PeerKey> = world.torrent.peers().map(|(key, _)| key).collect();
        let key = |n: u8| keys.get(usize::from(n)).copied();
        match step {
            Step::Connect(n, incoming) => _ = world.torrent.connect(now, &World::connection(n + 1, incoming)),
            Step::Say(n, mut said) => {
                let Some(key) = key(n) else { return };
                if let Err(why) = world.torrent.receive_messages(now, key, &mut said) {
                    world.torrent.handle(now, Input::Disconnected(key, why));
                }
            }
            Step::Answer(n) => {
                let Some(key) = key(n) else { return };
                let Some(span) = asked.get_mut(&key).and_then(Vec::pop) else { return };
                let data = Bytes::from(vec![0; span.length as usize]);
                let block = Message::Piece { piece: span.piece, begin: span.begin, data };
                let Ok(admitted) = world.torrent.admit_blocks(now, key, &[block]) else { return };
                let Some((ticket, wanted)) = admitted[0] else { return };
                let stored = if wanted { Stored::Kept } else { Stored::Unwanted };
                let _ =
                    world.torrent.receive_blocks(now, key, &[Received { ticket, bytes: span.length, stored }], true);
            }
            Step::Close(n) => {
                let Some(key) = key(n) else { return };
                world.torrent.handle(now, Input::Disconnected(key, Disconnect::Closed(String::new())));
            }
            Step::Piece(piece, what) => {
                let piece = PieceIndex(piece);
                world.torrent.handle(
                    now,
                    match what {
                        0 => Input::Verified(piece, Vec::new()),
                        1 => Input::Corrupt(piece, keys.first().copied().into_iter().collect()),
                        2 => Input::Lost(vec![(piece, true)]),
                        3 => Input::Lost(vec![(piece, false)]),
                        _ => Input::Proven(vec![piece]),
                    },
                );
            }
            Step::Read(position) => {
                world.torrent.handle(now, Input::ReaderRead(ReaderKey(0), position));
                world.torrent.handle(now, Input::ReaderBlocked(ReaderKey(0), position));
            }
            Step::Jump(position) => world.torrent.handle(now, Input::ReaderSought(ReaderKey(0), position)),
            Step::Pass => return world.pass(0.5),
        }
        world.drain();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Whatever peers send, the torrent continues. It requests only existing blocks from
        /// connected peers, and reports each end once.
        #[test]
        fn nothing_that_peers_do_brings_a_torrent_down(steps in proptest::collection::vec(step(), 1..120)) {
            let mut world = World::with(&[1, 5]);
            let end = layout().total_bytes();
            let reader = OpenReader { purpose: Purpose::Play, file: 0, start: 0, end, position: 0 };
            world.tell(Input::ReaderOpened(ReaderKey(0), reader));
            let mut asked: BTreeMap<PeerKey, Vec<Span>> = BTreeMap::new();
            let mut gone: BTreeSet<PeerKey> = BTreeSet::new();
            for step in steps {
                take(&mut world, &mut asked, step);
                for output in &world.said {
                    match output {
                        Output::Send(key, Message::Request(span)) => {
                            let layout = layout();
                            prop_assert!(layout.block_from_wire(span.piece, span.begin, span.length).is_some());
                            prop_assert!(!gone.contains(key), "a request to a peer that is gone");
                            asked.entry(*key).or_default().push(*span);
                        }
                        Output::Disconnect(key) => prop_assert!(gone.insert(*key), "an end is told once"),
                        _ => {}
                    }
                }
                let here: Vec<PeerKey> = world.torrent.peers().map(|(key, _)| key).collect();
                prop_assert!(here.iter().all(|key| !gone.contains(key)));
                prop_assert!(world.torrent.next_timeout() > Time::ZERO);
            }
        }
    }
}
