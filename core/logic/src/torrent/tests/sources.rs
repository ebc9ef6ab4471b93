//! Situations of sources over HTTP: web seeds and mirrors.

use super::*;
use crate::picker::Manner;
use playswarm_proto::pex::PexMessage;

const MANNER: Manner = Manner::Ranges { depth: 2, least_bytes: 32 << 10, most_bytes: 1 << 20 };

fn source(host: u32) -> Source {
    Source {
        host: HostKey(host),
        origin: Origin::WebSeed,
        addr: SocketAddr::from(([9, 9, 100, 1], 443)),
        server: "seed.example".to_owned(),
        manner: MANNER,
        rtt: Some(Duration::from_millis(20)),
        bits: None,
    }
}

impl World {
    fn lane(&mut self, source: &Source) -> PeerKey {
        match self.torrent.connect_source(self.now, source) {
            Admission::Joined(key) => {
                self.drain();
                key
            }
            other => panic!("{other:?}"),
        }
    }

    /// Delivers the blocks, and returns the messages to the peer that follow.
    fn give(&mut self, key: PeerKey, spans: &[Span]) -> Vec<Message> {
        let mut messages = Vec::new();
        for span in spans {
            let (ticket, wanted) = self.admit(key, *span);
            self.receive(key, ticket, if wanted { Stored::Kept } else { Stored::Unwanted });
            messages.extend(self.messages_to(key));
        }
        messages
    }

    /// Lets time pass, and returns the messages to the peer meanwhile.
    fn hear_for(&mut self, key: PeerKey, seconds: f64) -> Vec<Message> {
        let mut messages = Vec::new();
        let end = self.now.plus_secs(seconds);
        while self.now < end {
            self.pass(HOUSEKEEPING.as_secs_f64());
            messages.extend(self.messages_to(key));
        }
        messages
    }
}

#[test]
fn a_source_is_sent_requests_and_nothing_else_of_the_protocol() {
    let mut world = World::with(&[60]);
    world.read();
    let lane = world.lane(&source(1));
    let spans = world.requests_to(lane);
    let mut said = world.messages_to(lane);
    assert!(spans.len() >= 2 && spans.iter().all(|span| span.piece == 0), "{spans:?}");
    said.extend(world.give(lane, &spans));
    world.tell(Input::Verified(PieceIndex(0), Vec::new()));
    said.extend(world.messages_to(lane));
    world.tell(Input::Lost(vec![(PieceIndex(0), true)]));
    said.extend(world.messages_to(lane));
    said.extend(world.hear_for(lane, 20.0));
    // Not wanted any more, and wanted again.
    for piece in 0..PIECES {
        world.tell(Input::Verified(PieceIndex(piece), Vec::new()));
        said.extend(world.messages_to(lane));
    }
    let other = |message: &&Message| !matches!(message, Message::Request(_) | Message::Cancel(_));
    assert_eq!(said.iter().find(other), None);
}

#[test]
fn an_idle_source_is_not_closed_for_its_silence() {
    let mut world = World::with(&[]);
    let lane = world.lane(&source(1));
    let peer = world.connect(1);
    world.pass(200.0);
    let connected: Vec<PeerKey> = world.torrent.peers().map(|(key, _)| key).collect();
    assert!(connected.contains(&lane) && !connected.contains(&peer), "{connected:?}");
}

#[test]
fn a_busy_source_rejects_and_is_asked_again_when_it_is_ready() {
    let mut world = World::with(&[]);
    world.read();
    let lane = world.lane(&source(1));
    let spans = world.requests_to(lane);
    let mut busy = vec![Message::Choke];
    busy.extend(spans.iter().map(|span| Message::Reject(*span)));
    world.hear(lane, busy);
    assert_eq!(world.torrent.picker().unwrap().peer(lane).unwrap().outstanding, 0);
    assert_eq!(world.hear_for(lane, 5.0), []);
    // The ranges that it has may be stated any number of times.
    for _ in 0..10 {
        world.hear(lane, vec![Message::HaveAll]);
    }
    world.hear(lane, vec![Message::Unchoke]);
    assert_eq!(world.requests_to(lane), spans);
}

