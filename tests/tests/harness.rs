//! Tests of the harness itself. All other tests depend on a network with the configured rates and
//! on clients that really transfer data. The program under test is not needed here.
#![allow(clippy::unwrap_used)]

use playswarm_tests::hostile::{Hostile, Malice};
use playswarm_tests::netlab::{Link, Net};
use playswarm_tests::peers::servent::{self, Servent};
use playswarm_tests::peers::{aria2, fresh_ip, libtorrent, rqbit, transmission};
use playswarm_tests::place::Place;
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use playswarm_tests::tracker::{Mode, Tracker};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// Sends `bytes` from one host to another. Returns the time to connect and the total time.
fn transfer(net: &Net, from: &str, to: &str, addr: SocketAddr, bytes: usize) -> (Duration, Duration) {
    let listener = net.place(to).listen(addr);
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = vec![0; 1 << 16];
        let mut got = 0;
        while got < bytes {
            got += stream.read(&mut buffer).unwrap();
        }
        stream.write_all(b"!").unwrap();
    });
    let start = Instant::now();
    let mut stream: TcpStream = net.place(from).connect(addr, Duration::from_secs(10)).unwrap();
    let connected = start.elapsed();
    stream.write_all(&vec![7; bytes]).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    server.join().unwrap();
    (connected, start.elapsed())
}

#[test]
fn netlab_gives_each_host_its_rate_and_its_delay() {
    if !requirement::network() {
        return;
    }
    let net = Net::new(&[("a", Link::home(8_000, 0, 10.0)), ("b", Link::home(0, 0, 20.0))]);
    let (connected, whole) = transfer(&net, "a", "b", net.addr("b", 80), 2_000_000);
    assert!((0.059..0.2).contains(&connected.as_secs_f64()), "a round trip of 60 ms took {connected:?}");
    // 2 MB at 1 MB/s plus some round trips of slow start. Headers and losses add a little.
    assert!((2.0..3.5).contains(&whole.as_secs_f64()), "2 MB at 8 Mbit/s took {whole:?}");
    let traffic = net.traffic("a");
    assert!(traffic.sent_bytes > 2_000_000 && traffic.sent_bytes < 2_600_000, "{traffic:?}");
}

#[test]
fn netlab_speaks_ipv6_and_shares_a_downlink() {
    if !requirement::network() {
        return;
    }
    let down = Link::home(0, 8_000, 5.0);
    let net = Net::new(&[("a", Link::default()), ("b", Link::default()), ("c", down)]);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for (from, port) in [("a", 80), ("b", 81)] {
            let net = &net;
            scope.spawn(move || transfer(net, from, "c", format!("[fd77::3]:{port}").parse().unwrap(), 1_000_000));
        }
    });
    let whole = start.elapsed().as_secs_f64();
    assert!((1.9..3.5).contains(&whole), "two times 1 MB through one link of 8 Mbit/s took {whole} s");
}

#[test]
fn netlab_pulls_cables_without_a_word_and_mends_them() {
    if !requirement::network() {
        return;
    }
    let net = Net::new(&[("a", Link::default()), ("b", Link::default())]);
    let listener = net.place("b").listen(net.addr("b", 80));
    let mut stream = net.place("a").connect(net.addr("b", 80), Duration::from_secs(5)).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    net.cut("b");
    stream.write_all(b"lost for now").unwrap();
    far.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    let mut buffer = [0; 12];
    assert!(far.read(&mut buffer).is_err(), "a cut link passes no data and no FIN");
    net.mend("b");
    far.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    far.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"lost for now", "TCP sends it again");
}

