//! Torrents without readers are completed in the background, and taken back when they are read
//! again.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Film, offline_with, soon, until, viewer};
use playswarm::advanced::librqbit::api::TorrentIdOrHash;
use playswarm::advanced::librqbit::{
    self, AddTorrent, AddTorrentOptions, ListenerMode, ListenerOptions, SessionOptions,
};
use playswarm::{Config, ErrorKind, Session};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_was_watched_in_part_is_completed_in_the_background_and_nothing_comes_twice() {
    let film = Film::new(3_000_000, 1).await;
    let seed = film.seed_with(|c| c.upload_bytes_per_s = 2_000_000).await;
    let dir = tempfile::tempdir().unwrap();
    let config = offline_with(dir.path(), |c| {
        c.seed_in_background = true;
        c.peers = vec![seed.addr().into()];
    });
    let session = Session::new(config).await.unwrap();

    let handle = session.open(film.source()).await.unwrap();
    let mut stream = handle.stream(0).unwrap();
    let mut start = vec![0; 300_000];
    soon("the start is read", stream.read_exact(&mut start)).await.unwrap();
    assert!(start == film.data[..300_000]);
    assert!(session.seeded_in_background().is_empty() && !handle.status().background);
    drop((stream, handle));

    until("the background has the torrent", || session.seeded_in_background().first().is_some_and(|s| s.background))
        .await;
    let total = film.data.len() as u64;
    until("the background has the whole torrent", || session.seeded_in_background()[0].verified_bytes == total).await;
    let seeded = session.seeded_in_background().remove(0);
    assert!(
        seeded.downloaded_bytes <= total - 300_000,
        "verified pieces were not fetched again: {}",
        seeded.downloaded_bytes
    );
    assert!(seeded.piece_map.bytes().all(|b| b == b'#'));

    // Without a seed only stored bytes can be read.
    seed.session.close().await;
    let handle = session.open(film.source()).await.unwrap();
    assert!(session.seeded_in_background().is_empty());
    assert_eq!(handle.status().verified_bytes, total);
    let mut all = Vec::new();
    let mut stream = handle.stream(0).unwrap();
    soon("the whole film is read", stream.read_to_end(&mut all)).await.unwrap();
    assert!(all == film.data);
    assert_eq!(handle.status().downloaded_bytes, 0);

    // Handed over once more and closed in the background: the next session has the whole film.
    drop((stream, handle));
    until("the background has the torrent again", || !session.seeded_in_background().is_empty()).await;
    until("the background has checked the torrent", || session.seeded_in_background()[0].verified_bytes == total).await;
    session.close().await;
    let session = Session::new(offline_with(dir.path(), |_| {})).await.unwrap();
    let handle = session.open(film.source()).await.unwrap();
    assert_eq!(handle.status().verified_bytes, total);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_background_fetched_is_known_to_the_next_session() {
    let film = Film::new(1_000_000, 2).await;
    let seed = film.seed().await;
    let dir = tempfile::tempdir().unwrap();
    let config = offline_with(dir.path(), |c| {
        c.seed_in_background = true;
        c.peers = vec![seed.addr().into()];
    });
    let session = Session::new(config).await.unwrap();
    let handle = session.open(film.source()).await.unwrap();
    let mut stream = handle.stream(0).unwrap();
    stream.seek(std::io::SeekFrom::Start(700_000)).await.unwrap();
    let mut some = vec![0; 1000];
    soon("a part is read", stream.read_exact(&mut some)).await.unwrap();
    drop((stream, handle));
    until("the background has the whole torrent", || {
        session.seeded_in_background().first().is_some_and(|s| s.verified_bytes == 1_000_000)
    })
    .await;
    session.close().await;
    assert!(matches!(session.open(film.source()).await, Err(e) if e.kind() == ErrorKind::Closed));

    let alone = Session::new(Config::offline(dir.path())).await.unwrap();
    assert_eq!(alone.open(film.source()).await.unwrap().status().verified_bytes, 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_torrents_are_not_seeded_in_the_background_and_none_is_with_a_disk_limit() {
    let film = Film::new(200_000, 3).await;
    let dir = tempfile::tempdir().unwrap();
    let session = Session::new(offline_with(dir.path(), |c| c.seed_in_background = true)).await.unwrap();
    drop(session.open(film.source()).await.unwrap());
    // Opening waits for a pending hand-over, if there is one.
    drop(session.open(film.source()).await.unwrap());
    assert!(session.seeded_in_background().is_empty());

    let dir = tempfile::tempdir().unwrap();
    let bounded = offline_with(dir.path(), |c| {
        c.seed_in_background = true;
        c.disk_limit_bytes = 32 << 20;
    });
    let session = Session::new(bounded).await.unwrap();
    let handle = session.open(film.source()).await.unwrap();
    drop(handle.stream(0).unwrap());
    drop(handle);
    drop(session.open(film.source()).await.unwrap());
    assert!(session.seeded_in_background().is_empty());
}

/// Starts the librqbit session of an application, which seeds a film of its own.
async fn application(dir: &Path, own: &Film) -> Arc<librqbit::Session> {
    let options = SessionOptions {
        dht: None,
        disable_local_service_discovery: true,
        listen: Some(ListenerOptions {
            mode: ListenerMode::TcpOnly,
            listen_addr: "127.0.0.1:0".parse().unwrap(),
            ..ListenerOptions::default()
        }),
        ..SessionOptions::default()
    };
    let session = librqbit::Session::new_with_opts(dir.to_owned(), options).await.unwrap();
    let options = AddTorrentOptions {
        overwrite: true,
        output_folder: Some(own.dir.path().to_string_lossy().into_owned()),
        ..AddTorrentOptions::default()
    };
    let bytes = AddTorrent::from_bytes(own.torrent.to_torrent_bytes().unwrap());
    let handle = session.add_torrent(bytes, Some(options)).await.unwrap().into_handle().unwrap();
    soon("the application has its film", handle.wait_until_completed()).await.unwrap();
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applications_session_has_a_torrent_while_nobody_watches_it_and_outlives_ours() {
    let (film, own) = (Film::new(1_000_000, 4).await, Film::new(200_000, 5).await);
    let seed = film.seed().await;
    let (dir, applications) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let application = application(applications.path(), &own).await;
    let named = |film: &Film| TorrentIdOrHash::parse(&film.torrent.info_hash.to_string()).unwrap();
    let in_application = |film: &Film| application.get(named(film));

    let config = offline_with(dir.path(), |c| c.peers = vec![seed.addr().into()]);
    let session = Session::with_background(config, application.clone()).await.unwrap();
    let handle = session.open(film.source()).await.unwrap();
    let mut some = vec![0; 1000];
    soon("a part is read", handle.stream(0).unwrap().read_exact(&mut some)).await.unwrap();
    assert!(in_application(&film).is_none(), "it is watched");
    drop(handle);
    until("the application's session has the torrent", || in_application(&film).is_some()).await;
    until("the application's session has the whole torrent", || in_application(&film).unwrap().stats().finished).await;
    assert_eq!(session.seeded_in_background()[0].verified_bytes, 1_000_000);

    // Other peers get it from the application's port, and its files stay where ours were.
    seed.session.close().await;
    let other = tempfile::tempdir().unwrap();
    let viewer = viewer(other.path(), vec![application.listen_addr().unwrap()]).await;
    let mut all = Vec::new();
    let mut stream = viewer.open(film.source()).await.unwrap().stream(0).unwrap();
    soon("the whole film is read", stream.read_to_end(&mut all)).await.unwrap();
    assert!(all == film.data);
    assert!(std::fs::read(dir.path().join("film.mkv")).unwrap() == film.data);

    let handle = session.open(film.source()).await.unwrap();
    assert!(in_application(&film).is_none(), "it is watched again");
    assert_eq!(handle.status().verified_bytes, 1_000_000);
    drop(handle.stream(0).unwrap());
    drop(handle);
    until("the application's session has the torrent again", || in_application(&film).is_some()).await;
    session.close().await;
    assert!(in_application(&film).is_none(), "the torrent left with our session");
    assert!(in_application(&own).unwrap().stats().finished, "the application's own torrent stays");
    assert!(!application.cancellation_token().is_cancelled());
    application.stop().await;
}
