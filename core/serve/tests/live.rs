//! A live channel over HTTP, from the session of its source to that of a viewer.
#![allow(clippy::unwrap_used, missing_docs)]

use playswarm::live::{Cast, CastOptions, Channel};
use playswarm::{Config, Session};
use playswarm_serve::{ChannelServer, HttpConfig, serve_channel};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);
/// A block of the stream, of which no player knows the container.
const BLOCK: &[u8] = &[7; 4000];

struct Scene {
    cast: Cast,
    channel: Channel,
    server: ChannelServer,
    _sessions: [(TempDir, Session); 2],
}

async fn session() -> (TempDir, Session) {
    let dir = tempfile::tempdir().unwrap();
    let session = Session::new(Config::offline(dir.path())).await.unwrap();
    (dir, session)
}

async fn scene(config: HttpConfig, content_type: &str) -> Scene {
    let (source, viewer) = (session().await, session().await);
    let mut options = CastOptions::default();
    (options.name, options.content_type) = ("Test".into(), Some(content_type.into()));
    options.bytes_per_s = 80_000;
    let cast = source.1.cast(options).unwrap();
    let link = cast.link();
    assert_eq!((link.at.len(), link.name.as_deref()), (1, Some("Test")));
    let channel = viewer.1.watch(&link).unwrap();
    let server = serve_channel(channel.clone(), &link, config).await.unwrap();
    Scene { cast, channel, server, _sessions: [source, viewer] }
}

/// Pushes the stream in real time until the viewer has some.
async fn on_air(scene: &Scene) {
    let began = async {
        tokio::select! {
            head = scene.channel.on_air() => assert_eq!(head.unwrap().name, "Test"),
            () = push(&scene.cast, 200) => panic!("the stream did not arrive"),
        }
    };
    timeout(LONG, began).await.unwrap();
}

async fn push(cast: &Cast, blocks: usize) {
    for _ in 0..blocks {
        cast.push(BLOCK).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn ask(server: &ChannelServer, method: &str, path: &str, more: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server.addr()).await.unwrap();
    let host = if more.contains("Host:") { "" } else { "Host: localhost\r\n" };
    let text = format!("{method} {path} HTTP/1.1\r\n{host}{more}Connection: close\r\n\r\n");
    socket.write_all(text.as_bytes()).await.unwrap();
    socket
}

/// Returns the whole answer.
async fn answer(server: &ChannelServer, method: &str, path: &str, more: &str) -> String {
    let mut socket = ask(server, method, path, more).await;
    let mut all = Vec::new();
    timeout(LONG, socket.read_to_end(&mut all)).await.expect("the answer ends").unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_a_stream_without_length_or_positions() {
    let scene = scene(HttpConfig::default(), "video/x-test").await;
    // A request may come before the first byte.
    let early = ask(&scene.server, "GET", "/live", "").await;
    on_air(&scene).await;
    for path in ["/live", "/live.ts", "/live.webm", "/live.mkv", "/live.flv", "/live.mp4", "/live.mp3", "/live.ogg"] {
        let head = answer(&scene.server, "HEAD", path, "Range: bytes=0-\r\n").await.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{path}: {head}");
        for line in ["content-type: video/x-test", "accept-ranges: none", "cache-control: no-store", "nosniff"] {
            assert!(head.contains(line), "{path}: {line}: {head}");
        }
        assert!(!head.contains("content-length") && !head.contains("content-range"), "{path}: {head}");
    }
    let status = answer(&scene.server, "GET", "/status", "").await;
    let status: serde_json::Value = serde_json::from_str(status.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(status["key"], scene.cast.key().to_string());
    assert_eq!((&status["name"], &status["bytes_per_s"]), (&"Test".into(), &80_000.into()), "{status}");
    assert!(status["fed"].as_u64().unwrap() > 0, "{status}");

    let read = tokio::spawn(async move {
        let mut all = Vec::new();
        let mut early = early;
        timeout(LONG, early.read_to_end(&mut all)).await.expect("the answer ends with the stream").unwrap();
        all
    });
    push(&scene.cast, 40).await;
    scene.cast.end().unwrap();
    let all = read.await.unwrap();
    assert!(all.starts_with(b"HTTP/1.1 200 ") && all.ends_with(b"\r\n0\r\n\r\n"), "it is whole, in chunks");
    let bytes = all.iter().filter(|byte| **byte == 7).count();
    assert!(bytes > 30 * BLOCK.len(), "{bytes} bytes");
    scene.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_of_a_channel_is_guarded_as_that_of_files() {
    let mut config = HttpConfig::default();
    config.token = Some("geheim".into());
    let scene = scene(config, "text/html").await;
    on_air(&scene).await;
    assert!(scene.server.url().ends_with("/live?token=geheim"), "{}", scene.server.url());
    let begins = |answer: String, status: &str| assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    begins(answer(&scene.server, "HEAD", "/live", "").await, "401");
    begins(answer(&scene.server, "GET", "/status", "Authorization: Bearer falsch\r\n").await, "401");
    begins(answer(&scene.server, "GET", "/status?token=geheim", "Host: evil.example\r\n").await, "403");
    begins(answer(&scene.server, "GET", "/film?token=geheim", "").await, "404");
    let head = answer(&scene.server, "HEAD", "/live.ts?token=geheim", "").await;
    assert!(head.contains("content-type: application/octet-stream"), "no page of the source's is shown: {head}");
    begins(head, "200");
}
