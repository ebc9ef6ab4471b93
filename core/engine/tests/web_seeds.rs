//! Web seeds and mirrors: torrents that come from real web servers, without any peer.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Film, PIECE, offline_with, pattern, soon, until};
use playswarm::metainfo::{Trackers, WebSeeds};
use playswarm::{Config, ErrorKind, Metainfo, Session, Source, SourceStatus, TorrentHandle};
use playswarm_tests::nginx::Nginx;
use playswarm_tests::peers::libtorrent;
use playswarm_tests::requirement;
use playswarm_tests::web_servers::{Program, WebServer};
use std::io::SeekFrom;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// Pieces of a film that comes in a moment.
const PIECES: usize = 40;

fn with_web_seeds(config: &mut Config) {
    config.web_seeds = true;
}

/// A viewer without peers.
struct Viewer {
    session: Session,
    handle: TorrentHandle,
    _dir: TempDir,
}

impl Viewer {
    async fn open(source: Source) -> Viewer {
        let dir = tempfile::tempdir().unwrap();
        let session = Session::new(offline_with(dir.path(), with_web_seeds)).await.unwrap();
        let handle = soon("it opens", session.open(source)).await.unwrap();
        Viewer { session, handle, _dir: dir }
    }

    /// Opens a torrent with these web seeds.
    async fn of(torrent: &Metainfo, seeds: &[String]) -> Viewer {
        let mut torrent = torrent.clone();
        torrent.web_seeds = WebSeeds::from(seeds.iter().map(|url| url.parse().unwrap()).collect::<Vec<_>>());
        Viewer::open(Source::from(&torrent)).await
    }

