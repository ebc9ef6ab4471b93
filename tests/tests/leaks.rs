//! What leaves the machine: a router sees every packet of the viewer. With a proxy, all of them go
//! to it. With a chosen interface, none takes another one. With a blocklist, none goes to its
//! addresses.
//!
//! Every way in which the program finds and reaches peers is on in each case, and one case without
//! a policy shows that the router sees them.
#![allow(clippy::unwrap_used)]

use playswarm_tests::bencode::{Ben, dict};
use playswarm_tests::netlab::{Destination, Link, Net};
use playswarm_tests::nginx::Nginx;
use playswarm_tests::peers::{RealPeer, libtorrent};
use playswarm_tests::playswarm::{Builder, Playswarm, Status, binary};
use playswarm_tests::process::Process;
use playswarm_tests::proxy::{Names, Proxy};
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::torrent::TestTorrent;
use playswarm_tests::tracker::{Mode, Tracker};
use playswarm_tests::{requirement, wait_for};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Longest time for a film through a proxy, on a machine that does much else.
const SOON: Duration = Duration::from_secs(60);
/// Time in which a program without luck tries all its ways: retries begin within a second.
const TRIES: Duration = Duration::from_millis(2500);
/// Address of the name server, at which no host is.
const NAME_SERVER: &str = "10.77.0.200";
/// Node of the DHT, at which no host is.
const DHT_NODE: &str = "10.77.0.201:6881";

/// The network: a viewer, a seed, trackers and a web server, and a host for proxies.
struct Scene {
    torrent: TestTorrent,
    http: Tracker,
    udp: Tracker,
    web: Tracker,
    /// Names that the proxies know.
    names: Names,
    /// Names that the viewer knows: none, so that it asks for each by a datagram.
    unknown: Names,
    seed: RealPeer,
    net: Net,
}

fn scene() -> Option<Scene> {
    let programs = ["microsocks", "tinyproxy", "unshare"];
    if !requirement::network() || !requirement::libtorrent() || !programs.iter().all(|name| requirement::program(name))
    {
        return None;
    }
    let net = Net::new(&["viewer", "seed", "servers", "proxy", "other"].map(|name| (name, Link::default())));
    let torrent = TestTorrent::single("film.mkv", 1 << 20, 64 << 10);
    let (place, listen) = (net.place("seed"), net.addr("seed", 6881));
    let options = libtorrent::Options { place, listen, pex: true, ..libtorrent::Options::default() };
    let seed = libtorrent::seed(&torrent, &options);
    let servers = net.place("servers");
    let http = Tracker::http_at(&servers, net.addr("servers", 6969), Mode::Honest);
    let udp = Tracker::udp_at(&servers, net.addr("servers", 6969), Mode::Honest);
    let web = Tracker::serving_at(&servers, net.addr("servers", 8000), std::fs::read(torrent.file()).unwrap());
    http.add_peer(seed.addr);
    udp.add_peer(seed.addr);
    let hosts = [("seed.test", net.ip("seed").into()), ("servers.test", net.ip("servers").into())];
    let names = Names::new(&hosts, NAME_SERVER.parse().unwrap());
    let unknown = Names::new(&[], NAME_SERVER.parse().unwrap());
    Some(Scene { torrent, http, udp, web, names, unknown, seed, net })
}

/// A way to the film.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// A torrent file, and the seed by address.
    File,
    /// The same, and the seed by name.
    NamedPeer,
    /// A magnet link that names the seed's address.
    Magnet,
    /// A magnet link that names the seed by its host name.
    NamedMagnet,
    /// A torrent file with an HTTP tracker, which alone knows the seed.
    HttpTracker,
    /// A torrent file with a UDP tracker and the seed by address.
    UdpTracker,
    /// The URL of a torrent file, and the seed by address.
    Url,
    /// The same URL, with a host name.
    NamedUrl,
}

impl Scene {
    /// Prepares the viewer. Its names are looked up by a server that nobody runs.
    fn viewer(&self, way: Way) -> Builder {
        let torrent = &self.torrent;
        let plain = || torrent.file();
        let source: PathBuf = match way {
            Way::File | Way::NamedPeer => plain(),
            Way::Magnet => torrent.magnet(&[], &[self.seed.addr]).into(),
            Way::NamedMagnet => format!("{}&x.pe=seed.test:6881", torrent.magnet(&[], &[])).into(),
            Way::HttpTracker => torrent.file_with(std::slice::from_ref(&self.http.url)),
            Way::UdpTracker => torrent.file_with(std::slice::from_ref(&self.udp.url)),
            Way::Url => self.web.url.clone().into(),
            Way::NamedUrl => self.web.url.replace(&self.web.addr.ip().to_string(), "servers.test").into(),
        };
        let builder = Builder::stream(source)
            .place(self.net.place("viewer"), self.net.addr("viewer", 6881))
            .binary(&self.unknown.wrapped(&binary()))
            .open_network()
            .argument("--dht-bootstrap")
            .argument(DHT_NODE);
        match way {
            Way::NamedPeer => builder.argument("--peer").argument("seed.test:6881"),
            Way::File | Way::UdpTracker | Way::Url | Way::NamedUrl => builder.peers([self.seed.addr]),
            Way::Magnet | Way::NamedMagnet | Way::HttpTracker => builder,
        }
    }

