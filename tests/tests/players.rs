//! A real player plays a real H.264 film from a shaped swarm and seeks three times. FFmpeg decodes
//! frames from the middle of the film. The tests check the player's output and exit code.
#![allow(clippy::unwrap_used)]

use playswarm_tests::netlab::Link;
use playswarm_tests::playswarm::Playswarm;
use playswarm_tests::process::Process;
use playswarm_tests::requirement;
use playswarm_tests::swarm::Swarm;
use playswarm_tests::torrent::TestTorrent;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Length of the film in seconds.
const FILM_S: u32 = 60;

/// Makes a film of moving noise, about 3 Mbit/s, with a keyframe each second. `name` ends in `.mkv`
/// or `.mp4`.
fn film(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let source = format!("testsrc2=size=640x360:rate=25:duration={FILM_S}");
    let sound = format!("sine=frequency=440:duration={FILM_S}");
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", &source, "-f", "lavfi", "-i", &sound])
        .args(["-vf", "noise=alls=20:allf=t", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25"])
        .args(["-b:v", "3M", "-maxrate", "3M", "-bufsize", "3M", "-pix_fmt", "yuv420p", "-c:a", "aac"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(status.success(), "FFmpeg made no film");
    path
}

struct Stage {
    playswarm: Playswarm,
    swarm: Swarm,
    /// The seeds read its files while they upload.
    _torrent: TestTorrent,
    folder: tempfile::TempDir,
}

/// Starts a viewer of the film in a swarm of five home connections of 2 Mbit/s. `None` if a
/// requirement is missing.
fn stage(name: &str, player: &str) -> Option<Stage> {
    let able = requirement::network()
        && requirement::libtorrent()
        && requirement::program("ffmpeg")
        && requirement::program(player);
    if !able {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let torrent = TestTorrent::of_file(&film(folder.path(), name), 256 << 10);
    let swarm = Swarm::new(&torrent, Link::home(10_000, 50_000, 5.0), &[Link::home(2_000, 20_000, 15.0); 5]);
    let playswarm = swarm.start(&torrent.file());
    Some(Stage { playswarm, swarm, _torrent: torrent, folder })
}

impl Stage {
    fn url(&self) -> String {
        let url = self.playswarm.url();
        format!("http://{}{}", url.addr, url.path)
    }

    fn command(&self, program: &str) -> Command {
        self.swarm.net.place("viewer").command(program)
    }
}

/// A script for mpv: seeks three times, two seconds apart, prints the position after each, and
/// quits.
const SEEKER: &str = r#"
local targets = {40, 10, 50}
local step = 0
mp.register_event("file-loaded", function()
    local timer
    timer = mp.add_periodic_timer(2, function()
        local position = mp.get_property_number("time-pos") or -1
        print(string.format("STEP %d AT %.2f", step, position))
        step = step + 1
        if targets[step] then
            mp.commandv("seek", targets[step], "absolute+exact")
        else
            timer:kill()
            -- Ending in the middle of a read would leave half a packet, and a complaint about it.
            mp.set_property_bool("pause", true)
            mp.add_periodic_timer(0.1, function()
                if mp.get_property_bool("demuxer-cache-idle") then mp.commandv("quit", 0) end
            end)
        end
    end)
end)
"#;

fn mpv_plays_with_three_seeks(name: &str) {
    let Some(stage) = stage(name, "mpv") else { return };
    let script = stage.folder.path().join("seeker.lua");
    std::fs::write(&script, SEEKER).unwrap();
    let mut command = stage.command("mpv");
    command.args([
        "--no-config",
        "--vo=null",
        "--ao=null",
        "--msg-level=all=warn,seeker=info",
        "--demuxer-readahead-secs=5",
    ]);
    command.args(["--cache=yes", "--demuxer-max-bytes=4MiB"]).arg(format!("--script={}", script.display()));
    command.arg(stage.url()).env("HOME", stage.folder.path());
    let mut mpv = Process::start("mpv", command);
    let status = mpv.wait(Duration::from_secs(60));
    let log = [mpv.stdout(), mpv.stderr()].concat();
    assert!(status.success(), "mpv ended with {status}: {log:?}");
    let steps = log.iter().filter_map(|line| line.split_once(" AT ")).map(|(_, at)| at.trim().parse::<f64>().unwrap());
    let steps = steps.collect::<Vec<_>>();
    assert_eq!(steps.len(), 4, "{log:?}");
    assert!((0.5..5.0).contains(&steps[0]), "it played from the start: {steps:?}");
    for (at, target) in steps[1..].iter().zip([40.0, 10.0, 50.0]) {
        assert!((target + 0.3..target + 5.0).contains(at), "two seconds after the seek to {target} s: {steps:?}");
    }
    let bad = ["error", "corrupt", "invalid", "failed"];
    let complaints = log.iter().filter(|line| bad.iter().any(|b| line.to_lowercase().contains(b))).collect::<Vec<_>>();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn mpv_plays_matroska_with_three_seeks() {
    mpv_plays_with_three_seeks("film.mkv");
}

#[test]
fn mpv_plays_mp4_with_its_index_at_the_end_with_three_seeks() {
    mpv_plays_with_three_seeks("film.mp4");
}

#[test]
fn ffmpeg_decodes_a_frame_from_the_middle_and_does_not_fetch_all_for_it() {
    let Some(stage) = stage("film.mp4", "ffmpeg") else { return };
    let frame = stage.folder.path().join("frame.png");
    let status = stage
        .command("timeout")
        .args(["40", "ffmpeg", "-v", "error", "-ss", "30", "-i", &stage.url(), "-frames:v", "1", "-update", "1"])
        .arg(&frame)
        .status()
        .unwrap();
    assert!(status.success());
    assert!(std::fs::metadata(&frame).unwrap().len() > 10_000, "a picture of noise is not small");
    let now = stage.playswarm.status();
    assert!(now.verified_bytes < now.total_bytes, "one frame needed the whole film");
}

#[test]
fn ffmpeg_decodes_every_frame_without_complaint() {
    let Some(stage) = stage("film.mkv", "ffmpeg") else { return };
    let output = stage
        .command("timeout")
        .args(["80", "ffmpeg", "-v", "error", "-i", &stage.url(), "-map", "0:v", "-f", "framecrc", "-"])
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.trim().is_empty(), "{complaints}");
    let frames = String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(frames as u32, FILM_S * 25);
}