    async fn read(&self, file: usize, from: u64, length: usize) -> Vec<u8> {
        let mut stream = self.handle.stream(file).unwrap();
        stream.seek(SeekFrom::Start(from)).await.unwrap();
        let mut bytes = vec![0; length];
        soon("the bytes come from the web seed", stream.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    /// Reads the whole film.
    async fn reads(&self, film: &Film) {
        assert!(self.read(0, 0, film.data.len()).await == film.data, "the bytes differ");
    }

    fn sources(&self) -> Vec<SourceStatus> {
        self.handle.status().sources
    }

    /// Waits until the first source has this state, and returns it.
    async fn source_is(&self, state: &str) -> SourceStatus {
        until(state, || self.sources()[0].state == state).await;
        self.sources()[0].clone()
    }
}

async fn film() -> Film {
    Film::new(PIECES * PIECE as usize, 1).await
}

fn url(nginx: &Nginx) -> String {
    format!("{}/film.mkv", nginx.origin)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_without_peers_plays_from_its_web_seed_and_seeks() {
    if !requirement::program("nginx") {
        return;
    }
    let film = film().await;
    let nginx = Nginx::files(film.dir.path());
    let viewer = Viewer::of(&film.torrent, &[url(&nginx)]).await;
    let from = film.data.len() - 100_000;
    assert!(viewer.read(0, from as u64, 100_000).await == film.data[from..]);
    viewer.reads(&film).await;
    let source = &viewer.sources()[0];
    assert_eq!((source.origin, &source.message), ("web_seed", &None));
    assert!(source.downloaded_bytes >= film.data.len() as u64, "{source:?}");
    let status = viewer.handle.status();
    assert!(status.peers.iter().all(|peer| peer.transport == "http" && peer.origin == "web_seed"));
    assert!(status.waste.total_bytes() < film.data.len() as u64 / 20, "{:?}", status.waste);
    assert!(nginx.requested().iter().all(|path| path == "/film.mkv"));
    viewer.session.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn torrents_of_libtorrent_come_from_nginx_whatever_their_names_and_boundaries() {
    if !requirement::program("nginx") || !requirement::libtorrent() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let files = [
        ("a set+of #files?/100%/AC DC/x&y=z;.bin", 70_000),
        ("a set+of #files?/plus+plus.bin", 1),
        ("a set+of #files?/z.bin", 33_000),
        ("a set+of #files?/empty", 0),
        ("a set+of #files?/é ü!~'().bin", 40_000),
        ("é +ü.bin", 40_000),
    ];
    for (seed, (path, length)) in files.iter().enumerate() {
        let path = data.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, pattern(*length, seed as u64)).unwrap();
    }
    let nginx = Nginx::files(data.path());
    for (name, kind, folder) in
        [("a set+of #files?", "v1", "/"), ("a set+of #files?", "hybrid", ""), ("é +ü.bin", "v1", "/")]
    {
        let made = libtorrent::make_torrent(data.path(), name, kind, &[format!("{}{folder}", nginx.origin)]);
        let viewer = Viewer::open(Source::TorrentBytes(made.into())).await;
        let torrent = viewer.handle.metainfo().clone();
        assert_eq!(kind == "hybrid", torrent.files.iter().any(|file| file.padding));
        for (n, file) in torrent.files.iter().enumerate().filter(|(_, file)| !file.padding) {
            let path = if torrent.files.len() == 1 { file.name.clone() } else { format!("{name}/{}", file.name) };
            let there = std::fs::read(data.path().join(path)).unwrap();
            assert!(viewer.read(n, 0, there.len()).await == there, "{name} {kind} {}", file.name);
        }
        viewer.session.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_closes_after_each_answer_serves_with_few_connections() {
    if !requirement::program("nginx") {
        return;
    }
    let film = film().await;
    let nginx = Nginx::with(film.dir.path(), "keepalive_timeout 0;");
    let viewer = Viewer::of(&film.torrent, &[url(&nginx)]).await;
    viewer.reads(&film).await;
    // While the reader waits, requests are small: two blocks each would be twice as many.
    assert!(nginx.requested().len() < 2 * PIECES, "{} requests", nginx.requested().len());
    assert_eq!(viewer.handle.status().waste.total_bytes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_followed_to_the_server_that_has_the_file() {
    if !requirement::program("nginx") {
        return;
    }
    let film = film().await;
    let there = Nginx::files(film.dir.path());
    let redirect = format!("location / {{ return 302 {}$request_uri; }}", there.origin);
    let here = Nginx::with(film.dir.path(), &redirect);
    let viewer = Viewer::of(&film.torrent, &[url(&here)]).await;
    viewer.reads(&film).await;
    assert!(here.requested().len() <= 8, "the others go there at once");
    // In a circle: it ends, and is told.
    let circle = Nginx::with(film.dir.path(), "location / { return 302 /again$request_uri; }");
    let viewer = Viewer::of(&film.torrent, &[url(&circle)]).await;
    viewer.handle.fetch_all(true);
    let source = viewer.source_is("refused").await;
    assert!(source.message.unwrap().contains("redirect"), "the reason is shown");
    assert!(circle.requested().len() < 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_asked_again_when_it_says() {
    if !requirement::program("nginx") {
        return;
    }
    let film = film().await;
    let ready = film.dir.path().join("ready");
    let busy = format!("add_header Retry-After 1 always; if (!-f {}) {{ return 503; }}", ready.display());
    let nginx = Nginx::with(film.dir.path(), &busy);
    let viewer = Viewer::of(&film.torrent, &[url(&nginx)]).await;
    viewer.handle.fetch_all(true);
    let source = viewer.source_is("waiting").await;
    assert!(source.message.unwrap().contains("busy") && source.retry_s.is_some());
    std::fs::write(ready, "").unwrap();
    viewer.reads(&film).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_with_wrong_answers_are_refused_with_a_reason_and_another_one_serves() {
    if !requirement::program("nginx") {
        return;
    }
    let film = film().await;
    let wrong = [
        Nginx::with(film.dir.path(), "max_ranges 0;"),
        Nginx::with(film.dir.path(), "types { text/html mkv; }"),
        Nginx::with(film.dir.path(), "location / { return 404; }"),
    ];
    let good = Nginx::with(film.dir.path(), "limit_rate 2m;");
    let urls: Vec<String> = wrong.iter().chain([&good]).map(url).collect();
    let viewer = Viewer::of(&film.torrent, &urls).await;
    // From the end, so that a server that ignores ranges is of no use.
    viewer.handle.fetch_all(true);
    viewer.read(0, film.data.len() as u64 - 1000, 1000).await;
    viewer.reads(&film).await;
    let sources = viewer.sources();
    for (source, says) in sources.iter().zip(["ignores ranges", "web page", "does not have the file"]) {
        let message = source.message.clone().unwrap_or_default();
        assert!(source.state == "refused" && message.contains(says), "{source:?}");
        assert!(source.lanes == 0 && source.rate_bytes_per_s.is_sign_positive(), "it is shown as 0: {source:?}");
    }
    assert_eq!(sources[3].message, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_lies_is_banned_and_an_honest_one_serves() {
    if !requirement::program("nginx") {
        return;
    }
    let film = film().await;
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("film.mkv"), pattern(film.data.len(), 2)).unwrap();
    let (liar, honest) = (Nginx::files(other.path()), Nginx::with(film.dir.path(), "limit_rate 1m;"));
    let viewer = Viewer::of(&film.torrent, &[url(&liar), url(&honest)]).await;
    viewer.reads(&film).await;
    viewer.source_is("banned").await;
    assert_ne!(viewer.sources()[1].state, "banned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_one_of_a_byte_a_second_are_replaced_by_another() {
    if !requirement::program("nginx") {
        return;
    }
    let film = film().await;
    let dripping = Nginx::with(film.dir.path(), "limit_rate 1;");
    let killed = Nginx::with(film.dir.path(), "limit_rate 500k;");
    let good = Nginx::with(film.dir.path(), "limit_rate 1m;");
    let viewer = Viewer::of(&film.torrent, &[url(&dripping), url(&killed), url(&good)]).await;
    let reading = async { viewer.reads(&film).await };
    let killing = async {
        until("the second serves", || viewer.sources()[1].downloaded_bytes > 0).await;
        drop(killed);
    };
    tokio::join!(reading, killing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_with_the_url_of_its_torrent_file_and_of_a_web_seed_needs_no_peer() {
    if !requirement::program("nginx") {
        return;
    }
    let film = film().await;
    std::fs::write(film.dir.path().join("film.torrent"), film.torrent.to_torrent_bytes().unwrap()).unwrap();
    let nginx = Nginx::files(film.dir.path());
    let link = format!(
        "magnet:?xt=urn:btih:{}&xs={origin}/missing.torrent&as={origin}/film.torrent&ws={origin}/film.mkv",
        film.torrent.info_hash,
        origin = nginx.origin
    );
    let viewer = Viewer::open(Source::parse(&link).unwrap()).await;
    viewer.reads(&film).await;
    let seeds: Vec<String> = viewer.handle.metainfo().web_seeds.iter().map(|seed| seed.url.to_string()).collect();
    assert_eq!(seeds, [url(&nginx)]);
    // A torrent file of another torrent is of no use.
    let other = Film::new(PIECE as usize, 3).await;
    let link = format!("magnet:?xt=urn:btih:{}&xs={}/film.torrent", other.torrent.info_hash, nginx.origin);
    let dir = tempfile::tempdir().unwrap();
    let mut config = offline_with(dir.path(), with_web_seeds);
    config.metadata_timeout_ms = 500;
    let session = Session::new(config).await.unwrap();
    let e = session.open(Source::parse(&link).unwrap()).await.err().unwrap();
    assert_eq!(e.kind(), ErrorKind::NoMetadata);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_file_that_comes_late_is_asked_for_again_and_its_trackers_are_used() {
    if !requirement::program("nginx") {
        return;
    }
    const TRACKER: &str = "http://127.0.0.1:1/announce";
    let film = film().await;
    let mut torrent = film.torrent.clone();
    torrent.trackers = Trackers::of_tiers([[TRACKER.to_owned()]]);
    let nginx = Nginx::files(film.dir.path());
    let link = format!("magnet:?xt=urn:btih:{}&xs={}/late.torrent", torrent.info_hash, nginx.origin);
    let dir = tempfile::tempdir().unwrap();
    let config = offline_with(dir.path(), |config| (config.web_seeds, config.trackers) = (true, true));
    let session = Session::new(config).await.unwrap();
    let put = async {
        until("it was asked for", || !nginx.requested().is_empty()).await;
        std::fs::write(film.dir.path().join("late.torrent"), torrent.to_torrent_bytes().unwrap()).unwrap();
    };
    let opened = soon("it opens", session.open(Source::parse(&link).unwrap()));
    let (handle, ()) = tokio::join!(opened, put);
    let handle = handle.unwrap();
    until("its tracker is shown", || handle.status().trackers.iter().any(|tracker| tracker.url == TRACKER)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apache_and_lighttpd_serve_a_film_too() {
    for program in [Program::Apache, Program::Lighttpd] {
        if !requirement::program(program.name()) {
            return;
        }
        let film = film().await;
        let server = WebServer::files(program, film.dir.path());
        let viewer = Viewer::of(&film.torrent, &[format!("{}/film.mkv", server.origin)]).await;
        let middle = film.data.len() / 2 + 7;
        assert!(viewer.read(0, middle as u64, 1000).await == film.data[middle..middle + 1000], "{program:?}");
        viewer.reads(&film).await;
        let source = viewer.source_is("serving").await;
        assert_eq!((source.message, source.downloaded_bytes), (None, film.data.len() as u64), "{program:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_is_added_while_the_torrent_is_open() {
    if !requirement::program("nginx") {
        return;
    }
    let film = film().await;
    let nginx = Nginx::files(film.dir.path());
    let viewer = Viewer::of(&film.torrent, &[]).await;
    for wrong in ["", "film.mkv", "ftp://h.example/film.mkv", "http://"] {
        assert_eq!(viewer.handle.add_source(wrong).unwrap_err().kind(), ErrorKind::BadArgument, "{wrong}");
    }
    for _ in 0..2 {
        viewer.handle.add_source(&url(&nginx)).unwrap();
    }
    viewer.reads(&film).await;
    let sources = viewer.sources();
    assert_eq!((sources.len(), sources[0].origin), (1, "mirror"));
    // One that the torrent may not name in this network, until the user does.
    let local = format!("{}?token=1", url(&nginx));
    let viewer = Viewer::of(&film.torrent, std::slice::from_ref(&local)).await;
    viewer.handle.fetch_all(true);
    viewer.source_is("refused").await;
    viewer.handle.add_source(&local).unwrap();
    viewer.reads(&film).await;
    let sources = viewer.sources();
    assert_eq!((sources.len(), sources[0].origin), (1, "mirror"));
}

/// Starts a server that answers each request with at most `most` bytes of what it asks for. Returns
/// its URL and the number of its connections.
async fn of_short_answers(film: &Film, most: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/film.mkv", listener.local_addr().unwrap());
    let (connections, data) = (Arc::new(AtomicUsize::new(0)), Arc::new(film.data.clone()));
    let counted = connections.clone();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            let data = data.clone();
            tokio::spawn(async move {
                let mut lines = BufReader::new(&mut socket);
                let mut line = String::new();
                while lines.read_line(&mut line).await.is_ok_and(|n| n > 0) {
                    if let Some((from, to)) = line.to_lowercase().strip_prefix("range: bytes=").and_then(|range| {
                        let (from, to) = range.trim().split_once('-')?;
                        Some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()?))
                    }) {
                        let part = &data[from..(to + 1).min(from + most)];
                        let (last, total, length) = (from + part.len() - 1, data.len(), part.len());
                        let head = format!(
                            "HTTP/1.1 206 OK\r\nContent-Range: bytes {from}-{last}/{total}\r\nContent-Length: {length}\r\n\r\n"
                        );
                        if lines.write_all(&[head.as_bytes(), part].concat()).await.is_err() {
                            return;
                        }
                    }
                    line.clear();
                }
            });
        }
    });
    (url, connections)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_short_answers_serves_over_its_connections_unless_they_are_of_a_few_bytes() {
    let film = film().await;
    let (short, connections) = of_short_answers(&film, 20_000).await;
    let viewer = Viewer::of(&film.torrent, &[short]).await;
    viewer.reads(&film).await;
    let (count, answers) = (connections.load(Ordering::Relaxed), film.data.len() / 20_000);
    assert!(answers > 60 && count <= 20, "{count} connections for {answers} answers");
    let (shortest, connections) = of_short_answers(&film, 100).await;
    let viewer = Viewer::of(&film.torrent, &[shortest]).await;
    viewer.handle.fetch_all(true);
    let source = viewer.source_is("waiting").await;
    assert!(source.message.unwrap().contains("first bytes"), "the reason is shown");
    assert!(connections.load(Ordering::Relaxed) < 20);
}
