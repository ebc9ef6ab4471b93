//! transmission-daemon from Debian, controlled only by a torrent file in its watch folder.

use super::{RealPeer, copy_of, fresh_ip};
use crate::place::Place;
use crate::process::Process;
use crate::torrent::TestTorrent;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Starts a seed of the whole torrent. It checks the files before it serves them.
#[track_caller]
pub fn seed(torrent: &TestTorrent, file: &Path) -> RealPeer {
    run(file, copy_of(torrent))
}

/// Starts a download. Its peers are those that its trackers return or that dial it. It dials no
/// loopback address itself.
#[track_caller]
pub fn leech(file: &Path) -> RealPeer {
    run(file, tempfile::tempdir().unwrap())
}

#[track_caller]
fn run(file: &Path, data: tempfile::TempDir) -> RealPeer {
    let ip = fresh_ip();
    let config = tempfile::tempdir().unwrap();
    let watch = config.path().join("watch");
    std::fs::create_dir(&watch).unwrap();
    std::fs::copy(file, watch.join("one.torrent")).unwrap();
    let mut command = Place::Here.command("transmission-daemon");
    command.args([
        "--foreground",
        "--log-info",
        "--no-dht",
        "--no-lpd",
        "--no-portmap",
        "--no-auth",
        "--no-global-seedratio",
    ]);
    command.arg("--config-dir").arg(config.path()).arg("--watch-dir").arg(&watch);
    command.arg("--download-dir").arg(data.path());
    command.args(["--bind-address-ipv4", &ip.to_string(), "--bind-address-ipv6", "::1", "--peerport", "51413"]);
    command.args(["--rpc-bind-address", &ip.to_string(), "--port", "9091"]);
    command.env("HOME", config.path());
    let process = Process::start("transmission-daemon", command);
    let addr = SocketAddr::new(ip.into(), 51413);
    let dir = data.path().to_owned();
    let peer = RealPeer { process, addr, dir, _folders: vec![data, config] };
    crate::wait_for("transmission-daemon to listen", Duration::from_secs(20), || {
        std::net::TcpStream::connect_timeout(&addr, Duration::from_secs(1)).ok()
    });
    peer
}
