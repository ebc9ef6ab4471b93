//! Trackers as they occur in practice: odd responses, dead addresses, refusals, and addresses that
//! must not be contacted.
#![allow(clippy::unwrap_used)]

use playswarm_tests::hostile::{Hostile, Malice};
use playswarm_tests::http;
use playswarm_tests::netlab::{Link, Net};
use playswarm_tests::peers::fresh_ip;
use playswarm_tests::place::Place;
use playswarm_tests::playswarm::{Builder, Playswarm, STARTUP, Status, binary};
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use playswarm_tests::tracker::{Form, Mode, REFUSAL, Tracker};
use playswarm_tests::{tracker, wait_for};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Returns the address of a peer that does not exist.
fn nonexistent_peer() -> SocketAddr {
    SocketAddr::new(fresh_ip().into(), 6881)
}

fn torrent() -> TestTorrent {
    TestTorrent::single("film.mkv", 1 << 20, 64 << 10)
}

/// Waits until each tracker has worked or failed.
fn outcome(playswarm: &Playswarm) -> Status {
    playswarm.wait_status("an outcome of each tracker", Duration::from_secs(30), |status| {
        !status.trackers.is_empty() && status.trackers.iter().all(|t| matches!(t.state.as_str(), "working" | "failed"))
    })
}

#[test]
fn peers_are_found_in_answers_of_any_form() {
    let torrent = torrent();
    let trackers: Vec<Tracker> = Form::ODD.into_iter().map(|form| Tracker::http(Mode::Odd(form))).collect();
    trackers.iter().for_each(|tracker| tracker.add_peer(nonexistent_peer()));
    let urls: Vec<String> = trackers.iter().map(|tracker| tracker.url.clone()).collect();
    let playswarm = Builder::stream(torrent.file_with(&urls)).start();
    let status = outcome(&playswarm);
    for (form, tracker) in Form::ODD.iter().zip(&status.trackers) {
        assert_eq!((tracker.state.as_str(), tracker.peers), ("working", 1), "{form:?}: {tracker:?}");
    }
    let warned = status.trackers.iter().filter_map(|t| t.message.as_deref()).collect::<Vec<_>>();
    assert_eq!(warned, [tracker::WARNING.replace('\x1b', "\u{fffd}")]);
}

#[test]
fn what_trackers_say_is_shown_everywhere_and_passkeys_nowhere() {
    let torrent = torrent();
    let modes = [Mode::Refuse, Mode::Status(403), Mode::Status(410), Mode::Rubbish];
    let trackers = modes.map(Tracker::http);
    let refuser = Tracker::udp(Mode::Refuse);
    let mut urls: Vec<String> = trackers.iter().map(|t| format!("{}?passkey=secret", t.url)).collect();
    urls.push(refuser.url.clone());
    let playswarm = Builder::stream(torrent.file_with(&urls)).start();
    let status = outcome(&playswarm);
    let message = |n: usize| status.trackers[n].message.clone().unwrap_or_default();
    assert!(status.trackers.iter().all(|t| t.state == "failed" && !t.url.contains("secret")), "{:?}", status.trackers);
    assert!(message(0).contains(REFUSAL) && message(4).contains(REFUSAL), "{:?}", status.trackers);
    assert!(message(1).contains("403") && message(2).contains("410"), "{:?}", status.trackers);
    assert!(message(1).contains("go \u{fffd}[31maway"), "{}", message(1));

    let get = |path: &str| http::request(&Place::Here, "GET", &playswarm.url().at(path), &[]).unwrap().text().unwrap();
    let page = get("/");
    assert!(page.contains(REFUSAL) && page.contains("403") && !page.contains("secret"), "{page}");

    let mut info = std::process::Command::new(binary());
    info.arg("info").arg(torrent.file_with(&urls)).args(["--wait", "4", "--no-dht", "--no-lsd", "--no-port-map"]);
    let info = info.args(["--listen", &nonexistent_peer().to_string()]).output().unwrap();
    let text = String::from_utf8_lossy(&info.stdout);
    assert!(text.contains(REFUSAL) && text.contains("403") && !text.contains("secret"), "{text}");
}

#[test]
fn one_tracker_in_four_spellings_is_asked_once() {
    let torrent = torrent();
    let tracker = Tracker::http(Mode::Odd(Form::Plain));
    let addr = tracker.addr;
    let urls = [
        format!("http://{addr}/announce"),
        format!("HTTP://{addr}/announce#x"),
        format!(" http://{addr}/announce? "),
        format!("http://0x{:08x}:{}/announce", u32::from(ipv4(addr)), addr.port()),
    ];
    let playswarm = Builder::stream(torrent.file_with(&urls)).start();
    let status = outcome(&playswarm);
    assert_eq!(status.trackers.len(), 1, "{:?}", status.trackers);
    assert_eq!(tracker.announces().len(), 1);
}