    /// Plays the film, and returns where the viewer's packets went.
    #[track_caller]
    fn plays(&self, builder: Builder) -> BTreeSet<Destination> {
        self.net.record("viewer");
        let mut playswarm = builder.spawn();
        playswarm.wait_url(SOON);
        CheckedReader::new(&playswarm, self.torrent.content(0)).read_all();
        self.sent(playswarm)
    }

    /// Lets the viewer try for a while, and returns where its packets went.
    fn tries(&self, builder: Builder) -> BTreeSet<Destination> {
        self.net.record("viewer");
        let playswarm = builder.spawn();
        std::thread::sleep(TRIES);
        self.sent(playswarm)
    }

    /// Ends the viewer, which then says goodbye to trackers, and returns where its packets went.
    fn sent(&self, mut playswarm: Playswarm) -> BTreeSet<Destination> {
        playswarm.process.interrupt();
        playswarm.process.wait(SOON);
        self.net.destinations("viewer")
    }

    fn socks(&self, user: Option<(&str, &str)>) -> Proxy {
        Proxy::socks(&self.net.place("proxy"), self.net.addr("proxy", 1080), &self.names, user)
    }

    fn tinyproxy(&self, ports: &[u16]) -> Proxy {
        Proxy::http(&self.net.place("proxy"), self.net.addr("proxy", 8888), &self.names, ports)
    }
}

fn tcp(to: SocketAddr) -> BTreeSet<Destination> {
    BTreeSet::from([Destination { is_udp: false, to }])
}

fn through(builder: Builder, url: &str) -> Builder {
    builder.argument("--proxy").argument(url)
}

#[test]
fn without_a_policy_the_router_sees_every_way() {
    let Some(scene) = scene() else { return };
    let sent = scene.plays(scene.viewer(Way::UdpTracker).argument("--peer").argument("seed.test:6881"));
    let is_sent = |is_udp, to: &str| sent.contains(&Destination { is_udp, to: to.parse().unwrap() });
    assert!(is_sent(true, &format!("{NAME_SERVER}:53")), "a name lookup: {sent:?}");
    assert!(is_sent(true, DHT_NODE), "the DHT: {sent:?}");
    assert!(is_sent(true, &scene.udp.addr.to_string()), "a UDP tracker: {sent:?}");
    assert!(is_sent(false, &scene.seed.addr.to_string()), "the seed: {sent:?}");
    assert!(sent.iter().any(|packet| packet.to.ip().is_multicast()), "the local search: {sent:?}");
}

#[test]
fn a_socks_proxy_gets_every_packet() {
    let Some(scene) = scene() else { return };
    let proxy = scene.socks(None);
    let url = format!("socks5://{}", proxy.addr);
    let ways =
        [Way::File, Way::NamedPeer, Way::Magnet, Way::NamedMagnet, Way::HttpTracker, Way::UdpTracker, Way::NamedUrl];
    for way in ways {
        assert_eq!(scene.plays(through(scene.viewer(way), &url)), tcp(proxy.addr), "{way:?}");
    }
    let announces = scene.http.announces();
    assert!(announces.iter().all(|announce| announce.peer.port() == 0), "no listener is announced: {announces:?}");
    assert!(!announces.is_empty() && scene.udp.announces().is_empty());
}

#[test]
fn an_http_proxy_gets_every_packet() {
    let Some(scene) = scene() else { return };
    let proxy = scene.tinyproxy(&[]);
    let url = format!("http://{}", proxy.addr);
    for way in [Way::File, Way::NamedMagnet, Way::HttpTracker, Way::Url] {
        assert_eq!(scene.plays(through(scene.viewer(way), &url)), tcp(proxy.addr), "{way:?}");
    }
}

