//! A process with few descriptors: peers leave some for its player. In a binary of its own, as the
//! limit is the process's.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod common;

use common::{Film, soon, until};
use playswarm::{Config, Session};
use playswarm_serve::{HttpConfig, serve};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DESCRIPTORS: u64 = 128;
const PEERS: usize = 130;

/// Peers that shake hands, have nothing, and stay. Their ends of the connections take another
/// process's descriptors.
const CROWD: &str = r#"
import socket, sys, threading
def serve(listener, ours):
    held = []
    while True:
        peer, _ = listener.accept()
        held.append(peer)
        peer.recv(68, socket.MSG_WAITALL)
        peer.sendall(ours)
ports = []
for n in range(int(sys.argv[2])):
    listener = socket.create_server((f"127.0.1.{n + 1}", 0))
    ports.append("%s:%d" % listener.getsockname())
    ours = b"\x13BitTorrent protocol" + bytes(8) + bytes.fromhex(sys.argv[1]) + b"-XX0000-" + b"%012d" % n
    threading.Thread(target=serve, args=(listener, ours), daemon=True).start()
print(*ports, flush=True)
threading.Event().wait()
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_peers_and_128_descriptors_leave_room_for_the_players_connection() {
    let film = Film::new(2_000_000, 3).await;
    let seed = film.seed().await;
    let mut others = std::process::Command::new("python3")
        .args(["-c", CROWD, &film.torrent.info_hash.to_string(), &PEERS.to_string()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(others.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    // The peers start first and have their descriptors before the limit applies.
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(DESCRIPTORS), maximum }).unwrap();
    let peers = line.split_whitespace().map(|addr| addr.parse::<SocketAddr>().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::offline(dir.path());
    config.peers = vec![seed.addr().into()];
    config.max_peers = 200;
    let session = Session::new(config).await.unwrap();
    let handle = session.open(film.source()).await.unwrap();
    // The seed is added first, because not all peers get a descriptor.
    until("the seed is connected", || handle.status().peers.len() == 1).await;
    peers.for_each(|peer| handle.add_peer(peer));
    until("more than 30 peers are connected", || handle.status().peers.len() > 30).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let server = serve(handle.clone(), 0, HttpConfig::default()).await.unwrap();
    let url = server.url();
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    for _ in 0..5 {
        let mut player = soon("the player is connected", TcpStream::connect(host)).await.unwrap();
        let get = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nRange: bytes=0-99999\r\nConnection: close\r\n\r\n");
        player.write_all(get.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        soon("the film's bytes", player.read_to_end(&mut answer)).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 206") && answer.ends_with(&film.data[..100_000]));
    }
    let _ = others.kill();
    let _ = others.wait();
    server.stop().await;
    session.close().await;
}