fn ipv4(addr: SocketAddr) -> std::net::Ipv4Addr {
    match addr {
        SocketAddr::V4(addr) => *addr.ip(),
        SocketAddr::V6(_) => panic!("an IPv4 address"),
    }
}

#[test]
fn a_magnet_link_announces_that_something_is_missing_and_not_sixteen_exabytes() {
    let torrent = torrent();
    let tracker = Tracker::http(Mode::Honest);
    let _playswarm = Builder::stream(torrent.magnet(std::slice::from_ref(&tracker.url), &[])).spawn();
    let asked = wait_for("an announce", STARTUP, || tracker.requests().first().cloned());
    assert!(asked.contains("&left=16384&"), "{asked}");
}

#[test]
fn a_tracker_that_is_out_of_order_costs_its_tier_two_seconds() {
    let torrent = torrent();
    let (dead, good) = (Tracker::http(Mode::Hang), Tracker::http(Mode::Odd(Form::Plain)));
    let peer = nonexistent_peer();
    good.add_peer(peer);
    let file = torrent.file_with_tiers(&[vec![dead.url.clone(), good.url.clone()]]);
    // Each process shuffles a tier (BEP 12), so the working tracker is often first.
    for draw in 1..=30 {
        let begun = std::time::Instant::now();
        let playswarm = Builder::stream(file.clone()).start();
        playswarm.wait_status("the peer of the second tracker", Duration::from_secs(15), |s| s.known_peers > 0);
        let waited = begun.elapsed();
        let started = good.announces().iter().filter(|announce| announce.event == "started").count();
        assert_eq!(started, draw);
        if dead.requests().is_empty() {
            continue;
        }
        assert!(waited < Duration::from_secs(10), "{waited:?}");
        assert!(
            waited >= Duration::from_secs(2),
            "the second tracker of a tier is used once the first has failed: {waited:?}"
        );
        return;
    }
    panic!("the dead tracker was never the first of its tier");
}

/// Writes a script that runs the program under test with other host names.
fn with_hosts(dir: &Path, hosts: &str) -> PathBuf {
    let (list, script) = (dir.join("hosts"), dir.join("playswarm-with-hosts"));
    std::fs::write(&list, hosts).unwrap();
    let (list, binary) = (list.display(), binary());
    let inner = format!("mount --bind {list} /etc/hosts && exec {} \"$@\"", binary.display());
    std::fs::write(&script, format!("#!/bin/sh\nexec unshare --mount sh -c '{inner}' playswarm \"$@\"\n")).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    script
}

