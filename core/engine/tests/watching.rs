//! Films watched from other sessions on loopback: start, seek, several readers, and the ways in
//! which reads end.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Film, PIECE, offline_with, soon, until, viewer};
use playswarm::{ChooseFile, Config, ErrorKind, Event, ReaderStatus, Session, Source, TorrentHandle};
use std::io::{Read, Seek, SeekFrom};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// Returns the players' readers, without ours for the index.
fn players(handle: &TorrentHandle) -> Vec<ReaderStatus> {
    handle.status().readers.into_iter().filter(|r| !r.index).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_plays_from_its_start_and_after_each_seek() {
    let film = Film::new(2_000_000, 1).await;
    let seed = film.seed().await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![seed.addr()]).await;
    let handle = session.open(film.source()).await.unwrap();
    let mut stream = handle.stream(handle.default_file().unwrap()).unwrap();
    for at in [0usize, 1_500_000, 700_001, 1_999_990, 65_535] {
        stream.seek(SeekFrom::Start(at as u64)).await.unwrap();
        let mut got = vec![0; 100_000.min(film.data.len() - at)];
        soon("a read", stream.read_exact(&mut got)).await.unwrap();
        assert!(got == film.data[at..at + got.len()], "from {at}");
    }
    stream.seek(SeekFrom::End(0)).await.unwrap();
    assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 0);
    assert_eq!(handle.status().waste.failed_bytes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_readers_of_one_torrent_share_it_and_its_pieces() {
    let film = Film::new(1_500_000, 2).await;
    let seed = film.seed().await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![seed.addr()]).await;
    // Eight simultaneous opens get the same torrent.
    let opens = (0..8).map(|_| {
        let (session, source) = (session.clone(), film.source());
        tokio::spawn(async move { session.open(source).await.unwrap() })
    });
    let mut reads = Vec::new();
    for (i, open) in opens.collect::<Vec<_>>().into_iter().enumerate() {
        let (handle, data) = (open.await.unwrap(), film.data.clone());
        reads.push(tokio::spawn(async move {
            let mut stream = handle.stream(0).unwrap();
            let at = i * 150_000;
            stream.seek_to(at as u64);
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            assert!(rest == data[at..]);
            handle
        }));
    }
    let mut handle = None;
    for read in reads {
        handle = Some(soon("a reader", read).await.unwrap());
    }
    let status = handle.unwrap().status();
    assert_eq!(status.verified_bytes, film.data.len() as u64);
    assert_eq!(status.downloaded_bytes, film.data.len() as u64, "each block is fetched once for all readers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocking_read_is_cancelled_from_another_thread_and_works_again_after_a_reset() {
    let film = Film::new(500_000, 3).await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), Vec::new()).await;
    let handle = session.open(film.source()).await.unwrap();
    let mut stream = handle.stream(0).unwrap().into_blocking();
    let canceller = stream.canceller();
    let reading = tokio::task::spawn_blocking(move || {
        let error = stream.read_chunk(1000).unwrap_err();
        (stream, error)
    });
    until("the player waits", || players(&handle).first().is_some_and(|r| r.waiting)).await;
    canceller.cancel();
    let (mut stream, error) = soon("the read ends", reading).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(!players(&handle)[0].waiting, "a cancelled read no longer waits");

    let seed = film.seed().await;
    handle.add_peer(seed.addr());
    canceller.reset();
    let reading = tokio::task::spawn_blocking(move || {
        stream.seek(SeekFrom::Start(123_456)).unwrap();
        let mut got = vec![0; 1000];
        stream.read_exact(&mut got).unwrap();
        got
    });
    assert!(soon("the read", reading).await.unwrap() == film.data[123_456..124_456]);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_the_session_ends_reads_that_wait_and_refuses_later_ones() {
    let film = Film::new(500_000, 4).await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), Vec::new()).await;
    let handle = session.open(film.source()).await.unwrap();
    let mut stream = handle.stream(0).unwrap();
    let waiting = tokio::spawn(async move {
        let first = stream.read_chunk(1000).await.unwrap_err().kind();
        (first, stream.read_chunk(1000).await.unwrap_err().kind())
    });
    until("the player waits", || players(&handle).first().is_some_and(|r| r.waiting)).await;
    soon("the session closes", session.close()).await;
    assert_eq!(soon("the read ends", waiting).await.unwrap(), (ErrorKind::Closed, ErrorKind::Closed));
    assert!(session.open(film.source()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_one_may_be_dropped_on_a_thread_without_a_runtime_and_all_is_on_disk_then() {
    let film = Film::new(400_000, 5).await;
    let seed = film.seed().await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![seed.addr()]).await;
    let handle = session.open(film.source()).await.unwrap();
    let mut all = Vec::new();
    let mut stream = handle.stream(0).unwrap();
    soon("the whole film is read", stream.read_to_end(&mut all)).await.unwrap();
    std::thread::spawn(move || drop((stream, handle))).join().unwrap();
    let handle = session.open(film.source()).await.unwrap();
    assert_eq!(handle.status().verified_bytes, 400_000);
    assert!(std::fs::read(dir.path().join("film.mkv")).unwrap() == film.data);
    assert!(all == film.data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_magnet_gets_its_metadata_from_a_peer_and_is_opened_again_without_any() {
    let film = Film::new(600_000, 6).await;
    let seed = film.seed().await;
    let dir = tempfile::tempdir().unwrap();
    let magnet = || Source::parse(&format!("magnet:?xt=urn:btih:{}", film.torrent.info_hash)).unwrap();
    let session = viewer(dir.path(), vec![seed.addr()]).await;
    let handle = soon("the magnet opens", session.open(magnet())).await.unwrap();
    assert_eq!(handle.metainfo().files[0].length, 600_000);
    let mut all = Vec::new();
    soon("the whole film is read", handle.stream(0).unwrap().read_to_end(&mut all)).await.unwrap();
    assert!(all == film.data);
    drop(handle);
    session.close().await;

    let alone = viewer(dir.path(), Vec::new()).await;
    let handle = soon("it opens without peers", alone.open(magnet())).await.unwrap();
    assert_eq!(handle.status().verified_bytes, 600_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_magnet_link_delays_no_other_torrent_and_can_be_given_up() {
    let film = Film::new(200_000, 7).await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), Vec::new()).await;
    let unknown = Source::parse("magnet:?xt=urn:btih:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").unwrap();
    let (other, source) = (session.clone(), unknown.clone());
    let opening = tokio::spawn(async move { other.open(source).await.map(drop) });
    soon("another torrent opens meanwhile", session.open(film.source())).await.unwrap();
    opening.abort();
    let _ = opening.await;
    soon("the session closes", session.close()).await;

    let config = offline_with(dir.path(), |c| c.metadata_timeout_ms = 50);
    let session = Session::new(config).await.unwrap();
    let error = soon("the opening fails", session.open(unknown)).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoMetadata);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_know_of_each_other_keep_one_connection() {
    let film = Film::new(1_000_000, 8).await;
    let (dirs, mut sessions) = ([tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()], Vec::new());
    for dir in &dirs {
        let session = viewer(dir.path(), Vec::new()).await;
        let handle = session.open(film.source()).await.unwrap();
        sessions.push((session, handle));
    }
    let addr = |i: usize| sessions[i].0.listen_addr().unwrap();
    sessions[0].1.add_peer(addr(1));
    sessions[1].1.add_peer(addr(0));
    until("they are connected", || sessions.iter().all(|(_, m)| m.status().peers.len() == 1)).await;
    // They stay connected: a second connection is refused, and the first is not closed for it.
    let mut events = sessions[0].1.events();
    let gone = tokio::time::timeout(std::time::Duration::from_millis(300), async {
        loop {
            if let Event::PeerDisconnected { why, .. } = events.recv().await.unwrap() {
                return why;
            }
        }
    });
    if let Ok(why) = gone.await {
        assert!(why.contains("at the same time"), "{why}");
    }
    assert!(sessions.iter().all(|(_, m)| m.status().peers.len() == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_with_an_end_fetches_nothing_beyond_it() {
    let film = Film::new(2_000_000, 9).await;
    let seed = film.seed().await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![seed.addr()]).await;
    let handle = session.open(film.source()).await.unwrap();
    let mut stream = handle.stream(0).unwrap();
    stream.set_end(2);
    let mut two = [0; 2];
    soon("two bytes", stream.read_exact(&mut two)).await.unwrap();
    assert_eq!(two, film.data[..2]);
    // The reader of another piece waits longer than the rest of the first piece would have taken.
    let mut other = handle.stream(0).unwrap();
    other.seek_to(1_900_000);
    other.set_end(1_900_001);
    soon("one byte", other.read_exact(&mut [0])).await.unwrap();
    let status = handle.status();
    assert!(status.verified_bytes <= 4 * u64::from(PIECE), "{}", status.piece_map);
    // The end can be moved, even after reading.
    stream.set_end(u64::MAX);
    let mut all = Vec::new();
    soon("the rest", stream.read_to_end(&mut all)).await.unwrap();
    assert!(all == film.data[2..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_noticed_and_repaired() {
    let film = Film::new(500_000, 10).await;
    let seed = film.seed().await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![seed.addr()]).await;
    let handle = session.open(film.source()).await.unwrap();
    let mut all = Vec::new();
    soon("the whole film is read", handle.stream(0).unwrap().read_to_end(&mut all)).await.unwrap();
    handle.sync().await.unwrap();
    drop(handle);
    session.close().await;

    let path = dir.path().join("film.mkv");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[200_000] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let session = viewer(dir.path(), vec![seed.addr()]).await;
    let handle = session.open(film.source()).await.unwrap();
    let mut events = handle.events();
    all.clear();
    soon("the whole film is read again", handle.stream(0).unwrap().read_to_end(&mut all)).await.unwrap();
    assert!(all == film.data, "changed bytes are never returned");
    let mut lost = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Event::PieceLost { piece, .. } = event {
            lost.push(piece);
        }
    }
    assert_eq!(lost, [200_000 / PIECE]);
    handle.sync().await.unwrap();
    assert!(std::fs::read(&path).unwrap() == film.data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_wait_is_notified_when_bytes_are_ready() {
    let film = Film::new(1_000_000, 31).await;
    let seed = film.seed().await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), Vec::new()).await;
    let handle = session.open(film.source()).await.unwrap();
    let mut stream = handle.stream(0).unwrap();
    let readable = stream.readable();
    stream.seek_to(500_000);
    assert_eq!(stream.try_read_chunk(0).unwrap().unwrap(), "");
    assert!(stream.try_read_chunk(10).unwrap().is_none() && readable.at(500_000) == 0);

    // Waiting does not borrow the stream, and makes the swarm fetch the awaited bytes.
    let (ready, changed) = (stream.ready(), readable.changed(500_000, 0));
    handle.add_peer(seed.addr());
    let (ready, changed) = soon("the middle", async { tokio::join!(ready, changed) }).await;
    ready.unwrap();
    changed.unwrap();
    assert!(readable.at(500_000) > 0);
    let bytes = stream.try_read_chunk(1000).unwrap().unwrap();
    assert!(!bytes.is_empty() && bytes == film.data[500_000..500_000 + bytes.len()]);
    assert_eq!(stream.position(), 500_000 + bytes.len() as u64);

    stream.seek_to(2_000_000);
    stream.ready().await.unwrap();
    assert_eq!(stream.try_read_chunk(10).unwrap().unwrap(), "", "at the end");

    session.close().await;
    stream.seek_to(0);
    assert_eq!(stream.ready().await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(stream.try_read_chunk(1).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(readable.changed(0, 0).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_names_a_peer_by_its_host_name_and_selects_the_file_that_plays() {
    let (dir, viewing) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = dir.path().join("season");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("E01.mkv"), common::pattern(200_000, 1)).unwrap();
    std::fs::write(folder.join("E02.mkv"), common::pattern(100_000, 2)).unwrap();
    let torrent =
        playswarm::create_torrent(&folder, playswarm::CreateOptions::default(), |_, _| {}).await.unwrap().torrent;
    let seed = Session::new(Config::offline(dir.path())).await.unwrap();
    let seeded = seed.open(Source::from(&torrent)).await.unwrap();
    assert_eq!(seeded.recheck(|_, _| {}).await.unwrap(), 300_000);
    let port = seed.listen_addr().unwrap().port();
    let link = |more: &str| {
        Source::parse(&format!("magnet:?xt=urn:btih:{}&x.pe=localhost:{port}{more}", torrent.info_hash)).unwrap()
    };
    let viewer = Session::new(Config::offline(viewing.path())).await.unwrap();
    let second = soon("the metadata", viewer.open(link("&so=1"))).await.unwrap();
    assert_eq!(second.default_file().unwrap(), 1);
    // Both links share the torrent, and each selects its own file.
    let any = soon("the open torrent", viewer.open(link(""))).await.unwrap();
    assert_eq!((any.default_file().unwrap(), second.default_file().unwrap()), (0, 1));
    assert_eq!(viewer.describe(link("&so=1,7")).await.unwrap().default_file().unwrap(), 1);
}
