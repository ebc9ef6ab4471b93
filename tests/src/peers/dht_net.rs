//! A DHT of real libtorrent nodes, run by the Python script `peers/dht_net.py`.

use super::libtorrent::python;
use crate::place::Place;
use crate::process::Process;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// A network of nodes that know each other, until it is dropped.
pub struct DhtNet {
    /// Each node's address and id.
    pub nodes: Vec<(SocketAddr, [u8; 20])>,
    /// The process of all nodes.
    pub process: Process,
}

impl DhtNet {
    /// Starts `count` nodes and waits until each knows others. All use `ip`, or, if it is an IPv4
    /// network (`127.x.y.0`), separate addresses from there on.
    #[track_caller]
    pub fn start(ip: IpAddr, count: usize) -> DhtNet {
        DhtNet::start_at(&Place::Here, ip, count)
    }

    /// As [`Self::start`], on the given host.
    #[track_caller]
    pub fn start_at(place: &Place, ip: IpAddr, count: usize) -> DhtNet {
        let mut command = place.command(python());
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/dht_net.py"));
        command.args([ip.to_string(), count.to_string()]);
        let mut process = Process::start("DHT nodes", command);
        let nodes = process.expect_line(0, Duration::from_secs(90), |line| {
            let said: Value = serde_json::from_str(line).ok()?;
            said["nodes"].as_array()?.iter().map(node).collect()
        });
        DhtNet { nodes, process }
    }

    /// Returns some nodes for bootstrapping.
    pub fn bootstrap(&self) -> Vec<String> {
        self.nodes.iter().take(4).map(|(addr, _)| addr.to_string()).collect()
    }
}

fn node(said: &Value) -> Option<(SocketAddr, [u8; 20])> {
    let digits = said["id"].as_str().filter(|digits| digits.len() == 40)?;
    let mut id = [0; 20];
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some((said["addr"].as_str()?.parse().ok()?, id))
}
