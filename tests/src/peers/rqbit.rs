//! rqbit's engine (librqbit) as a peer: the binary `rqbit_peer` of this package. Tests therefore
//! need not build the whole program rqbit.

use super::{RealPeer, copy_of, fresh_ip};
use crate::place::Place;
use crate::playswarm::built;
use crate::process::Process;
use crate::torrent::TestTorrent;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Starts a seed of the whole torrent.
#[track_caller]
pub fn seed(torrent: &TestTorrent, file: &Path) -> RealPeer {
    run(file.to_str().unwrap(), copy_of(torrent), &[])
}

/// Downloads from a torrent file or a magnet link, dialling these peers.
#[track_caller]
pub fn leech(source: &str, peers: &[SocketAddr]) -> RealPeer {
    run(source, tempfile::tempdir().unwrap(), peers)
}

#[track_caller]
fn run(source: &str, data: tempfile::TempDir, peers: &[SocketAddr]) -> RealPeer {
    let addr = SocketAddr::new(fresh_ip().into(), 6881);
    let mut command = Place::Here.command(built("rqbit_peer"));
    command.arg(source).arg(data.path()).arg(addr.to_string()).args(peers.iter().map(SocketAddr::to_string));
    let mut process = Process::start("rqbit_peer", command);
    process.expect_line(0, Duration::from_secs(30), |line| (line == "ready").then_some(()));
    let dir = data.path().to_owned();
    RealPeer { process, addr, dir, _folders: vec![data] }
}
