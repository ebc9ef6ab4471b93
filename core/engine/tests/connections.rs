//! Connections: a seed that returns, copied peer ids, hosts with many connections, hostile peers
//! that disconnect, private torrents.
#![allow(clippy::unwrap_used)]

mod common;

use common::raw::{EXTENDED, Raw};
use common::{Film, LONG, PIECE, offline_with, pieces_of, soon, until, viewer};
use playswarm::{Event, Session, TorrentHandle};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

const HAVE_ALL: u8 = 14;
const UNCHOKE: u8 = 1;
const INTERESTED: u8 = 2;

/// Reads the whole file in the background.
fn reading(handle: &TorrentHandle) -> tokio::task::JoinHandle<Vec<u8>> {
    let mut stream = handle.stream(0).unwrap();
    tokio::spawn(async move {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        all
    })
}

async fn is_seed(peer: &mut Raw) {
    peer.say(HAVE_ALL, &[]).await;
    peer.say(UNCHOKE, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_that_fell_silent_is_used_when_it_comes_back_from_another_address() {
    let film = Film::new(40 * PIECE as usize, 11).await;
    let hash = film.torrent.info_hash.0;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![]).await;
    let handle = session.open(film.source()).await.unwrap();
    let reading = reading(&handle);
    let to = session.listen_addr().unwrap();
    let mut before = Raw::dial_from("127.0.0.2", to, hash, 80).await.unwrap();
    is_seed(&mut before).await;
    soon("the first blocks are served", before.serve(&film.data, PIECE, 20, |_| {})).await;
    // From here on it sends nothing, and its connection stays open.
    let silent = Instant::now();
    let all = async {
        let mut refused = 0;
        loop {
            let Some(mut again) = Raw::dial_from("127.0.0.3", to, hash, 80).await else { continue };
            is_seed(&mut again).await;
            let given = again.serve(&film.data, PIECE, usize::MAX, |_| {}).await;
            if given > 0 {
                return;
            }
            refused += 1;
            assert!(refused < 30, "it is refused more than 30 times");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let read = async {
        let read = reading.await.unwrap();
        assert!(read == film.data);
    };
    soon("the whole film is read", async {
        tokio::select! { () = all => panic!("the seed was disconnected"), () = read => {} }
    })
    .await;
    assert!(silent.elapsed() < LONG);
    drop(before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_id_ends_no_connection() {
    let film = Film::new(200 * PIECE as usize, 12).await;
    let hash = film.torrent.info_hash.0;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![]).await;
    let handle = session.open(film.source()).await.unwrap();
    let reading = reading(&handle);
    let to = session.listen_addr().unwrap();
    let mut honest = Raw::dial_from("127.0.0.2", to, hash, 81).await.unwrap();
    is_seed(&mut honest).await;
    // A peer with the seed's id dials all the time, and would send wrong bytes.
    let data = film.data.clone();
    let intruder = tokio::spawn(async move {
        loop {
            if let Some(mut intruder) = Raw::dial_from("127.0.0.3", to, hash, 81).await {
                is_seed(&mut intruder).await;
                intruder.serve(&data, PIECE, usize::MAX, |block| block[0] ^= 1).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let serving = async {
        // Served slowly, so that the impostor has time.
        while honest.serve(&film.data, PIECE, 8, |_| {}).await == 8 {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        panic!("the honest seed was disconnected");
    };
    let read = async { assert!(reading.await.unwrap() == film.data) };
    soon("the whole film is read", async {
        tokio::select! { () = serving => {}, () = read => {} }
    })
    .await;
    intruder.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_host_cannot_take_every_place() {
    let film = Film::new(4 * PIECE as usize, 13).await;
    let seed = film.seed().await;
    let hash = film.torrent.info_hash.0;
    let mut connections = Vec::new();
    for n in 0..100 {
        connections.extend(Raw::dial_from("127.0.0.2", seed.addr(), hash, 100 + n).await);
    }
    assert!(seed.handle.status().peers.len() <= 8, "{} connections of one host", seed.handle.status().peers.len());
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![seed.addr()]).await;
    let handle = session.open(film.source()).await.unwrap();
    assert!(soon("the whole film is read", reading(&handle)).await.unwrap() == film.data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_we_reach_by_a_second_way_is_not_dialled_for_ever() {
    let film = Film::new(4 * PIECE as usize, 14).await;
    let hash = film.torrent.info_hash.0;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![]).await;
    let handle = session.open(film.source()).await.unwrap();
    let reading = reading(&handle);
    // It dials us and does not announce its listening port.
    let mut first = Raw::dial_from("127.0.0.2", session.listen_addr().unwrap(), hash, 82).await.unwrap();
    first.say(INTERESTED, &[]).await;
    until("it is connected", || handle.status().peers.len() == 1).await;
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    handle.add_peer(listener.local_addr().unwrap());
    assert_eq!(handle.status().known_peers, 1);
    let (socket, _) = soon("it is dialled", listener.accept()).await.unwrap();
    let _second = Raw::shake(socket, hash, 82).await;
    until("both addresses are recognised as one peer", || handle.status().known_peers == 0).await;
    assert_eq!(handle.status().peers.len(), 1);
    // Once the connection is closed, that address is tried.
    drop(first);
    soon("it is dialled again", listener.accept()).await.unwrap();
    reading.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn liars_that_leave_before_their_piece_is_hashed_are_found_out() {
    let film = Film::new(100 * PIECE as usize, 15).await;
    let hash = film.torrent.info_hash.0;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![]).await;
    let handle = session.open(film.source()).await.unwrap();
    let mut events = handle.events();
    let reading = reading(&handle);
    let to = session.listen_addr().unwrap();
    let (mut visits, mut refused) = (0, 0);
    soon("it is refused", async {
        while refused < 3 {
            let id = 90 + visits % 100;
            // It sends a whole piece and disconnects at once.
            match Raw::dial_from("127.0.0.4", to, hash, id as u8).await {
                Some(mut liar) => {
                    is_seed(&mut liar).await;
                    liar.serve(&film.data, PIECE, 4, |block| block[7] ^= 1).await;
                    visits += 1;
                }
                None => refused += 1,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(visits < 20, "it connected {visits} times");
    assert_eq!(handle.status().banned_peers, 1);
    let banned = std::iter::from_fn(|| events.try_recv().ok()).filter(|e| matches!(e, Event::PeerBanned { .. }));
    assert_eq!(banned.count(), 1);
    let seed = film.seed().await;
    handle.add_peer(seed.addr());
    assert!(soon("the whole film is read", reading).await.unwrap() == film.data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_torrent_from_a_magnet_link_keeps_no_peers_that_no_tracker_named() {
    let mut options = pieces_of(PIECE);
    options.private = true;
    let film = Film::with(20 * PIECE as usize, 16, options).await;
    let hash = film.torrent.info_hash.0;
    let named = TcpListener::bind("127.0.0.7:0").await.unwrap().local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let session = Session::new(offline_with(dir.path(), |c| c.pex = true)).await.unwrap();
    let to = session.listen_addr().unwrap();
    let link: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let source = playswarm::Source::parse(&format!("magnet:?xt=urn:btih:{link}&x.pe={named}")).unwrap();
    let opening = tokio::spawn(async move { (session.open(source).await.unwrap(), session) });
    // An unknown peer connects before the torrent is known to be private.
    let mut intruder = soon("the unknown peer is connected", async {
        loop {
            if let Some(intruder) = Raw::dial_from("127.0.0.5", to, hash, 83).await {
                return intruder;
            }
        }
    })
    .await;
    let _seed = film.seed_with(|c| c.listen = Some(named)).await;
    let (handle, _session) = soon("the metadata comes", opening).await.unwrap();
    assert!(soon("the whole film is read", reading(&handle)).await.unwrap() == film.data);
    soon("the unknown peer is disconnected", async { while intruder.hear().await.is_some() {} }).await;
    let addrs: Vec<SocketAddr> = handle.status().peers.iter().map(|p| p.addr).collect();
    assert_eq!(addrs, [named]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_seed_is_used_soon_after_its_return() {
    let film = Film::new(60 * PIECE as usize, 17).await;
    let hash = film.torrent.info_hash.0;
    let listener = TcpListener::bind("127.0.0.6:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![]).await;
    let handle = session.open(film.source()).await.unwrap();
    handle.add_peer(addr);
    let reading = reading(&handle);
    let (socket, _) = soon("it is dialled", listener.accept()).await.unwrap();
    let mut seed = Raw::shake(socket, hash, 84).await;
    is_seed(&mut seed).await;
    soon("the first blocks are served", seed.serve(&film.data, PIECE, 16, |_| {})).await;
    drop((seed, listener));
    // Long enough that retries with doubling intervals are half a minute apart.
    tokio::time::sleep(Duration::from_secs(31)).await;
    let listener = TcpListener::bind(addr).await.unwrap();
    let back = Instant::now();
    let (socket, _) = soon("it is dialled again", listener.accept()).await.unwrap();
    assert!(back.elapsed() < Duration::from_secs(10), "{:?}", back.elapsed());
    let mut seed = Raw::shake(socket, hash, 84).await;
    is_seed(&mut seed).await;
    let serving = seed.serve(&film.data, PIECE, usize::MAX, |_| {});
    let read = async { assert!(reading.await.unwrap() == film.data) };
    soon("the whole film is read", async {
        tokio::select! { _ = serving => panic!("the seed was disconnected"), () = read => {} }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_seeds_part_after_a_while_and_do_not_dial_each_other_again() {
    let film = Film::new(4 * PIECE as usize, 18).await;
    let one = film.seed().await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![one.addr()]).await;
    let handle = session.open(film.source()).await.unwrap();
    assert!(soon("the whole film is read", reading(&handle)).await.unwrap() == film.data);
    assert_eq!(handle.status().peers.len(), 1, "still connected, for PEX");
    let end = Instant::now() + Duration::from_secs(40);
    while !(handle.status().peers.is_empty() && one.handle.status().peers.is_empty()) {
        assert!(Instant::now() < end, "two complete peers disconnect");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(handle.status().peers.is_empty());
}

/// Answers each request for a part of the metadata with the whole metadata.
async fn gives_all_metadata(listener: TcpListener, info_hash: [u8; 20], info: Vec<u8>) {
    let (socket, _) = listener.accept().await.unwrap();
    let mut peer = Raw::shake_as(socket, info_hash, 85, EXTENDED).await;
    let offer = format!("\0d1:md11:ut_metadatai3ee13:metadata_sizei{}ee", info.len());
    peer.say(20, offer.as_bytes()).await;
    while let Some((id, body)) = peer.hear().await {
        if id == 20 && body.starts_with(b"\x03d8:msg_typei0e5:piecei0e") {
            // 2 is the number under which the other side receives metadata.
            let head = format!("\x02d8:msg_typei1e5:piecei0e10:total_sizei{}ee", info.len());
            peer.say(20, &[head.as_bytes(), &info].concat()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_comes_in_one_message_is_used() {
    let options = pieces_of(16 << 10);
    let film = Film::with(64 << 20, 19, options).await;
    let (hash, info) = (film.torrent.info_hash.0, film.torrent.info.to_vec());
    assert!(info.len() > 64 << 10, "longer than other messages may be");
    let listener = TcpListener::bind("127.0.0.8:0").await.unwrap();
    let odd = listener.local_addr().unwrap();
    tokio::spawn(gives_all_metadata(listener, hash, info));
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![odd]).await;
    let link: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let source = playswarm::Source::parse(&format!("magnet:?xt=urn:btih:{link}")).unwrap();
    let handle = soon("the metadata is taken", session.open(source)).await.unwrap();
    assert_eq!(handle.status().total_bytes, 64 << 20);
}
