//! Messages of peers: deep request queues, evicted pieces, super-seeding, announcements of pieces,
//! allowed fast pieces.
#![allow(clippy::unwrap_used)]

mod common;

use common::raw::{EXTENDED, FAST, PLAIN, Raw, block, message, number};
use common::{Film, PIECE, offline_with, pieces_of, soon, until, viewer};
use playswarm::{Config, Session};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const HAVE: u8 = 4;
const REQUEST: u8 = 6;
const PIECE_MESSAGE: u8 = 7;
const HAVE_ALL: u8 = 14;
const REJECT: u8 = 16;
const ALLOWED_FAST: u8 = 17;
const EXTENDED_MESSAGE: u8 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_thousands_of_requests_is_answered_to_its_end() {
    let film = Film::new(PIECE as usize * 64, 1).await;
    let seed = film.seed().await;
    for (id, reserved) in [(70, PLAIN), (71, FAST)] {
        let mut peer = Raw::dial(seed.addr(), film.torrent.info_hash.0, id, reserved).await;
        peer.say(2, &[]).await;
        soon("it is unchoked", peer.hear_of(1)).await;
        // Each block of the film twelve times, the blocks of a piece one after another: rTorrent
        // requests 3,000 blocks at 15 MB/s.
        let (mut reader, mut writer) = peer.0.into_split();
        let asking = tokio::spawn(async move {
            for _ in 0..12 {
                for n in 0..256 {
                    writer.write_all(&message(REQUEST, &block(n / 4, n % 4))).await.unwrap();
                }
            }
            writer
        });
        let mut blocks = 0;
        soon("every block comes", async {
            while blocks < 256 {
                let (id, _) = hear(&mut reader).await;
                assert_ne!(id, REJECT, "no request is rejected");
                blocks += usize::from(id == PIECE_MESSAGE);
            }
        })
        .await;
        drop(reader);
        let _ = asking.await;
        until("the connection is closed", || seed.handle.status().peers.is_empty()).await;
    }
}

async fn hear(socket: &mut (impl tokio::io::AsyncRead + Unpin)) -> (u8, Vec<u8>) {
    let length = socket.read_u32().await.expect("the connection goes on");
    let mut body = vec![0; length as usize];
    socket.read_exact(&mut body).await.unwrap();
    (body.first().copied().unwrap_or(255), body.split_off(1.min(length as usize)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_requests_evicted_pieces_stays_and_learns_of_the_eviction_in_order() {
    let options = pieces_of(1 << 20);
    let film = Film::with(48 << 20, 2, options).await;
    let hash = film.torrent.info_hash.0;
    let seed = film.seed().await;
    let dir = tempfile::tempdir().unwrap();
    let config = offline_with(dir.path(), |c| {
        c.disk_limit_bytes = 32 << 20;
        c.peers = vec![seed.addr().into()];
    });
    let session = Session::new(config).await.unwrap();
    let handle = session.open(film.source()).await.unwrap();
    let ours = session.listen_addr().unwrap();
    // Without BEP 54, and with it.
    let mut plain = Raw::dial(ours, hash, 70, FAST).await;
    let mut extended = Raw::dial(ours, hash, 71, EXTENDED).await;
    extended.say(EXTENDED_MESSAGE, b"\0d1:md11:lt_donthavei9eee").await;
    for peer in [&mut plain, &mut extended] {
        peer.say(2, &[]).await;
        soon("it is unchoked", peer.hear_of(1)).await;
    }
    until("all three are connected", || handle.status().peers.len() == 3).await;
    let asking = tokio::spawn(async move {
        // Requests each piece as soon as it is announced, and the previous ones once more.
        let (mut gone, mut order_is_right) = (BTreeSet::new(), true);
        let mut pieces = 0;
        while let Ok(Some((id, body))) = tokio::time::timeout(Duration::from_secs(3), extended.hear()).await {
            match id {
                HAVE => {
                    pieces += 1;
                    for _ in 0..30 {
                        extended.say(REQUEST, &block(0, pieces % 64)).await;
                    }
                }
                EXTENDED_MESSAGE if body[0] == 9 => {
                    gone.insert(number(&body[1..]));
                }
                REJECT => order_is_right &= gone.contains(&number(&body)),
                _ => {}
            }
        }
        (gone, order_is_right, extended)
    });
    let mut stream = handle.stream(0).unwrap();
    let mut all = 0;
    while all < film.data.len() {
        all += soon("a chunk", stream.read_chunk(1 << 20)).await.unwrap().len();
    }
    handle.sync().await.unwrap();
    if handle.status().disk_bytes > 32 << 20 {
        return; // The file system cannot punch holes.
    }
    for n in 0..300 {
        plain.say(REQUEST, &block(0, n % 64)).await;
    }
    soon("a reject", plain.hear_of(REJECT)).await;
    let (gone, order_is_right, _extended) = asking.await.unwrap();
    assert!(gone.contains(&0) && order_is_right, "DONT HAVE comes before REJECT: {gone:?}");
    assert_eq!(handle.status().peers.len(), 3, "no peer is disconnected");
}

/// Starts a seed that announces one piece, and the next one only once we have announced that one.
/// It serves each request at once.
async fn super_seed(film: &Film, reserved: [u8; 8]) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (hash, data) = (film.torrent.info_hash.0, film.data.clone());
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut peer = Raw::shake_as(socket, hash, 80, reserved).await;
        if reserved == FAST {
            peer.say(15, &[]).await;
        }
        // An order in which neighbours are far apart.
        let pieces = data.len().div_ceil(PIECE as usize) as u32;
        let mut order = (0..pieces).map(|n| n * 7 % pieces).collect::<Vec<u32>>().into_iter();
        let mut shown = order.next().unwrap();
        peer.say(HAVE, &shown.to_be_bytes()).await;
        while let Some((id, body)) = peer.hear().await {
            match id {
                2 => peer.say(1, &[]).await,
                HAVE if number(&body) == shown => {
                    if let Some(next) = order.next() {
                        shown = next;
                        peer.say(HAVE, &shown.to_be_bytes()).await;
                    }
                }
                REQUEST => {
                    let at = (number(&body) * PIECE + number(&body[4..])) as usize;
                    let end = at + number(&body[8..]) as usize;
                    peer.say(PIECE_MESSAGE, &[&body[..8], &data[at..end]].concat()).await;
                }
                _ => {}
            }
        }
    });
    addr
}

