//! Searches of the Gnutella network, whose servents are processes apart from our code. The test
//! network has addresses that look public, so that addresses are filtered as for users.
#![allow(clippy::unwrap_used)]

use playswarm::gnutella::{GnutellaConfig, Hit, Query, Search};
use playswarm::{Config, Error, ErrorKind, Session, Source, TorrentHandle};
use playswarm_tests::netlab::{Link, Net, PUBLIC};
use playswarm_tests::peers::servent::{Options, Servent};
use playswarm_tests::{requirement, wait_for};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

/// Port of servents.
const PORT: u16 = 6346;
/// Longest wait of a test for servents.
const PATIENCE: Duration = Duration::from_secs(30);
/// Duration of searches that find something.
const SEARCH: Duration = Duration::from_secs(6);
/// Duration of searches that find nothing.
const SHORT: Duration = Duration::from_secs(2);

/// A network with an ultrapeer and two leaves that share files.
struct World {
    net: Net,
    up: Servent,
    leaves: Vec<Servent>,
    _files: TempDir,
}

fn servent(net: &Net, host: &str, share: Option<&Path>, ultrapeer: bool) -> Options {
    let mut options = Options::leaf(&net.place(host), net.addr(host, PORT));
    options.ultrapeer = ultrapeer;
    options.share = share.into_iter().map(Path::to_owned).collect();
    if !ultrapeer {
        options.connect = vec![net.addr("up", PORT)];
    }
    options
}

impl World {
    /// Starts the servents. `change` turns the knobs of a host's servent.
    fn new(change: impl Fn(&str, Options) -> Options) -> World {
        let far = Link { delay_ms: 10.0, ..Link::default() };
        let net = Net::at(PUBLIC, &["viewer", "up", "one", "two", "other"].map(|host| (host, far)));
        let files = tempfile::tempdir().unwrap();
        for (folder, name, byte) in
            [("one", "Big Buck Bunny.mkv", 7), ("two", "big buck bunny (film).mkv", 7), ("two", "Sintel 2010.mkv", 8)]
        {
            let folder = files.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(name), vec![byte; 100_000]).unwrap();
        }
        let mut up = Servent::start(&change("up", servent(&net, "up", None, true)));
        let leaf =
            |host: &str| Servent::start(&change(host, servent(&net, host, Some(&files.path().join(host)), false)));
        let leaves = vec![leaf("one"), leaf("two")];
        // Each leaf sends its table in two parts.
        wait_for("the tables of the leaves", PATIENCE, || {
            (up.status()["heard"]["0x30"].as_u64() >= Some(4)).then_some(())
        });
        World { net, up, leaves, _files: files }
    }

    fn honest() -> World {
        World::new(|_, options| options)
    }

    fn at(&self, host: &str) -> SocketAddrV4 {
        SocketAddrV4::new(self.net.ip(host), PORT)
    }

    /// Runs a session at the viewer that begins with these settings.
    fn view<T: Send>(
        &self,
        dir: &Path,
        change: impl FnOnce(&mut GnutellaConfig) + Send,
        run: impl AsyncFnOnce(&Session) -> T + Send,
    ) -> T {
        let mut config = settings(dir);
        change(&mut config.gnutella);
        view(&self.net, config, run)
    }
}

fn settings(dir: &Path) -> Config {
    let mut config = Config::offline(dir);
    config.listen = Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 6881)));
    config.gnutella.enabled = true;
    config
}

/// Runs a session at the viewer of a network.
fn view<T: Send>(net: &Net, config: Config, run: impl AsyncFnOnce(&Session) -> T + Send) -> T {
    net.place("viewer").run(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async move {
            let session = Session::new(config).await.unwrap();
            let result = run(&session).await;
            session.close().await;
            result
        })
    })
}

fn query(words: &str, wait: Duration) -> Query {
    let mut query = Query::new(words);
    query.wait = Some(wait);
    query
}

/// Returns all that a search finds, and how soon the first file is here.
async fn all(session: &Session, words: &str) -> (Vec<Hit>, Option<Duration>) {
    let begun = Instant::now();
    let search = session.search(query(words, SEARCH)).unwrap();
    let mut first = None;
    while search.next().await.unwrap().is_some() {
        first.get_or_insert(begun.elapsed());
    }
    (search.hits(), first)
}

