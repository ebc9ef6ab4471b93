//! The program with all bytes of a film, beside GStreamer's and VLC's servers with the film on disk.

use super::client::Client;
use super::{film, mpv, quantile};
use playswarm_tests::content::mix;
use playswarm_tests::process::Process;
use playswarm_tests::torrent::TestTorrent;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const FILM_S: u32 = 300;
const RATE: u32 = 6_000_000;
/// Jumps in mpv, and the seconds between them.
const JUMPS: usize = 12;
const GAP_S: f64 = 1.0;
/// Time that a server gets to listen.
const STARTUP: Duration = Duration::from_secs(20);

pub(crate) fn measure(jumps: usize, server: Option<&str>) {
    let wanted = |name: &str| server.is_none_or(|server| server == name);
    let folder = tempfile::tempdir().unwrap();
    // VLC runs as another user.
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let path = film::make(folder.path(), "film.mkv", FILM_S, RATE);
    let torrent = TestTorrent::of_file(&path, 256 << 10);
    println!(
        "| server | PLAY to answer, ms: median, p99 | to first RTP, ms | mpv: first picture, s | jump, s: median, max |"
    );
    println!("|---|---:|---:|---:|---:|");
    if wanted("playswarm") {
        let here = film::Here::new(&torrent);
        row("playswarm", &here.url, false, jumps, folder.path());
        row("playswarm", &here.url, true, jumps, folder.path());
    }
    if wanted("gstreamer") {
        let _server = gstreamer(&path);
        row("gst-rtsp-server", "rtsp://127.0.0.1:8571/film", false, jumps, folder.path());
        row("gst-rtsp-server", "rtsp://127.0.0.1:8571/film", true, jumps, folder.path());
    }
    if wanted("vlc") {
        let _server = vlc(folder.path(), &path);
        // It has no interleaved transport.
        row("VLC", "rtsp://127.0.0.1:8572/film", true, jumps, folder.path());
    }
}

fn row(server: &str, url: &str, udp: bool, jumps: usize, folder: &Path) {
    let transport = if udp { "udp" } else { "tcp" };
    let mut client = Client::open(url, udp);
    client.start();
    let at = |n: usize| mix(n as u64) as f64 / u64::MAX as f64 * f64::from(FILM_S - 10);
    let times: Vec<_> = (0..jumps).map(|n| client.play(at(n))).collect();
    drop(client);
    let mut answers: Vec<f64> = times.iter().map(|(answer, _)| answer.as_secs_f64() * 1e3).collect();
    let mut packets: Vec<f64> = times.iter().map(|(_, packet)| packet.as_secs_f64() * 1e3).collect();
    let mut command = Command::new("mpv");
    command.arg(format!("--rtsp-transport={transport}"));
    let targets: Vec<f64> = (0..JUMPS).map(at).collect();
    let mut mpv = mpv::play(command, folder, url, &targets, GAP_S);
    let both = |values: &mut Vec<f64>, high: f64| (quantile(values, 0.5), quantile(values, high));
    let ((answer, late), (packet, last)) = (both(&mut answers, 0.99), both(&mut packets, 0.99));
    let (jump, longest) = both(&mut mpv.jumps, 1.0);
    println!(
        "| {server}, {transport} | {answer:.2}, {late:.2} | {packet:.2}, {last:.2} | {:.2} | {jump:.3}, {longest:.3} |",
        mpv.first
    );
}

fn listens(port: u16) {
    playswarm_tests::wait_for("a server", STARTUP, || TcpStream::connect(("127.0.0.1", port)).ok());
}

/// The library gst-rtsp-server (on Debian: python3-gi and gir1.2-gst-rtsp-server-1.0).
fn gstreamer(film: &Path) -> Process {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("rtsp/gst_server.py")).arg(film).arg("8571");
    let server = Process::start("gst-rtsp-server", command);
    listens(8571);
    server
}

/// VLC's server for video on demand.
fn vlc(folder: &Path, film: &Path) -> Process {
    let list = folder.join("list.vlm");
    std::fs::write(&list, format!("new film vod enabled\nsetup film input file://{}\n", film.display())).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "cvlc", "-I", "dummy", "--vlm-conf"]);
    command.arg(list).arg("--rtsp-port=8572").env("HOME", "/nonexistent");
    let server = Process::start("VLC", command);
    listens(8572);
    // It listens before it has read the file.
    std::thread::sleep(Duration::from_secs(3));
    server
}
