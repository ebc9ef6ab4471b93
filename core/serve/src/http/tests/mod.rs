//! The server over real sockets, with files in memory instead of a swarm.
#![allow(clippy::unwrap_used)]

mod connections;
mod televisions;

use super::connection::Patience;
use super::library::{Library, Reader};
use super::{HttpConfig, Server};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use playswarm::metainfo::{FileEntry, InfoHash, Metainfo};
use playswarm::{Error, Event, Playhead, Result, SeekPoint, SourceStatus, Timeline, TorrentStatus};
use playswarm_media::Indexer;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast;

/// Files in memory. Reads of one of them may block or fail from some byte on.
#[derive(Clone)]
struct Shelf {
    torrent: Arc<Metainfo>,
    data: Arc<Vec<Bytes>>,
    events: broadcast::Sender<Event>,
    /// Reads at or past this byte wait forever.
    dry_from: u64,
    /// The film's bytes per second, if known.
    rate: Option<f64>,
    /// Reads at or past this byte fail.
    broken_from: u64,
    open_readers: Arc<AtomicUsize>,
    /// Readers opened so far.
    opened: Arc<AtomicUsize>,
    position: Arc<AtomicU64>,
    closed: Arc<AtomicBool>,
    /// The seek point of every time; without it, that of the timeline.
    seek_point: Option<SeekPoint>,
    /// Files whose timeline was requested, and is therefore known.
    known: Arc<Mutex<BTreeSet<usize>>>,
    /// Positions from which a prefetch was requested.
    fetched: Arc<Mutex<Vec<u64>>>,
    playhead: Option<Playhead>,
    /// Whether no peer has any of the film.
    out_of_reach: bool,
    /// Whether its index states 1 MiB for each second.
    timed: bool,
    trouble: Option<String>,
    notices: Vec<String>,
}

impl Shelf {
    fn read_timeline(&self, file: usize) -> Arc<Timeline> {
        let mut data = self.data[file].to_vec();
        if self.timed {
            let format = [1 | 2 << 16, 1 << 18, 1 << 20, 4 | 16 << 16].map(u32::to_le_bytes).concat();
            let size = (data.len() as u32 - 44).to_le_bytes();
            let head = [b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0", format.as_slice(), b"data", &size].concat();
            data[..44].copy_from_slice(&head);
        }
        let mut indexer = Indexer::new(&self.torrent.files[file].name, data.len() as u64);
        while let Some(range) = indexer.needed().into_iter().next() {
            indexer.feed(range.start, &data[range.start as usize..range.end as usize]);
        }
        indexer.timeline().unwrap().clone()
    }
}

struct ShelfReader {
    shelf: Shelf,
    data: Bytes,
    at: u64,
    end: u64,
}

impl Drop for ShelfReader {
    fn drop(&mut self) {
        self.shelf.open_readers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Library for Shelf {
    type Reader = ShelfReader;
    fn metainfo(&self) -> &Arc<Metainfo> {
        &self.torrent
    }
    fn open(&self, file: usize) -> Result<ShelfReader> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        self.open_readers.fetch_add(1, Ordering::SeqCst);
        self.opened.fetch_add(1, Ordering::SeqCst);
        Ok(ShelfReader { shelf: self.clone(), data: self.data[file].clone(), at: 0, end: u64::MAX })
    }
    fn is_available(&self, _file: usize) -> bool {
        !self.out_of_reach
    }
    async fn timeline(&self, file: usize) -> Result<Arc<Timeline>> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        self.known.lock().insert(file);
        Ok(self.read_timeline(file))
    }
    fn known_timeline(&self, file: usize) -> Option<Arc<Timeline>> {
        self.known.lock().contains(&file).then(|| self.read_timeline(file))
    }
    async fn locate(&self, file: usize, time: Duration) -> Result<SeekPoint> {
        let timeline = self.timeline(file).await?;
        let from = timeline.byte_at(time);
        Ok(self.seek_point.unwrap_or_else(|| seek_point(time, from, from, from, true)))
    }
    fn prefetch_from(&self, _file: usize, seek_point: SeekPoint) {
        self.fetched.lock().push(seek_point.from);
    }
    fn learn_durations(&self) -> impl Future<Output = ()> + Send + 'static {
        let all = 0..self.torrent.files.len();
        self.known.lock().extend(all);
        std::future::ready(())
    }
    fn status(&self) -> TorrentStatus {
        let mut status = TorrentStatus::default();
        let mut source = SourceStatus::default();
        (source.url, source.state) = ("http://h.example/<f>".to_owned(), "refused");
        (source.message, source.downloaded_bytes) = (Some("it is gone".to_owned()), 7);
        status.sources = vec![source];
        status.info_hash = self.torrent.info_hash;
        status.name.clone_from(&self.torrent.name);
        status.total_bytes = self.torrent.total_bytes();
        status.verified_bytes = 5;
        (status.piece_bytes, status.pieces) = (16384, 1);
        status.piece_map = "#".into();
        status.download_bytes_per_s = 1.5;
        status.downloaded_bytes = 7;
        status.waste.duplicate_bytes = 1;
        status.waste.unasked_bytes = 2;
        status.waste.failed_bytes = 3;
        status.waste.forgotten_bytes = 4;
        status.playhead = self.playhead;
        status.trouble.clone_from(&self.trouble);
        status.notices.clone_from(&self.notices);
        status
    }
    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

impl Reader for ShelfReader {
    fn seek_to(&mut self, position: u64) {
        self.at = position;
    }
    fn set_end(&mut self, end: u64) {
        self.end = end;
    }
    fn buffered(&self, most: u64) -> u64 {
        self.shelf.dry_from.min(self.data.len() as u64).saturating_sub(self.at).min(most)
    }
    fn bytes_per_s(&self) -> Option<f64> {
        self.shelf.rate
    }
    async fn read_chunk(&mut self, max: usize) -> Result<Bytes> {
        if self.at >= self.shelf.dry_from {
            std::future::pending::<()>().await;
        }
        if self.at >= self.shelf.broken_from {
            return Err(Error::Closed);
        }
        assert!(self.at + max as u64 <= self.end, "more is read than was said");
        let at = (self.at as usize).min(self.data.len());
        let chunk = self.data.slice(at..(at + max).min(self.data.len()));
        self.at += chunk.len() as u64;
        self.shelf.position.store(self.at, Ordering::SeqCst);
        Ok(chunk)
    }
}

/// Returns byte `i` of file `f`.
fn pattern(file: usize, bytes: usize) -> Bytes {
    (0..bytes).map(|i| (i * 31 + i / 251 + file * 7) as u8).collect::<Vec<u8>>().into()
}

fn file_entry(name: &str, offset: u64, length: u64) -> FileEntry {
    let mut entry = FileEntry::default();
    (entry.path, entry.name) = (name.into(), name.into());
    (entry.offset, entry.length) = (offset, length);
    entry.padding = name == ".pad";
    entry
}

fn seek_point(time: Duration, offset: u64, from: u64, until: u64, estimated: bool) -> SeekPoint {
    let mut seek_point = SeekPoint::default();
    (seek_point.time, seek_point.offset, seek_point.from) = (time, offset, from);
    (seek_point.until, seek_point.estimated) = (until, estimated);
    seek_point
}

fn shelf(files: &[(&str, usize)]) -> Shelf {
    let mut offset = 0;
    let entries = files
        .iter()
        .map(|(name, bytes)| {
            let length = *bytes as u64;
            offset += length;
            file_entry(name, offset - length, length)
        })
        .collect();
    // The names of the torrent and its files are replaced by others than a torrent file can have.
    let info = b"d6:lengthi1e4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
    let trackers = vec!["http://t.example/a".into(), "udp://u.example:1".into()];
    let mut torrent = Metainfo::from_info(Bytes::from_static(info), trackers).unwrap();
    torrent.info_hash = InfoHash([0xab; 20]);
    torrent.name = "a \"show\"\n<b>".into();
    torrent.files = entries;
    Shelf {
        torrent: Arc::new(torrent),
        data: Arc::new(files.iter().enumerate().map(|(i, (_, n))| pattern(i, *n)).collect()),
        events: broadcast::channel(16).0,
        dry_from: u64::MAX,
        rate: None,
        broken_from: u64::MAX,
        open_readers: Arc::default(),
        opened: Arc::default(),
        position: Arc::default(),
        closed: Arc::default(),
        seek_point: None,
        known: Arc::default(),
        fetched: Arc::default(),
        playhead: None,
        timed: false,
        trouble: None,
        notices: Vec::new(),
        out_of_reach: false,
    }
}

async fn start(shelf: &Shelf) -> Server {
    serve_library(shelf.clone(), 0, HttpConfig::default()).await.unwrap()
}

async fn serve_library(shelf: Shelf, file: usize, config: HttpConfig) -> Result<Server> {
    super::serve_library(shelf, file, config, Patience::default()).await
}

struct Answer {
    status: u16,
    head: String,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|l| l.split_once(": "));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v).next()
    }
}