fn addresses(hit: &Hit) -> Vec<SocketAddr> {
    let mut all: Vec<_> = hit.sources.iter().filter_map(|source| source.address).collect();
    all.sort();
    all
}

/// Waits for the next file, which must come.
async fn next(search: &Search) -> Hit {
    search.next().await.unwrap().expect("a file is found")
}

#[test]
fn a_search_finds_what_servents_share_and_its_links_name_them() {
    if !requirement::network() {
        return;
    }
    let world = World::honest();
    let (dir, up) = (tempfile::tempdir().unwrap(), world.at("up"));
    let (bunny, sintel, none) = world.view(
        dir.path(),
        |settings| settings.hosts = vec![up],
        async |session| {
            let (bunny, _) = all(session, "buck bunny").await;
            (bunny, all(session, "sintel").await.0, all(session, "nothing has this name").await.0)
        },
    );
    // Two names of one file, by its hash.
    assert_eq!(bunny.len(), 1, "{bunny:?}");
    let servents = [world.leaves[0].addr, world.leaves[1].addr];
    assert_eq!((addresses(&bunny[0]), bunny[0].size_bytes), (servents.to_vec(), 100_000));
    let shared = &world.leaves[0].files[0];
    assert_eq!(bunny[0].urn.as_deref(), Some(&*format!("urn:bitprint:{}.{}", shared.sha1, shared.tiger)));
    let link = bunny[0].magnet().unwrap();
    for servent in servents {
        assert!(link.contains(&format!("xs=http%3A%2F%2F{}%3A{PORT}%2Furi-res%2FN2R", servent.ip())), "{link}");
    }
    assert_eq!((sintel.len(), addresses(&sintel[0])), (1, vec![servents[1]]));
    assert!(none.is_empty());
    // The words went to the ultrapeer, and the leaf's identifier was another than that of the search.
    assert!(world.up.events("query").iter().any(|query| query["text"] == "buck bunny"));
}

#[test]
fn hosts_are_saved_and_used_again() {
    if !requirement::network() {
        return;
    }
    let world = World::honest();
    let (dir, up) = (tempfile::tempdir().unwrap(), world.at("up"));
    let first = world.view(
        dir.path(),
        |settings| settings.hosts = vec![up],
        async |session| next(&session.search(query("sintel", SEARCH)).unwrap()).await,
    );
    let saved = std::fs::read_to_string(dir.path().join(".playswarm/gnutella-hosts")).unwrap();
    assert_eq!(saved.lines().next(), Some(&*up.to_string()));
    let second =
        world.view(dir.path(), |_| {}, async |session| next(&session.search(query("sintel", SEARCH)).unwrap()).await);
    assert_eq!(first.urn, second.urn);
    let servents: Vec<_> = world.up.events("handshake").iter().map(|one| one["headers"]["GUID"].clone()).collect();
    let ours: Vec<_> = servents.iter().rev().take(2).collect();
    assert_ne!(ours[0], ours[1], "each session has a new identifier");
}

#[test]
fn caches_of_hosts_lead_to_the_network_by_udp_and_by_http() {
    if !requirement::network() {
        return;
    }
    let world = World::honest();
    let up = world.at("up");
    let listener = world.net.place("other").listen(world.net.addr("other", 8080));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let body = format!("I|pong|a cache\nH|{up}|60\nH|127.0.0.1:6346|60\n");
            let _ = write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    for cache in [up.to_string(), format!("http://{}:8080/gwc.php", world.net.ip("other"))] {
        let dir = tempfile::tempdir().unwrap();
        let caches = vec![cache.clone()];
        let hit = world.view(
            dir.path(),
            |settings| settings.caches = caches,
            async |session| session.search(query("sintel", SEARCH)).unwrap().next().await.unwrap(),
        );
        assert!(hit.is_some(), "{cache}");
    }
}

