//! RTSP beside HTTP in a shaped swarm. Each run starts the program anew, so that it has no byte.

use super::{film, mpv, quantile};
use playswarm_tests::netlab::Link;
use playswarm_tests::playswarm::Playswarm;
use playswarm_tests::requirement;
use playswarm_tests::swarm::Swarm;
use playswarm_tests::torrent::TestTorrent;
use std::path::Path;
use std::time::Instant;

/// Length in seconds and rate of the film: 512 MB.
const FILM_S: u32 = 660;
const RATE: u32 = 6_000_000;
/// The jumps, in seconds of the film.
const JUMPS: [f64; 3] = [313.7, 601.2, 97.4];
/// Seconds between a picture and the next jump.
const GAP_S: f64 = 4.0;

/// What a run measures: the first picture, then the jumps, in seconds.
type Run = fn(&Swarm, &Path, &str) -> Vec<f64>;

pub(crate) fn measure(runs: usize, player: Option<&str>) {
    assert!(requirement::network() && requirement::libtorrent());
    let folder = tempfile::tempdir().unwrap();
    let path = film::make(folder.path(), "film.mkv", FILM_S, RATE);
    let torrent = TestTorrent::of_file(&path, 256 << 10);
    let swarm = Swarm::new(&torrent, Link::home(10_000, 50_000, 5.0), &[Link::home(4_000, 20_000, 15.0); 10]);
    let players: [(&str, Run); 2] = [("mpv", with_mpv), ("ffmpeg", with_ffmpeg)];
    println!("| player | protocol | first picture | jumps |\n|---|---|---:|---:|");
    for (name, run) in players.into_iter().filter(|(name, _)| player.is_none_or(|player| player == *name)) {
        let mut times: [Vec<Vec<f64>>; 2] = Default::default();
        for _ in 0..runs {
            for (protocol, times) in times.iter_mut().enumerate() {
                let playswarm = swarm.watch(&torrent.file()).argument("--rtsp").log("warn").start();
                let found = run(&swarm, folder.path(), &url(&playswarm, protocol == 1));
                eprintln!("{name} {} {found:.3?}", ["HTTP", "RTSP"][protocol]);
                times.push(found);
            }
        }
        for (protocol, times) in ["HTTP", "RTSP/TCP"].iter().zip(&times) {
            let median = |n: usize| quantile(&mut times.iter().map(|run| run[n]).collect::<Vec<_>>(), 0.5);
            let jumps = (1..=JUMPS.len()).map(|n| format!("{:.2}", median(n))).collect::<Vec<_>>().join(", ");
            println!("| {name} | {protocol} | {:.2} | {jumps} |", median(0));
        }
    }
}

fn url(playswarm: &Playswarm, rtsp: bool) -> String {
    match rtsp {
        true => film::rtsp_url(&playswarm.process),
        false => format!("http://{}{}", playswarm.url().addr, playswarm.url().path),
    }
}

fn with_mpv(swarm: &Swarm, folder: &Path, url: &str) -> Vec<f64> {
    let mut command = swarm.net.place("viewer").command("mpv");
    command.arg("--rtsp-transport=tcp");
    let times = mpv::play(command, folder, url, &JUMPS, GAP_S);
    assert_eq!(times.jumps.len(), JUMPS.len());
    [vec![times.first], times.jumps].concat()
}

/// Starts FFmpeg anew for each picture, from its start to its end.
fn with_ffmpeg(swarm: &Swarm, _folder: &Path, url: &str) -> Vec<f64> {
    let run = |at: Option<f64>| {
        let mut command = swarm.net.place("viewer").command("ffmpeg");
        command.args(["-v", "error"]);
        if url.starts_with("rtsp") {
            command.args(["-rtsp_transport", "tcp"]);
        }
        if let Some(at) = at {
            command.args(["-ss", &at.to_string()]);
        }
        let start = Instant::now();
        let status = command.args(["-i", url, "-map", "0:v", "-frames:v", "1", "-f", "null", "-"]).status().unwrap();
        assert!(status.success());
        start.elapsed().as_secs_f64()
    };
    [None].into_iter().chain(JUMPS.map(Some)).map(run).collect()
}