/// A client that returns the bytes on the wire unchanged.
struct Client(TcpStream, BytesMut);

impl Client {
    async fn to(server: &Server) -> Client {
        Client(TcpStream::connect(server.addr()).await.unwrap(), BytesMut::new())
    }
    async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) {
        let mut text = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(n, _)| *n == "Host") {
            text.push_str("Host: localhost\r\n");
        }
        headers.iter().for_each(|(n, v)| text.push_str(&format!("{n}: {v}\r\n")));
        self.0.write_all((text + "\r\n").as_bytes()).await.unwrap();
    }
    async fn more(&mut self) -> bool {
        tokio::time::timeout(Duration::from_secs(10), self.0.read_buf(&mut self.1)).await.unwrap().unwrap_or(0) > 0
    }
    async fn head(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.1.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(self.more().await, "closed before the head was whole");
        };
        let head = String::from_utf8(self.1.split_to(end).to_vec()).unwrap();
        Answer { status: head[9..12].parse().unwrap(), head, body: Bytes::new() }
    }
    async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(method, path, headers).await;
        let mut answer = self.head().await;
        let length = match answer.header("content-length") {
            Some(n) if method != "HEAD" && answer.status != 304 => n.parse().unwrap(),
            _ => 0,
        };
        while self.1.len() < length {
            assert!(self.more().await, "closed before the body was whole: {} of {length}", self.1.len());
        }
        answer.body = self.1.split_to(length).freeze();
        answer
    }
}

async fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Answer {
    Client::to(server).await.ask("GET", path, headers).await
}

#[tokio::test]
async fn every_kind_of_range_gives_its_status_its_headers_and_its_bytes() {
    let shelf = shelf(&[("film.mp4", 1000)]);
    let server = start(&shelf).await;
    let all = pattern(0, 1000);
    let mut client = Client::to(&server).await;
    for (range, status, content_range, bytes) in [
        ("bytes=0-1", 206, "bytes 0-1/1000", 0..2),
        ("bytes=0-", 206, "bytes 0-999/1000", 0..1000),
        ("bytes=700-", 206, "bytes 700-999/1000", 700..1000),
        ("bytes=-500", 206, "bytes 500-999/1000", 500..1000),
        ("bytes=-5000", 206, "bytes 0-999/1000", 0..1000),
        ("bytes=990-5000", 206, "bytes 990-999/1000", 990..1000),
        ("bytes=0-9,5-19", 206, "bytes 0-19/1000", 0..20),
        ("bytes=0-9,2000-", 206, "bytes 0-9/1000", 0..10),
        ("bytes=1000-", 416, "bytes */1000", 0..0),
        ("bytes=-0", 416, "bytes */1000", 0..0),
        ("bytes=9-3", 200, "", 0..1000),
        ("bytes=abc", 200, "", 0..1000),
        ("lines=0-1", 200, "", 0..1000),
    ] {
        let answer = client.ask("GET", "/stream/0/film.mp4", &[("Range", range)]).await;
        assert_eq!(answer.status, status, "{range}");
        assert_eq!(answer.header("content-range").unwrap_or(""), content_range, "{range}");
        assert_eq!(answer.header("accept-ranges"), Some("bytes"), "{range}");
        assert_eq!(answer.header("content-length"), Some(bytes.len().to_string().as_str()), "{range}");
        assert_eq!(answer.body, all.slice(bytes), "{range}");
        if status != 416 {
            assert_eq!(answer.header("content-type"), Some("video/mp4"), "{range}");
        }
    }
}

