//! Real sockets on loopback: two transports that dial each other, floods of connections, and slow
//! peers.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::error::{Error, ErrorKind};
use crate::network::Network;
use crate::swarm::link::Via;
use crate::swarm::transport::{ConnectError, Manner};
use bytes::Bytes;
use playswarm_logic::Bits;
use playswarm_proto::extended::ExtendedHandshake;
use playswarm_proto::handshake::Reserved;
use playswarm_proto::wire::{Message, Span};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const HASH: InfoHash = InfoHash([0x5a; 20]);

struct TestHost {
    links: mpsc::UnboundedSender<Link>,
    admits: AtomicBool,
    words: Greeting,
}

impl Host for TestHost {
    fn admits(&self, _: SocketAddr) -> bool {
        self.admits.load(Ordering::Relaxed)
    }
    fn first_words(&self) -> Greeting {
        self.words.clone()
    }
    fn take(&self, link: Link) {
        self.links.send(link).unwrap();
    }
}

fn words(bits: &Bits) -> Greeting {
    Greeting {
        reserved: Reserved::ours(false),
        extended: ExtendedHandshake::ours(None, Some(1234), true, true, false),
        have: Some(bits.clone()),
        interested: true,
        more: Vec::new(),
    }
}

fn short() -> Limits {
    Limits {
        connect: Duration::from_secs(2),
        handshake: Duration::from_millis(400),
        second_after: Duration::from_millis(200),
        ..Limits::default()
    }
}

struct Server {
    transport: Arc<Transport>,
    host: Arc<TestHost>,
    links: mpsc::UnboundedReceiver<Link>,
}

/// Returns the network of a session that listens at this address, and so sends from it.
async fn network_at(at: &str) -> Arc<Network> {
    let config = crate::Config { listen: Some(at.parse().unwrap()), ..crate::Config::offline(".") };
    Network::new(&config).await.unwrap()
}

async fn server(at: &str, utp: bool) -> Server {
    let (transport, listener) =
        Transport::bind(Some(at.parse().unwrap()), utp, short(), network_at(at).await).await.unwrap();
    let registry = Arc::new(Registry::default());
    let (tx, links) = mpsc::unbounded_channel();
    let host = Arc::new(TestHost { links: tx, admits: true.into(), words: words(&Bits::full(20)) });
    registry.insert(HASH, Arc::clone(&host) as Arc<dyn Host>);
    tokio::spawn(listener.run(registry));
    Server { transport, host, links }
}

async fn client(at: &str, utp: bool) -> Arc<Transport> {
    Transport::bind(Some(at.parse().unwrap()), utp, short(), network_at(at).await).await.unwrap().0
}

async fn next(link: &mut Link, count: usize) -> Vec<Message> {
    let mut out = Vec::new();
    while out.len() < count {
        tokio::time::timeout(Duration::from_secs(5), link.reader.read_batch(&mut out)).await.unwrap().unwrap();
    }
    out
}

