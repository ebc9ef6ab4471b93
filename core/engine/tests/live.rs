//! Live channels between sessions on one machine, with a real stream.
#![allow(clippy::unwrap_used)]

use playswarm::live::{CastOptions, Channel, ChannelLink, LiveStream};
use playswarm::{Config, ErrorKind, PeerAddress, Session};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Returns ten seconds of MPEG-TS with a keyframe each second.
fn film(dir: &Path) -> Vec<u8> {
    let path = dir.join("film.ts");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25", "-f", "lavfi", "-i", "sine", "-t", "10"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-b:v", "800k", "-c:a", "aac", "-f", "mpegts"])
        .arg(&path)
        .status();
    assert!(made.expect("ffmpeg must be there").success());
    std::fs::read(path).expect("the film was written")
}

async fn session() -> (tempfile::TempDir, Session) {
    let dir = tempfile::tempdir().unwrap();
    let session = Session::new(Config::offline(dir.path())).await.unwrap();
    (dir, session)
}

async fn read_to_end(mut stream: LiveStream) -> Vec<u8> {
    let mut all = Vec::new();
    tokio::time::timeout(Duration::from_secs(40), stream.read_to_end(&mut all))
        .await
        .expect("the stream ends")
        .unwrap();
    all
}

/// Asserts that a player can play this without an error, and returns the number of pictures.
fn pictures(stream: &[u8], dir: &Path) -> usize {
    let path = dir.join("received.ts");
    std::fs::write(&path, stream).unwrap();
    let output =
        Command::new("ffmpeg").args(["-v", "error", "-i"]).arg(&path).args(["-f", "null", "-"]).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let count = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-count_packets", "-show_entries", "stream=nb_read_packets"])
        .args(["-of", "csv=p=0"])
        .arg(&path)
        .output()
        .unwrap();
    // A line for the stream, and one for the program that it is in.
    String::from_utf8_lossy(&count.stdout).lines().next().unwrap().trim_end_matches(',').parse().unwrap()
}

/// A cast of bytes that no container has, and a link to it.
fn raw_cast(source: &Session) -> (playswarm::live::Cast, ChannelLink) {
    let mut options = CastOptions::default();
    options.content_type = Some("application/x-test".to_owned());
    options.bytes_per_s = 40_000;
    let cast = source.cast(options).unwrap();
    let mut link = ChannelLink::new(cast.key());
    link.at = source.listen_addr().into_iter().map(PeerAddress::from).collect();
    (cast, link)
}

async fn until(holds: impl Fn() -> bool) {
    let waited = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(40), waited).await.expect("it holds in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_open_once_in_a_session_and_tells_its_end() {
    let ((_a, source), (_b, viewer)) = (session().await, session().await);
    let (cast, link) = raw_cast(&source);
    let mut options = CastOptions::default();
    options.key = Some([7; 32]);
    let _other = source.cast(options.clone()).unwrap();
    assert_eq!(source.cast(options).err().unwrap().kind(), ErrorKind::BadArgument);

    let (one, two) = (viewer.watch(&link).unwrap(), viewer.watch(&link).unwrap());
    assert!(one.is_shared() && one.link() == &link);
    let streams = [one.stream(), two.stream()].map(|stream| tokio::spawn(read_to_end(stream)));
    until(|| one.status().fed > 0).await;
    assert_eq!((two.status().connections, cast.status().connections, one.status().readers), (1, 1, 2));
    let film: Vec<u8> = (0..50_000u32).map(|i| (i / 7 * 31 + i) as u8).collect();
    for part in film.chunks(5000) {
        cast.push(part).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!one.status().ended);
    cast.end().unwrap();
    tokio::time::timeout(Duration::from_secs(40), two.ended()).await.expect("the stream ends");
    for stream in streams {
        assert!(stream.await.unwrap() == film, "another stream arrived");
    }
    let status = one.status();
    assert_eq!(status.stripe_map, "#".repeat(status.stripes));
    assert_eq!((status.ended, status.parents, status.gaps, status.readers), (true, 1, 0, 0));
    assert!(status.delay_ms.is_some());

    // Leaving ends a stream that waits, and the channel can be opened anew.
    let (quiet, link) = raw_cast(&source);
    let channel = viewer.watch(&link).unwrap();
    let mut stream = channel.stream();
    until(|| channel.status().fed > 0).await;
    let (read, ()) = tokio::join!(stream.read_chunk(1), channel.leave());
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Closed);
    let again = viewer.watch(&link).unwrap();
    assert!(!again.is_shared());
    until(|| again.status().fed > 0).await;
    let mut stream = again.stream();
    let (read, ()) = tokio::join!(stream.read_chunk(1), viewer.close());
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Closed);
    drop(quiet);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_channels_of_a_session_share_its_upload() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::offline(dir.path());
    config.upload_bytes_per_s = 1_250_000;
    let source = Session::new(config).await.unwrap();
    let (one, _) = raw_cast(&source);
    let places = |cast: &playswarm::live::Cast| cast.status().free_places;
    until(|| places(&one).is_some_and(|free| free > 4)).await;
    let all = places(&one).unwrap();
    let (two, _) = raw_cast(&source);
    until(|| places(&one).is_some_and(|free| free <= all / 2 + 1)).await;
    drop(two);
    until(|| places(&one) == Some(all)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_passed_on_from_viewer_to_viewer_and_played_by_a_real_player() {
    if !playswarm_tests::requirement::program("ffmpeg") {
        return;
    }
    let films = tempfile::tempdir().unwrap();
    let film = film(films.path());
    let (_a, source) = session().await;
    let mut options = CastOptions::default();
    options.name = "Test".to_owned();
    options.bytes_per_s = film.len() as u32 / 10;
    let cast = source.cast(options).unwrap();
    let mut link = ChannelLink::new(cast.key());
    link.at = source.listen_addr().into_iter().map(PeerAddress::from).collect();

    let viewers = tokio::spawn(async move {
        let mut watching: Vec<(tempfile::TempDir, Session, Channel, tokio::task::JoinHandle<Vec<u8>>)> = Vec::new();
        for wait_ms in [500, 2500, 1000] {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            let (dir, viewer) = session().await;
            let channel = viewer.watch(&link).unwrap();
            let stream = tokio::spawn(read_to_end(channel.stream()));
            watching.push((dir, viewer, channel, stream));
        }
        watching
    });
    // In real time.
    for part in film.chunks(film.len() / 100) {
        cast.push(part).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cast.end().unwrap();
    let watching = viewers.await.unwrap();
    for (n, (dir, _session, channel, stream)) in watching.into_iter().enumerate() {
        let stream = stream.await.unwrap();
        let status = channel.status();
        assert_eq!((status.fed, status.refused, status.lost), (status.stripes, 0, 0), "viewer {n}: {status:?}");
        let shown = pictures(&stream, dir.path());
        // A viewer starts a margin behind its arrival, so it misses what came before that.
        let least = [225, 125, 100][n];
        assert!((least..=250).contains(&shown), "viewer {n} was shown {shown} pictures of 250");
    }
}