#[test]
fn netlab_loses_the_configured_share_and_sees_watched_packets() {
    if !requirement::network() {
        return;
    }
    let lossy = Link { loss: 0.3, ..Link::default() };
    let net = Net::new(&[("a", lossy), ("b", Link::default())]);
    net.watch(vec![b"needle".to_vec()]);
    let from = net.place("a").udp(net.addr("a", 1000));
    let to = net.place("b").udp(net.addr("b", 1000));
    to.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    // The packets fit into the receiving socket's buffer.
    for _ in 0..200 {
        from.send_to(b"hay needle hay", net.addr("b", 1000)).unwrap();
        std::thread::sleep(Duration::from_micros(200));
    }
    from.send_to(b"hay", net.addr("b", 1000)).unwrap();
    let got = std::iter::from_fn(|| to.recv(&mut [0; 100]).ok()).count();
    assert!((110..=170).contains(&got), "{got} of 201 packets came through a loss of 30 %");
    assert_eq!(net.sightings().len(), 200, "lost packets are recorded, too");
    assert_eq!(net.sightings()[0].to, net.addr("b", 1000));
}

#[test]
fn a_hidden_host_gets_packets_only_from_addresses_to_which_it_has_sent() {
    if !requirement::network() {
        return;
    }
    let hidden = Link { hidden: true, ..Link::default() };
    let net = Net::new(&[("a", hidden), ("b", Link::default()), ("c", Link::default())]);
    let [a, b, c] = ["a", "b", "c"].map(|host| net.place(host).udp(net.addr(host, 1000)));
    a.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    b.send_to(b"before", net.addr("a", 1000)).unwrap();
    assert!(a.recv(&mut [0; 10]).is_err(), "a stranger's packet");
    a.send_to(b"hello", net.addr("b", 2000)).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    c.send_to(b"stranger", net.addr("a", 1000)).unwrap();
    b.send_to(b"answer", net.addr("a", 1000)).unwrap();
    assert_eq!(a.recv_from(&mut [0; 10]).unwrap(), (6, net.addr("b", 1000)));
    assert!(a.recv(&mut [0; 10]).is_err(), "nothing of the stranger");
}

#[test]
fn netlab_leaves_nothing_behind() {
    if !requirement::network() {
        return;
    }
    let net = Net::new(&[("a", Link::default())]);
    let here = std::process::id().to_string();
    let ours = || {
        let names = std::fs::read_dir("/var/run/netns").unwrap().flatten().map(|entry| entry.file_name());
        names.filter(|name| name.to_str().unwrap().contains(&here)).count()
    };
    let mut sleeper = playswarm_tests::process::Process::start("sleep", {
        let mut command = net.place("a").command("sleep");
        command.arg("600");
        command
    });
    assert!(ours() >= 1);
    drop(net);
    assert!(sleeper.wait(Duration::from_secs(5)).code().is_none(), "a removed host's processes are killed");
    assert_eq!(ours(), 0);
}

#[test]
fn libtorrent_keeps_its_upload_limit_for_local_peers_too() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("limited.bin", 3 << 20, 64 << 10);
    let mut seed = libtorrent::seed(&torrent, &libtorrent::Options::limited(1 << 20));
    let mut leech = libtorrent::leech(&torrent.file(), &libtorrent::Options::default());
    let start = Instant::now();
    leech.connect(seed.addr);
    leech.wait_complete(&torrent, Duration::from_secs(40));
    let took = start.elapsed().as_secs_f64();
    assert!(took > 1.5, "3 MiB at 1 MiB/s took {took} s");
    assert!(seed.figure("uploaded") >= (3 << 20) as f64);
}

#[test]
fn transmission_downloads_from_peers_that_dial_it() {
    if !requirement::libtorrent() || !requirement::program("transmission-daemon") {
        return;
    }
    let torrent = TestTorrent::single("to transmission.bin", 2 << 20, 64 << 10);
    let leech = transmission::leech(&torrent.file());
    let mut seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    seed.connect(leech.addr);
    leech.wait_complete(&torrent, Duration::from_secs(60));
}

#[test]
fn transmission_seeds_what_it_has() {
    if !requirement::libtorrent() || !requirement::program("transmission-daemon") {
        return;
    }
    let torrent = TestTorrent::multi("from transmission", &[("a.bin", 1 << 20), ("b/c.bin", 900_000)], 64 << 10);
    let seed = transmission::seed(&torrent, &torrent.file());
    let mut leech = libtorrent::leech(&torrent.file(), &libtorrent::Options::default());
    leech.connect(seed.addr);
    leech.wait_complete(&torrent, Duration::from_secs(60));
}

