//! The three causes of late first pictures among viewers in docs/adr/0010-among-viewers.md. Each
//! test names the figures that were measured without the fix, before the picker took a busy line
//! into account.
#![allow(clippy::unwrap_used)]

use playswarm_logic::torrent::{
    Admission, Config, Connection, Content, HOUSEKEEPING, Input, Origin, Output, Surroundings, Torrent,
};
use playswarm_logic::{BLOCK_BYTES, Bits, Layout, Machine, PeerKey, Time, picker, slots};
use playswarm_proto::InfoHash;
use playswarm_proto::handshake::{PeerId, Reserved};
use playswarm_proto::wire::{Message, Span};
use playswarm_sim::clients::{Scenario, run, scenario};
use std::net::SocketAddr;

/// Returns the median and the longest of the start delays, seconds. All viewers must start.
fn starts(scenario: &Scenario) -> (f64, f64) {
    let report = run(scenario, 1).unwrap();
    println!("{}", report.line());
    let starts = report.starts();
    assert_eq!(starts.len(), scenario.viewers as usize);
    (starts[starts.len() / 2], starts[starts.len() - 1])
}

/// Downlinks of three times the film's rate, and forty peers that may all be asked.
///
/// `reach_s` in the picker's `price.rs` bounds requests to unmeasured peers while a reader is
/// blocked. Without it (infinite for them), newcomers fill their lines with pieces that are shown
/// later. The median is then 2.75 s instead of 1.49 s, the last start 5.41 s instead of 2.24 s.
#[test]
fn newcomers_do_not_fill_their_own_lines_before_the_first_picture() {
    let base = scenario("p2pmod").unwrap();
    let (median, last) =
        starts(&Scenario { viewers: 40, film_s: 60.0, arrivals_s: 20.0, viewer_down: 1e6 / 8.0, ..base });
    assert!(median < 2.0 && last < 3.5, "{median} s, {last} s");
}

/// More viewers than a client unchokes. Only those ahead have useful pieces.
///
/// If `say_interest` in the picker's `peers.rs` never revokes INTERESTED, viewers that want nothing
/// hold upload slots. The median is then 2.66 s instead of 1.24 s, the last start 9.94 s instead of
/// 2.06 s.
#[test]
fn viewers_that_want_nothing_hold_no_slots() {
    let base = scenario("p2pmod").unwrap();
    let (_, last) = starts(&Scenario { viewers: 70, film_s: 90.0, arrivals_s: 30.0, ..base });
    assert!(last < 4.0, "{last} s");
}

/// A client that has the whole film, and its peers.
struct Line {
    torrent: Torrent,
    layout: Layout,
    now: Time,
    said: Vec<Output>,
}

impl Line {
    fn new() -> Line {
        let layout = Layout::new(64 * u64::from(BLOCK_BYTES), BLOCK_BYTES).unwrap();
        let config = Config {
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId::from_random([1; 12]),
            listen: SocketAddr::from(([9, 9, 9, 9], 6881)),
            dht: false,
            pex: true,
            slot_index: false,
            max_peers: 80,
            upload_bytes_per_s: 0,
            memory_limit_bytes: 64 << 20,
            storage_limit_bytes: 0,
            seed: 1,
            picker: picker::Config::default(),
            upload_slots: 8,
            slots: slots::Config::default(),
        };
        let all = Bits::full(layout.pieces());
        let content = Content {
            layout,
            files: std::iter::once(0..layout.total_bytes()).collect(),
            private: false,
            info: bytes::Bytes::from_static(b"de"),
        };
        let torrent = Torrent::new(Time::ZERO, config);
        let mut line = Line { torrent, layout, now: Time::ZERO, said: Vec::new() };
        line.tell(Input::Ready { content, have: all.clone(), told: all, known_tails: Vec::new() });
        line
    }

    fn tell(&mut self, input: Input) {
        self.torrent.handle(self.now, input);
        self.said = std::iter::from_fn(|| self.torrent.poll()).collect();
    }

    fn hear(&mut self, key: PeerKey, message: Message) {
        self.torrent.receive_messages(self.now, key, &mut vec![message]).unwrap();
        self.said = std::iter::from_fn(|| self.torrent.poll()).collect();
    }

    /// Connects a peer that wants the film. Returns its key, and whether it is unchoked at once.
    fn joins(&mut self, n: u8) -> (PeerKey, bool) {
        let addr = SocketAddr::from(([20, n, 1, 1], 6881));
        let connection = Connection {
            addr,
            origin: Origin::Incoming,
            remote: addr,
            peer_id: PeerId([n; 20]),
            reserved: Reserved::ours(false),
            incoming: true,
            utp: false,
            rtt: None,
            told: None,
        };
        let Admission::Joined(key) = self.torrent.connect(self.now, &connection) else { panic!("{n} is refused") };
        self.hear(key, Message::HaveNone);
        self.hear(key, Message::Interested);
        (key, self.said.iter().any(|said| matches!(said, Output::Send(to, Message::Unchoke) if *to == key)))
    }

    /// Advances by half a second. At the check, each of these peers waits for a block, and the
    /// first one's is being sent. All are served soon after.
    fn look(&mut self, waiting: &[PeerKey], piece: u32) {
        self.now = self.now + HOUSEKEEPING;
        if self.torrent.next_timeout() <= self.now {
            self.tell(Input::Timeout);
        }
        let length =
            self.layout.block_bytes(playswarm_logic::BlockRef { piece: playswarm_logic::PieceIndex(piece), block: 0 });
        for key in waiting {
            self.hear(*key, Message::Request(Span { piece, begin: 0, length }));
        }
        let sending = waiting.first().copied().into_iter().collect();
        self.tell(Input::Tick(Surroundings {
            room: true,
            disk_room_bytes: u64::MAX,
            sending,
            ..Surroundings::default()
        }));
        for key in waiting {
            while let Some(span) = self.torrent.next_upload(*key) {
                self.torrent.uploaded(self.now, *key, u64::from(span.length));
            }
        }
    }
}

/// Twelve peers, of which three wait for a block at each check, different ones each time.
///
/// With `WAITS_LONG` in `torrent/peer.rs` at zero, a peer counts as waiting if it waited at any
/// check of the last two seconds. The slots are then taken, and the newcomer is not unchoked when it
/// joins.
#[test]
fn a_line_that_a_dozen_peers_use_at_times_has_a_slot_for_a_newcomer() {
    let mut line = Line::new();
    let peers: Vec<PeerKey> = (1..=12).map(|n| line.joins(n).0).collect();
    for n in 0..90 {
        let first = 3 * n % 12;
        line.look(&peers[first..first + 3], n as u32 % 64);
    }
    let (_, at_once) = line.joins(13);
    assert!(at_once, "the newcomer waits for a slot although the line has room");
}
