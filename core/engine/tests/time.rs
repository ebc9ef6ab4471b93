//! Time in a swarm: the index is fetched first, a seek finds a keyframe, and files without an index
//! play, too.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Film, PIECE, pattern, pieces_of, soon, until, viewer};
use playswarm::{Accuracy, Container, Session, TorrentHandle};
use std::time::Duration;
use tempfile::TempDir;

/// A film of eight seconds made by FFmpeg, with a keyframe every two and its index at the end.
const REAL: &[u8] = include_bytes!("../../../fuzz/seeds/media_matroska/cues-at-the-end.mkv");

/// Makes a film of 3 MB, most of which is padding behind its container's data.
async fn film() -> Film {
    let mut data = REAL.to_vec();
    data.extend(pattern(3_000_000, 7));
    Film::of("film.mkv", data, pieces_of(PIECE)).await
}

async fn open(film: &Film, seed: &common::Seed) -> (TempDir, Session, TorrentHandle) {
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![seed.addr()]).await;
    let handle = session.open(film.source()).await.unwrap();
    (dir, session, handle)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_is_read_from_the_swarm_and_little_else() {
    let film = film().await;
    let seed = film.seed().await;
    let (_dir, _session, handle) = open(&film, &seed).await;
    assert!(handle.known_timeline(0).is_none());
    let timeline = soon("the index", handle.timeline(0)).await.unwrap();
    assert_eq!((timeline.container(), timeline.accuracy()), (Container::Matroska, &Accuracy::Exact));
    assert!((8.0..8.1).contains(&timeline.duration().as_secs_f64()), "{:?}", timeline.duration());
    assert_eq!(timeline.keyframes().len(), 4);
    assert_eq!(timeline.tracks().len(), 2);
    assert_eq!(handle.known_timeline(0).unwrap().keyframes(), timeline.keyframes());
    // The piece of the head, and those of the tail, where the file's name makes an index likely.
    let status = handle.status();
    assert!(status.downloaded_bytes <= 4 * u64::from(PIECE), "{} bytes", status.downloaded_bytes);
    assert!(status.readers.is_empty(), "{:?}", status.readers);
    assert_eq!(status.timelines[0].accuracy, "exact");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_by_time_lands_on_the_keyframe_and_fetches_it_before_it_is_read() {
    let film = film().await;
    let seed = film.seed().await;
    let (_dir, _session, handle) = open(&film, &seed).await;
    let mut stream = handle.stream(0).unwrap();
    assert_eq!(stream.time(), None);
    let seek_point = soon("the seek_point", stream.seek_to_time(Duration::from_secs(5))).await.unwrap();
    assert!(!seek_point.estimated);
    assert!((4.0..4.02).contains(&seek_point.time.as_secs_f64()), "{seek_point:?}");
    // The position at which FFmpeg's own reader finds that keyframe's block.
    assert_eq!(seek_point.offset, 2957);
    assert_eq!(stream.position(), seek_point.from);
    let time = stream.time().unwrap().as_secs_f64();
    assert!((3.9..4.1).contains(&time), "{time}");
    until("the keyframe's range is verified", || {
        stream.readable_at(seek_point.from) >= seek_point.until - seek_point.from
    })
    .await;
    let bytes = soon("a read", stream.read_chunk(100)).await.unwrap();
    assert!(bytes[..] == film.data[seek_point.from as usize..seek_point.from as usize + 100]);
    let playhead = handle.status().playhead.unwrap();
    assert_eq!((playhead.file, playhead.position), (0, seek_point.from + 100));
    assert!(playhead.buffered_until_s.unwrap() >= playhead.time_s.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_an_index_gets_an_estimate_that_says_why() {
    let film = Film::new(1_000_000, 3).await;
    let seed = film.seed().await;
    let (_dir, _session, handle) = open(&film, &seed).await;
    let mut stream = handle.stream(0).unwrap();
    let seek_point = soon("the seek_point", stream.seek_to_time(Duration::from_millis(300))).await.unwrap();
    assert!(seek_point.estimated && seek_point.from == 0, "played from its start: {seek_point:?}");
    assert!(!soon("a read", stream.read_chunk(100)).await.unwrap().is_empty());
    let status = handle.status();
    let known = &status.timelines[0];
    assert_eq!(known.accuracy, "estimate");
    assert!(known.why.as_deref().is_some_and(|why| !why.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocking_seek_by_time_is_cancelled_like_a_read() {
    let film = film().await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), Vec::new()).await;
    let handle = session.open(film.source()).await.unwrap();
    let mut stream = handle.stream(0).unwrap().into_blocking();
    let canceller = stream.canceller();
    let seeking = tokio::task::spawn_blocking(move || stream.seek_to_time(Duration::from_secs(5)).unwrap_err());
    until("the index's reader waits", || handle.status().readers.iter().any(|r| r.index && r.waiting)).await;
    canceller.cancel();
    assert_eq!(soon("the seek ends", seeking).await.unwrap().kind(), playswarm::ErrorKind::Cancelled);
    until("all readers are closed", || handle.status().readers.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_the_index_does_not_move_the_playhead() {
    let film = film().await;
    let seed = film.seed().await;
    let (_dir, _session, handle) = open(&film, &seed).await;
    let mut player = handle.stream(0).unwrap();
    player.seek_to(2000);
    soon("a read", player.read_chunk(100)).await.unwrap();
    // Players open a second connection for data at the end.
    let mut probe = handle.stream(0).unwrap();
    probe.seek_to(film.data.len() as u64 - 1000);
    soon("a read", probe.read_chunk(100)).await.unwrap();
    assert_eq!(handle.status().playhead.unwrap().position, 2100);
}