#[test]
fn aria2_seeds_and_downloads_by_tracker() {
    if !requirement::program("aria2c") {
        return;
    }
    let torrent = TestTorrent::single("aria2.bin", 2 << 20, 64 << 10);
    let tracker = Tracker::http(Mode::Honest);
    let file = torrent.file_with(std::slice::from_ref(&tracker.url));
    let seed = aria2::seed(&torrent, &file);
    tracker.add_peer(seed.addr);
    let leech = aria2::leech(file.to_str().unwrap());
    leech.wait_complete(&torrent, Duration::from_secs(60));
}

#[test]
fn rqbit_seeds_and_downloads() {
    let torrent = TestTorrent::multi("rqbit", &[("a.bin", 1 << 20), ("b/c.bin", 900_000)], 64 << 10);
    let seed = rqbit::seed(&torrent, &torrent.file());
    let leech = rqbit::leech(torrent.file().to_str().unwrap(), &[seed.addr]);
    leech.wait_complete(&torrent, Duration::from_secs(60));
}

#[test]
fn libtorrent_finds_liars_among_honest_seeds() {
    if !requirement::libtorrent() {
        return;
    }
    // libtorrent must find a hostile peer hostile, too: it sends requests to it and receives wrong
    // data.
    let torrent = TestTorrent::single("poisoned.bin", 2 << 20, 64 << 10);
    let liar = Hostile::start(Malice::WrongData, &torrent);
    let mut leech = libtorrent::leech(&torrent.file(), &libtorrent::Options::default());
    leech.connect(liar.addr);
    playswarm_tests::wait_for("requests to the hostile peer", Duration::from_secs(20), || {
        (liar.requests() > 0).then_some(())
    });
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    leech.connect(seed.addr);
    leech.wait_complete(&torrent, Duration::from_secs(60));
}

#[test]
fn libtorrent_gets_the_right_metadata_from_a_silent_peer_and_none_from_a_liar() {
    if !requirement::libtorrent() {
        return;
    }
    let torrent = TestTorrent::single("meta.bin", 1 << 20, 16 << 10);
    let metadata = |malice| {
        let peer = Hostile::start(malice, &torrent);
        let leech = libtorrent::leech_magnet(&torrent.magnet(&[], &[peer.addr]), &libtorrent::Options::default());
        let got = leech.process.find_line(Duration::from_secs(8), |line| line.contains("\"metadata\"").then_some(()));
        assert!(peer.connections() > 0, "no connection to the peer");
        got.is_some()
    };
    assert!(metadata(Malice::Silence));
    assert!(!metadata(Malice::WrongMetadata));
}

#[test]
fn our_servent_answers_as_gtk_gnutella_did_and_has_the_faults_it_is_told() {
    if !requirement::libtorrent() || !requirement::program("rhash") {
        return;
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/proto/src/gnutella/fixtures");
    let output = servent::script(&Place::Here).arg("--self-test").arg(fixtures).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_servent_of_the_harness_serves_a_file_and_reports_it() {
    if !requirement::libtorrent() || !requirement::program("rhash") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("quiet film.mp4"), vec![7; 100_000]).unwrap();
    let listen = SocketAddr::new(fresh_ip().into(), 0);
    let mut options = servent::Options::leaf(&Place::Here, listen).with("answer", "busy");
    options.share.push(folder.path().into());
    let mut servent = Servent::start(&options);
    let ask = |servent: &Servent| {
        let mut stream = TcpStream::connect(servent.addr).unwrap();
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nRange: bytes=10-19\r\nConnection: close\r\n\r\n",
            servent.files[0].path(),
            servent.addr
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    };
    assert!(ask(&servent).starts_with("HTTP/1.1 503 Busy"));
    servent.set("answer", "right");
    let answer = ask(&servent);
    assert!(
        answer.contains("Content-Range: bytes 10-19/100000\r\n")
            && answer.ends_with("\r\n\r\n\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}"),
        "{answer}"
    );
    let statuses: Vec<_> = servent.events("request").iter().map(|request| request["status"].clone()).collect();
    assert_eq!(statuses, [503, 206]);
    assert_eq!(servent.status()["uploaded"], 10);
}
