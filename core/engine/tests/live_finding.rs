//! How nodes of a live channel find each other: by the key alone, without a DHT, and after a crash.
#![allow(clippy::unwrap_used)]

use futures_util::StreamExt;
use mainline::Testnet;
use playswarm::live::{Cast, CastOptions, Channel, ChannelKey, ChannelLink, LiveStream};
use playswarm::{Config, Session};
use playswarm_tests::peers::{dht_net::DhtNet, fresh_ip};
use playswarm_tests::requirement;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

/// Longest wait for what takes a moment.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a frame of MP3: 128 kbit/s and 44.1 kHz, about 26 ms.
const FRAME_BYTES: usize = 417;

async fn session(config: impl FnOnce(&mut Config)) -> (TempDir, Session) {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Config::offline(dir.path());
    config(&mut all);
    (dir, Session::new(all).await.unwrap())
}

async fn on_dht(nodes: &[String]) -> (TempDir, Session) {
    session(|config| (config.dht, config.dht_bootstrap) = (true, nodes.to_vec())).await
}

async fn testnet() -> Testnet {
    tokio::task::spawn_blocking(|| Testnet::builder(5).build().unwrap()).await.unwrap()
}

/// A source that sends MP3 in real time until it is dropped. Its frames bear this mark.
struct OnAir {
    cast: Arc<Cast>,
    _sends: AbortOnDropHandle<()>,
}

impl OnAir {
    fn new(session: &Session, seed: u8, mark: u8) -> OnAir {
        let mut options = CastOptions::default();
        (options.key, options.bytes_per_s) = (Some([seed; 32]), 16_000);
        let cast = Arc::new(session.cast(options).unwrap());
        let sends = cast.clone();
        let task = tokio::spawn(async move {
            let mut frame = vec![mark; FRAME_BYTES];
            frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x64]);
            // The back buffer has a margin at once.
            (0..80).for_each(|_| sends.push(&frame).unwrap());
            while sends.push(&frame).is_ok() {
                sleep(Duration::from_millis(26)).await;
            }
        });
        OnAir { cast, _sends: AbortOnDropHandle::new(task) }
    }

    fn key(&self) -> ChannelKey {
        self.cast.key()
    }
}

async fn begins(channel: &Channel) {
    let head = timeout(PATIENCE, channel.on_air()).await.expect("the channel is found").expect("it is on air");
    assert_eq!(head.content_type, "audio/mpeg");
}