/// Opens a link on which both sides receive the other's first messages, and then blocks in both
/// directions.
async fn talk(at: &str, prefer: Via) -> (Link, Link) {
    let mut server = server(at, true).await;
    let client = client(at, true).await;
    let ours = || words(&Bits::new(20));
    let mut a = client
        .connect(server.transport.listen_addr(), HASH, &ours, Manner { prefer, ..Manner::default() })
        .await
        .unwrap();
    let mut b = server.links.recv().await.unwrap();
    assert_eq!((a.peer_id, b.peer_id), (server.transport.peer_id(), client.peer_id()));
    assert!(!a.incoming && b.incoming && a.reserved.fast() && b.reserved.extended());
    assert!(a.rtt.unwrap() < Duration::from_secs(1) && b.rtt.is_none());
    assert_eq!(b.remote.ip(), server.transport.listen_addr().ip());

    let heard = next(&mut a, 3).await;
    let Message::Extended { id: 0, payload } = &heard[0] else { panic!("{heard:?}") };
    assert_eq!(ExtendedHandshake::decode(payload).unwrap().yourip, Some(b.remote.ip()));
    assert_eq!(heard[1..], [Message::HaveAll, Message::Interested]);
    assert_eq!(next(&mut b, 3).await[1..], [Message::Bitfield(Bytes::from_static(&[0; 3])), Message::Interested]);

    let ask = Span { piece: 1, begin: 16384, length: 16384 };
    a.writer.queue(&Message::Request(ask));
    a.writer.flush().await.unwrap();
    assert_eq!(next(&mut b, 1).await, [Message::Request(ask)]);
    let block: Vec<u8> = (0..16384u32).map(|i| i as u8).collect();
    let send = tokio::spawn(async move {
        for piece in 0..100 {
            b.writer.queue_piece(piece, 16384, &block);
            b.writer.flush().await.unwrap();
        }
        (b, block)
    });
    let got = next(&mut a, 100).await;
    let (b, block) = send.await.unwrap();
    for (i, message) in got.iter().enumerate() {
        assert!(
            matches!(message, Message::Piece { piece, begin: 16384, data } if *piece == i as u32 && *data == block)
        );
    }
    drop(got);
    (a, b)
}

#[tokio::test]
async fn two_links_over_tcp_exchange_first_words_and_blocks() {
    let (a, b) = talk("127.0.0.1:0", Via::Tcp).await;
    assert_eq!((a.via, b.via), (Via::Tcp, Via::Tcp));
}

#[tokio::test]
async fn two_links_over_utp_exchange_first_words_and_blocks() {
    let (a, b) = talk("127.0.0.1:0", Via::Utp).await;
    assert_eq!((a.via, b.via), (Via::Utp, Via::Utp));
}

#[tokio::test]
async fn ipv6_works_over_both_transports() {
    assert_eq!(talk("[::1]:0", Via::Tcp).await.0.via, Via::Tcp);
    assert_eq!(talk("[::1]:0", Via::Utp).await.0.via, Via::Utp);
}

#[tokio::test]
async fn a_port_on_all_interfaces_takes_both_families_and_shows_ipv4_as_itself() {
    let mut server = server("[::]:0", true).await;
    let port = server.transport.listen_addr().port();
    let client = client("[::]:0", true).await;
    for (ip, prefer) in [("127.0.0.1", Via::Tcp), ("127.0.0.1", Via::Utp), ("::1", Via::Tcp)] {
        let ip: IpAddr = ip.parse().unwrap();
        let addr = SocketAddr::new(ip, port);
        let _a = client
            .connect(addr, HASH, &|| words(&Bits::new(20)), Manner { prefer, ..Manner::default() })
            .await
            .unwrap();
        assert_eq!(server.links.recv().await.unwrap().remote.ip(), ip);
    }
}

#[tokio::test]
async fn where_tcp_is_refused_utp_is_tried_at_once() {
    let server = server("127.0.0.1:0", true).await;
    // A peer that is reachable only over uTP: its uTP socket answers on a port where no TCP
    // listens.
    let utp = UtpSocketUdp::new_udp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let addr = utp.bind_addr();
    tokio::spawn(async move {
        let raw = raw_utp(utp.accept().await.unwrap(), addr, None);
        let ours = words(&Bits::full(20));
        let (_, link) = Link::accepted(raw, playswarm_proto::handshake::PeerId([1; 20]), |_| Ok(ours)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        drop(link);
    });
    let start = Instant::now();
    let link = server.transport.connect(addr, HASH, &|| words(&Bits::new(20)), Manner::default()).await.unwrap();
    assert_eq!(link.via, Via::Utp);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_client_that_takes_only_a_bare_handshake_is_dialled_again_and_hears_all() {
    let server = server("127.0.0.1:0", false).await;
    // Like aria2, it answers at once, and closes if more than the handshake was sent.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let peer = tokio::spawn(async move {
        for dials in 1.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut got = [0; 500];
            let n = stream.read(&mut got).await.unwrap();
            let mut reply = bytes::BytesMut::new();
            let peer_id = playswarm_proto::handshake::PeerId(*b"A2-1-36-0-abcdefghij");
            playswarm_proto::handshake::Handshake { reserved: Reserved::ours(false), info_hash: HASH, peer_id }
                .encode(&mut reply);
            stream.write_all(&reply).await.unwrap();
            if n == 68 {
                let n = stream.read(&mut got).await.unwrap();
                return (dials, bytes::BytesMut::from(&got[..n]));
            }
        }
        unreachable!("the loop has no end")
    });
    let link = server.transport.connect(addr, HASH, &|| words(&Bits::new(20)), Manner::default()).await.unwrap();
    let (dials, mut heard) = peer.await.unwrap();
    assert_eq!((dials, link.via), (2, Via::Tcp));
    let heard: Vec<_> =
        std::iter::from_fn(|| playswarm_proto::wire::decode(&mut heard, Default::default()).unwrap()).collect();
    assert_eq!(heard[1..], [Message::HaveNone, Message::Interested]);
}

