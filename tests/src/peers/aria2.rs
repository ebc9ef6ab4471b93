//! aria2 from Debian.

use super::{RealPeer, copy_of, fresh_ip};
use crate::place::Place;
use crate::process::Process;
use crate::torrent::TestTorrent;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Starts a seed of the whole torrent.
#[track_caller]
pub fn seed(torrent: &TestTorrent, file: &Path) -> RealPeer {
    run(file.to_str().unwrap(), copy_of(torrent), &["--check-integrity=true"])
}

/// Downloads from a torrent file or a magnet link. Its peers are those that its trackers return or
/// that dial it.
#[track_caller]
pub fn leech(source: &str) -> RealPeer {
    run(source, tempfile::tempdir().unwrap(), &[])
}

#[track_caller]
fn run(source: &str, data: tempfile::TempDir, more: &[&str]) -> RealPeer {
    let ip = fresh_ip();
    let mut command = Place::Here.command("aria2c");
    command.args(["--no-conf=true", "--enable-dht=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false"]);
    command.args(["--seed-ratio=0.0", "--listen-port=6881", "--file-allocation=none", "--bt-max-peers=0"]);
    command.args(["--summary-interval=0", "--bt-tracker-interval=3", "--allow-overwrite=true"]);
    command.arg(format!("--interface={ip}")).arg(format!("--dir={}", data.path().display()));
    command.args(more).arg(source).env("HOME", data.path());
    let process = Process::start("aria2c", command);
    let addr = SocketAddr::new(ip.into(), 6881);
    let dir = data.path().to_owned();
    let peer = RealPeer { process, addr, dir, _folders: vec![data] };
    crate::wait_for("aria2c to listen", Duration::from_secs(20), || {
        std::net::TcpStream::connect_timeout(&addr, Duration::from_secs(1)).ok()
    });
    peer
}