#[test]
fn a_proxy_that_refuses_dies_or_is_not_there_gets_every_packet() {
    let Some(scene) = scene() else { return };
    let addr = scene.net.addr("proxy", 1080);
    assert_eq!(scene.tries(through(scene.viewer(Way::Url), &format!("socks5://{addr}"))), tcp(addr), "not there");
    let proxy = scene.socks(Some(("user", "s3cret")));
    let with = |user: &str| format!("socks5://{user}@{addr}");
    assert_eq!(scene.plays(through(scene.viewer(Way::HttpTracker), &with("user:s3cret"))), tcp(addr), "password");
    assert_eq!(scene.tries(through(scene.viewer(Way::NamedPeer), &with("user:wrong"))), tcp(addr), "wrong password");
    drop(proxy);
    let strict = scene.tinyproxy(&[443]);
    let url = format!("http://{}", strict.addr);
    assert_eq!(scene.tries(through(scene.viewer(Way::File), &url)), tcp(strict.addr), "a proxy for port 443 only");
    drop(strict);

    let mut proxy = scene.socks(None);
    scene.net.record("viewer");
    let url = format!("socks5://{}", proxy.addr);
    // So slow that the film is not here when the proxy dies.
    let slow = scene.viewer(Way::HttpTracker).argument("--down-limit").argument("100k");
    let mut playswarm = through(slow, &url).spawn();
    playswarm.wait_url(SOON);
    CheckedReader::new(&playswarm, scene.torrent.content(0)).read(0, 64 << 10);
    proxy.kill();
    let is_told = |line: &String| line.contains("cannot be reached") && line.contains("nothing goes around it");
    wait_for("the warning", SOON, || playswarm.process.stderr().iter().any(is_told).then_some(()));
    assert_eq!(scene.sent(playswarm), tcp(addr), "a proxy that dies");
}

#[test]
fn commands_that_only_fetch_a_torrent_obey_the_proxy_too() {
    let Some(scene) = scene() else { return };
    let proxy = scene.socks(None);
    let name = scene.web.url.replace(&scene.web.addr.ip().to_string(), "servers.test");
    for arguments in [&["info", &name, "--wait", "0"][..], &["seed", scene.torrent.data().to_str().unwrap(), &name]] {
        let mut command = scene.net.place("viewer").command(scene.unknown.wrapped(&binary()));
        command.args(arguments).args(["--proxy", &format!("socks5://{}", proxy.addr)]);
        scene.net.record("viewer");
        let mut process = Process::start("playswarm", command);
        process.expect_line(0, SOON, |line| line.contains("film.mkv").then_some(()));
        drop(process);
        assert_eq!(scene.net.destinations("viewer"), tcp(proxy.addr), "{arguments:?}");
    }
}

#[test]
fn a_live_channel_is_reached_through_the_proxy_alone() {
    let Some(scene) = scene() else { return };
    let (place, listen) = (scene.net.place("seed"), scene.net.addr("seed", 7000));
    let mut cast = Builder::cast().place(place, listen).spawn();
    let link = cast.process.expect_line(0, SOON, |line| line.strip_prefix("link: ").map(str::to_owned));
    let key = link.split('?').next().unwrap().to_owned();
    let socks = scene.socks(None);
    let tinyproxy = scene.tinyproxy(&[]);
    for (at, url) in [
        (listen.to_string(), format!("socks5://{}", socks.addr)),
        ("seed.test:7000".to_owned(), format!("http://{}", tinyproxy.addr)),
    ] {
        let before = scene.net.traffic("seed").received_bytes;
        scene.net.record("viewer");
        let watch = Builder::watch(&format!("{key}?at={at}"))
            .place(scene.net.place("viewer"), scene.net.addr("viewer", 6881))
            .open_network();
        let playswarm = through(watch, &url).spawn();
        wait_for("the viewer at the source", SOON, || {
            (scene.net.traffic("seed").received_bytes > before + 500).then_some(())
        });
        std::thread::sleep(TRIES / 2);
        let proxy = if url.starts_with("socks") { socks.addr } else { tinyproxy.addr };
        assert_eq!(scene.sent(playswarm), tcp(proxy), "{at}");
    }
}

#[test]
fn nothing_is_sent_from_an_interface_that_was_not_chosen() {
    let Some(scene) = scene() else { return };
    scene.net.add_interface("viewer", "vpn0", "10.88.0.1/24");
    let anywhere = SocketAddr::new([0, 0, 0, 0].into(), 6881);
    for (interface, way) in [("vpn0", Way::UdpTracker), ("10.88.0.1", Way::HttpTracker)] {
        let before = scene.net.dropped("viewer", "vpn0");
        let viewer = scene.viewer(way).listen(anywhere).argument("--interface").argument(interface);
        assert_eq!(scene.tries(viewer), BTreeSet::new(), "{interface}");
        let tried = scene.net.dropped("viewer", "vpn0") - before;
        assert!(tried > 0, "the viewer tried nothing by {interface}");
    }
    let sent = scene.plays(scene.viewer(Way::HttpTracker).listen(anywhere).argument("--interface").argument("cable0"));
    assert!(sent.iter().any(|packet| packet.to == scene.seed.addr), "the interface works: {sent:?}");
}

