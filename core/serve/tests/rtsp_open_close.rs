//! Players of RTSP that open and close a hundred times leave nothing behind. In a binary of its own, as it counts the
//! descriptors of the process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use common::rtsp::{Client, Stage, run, status};
use common::until;
use playswarm_serve::RtspConfig;
use playswarm_tests::requirement;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::runtime::Handle;

const TCP: &str = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";

/// Opens a film as far as a number says, and leaves by TEARDOWN, in the middle of a request or without a word.
async fn visit(stage: &Stage, media: &UdpSocket, n: usize) {
    let (url, mut client) = (stage.server.url(), stage.client().await);
    if n.is_multiple_of(7) {
        client.socket.write_all(b"DESCRIBE rtsp://").await.unwrap();
        return;
    }
    client.ask("DESCRIBE", &url, "").await;
    let port = media.local_addr().unwrap().port();
    let udp = format!("Transport: RTP/AVP;unicast;client_port={port}-{}\r\n", port - 1);
    let transport = if n.is_multiple_of(2) { TCP } else { &udp };
    let session = client.set_up(&format!("{url}/track0"), transport).await;
    let in_session = format!("Session: {session}\r\n");
    if n.is_multiple_of(5) {
        return;
    }
    let range = format!("{in_session}Range: npt={}-\r\n", n % 36);
    if n.is_multiple_of(3) {
        // The answer is not awaited.
        let play = format!("PLAY {url} RTSP/1.0\r\nCSeq: 9\r\n{range}\r\n");
        client.socket.write_all(play.as_bytes()).await.unwrap();
        return;
    }
    assert_eq!(status(&client.ask("PLAY", &url, &range).await), "200");
    match transport == TCP {
        true => drop(client.unit().await),
        false => drop(media.recv(&mut [0; 2000]).await.unwrap()),
    }
    if n.is_multiple_of(4) {
        assert_eq!(status(&client.ask("TEARDOWN", &url, &in_session).await), "200");
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_that_opens_and_closes_a_hundred_times_leaves_nothing_behind() {
    let stage = Stage::new(RtspConfig::default()).await;
    let media = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for n in 1..8 {
        visit(&stage, &media, n).await;
    }
    until("the first visits are over", || stage.server.sessions().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = (descriptors(), tasks());
    for n in 1..=100 {
        visit(&stage, &media, n).await;
        if n.is_multiple_of(25) && requirement::program("ffprobe") {
            let output = run("ffprobe", &["-v", "error", "-rtsp_transport", "tcp", &stage.server.url()]).await;
            assert!(output.status.success(), "{output:?}");
        }
    }
    until("all sessions have ended", || stage.server.sessions().is_empty()).await;
    until("all descriptors are closed", || descriptors() <= before.0).await;
    until("all tasks have ended", || tasks() <= before.1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_connections_are_served_and_those_that_play_keep_their_places() {
    let stage = Stage::new(RtspConfig::default()).await;
    let url = stage.server.url();
    let mut clients: Vec<Client> = Vec::new();
    for n in 0..64 {
        let mut client = stage.client().await;
        client.ask("DESCRIBE", &url, "").await;
        if n < 16 {
            let headers = format!("User-Agent: Lavf59\r\n{TCP}");
            let session = client.set_up(&format!("{url}/track0"), &headers).await;
            let play = format!("Session: {session}\r\nRange: npt={}-\r\n", n * 2);
            assert_eq!(status(&client.ask("PLAY", &url, &play).await), "200");
        } else {
            assert_eq!(status(&client.ask("SETUP", &format!("{url}/track0"), TCP).await), "453");
        }
        clients.push(client);
    }
    assert_eq!(stage.server.sessions().len(), 16);
    // A newcomer gets the place of one that plays nothing.
    let mut newcomer = stage.client().await;
    assert_eq!(status(&newcomer.ask("OPTIONS", &url, "").await), "200");
    // All players are still served, and each session has its own place in the film.
    for client in clients.iter_mut().take(16) {
        for _ in 0..500 {
            client.unit().await.unwrap_err();
        }
    }
    let mut closed = 0;
    for client in clients.iter_mut().skip(16) {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_millis(20), client.socket.read(&mut byte)).await;
        closed += usize::from(read.is_ok());
    }
    assert_eq!(closed, 1);
    drop(clients);
    until("all places are free", || stage.server.sessions().is_empty()).await;
    let mut client = stage.client().await;
    client.set_up(&format!("{url}/track0"), TCP).await;
}
