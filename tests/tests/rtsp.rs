//! RTSP from a swarm: the program prints the URL, and FFmpeg starts in the middle of a film of which little is here.
#![allow(clippy::unwrap_used)]

use playswarm_tests::peers::libtorrent;
use playswarm_tests::playswarm::{Builder, STARTUP};
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use std::path::Path;
use std::process::Command;

/// Returns the MD5 of pictures from a time on.
fn pictures(before: &[&str], input: &str, count: &str) -> Vec<String> {
    let output = Command::new("timeout")
        .args(["60", "ffmpeg", "-v", "error"])
        .args(before)
        .args(["-ss", "24", "-i", input, "-map", "0:v", "-frames:v", count])
        .args(["-fps_mode", "passthrough", "-f", "framemd5", "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let hash = |line: &str| line.rsplit(',').next().unwrap_or_default().trim().to_owned();
    text.lines().filter(|line| !line.starts_with('#')).map(hash).collect()
}

#[test]
fn ffmpeg_starts_in_the_middle_of_a_film_that_the_swarm_sends_slowly() {
    if !requirement::libtorrent() || !requirement::program("ffmpeg") {
        return;
    }
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/demo/clip.mp4");
    let torrent = TestTorrent::of_file(&clip, 64 << 10);
    // About the rate of the clip, so that all of it takes half a minute.
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::limited(300_000));
    let playswarm = Builder::stream(torrent.file()).peers([seed.addr]).argument("--rtsp").start();
    let is_rtsp = |line: &str| line.strip_prefix("url: rtsp://").map(|rest| format!("rtsp://{rest}"));
    let url = playswarm.process.find_line(STARTUP, is_rtsp).unwrap();
    assert!(url.ends_with("/0/clip.mp4"), "{url}");

    let expected = pictures(&[], clip.to_str().unwrap(), "3");
    let found = pictures(&["-rtsp_transport", "tcp"], &url, "4");
    assert!(found[..3] == expected || found[1..] == expected, "{found:?}, {expected:?}");
    let now = playswarm.status();
    assert!(now.verified_bytes < now.total_bytes, "for a few pictures all of the film was fetched");
}