#[test]
fn a_blocked_address_is_neither_dialled_nor_accepted() {
    let Some(scene) = scene() else { return };
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.p2p");
    let (blocked, servers): (IpAddr, IpAddr) = (scene.net.ip("other").into(), scene.net.ip("servers").into());
    std::fs::write(&list, format!("a broken line\nbad:{blocked}-{blocked}\nbad:{servers}-{servers}\n")).unwrap();
    let torrent = &scene.torrent;
    let options = |host: &str| libtorrent::Options {
        place: scene.net.place(host),
        listen: scene.net.addr(host, 6881),
        ..libtorrent::Options::default()
    };
    let mut other = libtorrent::leech(&torrent.file(), &options("other"));
    let viewer =
        scene.viewer(Way::UdpTracker).peers([other.addr]).argument("--blocklist").argument(list.to_str().unwrap());
    scene.net.record("viewer");
    let mut playswarm = viewer.spawn();
    playswarm.wait_url(SOON);
    CheckedReader::new(&playswarm, torrent.content(0)).read_all();
    let sent = scene.net.destinations("viewer");
    let to_blocked: Vec<_> = sent.iter().filter(|packet| [blocked, servers].contains(&packet.to.ip())).collect();
    assert!(to_blocked.is_empty(), "{to_blocked:?}");
    assert!(sent.iter().any(|packet| packet.to == scene.seed.addr), "{sent:?}");
    // The system answers before the program can close the connection.
    other.connect(scene.net.addr("viewer", 6881));
    std::thread::sleep(TRIES);
    let status = playswarm.status();
    assert!(status.peers.iter().all(|peer| peer.addr.ip() != blocked), "{:?}", status.peers);
    assert!(playswarm.process.stderr().iter().any(|line| line.contains("1 lines of the blocklist")));
}

/// A server of the Internet gives a torrent whose web seeds lead to the local network: by their
/// addresses, by names in the DNS, and by redirects.
#[test]
fn a_server_of_the_internet_leads_to_no_address_of_the_local_network() {
    if !requirement::network() || !requirement::program("nginx") || !requirement::program("unshare") {
        return;
    }
    let net = Net::new(&["viewer", "stranger", "device"].map(|name| (name, Link::default())));
    let torrent = TestTorrent::single("film.mkv", 1 << 20, 64 << 10);
    let device = Nginx::at(&net.place("device"), net.addr("device", 80), &torrent.data(), "");
    let stranger = net.public_addr("stranger", 80).ip();
    let redirects = "location /address { return 302 http://10.77.0.3/film.mkv; }
        location /name { return 302 http://device.test/film.mkv; }
        location /here { return 302 http://127.0.0.1/film.mkv; }
        location /six { return 302 http://[fd77::3]/film.mkv; }";
    let addr = SocketAddr::new(stranger, 80);
    let _stranger = Nginx::at(&net.place("stranger"), addr, &torrent.data(), redirects);
    let seeds = ["10.77.0.3/film.mkv", "device.test/film.mkv", "[fd77::3]/film.mkv", "127.0.0.1/film.mkv"];
    let ways = ["address", "name", "here", "six"].map(|way| format!("http://{stranger}/{way}"));
    let seeds = seeds.map(|seed| format!("http://{seed}")).into_iter().chain(ways).map(|url| Ben::from(url.as_str()));
    let metainfo = dict([("info", torrent.info.clone()), ("url-list", seeds.collect::<Vec<_>>().into())]);
    std::fs::write(torrent.data().join("film.torrent"), metainfo.encode()).unwrap();
    let names = Names::new(&[("device.test", net.ip("device").into())], NAME_SERVER.parse().unwrap());
    let program = names.wrapped(&binary());
    let viewer = || {
        let stream = Builder::stream(format!("http://{stranger}/film.torrent")).binary(&program);
        stream.place(net.place("viewer"), net.addr("viewer", 6881))
    };
    net.record("viewer");
    let watching = viewer().start();
    let refused = |status: &Status| status.sources.iter().filter(|source| source.state == "refused").count() == 8;
    // Sources are dialled while too little comes, so that each has its turn.
    std::thread::scope(|scope| {
        scope.spawn(|| CheckedReader::new(&watching, torrent.content(0)).try_read(0, 1).is_ok());
        watching.wait_status("all of them are refused", SOON, refused);
        assert_eq!(net.destinations("viewer"), tcp(addr));
        watching.process.interrupt();
    });
    drop(watching);
    // The same server is used if the user names it, so that the router would have seen it.
    let mirror = format!("{}/film.mkv", device.origin);
    let watching = viewer().argument("--mirror").argument(&mirror).start();
    CheckedReader::new(&watching, torrent.content(0)).read_all();
    assert!(net.destinations("viewer").is_superset(&tcp(net.addr("device", 80))));
}
