//! Servents of Gnutella as sources: a film that hashes name comes from them, and none of them has a reason
//! to ban us. The servents are real processes that count what they would punish.
#![allow(clippy::unwrap_used)]

mod common;

use common::{offline_with, pattern, soon, until};
use playswarm::{Session, Source, SourceStatus, TorrentHandle};
use playswarm_tests::peers::servent::{Options, Servent};
use playswarm_tests::place::Place;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{Read, SeekFrom, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

const NAME: &str = "film.mkv";
const LENGTH: usize = 1_500_777;

/// A film that servents share.
struct Film {
    dir: TempDir,
    data: Vec<u8>,
}

impl Film {
    fn new(length: usize) -> Film {
        let (dir, data) = (tempfile::tempdir().unwrap(), pattern(length, 17));
        std::fs::write(dir.path().join(NAME), &data).unwrap();
        Film { dir, data }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(NAME)
    }

    /// Starts a servent that shares it.
    fn servent(&self, knobs: &[(&'static str, &str)]) -> Servent {
        Servent::start(&self.options(knobs))
    }

    fn options(&self, knobs: &[(&'static str, &str)]) -> Options {
        let mut options = Options::leaf(&Place::Here, "127.0.0.1:0".parse().unwrap());
        options.share = vec![self.path()];
        knobs.iter().fold(options, |options, (knob, value)| options.with(knob, *value))
    }

    /// Returns a link that names these servents.
    fn link(&self, servents: &[&Servent]) -> String {
        let shared = &servents[0].files[0];
        let at = |servent: &&Servent| format!("&xs=http://{}{}", servent.addr, shared.path());
        let xs: String = servents.iter().map(at).collect();
        let length = self.data.len();
        format!("magnet:?xt=urn:bitprint:{}.{}&dn={NAME}&xl={length}{xs}", shared.sha1, shared.tiger)
    }
}

/// A viewer of a film.
struct Viewer {
    session: Session,
    handle: TorrentHandle,
    _dir: TempDir,
}

impl Viewer {
    async fn of(film: &Film, servents: &[&Servent]) -> Viewer {
        let dir = tempfile::tempdir().unwrap();
        let session = Session::new(offline_with(dir.path(), |config| config.web_seeds = true)).await.unwrap();
        let source = Source::parse(&film.link(servents)).unwrap();
        let handle = soon("the film opens", session.open(source)).await.unwrap();
        Viewer { session, handle, _dir: dir }
    }

    async fn read(&self, from: u64, length: usize) -> Vec<u8> {
        let mut stream = self.handle.stream(0).unwrap();
        stream.seek(SeekFrom::Start(from)).await.unwrap();
        let mut bytes = vec![0; length];
        soon("the bytes come from servents", stream.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    /// Reads the whole film.
    async fn reads(&self, film: &Film) {
        assert!(self.read(0, film.data.len()).await == film.data, "the bytes differ");
    }

    /// Returns the status of a servent as a source.
    fn source(&self, servent: &Servent) -> SourceStatus {
        let here = servent.addr.to_string();
        let sources = self.handle.status().sources;
        sources.iter().find(|source| source.url.contains(&here)).unwrap_or_else(|| panic!("{sources:?}")).clone()
    }
}

/// Returns the connections over which a servent gave parts of the film, of more than the first byte.
fn transfers(servent: &Servent) -> BTreeSet<u64> {
    let requests = servent.events("request");
    let gave = requests.iter().filter(|event| event["status"] == 206 && event["range"] != "bytes=0-0");
    gave.map(|event| event["connection"].as_u64().unwrap()).collect()
}

/// Returns the number of connections to a servent.
fn connections(servent: &Servent) -> usize {
    servent.events("request").iter().filter(|event| event["first"] == true).count()
}

/// Checks that a servent has nothing to punish.
#[track_caller]
fn assert_at_peace(servent: &mut Servent) {
    let status = servent.status();
    assert_eq!(status["violations"], json!({}), "{status}");
    assert!(connections(servent) <= 4, "in a minute: {:?}", servent.events("request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_plays_from_three_servents_over_one_connection_each() {
    let film = Film::new(LENGTH);
    let mut all = [(); 3].map(|()| film.servent(&[("rate", "400000")]));
    let viewer = Viewer::of(&film, &[&all[0], &all[1], &all[2]]).await;
    let from = film.data.len() - 90_000;
    assert!(viewer.read(from as u64, 90_000).await == film.data[from..], "the end comes first");
    viewer.reads(&film).await;
    let status = viewer.handle.status();
    assert_eq!(status.proof, "tree");
    assert!(status.waste.total_bytes() < film.data.len() as u64 / 20, "{:?}", status.waste);
    for servent in &mut all {
        let source = viewer.source(servent);
        assert_eq!((source.origin, source.message), ("servent", None));
        assert!(source.downloaded_bytes > 0, "each one gives a part");
        assert_eq!(transfers(servent).len(), 1, "{:?}", servent.events("request"));
        assert_at_peace(servent);
    }
    viewer.session.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_shown_and_obeyed_until_the_turn_comes() {
    for queue in ["forever", "old"] {
        let film = Film::new(300_000);
        let mut servent = film.servent(&[("queue", queue), ("queue_unit", "1"), ("slots", "0")]);
        let viewer = Viewer::of(&film, &[&servent]).await;
        viewer.handle.fetch_all(true);
        until("we are queued", || viewer.source(&servent).state == "queued").await;
        let source = viewer.source(&servent);
        assert_eq!((source.queue_position, source.queue_length), (Some(1), Some(1)), "{source:?}");
        assert!(source.retry_s.is_some());
        // It asks again in time, and waits anew.
        let asked = servent.events("request").len();
        until("it asks again", || servent.events("request").len() > asked + 1).await;
        servent.set("slots", "4");
        servent.set("queue", "right");
        viewer.reads(&film).await;
        assert_eq!(viewer.source(&servent).queue_position, None);
        assert_at_peace(&mut servent);
        viewer.session.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thirds_of_the_film_at_three_servents_are_the_whole_film() {
    let film = Film::new(LENGTH);
    let mut all = [(); 3].map(|()| film.servent(&[]));
    let third = film.data.len() / 3;
    for (n, servent) in all.iter_mut().enumerate() {
        // They overlap a little, as each piece must be whole somewhere.
        let (first, last) = ((n * third).saturating_sub(70_000), ((n + 1) * third + 70_000).min(film.data.len() - 1));
        servent.command(&json!({ "do": "have", "file": NAME, "ranges": [[first, last]] }));
    }
    let viewer = Viewer::of(&film, &[&all[0], &all[1], &all[2]]).await;
    viewer.reads(&film).await;
    for servent in &mut all {
        assert!(viewer.source(servent).downloaded_bytes >= third as u64 / 2, "{:?}", viewer.source(servent));
        let refused = servent.events("request").iter().filter(|event| event["status"] == 416).count();
        assert!(refused <= 4, "what is not there is not asked for again and again: {refused}");
        assert_at_peace(servent);
    }
    viewer.session.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servents_that_others_name_are_found_and_used() {
    let film = Film::new(LENGTH);
    // Servents name no others at the address of the one that asks.
    let mut options = film.options(&[]);
    options.listen = "127.0.0.2:0".parse().unwrap();
    let other = Servent::start(&options);
    let names = format!("{}, 127.0.0.2:9, 127.0.0.2:22", other.addr);
    let mut first = film.servent(&[("rate", "60000"), ("alternates", &names)]);
    let viewer = Viewer::of(&film, &[&first]).await;
    viewer.reads(&film).await;
    let source = viewer.source(&other);
    assert_eq!((source.origin, source.downloaded_bytes > 0), ("alternate", true), "{source:?}");
    let known: Vec<String> = viewer.handle.status().sources.into_iter().map(|source| source.url).collect();
    assert!(!known.iter().any(|url| url.contains(":22/")), "the port of another service: {known:?}");
    assert_at_peace(&mut first);
    viewer.session.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servent_that_bans_or_removes_us_is_left_alone_and_the_film_goes_on() {
    for (answer, least) in [("banned", 290.0), ("removed", 1190.0), ("busy", 50.0)] {
        let film = Film::new(LENGTH);
        let mut turned = film.servent(&[("rate", "100000")]);
        let honest = film.servent(&[("rate", "300000")]);
        let viewer = Viewer::of(&film, &[&turned, &honest]).await;
        viewer.read(0, 100_000).await;
        turned.set("answer", answer);
        viewer.reads(&film).await;
        let source = viewer.source(&turned);
        assert!(source.state == "waiting" && source.retry_s.unwrap() > least, "{answer}: {source:?}");
        let refused = turned.events("request").iter().filter(|event| event["status"] != 206).count();
        assert!(refused <= 2, "{answer}: what was under way is refused, and nothing more is asked: {refused}");
        viewer.session.close().await;
    }
}

/// Plays a film from an honest servent and one with a fault, which begins before or after the film opens.
async fn plays_beside(faults: &[(&'static str, &str)], is_early: bool) {
    let film = Film::new(700_000);
    for (knob, value) in faults {
        let (mut odd, mut honest) = (film.servent(&[]), film.servent(&[]));
        if is_early {
            odd.set(knob, *value);
        }
        let viewer = Viewer::of(&film, &[&odd, &honest]).await;
        odd.set(knob, *value);
        viewer.reads(&film).await;
        assert_eq!(viewer.handle.status().proof, "tree", "{knob}={value}");
        for servent in [&mut odd, &mut honest] {
            let status = servent.status();
            assert_eq!(status["violations"], json!({}), "{knob}={value}: {status}");
            assert!(connections(servent) <= 4, "{knob}={value}: {:?}", servent.events("request"));
        }
        viewer.session.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_answers_of_a_servent_do_not_stop_the_film() {
    let kinds = ["missing", "middle", "elsewhere", "total", "short", "extra", "whole", "garbage", "unavailable"];
    plays_beside(&kinds.map(|kind| ("answer", kind)), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servents_of_another_kind_do_not_stop_the_film() {
    let faults = [
        ("answer", "http10"),
        ("head", "continued"),
        ("head", "many"),
        ("close_each", "true"),
        ("no_pipelining", "true"),
        ("corrupt", "100000"),
    ];
    plays_beside(&faults, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_lies_does_not_stop_the_film() {
    plays_beside(&["root", "lying", "truncated", "chunked", "missing"].map(|kind| ("tree", kind)), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servent_that_closes_after_each_answer_is_not_connected_too_often() {
    let film = Film::new(LENGTH);
    let mut servent = film.servent(&[("close_each", "true")]);
    let viewer = Viewer::of(&film, &[&servent]).await;
    viewer.handle.fetch_all(true);
    until("it waits", || {
        let source = viewer.source(&servent);
        source.state == "waiting" || source.downloaded_bytes == film.data.len() as u64
    })
    .await;
    assert_at_peace(&mut servent);
    viewer.session.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_is_banned_and_no_byte_of_it_is_shown() {
    let film = Film::new(LENGTH);
    let liar = film.servent(&[("corrupt", "0"), ("rate", "500000")]);
    let honest = film.servent(&[("rate", "200000")]);
    let viewer = Viewer::of(&film, &[&liar, &honest]).await;
    viewer.reads(&film).await;
    assert_eq!(viewer.source(&liar).state, "banned");
    viewer.session.close().await;
}

/// Asks an ultrapeer to make a servent connect to us.
fn push_by(ultrapeer: SocketAddr, servent: &Servent, ours: SocketAddr) {
    let bytes: Vec<u8> =
        (0..servent.guid.len()).step_by(2).map(|n| u8::from_str_radix(&servent.guid[n..n + 2], 16).unwrap()).collect();
    let request = playswarm_proto::gnutella::push_proxy_request(
        ultrapeer,
        playswarm_proto::gnutella::Guid(bytes.try_into().unwrap()),
        ours,
    );
    let mut stream = TcpStream::connect(ultrapeer).unwrap();
    stream.write_all(&request).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 202");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servent_that_cannot_be_dialled_comes_after_a_push() {
    let film = Film::new(LENGTH);
    let mut ultrapeer = Servent::start(&Options::ultrapeer(&Place::Here, "127.0.0.1:0".parse().unwrap()));
    let mut options = film.options(&[]);
    (options.firewalled, options.connect) = (true, vec![ultrapeer.addr]);
    let mut hidden = Servent::start(&options);
    until("it has a push proxy", || ultrapeer.status()["links"].as_array().unwrap().len() == 1).await;
    let slow = film.servent(&[("rate", "60000")]);
    let viewer = Viewer::of(&film, &[&slow]).await;
    let sha1 =
        playswarm_proto::FileHashes::from_urn(&format!("urn:sha1:{}", hidden.files[0].sha1)).unwrap().sha1.unwrap();
    let guid = playswarm_proto::gnutella::Guid::from_hex(&hidden.guid).unwrap().0;
    assert!(viewer.handle.expect_push(guid, sha1));
    assert!(!viewer.handle.expect_push(guid, sha1), "it is awaited already");
    push_by(ultrapeer.addr, &hidden, viewer.session.listen_addr().unwrap());
    viewer.reads(&film).await;
    let sources = viewer.handle.status().sources;
    let pushed = sources.iter().find(|source| source.origin == "pushed").unwrap();
    assert!(pushed.downloaded_bytes > film.data.len() as u64 / 2, "{sources:?}");
    assert_eq!(hidden.status()["violations"], json!({}));
    viewer.session.close().await;
}

/// E1 of GnuStream: three senders of 60 kB/s, a film of 143 kB/s, and twenty jumps. `PLAYSWARM_SESSION_S` is
/// the length of the session in seconds.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes half an hour, or as long as PLAYSWARM_SESSION_S says"]
async fn a_long_session_with_twenty_jumps_is_no_reason_for_a_ban() {
    const RATE: usize = 143_000;
    let seconds: u64 = std::env::var("PLAYSWARM_SESSION_S").ok().and_then(|text| text.parse().ok()).unwrap_or(1800);
    let film = Film::new(RATE * 600);
    let mut all = [(); 3].map(|()| film.servent(&[("rate", "60000")]));
    let began = Instant::now();
    let viewer = Viewer::of(&film, &[&all[0], &all[1], &all[2]]).await;
    let mut stream = viewer.handle.stream(0).unwrap();
    let (mut at, mut jumps, mut waited, mut longest) = (0, 0, Duration::ZERO, Duration::ZERO);
    let mut bytes = vec![0; RATE];
    while began.elapsed().as_secs() < seconds {
        if began.elapsed().as_secs() * 21 / seconds > jumps {
            jumps += 1;
            at = (at + film.data.len() / 3) % (film.data.len() - RATE);
            stream.seek(SeekFrom::Start(at as u64)).await.unwrap();
        }
        let asked = Instant::now();
        stream.read_exact(&mut bytes[..1]).await.unwrap();
        if at == 0 {
            println!("first byte after {:.2} s", began.elapsed().as_secs_f64());
        }
        stream.read_exact(&mut bytes[1..]).await.unwrap();
        assert!(bytes == film.data[at..at + RATE]);
        let took = asked.elapsed();
        (waited, longest) = (waited + took.saturating_sub(Duration::from_secs(1)), longest.max(took));
        tokio::time::sleep(Duration::from_secs(1).saturating_sub(took)).await;
        at = (at + RATE) % (film.data.len() - RATE);
        if at < RATE {
            stream.seek(SeekFrom::Start(at as u64)).await.unwrap();
        }
    }
    println!("{jumps} jumps; waited {waited:?} in all, {longest:?} at most");
    for servent in &mut all {
        let status = servent.status();
        println!("{} connections, {} bytes: {}", connections(servent), status["uploaded"], viewer.source(servent));
        assert_eq!(status["violations"], json!({}), "{status}");
        assert!(servent.events("request").iter().all(|event| event["status"] == 206 || event["status"] == 200));
    }
    viewer.session.close().await;
}
