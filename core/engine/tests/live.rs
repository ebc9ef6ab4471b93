//! Live channels between sessions on one machine, with a real stream.
#![allow(clippy::unwrap_used)]

use playswarm::live::{CastOptions, Channel, ChannelLink, LiveStream};
use playswarm::{Config, PeerAddress, Session};
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
