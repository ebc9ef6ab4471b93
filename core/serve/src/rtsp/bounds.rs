//! The bounds on a connection's time and on one machine's connections.
#![allow(clippy::unwrap_used)]

use super::connection::Patience;
use super::server::serve_with;
use super::{RtspConfig, RtspServer};
use playswarm::{Config, CreateOptions, Session, Source, create_torrent};
use playswarm_tests::requirement;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const LONG: Duration = Duration::from_secs(20);
const HURRIED: Patience = Patience {
    first_request: Duration::from_millis(400),
    idle: Duration::from_millis(500),
    silent: Duration::from_millis(600),
};
const SETUP: &str = "CSeq: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n";

struct Stage {
    server: RtspServer,
    _session: Session,
    _folder: TempDir,
}

impl Stage {
    async fn new(config: RtspConfig, patience: Patience) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.mp4");
        std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../../cli/demo/clip.mp4"), &path).unwrap();
        let torrent = create_torrent(path, CreateOptions::default(), |_, _| {}).await.unwrap().torrent;
        let session = Session::new(Config::offline(folder.path())).await.unwrap();
        let torrent = session.open(Source::from(&torrent)).await.unwrap();
        torrent.recheck(|_, _| {}).await.unwrap();
        let server = serve_with(torrent, 0, config, patience).await.unwrap();
        Stage { server, _session: session, _folder: folder }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.addr()).await.unwrap()
    }
}

