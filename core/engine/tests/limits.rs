//! Bad peers and limits: peers that send wrong data or do not read, upload slots and rates, private
//! torrents, the disk limit.
#![allow(clippy::unwrap_used)]

mod common;

use common::raw::Raw;
use common::{Film, PIECE, offline_with, pattern, pieces_of, soon, until, viewer};
use playswarm::{Config, ErrorKind, Event, Session};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Starts a peer that has everything, unchokes all peers, and sends wrong bytes in each block.
async fn liar(info_hash: [u8; 20]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut peer = Raw::shake(socket, info_hash, 66).await;
                peer.say(14, &[]).await;
                peer.say(1, &[]).await;
                while let Some((id, body)) = peer.hear().await {
                    if id == 6 {
                        let length = u32::from_be_bytes(*body.last_chunk().unwrap()) as usize;
                        peer.say(7, &[&body[..8], &vec![0x55; length]].concat()).await;
                    }
                }
            });
        }
    });
    addr
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_is_banned_and_the_reader_gets_right_bytes() {
    let film = Film::new(1_000_000, 1).await;
    let seed = film.seed().await;
    let liar = liar(film.torrent.info_hash.0).await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![liar]).await;
    let handle = session.open(film.source()).await.unwrap();
    let mut events = handle.events();
    let mut stream = handle.stream(0).unwrap();
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        all
    });
    // Alone with the hostile peer at first, so that it is the only source of a piece.
    let why = soon("the hostile peer is banned", async {
        loop {
            if let Event::PeerBanned { addr, why, .. } = events.recv().await.unwrap() {
                assert_eq!(addr, liar);
                return why;
            }
        }
    });
    assert_eq!(why.await, "sent wrong data");
    handle.add_peer(seed.addr());
    assert!(soon("the whole film is read", reading).await.unwrap() == film.data);
    let status = handle.status();
    assert_eq!(status.banned_peers, 1);
    assert!(status.waste.failed_bytes >= u64::from(PIECE));
    handle.add_peer(liar);
    assert!(handle.status().peers.iter().all(|p| p.addr != liar));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_among_honest_peers_is_found_out() {
    let film = Film::new(4_000_000, 2).await;
    let seed = film.seed_with(|c| c.upload_bytes_per_s = 4_000_000).await;
    let liar = liar(film.torrent.info_hash.0).await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![seed.addr(), liar]).await;
    let handle = session.open(film.source()).await.unwrap();
    let mut all = Vec::new();
    soon("the whole film is read", handle.stream(0).unwrap().read_to_end(&mut all)).await.unwrap();
    assert!(all == film.data);
    until("the hostile peer is banned", || handle.status().banned_peers == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_whole_before_its_giver_misbehaved_is_verified_all_the_same() {
    let film = Film::new(PIECE as usize, 3).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![listener.local_addr().unwrap()]).await;
    let handle = session.open(film.source()).await.unwrap();
    let mut stream = handle.stream(0).unwrap();
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        all
    });
    let (socket, _) = soon("it is dialled", listener.accept()).await.unwrap();
    let mut peer = soon("the handshake", Raw::shake(socket, film.torrent.info_hash.0, 67)).await;
    peer.say(14, &[]).await;
    peer.say(1, &[]).await;
    let mut out = Vec::new();
    for n in 0..4 {
        let (_, asked) = soon("a request", async {
            loop {
                let message = peer.hear().await.unwrap();
                if message.0 == 6 {
                    return message;
                }
            }
        })
        .await;
        let begin = u32::from_be_bytes(*asked[4..].first_chunk().unwrap()) as usize;
        out.extend_from_slice(&(16384u32 + 9).to_be_bytes());
        out.push(7);
        out.extend_from_slice(&asked[..8]);
        out.extend_from_slice(&film.data[begin..begin + 16384]);
        // The first blocks are answered one at a time, as few requests are outstanding.
        if n < 3 {
            peer.0.write_all(&out).await.unwrap();
            out.clear();
        }
    }
    // The last block, and in the same write a flood of CHOKE, for which peers are banned.
    out.extend_from_slice(&[0, 0, 0, 1, 0].repeat(200));
    peer.0.write_all(&out).await.unwrap();
    assert!(soon("the whole film is read", reading).await.unwrap() == film.data);
    until("it is banned", || handle.status().banned_peers == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_peer_gets_allowed_fast_pieces_while_choked_and_no_others() {
    let film = Film::new(40 * PIECE as usize, 4).await;
    // There is one slot, and it is taken.
    let seed = film.seed_with(|c| c.upload_slots = 1).await;
    let hash = film.torrent.info_hash.0;
    let mut first = Raw::shake(TcpStream::connect(seed.addr()).await.unwrap(), hash, 70).await;
    first.say(2, &[]).await;
    soon("the first is unchoked", async { while first.hear().await.unwrap().0 != 1 {} }).await;
    let mut second = Raw::shake(TcpStream::connect(seed.addr()).await.unwrap(), hash, 71).await;
    second.say(2, &[]).await;
    let mut allowed = Vec::new();
    soon("the allowed pieces are announced", async {
        while allowed.len() < 10 {
            let (id, body) = second.hear().await.unwrap();
            assert_ne!(id, 1, "there is one slot only");
            if id == 17 {
                allowed.push(u32::from_be_bytes(*body.first_chunk().unwrap()));
            }
        }
    })
    .await;
    let request = |piece: u32| [piece.to_be_bytes(), [0; 4], 16384u32.to_be_bytes()].concat();
    let other = (0..40).find(|p| !allowed.contains(p)).unwrap();
    second.say(6, &request(other)).await;
    second.say(6, &request(allowed[0])).await;
    let mut answers = Vec::new();
    soon("both are answered", async {
        while answers.len() < 2 {
            let (id, body) = second.hear().await.unwrap();
            if matches!(id, 7 | 16) {
                answers.push((id, u32::from_be_bytes(*body.first_chunk().unwrap())));
            }
        }
    })
    .await;
    answers.sort_unstable();
    assert_eq!(answers, [(7, allowed[0]), (16, other)]);
    assert_eq!(seed.handle.status().peers.iter().filter(|p| !p.choking).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_floods_us_with_requests_and_never_reads_is_sent_away() {
    let film = Film::new(PIECE as usize * 40, 5).await;
    let seed = film.seed().await;
    let socket = TcpStream::connect(seed.addr()).await.unwrap();
    let mut peer = Raw::shake(socket, film.torrent.info_hash.0, 72).await;
    until("it is connected", || seed.handle.status().peers.len() == 1).await;
    // The peer is choked, so each request is answered with a REJECT, or with a block of an allowed
    // fast piece. The peer reads nothing.
    let mut flood = Vec::new();
    for _ in 0..20_000 {
        flood.extend_from_slice(&[0, 0, 0, 13, 6, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0x40, 0]);
    }
    soon("it is disconnected", async { while peer.0.write_all(&flood).await.is_ok() {} }).await;
    until("the connection is closed", || seed.handle.status().peers.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_uploads_holds_and_does_not_hold_up_what_we_ask_for_ourselves() {
    let film = Film::new(600_000, 6).await;
    let seed = film.seed_with(|c| c.upload_bytes_per_s = 400_000).await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![seed.addr()]).await;
    let handle = session.open(film.source()).await.unwrap();
    let began = std::time::Instant::now();
    let mut all = Vec::new();
    soon("the whole film is read", handle.stream(0).unwrap().read_to_end(&mut all)).await.unwrap();
    // Except for the burst of one second that the bucket admits at once. Slow machines only take
    // longer.
    assert!(began.elapsed().as_secs_f64() > 0.4, "{:?}", began.elapsed());
    assert!(all == film.data);
    until("all is counted", || seed.handle.status().uploaded_bytes >= 600_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_are_exchanged_but_not_of_a_private_torrent() {
    for private in [false, true] {
        let mut options = pieces_of(PIECE);
        options.private = private;
        let film = Film::with(300_000, 7, options).await;
        let hub = film.seed_with(|c| c.pex = true).await;
        let mut viewers = Vec::new();
        for _ in 0..2 {
            let dir = tempfile::tempdir().unwrap();
            let config = offline_with(dir.path(), |c| {
                c.pex = true;
                c.peers = vec![hub.addr().into()];
            });
            let session = Session::new(config).await.unwrap();
            let handle = session.open(film.source()).await.unwrap();
            viewers.push((session, handle, dir));
        }
        if private {
            // As long as the others needed, and more.
            tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
            assert!(viewers.iter().all(|(_, m, _)| m.status().peers.len() == 1));
        } else {
            until("the viewers find each other", || viewers.iter().any(|(_, m, _)| m.status().peers.len() == 2)).await;
            let status = viewers.iter().map(|(_, m, _)| m.status()).find(|s| s.peers.len() == 2).unwrap();
            assert!(status.peers.iter().any(|p| p.origin == "pex" || p.origin == "incoming"), "{:?}", status.peers);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_disk_use_gives_back_what_was_watched_and_plays_on() {
    let length = 48 << 20;
    let options = pieces_of(1 << 20);
    let film = Film::with(length, 8, options).await;
    let seed = film.seed().await;
    let dir = tempfile::tempdir().unwrap();
    let limit = 32 << 20;
    let config = offline_with(dir.path(), |c| {
        c.disk_limit_bytes = limit;
        c.peers = vec![seed.addr().into()];
    });
    let session = Session::new(config).await.unwrap();
    let handle = session.open(film.source()).await.unwrap();
    let mut events = handle.events();
    let mut stream = handle.stream(0).unwrap();
    let mut at = 0;
    loop {
        let chunk = soon("a chunk", stream.read_chunk(1 << 20)).await.unwrap();
        if chunk.is_empty() {
            break;
        }
        assert!(chunk == film.data[at..at + chunk.len()]);
        at += chunk.len();
    }
    assert_eq!(at, length);
    handle.sync().await.unwrap();
    let (mut given_back, mut unsupported) = (0, false);
    while let Ok(event) = events.try_recv() {
        match event {
            Event::PieceLost { .. } => given_back += 1,
            Event::Trouble { message, .. } => unsupported |= message.contains("cannot punch holes"),
            _ => {}
        }
    }
    if !unsupported {
        assert!(handle.status().disk_bytes <= limit && given_back > 0, "{given_back} given back");
        // Evicted pieces can be watched again.
        stream.seek_to(5);
        assert!(soon("the start", stream.read_chunk(1000)).await.unwrap() == film.data[5..1005]);
    }
}

#[test]
fn settings_that_cannot_work_are_refused_with_a_sentence() {
    let breaks: [fn(&mut Config); 4] =
        [|c| c.max_peers = 0, |c| c.upload_slots = 0, |c| c.memory_limit_bytes = 1, |c| c.disk_limit_bytes = 1];
    for change in breaks {
        let mut config = Config::default();
        change(&mut config);
        assert_eq!(config.check().unwrap_err().kind(), ErrorKind::BadConfig);
    }
    assert_ne!(pattern(100, 1), pattern(100, 2));
}
