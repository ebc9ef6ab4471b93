//! Starts and jumps over shaped lines.

use crate::Row;
use playswarm_tests::bencode::{Ben, dict};
use playswarm_tests::netlab::{Link, Net};
use playswarm_tests::nginx::Nginx;
use playswarm_tests::peers::{RealPeer, libtorrent};
use playswarm_tests::playswarm::Builder;
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) const VIEWER: &str = "viewer";
const PIECE: u64 = 1 << 20;
/// Share of a line's bytes that are payload of TCP.
const PAYLOAD: f64 = 1448.0 / 1500.0;
/// Places of the jumps, as shares of the file.
pub(crate) const JUMPS: [f64; 3] = [0.7, 0.35, 0.5];
/// Pause before a jump, so that what was read ahead is a small part of the file.
pub(crate) const WATCHED: Duration = Duration::from_secs(2);

/// A viewer, web servers and seeds. Processes end before their network.
pub(crate) struct Scene {
    pub(crate) torrent: TestTorrent,
    /// The torrent file, which names the servers as web seeds.
    pub(crate) file: PathBuf,
    peers: Vec<RealPeer>,
    _servers: Vec<Nginx>,
    pub(crate) net: Net,
    /// Payload of all senders together, bytes per second.
    rate: f64,
    /// Round trip to the nearest of them, seconds.
    round_trip_s: f64,
}

impl Scene {
    /// Creates servers and seeds with these uplinks in kbit/s and one-way delays in milliseconds.
    pub(crate) fn new(bytes: u64, servers: &[(u64, f64)], seeds: &[(u64, f64)]) -> Scene {
        let link = |(up, delay): &(u64, f64)| Link::home(*up, 0, *delay);
        let named = |what: &str, links: &[(u64, f64)]| -> Vec<(String, Link)> {
            links.iter().enumerate().map(|(n, of)| (format!("{what}{n}"), link(of))).collect()
        };
        let (servers_at, seeds_at) = (named("web", servers), named("seed", seeds));
        let mut hosts = vec![(VIEWER, Link::default())];
        hosts.extend(servers_at.iter().chain(&seeds_at).map(|(name, link)| (name.as_str(), *link)));
        let net = Net::new(&hosts);
        let torrent = TestTorrent::single("film.mkv", bytes, PIECE);
        let start = |(name, _): &(String, Link)| Nginx::at(&net.place(name), net.addr(name, 80), &torrent.data(), "");
        let running: Vec<Nginx> = servers_at.iter().map(start).collect();
        let urls = running.iter().map(|nginx| Ben::from(format!("{}/film.mkv", nginx.origin).as_str()));
        let metainfo = dict([("info", torrent.info.clone()), ("url-list", urls.collect::<Vec<_>>().into())]);
        let file = torrent.data().join("film.torrent");
        std::fs::write(&file, metainfo.encode()).unwrap();
        let seed = |(name, _): &(String, Link)| {
            let (place, listen) = (net.place(name), net.addr(name, 6881));
            libtorrent::seed(&torrent, &libtorrent::Options { place, listen, ..libtorrent::Options::default() })
        };
        let peers = seeds_at.iter().map(seed).collect();
        let all = || servers.iter().chain(seeds);
        let rate = all().map(|(kbit, _)| *kbit as f64 * 125.0 * PAYLOAD).sum();
        let round_trip_s = all().map(|(_, delay)| 2.0 * delay / 1000.0).fold(f64::INFINITY, f64::min);
        Scene { torrent, file, peers, _servers: running, net, rate, round_trip_s }
    }

    /// Returns the shortest time to a piece after so many round trips, in seconds.
    pub(crate) fn limit_s(&self, round_trips: f64) -> f64 {
        round_trips * self.round_trip_s + PIECE as f64 / self.rate
    }

    /// Prepares the program on the viewer's host.
    pub(crate) fn watch(&self, program: &Path) -> Builder {
        let builder = Builder::stream(&self.file).binary(program);
        let builder = builder.place(self.net.place(VIEWER), self.net.addr(VIEWER, 6881));
        builder.peers(self.peers.iter().map(|peer| peer.addr))
    }

    /// Returns the first byte of the piece at this share of the file.
    pub(crate) fn place(&self, share: f64) -> u64 {
        (self.torrent.total() as f64 * share) as u64 / PIECE * PIECE
    }

    /// Returns the times to the first byte in seconds: at the beginning, from the start of the program
    /// on and from the player's request on, and after each jump.
    pub(crate) fn start_and_jumps(&self, program: &Path) -> ([f64; 2], Vec<f64>) {
        let began = Instant::now();
        let playswarm = self.watch(program).start();
        let reader = CheckedReader::new(&playswarm, self.torrent.content(0));
        let before = began.elapsed();
        let start = reader.read(0, 1 << 16).first_byte;
        let jump = |share: &f64| {
            std::thread::sleep(WATCHED);
            reader.read(self.place(*share), 1 << 16).first_byte.as_secs_f64()
        };
        ([before + start, start].map(|s| s.as_secs_f64()), JUMPS.iter().map(jump).collect())
    }
}

fn times(limit_s: f64, factor: f64, took: &[f64]) -> (String, String) {
    let worst = took.iter().copied().fold(0.0, f64::max);
    let all: Vec<String> = took.iter().map(|s| format!("{s:.2}")).collect();
    (format!("{limit_s:.2} s, × {factor}"), format!("{} s, × {:.2}", all.join(", "), worst / limit_s))
}

fn start_and_jump_rows(scene: &Scene, program: &Path, factor: f64) -> Vec<Row> {
    let (start, jumps) = scene.start_and_jumps(program);
    let (start_limit, start) = times(scene.limit_s(2.0), factor, &start);
    let (jump_limit, jumps) = times(scene.limit_s(1.0), factor, &jumps);
    vec![
        ("first byte since the program's start, since the request".into(), start_limit, start),
        ("first byte after each jump".into(), jump_limit, jumps),
    ]
}

/// Measures one web seed without peers.
pub(crate) fn seed(program: &Path) -> Vec<Row> {
    start_and_jump_rows(&Scene::new(64 << 20, &[(10_000, 40.0)], &[]), program, 1.2)
}

/// Measures two mirrors and six peers.
pub(crate) fn mirrors(program: &Path) -> Vec<Row> {
    if !requirement::libtorrent() {
        return Vec::new();
    }
    let peers = [(4000, 20.0), (4000, 20.0), (2000, 30.0), (2000, 30.0), (1000, 50.0), (1000, 50.0)];
    let scene = Scene::new(96 << 20, &[(12_000, 20.0), (4000, 30.0)], &peers);
    let mut rows = start_and_jump_rows(&scene, program, 1.25);
    let playswarm = scene.watch(program).start();
    let took = CheckedReader::new(&playswarm, scene.torrent.content(0)).read_all().whole.as_secs_f64();
    let (rate, status) = (scene.torrent.total() as f64 / took, playswarm.status());
    let waste = status.waste.total() as f64 / status.downloaded_bytes.max(1) as f64;
    rows.push((
        "rate of the whole file".into(),
        format!("{:.0} kB/s, × 0.95", scene.rate / 1000.0),
        format!("{:.0} kB/s, × {:.2}", rate / 1000.0, rate / scene.rate),
    ));
    rows.push(("waste".into(), "3 %".into(), format!("{:.1} %", 100.0 * waste)));
    rows
}
