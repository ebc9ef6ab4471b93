//! Other programs on the same mirrors: libtorrent with deadlines, aria2 in order, Transmission.

use crate::Row;
use crate::shaped::{JUMPS, Scene, VIEWER};
use anyhow::{Context, Result, bail};
use playswarm_tests::peers::libtorrent;
use playswarm_tests::requirement;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for a piece.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fetches the piece at the beginning, then those at further places, by deadlines. Prints the seconds
/// that each took.
const BY_DEADLINE: &str = r#"
import sys, time, libtorrent as lt
began = time.monotonic()
torrent, folder, *pieces = sys.argv[1:]
session = lt.session({"listen_interfaces": "0.0.0.0:6882", "enable_dht": False, "enable_lsd": False,
                      "enable_upnp": False, "enable_natpmp": False})
params = lt.add_torrent_params()
params.ti, params.save_path = lt.torrent_info(torrent), folder
handle = session.add_torrent(params)
for piece in map(int, pieces):
    handle.clear_piece_deadlines()
    for ahead in range(5):
        handle.set_piece_deadline(piece + ahead, 1000 * ahead)
    while not handle.have_piece(piece):
        time.sleep(0.005)
    print(time.monotonic() - began, flush=True)
    time.sleep(2)
    began = time.monotonic()
"#;

fn shown(start: Option<f64>, jumps: &[f64]) -> (String, String) {
    let start = start.map_or_else(|| "never".into(), |s| format!("{s:.2} s"));
    let all: Vec<String> = jumps.iter().map(|s| format!("{s:.2}")).collect();
    (start, if all.is_empty() { "–".into() } else { format!("{} s", all.join(", ")) })
}

/// Measures each program in turn. The middle column has the start, the last one the jumps.
pub(crate) fn all(program: &Path) -> Result<Vec<Row>> {
    if !["aria2c", "transmission-daemon"].iter().all(|name| requirement::program(name)) || !requirement::libtorrent() {
        bail!("The comparison needs aria2, Transmission and libtorrent.");
    }
    let scene = Scene::new(64 << 20, &[(12_000, 20.0), (4000, 30.0)], &[]);
    let mut rows = Vec::new();
    let mut add = |name: &str, (start, jumps)| rows.push((name.to_owned(), start, jumps));
    add("the limit: start; jump", shown(Some(scene.limit_s(2.0)), &[scene.limit_s(1.0)]));
    let (start, jumps) = scene.start_and_jumps(program);
    add("playswarm", shown(Some(start[0]), &jumps));
    let took = by_deadline(&scene)?;
    add("libtorrent, piece deadlines", shown(took.first().copied(), took.get(1..).unwrap_or_default()));
    add("aria2, pieces in order", shown(aria2(&scene)?, &[]));
    add("Transmission", shown(transmission(&scene)?, &[]));
    Ok(rows)
}

/// A program that is killed in the end.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Result<Running> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Running(command.spawn().context("Can't start a program to compare with.")?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn by_deadline(scene: &Scene) -> Result<Vec<f64>> {
    let folder = tempfile::tempdir()?;
    let places = [0.0].iter().chain(&JUMPS).map(|share| (scene.place(*share) / scene.torrent.piece_length).to_string());
    let mut command = scene.net.place(VIEWER).command("timeout");
    command.arg(PATIENCE.as_secs().to_string()).arg(libtorrent::python()).args(["-c", BY_DEADLINE]);
    command.arg(&scene.file).arg(folder.path()).args(places);
    let printed = String::from_utf8(command.output()?.stdout)?;
    Ok(printed.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Waits until a program that was just started has written the first piece of the film. Without the
/// whole of it, its first byte cannot be verified.
fn first_piece(scene: &Scene, folder: &Path) -> Option<f64> {
    let began = Instant::now();
    let content = scene.torrent.content(0);
    while began.elapsed() < PATIENCE {
        for name in ["film.mkv", "film.mkv.part"] {
            let mut bytes = vec![0; scene.torrent.piece_length as usize];
            let read = std::fs::File::open(folder.join(name))
                .and_then(|file| std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 0));
            if read.is_ok() && content.first_difference(0, &bytes).is_none() {
                return Some(began.elapsed().as_secs_f64());
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

fn aria2(scene: &Scene) -> Result<Option<f64>> {
    let folder = tempfile::tempdir()?;
    let mut command = scene.net.place(VIEWER).command("aria2c");
    command.args(["--no-conf=true", "--enable-dht=false", "--bt-enable-lpd=false", "--file-allocation=none"]);
    command.args(["--bt-prioritize-piece=head=8M", "--stream-piece-selector=inorder", "--disk-cache=0"]);
    command.arg(format!("--dir={}", folder.path().display())).arg(&scene.file).env("HOME", folder.path());
    let _running = Running::start(command)?;
    Ok(first_piece(scene, folder.path()))
}

fn transmission(scene: &Scene) -> Result<Option<f64>> {
    let (folder, config) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let watch = config.path().join("watch");
    std::fs::create_dir(&watch)?;
    std::fs::copy(&scene.file, watch.join("film.torrent"))?;
    let mut command = scene.net.place(VIEWER).command("transmission-daemon");
    command.args(["--foreground", "--no-dht", "--no-lpd", "--no-portmap", "--no-auth", "--no-incomplete-dir"]);
    command.arg("--config-dir").arg(config.path()).arg("--watch-dir").arg(&watch);
    command.arg("--download-dir").arg(folder.path()).env("HOME", config.path());
    let _running = Running::start(command)?;
    Ok(first_piece(scene, folder.path()))
}