/// Sends a request, and returns the head of the answer.
async fn ask(socket: &mut TcpStream, method: &str, url: &str, headers: &str) -> String {
    socket.write_all(format!("{method} {url} RTSP/1.0\r\n{headers}").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(LONG, socket.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Returns how long the server keeps a connection open on which a client sends this, again and again.
async fn lasts(socket: &mut TcpStream, bytes: &[u8]) -> Duration {
    let (begun, mut buffer) = (Instant::now(), [0; 4096]);
    let (mut reader, mut writer) = socket.split();
    let sends = async {
        while writer.write_all(bytes).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
        std::future::pending::<()>().await;
    };
    let is_open = async { while matches!(reader.read(&mut buffer).await, Ok(length) if length > 0) {} };
    tokio::select! {
        () = sends => {}
        closed = timeout(LONG, is_open) => closed.unwrap(),
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn single_bytes_and_frames_do_not_hold_a_connection() {
    let stage = Stage::new(RtspConfig::default(), HURRIED).await;
    let near = |lasted: Duration, most: Duration| lasted > most / 2 && lasted < most * 8;
    for bytes in [b"x".as_slice(), b"$\x00\x00\x01x", b"\r\n"] {
        let lasted = lasts(&mut stage.connect().await, bytes).await;
        assert!(near(lasted, HURRIED.first_request), "{bytes:?}: {lasted:?}");
        let mut socket = stage.connect().await;
        assert!(ask(&mut socket, "OPTIONS", "*", "CSeq: 1\r\n\r\n").await.contains("200 OK"));
        let lasted = lasts(&mut socket, bytes).await;
        assert!(near(lasted, HURRIED.idle), "{bytes:?}: {lasted:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_tunnel_ends() {
    let stage = Stage::new(RtspConfig::default(), HURRIED).await;
    let head = "HTTP/1.0\r\nAccept: application/x-rtsp-tunnelled\r\nx-sessioncookie: c\r\n\r\n";
    let mut get = stage.connect().await;
    get.write_all(format!("GET / {head}").as_bytes()).await.unwrap();
    assert_eq!(timeout(LONG, get.read_u8()).await.unwrap().unwrap(), b'H');
    let mut post = stage.connect().await;
    post.write_all(format!("POST / {head}").as_bytes()).await.unwrap();
    assert!(lasts(&mut get, b"x").await < HURRIED.first_request * 8);
    assert!(lasts(&mut post, b"QUJD").await < HURRIED.first_request * 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_never_played_ends_and_a_paused_one_does_not() {
    let stage = Stage::new(RtspConfig::default(), HURRIED).await;
    let url = stage.server.url() + "/track0";
    let mut idle = stage.connect().await;
    let answer = ask(&mut idle, "SETUP", &url, SETUP).await;
    assert!(answer.contains("200 OK") && stage.server.sessions().len() == 1, "{answer}");
    assert!(lasts(&mut idle, b"$\x01\x00\x01x").await < HURRIED.idle * 8);
    while !stage.server.sessions().is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    let mut paused = stage.connect().await;
    let answer = ask(&mut paused, "SETUP", &url, SETUP).await;
    let session = answer.lines().find_map(|line| line.strip_prefix("Session: ")).unwrap();
    let session = format!("CSeq: 2\r\nSession: {}\r\n\r\n", session.split(';').next().unwrap());
    assert!(ask(&mut paused, "PLAY", &url, &session).await.contains("200 OK"));
    paused.write_all(format!("PAUSE {url} RTSP/1.0\r\n{session}").as_bytes()).await.unwrap();
    sleep(HURRIED.silent * 3).await;
    assert_eq!(stage.server.sessions().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_stop_when_a_client_neither_asks_nor_reports() {
    let stage = Stage::new(RtspConfig::default(), HURRIED).await;
    let url = stage.server.url() + "/track0";
    let media = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = media.local_addr().unwrap().port();
    let mut socket = stage.connect().await;
    let transport =
        format!("CSeq: 1\r\nTransport: RTP/AVP;unicast;client_port={port}-{}\r\n\r\n", port.wrapping_sub(1));
    let answer = ask(&mut socket, "SETUP", &url, &transport).await;
    let session = answer.lines().find_map(|line| line.strip_prefix("Session: ")).unwrap();
    let session = format!("CSeq: 2\r\nSession: {}\r\n\r\n", session.split(';').next().unwrap());
    assert!(ask(&mut socket, "PLAY", &url, &session).await.contains("200 OK"));
    assert!(lasts(&mut socket, b"O").await < HURRIED.silent * 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_and_an_unplayed_session_give_their_places_to_new_players() {
    let mut config = RtspConfig::default();
    (config.max_connections, config.max_sessions) = (2, 1);
    let stage = Stage::new(config, Patience::default()).await;
    let url = stage.server.url() + "/track0";
    let (mut first, mut silent) = (stage.connect().await, stage.connect().await);
    assert!(ask(&mut first, "SETUP", &url, SETUP).await.contains("200 OK"));
    let mut third = stage.connect().await;
    assert!(ask(&mut third, "SETUP", &url, SETUP).await.contains("200 OK"), "instead of the first one's session");
    for socket in [&mut silent, &mut first] {
        let closed = timeout(LONG, socket.read(&mut [0])).await.unwrap();
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    }
    // A session leaves the list a moment after its connection is closed.
    let one_is_left = async {
        while stage.server.sessions().len() != 1 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, one_is_left).await.unwrap();
}

/// Returns an address of this machine other than loopback, from which no packet is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_other_machine_cannot_take_the_places_of_all() {
    let Some(ip) = own_address() else {
        requirement::missing("this machine has no address but loopback");
        return;
    };
    let listen = (Ipv4Addr::UNSPECIFIED, 0).into();
    let config = RtspConfig { listen, max_connections_per_host: 3, ..RtspConfig::default() };
    let stage = Stage::new(config, Patience::default()).await;
    let mut near = stage.connect().await;
    let from_afar = SocketAddr::new(ip, stage.server.addr().port());
    let mut far = Vec::new();
    for n in 0..5 {
        let mut socket = TcpStream::connect(from_afar).await.unwrap();
        let answer = ask(&mut socket, "OPTIONS", "*", "CSeq: 1\r\n\r\n").await;
        assert!(answer.contains("200 OK"), "{n}: {answer}");
        far.push(socket);
    }
    for socket in &mut far[..2] {
        let closed = timeout(LONG, socket.read(&mut [0])).await.unwrap();
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    }
    for socket in far[2..].iter_mut().chain([&mut near]) {
        assert!(ask(socket, "OPTIONS", "*", "CSeq: 2\r\n\r\n").await.contains("200 OK"));
    }
}
