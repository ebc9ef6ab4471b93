//! A session's use of the times of films: prefetch, and durations of the other files.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Film, PIECE, offline_with, pattern, pieces_of, soon, until, viewer};
use playswarm::{Session, Source, TorrentHandle, create_torrent};
use std::time::Duration;

/// Returns a WAV file: a header and `length` bytes of noise, two channels of 16 bits, `rate` bytes
/// per second.
fn sound(length: u32, rate: u32) -> Vec<u8> {
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + length).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x02\0");
    wav.extend((rate / 4).to_le_bytes());
    wav.extend(rate.to_le_bytes());
    wav.extend(b"\x04\0\x10\0data");
    wav.extend(length.to_le_bytes());
    wav.extend(pattern(length as usize, 41));
    wav
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_a_time_are_fetched_before_a_player_reads_them() {
    let film = Film::of("sound.wav", sound(40 << 20, 1 << 20), pieces_of(PIECE)).await;
    let seed = film.seed().await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), vec![seed.addr()]).await;
    let handle = session.open(film.source()).await.unwrap();
    let seek_point = soon("the seek point", handle.prefetch_at(0, Duration::from_secs(20))).await.unwrap();
    assert!(seek_point.from.abs_diff(20 << 20) < 1 << 20, "{seek_point:?}");
    let mut stream = handle.stream(0).unwrap();
    until("the prefetched range is verified", || {
        stream.readable_at(seek_point.from) >= seek_point.until - seek_point.from
    })
    .await;
    until("the prefetch's reader is closed", || handle.status().readers.is_empty()).await;
    assert_eq!(handle.status().playhead, None, "there is no player");
    assert!(handle.status().downloaded_bytes < 10 << 20, "only the range is fetched");
    // Facts by which a face paces a player that reads there.
    stream.seek_to(seek_point.from);
    let buffered = stream.buffered(u64::MAX);
    assert_eq!((buffered, stream.buffered(1000)), (stream.readable_at(seek_point.from), 1000));
    assert!(stream.bytes_per_s().is_some_and(|rate| (rate / f64::from(1 << 20) - 1.0).abs() < 0.01));
    assert!(handle.is_available(0) && !handle.is_available(1));
    // A range outside of the file is not fetched.
    let mut beyond = seek_point;
    (beyond.from, beyond.until) = (u64::MAX, u64::MAX);
    handle.prefetch_from(0, beyond);
    handle.prefetch_from(1, seek_point);
}

/// Makes an album of silent MP3s, 128 kbit/s at 48 kHz, with these durations in seconds. Returns it
/// with its seed.
async fn album(seconds: &[usize], up: u64) -> (tempfile::TempDir, playswarm::Metainfo, Session, TorrentHandle) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("album");
    std::fs::create_dir(&folder).unwrap();
    for (n, seconds) in seconds.iter().enumerate() {
        let mut bytes = vec![0; seconds * 48_000 / 1152 * 384];
        bytes.chunks_exact_mut(384).for_each(|frame| frame[..4].copy_from_slice(&[0xff, 0xfb, 0x94, 0x64]));
        // Each file has different pieces.
        bytes[200] = n as u8;
        std::fs::write(folder.join(format!("{n}.mp3")), bytes).unwrap();
    }
    let options = pieces_of(PIECE);
    let torrent = create_torrent(&folder, options, |_, _| {}).await.unwrap().torrent;
    let config = offline_with(dir.path(), |c| c.upload_bytes_per_s = up);
    let session = Session::new(config).await.unwrap();
    let handle = session.open(Source::from(&torrent)).await.unwrap();
    handle.recheck(|_, _| {}).await.unwrap();
    (dir, torrent, session, handle)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_albums_durations_are_learnt_from_little_of_it() {
    let (_dir, torrent, seed, _seeded) = album(&[300, 201, 99], 0).await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), seed.listen_addr().into_iter().collect()).await;
    let handle = session.open(Source::from(&torrent)).await.unwrap();
    soon("the durations", handle.learn_durations()).await;
    for (file, seconds) in [300.0, 201.0, 99.0].into_iter().enumerate() {
        let timeline = handle.known_timeline(file).unwrap();
        assert!((timeline.duration().as_secs_f64() - seconds).abs() < 0.1, "{file}: {:?}", timeline.duration());
    }
    assert!(handle.status().readers.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn durations_are_not_learnt_while_a_player_waits() {
    // 100 kB/s: the first file's 4.8 MB take most of a minute, and its player waits during all of
    // it.
    let (_dir, torrent, seed, _seeded) = album(&[300, 201, 99], 100_000).await;
    let dir = tempfile::tempdir().unwrap();
    let session = viewer(dir.path(), seed.listen_addr().into_iter().collect()).await;
    let handle = session.open(Source::from(&torrent)).await.unwrap();
    let mut stream = handle.stream(0).unwrap();
    let learning = tokio::spawn({
        let handle = handle.clone();
        async move { handle.learn_durations().await }
    });
    let mut read = 0;
    while read < 500_000 {
        read += soon("a read", stream.read_chunk(1 << 20)).await.unwrap().len();
        let others: Vec<_> = handle.status().readers.into_iter().filter(|r| r.file != 0).collect();
        assert!(others.is_empty(), "{others:?}");
    }
    assert!(handle.known_timeline(1).is_none() && handle.known_timeline(2).is_none());
    // Once the player's stream is dropped, the durations can be read.
    drop(stream);
    soon("the durations", learning).await.unwrap();
    assert!(handle.known_timeline(1).is_some() && handle.known_timeline(2).is_some());
}