#[tokio::test]
async fn an_unreachable_peer_is_an_error_in_time() {
    let client = client("127.0.0.1:0", true).await;
    let start = Instant::now();
    let error =
        client.connect("127.0.0.1:1".parse().unwrap(), HASH, &|| words(&Bits::new(20)), Manner::default()).await;
    assert!(matches!(error, Err(ConnectError::Unreachable(_))), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_port_in_use_is_a_sentence_that_names_the_setting() {
    let first = server("127.0.0.1:0", false).await;
    let error: Error = match Transport::bind(Some(first.transport.listen_addr()), false, short(), Network::open()).await
    {
        Err(e) => e,
        Ok(_) => panic!("the port was free"),
    };
    assert_eq!(error.kind(), ErrorKind::Listen);
    assert!(error.to_string().contains("the setting listen"), "{error}");
}

#[tokio::test]
async fn without_a_named_port_two_sessions_find_two() {
    let (a, _la) = Transport::bind(None, true, short(), Network::open()).await.unwrap();
    let (b, _lb) = Transport::bind(None, true, short(), Network::open()).await.unwrap();
    assert_ne!(a.listen_addr().port(), b.listen_addr().port());
    assert!(a.listen_addr().ip().is_unspecified() && a.utp.is_some() && b.utp.is_some());
}

#[tokio::test]
async fn other_torrents_unwanted_peers_and_ourselves_are_turned_away() {
    let mut server = server("127.0.0.1:0", false).await;
    let client = client("127.0.0.1:0", false).await;
    let (addr, ours) = (server.transport.listen_addr(), words(&Bits::new(20)));
    let other = client.connect(addr, InfoHash([1; 20]), &|| ours.clone(), Manner::default()).await;
    assert!(matches!(other, Err(ConnectError::Handshake(HandshakeError::Io(_)))), "{other:?}");
    let ourselves = server.transport.connect(addr, HASH, &|| ours.clone(), Manner::default()).await;
    assert!(matches!(ourselves, Err(ConnectError::Handshake(HandshakeError::Ourselves))), "{ourselves:?}");
    server.host.admits.store(false, Ordering::Relaxed);
    assert!(client.connect(addr, HASH, &|| ours.clone(), Manner::default()).await.is_err());
    assert!(server.links.try_recv().is_err());
}

/// Returns whether the other side closed the connection, within `wait`.
async fn closed(stream: &mut TcpStream, wait: Duration) -> bool {
    matches!(tokio::time::timeout(wait, stream.read(&mut [0; 8])).await, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn one_byte_at_a_time_does_not_hold_a_place_for_long() {
    let server = server("127.0.0.1:0", false).await;
    let mut slow = TcpStream::connect(server.transport.listen_addr()).await.unwrap();
    let start = Instant::now();
    for byte in b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0" {
        if slow.write_all(&[*byte]).await.is_err() || closed(&mut slow, Duration::from_millis(40)).await {
            break;
        }
    }
    let taken = start.elapsed();
    assert!((Duration::from_millis(350)..Duration::from_millis(1000)).contains(&taken), "{taken:?}");
}

#[tokio::test]
async fn a_peer_that_accepts_and_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client("127.0.0.1:0", false).await;
    let result = client.connect(silent.local_addr().unwrap(), HASH, &|| words(&Bits::new(20)), Manner::default()).await;
    assert!(matches!(result, Err(ConnectError::Handshake(HandshakeError::TimedOut))), "{result:?}");
}

#[tokio::test]
async fn a_storm_from_one_address_gets_four_places_and_others_still_come_in() {
    let mut server = server("127.0.0.1:0", false).await;
    let addr = server.transport.listen_addr();
    let mut storm = Vec::new();
    for _ in 0..30 {
        storm.push(TcpStream::connect(addr).await.unwrap());
    }
    let mut open = 0;
    for stream in &mut storm {
        open += usize::from(!closed(stream, Duration::from_millis(5)).await);
    }
    assert_eq!(open, 4);
    // From another address, during the flood.
    let other = client("127.0.0.2:0", false).await;
    other.connect(addr, HASH, &|| words(&Bits::new(20)), Manner::default()).await.unwrap();
    assert_eq!(server.links.recv().await.unwrap().remote.ip(), other.listen_addr().ip());
    // And from the same one, once the flood's handshakes have timed out.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let same = client("127.0.0.1:0", false).await;
    same.connect(addr, HASH, &|| words(&Bits::new(20)), Manner::default()).await.unwrap();
}

#[test]
fn half_open_places_are_bounded_in_all_and_come_back() {
    let half_open = Arc::new(HalfOpen::new(&Limits::default()));
    let ip = |i: u8| IpAddr::from([10, 0, 0, i]);
    let mut places: Vec<Place> = (0..64).map(|i| half_open.enter(ip(i)).unwrap()).collect();
    assert!(half_open.enter(ip(200)).is_none());
    places.pop();
    let place = half_open.enter(ip(200)).unwrap();
    drop((place, places));
    let counts = half_open.counts.lock();
    assert_eq!((counts.total, counts.per_ip.len()), (0, 0));
}

#[test]
fn one_ipv6_subscriber_counts_as_one_address() {
    let half_open = Arc::new(HalfOpen::new(&Limits::default()));
    let ip = |i: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, i]);
    let places: Vec<_> = (0..8).filter_map(|i| half_open.enter(ip(i))).collect();
    assert_eq!(places.len(), 4);
}

