//! Live channels with real processes on a shaped network: what a viewer waits for, how old its stream
//! is, what kills and churn do to it, and what the source sends.
//!
//!     cargo run --release -p playswarm-tests --bin live_figures -- --viewers 20 --json runs.jsonl
//!
//! This file has the sequence of a run; the files beside it have its parts.
#![allow(clippy::unwrap_used)]

mod crowd;
mod options;
mod picture;
mod report;
mod table;

use anyhow::{Context, Result, bail};
use clap::Parser;
use crowd::{Crowd, SOURCE, Status};
use options::{Kill, Options};
use playswarm_tests::content::mix;
use playswarm_tests::figures::{self, Ticks, Watch, cpu_of, peak_memory_of};
use playswarm_tests::requirement;
use report::{Killed, Report, Viewer};
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Time between the last arrival and the first kill, and between two kills.
const SETTLE_S: f64 = 10.0;
/// Time in which a viewer's stripes are looked at after a kill, and how often.
const LOOK: Duration = Duration::from_secs(4);
const LOOK_EVERY: Duration = Duration::from_millis(40);

fn main() -> Result<()> {
    let options = Options::parse();
    options.check()?;
    if let Some(starts) = options.mpv {
        return picture::run(&options, starts);
    }
    let reports = match &options.from {
        Some(path) => {
            let text = figures::read(path)?;
            text.lines().map(serde_json::from_str).collect::<Result<Vec<Report>, _>>()?
        }
        None => vec![run(&options)?],
    };
    print!("{}", table::markdown(&reports));
    if let Some(path) = options.json.as_ref().filter(|_| options.from.is_none()) {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        writeln!(file, "{}", serde_json::to_string(&reports[0])?)?;
    }
    if let Some(path) = &options.markdown {
        figures::write_into(path, &table::markdown(&reports))?;
    }
    let failed: Vec<&String> = reports.iter().flat_map(|report| &report.failed).collect();
    if !failed.is_empty() {
        bail!("{} viewers failed: {failed:?}", failed.len());
    }
    Ok(())
}

fn run(options: &Options) -> Result<Report> {
    if !requirement::network() {
        bail!("The experiment needs a private network, and cannot create one.");
    }
    if let Some(dir) = &options.log_dir {
        std::fs::create_dir_all(dir).with_context(|| format!("Can't make {}.", dir.display()))?;
    }
    let mut crowd = Crowd::new(options)?;
    let input = crowd.source.process.take_stdin();
    let (viewers, failed, kills) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let (ticks, mut watch) = (Ticks::now(), Watch::new(crowd.net.traffic(SOURCE).sent_bytes));
    crowd.begun = Instant::now();
    let pid = crowd.source.process.id();
    let (mut cpu, mut memory) = (0.0, 0);
    std::thread::scope(|scope| {
        let crowd = &crowd;
        scope.spawn(move || crowd.feed(input));
        for at in 0..options.viewers {
            let (viewers, failed) = (&viewers, &failed);
            scope.spawn(move || come_and_go(crowd, at, viewers, failed));
        }
        let kills = &kills;
        scope.spawn(move || *kills.lock().unwrap() = kill(crowd));
        while crowd.seconds() < options.minutes * 60.0 {
            watch.second(crowd.begun, || crowd.net.traffic(SOURCE).sent_bytes);
        }
        cpu = cpu_of(pid).unwrap_or_default().as_secs_f64();
        memory = peak_memory_of(pid).unwrap_or(0);
        crowd.over.store(true, Ordering::Relaxed);
    });
    let mut viewers: Vec<Viewer> = viewers.into_inner()?;
    viewers.sort_by(|a, b| a.arrived_s.total_cmp(&b.arrived_s));
    Ok(Report {
        name: options.name.clone(),
        options: serde_json::to_value(options)?,
        rate: options.rate,
        parity: options.parity(),
        seconds: crowd.seconds(),
        viewers,
        kills: kills.into_inner()?,
        source_seconds: watch.seconds,
        source_cpu_s: cpu,
        source_memory_bytes: memory,
        failed: failed.into_inner()?,
        idle: Ticks::now().idle_since(ticks),
        least_idle: watch.least_idle,
    })
}