#[test]
fn a_network_whose_hosts_are_all_dead_ends_the_search_with_a_sentence() {
    if !requirement::network() {
        return;
    }
    let net = Net::at(PUBLIC, &["viewer", "up"].map(|host| (host, Link::default())));
    let hosts: Vec<SocketAddrV4> = vec![SocketAddrV4::new(net.ip("up"), PORT), "44.77.0.200:6346".parse().unwrap()];
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::offline(dir.path());
    config.listen = Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 6881)));
    (config.gnutella.enabled, config.gnutella.hosts) = (true, hosts);
    let error: Error = net.place("viewer").run(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async move {
            let session = Session::new(config).await.unwrap();
            session.search(query("sintel", SHORT)).unwrap().next().await.unwrap_err()
        })
    });
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().starts_with("none of 2 servents of the Gnutella network could be reached within 2 s"));
}

#[test]
fn a_network_that_vanishes_leaves_what_was_found() {
    if !requirement::network() {
        return;
    }
    let world = World::honest();
    let (dir, up) = (tempfile::tempdir().unwrap(), world.at("up"));
    let net = &world.net;
    let (found, later) = world.view(
        dir.path(),
        |settings| settings.hosts = vec![up],
        async |session| {
            let search = session.search(query("bunny", SEARCH)).unwrap();
            next(&search).await;
            net.cut("up");
            assert_eq!(search.next().await.unwrap(), None);
            let later = session.search(query("sintel", SHORT)).unwrap();
            (search.hits(), later.next().await)
        },
    );
    assert_eq!(found.len(), 1);
    // The connection is not known to be dead yet.
    assert!(matches!(later, Ok(None)), "{later:?}");
}

#[test]
fn hits_never_lead_to_private_networks() {
    if !requirement::network() {
        return;
    }
    let lie = |host: &str, options: Options| if host == "one" { options.with("hits", "private") } else { options };
    let world = World::new(lie);
    let (dir, up) = (tempfile::tempdir().unwrap(), world.at("up"));
    let (hits, _) =
        world.view(dir.path(), |settings| settings.hosts = vec![up], async |session| all(session, "bunny").await);
    assert_eq!(hits.len(), 1);
    assert_eq!(addresses(&hits[0]), [world.leaves[1].addr]);
}

#[test]
fn ultrapeers_that_misbehave_are_left_and_the_others_answer() {
    if !requirement::network() {
        return;
    }
    for link in ["bomb", "garbage", "long", "bye", "full", "hits"] {
        let world = World::honest();
        let bad = servent(&world.net, "other", None, true).with("link", link);
        let bad = Servent::start(&bad);
        let (dir, up) = (tempfile::tempdir().unwrap(), world.at("up"));
        let hosts = vec![SocketAddrV4::new(world.net.ip("other"), bad.addr.port()), up];
        let hit = world.view(
            dir.path(),
            |settings| settings.hosts = hosts,
            async |session| {
                let search = session.search(query("sintel", SEARCH)).unwrap();
                next(&search).await
            },
        );
        assert_eq!(hit.name, "Sintel 2010.mkv", "{link}");
    }
}

#[test]
fn a_leaf_that_searches_for_nothing_is_quiet() {
    if !requirement::network() {
        return;
    }
    let world = World::honest();
    let (dir, up) = (tempfile::tempdir().unwrap(), world.at("up"));
    let idle = Duration::from_secs(10);
    let net = &world.net;
    let bytes = world.view(
        dir.path(),
        |settings| settings.hosts = vec![up],
        async |session| {
            next(&session.search(query("sintel", SEARCH)).unwrap()).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let sum = || net.traffic("viewer").sent_bytes + net.traffic("viewer").received_bytes;
            let before = sum();
            tokio::time::sleep(idle).await;
            sum() - before
        },
    );
    println!("idle: {} bytes/s", bytes / idle.as_secs());
    assert!(bytes <= 2000 * idle.as_secs(), "{bytes} bytes in {idle:?}");
}

#[tokio::test]
async fn the_network_is_used_only_if_asked_for_and_a_search_needs_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let session = Session::new(Config::offline(dir.path())).await.unwrap();
    let error = session.search(Query::new("sintel")).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::BadConfig);
    assert!(error.to_string().contains("gnutella.enabled"), "{error}");
    let mut config = Config::offline(dir.path());
    config.gnutella.enabled = true;
    // Nothing is sent: there is nobody, and the session uses this machine alone.
    config.gnutella.hosts = vec!["127.0.0.1:1".parse().unwrap()];
    let on = Session::new(config).await.unwrap();
    for words in ["", "a ? !"] {
        assert_eq!(on.search(Query::new(words)).err().unwrap().kind(), ErrorKind::BadArgument, "{words:?}");
    }
    let search = on.search(Query::new("sintel")).unwrap();
    on.close().await;
    assert_eq!(search.next().await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(on.search(Query::new("sintel")).err().unwrap().kind(), ErrorKind::Closed);
}

