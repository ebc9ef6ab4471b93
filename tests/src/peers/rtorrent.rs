//! rTorrent from Debian, without its screen. It implements BEP 3 and BEP 10 but not BEP 6. It
//! requests as many blocks at once as its link transfers in seconds.

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

/// Starts a download. Its peers are those that its trackers return or that dial it.
#[track_caller]
pub fn leech(file: &Path) -> RealPeer {
    run(file, tempfile::tempdir().unwrap())
}

#[track_caller]
fn run(file: &Path, data: tempfile::TempDir) -> RealPeer {
    let ip = fresh_ip();
    let own = tempfile::tempdir().unwrap();
    let session = own.path().join("session");
    std::fs::create_dir(&session).unwrap();
    let settings = own.path().join("rtorrent.rc");
    let lines = [
        "system.daemon.set = true".to_owned(),
        format!("network.bind_address.set = {ip}"),
        "network.port_range.set = 6881-6881".to_owned(),
        "network.port_random.set = no".to_owned(),
        // By default it uses one descriptor in a thousand if the system allows many.
        "network.max_open_files.set = 128".to_owned(),
        "network.max_open_sockets.set = 128".to_owned(),
        format!("session.path.set = {}", session.display()),
        format!("directory.default.set = {}", data.path().display()),
        "dht.mode.set = disable".to_owned(),
        "protocol.pex.set = no".to_owned(),
        "protocol.encryption.set = none".to_owned(),
    ];
    std::fs::write(&settings, lines.join("\n") + "\n").unwrap();
    let mut command = Place::Here.command("rtorrent");
    // It accepts no torrent without a tracker.
    let mut torrent = std::fs::read(file).unwrap();
    if !torrent.starts_with(b"d8:announce") {
        torrent.splice(1..1, *b"8:announce27:http://127.0.0.1:9/announce");
    }
    let copy = own.path().join("one.torrent");
    std::fs::write(&copy, torrent).unwrap();
    command.arg("-n").arg("-o").arg(format!("import={}", settings.display())).arg(copy).env("HOME", own.path());
    let process = Process::start("rtorrent", command);
    let addr = SocketAddr::new(ip.into(), 6881);
    let dir = data.path().to_owned();
    let peer = RealPeer { process, addr, dir, _folders: vec![data, own] };
    crate::wait_for("rtorrent to listen", Duration::from_secs(20), || {
        std::net::TcpStream::connect_timeout(&addr, Duration::from_secs(1)).ok()
    });
    peer
}