#[tokio::test(flavor = "multi_thread")]
async fn a_super_seeding_seed_shows_one_piece_after_the_other_and_the_film_plays_from_its_middle() {
    for reserved in [PLAIN, FAST] {
        let film = Film::new(PIECE as usize * 25 - 1000, 3).await;
        let seed = super_seed(&film, reserved).await;
        let dir = tempfile::tempdir().unwrap();
        let session = viewer(dir.path(), vec![seed]).await;
        let handle = session.open(film.source()).await.unwrap();
        let mut stream = handle.stream(0).unwrap();
        let middle = film.data.len() / 2;
        stream.seek_to(middle as u64);
        let mut all = Vec::new();
        soon("the second half is read", stream.read_to_end(&mut all)).await.unwrap();
        assert!(all == film.data[middle..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_hears_of_each_piece_once() {
    let film = Film::new(PIECE as usize * 50, 4).await;
    drop(film.seed().await);
    let session = Session::new(Config::offline(film.dir.path())).await.unwrap();
    let handle = session.open(film.source()).await.unwrap();
    assert_eq!(handle.recheck(|_, _| {}).await.unwrap(), film.data.len() as u64);
    let mut peer = Raw::dial(session.listen_addr().unwrap(), film.torrent.info_hash.0, 70, FAST).await;
    let mut received = Vec::new();
    while let Ok(Some((id, _))) = tokio::time::timeout(Duration::from_millis(500), peer.hear()).await {
        received.push(id);
    }
    assert!(received.contains(&HAVE_ALL) && !received.contains(&HAVE), "{received:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_fast_pieces_are_uploaded_twice_over_and_no_more() {
    let film = Film::new(40 * PIECE as usize, 5).await;
    // There is one slot, and it is taken.
    let seed = film.seed_with(|c| c.upload_slots = 1).await;
    let hash = film.torrent.info_hash.0;
    let mut first = Raw::dial(seed.addr(), hash, 70, FAST).await;
    first.say(2, &[]).await;
    soon("the first is unchoked", first.hear_of(1)).await;
    let mut second = Raw::dial(seed.addr(), hash, 71, FAST).await;
    let mut allowed = Vec::new();
    soon("the allowed pieces are announced", async {
        while allowed.len() < 10 {
            allowed.push(number(&second.hear_of(ALLOWED_FAST).await));
        }
    })
    .await;
    let (mut given, mut refused) = (0, 0);
    for _ in 0..5 {
        for piece in &allowed {
            for n in 0..4 {
                second.say(REQUEST, &block(*piece, n)).await;
            }
        }
        // A repeated request for a queued block gets no answer of its own. So each round waits for
        // its answers.
        soon("each request is answered", async {
            for _ in 0..40 {
                loop {
                    match second.hear().await.unwrap().0 {
                        PIECE_MESSAGE => break given += 1,
                        REJECT => break refused += 1,
                        _ => {}
                    }
                }
            }
        })
        .await;
    }
    assert_eq!((given, refused), (80, 120));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_repeats_that_it_has_all_or_nothing_is_disconnected() {
    let film = Film::new(PIECE as usize * 10, 6).await;
    let seed = film.seed().await;
    let mut peer = Raw::dial(seed.addr(), film.torrent.info_hash.0, 70, FAST).await;
    let again = async {
        for n in 0..100 {
            peer.say(HAVE_ALL + n % 2, &[]).await;
        }
        while peer.hear().await.is_some() {}
    };
    soon("it is disconnected", again).await;
    until("the connection is closed", || seed.handle.status().peers.is_empty()).await;
}