#[test]
fn the_lanes_of_a_host_that_lied_close_together_and_its_address_stays_usable() {
    let mut world = World::with(&[]);
    world.read();
    // The second lane gives a right piece before.
    let second = world.lane(&source(1));
    let spans = world.requests_to(second);
    world.give(second, &spans);
    world.tell(Input::Verified(PieceIndex(0), Vec::new()));
    assert!(world.torrent.peers().any(|(key, p)| key == second && p.right > 0));
    let first = world.lane(&source(1));
    let other = world.lane(&source(2));
    world.tell(Input::Corrupt(PieceIndex(1), vec![first, second]));
    let connected: Vec<PeerKey> = world.torrent.peers().map(|(key, _)| key).collect();
    assert_eq!(connected, [other]);
    assert_eq!(world.torrent.connect_source(world.now, &source(1)), Admission::Refused);
    assert!(world.torrent.admits(world.now, source(1).addr), "a peer at that address is no liar");
}

#[test]
fn a_suspected_lane_puts_the_other_lanes_under_suspicion() {
    let mut world = World::with(&[]);
    // Asked for half a piece, so that a peer gives the other half.
    let manner = Manner::Ranges { depth: 1, least_bytes: 32 << 10, most_bytes: 32 << 10 };
    let host = Source { manner, ..source(1) };
    world.read();
    let one = world.lane(&host);
    let of_one = world.requests_to(one);
    let liar_or_not = world.seed(1);
    let of_other = world.requests_to(liar_or_not);
    for (key, spans) in [(one, of_one), (liar_or_not, of_other)] {
        let spans: Vec<Span> = spans.into_iter().filter(|span| span.piece == 0).collect();
        assert!(!spans.is_empty(), "{key:?} contributes");
        world.give(key, &spans);
    }
    let (two, honest) = (world.lane(&host), world.seed(2));
    let all = [one, two, liar_or_not, honest];
    world.tell(Input::Corrupt(PieceIndex(0), vec![one, liar_or_not]));
    // What is requested of the piece from now on goes to the one peer without suspicion.
    let mut asked: Vec<PeerKey> = Vec::new();
    for _ in 0..20 {
        asked.extend(all.iter().filter(|key| world.requests_to(**key).iter().any(|span| span.piece == 0)));
        world.pass(0.5);
    }
    assert!(!asked.is_empty() && asked.iter().all(|key| *key == honest), "{asked:?} of {all:?}");
}

#[test]
fn sources_take_no_places_of_peers_and_are_not_named_to_them() {
    let mut world = World::with(&[]);
    for host in 0..20 {
        world.lane(&source(host));
    }
    let peers: Vec<PeerKey> = (1..=2).map(|n| world.connect(n)).collect();
    assert!(world.torrent.admits(world.now, addr(3)));
    for (n, key) in peers.iter().enumerate() {
        let port = Some(7000 + n as u16);
        let handshake = ExtendedHandshake { ut_pex: Some(ours::UT_PEX), port, ..ExtendedHandshake::default() };
        world.hear(*key, vec![Message::Extended { id: 0, payload: handshake.encode() }]);
    }
    let mut named = Vec::new();
    for message in world.hear_for(peers[0], 61.0) {
        if let Message::Extended { id: ours::UT_PEX, payload } = message {
            let pex = PexMessage::decode(&payload, addr(1).ip()).unwrap();
            named.extend(pex.added.into_iter().map(|(addr, _)| addr));
        }
    }
    assert_eq!(named, [SocketAddr::new(addr(2).ip(), 7001)]);
}

#[test]
fn a_source_of_another_torrent_is_refused() {
    let mut world = World::with(&[]);
    let wrong = Source { bits: Some(Bits::full(PIECES - 1)), ..source(1) };
    assert_eq!(world.torrent.connect_source(world.now, &wrong), Admission::Refused);
    let part = Source { bits: Some(Bits::new(PIECES)), ..source(1) };
    world.read();
    let lane = world.lane(&part);
    assert_eq!(world.requests_to(lane), [], "it has nothing");
    let mut magnet = Torrent::new(Time::ZERO, config());
    assert_eq!(magnet.connect_source(Time::ZERO, &source(1)), Admission::Refused);
}

#[test]
fn pipelining_that_is_lost_leaves_one_request_at_a_time() {
    let mut world = World::with(&[]);
    world.read();
    let lane = world.lane(&source(1));
    let spans = world.requests_to(lane);
    world.tell(Input::SourceManner(lane, Manner::Ranges { depth: 1, least_bytes: 32 << 10, most_bytes: 32 << 10 }));
    let (last, others) = spans.split_last().unwrap();
    assert_eq!(world.give(lane, others), [], "two runs were outstanding");
    let next = world.give(lane, &[*last]);
    assert_eq!(next.len(), 2, "{next:?}");
}
