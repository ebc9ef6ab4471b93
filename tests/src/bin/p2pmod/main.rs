//! P2PMoD's own experiment, with real processes on a shaped network: one origin, 70 viewers, a film
//! of ten minutes at 40 kB/s. It measures start delay, stalls, unused data, and the load on the
//! origin.
//!
//!     cargo run --release -p playswarm-tests --bin p2pmod -- --json run.json
//!
//! This file has the sequence of a run; the files beside it have its parts.
#![allow(clippy::unwrap_used)]

mod options;
mod picture;
mod report;
mod scene;
mod table;
mod viewer;

use anyhow::{Context, Result, bail};
use clap::Parser;
use options::{Options, Origin};
use playswarm_tests::content::mix;
use playswarm_tests::figures::{self, Ticks, Watch};
use playswarm_tests::reader::Player;
use playswarm_tests::{playswarm, requirement};
use report::{Report, ViewerReport};
use scene::{ORIGIN, Scene};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use viewer::Stage;

/// Time before the first viewer arrives, for the origin's announce.
const SETTLE: Duration = Duration::from_secs(3);

/// Set by Ctrl-C and SIGTERM: everything ends and is cleaned up.
static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> Result<()> {
    let options = Options::parse();
    options.check()?;
    let report = match &options.from {
        Some(path) => {
            let text = figures::read(path)?;
            serde_json::from_str(&text).with_context(|| format!("{} contains no figures of a run.", path.display()))?
        }
        None => run(&options)?,
    };
    print!("{}", table::text(&report));
    if let Some(path) = &options.json {
        figures::write(path, &serde_json::to_string(&report)?)?;
    }
    if let Some(path) = &options.markdown {
        figures::write_into(path, &table::markdown(&report))?;
    }
    if let Some(path) = &options.svg {
        figures::write(path, &picture::svg(&report))?;
    }
    if !report.failed.is_empty() {
        bail!("{} of the viewers failed.", report.failed.len());
    }
    Ok(())
}

fn run(options: &Options) -> Result<Report> {
    if !requirement::network() {
        bail!("The experiment needs a private network, and cannot create one.");
    }
    let python = !options.no_dht && options.dht > 0 || options.origin == Origin::Libtorrent;
    if python && !requirement::libtorrent() {
        bail!("The DHT's nodes and the origin libtorrent are Python; use --no-dht and --origin playswarm without it.");
    }
    let program = options.program.clone().unwrap_or_else(playswarm::binary);
    if !program.is_file() {
        bail!("There is no program {}.", program.display());
    }
    if let Some(dir) = &options.log_dir {
        std::fs::create_dir_all(dir).with_context(|| format!("Can't make {}.", dir.display()))?;
    }
    stop_on_signals()?;
    eprintln!("{} hosts, a film of {} bytes …", options.viewers + 2, options.film_bytes());
    let scene = Scene::new(options)?;
    std::thread::sleep(SETTLE);
    let player = Player { bytes_per_s: options.rate, buffer_s: options.buffer };
    let (begun, log_dir) = (Instant::now(), options.log_dir.as_deref());
    let stage = Stage { scene: &scene, player, begun, stop: &STOP, log_dir };
    let (before, settled) = (Ticks::now(), scene.net.traffic(ORIGIN).sent_bytes);
    let own_before = figures::cpu_of(std::process::id()).unwrap_or_default();
    let mut watch = Watch::new(settled);
    let (mut viewers, failed) = play(&stage, &arrivals(options), &mut watch);
    if STOP.load(Ordering::Relaxed) {
        bail!("The experiment was stopped.");
    }
    viewers.sort_by_key(|viewer| viewer.number);
    let pid = scene.origin().id();
    let origin_cpu_s = figures::cpu_of(pid).unwrap_or_default().as_secs_f64();
    if let Some(dir) = log_dir {
        let _ = std::fs::write(dir.join("origin.log"), scene.origin().stderr().join("\n"));
    }
    let first = viewers.iter().map(|v| v.arrived_s).fold(f64::INFINITY, f64::min);
    let last = viewers.iter().map(|v| v.left_s).fold(0.0, f64::max);
    Ok(Report {
        options: Report::describe(options),
        rate: options.rate,
        seconds: (last - first).max(0.0),
        origin_traffic: scene.net.traffic(ORIGIN).into(),
        origin_seconds: watch.seconds,
        failed,
        idle: Ticks::now().idle_since(before),
        niced: Ticks::now().niced_since(before),
        least_idle: watch.least_idle,
        cpu_s: viewers.iter().map(|v| v.cpu_s).sum::<f64>() + origin_cpu_s,
        harness_cpu_s: (figures::cpu_of(std::process::id()).unwrap_or_default() - own_before).as_secs_f64(),
        origin_cpu_s,
        origin_memory_bytes: figures::peak_memory_of(pid).unwrap_or(0),
        dht_cpu_s: scene.dht().and_then(|dht| figures::cpu_of(dht.id())).unwrap_or_default().as_secs_f64(),
        viewers,
    })
}

/// Runs a viewer from each arrival time on, until all are gone. Returns their reports, and an error
/// for each that failed.
fn play(stage: &Stage<'_>, arrivals: &[Duration], watch: &mut Watch) -> (Vec<ViewerReport>, Vec<String>) {
    let begun = stage.begun;
    let viewers = Mutex::new(Vec::<ViewerReport>::new());
    let mut failed = Vec::new();
    std::thread::scope(|scope| {
        let lives: Vec<_> = arrivals
            .iter()
            .enumerate()
            .map(|(number, arrival)| {
                let viewers = &viewers;
                scope.spawn(move || {
                    if let Some(report) = stage.live(number, *arrival) {
                        viewers.lock().unwrap().push(report);
                    }
                })
            })
            .collect();
        while lives.iter().any(|life| !life.is_finished()) {
            watch.second(begun, || stage.scene.net.traffic(ORIGIN).sent_bytes);
            if watch.seconds.len().is_multiple_of(60) {
                let gone = viewers.lock().unwrap().len();
                let come = arrivals.iter().filter(|arrival| **arrival < begun.elapsed()).count();
                eprintln!("{:>4} s: {come} have come, {gone} have gone", begun.elapsed().as_secs());
            }
        }
        for (number, life) in lives.into_iter().enumerate() {
            if let Err(panic) = life.join() {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                failed.push(format!("viewer {number}: {}", text.unwrap_or_default()));
            }
        }
    });
    (viewers.into_inner().unwrap(), failed)
}

/// Returns the arrival times of the viewers. The first arrives at once, the others after
/// exponentially distributed pauses (a Poisson process). The mean is set so that the last arrives
/// at about `spread`.
fn arrivals(options: &Options) -> Vec<Duration> {
    let mean = options.spread / (options.viewers.max(2) - 1) as f64;
    let mut at = 0.0;
    let mut dice = mix(options.seed);
    let mut arrivals = vec![Duration::ZERO];
    while arrivals.len() < options.viewers {
        dice = mix(dice);
        let chance = ((dice >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        at += -mean * chance.ln();
        arrivals.push(Duration::from_secs_f64(at));
    }
    arrivals
}

fn stop_on_signals() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            eprintln!("stopping …");
            STOP.store(true, Ordering::Relaxed);
        });
    });
    Ok(())
}
