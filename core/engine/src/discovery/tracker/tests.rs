//! Small trackers on loopback, well-behaved and otherwise.
#![allow(clippy::unwrap_used)]

use crate::config::Config;
use crate::discovery::{Discovery, Params, Progress, Shared, tests};
use crate::metainfo::InfoHash;
use crate::network::Network;
use parking_lot::Mutex;
use playswarm_logic::torrent::{Finding, Origin};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

const PEER: &[u8] = &[10, 0, 0, 1, 0x1a, 0xe1];

fn start(urls: &[String], left: Arc<Mutex<u64>>) -> (Arc<Shared>, Discovery, mpsc::Receiver<Finding>) {
    let config = Config { trackers: true, ..Config::offline(".") };
    let shared = Shared::start(&config, "127.0.0.1:4242".parse().unwrap(), Network::open()).unwrap();
    let params = Params {
        info_hash: InfoHash([7; 20]),
        peer_id: *b"-PS0100-abcdefghijkl",
        listen_port: 4242,
        trackers: urls.to_vec().into(),
        private: false,
        progress: Arc::new(move || Progress { downloaded: 11, uploaded: 22, left: *left.lock() }),
        announces: Arc::new(|| true),
    };
    let (discovery, found) = Discovery::start(&shared, params);
    (shared, discovery, found)
}
fn missing() -> Arc<Mutex<u64>> {
    Arc::new(Mutex::new(33))
}
async fn next(found: &mut mpsc::Receiver<Finding>) -> (SocketAddr, Origin) {
    tests::next(found, "127.0.0.1:4242").await
}
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Starts an HTTP tracker. Returns its URL and the first lines of the requests.
async fn http_tracker(answer: Vec<u8>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/announce?passkey=k", listener.local_addr().unwrap());
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = log.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let length = socket.read(&mut request).await.unwrap_or(0);
            lines
                .lock()
                .push(String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned());
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await;
            let _ = socket.write_all(&answer).await;
            let _ = socket.shutdown().await;
        }
    });
    (url, log)
}
fn with_peer() -> Vec<u8> {
    [&b"d8:intervali1800e5:peers6:"[..], PEER, b"e"].concat()
}

