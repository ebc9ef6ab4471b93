//! What the RTSP server tells about its clients: the playhead to the swarm, sessions and figures to
//! watchers. The film is the demo's clip.
#![allow(clippy::unwrap_used)]

mod common;

use common::rtsp::{clip, holder};
use common::{soon, until, viewer};
use playswarm::{Config, Session, Source, TorrentHandle};
use playswarm_serve::{HttpConfig, RtspConfig, RtspServer, serve, serve_rtsp};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;

/// A session that has the clip.
async fn seed() -> (TempDir, Session, TorrentHandle) {
    let (folder, metainfo) = clip(Some(16 << 10)).await;
    let (session, torrent) = holder(Config::offline(folder.path()), &metainfo).await;
    (folder, session, torrent)
}

/// A client that discards the media.
struct Client {
    socket: OwnedWriteHalf,
    /// Heads of answers.
    answers: mpsc::UnboundedReceiver<String>,
    url: String,
    headers: String,
}

impl Client {
    async fn new(server: &RtspServer) -> Client {
        let (reader, socket) = TcpStream::connect(server.addr()).await.unwrap().into_split();
        let (sender, answers) = mpsc::unbounded_channel();
        tokio::spawn(read(BufReader::new(reader), sender));
        Client { socket, answers, url: server.url(), headers: String::new() }
    }

    async fn send(&mut self, method: &str, headers: &str) {
        let (url, own) = (&self.url, &self.headers);
        let request = format!("{method} {url} RTSP/1.0\r\nCSeq: 1\r\n{own}{headers}\r\n");
        self.socket.write_all(request.as_bytes()).await.unwrap();
    }

    /// Sends a request and returns the head of its answer.
    async fn ask(&mut self, method: &str, headers: &str) -> String {
        self.send(method, headers).await;
        soon("an answer", self.answers.recv()).await.unwrap()
    }

    /// Describes the file, and sets up its pictures.
    async fn set_up(&mut self, headers: &str) {
        let url = self.url.clone();
        self.url = format!("{url}/track0");
        let answer = self.ask("SETUP", headers).await;
        let session = answer.lines().find_map(|line| line.strip_prefix("Session: ")).unwrap();
        self.headers = format!("Session: {}\r\n", session.split(';').next().unwrap());
        self.url = url;
    }
}

/// Reads until the connection ends, and passes on the heads of answers.
async fn read(mut reader: BufReader<OwnedReadHalf>, answers: mpsc::UnboundedSender<String>) {
    let mut text = Vec::new();
    while let Ok(byte) = reader.read_u8().await {
        text.push(byte);
        if text == b"$" {
            text.clear();
            reader.read_u8().await.unwrap();
            let length = reader.read_u16().await.unwrap();
            reader.read_exact(&mut vec![0; length.into()]).await.unwrap();
        } else if text.ends_with(b"\r\n\r\n") {
            let _ = answers.send(String::from_utf8(std::mem::take(&mut text)).unwrap());
        }
    }
}

const TCP: &str = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";