#[tokio::test]
async fn several_ranges_come_as_multipart_with_just_those_bytes() {
    let shelf = shelf(&[("film.mp4", 1000)]);
    let server = start(&shelf).await;
    let answer = get(&server, "/stream/0", &[("Range", "bytes=900-, 0-9,-1000000,5-5")]).await;
    assert_eq!(
        (answer.status, answer.header("content-range")),
        (206, Some("bytes 0-999/1000")),
        "all overlap: one part"
    );

    let answer = get(&server, "/stream/0", &[("Range", "bytes=900-,0-9,500-500")]).await;
    assert_eq!((answer.status, answer.header("content-range")), (206, None));
    let boundary =
        answer.header("content-type").unwrap().strip_prefix("multipart/byteranges; boundary=").unwrap().to_owned();
    let mut expected = Vec::new();
    for (range, bytes) in [("900-999", 900..1000), ("0-9", 0..10), ("500-500", 500..501)] {
        let head = format!("\r\n--{boundary}\r\nContent-Type: video/mp4\r\nContent-Range: bytes {range}/1000\r\n\r\n");
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&pattern(0, 1000)[bytes]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn head_tells_the_same_as_get_without_opening_a_reader() {
    let mut shelf = shelf(&[("film.mkv", 1000)]);
    shelf.dry_from = 0;
    let server = start(&shelf).await;
    let mut client = Client::to(&server).await;
    let answer = client.ask("HEAD", "/stream/0/film.mkv", &[("Range", "bytes=0-9")]).await;
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("1000")), "a Range counts for GET only");
    assert_eq!(answer.header("content-type"), Some("video/x-matroska"));
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    assert_eq!(client.ask("HEAD", "/stream/9", &[]).await.status, 404);
    assert_eq!(shelf.open_readers.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let shelf = shelf(&[("a.mp4", 600_000), ("b.mp4", 50)]);
    let server = start(&shelf).await;
    let mut client = Client::to(&server).await;
    for _ in 0..3 {
        assert_eq!(client.ask("GET", "/stream/0", &[]).await.body, pattern(0, 600_000));
        assert_eq!(
            client.ask("GET", "/stream/1/b.mp4", &[("Range", "bytes=10-19")]).await.body,
            pattern(1, 50).slice(10..20)
        );
    }
    assert_eq!(shelf.open_readers.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn preconditions_compare_the_strong_validator() {
    let shelf = shelf(&[("film.mp4", 1000)]);
    let server = start(&shelf).await;
    let etag = get(&server, "/stream/0", &[]).await.header("etag").unwrap().to_owned();
    assert_eq!(etag, format!("\"{}-0\"", "ab".repeat(20)));
    let weak = format!("W/{etag}");
    let list = format!("\"x\", {weak}");
    for (headers, status) in [
        (vec![("If-Range", etag.as_str()), ("Range", "bytes=0-1")], 206),
        (vec![("If-Range", weak.as_str()), ("Range", "bytes=0-1")], 200),
        (vec![("If-Range", "\"other\""), ("Range", "bytes=0-1")], 200),
        (vec![("If-Range", "\"other\""), ("Range", "bytes=5000-")], 200),
        (vec![("If-Range", "Wed, 21 Oct 2015 07:28:00 GMT"), ("Range", "bytes=0-1")], 200),
        (vec![("If-None-Match", list.as_str())], 304),
        (vec![("If-None-Match", "*")], 304),
        (vec![("If-None-Match", "\"other\"")], 200),
        (vec![("If-Match", etag.as_str())], 200),
        (vec![("If-Match", weak.as_str())], 412),
    ] {
        assert_eq!(get(&server, "/stream/0", &headers).await.status, status, "{headers:?}");
    }
}

#[tokio::test]
async fn empty_files_padding_and_files_that_are_not_there() {
    let shelf = shelf(&[("empty.mp4", 0), (".pad", 10), ("evil.html", 5)]);
    let server = start(&shelf).await;
    let empty = get(&server, "/stream/0/empty.mp4", &[]).await;
    assert_eq!((empty.status, empty.header("content-length")), (200, Some("0")));
    assert_eq!(get(&server, "/stream/0", &[("Range", "bytes=0-")]).await.header("content-range"), Some("bytes */0"));
    assert_eq!(get(&server, "/stream/0", &[("Range", "bytes=-5")]).await.status, 200);
    for path in [
        "/stream/1",
        "/stream/3",
        "/stream/-1",
        "/stream/+0",
        "/stream/film.mp4",
        "/stream/99999999999999999999",
        "/x",
        "/stream",
        "/stream/%E9",
        "/timeline/%E9",
        "/subtitles/%E9",
        "/%E9",
    ] {
        assert_eq!(get(&server, path, &[]).await.status, 404, "{path}");
    }
    let html = get(&server, "/stream/2", &[]).await;
    assert_eq!(html.header("content-type"), Some("application/octet-stream"), "a torrent brings no pages of ours");
    assert_eq!(html.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(Client::to(&server).await.ask("POST", "/stream/0", &[]).await.status, 405);
    shelf.closed.store(true, Ordering::SeqCst);
    assert_eq!(get(&server, "/stream/2", &[]).await.status, 503);
}

#[tokio::test]
async fn a_client_that_leaves_while_no_data_comes_frees_its_reader() {
    let mut shelf = shelf(&[("film.mp4", 1 << 20)]);
    shelf.dry_from = 1000;
    shelf.data = Arc::new(vec![pattern(0, 1000)]);
    let server = start(&shelf).await;
    let mut client = Client::to(&server).await;
    client.send("GET", "/stream/0", &[]).await;
    assert_eq!(client.head().await.status, 200, "the head goes out before the data is there");
    while client.1.len() < 1000 {
        client.more().await;
    }
    assert_eq!(shelf.open_readers.load(Ordering::SeqCst), 1);
    drop(client);
    let left = Instant::now();
    while shelf.open_readers.load(Ordering::SeqCst) > 0 {
        assert!(left.elapsed() < Duration::from_secs(2), "the reader is still open");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn the_last_ready_bytes_are_sent_in_portions() {
    let mut shelf = shelf(&[("film.mp4", 8 << 20)]);
    // Four MiB of ten seconds are available; the rest never arrives.
    shelf.dry_from = 4 << 20;
    shelf.rate = Some(400_000.0);
    let server = start(&shelf).await;
    let mut client = Client::to(&server).await;
    client.send("GET", "/stream/0", &[]).await;
    let begun = Instant::now();
    while client.1.len() < 4 << 20 {
        client.more().await;
    }
    assert!(begun.elapsed() > Duration::from_secs(1), "600 kB are held, and given at 440 kB/s");
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_reader_back() {
    let mut shelf = shelf(&[("film.mp4", 1000)]);
    let size = 64 << 20;
    shelf.data = Arc::new(vec![Bytes::from(vec![7u8; size])]);
    let torrent = Arc::make_mut(&mut shelf.torrent);
    torrent.files[0].length = size as u64;
    let server = start(&shelf).await;
    let mut client = Client::to(&server).await;
    client.send("GET", "/stream/0", &[]).await;
    client.head().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let held = shelf.position.load(Ordering::SeqCst);
    // The capacity of the two socket buffers (some MiB on loopback) and one chunk, not the file.
    assert!(held < 20 << 20, "{held} bytes were read ahead of the client");
    let mut received = client.1.len();
    while received < size {
        client.1.clear();
        assert!(client.more().await);
        received += client.1.len();
    }
    assert_eq!(received, size);
}

#[tokio::test]
async fn a_failing_read_ends_the_connection_and_not_the_body() {
    let mut shelf = shelf(&[("film.mp4", 2 << 20)]);
    shelf.broken_from = 1 << 20;
    let server = start(&shelf).await;
    let mut client = Client::to(&server).await;
    client.send("GET", "/stream/0", &[]).await;
    assert_eq!(client.head().await.header("content-length"), Some("2097152"));
    while client.more().await {}
    assert!(client.1.len() <= 1 << 20, "the client sees that bytes are missing");
    assert_eq!(shelf.open_readers.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn stopping_ends_streams_that_wait_and_frees_the_address() {
    let mut shelf = shelf(&[("film.mp4", 1000)]);
    shelf.dry_from = 0;
    let server = start(&shelf).await;
    let mut client = Client::to(&server).await;
    client.send("GET", "/stream/0", &[]).await;
    client.head().await;
    let addr = server.addr();
    tokio::time::timeout(Duration::from_secs(2), server.stop()).await.unwrap();
    assert_eq!(shelf.open_readers.load(Ordering::SeqCst), 0);
    assert!(!client.more().await);
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn dropping_the_server_ends_it_too() {
    let shelf = shelf(&[("film.mp4", 1000)]);
    let server = start(&shelf).await;
    let addr = server.addr();
    drop(server);
    let dropped = Instant::now();
    while TcpStream::connect(addr).await.is_ok() {
        assert!(dropped.elapsed() < Duration::from_secs(2));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_get_a_retry_later_answer() {
    let mut shelf = shelf(&[("film.mp4", 1000), ("other.mp4", 0)]);
    shelf.dry_from = 0;
    let config = HttpConfig { max_connections: 2, ..HttpConfig::default() };
    let server = serve_library(shelf, 0, config).await.unwrap();
    let mut served = Vec::new();
    for _ in 0..2 {
        let mut client = Client::to(&server).await;
        client.send("GET", "/stream/0", &[]).await;
        assert_eq!(client.head().await.status, 200);
        served.push(client);
    }
    let refused = get(&server, "/stream/1", &[]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    served.clear();
    let freed = Instant::now();
    while get(&server, "/stream/1", &[]).await.status != 200 {
        assert!(freed.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn a_rebound_name_a_foreign_page_and_a_missing_token_get_nothing() {
    let shelf = shelf(&[("film.mp4", 1000)]);
    let config = HttpConfig {
        token: Some("geheim&1".into()),
        allow_origins: vec!["https://app.example".into()],
        ..HttpConfig::default()
    };
    let server = serve_library(shelf, 0, config).await.unwrap();
    let url = server.url();
    let path = url.strip_prefix(&format!("http://{}", server.addr())).unwrap();
    assert_eq!(path, "/stream/0/film.mp4?token=geheim%261");
    let rebound = get(&server, path, &[("Host", "evil.example")]).await;
    assert_eq!(rebound.status, 403);
    assert!(rebound.body.starts_with(b"the host name evil.example is not accepted"));
    assert_eq!(rebound.header("connection"), Some("close"));
    assert_eq!(get(&server, path, &[("Origin", "https://evil.example")]).await.status, 403);
    let denied = get(&server, "/stream/0", &[]).await;
    assert_eq!((denied.status, denied.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(get(&server, "/stream/0", &[("Authorization", "Bearer geheim&1")]).await.status, 200);

    let allowed = get(&server, path, &[("Origin", "https://app.example")]).await;
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, Some("https://app.example")));
    let preflight = Client::to(&server).await.ask("OPTIONS", "/stream/0", &[("Origin", "https://app.example")]).await;
    assert_eq!(preflight.status, 204);
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("Range"));
    assert_eq!(get(&server, path, &[]).await.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_player_that_is_given_the_bare_address_gets_the_default_file() {
    let shelf = shelf(&[("film.mkv", 1000)]);
    let server = start(&shelf).await;
    let whole = get(&server, "/stream/0", &[]).await;
    let part = get(&server, "/", &[("Range", "bytes=10-19")]).await;
    assert_eq!((part.header("content-range"), part.body.as_ref()), (Some("bytes 10-19/1000"), &whole.body[10..20]));
    let page = get(&server, "/", &[]).await;
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
}

#[tokio::test]
async fn page_playlist_and_torrent_list_what_there_is_in_order() {
    let shelf = shelf(&[("s/e10 é.mp4", 10), ("s/e2.mkv", 10), ("s/note.txt", 3), (".pad", 3)]);
    let server = start(&shelf).await;
    let host = ("Host", "127.0.0.1:7");
    let list = get(&server, "/playlist.m3u8", &[host]).await;
    assert_eq!(
        std::str::from_utf8(&list.body).unwrap(),
        "#EXTM3U\n#EXTINF:-1,s/e2.mkv\nstream/1/e2.mkv\n#EXTINF:-1,s/e10 é.mp4\nstream/0/e10%20%C3%A9.mp4\n"
    );
    let page = get(&server, "/", &[host]).await;
    let html = std::str::from_utf8(&page.body).unwrap();
    assert!(html.contains("a &quot;show&quot; &lt;b&gt;") && !html.contains("<b>"), "{html}");
    assert!(html.contains("src=\"stream/0/e10%20%C3%A9.mp4\"") && html.contains("note.txt") && !html.contains(".pad"));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    let torrent = get(&server, "/torrent", &[]).await;
    assert_eq!(torrent.header("content-type"), Some("application/x-bittorrent"));
    assert!(torrent.header("content-disposition").unwrap().starts_with("attachment; filename="));
    assert_eq!(Some(torrent.body.to_vec()), shelf.torrent.to_torrent_bytes());
}

#[tokio::test]
async fn the_page_shows_what_is_amiss_and_the_notices_about_files() {
    let mut shelf = shelf(&[("film.mp4", 10)]);
    let page = async |shelf: &Shelf| {
        let page = get(&start(shelf).await, "/", &[("Host", "127.0.0.1:7")]).await;
        String::from_utf8(page.body.to_vec()).unwrap()
    };
    assert!(!page(&shelf).await.contains("Notices"));
    shelf.trouble = Some("the disk is full".into());
    shelf.notices = vec!["another program moved <film>".into()];
    let html = page(&shelf).await;
    assert!(html.contains("<li>the disk is full<li>another program moved &lt;film&gt;"), "{html}");
}

#[tokio::test]
async fn status_is_json_and_metrics_are_prometheus_text() {
    let shelf = shelf(&[("film.mp4", 1000)]);
    let server = start(&shelf).await;
    get(&server, "/stream/0", &[("Range", "bytes=0-99")]).await;
    let status = get(&server, "/status", &[]).await;
    let json: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
    assert_eq!((json["verified_bytes"].as_u64(), json["waste"]["failed_bytes"].as_u64()), (Some(5), Some(3)));

    let metrics = get(&server, "/metrics", &[]).await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = std::str::from_utf8(&metrics.body).unwrap();
    let labels = format!("info_hash=\"{}\",name=\"a \\\"show\\\"\\n<b>\"", "ab".repeat(20));
    assert!(text.contains(&format!("playswarm_wasted_bytes_total{{{labels},reason=\"failed\"}} 3\n")), "{text}");
    assert!(text.contains(&format!("playswarm_http_sent_bytes_total{{{labels}}} 100\n")), "{text}");
    assert!(text.contains(&format!("playswarm_sources{{{labels},state=\"refused\"}} 1\n")), "{text}");
    assert!(text.contains(&format!("playswarm_sources{{{labels},state=\"queued\"}} 0\n")), "{text}");
    assert!(text.contains(&format!("playswarm_sources_downloaded_bytes_total{{{labels}}} 7\n")), "{text}");
    let page = get(&server, "/", &[]).await;
    let page = std::str::from_utf8(&page.body).unwrap();
    assert!(page.contains("<li>http://h.example/&lt;f&gt; <small>refused: it is gone</small>"), "{page}");
    // Each sample belongs to the family announced just before it, and each family is announced
    // once.
    let (mut family, mut seen) = ("", Vec::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap();
            assert!(!seen.contains(&family));
            seen.push(family);
            assert_eq!(rest.ends_with("counter"), family.ends_with("_total"), "{rest}");
        } else if !line.starts_with('#') {
            assert_eq!(line.split('{').next().unwrap(), family);
            assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
        }
    }
}

#[tokio::test]
async fn events_bring_a_snapshot_at_once_and_what_happens_as_it_happens() {
    let shelf = shelf(&[("film.mp4", 1000)]);
    let server = start(&shelf).await;
    let mut client = Client::to(&server).await;
    client.send("GET", "/status/events", &[]).await;
    assert_eq!(client.head().await.header("content-type"), Some("text/event-stream"));
    let text = |client: &Client| String::from_utf8_lossy(&client.1).into_owned();
    while !text(&client).contains("event: status\ndata: {\"info_hash\"") {
        assert!(client.more().await);
    }
    shelf.events.send(Event::Completed).unwrap();
    while !text(&client).contains("event: event\ndata: {\"event\":\"completed\"}\n\n") {
        assert!(client.more().await);
    }
    let snapshots = || text(&client).matches("event: status").count();
    let before = snapshots();
    let asked = Instant::now();
    while text(&client).matches("event: status").count() == before {
        assert!(client.more().await);
    }
    assert!(asked.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn many_clients_read_at_once() {
    let shelf = shelf(&[("film.mp4", 3_000_000)]);
    let server = Arc::new(start(&shelf).await);
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..32usize {
        let server = server.clone();
        tasks.spawn(async move {
            let range = format!("bytes={}-", i * 50_000);
            let answer = get(&server, "/stream/0", &[("Range", &range)]).await;
            assert_eq!(answer.body, pattern(0, 3_000_000).slice(i * 50_000..));
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

/// A film of 10 MiB and ten seconds. Every time has its seek point at 8 s, byte 4000; the
/// keyframe's packet is at 4100.
fn timed() -> Shelf {
    let mut shelf = shelf(&[("film.mp4", 10 << 20)]);
    shelf.timed = true;
    shelf.seek_point = Some(seek_point(Duration::from_secs(8), 4100, 4000, 6000, false));
    shelf
}

const TEN_MIB: u64 = 10 << 20;

#[tokio::test]
async fn a_time_gives_the_bytes_from_its_keyframe_on_and_says_where_that_is() {
    let shelf = timed();
    let server = start(&shelf).await;
    let answer = get(&server, "/stream/0/film.mp4?t=0:08.5", &[]).await;
    assert_eq!(answer.status, 206);
    assert_eq!(answer.header("content-range"), Some(format!("bytes 4000-{}/{TEN_MIB}", TEN_MIB - 1).as_str()));
    assert_eq!(answer.body, pattern(0, TEN_MIB as usize).slice(4000..));
    for (name, value) in [("time", "8.000"), ("keyframe", "4100"), ("estimated", "no"), ("duration", "10.000")] {
        assert_eq!(answer.header(&format!("playswarm-{name}")), Some(value), "{name}");
    }
    assert_eq!(answer.header("timeseekrange.dlna.org"), None);
    assert!(shelf.fetched.lock().is_empty(), "its reader fetches");
}

#[tokio::test]
async fn head_with_a_time_says_where_it_is_and_begins_to_fetch_there() {
    let shelf = timed();
    let server = start(&shelf).await;
    let mut client = Client::to(&server).await;
    let answer = client.ask("HEAD", "/stream/0?t=8s", &[("Range", "bytes=0-9")]).await;
    assert_eq!((answer.status, answer.header("playswarm-keyframe")), (206, Some("4100")));
    assert_eq!(answer.header("content-length"), Some((TEN_MIB - 4000).to_string().as_str()));
    assert_eq!(*shelf.fetched.lock(), [4000]);
    assert_eq!(shelf.open_readers.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_range_and_a_time_together_give_what_both_allow() {
    let shelf = timed();
    let server = start(&shelf).await;
    let mut client = Client::to(&server).await;
    for (range, status, content_range) in [
        ("bytes=0-4999", 206, "bytes 4000-4999/10485760"),
        ("bytes=4500-4509", 206, "bytes 4500-4509/10485760"),
        ("bytes=10-20,-5", 206, "bytes 10485755-10485759/10485760"),
        ("bytes=0-3999", 416, "bytes */10485760"),
        ("bytes=20000000-", 416, "bytes */10485760"),
    ] {
        let answer = client.ask("GET", "/stream/0?t=8", &[("Range", range)]).await;
        assert_eq!((answer.status, answer.header("content-range")), (status, Some(content_range)), "{range}");
    }
    let etag = client.ask("HEAD", "/stream/0", &[]).await.header("etag").unwrap().to_owned();
    assert_eq!(client.ask("GET", "/stream/0?t=8", &[("If-None-Match", &etag)]).await.status, 304);
}

#[tokio::test]
async fn the_start_of_the_film_is_the_start_of_the_file() {
    let shelf = timed();
    let server = start(&shelf).await;
    let answer = get(&server, "/stream/0?t=0", &[("Range", "bytes=0-9")]).await;
    assert_eq!((answer.status, answer.header("content-range")), (206, Some("bytes 0-9/10485760")));
}

#[tokio::test]
async fn times_that_are_none_are_refused_with_a_sentence() {
    let shelf = timed();
    let server = start(&shelf).await;
    for (query, status, says) in [
        ("t=soon", 400, "t is not a time"),
        ("t=-5", 400, "t is not a time"),
        ("t=", 400, "t is not a time"),
        ("t=1&t=2", 400, "t is given twice"),
    ] {
        let answer = get(&server, &format!("/stream/0?{query}"), &[]).await;
        assert_eq!(answer.status, status, "{query}");
        assert!(answer.body.starts_with(says.as_bytes()), "{query}: {:?}", answer.body);
    }
    assert_eq!(get(&server, "/stream/0", &[("TimeSeekRange.dlna.org", "npt=x-")]).await.status, 400);
    shelf.closed.store(true, Ordering::SeqCst);
    assert_eq!(get(&server, "/stream/0?t=5", &[]).await.status, 503);
}

#[tokio::test]
async fn a_time_of_a_file_that_tells_none_is_its_start_and_no_end_is_invented() {
    let shelf = shelf(&[("film.xyz", 3 << 20)]);
    let server = start(&shelf).await;
    for query in ["t=2", "t=1:00:00", "t=0"] {
        let answer = get(&server, &format!("/stream/0?{query}"), &[]).await;
        assert!(matches!(answer.status, 200 | 206), "{query}: {}", answer.status);
        assert_eq!((answer.body.len(), answer.header("playswarm-duration")), (3 << 20, Some("unknown")), "{query}");
    }
    let refused = get(&server, "/stream/0", &[("TimeSeekRange.dlna.org", "npt=2-")]).await;
    assert_eq!(refused.status, 406);
}

/// Returns an MP3 of a constant 128 kbit/s at 44.1 kHz: silence, 417 bytes a frame, 1152 samples
/// each.
fn mp3(frames: usize) -> Bytes {
    let mut bytes = vec![0; frames * 417];
    bytes.chunks_exact_mut(417).for_each(|frame| frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x64]));
    bytes.into()
}

fn album() -> Shelf {
    let frames = [1000, 2000];
    let mut shelf = shelf(&[("a/10 b.mp3", frames[0] * 417), ("a/2 a.mp3", frames[1] * 417), ("a/cover.jpg", 10)]);
    shelf.data = Arc::new(vec![mp3(frames[0]), mp3(frames[1]), pattern(2, 10)]);
    shelf
}

#[tokio::test]
async fn an_album_has_its_durations_from_the_second_request_on_and_its_cover() {
    let shelf = album();
    let server = start(&shelf).await;
    let host = [("Host", "127.0.0.1:7")];
    let first = get(&server, "/playlist.m3u8", &host).await;
    assert_eq!(first.header("content-type"), Some("audio/x-mpegurl; charset=utf-8"));
    assert!(std::str::from_utf8(&first.body).unwrap().contains("#EXTINF:-1,a/2 a.mp3\n"));
    let second = get(&server, "/playlist.m3u8", &host).await;
    assert_eq!(
        std::str::from_utf8(&second.body).unwrap(),
        "#EXTM3U\n#EXTINF:52,a/2 a.mp3\n#EXTALBUMARTURL:http://127.0.0.1:7/stream/2/cover.jpg\n\
         stream/1/2%20a.mp3\n#EXTINF:26,a/10 b.mp3\n\
         #EXTALBUMARTURL:http://127.0.0.1:7/stream/2/cover.jpg\nstream/0/10%20b.mp3\n"
    );
}

#[tokio::test]
async fn a_timeline_is_json_with_as_many_stretches_as_were_asked_for() {
    let shelf = album();
    let server = start(&shelf).await;
    let answer = get(&server, "/timeline/0?buckets=4", &[]).await;
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((json["container"].as_str(), json["tracks"][0]["codec"].as_str()), (Some("MP3"), Some("mp3")));
    let duration = json["duration_s"].as_f64().unwrap();
    assert!((26.0..26.2).contains(&duration), "1000 frames of 26 ms: {duration}");
    let curve = json["bitrate"]["bytes_per_s"].as_array().unwrap();
    assert_eq!(curve.len(), 4);
    assert!(curve.iter().all(|rate| (15_800.0..16_100.0).contains(&rate.as_f64().unwrap())), "{curve:?}");
    assert!(json["keyframes"].is_array() && json["duration_known"] == true);
    assert_eq!(get(&server, "/timeline/0?buckets=2000", &[]).await.status, 400);
    assert_eq!(get(&server, "/timeline/7", &[]).await.status, 404);
    let guess: serde_json::Value = serde_json::from_slice(&get(&server, "/timeline/2", &[]).await.body).unwrap();
    assert_eq!((guess["accuracy"].as_str(), guess["duration_known"].as_bool()), (Some("estimate"), Some(false)));
}

fn season() -> Shelf {
    let cue = "1\r\n00:00:01,000 --> 00:00:02,500\r\nHello\r\n";
    let mut shelf = shelf(&[
        ("S/e1.mp4", 10),
        ("S/Subs/e1/2_English.srt", cue.len()),
        ("S/e2.mp4", 10),
        ("S/e2.de.ass", 10),
        ("S/poster.jpg", 10),
    ]);
    let mut data: Vec<Bytes> = shelf.data.to_vec();
    data[1] = cue.as_bytes().to_vec().into();
    shelf.data = Arc::new(data);
    shelf
}

#[tokio::test]
async fn subtitles_beside_the_films_are_listed_and_offered() {
    let shelf = season();
    let server = start(&shelf).await;
    let host = [("Host", "127.0.0.1:7")];
    let all: serde_json::Value = serde_json::from_slice(&get(&server, "/subtitles", &host).await.body).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(
        all[0],
        serde_json::json!({
            "film": 0, "file": 1, "name": "2_English.srt", "title": "English", "language": "en", "forced": false,
            "hearing_impaired": false, "format": "srt", "url": "stream/1/2_English.srt",
            "vtt_url": "subtitles/1.vtt",
        })
    );
    let one: serde_json::Value = serde_json::from_slice(&get(&server, "/subtitles/2", &host).await.body).unwrap();
    assert_eq!((one[0]["file"].as_u64(), one[0]["vtt_url"].as_str()), (Some(3), Some("../subtitles/3.vtt")));
    assert_eq!(one[0]["url"], "../stream/3/e2.de.ass");
    let list = get(&server, "/playlist.m3u8", &host).await;
    let text = std::str::from_utf8(&list.body).unwrap();
    assert!(text.contains("#EXTVLCOPT:input-slave=http://127.0.0.1:7/subtitles/1/2_English.srt\n"), "{text}");
    let page = get(&server, "/", &host).await;
    let html = std::str::from_utf8(&page.body).unwrap();
    assert!(
        html.contains("<track kind=\"subtitles\" src=\"subtitles/1.vtt\" label=\"English\" srclang=\"en\">"),
        "{html}"
    );
    assert!(html.contains(" poster=\"stream/4/poster.jpg\""), "{html}");
}

/// A film with a subtitle in windows-1251 beside it.
fn russian() -> Shelf {
    let mut shelf = shelf(&[("film.mkv", 10), ("film.ru.srt", 0), ("film.de.srt", 1 << 20)]);
    let text = "1\n00:00:01,000 --> 00:00:02,500\nПривет, мир\n";
    let cyrillic = encoding_rs::WINDOWS_1251.encode(text).0.into_owned();
    let evil = format!("1\n00:00:01,000 --> 00:00:02,000\n{}", "<".repeat((1 << 20) - 32));
    Arc::make_mut(&mut shelf.torrent).files[1].length = cyrillic.len() as u64;
    shelf.data = Arc::new(vec![pattern(0, 10), cyrillic.into(), evil.into()]);
    shelf
}

#[tokio::test]
async fn players_get_subtitles_as_utf_8_by_the_language_of_their_names() {
    let shelf = russian();
    let server = start(&shelf).await;
    let text = "1\n00:00:01,000 --> 00:00:02,500\nПривет, мир\n".as_bytes();
    assert!(server.subtitle_url(1).ends_with("/subtitles/1/film.ru.srt"), "{}", server.subtitle_url(1));
    let whole = get(&server, "/subtitles/1/film.ru.srt", &[]).await;
    assert_eq!((whole.status, whole.body.as_ref()), (200, text));
    let part = get(&server, "/subtitles/1/any", &[("Range", "bytes=2-")]).await;
    assert_eq!((part.status, part.body.as_ref()), (206, &text[2..]));
    assert_eq!(part.header("content-range"), Some(format!("bytes 2-{}/{}", text.len() - 1, text.len()).as_str()));
    let vtt = get(&server, "/subtitles/1.vtt", &[]).await;
    assert!(std::str::from_utf8(&vtt.body).unwrap().contains("Привет, мир"));
    assert_eq!(get(&server, "/subtitles/0/film.mkv", &[]).await.status, 415);
    assert_eq!(get(&server, "/subtitles/7/x", &[]).await.status, 404);
    // Without its language, this text would be taken for one in another encoding.
    let text = "1\n00:00:01,000 --> 00:00:02,500\nÁrvíztűrő tükörfúrógép. Jó estét kívánok, hölgyem!\n";
    let bytes = encoding_rs::WINDOWS_1250.encode(text).0.into_owned();
    let mut hungarian = self::shelf(&[("film.mkv", 10), ("film.hu.srt", bytes.len())]);
    hungarian.data = Arc::new(vec![pattern(0, 10), bytes.into()]);
    let read = get(&start(&hungarian).await, "/subtitles/1/film.hu.srt", &[]).await;
    assert_eq!(std::str::from_utf8(&read.body), Ok(text));
}

#[tokio::test]
async fn subtitles_that_do_not_come_hold_a_player_up_for_a_second_in_all() {
    let mut shelf = russian();
    shelf.dry_from = 0;
    let server = start(&shelf).await;
    let begun = Instant::now();
    for _ in 0..20 {
        let answer = get(&server, "/subtitles/1/film.ru.srt", &[]).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("10")));
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    shelf.out_of_reach = true;
    let server = start(&shelf).await;
    let begun = Instant::now();
    assert_eq!(get(&server, "/subtitles/1/film.ru.srt", &[]).await.status, 503, "no peer has it");
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_subtitle_made_to_be_slow_delays_no_other_request_and_is_converted_once() {
    let shelf = russian();
    let server = Arc::new(start(&shelf).await);
    let ask = || {
        let server = server.clone();
        tokio::spawn(async move { get(&server, "/subtitles/2.vtt", &[]).await.status })
    };
    let slow: Vec<_> = (0..8).map(|_| ask()).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begun = Instant::now();
    assert_eq!(get(&server, "/page.css", &[]).await.status, 200);
    // The test has one thread, so a conversion on it would block the test.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for answer in slow {
        assert_eq!(answer.await.unwrap(), 200);
    }
    assert_eq!(ask().await.unwrap(), 200);
    assert_eq!(shelf.opened.load(Ordering::SeqCst), 1, "it is read and converted once");
}

#[tokio::test]
async fn a_list_of_very_many_files_does_not_hold_up_other_work() {
    let names: Vec<String> = (0..20_000).map(|n| format!("Season {}/episode {n}.mkv", n % 40)).collect();
    let files: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let server = start(&shelf(&files)).await;
    // The test has one thread. A list that is made on it blocks this task meanwhile.
    let longest_stop = Arc::new(Mutex::new(Duration::ZERO));
    let ticking = tokio::spawn({
        let longest_stop = longest_stop.clone();
        async move {
            loop {
                let slept = Instant::now();
                tokio::time::sleep(Duration::from_millis(1)).await;
                let mut longest = longest_stop.lock();
                *longest = slept.elapsed().max(*longest);
            }
        }
    });
    for path in ["/playlist.m3u8", "/"] {
        *longest_stop.lock() = Duration::ZERO;
        let begun = Instant::now();
        assert_eq!(get(&server, path, &[]).await.status, 200, "{path}");
        let (longest, took) = (*longest_stop.lock(), begun.elapsed());
        assert!(longest < took / 2, "{path}: a stop of {longest:?} in {took:?}");
    }
    ticking.abort();
}

#[tokio::test]
async fn a_subtitle_is_had_as_webvtt_within_bounds() {
    let mut shelf = season();
    Arc::make_mut(&mut shelf.torrent).files.push(file_entry("S/huge.srt", 99, 5 << 20));
    let server = start(&shelf).await;
    let vtt = get(&server, "/subtitles/1.vtt", &[]).await;
    assert_eq!(vtt.header("content-type"), Some("text/vtt; charset=utf-8"));
    assert_eq!(vtt.body.as_ref(), b"WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nHello\n");
    assert_eq!(get(&server, "/subtitles/3.vtt", &[]).await.status, 415, "styled subtitles");
    assert_eq!(get(&server, "/subtitles/0.vtt", &[]).await.status, 415, "a film");
    assert_eq!(get(&server, "/subtitles/5.vtt", &[]).await.status, 415, "too large");
    assert_eq!(get(&server, "/subtitles/9.vtt", &[]).await.status, 404);
    assert_eq!(get(&server, "/subtitles/x", &[]).await.status, 404);
    assert_eq!(shelf.open_readers.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn metrics_tell_the_players_place_where_it_is_known() {
    let mut shelf = shelf(&[("film.mp4", 1000)]);
    let server = start(&shelf).await;
    assert!(!String::from_utf8_lossy(&get(&server, "/metrics", &[]).await.body).contains("playhead"));
    let mut playhead = Playhead::default();
    (playhead.time_s, playhead.buffered_until_s) = (Some(83.5), Some(120.0));
    playhead.initial_buffering_s = Some(23.0);
    shelf.playhead = Some(playhead);
    let server = start(&shelf).await;
    let metrics = get(&server, "/metrics", &[]).await;
    let text = String::from_utf8_lossy(&metrics.body);
    assert!(text.contains("# TYPE playswarm_playhead_seconds gauge\n"), "{text}");
    assert!(text.lines().any(|l| l.starts_with("playswarm_playhead_seconds{") && l.ends_with(" 83.5")), "{text}");
    assert!(text.lines().any(|l| l.starts_with("playswarm_buffered_until_seconds{") && l.ends_with(" 120")), "{text}");
    let wait = |l: &str| l.starts_with("playswarm_initial_buffering_seconds{") && l.ends_with(" 23");
    assert!(text.lines().any(wait), "{text}");
}

/// Measures the throughput of a body from memory, which must exceed 400 MiB/s. Run by hand, with
/// optimisation: `cargo nextest run --release -p playswarm-serve --run-ignored only throughput
/// --no-capture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a check"]
async fn throughput_from_memory_over_loopback() {
    let size = 256 << 20;
    let mut shelf = shelf(&[("film.mp4", 1000)]);
    shelf.data = Arc::new(vec![Bytes::from(vec![7u8; size])]);
    Arc::make_mut(&mut shelf.torrent).files[0].length = size as u64;
    let server = start(&shelf).await;
    let addr = server.addr();
    let reader = tokio::task::spawn_blocking(move || {
        use std::io::{Read, Write};
        let mut socket = std::net::TcpStream::connect(addr).unwrap();
        socket.write_all(b"GET /stream/0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let (mut buffer, mut total, begin) = (vec![0u8; 1 << 20], 0usize, Instant::now());
        loop {
            match socket.read(&mut buffer).unwrap() {
                0 => break,
                n => total += n,
            }
        }
        (total, begin.elapsed())
    });
    let (total, took) = reader.await.unwrap();
    assert!(total > size);
    println!("{:.0} MiB/s", total as f64 / (1 << 20) as f64 / took.as_secs_f64());
}
