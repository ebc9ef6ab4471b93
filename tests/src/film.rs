//! Films made by FFmpeg: real containers with a real index, of chosen length and rate.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a film of moving noise with a keyframe every two seconds, and audio. `name` selects the
/// container.
#[track_caller]
pub fn film(folder: &Path, name: &str, seconds: u32, bits_per_s: u32) -> PathBuf {
    let path = folder.join(name);
    let source = format!("testsrc2=size=320x180:rate=25:duration={seconds}");
    let sound = format!("sine=frequency=440:duration={seconds}");
    let rate = bits_per_s.to_string();
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", &source, "-f", "lavfi", "-i", &sound])
        .args(["-vf", "noise=alls=20:allf=t", "-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-g", "50", "-sc_threshold", "0", "-b:v", &rate, "-pix_fmt", "yuv420p", "-c:a", "aac"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(status.success(), "FFmpeg made no film");
    path
}
