//! RTSP tunnelled over HTTP: with real players, with requests in odd cuts, and with hostile clients.
#![allow(clippy::unwrap_used)]

mod common;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use common::rtsp::{LONG, Stage, gstreamer_decodes, pictures};
use playswarm_serve::RtspConfig;
use playswarm_tests::requirement;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest time to the end of a refused connection. An idle one would last a minute.
const SOON: Duration = Duration::from_secs(20);
const TUNNEL: &str = "Accept: application/x-rtsp-tunnelled\r\nx-sessioncookie: c00kie\r\n";
const POST: &str = "POST /0/a HTTP/1.0\r\nx-sessioncookie: c00kie\r\nContent-Length: 32767\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_decodes_and_jumps_through_a_tunnel() {
    if !requirement::program("ffmpeg") {
        return;
    }
    let stage = Stage::new(RtspConfig::default()).await;
    let expected = pictures(&[], stage.file().to_str().unwrap(), "60").await;
    let url = stage.server.url();
    let listed = async {
        loop {
            match stage.server.sessions().first() {
                Some(session) => return session.transport,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let (found, transport) = tokio::join!(pictures(&["-rtsp_transport", "http"], &url, "60"), timeout(LONG, listed));
    assert_eq!((found, transport), (expected, Ok("http")));
    let expected = pictures(&["-ss", "20.5"], stage.file().to_str().unwrap(), "3").await;
    let found = pictures(&["-rtsp_transport", "http", "-ss", "20.5"], &stage.server.url(), "4").await;
    assert!(found[..3] == expected || found[1..] == expected, "{found:?}, {expected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_decodes_through_a_tunnel() {
    if !requirement::program("gst-launch-1.0") {
        return;
    }
    let stage = Stage::new(RtspConfig::default()).await;
    let source = format!("location={}", stage.server.url().replace("rtsp://", "rtsph://"));
    let (found, text) = gstreamer_decodes(&[&source], 48).await;
    assert_eq!(found, 48, "{text}");
}

/// Connects, and sends some text.
async fn connect(to: SocketAddr, text: &str) -> TcpStream {
    let mut socket = TcpStream::connect(to).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    socket
}

/// Reads up to the end of a head.
async fn head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(LONG, socket.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Opens the half of a tunnel that carries answers.
async fn get(to: SocketAddr) -> TcpStream {
    let mut socket = connect(to, &format!("GET /0/a HTTP/1.0\r\n{TUNNEL}\r\n")).await;
    let answer = head(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\nContent-Type: application/x-rtsp-tunnelled\r\n"), "{answer}");
    socket
}

/// Whether a connection ends, without a word or with this.
async fn ends(socket: &mut TcpStream, last: &str) -> bool {
    let mut text = Vec::new();
    // A connection is reset if the server has not read all that was sent.
    let _ = timeout(SOON, socket.read_to_end(&mut text)).await.expect("the connection ends");
    String::from_utf8_lossy(&text).starts_with(last)
}

fn options(cseq: u32) -> String {
    BASE64.encode(format!("OPTIONS * RTSP/1.0\r\nCSeq: {cseq}\r\n\r\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_come_in_any_cuts_and_from_one_post_after_another() {
    let mut config = RtspConfig::default();
    config.token = Some("s3cret".into());
    let stage = Stage::new(config).await;
    let addr = stage.server.addr();
    let mut get = get(addr).await;
    let mut first = connect(addr, POST).await;
    for byte in format!("{}{}", options(1), &options(2)[..8]).bytes() {
        first.write_all(&[byte]).await.unwrap();
    }
    let answer = head(&mut get).await;
    assert!(answer.starts_with("RTSP/1.0 200 OK\r\nCSeq: 1\r\n"), "{answer}");
    // The next one goes on where it ended.
    drop(first);
    let mut second = connect(addr, &format!("{POST}{}", &options(2)[8..])).await;
    let answer = head(&mut get).await;
    assert!(answer.starts_with("RTSP/1.0 200 OK\r\nCSeq: 2\r\n"), "{answer}");
    second.write_all(options(3).as_bytes()).await.unwrap();
    let answer = head(&mut get).await;
    assert!(answer.starts_with("RTSP/1.0 200 OK\r\nCSeq: 3\r\n"), "{answer}");
    // The token is needed as without a tunnel.
    let bare = stage.server.url().replace("~s3cret/", "");
    second.write_all(BASE64.encode(format!("DESCRIBE {bare} RTSP/1.0\r\nCSeq: 4\r\n\r\n")).as_bytes()).await.unwrap();
    let answer = head(&mut get).await;
    assert!(answer.starts_with("RTSP/1.0 401"), "{answer}");
    drop(get);
    assert!(ends(&mut second, "").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_foreign_names_and_posts_without_a_get_are_refused() {
    let stage = Stage::new(RtspConfig::default()).await;
    let addr = stage.server.addr();
    let _get = get(addr).await;
    for (text, status) in [
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "400"),
        ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc".to_owned(), "400"),
        (format!("POST / HTTP/1.1\r\nOrigin: https://evil.example\r\n{TUNNEL}\r\n"), "403"),
        (format!("POST / HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\n{TUNNEL}\r\n"), "403"),
        (format!("GET / HTTP/1.1\r\nHost: evil.example\r\n{TUNNEL}\r\n").replace("c00kie", "x"), "403"),
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n{TUNNEL}\r\n").replace("c00kie", "x"),
            "403",
        ),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nx-sessioncookie: x\r\n\r\n".to_owned(), "406"),
        (format!("GET / HTTP/1.1\r\n{TUNNEL}\r\n"), "400"),
        (POST.replace("c00kie", "other"), "404"),
        (POST.replace("c00kie", &"c".repeat(300)), "400"),
        (format!("PUT / HTTP/1.1\r\n{TUNNEL}\r\n"), "400"),
    ] {
        let mut socket = connect(addr, &text).await;
        assert!(ends(&mut socket, &format!("HTTP/1.1 {status} ")).await, "{text}");
    }
    // The tunnel is not harmed, and its own client may use a name of this machine.
    let mut post = connect(addr, &POST.replace("HTTP/1.0\r\n", "HTTP/1.1\r\nHost: localhost:80\r\n")).await;
    post.write_all(options(1).as_bytes()).await.unwrap();
    let mut get = _get;
    assert!(head(&mut get).await.contains("CSeq: 1\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_base64_ends_a_tunnel() {
    let stage = Stage::new(RtspConfig::default()).await;
    let mut get = get(stage.server.addr()).await;
    let mut post = connect(stage.server.addr(), &format!("{POST}{}!!!!", options(1))).await;
    assert!(ends(&mut get, "").await && ends(&mut post, "").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_of_a_tunnel_is_of_no_use_to_another_machine() {
    let outside = || {
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        // Nothing is sent; the system chooses an address of its own.
        socket.connect("192.0.2.1:9").ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|ip: &IpAddr| !ip.is_loopback() && !ip.is_unspecified())
    };
    let Some(ip) = outside() else {
        eprintln!("skipped: this machine has no address but loopback");
        return;
    };
    let mut config = RtspConfig::default();
    config.listen = (Ipv4Addr::UNSPECIFIED, 0).into();
    let stage = Stage::new(config).await;
    let port = stage.server.addr().port();
    let _get = get((Ipv4Addr::LOCALHOST, port).into()).await;
    let mut thief = connect((ip, port).into(), &format!("{POST}{}", options(1))).await;
    assert!(ends(&mut thief, "HTTP/1.1 404 ").await);
}
