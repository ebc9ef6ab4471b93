//! The RTSP server with clients that misbehave.
#![allow(clippy::unwrap_used)]

mod common;

use common::rtsp::{LONG, Stage, status};
use playswarm_serve::RtspConfig;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn media_goes_only_to_the_client_and_a_session_only_to_its_connection() {
    let stage = Stage::new(RtspConfig::default()).await;
    let (url, mut client) = (stage.server.url(), stage.client().await);
    let media = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = media.local_addr().unwrap().port();
    let transport = |more: &str| format!("Transport: RTP/AVP;unicast;{more}client_port={port}-{}\r\n", port - 1);
    let answer = client.ask("SETUP", &url, &transport("destination=192.0.2.1;")).await;
    assert!(status(&answer) == "200" && !answer.contains("192.0.2.1"), "{answer}");
    let session = answer.lines().find_map(|line| line.strip_prefix("Session: ")).unwrap().split(';').next().unwrap();
    client.ask("PLAY", &url, &format!("Session: {session}\r\n")).await;
    let mut packet = [0; 2000];
    timeout(LONG, media.recv(&mut packet)).await.unwrap().unwrap();

    let mut thief = stage.client().await;
    for method in ["PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER"] {
        assert_eq!(status(&thief.ask(method, &url, &format!("Session: {session}\r\n")).await), "454", "{method}");
    }
    assert_eq!(stage.server.sessions().len(), 1);
    drop(client);
    while !stage.server.sessions().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_server_does_not_have_is_refused_with_the_right_status() {
    let mut config = RtspConfig::default();
    config.max_sessions = 1;
    let stage = Stage::new(config).await;
    let (url, mut client) = (stage.server.url(), stage.client().await);
    let tcp = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    for (method, at, headers, expected) in [
        ("SETUP", url.as_str(), "Transport: RTP/AVP;multicast;client_port=5000-5001\r\n", "461"),
        ("SETUP", &format!("{url}/track9"), tcp, "404"),
        ("DESCRIBE", "rtsp://127.0.0.1/7/none.mp4", "", "404"),
        ("DESCRIBE", &url, "Accept: text/html\r\n", "406"),
        ("DESCRIBE", &url, "Require: com.example\r\n", "551"),
        ("PLAY", &url, "", "454"),
        ("RECORD", &url, "", "405"),
        ("FLY", &url, "", "501"),
    ] {
        assert_eq!(status(&client.ask(method, at, headers).await), expected, "{method} {headers}");
    }
    let session = client.set_up(&url, tcp).await;
    let wrong = format!("Session: {session}\r\nRange: clock=19961108T142300Z-\r\n");
    assert_eq!(status(&client.ask("PLAY", &url, &wrong).await), "457");
    assert_eq!(status(&client.ask("PLAY", &url, &format!("Session: {session}\r\n")).await), "200");
    let mut second = stage.client().await;
    assert_eq!(status(&second.ask("SETUP", &url, tcp).await), "453");
    assert_eq!(stage.server.refused(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_an_error_and_is_disconnected() {
    let stage = Stage::new(RtspConfig::default()).await;
    let mut socket = TcpStream::connect(stage.server.addr()).await.unwrap();
    socket.write_all(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nOPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n").await.unwrap();
    let mut text = String::new();
    timeout(LONG, socket.read_to_string(&mut text)).await.unwrap().unwrap();
    assert!(text.starts_with("HTTP/1.1 400") && !text.contains("RTSP"), "{text}");
    assert_eq!(stage.server.refused(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_requests_frames_and_connections_are_bounded() {
    let mut config = RtspConfig::default();
    (config.max_connections, config.max_sessions) = (2, 2);
    let stage = Stage::new(config).await;
    let (url, mut client) = (stage.server.url(), stage.client().await);
    for _ in 0..500 {
        client.socket.write_all(b"$\x01\xff\xff").await.unwrap();
        client.socket.write_all(&[0; 0xffff]).await.unwrap();
        client.set_up(&url, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n").await;
    }
    assert_eq!(stage.server.sessions().len(), 1, "a new session replaces the connection's last one");
    let mut second = stage.client().await;
    second.set_up(&url, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n").await;
    let mut third = stage.client().await;
    let closed = timeout(LONG, third.socket.read(&mut [0])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");

    let head = [b"OPTIONS * RTSP/1.0\r\nX: ".to_vec(), vec![b'a'; 20 << 10]].concat();
    let body = b"SET_PARAMETER * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 99999999\r\n\r\na".to_vec();
    for (client, endless) in [(&mut client, head), (&mut second, body)] {
        client.socket.write_all(&endless).await.unwrap();
        let mut text = String::new();
        timeout(LONG, client.socket.read_to_string(&mut text)).await.unwrap().ok();
        assert!(text.starts_with("RTSP/1.0 413"), "{text}");
    }
    assert_eq!(stage.server.refused(), 3);
    while !stage.server.sessions().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_setups_leave_one_session() {
    let stage = Stage::new(RtspConfig::default()).await;
    let (url, mut client) = (stage.server.url(), stage.client().await);
    client.ask("DESCRIBE", &url, "").await;
    let mut batch = String::new();
    for cseq in 0..100 {
        let track = cseq % 2;
        batch += &format!(
            "SETUP {url}/track{track} RTSP/1.0\r\nCSeq: {cseq}\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"
        );
    }
    for _ in 0..100 {
        client.socket.write_all(batch.as_bytes()).await.unwrap();
        for cseq in 0..100 {
            let (answer, _) = client.answer().await;
            assert!(answer.starts_with(&format!("RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n")), "{answer}");
        }
    }
    assert_eq!(stage.server.sessions().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_lie_change_nothing() {
    let stage = Stage::new(RtspConfig::default()).await;
    let (url, mut client) = (stage.server.url(), stage.client().await);
    let bind = || UdpSocket::bind("127.0.0.1:0");
    let (media, reports) = (bind().await.unwrap(), bind().await.unwrap());
    let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
    let transport = format!("Transport: RTP/AVP;unicast;client_port={}-{}\r\n", port(&media), port(&reports));
    let answer = client.ask("SETUP", &format!("{url}/track0"), &transport).await;
    let value = |name: &str| answer.split(name).nth(1).unwrap().split([';', '\r']).next().unwrap();
    let server: u16 = value("server_port=").split('-').nth(1).unwrap().parse().unwrap();
    let session = value("Session: ");
    client.ask("PLAY", &url, &format!("Session: {session}\r\n")).await;
    let mut receiver = [0xff; 32];
    receiver[..4].copy_from_slice(&[0x81, 201, 0, 7]);
    let sender = [&[0x9f, 200, 0, 6][..], &[0xff; 24]].concat();
    let goodbye = [0x81, 203, 0, 1, 0, 0, 0, 1];
    let mut packet = [0; 2000];
    let mut next = None;
    // Losses beyond all that was sent, reports of a sender, goodbyes, and lengths beyond the datagram.
    for lie in [&receiver[..], &sender, &goodbye, &[0x81, 201, 0xff, 0xff], &[0x9f, 201, 0, 0], &[], &[0; 1400]] {
        for _ in 0..50 {
            reports.send_to(lie, ("127.0.0.1", server)).await.unwrap();
        }
        let length = timeout(LONG, media.recv(&mut packet)).await.unwrap().unwrap();
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        assert!(length > 12 && next.is_none_or(|next| sequence == next), "{lie:?}");
        next = Some(sequence.wrapping_add(1));
    }
    assert_eq!(status(&client.ask("OPTIONS", &url, "").await), "200");
    assert_eq!(stage.server.sessions().len(), 1);
}