#[tokio::test]
async fn a_closed_transport_frees_its_port() {
    let server = server("127.0.0.1:0", true).await;
    let addr = server.transport.listen_addr();
    server.transport.close();
    drop(server);
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if Transport::bind(Some(addr), true, short(), Network::open()).await.is_ok() {
            return;
        }
    }
    panic!("the port is still taken");
}

#[tokio::test]
async fn first_words_are_true_at_the_moment_at_which_they_are_sent() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (transport, _listener) =
        Transport::bind(Some("127.0.0.1:0".parse().unwrap()), false, short(), Network::open()).await.unwrap();
    let addr = silent.local_addr().unwrap();
    let bits = Arc::new(Mutex::new(Bits::new(20)));
    let now = bits.clone();
    let dialling = tokio::spawn(async move {
        let manner = Manner { patient: true, ..Manner::default() };
        transport.connect(addr, HASH, &move || words(&now.lock()), manner).await
    });
    let (mut peer, _) = silent.accept().await.unwrap();
    let mut theirs = [0; 68];
    peer.read_exact(&mut theirs).await.unwrap();
    bits.lock().set(7, true);
    theirs[48] ^= 1;
    peer.write_all(&theirs).await.unwrap();
    let link = dialling.await.unwrap().unwrap();
    assert_eq!(link.told.unwrap().iter_ones().collect::<Vec<_>>(), [7]);
    let mut said = [0; 512];
    let n = peer.read(&mut said).await.unwrap();
    assert!(said[..n].windows(8).any(|w| w == [0, 0, 0, 4, 5, 1, 0, 0]), "a bitfield with the eighth piece");
}