/// Twenty nodes of the DHT. One shares a film, which is stored there; another is an ultrapeer.
struct Film {
    net: Net,
    holder: Servent,
    up: Servent,
    bytes: Vec<u8>,
    folder: TempDir,
}

const FILM: &str = "Quiet Film.mkv";

impl Film {
    fn new() -> Film {
        let far = Link { delay_ms: 10.0, ..Link::default() };
        let net = Net::at(PUBLIC, &["viewer", "up", "holder", "leaf"].map(|host| (host, far)));
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..900_000u32).map(|n| (n / 1024 * 7 + n % 251) as u8).collect();
        std::fs::write(folder.path().join(FILM), &bytes).unwrap();
        let mut holder = servent(&net, "holder", Some(folder.path()), true);
        holder.dht_crowd = 18;
        let mut holder = Servent::start(&holder);
        holder.published();
        let mut up = servent(&net, "up", None, true);
        up.dht = vec![holder.addr];
        let mut up = Servent::start(&up);
        up.published();
        Film { net, holder, up, bytes, folder }
    }

    fn sha1(&self) -> Source {
        Source::parse(&format!("urn:sha1:{}", self.holder.files[0].sha1)).unwrap()
    }

    fn settings(&self, dir: &Path) -> Config {
        let mut config = settings(dir);
        config.gnutella.hosts = vec![SocketAddrV4::new(self.net.ip("up"), PORT)];
        config.web_seeds = true;
        config
    }

    /// Checks that all of it comes.
    async fn plays(&self, handle: &TorrentHandle) {
        let mut read = Vec::new();
        let mut stream = handle.stream(0).unwrap();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("in time").unwrap();
        assert!(read == self.bytes, "the bytes differ");
    }
}

/// Returns the servents that are sources.
fn servents(handle: &TorrentHandle) -> Vec<String> {
    let sources = handle.status().sources.into_iter();
    sources.filter(|source| source.origin == "servent").map(|source| source.url).collect()
}

#[test]
fn a_bare_sha1_plays_from_the_source_that_the_dht_names() {
    if !requirement::network() {
        return;
    }
    let film = Film::new();
    let dir = tempfile::tempdir().unwrap();
    let mut config = film.settings(dir.path());
    config.accept_tree = true;
    let begun = Instant::now();
    let opened = view(&film.net, config, async |session| {
        let handle = session.open(film.sha1()).await.unwrap();
        let opened = begun.elapsed();
        assert_eq!(handle.metainfo().proof.kind(), "accepted tree");
        film.plays(&handle).await;
        let at = format!("http://{}/", film.holder.addr);
        assert!(matches!(&*servents(&handle), [only] if only.starts_with(&at)), "{:?}", servents(&handle));
        opened
    });
    println!("a bare SHA-1 is open after {opened:?}");
    // An ultrapeer that a cache names leads there too.
    let third = tempfile::tempdir().unwrap();
    let mut config = settings(third.path());
    config.gnutella.caches = vec![SocketAddrV4::new(film.net.ip("up"), PORT).to_string()];
    view(&film.net, config, async |session| session.open(film.sha1()).await.map(drop).unwrap());
    // Its nodes were saved, and lead there again without a host that is known. A tree is not needed.
    let state = dir.path().join(".playswarm");
    std::fs::remove_file(state.join("gnutella-hosts")).unwrap();
    let other = tempfile::tempdir().unwrap();
    std::fs::create_dir(other.path().join(".playswarm")).unwrap();
    std::fs::rename(state.join("gnutella-nodes"), other.path().join(".playswarm/gnutella-nodes")).unwrap();
    // A cache that does not answer, in place of the well-known ones.
    let mut config = settings(other.path());
    config.gnutella.caches = vec!["44.77.0.200:1".to_owned()];
    view(&film.net, config, async |session| {
        let handle = session.open(film.sha1()).await.unwrap();
        assert_eq!(handle.metainfo().proof.kind(), "whole file");
        film.plays(&handle).await;
    });
}

