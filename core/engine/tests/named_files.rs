//! Files that hashes name are in none of BitTorrent's networks.
#![allow(clippy::unwrap_used)]

mod common;

use common::raw::Raw;
use common::{Film, LONG, offline_with, until};
use playswarm::{Session, Source};
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// Everything that a DHT node is sent.
fn listen_to_dht() -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (addr, noted) = (socket.local_addr().unwrap(), heard.clone());
    std::thread::spawn(move || {
        let mut packet = [0; 2048];
        while let Ok(n) = socket.recv(&mut packet) {
            noted.lock().unwrap().extend_from_slice(&packet[..n]);
        }
    });
    (addr, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_peer_and_no_dht_node_learns_of_a_file_that_a_hash_names() {
    let film = Film::new(200_000, 1).await;
    let (dht, heard) = listen_to_dht();
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer_addr = peer.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let session = Session::new(offline_with(dir.path(), |config| {
        config.dht = true;
        config.dht_bootstrap = vec![dht.to_string()];
        config.peers = vec![peer_addr.into()];
        config.web_seeds = true;
    }))
    .await
    .unwrap();
    // Its length is in the link, so that no server is asked.
    let link = "urn:sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ?xl=200000&as=http://127.0.0.1:9/film.mkv";
    let file = session.open(Source::parse(link).unwrap()).await.unwrap();
    file.add_peer(peer_addr);
    file.fetch_all(true);
    assert!(timeout(Duration::from_secs(2), peer.accept()).await.is_err(), "a peer was dialled");
    let id = file.info_hash();
    assert!(!heard.lock().unwrap().windows(20).any(|bytes| bytes == id.0), "the DHT was asked for it");

    let to = session.listen_addr().unwrap();
    assert!(Raw::dial_from("127.0.0.5", to, id.0, 7).await.is_none(), "a peer that names the file was answered");

    // With a torrent, the same session does all three.
    let torrent = session.open(film.source()).await.unwrap();
    assert!(timeout(LONG, peer.accept()).await.is_ok());
    let hash = torrent.info_hash().0;
    assert!(Raw::dial_from("127.0.0.6", to, hash, 8).await.is_some());
    until("the DHT is asked for the torrent", || heard.lock().unwrap().windows(20).any(|bytes| bytes == hash)).await;
    session.close().await;
}