/// Viewers of one host, one after the other.
fn come_and_go(crowd: &Crowd<'_>, at: usize, viewers: &Mutex<Vec<Viewer>>, failed: &Mutex<Vec<String>>) {
    let options = crowd.options;
    // The stream runs for a while before the first viewer comes.
    let mut arrival = 3.0 + options.spread * at as f64 / options.viewers as f64;
    let mut dice = mix(options.seed << 16 | at as u64);
    while crowd.wait(arrival) {
        dice = mix(dice);
        let unit = ((dice >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
        let stay_s = if options.stay > 0.0 { -unit.ln() * options.stay * 60.0 } else { f64::INFINITY };
        let (gone, until_s) = (AtomicBool::new(false), crowd.seconds() + stay_s);
        std::thread::scope(|scope| {
            let gone = &gone;
            if stay_s.is_finite() {
                scope.spawn(move || {
                    while !gone.load(Ordering::Relaxed) && crowd.seconds() < until_s && !crowd.is_over() {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    if !gone.load(Ordering::Relaxed) && !crowd.is_over() {
                        crowd.kill(at);
                    }
                });
            }
            match crowd.view(at, f64::INFINITY) {
                Ok(viewer) => viewers.lock().unwrap().push(viewer),
                Err(e) => failed.lock().unwrap().push(format!("{e:#}")),
            }
            gone.store(true, Ordering::Relaxed);
        });
        arrival = crowd.seconds() + 0.2;
    }
}

/// Kills those whom the options name, and looks at the others.
fn kill(crowd: &Crowd<'_>) -> Vec<Killed> {
    let options = crowd.options;
    let all = options.viewers;
    let victims: Vec<Vec<usize>> = match options.kill {
        Kill::Nobody => return Vec::new(),
        Kill::Each => (0..all).map(|at| vec![at]).collect(),
        Kill::Tenth => vec![(0..all).filter(|at| at % 10 == 3).collect()],
    };
    let mut kills = Vec::new();
    let mut at_s = 3.0 + options.spread + SETTLE_S;
    for hosts in victims {
        if !crowd.wait(at_s) {
            break;
        }
        let killed_at = crowd.seconds();
        let pause = Duration::from_secs_f64(0.9 / hosts.len() as f64);
        let repaired = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for at in (0..all).filter(|at| !hosts.contains(at)) {
                let repaired = &repaired;
                scope.spawn(move || repaired.lock().unwrap().extend(repair_time(crowd, at)));
            }
            for at in &hosts {
                crowd.kill(*at);
                if hosts.len() > 1 {
                    std::thread::sleep(pause);
                }
            }
        });
        kills.push(Killed { at_s: killed_at, hosts, repaired_s: repaired.into_inner().unwrap() });
        at_s = crowd.seconds() + SETTLE_S / 2.0;
    }
    kills
}

/// Returns the seconds from the first look at which a viewer lacked a parent to the last, if it lacked
/// one.
fn repair_time(crowd: &Crowd<'_>, at: usize) -> Option<f64> {
    let url = crowd.present[at].lock().unwrap().as_ref().and_then(|viewer| viewer.url.clone())?;
    let place = crowd.net.place(&crowd::host(at));
    let begun = Instant::now();
    let mut lacked: Option<(Duration, Duration)> = None;
    while begun.elapsed() < LOOK {
        let status = Status::of(&place, &url)?;
        if !status.is_whole() {
            let since = lacked.map_or(begun.elapsed(), |(since, _)| since);
            lacked = Some((since, begun.elapsed()));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    lacked.map(|(since, last)| (last - since + LOOK_EVERY).as_secs_f64())
}