#[test]
fn a_film_that_lacks_sources_gets_those_of_the_dht_and_of_its_name() {
    if !requirement::network() {
        return;
    }
    let mut film = Film::new();
    let leaf = Servent::start(&servent(&film.net, "leaf", Some(film.folder.path()), false));
    wait_for("the table of the leaf", PATIENCE, || {
        (film.up.status()["heard"]["0x30"].as_u64() >= Some(2)).then_some(())
    });
    let dir = tempfile::tempdir().unwrap();
    let shared = &film.holder.files[0];
    // No server is needed to open it: the link has the length.
    let link = format!("magnet:?xt=urn:sha1:{}&xl={}&dn=Quiet+Film.mkv", shared.sha1, film.bytes.len());
    view(&film.net, film.settings(dir.path()), async |session| {
        let handle = session.open(Source::parse(&link).unwrap()).await.unwrap();
        let wanted = [film.holder.addr, leaf.addr].map(|servent| format!("http://{servent}/"));
        let all = async {
            while !wanted.iter().all(|at| servents(&handle).iter().any(|url| url.starts_with(at))) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("{:?}", servents(&handle)));
        film.plays(&handle).await;
    });
    let queries = film.up.events("query");
    assert!(queries.iter().any(|query| query["text"] == "quiet film mkv"), "{queries:?}");
    // Complete, it lacks nothing.
    let (before, asked) = (queries.len(), film.up.status()["heard"]["datagrams"].clone());
    view(&film.net, film.settings(dir.path()), async |session| {
        let handle = session.open(Source::parse(&link).unwrap()).await.unwrap();
        assert!(handle.is_complete().unwrap());
        tokio::time::sleep(Duration::from_secs(2)).await;
    });
    assert_eq!((film.up.events("query").len(), film.up.status()["heard"]["datagrams"].clone()), (before, asked));
}

#[test]
fn no_stranger_learns_of_a_file_unless_the_network_is_on() {
    if !requirement::network() {
        return;
    }
    let film = Film::new();
    let dir = tempfile::tempdir().unwrap();
    let mut config = film.settings(dir.path());
    config.gnutella.enabled = false;
    film.net.record("viewer");
    let refused = view(&film.net, config, async |session| {
        let refused = session.open(film.sha1()).await.err().unwrap();
        let length = film.bytes.len();
        let link = format!("magnet:?xt=urn:sha1:{}&xl={length}&dn=Quiet+Film.mkv", film.holder.files[0].sha1);
        let _handle = session.open(Source::parse(&link).unwrap()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        refused
    });
    assert!(film.net.destinations("viewer").is_empty(), "{:?}", film.net.destinations("viewer"));
    assert!(refused.to_string().contains("turn the Gnutella network on"), "{refused}");
}

#[test]
fn a_sha1_that_nobody_has_is_refused_in_a_sentence() {
    if !requirement::network() {
        return;
    }
    let film = Film::new();
    let dir = tempfile::tempdir().unwrap();
    let nobody = Source::parse(&format!("urn:sha1:{}", "A".repeat(32))).unwrap();
    let refused = view(&film.net, film.settings(dir.path()), async |session| session.open(nobody).await.err().unwrap());
    assert!(refused.to_string().contains("the Gnutella network knows no source of it"), "{refused}");
}

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Prints how soon the first file is found, and the memory of the leaf. The servents collect what they
/// compress for half a second, as gtk-gnutella does.
#[test]
#[ignore = "a measurement, not a check"]
fn the_first_file_is_found_soon() {
    let slow = |_: &str, options: Options| options.with("deflate_delay", "0.5");
    let world = World::new(slow);
    for run in 0..3 {
        // Another session each time, as a servent takes two connections of an address in a minute.
        let (dir, up) = (tempfile::tempdir().unwrap(), world.at("up"));
        std::thread::sleep(Duration::from_secs(if run == 0 { 0 } else { 61 }));
        world.view(
            dir.path(),
            |settings| settings.hosts = vec![up],
            async |session| {
                let before = resident();
                let (_, cold) = all(session, "sintel").await;
                let (_, warm) = all(session, "bunny").await;
                let kib = (resident() - before) >> 10;
                println!("from one host {cold:?}, with a connected leaf {warm:?}, memory {kib} KiB");
            },
        );
    }
}