/// Starts a UDP tracker that loses the first `lost` datagrams and sends `rubbish` before each
/// answer. Returns its URL and the announces.
async fn udp_tracker(lost: usize, rubbish: &'static [&'static [u8]]) -> (String, Arc<Mutex<Vec<Vec<u8>>>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let url = format!("udp://{}/announce?passkey=k", socket.local_addr().unwrap());
    let log = Arc::new(Mutex::new(Vec::new()));
    let announcements = log.clone();
    tokio::spawn(async move {
        let mut packet = [0; 2048];
        for n in 0.. {
            let (length, from) = socket.recv_from(&mut packet).await.unwrap();
            if n < lost {
                continue;
            }
            for junk in rubbish {
                socket.send_to(junk, from).await.unwrap();
            }
            let packet = &packet[..length];
            let (action, transaction) = (&packet[8..12], &packet[12..16]);
            let answer = if action == [0; 4] {
                assert_eq!(packet[..8], 0x0417_2710_1980u64.to_be_bytes());
                [action, transaction, b"connectn"].concat()
            } else {
                assert_eq!(&packet[..8], b"connectn");
                announcements.lock().push(packet.to_vec());
                [action, transaction, &1800u32.to_be_bytes(), &[0; 8], PEER].concat()
            };
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    (url, log)
}

#[tokio::test]
async fn the_first_peers_of_an_http_tracker_come_at_once() {
    let (url, log) = http_tracker(with_peer()).await;
    let (_shared, _discovery, mut found) = start(&[url], missing());
    let begun = Instant::now();
    assert_eq!(next(&mut found).await, ("10.0.0.1:6881".parse().unwrap(), Origin::Tracker));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let request = log.lock()[0].clone();
    for part in [
        "passkey=k",
        "info_hash=%07%07",
        "port=4242",
        "downloaded=11",
        "uploaded=22",
        "left=33",
        "compact=1",
        "event=started",
        "numwant=100",
    ] {
        assert!(request.contains(part), "{part} in {request}");
    }
}

#[tokio::test]
async fn the_first_peers_of_a_udp_tracker_come_at_once() {
    let (url, log) = udp_tracker(0, &[]).await;
    let (_shared, _discovery, mut found) = start(&[url], missing());
    let begun = Instant::now();
    next(&mut found).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let announcement = log.lock()[0].clone();
    assert_eq!(announcement[16..36], [7; 20]);
    assert_eq!(announcement[64..72], 33u64.to_be_bytes());
    assert_eq!(announcement[80..84], 2u32.to_be_bytes());
    assert_eq!(announcement[96..98], 4242u16.to_be_bytes());
    assert_eq!(&announcement[98..], b"\x02\x13/announce?passkey=k");
}

#[tokio::test]
async fn a_lost_datagram_costs_a_second_and_forged_ones_nothing() {
    let (url, _log) = udp_tracker(1, &[b"", b"x", &[0; 16], &[0xff; 300]]).await;
    let (_shared, _discovery, mut found) = start(&[url], missing());
    let begun = Instant::now();
    next(&mut found).await;
    assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn dead_and_mad_trackers_do_not_delay_a_good_one() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed: SocketAddr = { TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap() };
    let (rubbish, rubbish_log) = http_tracker(b"<html>no</html>".to_vec()).await;
    let (endless, _) = http_tracker(vec![b'l'; 8 << 20]).await;
    let (good, _) = http_tracker(with_peer()).await;
    let urls = [
        format!("udp://{}", silent.local_addr().unwrap()),
        format!("http://{}/", deaf.local_addr().unwrap()),
        format!("http://{closed}/"),
        format!("udp://{closed}"),
        "http://no-such-host.invalid/".into(),
        "udp://no-port.invalid".into(),
        rubbish,
        endless,
        good,
    ];
    let (_shared, _discovery, mut found) = start(&urls, missing());
    let begun = Instant::now();
    next(&mut found).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(rubbish_log.lock().len(), 1, "a tracker that fails is left alone for a while");
}

#[tokio::test]
async fn an_interval_of_nothing_is_no_reason_to_ask_without_pause() {
    let (url, log) = http_tracker(b"d8:intervali0e12:min intervali0e5:peers0:e".to_vec()).await;
    let (_shared, discovery, _found) = start(&[url], missing());
    until("the first announcement", || !log.lock().is_empty()).await;
    (0..100).for_each(|_| discovery.hurry());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(log.lock().len(), 1);
}

#[tokio::test]
async fn a_dropped_torrent_announces_that_it_stopped() {
    let (http, http_log) = http_tracker(with_peer()).await;
    let (udp, udp_log) = udp_tracker(0, &[]).await;
    let (shared, discovery, mut found) = start(&[http, udp], missing());
    next(&mut found).await;
    until("both were asked", || !http_log.lock().is_empty() && !udp_log.lock().is_empty()).await;
    sleep(Duration::from_millis(200)).await;
    drop(discovery);
    let begun = Instant::now();
    shared.close().await;
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert!(http_log.lock().last().unwrap().contains("event=stopped"));
    assert_eq!(udp_log.lock().last().unwrap()[80..84], 3u32.to_be_bytes());
}

#[tokio::test]
async fn completion_is_announced_at_once_when_hurried_and_only_once() {
    let (url, log) = http_tracker(with_peer()).await;
    let left = missing();
    let (_shared, discovery, mut found) = start(&[url], left.clone());
    next(&mut found).await;
    sleep(Duration::from_millis(200)).await;
    *left.lock() = 0;
    discovery.hurry();
    until("the completed announce", || log.lock().len() > 1).await;
    sleep(Duration::from_millis(200)).await;
    discovery.hurry();
    sleep(Duration::from_millis(500)).await;
    let lines = log.lock().clone();
    assert!(lines.len() == 2 && lines[1].contains("event=completed") && lines[1].contains("left=0"), "{lines:?}");
}