async fn fetched(server: &playswarm_serve::Server, path: &str) -> String {
    let mut socket = TcpStream::connect(server.addr()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    soon(path, socket.read_to_string(&mut text)).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_playhead_is_what_the_client_shows_and_not_what_was_sent_ahead() {
    let (_folder, _session, torrent) = seed().await;
    let server = serve_rtsp(torrent.clone(), 0, RtspConfig::default()).await.unwrap();
    let mut client = Client::new(&server).await;
    client.set_up(&format!("User-Agent: Lavf59\u{1b}[2J\r\n{TCP}")).await;
    let playhead = || torrent.status().playhead.and_then(|playhead| playhead.time_s).unwrap_or(-1.0);
    let shown = || server.sessions()[0].position_s;
    client.ask("PLAY", "").await;
    // Ten seconds are sent at once.
    until("the session has its lead", || server.sessions()[0].lead_s > 8.0).await;
    assert!(shown() < 5.0 && (0.0..5.0).contains(&playhead()), "{} {}", shown(), playhead());
    until("time passes", || shown() > 2.0).await;
    assert!(shown() < 8.0 && (1.0..8.0).contains(&playhead()), "{} {}", shown(), playhead());

    client.ask("PAUSE", "").await;
    let paused = playhead();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(playhead(), paused);

    client.ask("PLAY", "Range: npt=25-\r\n").await;
    assert!((25.0..28.0).contains(&playhead()), "{}", playhead());
    let session = server.sessions().remove(0);
    assert_eq!((session.file, session.transport, session.format), (0, "tcp", "elementary"));
    assert!(session.client.starts_with("Lavf59") && !session.client.contains('\u{1b}'), "{session:?}");
    until("the session has its lead again", || server.sessions()[0].lead_s > 8.0).await;
    client.ask("TEARDOWN", "").await;
    assert!(server.sessions().is_empty());
    until("the reading counts again", || playhead() > 30.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_and_the_metrics_show_the_sessions() {
    let (_folder, _session, torrent) = seed().await;
    let http = serve(torrent.clone(), 0, HttpConfig::default()).await.unwrap();
    assert!(fetched(&http, "/status").await.contains("\"rtsp\":[]"));
    assert!(!fetched(&http, "/metrics").await.contains("rtsp"));
    let server = serve_rtsp(torrent, 0, RtspConfig::default()).await.unwrap();
    http.show_rtsp(server.view());
    let media = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let reports = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut client = Client::new(&server).await;
    client.ask("FLY", "").await;
    let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
    let ports = format!("Transport: RTP/AVP;unicast;client_port={}-{}\r\n", port(&media), port(&reports));
    let url = std::mem::replace(&mut client.url, server.url().replace("/0/", "/ts/0/"));
    assert_ne!(client.url, url);
    client.set_up(&format!("User-Agent: VLC \"x\"\r\n{ports}")).await;
    client.ask("PLAY", "").await;
    let mut packet = [0; 2000];
    soon("media", media.recv(&mut packet)).await.unwrap();
    let (_, server_rtcp) = soon("a sender report", reports.recv_from(&mut [0; 500])).await.unwrap();
    let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 9];
    report.extend_from_slice(&packet[8..12]);
    report.extend_from_slice(&[0, 0, 0, 5]);
    report.resize(32, 0);
    reports.send_to(&report, server_rtcp).await.unwrap();
    until("the report was read", || server.sessions()[0].lost == 5).await;

    let status = fetched(&http, "/status").await;
    let session = status.split("\"rtsp\":[").nth(1).unwrap().split(']').next().unwrap();
    for part in [
        "\"file\":0,\"position_s\":",
        "\"transport\":\"udp\",\"format\":\"mpegts\",\"lost\":5,\"client\":\"VLC \\\"x\\\"\"}",
    ] {
        assert!(session.contains(part), "{session}");
    }
    let metrics = fetched(&http, "/metrics").await;
    let value = |name: &str| -> u64 {
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name}{{"))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!((value("playswarm_rtsp_sessions"), value("playswarm_rtsp_lost_packets_total")), (1, 5));
    assert_eq!(value("playswarm_rtsp_refused_requests_total"), 1);
    let (packets, bytes) = (value("playswarm_rtsp_sent_packets_total"), value("playswarm_rtsp_sent_bytes_total"));
    assert!(packets > 0 && bytes > packets * 188, "{packets} packets of {bytes} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_moves_the_reader_while_an_earlier_play_still_waits() {
    let (_folder, giver, of_seed) = seed().await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), giver.listen_addr().into_iter().collect()).await;
    let torrent = session.open(Source::from(&**of_seed.metainfo())).await.unwrap();
    let timeline = soon("the index", torrent.timeline(0)).await.unwrap();
    giver.close().await;
    let server = serve_rtsp(torrent.clone(), 0, RtspConfig::default()).await.unwrap();
    let mut client = Client::new(&server).await;
    client.set_up(&format!("User-Agent: Lavf59\r\n{TCP}")).await;
    for second in [0, 20, 8] {
        client.send("PLAY", &format!("Range: npt={second}-\r\n")).await;
        let place = timeline.keyframe_at(Duration::from_secs(second)).0.unwrap().from;
        let is_there = || {
            let status = torrent.status();
            status.readers.iter().any(|reader| !reader.index && reader.position.abs_diff(place) < 64 << 10)
        };
        until(&format!("the reader is at {second} s"), is_there).await;
        let playhead = torrent.status().playhead;
        assert!(playhead.is_none_or(|playhead| playhead.time_s.is_some_and(|time| time >= second as f64)));
    }
}