/// Reads until a frame with this mark comes.
async fn reads(stream: &mut LiveStream, mark: u8) {
    let look = async {
        let mut bytes = vec![0; 10 * FRAME_BYTES];
        loop {
            stream.read_exact(&mut bytes).await.unwrap();
            if bytes.windows(FRAME_BYTES - 4).any(|window| window.iter().all(|byte| *byte == mark)) {
                return;
            }
        }
    };
    timeout(PATIENCE, look).await.expect("the stream goes on");
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Returns what a stranger finds on a DHT: the ports announced for the channel, and the values under
/// its key.
async fn on_the_dht(nodes: &[String], key: ChannelKey) -> (Vec<u16>, Vec<Vec<u8>>) {
    let bootstrap = nodes.to_vec();
    let dht = tokio::task::spawn_blocking(move || mainline::Dht::builder().bootstrap(&bootstrap).build().unwrap());
    let dht = dht.await.unwrap().as_async();
    let peers: Vec<_> = dht.get_peers(mainline::Id::from_bytes(key.id().0).unwrap()).collect().await;
    let items: Vec<_> = dht.get_mutable(&key.0, Some(b"playswarm live"), None).collect().await;
    let ports = peers.into_iter().flatten().map(|peer| peer.port()).collect();
    (ports, items.iter().map(|item| item.value().to_vec()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_alone_leads_to_the_source_on_a_dht_of_real_nodes() {
    if !requirement::libtorrent() {
        return;
    }
    let [a, b, c, _] = fresh_ip().octets();
    let net = tokio::task::spawn_blocking(move || DhtNet::start(IpAddr::from([a, b, c, 0]), 20)).await.unwrap();
    let nodes = net.bootstrap();
    let (_a, source) = on_dht(&nodes).await;
    let cast = OnAir::new(&source, 1, 1);
    let port = source.listen_addr().unwrap().port();
    let compact = [&[127, 0, 0, 1][..], &port.to_be_bytes()].concat();
    let has = |beacons: &[Vec<u8>], what: &[u8]| {
        beacons.iter().any(|beacon| beacon.windows(what.len()).any(|window| window == what))
    };
    // Both ways lead there, each by itself.
    let begun = Instant::now();
    loop {
        let (announced, beacons) = on_the_dht(&nodes, cast.key()).await;
        if announced.contains(&port) && has(&beacons, &compact) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{announced:?} {beacons:?}");
        sleep(Duration::from_millis(500)).await;
    }
    let (_b, viewer) = on_dht(&nodes).await;
    let begun = Instant::now();
    let channel = viewer.watch(&ChannelLink::new(cast.key())).unwrap();
    begins(&channel).await;
    println!("began after {:?}", begun.elapsed());
    until("the source says that it is on air", || channel.status().on_air == Some(true)).await;

    cast.cast.end().unwrap();
    drop(cast);
    source.close().await;
    let (_, beacons) = on_the_dht(&nodes, channel.key()).await;
    assert!(has(&beacons, b"6:on_airi0e"), "{beacons:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_suffices_while_the_dht_is_down() {
    let down = |config: &mut Config| (config.dht, config.dht_bootstrap) = (true, vec!["127.0.0.1:1".into()]);
    let (_a, source) = session(down).await;
    let cast = OnAir::new(&source, 2, 1);
    let (_b, viewer) = session(down).await;
    let mut link = ChannelLink::new(cast.key());
    link.at.push(source.listen_addr().unwrap().into());
    begins(&viewer.watch(&link).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_address_and_a_dht_a_viewer_waits_and_says_so() {
    let net = testnet().await;
    let (_a, source) = session(|config| config.dht_bootstrap = net.bootstrap.clone()).await;
    let cast = OnAir::new(&source, 3, 1);
    let (_b, viewer) = on_dht(&net.bootstrap).await;
    let channel = viewer.watch(&ChannelLink::new(cast.key())).unwrap();
    assert!(timeout(Duration::from_secs(2), channel.on_air()).await.is_err());
    let status = channel.status();
    assert_eq!((status.addresses, status.connections, status.on_air), (0, 0, None));
    // A session whose DHT is off is not announced there.
    assert_eq!(on_the_dht(&net.bootstrap, cast.key()).await, (Vec::new(), Vec::new()));
    timeout(Duration::from_secs(5), channel.leave()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_of_one_network_find_each_other_by_multicast() {
    let local = |config: &mut Config| (config.lsd, config.listen) = (true, Some("0.0.0.0:0".parse().unwrap()));
    let (_a, source) = session(local).await;
    // Other runs of this test may share the network.
    let seed = source.listen_addr().unwrap().port() as u8;
    let cast = OnAir::new(&source, seed, 1);
    let (_b, viewer) = session(local).await;
    begins(&viewer.watch(&ChannelLink::new(cast.key())).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_go_on_with_a_source_that_crashed_and_returns_with_its_key() {
    let (_a, source) = session(|_| {}).await;
    let addr = source.listen_addr().unwrap();
    let cast = OnAir::new(&source, 4, 1);
    let mut link = ChannelLink::new(cast.key());
    link.at.push(addr.into());
    let (_b, viewer) = session(|_| {}).await;
    let channel = viewer.watch(&link).unwrap();
    let mut stream = channel.stream();
    reads(&mut stream, 1).await;

    drop(cast);
    source.close().await;
    drop(source);
    until("the viewer sees that the source is gone", || channel.status().fed == 0).await;
    let (_c, source) = session(|config| config.listen = Some(addr)).await;
    let _cast = OnAir::new(&source, 4, 2);
    reads(&mut stream, 2).await;
    // A newcomer comes by the same link.
    let (_d, newcomer) = session(|_| {}).await;
    reads(&mut newcomer.watch(&link).unwrap().stream(), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_request_does_not_wait_for_the_other_sides_handshake() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_a, viewer) = session(|_| {}).await;
    let mut link = ChannelLink::new(ChannelKey([7; 32]));
    link.at.push(server.local_addr().unwrap().into());
    let _channel = viewer.watch(&link).unwrap();
    // The server says nothing at all.
    let (mut socket, _) = timeout(PATIENCE, server.accept()).await.unwrap().unwrap();
    let mut heard = vec![0; 68];
    socket.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard[28..48], link.key.id().0);
    let mut kinds = Vec::new();
    while kinds.len() < 2 {
        let length = timeout(PATIENCE, socket.read_u32()).await.expect("the request comes").unwrap();
        let mut body = vec![0; length as usize];
        socket.read_exact(&mut body).await.unwrap();
        // Extended messages of the extension `ps_live`: a hello, and a request for places.
        if body[..2] == [20, 5] {
            kinds.push(body[2]);
        }
    }
    assert_eq!(kinds, [1, 3]);
}
