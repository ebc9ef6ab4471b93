//! Links in the forms in which users find them: redirects of indexers, escaped magnet links, peers
//! by host name, selected files.
#![allow(clippy::unwrap_used)]

use playswarm_tests::playswarm::{Builder, Playswarm, STARTUP};
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::torrent::{TestTorrent, hex};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

/// Starts `playswarm seed` on plain loopback. Returns it with its port.
fn seed(torrent: &TestTorrent) -> (Playswarm, u16) {
    let path = torrent.data().join(&torrent.name);
    let mut seed = Builder::seed(&path, &torrent.file()).listen("127.0.0.1:0".parse().unwrap()).spawn();
    let port = |line: &str| line.strip_prefix("seeding: ")?.rsplit(':').next()?.trim().parse().ok();
    let port = seed.process.expect_line(0, STARTUP, port);
    (seed, port)
}

/// Starts a web server that redirects each request: first to itself, then to `location`.
fn indexer(status: &'static str, location: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (n, socket) in listener.incoming().enumerate() {
            let Ok(mut socket) = socket else { return };
            let _ = socket.read(&mut [0; 4096]);
            let to = if n == 0 { "/download?id=7" } else { &location };
            let _ =
                write!(socket, "HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    addr
}

fn season() -> TestTorrent {
    TestTorrent::multi("season", &[("E01.mkv", 3 << 20), ("E02.mkv", 2 << 20), ("E03.mkv", 1 << 20)], 64 << 10)
}

#[test]
fn an_indexers_redirect_to_a_magnet_plays_the_file_that_the_link_selects_from_the_peer_that_it_names() {
    let torrent = season();
    let (_seed, port) = seed(&torrent);
    let hash = hex(&torrent.info_hash).to_uppercase();
    let magnet = format!("magnet:?xt=urn:btih:{hash}&dn=A season&so=1&x.pe=localhost:{port}");
    for (status, location) in [
        ("302 Found", magnet.clone()),
        ("301 Moved Permanently", magnet.replace("magnet:?", "magnet:%3F").replace('&', "&amp;")),
    ] {
        let at = indexer(status, location);
        let playswarm = Builder::stream(format!("http://{at}/dl/indexer/?jackett_apikey=secret")).start();
        assert!(playswarm.url().path.contains("E02.mkv"), "{}", playswarm.url().path);
        CheckedReader::new(&playswarm, torrent.content(1)).read_all();
    }
}

#[test]
fn a_magnet_as_desktops_hand_it_over_plays_from_a_peer_given_by_its_host_name() {
    let torrent = season();
    let (_seed, port) = seed(&torrent);
    let magnet = format!("'magnet:%3Fxt%3Durn%3Abtih%3A{}%26dn%3DA%2520season%26SO%3D2'\n", hex(&torrent.info_hash));
    let playswarm = Builder::stream(magnet).argument("--peer").argument(&format!("localhost:{port}")).start();
    CheckedReader::new(&playswarm, torrent.content(2)).read_all();
}

#[test]
fn info_follows_a_redirect_to_a_magnet_too() {
    let torrent = season();
    let (_seed, port) = seed(&torrent);
    let at = indexer(
        "307 Temporary Redirect",
        format!("magnet:?xt=urn:btih:{}&x.pe=localhost:{port}", hex(&torrent.info_hash)),
    );
    let mut info = Command::new(playswarm_tests::playswarm::binary());
    info.args(["info", "--wait", "5", "--no-dht", "--no-lsd", "--no-port-map", "--listen", "127.0.0.1:0"]);
    let output = info.arg(format!("http://{at}/dl")).output().unwrap();
    let (out, printed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("E03.mkv"), "{out}{printed}");
}
