//! A viewer and its seeds on a shaped network, for the tests of streaming itself.

use crate::netlab::{Link, Net};
use crate::peers::{RealPeer, libtorrent};
use crate::playswarm::{Builder, Playswarm};
use crate::torrent::TestTorrent;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A shaped network with libtorrent seeds `seed0`, `seed1`, … and a host `viewer`.
pub struct Swarm {
    /// The seeds, in order.
    pub seeds: Vec<RealPeer>,
    /// The network, whose links can be cut. Declared after the seeds, so that they are dropped
    /// first.
    pub net: Net,
    links: Vec<Link>,
    viewer: Link,
}

impl Swarm {
    /// Creates seeds with these links, and a viewer with its own. Needs
    /// [`crate::requirement::network`].
    pub fn new(torrent: &TestTorrent, viewer: Link, seeds: &[Link]) -> Swarm {
        let names = (0..seeds.len()).map(|i| format!("seed{i}")).collect::<Vec<_>>();
        let mut hosts = vec![("viewer", viewer)];
        hosts.extend(names.iter().map(String::as_str).zip(seeds.iter().copied()));
        let net = Net::new(&hosts);
        let seed = |name: &String| {
            let (place, listen) = (net.place(name), net.addr(name, 6881));
            libtorrent::seed(torrent, &libtorrent::Options { place, listen, ..libtorrent::Options::default() })
        };
        let running = names.iter().map(seed).collect();
        Swarm { seeds: running, net, links: seeds.to_vec(), viewer }
    }

    /// Returns the seeds' addresses.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.seeds.iter().map(|seed| seed.addr).collect()
    }

    /// Prepares the program on the viewer's host, with all seeds as peers.
    pub fn watch(&self, torrent: &Path) -> Builder {
        let listen = self.net.addr("viewer", 6881);
        Builder::stream(torrent).place(self.net.place("viewer"), listen).peers(self.addrs())
    }

    /// Starts [`Self::watch`] and waits for its URL.
    #[track_caller]
    pub fn start(&self, torrent: &Path) -> Playswarm {
        self.watch(torrent).start()
    }

    /// Returns the shortest time to the first byte of a piece, if only verified data is shown: two
    /// round trips to the nearest seed, plus the transfer of the piece. The transfer runs at the
    /// total rate of the seeds or at that of the viewer's own link.
    pub fn limit(&self, piece_length: u64) -> Duration {
        let up: u64 = self.links.iter().map(|link| link.up_kbit).sum();
        let kbit = if self.viewer.down_kbit == 0 { up } else { up.min(self.viewer.down_kbit) };
        let nearest = self.links.iter().map(|link| link.delay_ms).fold(f64::INFINITY, f64::min);
        let round_trip = 2.0 * (nearest + self.viewer.delay_ms) / 1000.0;
        Duration::from_secs_f64(2.0 * round_trip + piece_length as f64 * 8.0 / (kbit as f64 * 1000.0))
    }
}
