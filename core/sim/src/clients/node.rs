//! A node: a client's torrent, its store, its lines, and its player.

use super::report::ViewerReport;
use super::scenario::Scenario;
use super::store::Store;
use super::uplink::Uplink;
use crate::link::Link;
use crate::reader::Reader;
use crate::rng::Rng;
use crate::slots::address;
use crate::spec::Script;
use playswarm_logic::torrent::{Config, Content, FileTime, Input, Torrent};
use playswarm_logic::{Layout, Machine, PeerKey, ReaderKey, Time, picker, slots};
use playswarm_proto::InfoHash;
use playswarm_proto::handshake::PeerId;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// Most connections of a client in each direction, as the engine has by default.
const MAX_PEERS: usize = 80;

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) connection: usize,
    /// Which of the connection's two ends this is.
    pub(super) side: usize,
}

pub(super) struct Node {
    pub(super) torrent: Torrent,
    pub(super) store: Store,
    pub(super) up: Uplink,
    pub(super) down: Link,
    pub(super) ends: BTreeMap<PeerKey, End>,
    pub(super) player: Reader,
    /// The player's reader, once it is open.
    pub(super) reader: ReaderKey,
    pub(super) waiting: bool,
    /// Time of the player's last start or jump; `None` once it shows a picture.
    pub(super) asked_at: Option<Time>,
    pub(super) here: bool,
    pub(super) gone: bool,
    pub(super) is_origin: bool,
    pub(super) reachable: bool,
    pub(super) lies: bool,
    /// Time of its timeout; earlier events for it are outdated.
    pub(super) wake_at: Time,
    pub(super) asked_tracker_at: Option<Time>,
    pub(super) report: ViewerReport,
    pub(super) rng: Rng,
}

/// A film of a constant rate with a keyframe every second.
struct Steady {
    bytes: u64,
    bytes_per_s: f64,
}

impl FileTime for Steady {
    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.bytes as f64 / self.bytes_per_s)
    }

    fn time_at(&self, byte: u64) -> Duration {
        Duration::from_secs_f64(byte.min(self.bytes) as f64 / self.bytes_per_s)
    }

    fn bytes_per_s(&self, _: Duration) -> Option<f64> {
        Some(self.bytes_per_s)
    }

    fn byte_range(&self, times: Range<Duration>) -> Range<u64> {
        let at = |time: Duration| ((time.as_secs_f64() * self.bytes_per_s) as u64).min(self.bytes);
        at(times.start)..at(times.end)
    }

    fn seek_target(&self, time: Duration) -> Option<u64> {
        Some(((time.as_secs() as f64 * self.bytes_per_s) as u64).min(self.bytes))
    }
}

impl Node {
    pub(super) fn new(scenario: &Scenario, layout: Layout, number: u32, rng: Rng) -> Node {
        let is_origin = number < scenario.origins;
        let mut rng = rng;
        let seed = rng.next();
        let config = Config {
            info_hash: InfoHash([7; 20]),
            peer_id: PeerId::from_random(std::array::from_fn(|i| (seed >> (5 * i)) as u8)),
            listen: address(number),
            dht: true,
            pex: true,
            slot_index: scenario.slot_index,
            max_peers: MAX_PEERS,
            upload_bytes_per_s: 0,
            memory_limit_bytes: 64 << 20,
            storage_limit_bytes: 0,
            seed,
            picker: picker::Config { seed, ..picker::Config::default() },
            upload_slots: 8,
            slots: slots::Config::default(),
        };
        let up = if is_origin { scenario.origin_up } else { scenario.viewer_up };
        let down = if is_origin { scenario.origin_up } else { scenario.viewer_down };
        Node {
            torrent: Torrent::new(Time::ZERO, config),
            store: Store::new(layout, is_origin),
            up: Uplink::new(up),
            down: Link::new(down, 3600.0),
            ends: BTreeMap::new(),
            player: Reader::new(&Script::player(scenario.film_bytes_per_s, 0.0, &[]), ReaderKey(0)),
            reader: ReaderKey(0),
            waiting: false,
            asked_at: None,
            here: false,
            gone: false,
            is_origin,
            reachable: is_origin || !rng.chance(scenario.unreachable),
            lies: !is_origin && rng.chance(scenario.liars),
            wake_at: Time::NEVER,
            asked_tracker_at: None,
            report: ViewerReport::default(),
            rng,
        }
    }

    /// Starts the client's program.
    pub(super) fn start(&mut self, now: Time, scenario: &Scenario, layout: Layout) {
        self.here = true;
        let bytes = layout.total_bytes();
        let content = Content {
            layout,
            files: std::iter::once(0..bytes).collect(),
            private: false,
            info: bytes::Bytes::from_static(b"de"),
        };
        let have = self.store.have.clone();
        self.torrent.handle(now, Input::Ready { content, told: have.clone(), have, known_tails: Vec::new() });
        if !self.is_origin {
            let time = std::sync::Arc::new(Steady { bytes, bytes_per_s: scenario.film_bytes_per_s });
            self.torrent.handle(now, Input::TimeKnown { file: 0, time, index: Vec::new() });
        }
    }
}
