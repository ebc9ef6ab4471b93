//! The films that are played.

use playswarm_tests::http;
use playswarm_tests::playswarm::{Builder, Playswarm, STARTUP};
use playswarm_tests::process::Process;
use playswarm_tests::torrent::TestTorrent;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Seconds that are encoded. Longer films repeat them.
const PART_S: u32 = 60;

/// Makes a film with a keyframe every two seconds, without B-frames, whose rate is constant.
pub(crate) fn make(folder: &Path, name: &str, seconds: u32, bits_per_s: u32) -> PathBuf {
    let (part, path) = (folder.join("part.mkv"), folder.join(name));
    let (picture, sound) = (format!("testsrc2=size=640x360:rate=25:duration={PART_S}"), format!("sine=d={PART_S}"));
    let rate = bits_per_s.to_string();
    ffmpeg(
        Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound])
            .args(["-vf", "noise=alls=20:allf=t", "-c:v", "libx264", "-preset", "ultrafast", "-g", "50"])
            .args(["-sc_threshold", "0", "-b:v", &rate, "-maxrate", &rate, "-bufsize", &rate])
            .args(["-x264-params", "nal-hrd=cbr", "-pix_fmt", "yuv420p", "-c:a", "aac"])
            .arg(&part),
    );
    let again = (seconds.div_ceil(PART_S) - 1).to_string();
    ffmpeg(
        Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-stream_loop", &again, "-i"])
            .arg(&part)
            .args(["-c", "copy"])
            .arg(&path),
    );
    path
}

fn ffmpeg(command: &mut Command) {
    let status = command.status().expect("FFmpeg is installed");
    assert!(status.success(), "FFmpeg made no film");
}

/// The program with all bytes of a film.
pub(crate) struct Here {
    pub(crate) playswarm: Playswarm,
    /// The URL of RTSP.
    pub(crate) url: String,
    _seed: Playswarm,
}

impl Here {
    pub(crate) fn new(torrent: &TestTorrent) -> Here {
        let seed = Builder::seed(&torrent.data().join(&torrent.name), &torrent.file()).spawn();
        let playswarm = Builder::stream(torrent.file()).peers([seed.listen]).argument("--rtsp").log("warn").start();
        let url = rtsp_url(&playswarm.process);
        let mut film = http::request(&playswarm.place, "GET", &playswarm.url(), &[]).unwrap();
        std::io::copy(&mut film, &mut std::io::sink()).unwrap();
        playswarm.wait_status("all bytes", Duration::from_secs(120), |now| now.verified_bytes == now.total_bytes);
        Here { playswarm, url, _seed: seed }
    }
}

/// Returns the second URL that the program prints.
pub(crate) fn rtsp_url(process: &Process) -> String {
    let is_rtsp = |line: &str| line.strip_prefix("url: rtsp://").map(|rest| format!("rtsp://{rest}"));
    process.find_line(STARTUP, is_rtsp).expect("the program has --rtsp")
}