#[test]
fn a_name_whose_first_address_is_dead_leads_to_the_next() {
    if !requirement::network() {
        return;
    }
    let net = Net::new(&[("viewer", Link::default()), ("tracker", Link::default())]);
    let at = net.place("tracker");
    let http = Tracker::http_at(&at, net.addr("tracker", 6969), Mode::Odd(Form::Plain));
    let udp = Tracker::udp_at(&at, net.addr("tracker", 6970), Mode::Honest);
    let peers: Vec<SocketAddr> = (1..=2).map(|n| SocketAddr::from(([10, 77, 0, 100 + n], 6881))).collect();
    http.add_peer(peers[0]);
    udp.add_peer(peers[1]);
    let dir = tempfile::tempdir().unwrap();
    // Packets to the first address are lost silently. It is as near as the second, or the system
    // would swap them.
    let hosts = format!("10.77.0.3 tracker.test\n{} tracker.test\n", net.addr("tracker", 1).ip());
    let urls = ["http://tracker.test:6969/announce".to_owned(), "udp://tracker.test:6970/announce".to_owned()];
    let listen = net.addr("viewer", 6881);
    let playswarm = Builder::stream(torrent().file_with(&urls))
        .binary(&with_hosts(dir.path(), &hosts))
        .place(net.place("viewer"), listen)
        .start();
    let begun = std::time::Instant::now();
    playswarm.wait_status("an answer of both", Duration::from_secs(20), |status| {
        !status.trackers.is_empty() && status.trackers.iter().all(|t| t.state == "working" && t.peers > 0)
    });
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn nothing_from_outside_makes_us_ask_services_of_our_own_network() {
    if !requirement::network() {
        return;
    }
    let net = Net::new(&[("viewer", Link::default()), ("router", Link::default())]);
    let viewer = net.place("viewer");
    // A global address, as far as the program can tell.
    let public = "11.0.0.7";
    let added = viewer.command("ip").args(["addr", "add", "11.0.0.7/32", "dev", "lo"]).status().unwrap();
    assert!(added.success());
    let router = Tracker::http_at(&net.place("router"), net.addr("router", 80), Mode::Honest);
    let own = Tracker::http_at(&viewer, "127.0.0.1:8080".parse().unwrap(), Mode::Honest);
    let at = |port: u16| SocketAddr::new(public.parse().unwrap(), port);
    let to_router = Tracker::http_at(&viewer, at(8181), Mode::Redirect(router.addr));
    let to_own = Tracker::http_at(&viewer, at(8182), Mode::Redirect(own.addr));
    let honest = Tracker::http_at(&viewer, at(8183), Mode::Odd(Form::Plain));
    // The tracker returns the router and a service of this machine as peers.
    honest.add_peer(SocketAddr::new(router.addr.ip(), 6881));
    honest.add_peer("127.0.0.1:8080".parse().unwrap());
    // At a port other than ours, because this tracker returns our own address, too.
    honest.add_peer(at(7000));
    let dir = tempfile::tempdir().unwrap();
    let hosts = format!("{} router.test\n127.0.0.1 own.test\n", router.addr.ip());
    let program = with_hosts(dir.path(), &hosts);

    // A torrent file of the user: local trackers are contacted, but at no path that the torrent
    // chooses.
    let urls = [
        format!("http://{}/cgi-bin/reboot?now=1", router.addr),
        "http://router.test/cgi-bin/reboot".to_owned(),
        "http://own.test:8080/shutdown".to_owned(),
        to_router.url.clone(),
        to_own.url.clone(),
        honest.url.clone(),
    ];
    let listen = net.addr("viewer", 6881);
    let torrent = torrent();
    let stream = |source: &Path| Builder::stream(source).binary(&program).place(viewer.clone(), listen);
    let playswarm = stream(&torrent.file_with(&urls)).start();
    let status = outcome(&playswarm);
    assert_eq!((router.requests(), own.requests()), (vec![], vec![]));
    assert!(
        !to_router.requests().is_empty() && !to_own.requests().is_empty(),
        "the trackers that redirect received requests"
    );
    assert_eq!(status.trackers.iter().filter(|t| t.state == "working").count(), 1, "{:?}", status.trackers);
    let refused = status.trackers.iter().filter(|t| t.message.as_deref().is_some_and(|m| m.contains("local network")));
    assert_eq!(refused.count(), 5, "{:?}", status.trackers);
    let known = |s: &Status| s.known_peers + s.peers.len();
    let status = playswarm.wait_status("the peer of the Internet", Duration::from_secs(10), |s| known(s) > 0);
    assert_eq!(known(&status), 1, "only the peer of the Internet is known");
    drop(playswarm);

    // A torrent from the internet causes no request to local addresses.
    let urls = [format!("http://{}/announce", router.addr), format!("http://{}/announce", own.addr)];
    let file = torrent.file_with(&urls);
    let server = Tracker::serving_at(&viewer, at(8184), std::fs::read(&file).unwrap());
    let playswarm = stream(Path::new(&server.url)).start();
    let status = outcome(&playswarm);
    assert!(status.trackers.iter().all(|t| t.state == "failed"), "{:?}", status.trackers);
    assert_eq!((router.requests(), own.requests()), (vec![], vec![]));
    drop(playswarm);

    // A redirect of the torrent's own URL causes none, either.
    let mut failed = stream(Path::new(&to_router.url)).spawn();
    assert!(!failed.process.wait(Duration::from_secs(30)).success());
    assert_eq!(router.requests(), Vec::<String>::new());

    // The same torrent as a file of the user, who may have a tracker at home.
    let playswarm = stream(&file).start();
    let status = outcome(&playswarm);
    assert!(status.trackers.iter().all(|t| t.state == "working"), "{:?}", status.trackers);
    assert!(router.requests()[0].starts_with("/announce?info_hash="), "{:?}", router.requests());
}

#[test]
fn a_peer_makes_us_greet_few_ports_of_an_address_and_none_of_a_service() {
    let torrent = torrent();
    let pex_peer = Hostile::start(Malice::PexPorts, &torrent);
    let playswarm = Builder::stream(torrent.file()).peers([pex_peer.addr]).start();
    wait_for("the peer that sends PEX to be connected", STARTUP, || (pex_peer.connections() > 0).then_some(()));
    std::thread::sleep(Duration::from_secs(3));
    let status = playswarm.status();
    let known = status.known_peers + status.peers.len();
    assert!((2..=5).contains(&known), "{known} addresses are known, including the peer that sends PEX");
}
