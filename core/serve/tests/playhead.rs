//! The playhead of players that read over several connections.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Film, soon, until, viewer};
use playswarm::TorrentHandle;
use playswarm_serve::{HttpConfig, Server, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends a player's request. Returns the socket after the head of the answer.
async fn ask(server: &Server, range: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server.addr()).await.unwrap();
    let text = format!("GET /stream/0 HTTP/1.1\r\nHost: localhost\r\nRange: bytes={range}\r\n\r\n");
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 206"), "{}", String::from_utf8_lossy(&head));
    socket
}

async fn take(socket: &mut TcpStream, bytes: usize) {
    let mut buffer = vec![0; bytes];
    soon("bytes over HTTP", socket.read_exact(&mut buffer)).await.unwrap();
}

async fn served(film: &Film, handle: &TorrentHandle) -> Server {
    assert_eq!(handle.metainfo().info_hash, film.torrent.info_hash);
    serve(handle.clone(), 0, HttpConfig::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_players_look_at_the_end_does_not_move_the_playhead() {
    let film = Film::new(40 << 20, 40).await;
    let seed = film.seed().await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![seed.addr()]).await;
    let handle = session.open(film.source()).await.unwrap();
    let server = served(&film, &handle).await;
    let size = film.data.len() as u64;
    let playhead = || handle.status().playhead.map_or(0, |p| p.position);

    let mut playing = ask(&server, "0-").await;
    take(&mut playing, 1 << 20).await;
    until("the playhead is past what was taken", || playhead() >= 1 << 20).await;
    assert!(playhead() < size / 2);
    // Before the index is known, and after: a second connection reads the tail, as players do for
    // an index or for tags.
    for tail in [128, 60_000, size / 200] {
        let mut probing = ask(&server, &format!("{}-", size - tail)).await;
        take(&mut probing, tail as usize).await;
        assert!(playhead() < size / 2, "a look at the last {tail} bytes");
        soon("the index", handle.timeline(0)).await.unwrap();
    }
    // A jump continues on a new connection, and moves the playhead.
    drop(playing);
    let mut jumped = ask(&server, &format!("{}-", size / 2)).await;
    take(&mut jumped, 1 << 20).await;
    until("the playhead is where the player jumped", || playhead() > size / 2 && playhead() < size / 4 * 3).await;
    // Playback up to the end moves the playhead, too.
    take(&mut jumped, (size / 2 - (1 << 20)) as usize).await;
    until("the playhead is at the end", || playhead() == size).await;
}
