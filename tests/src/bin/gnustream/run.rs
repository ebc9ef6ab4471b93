//! One experiment: its network, its senders, the receiver and the player, and what is measured.

use crate::options::{Experiment, Options};
use crate::report::Run;
use anyhow::{Context, Result};
use playswarm_tests::netlab::{Link, Net};
use playswarm_tests::nginx::Nginx;
use playswarm_tests::playswarm::{Builder, Playswarm, STARTUP, Status};
use playswarm_tests::reader::{CheckedReader, Player, Session};
use playswarm_tests::torrent::TestTorrent;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const VIEWER: &str = "viewer";
/// Number of senders that are used from the start. A further one is a standby.
const FIRST: usize = 3;
/// Time between two looks at the status.
const LOOK: Duration = Duration::from_millis(40);
/// Seconds of the clip that the player buffers before it begins.
const BUFFER_S: f64 = 2.0;
/// Rate of a sender that was throttled, kB/s.
const THROTTLED: f64 = 10.0;
/// Time after which the program must know the wait that slow senders demand, seconds.
const KNOWN_S: f64 = 8.0;
/// Bytes that show that a host sends data, and not only the refusal of a connection.
const DATA_BYTES: u64 = 500;
/// Time without data after which a killed sender has sent all that it had written.
const STILL: Duration = Duration::from_millis(400);
/// Time over which a rate is taken, seconds: senders of four blocks a second deliver these unevenly.
const MEAN_S: f64 = 2.0;

/// Everything that exists before the receiver starts. Processes end before their network.
pub(crate) struct Scene<'a> {
    which: Experiment,
    options: &'a Options,
    clip: &'a TestTorrent,
    program: &'a Path,
    /// The torrent file of the clip.
    file: PathBuf,
    senders: Mutex<Vec<Nginx>>,
    folder: tempfile::TempDir,
    net: Net,
}

/// A look at the status.
struct Look {
    /// Seconds since the player's request.
    at_s: f64,
    status: Status,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(which: Experiment, options: &'a Options, clip: &'a TestTorrent, program: &'a Path) -> Scene<'a> {
        let names: Vec<String> = (0..which.senders()).map(sender).collect();
        let mut hosts: Vec<(&str, Link)> = vec![(VIEWER, options.viewer_link())];
        hosts.extend(names.iter().map(|name| (name.as_str(), options.sender_link())));
        let net = Net::new(&hosts);
        let start = |name: &String| Nginx::at(&net.place(name), net.addr(name, 80), &clip.data(), "");
        let senders = Mutex::new(names.iter().map(start).collect());
        Scene { which, options, clip, program, file: clip.file(), senders, folder: tempfile::tempdir().unwrap(), net }
    }

    /// Runs the experiment to the end of the clip.
    pub(crate) fn play(self) -> Result<Run> {
        let settings = self.folder.path().join("settings.json");
        std::fs::write(&settings, json!({ "advanced": { "sources": { "first": FIRST } } }).to_string())?;
        let mut builder = Builder::stream(&self.file)
            .binary(self.program)
            .place(self.net.place(VIEWER), self.net.addr(VIEWER, 6881))
            .argument("--config")
            .argument(&settings.to_string_lossy());
        for nginx in self.senders.lock().unwrap().iter() {
            builder = builder.argument("--mirror").argument(&format!("{}/{}", nginx.origin, self.clip.name));
        }
        let spawned = Instant::now();
        let mut program = builder.spawn();
        program.wait_url(STARTUP);
        let reader = CheckedReader::new(&program, self.clip.content(0));
        let player = Player { bytes_per_s: self.options.rate, buffer_s: self.buffer_s() };
        let (looks, done) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        let asked = Instant::now();
        let (session, drained_s) = std::thread::scope(|scope| {
            scope.spawn(|| self.look(&program, asked, &looks, &done));
            let failing = scope.spawn(|| self.fail(asked, &done));
            let session = player.watch(&reader, 0, f64::INFINITY);
            done.store(true, Ordering::Relaxed);
            (session, failing.join().unwrap())
        });
        if let Some(dir) = &self.options.log_dir {
            let log = program.process.stderr().join("\n");
            std::fs::write(dir.join(format!("{:?}.log", self.which)), log).context("Can't write a log.")?;
        }
        let mut looks = looks.into_inner().unwrap();
        looks.push(Look { at_s: asked.elapsed().as_secs_f64(), status: program.status() });
        Ok(self.figures(&session, &looks, (session.asked - spawned).as_secs_f64(), drained_s))
    }

    /// Returns the seconds of film with which the player begins. A patient one has waited as long as
    /// two senders demand, and a tenth, which is how precise the figure must be.
    fn buffer_s(&self) -> f64 {
        if self.which != Experiment::Patient {
            return BUFFER_S;
        }
        let senders = self.which.senders();
        1.1 * self.options.wait_s(senders) * self.options.sender * 1000.0 * senders as f64 / self.options.rate as f64
    }

    fn look(&self, program: &Playswarm, asked: Instant, looks: &Mutex<Vec<Look>>, done: &AtomicBool) {
        while !done.load(Ordering::Relaxed) {
            if let Some(status) = program.try_status() {
                looks.lock().unwrap().push(Look { at_s: asked.elapsed().as_secs_f64(), status });
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Lets the first sender fail. Returns the time for which it still delivers: the system sends what a
    /// killed server has written.
    fn fail(&self, asked: Instant, done: &AtomicBool) -> f64 {
        while !done.load(Ordering::Relaxed) && asked.elapsed().as_secs_f64() < self.options.failure {
            std::thread::sleep(Duration::from_millis(1));
        }
        match self.which {
            Experiment::Killed => {
                self.senders.lock().unwrap()[0].kill();
                return self.drain(&sender(0));
            }
            Experiment::Pulled => self.net.cut(&sender(0)),
            Experiment::Throttled => {
                self.net.set(&sender(0), |link| link.up_kbit = Options::uplink(THROTTLED));
            }
            _ => {}
        }
        0.0
    }

    /// Waits until a host has sent no data for a moment. Returns the time until then in seconds.
    fn drain(&self, host: &str) -> f64 {
        let began = Instant::now();
        let sent = || self.net.traffic(host).sent_bytes;
        let (mut before, mut last) = (sent(), began);
        while last.elapsed() < STILL {
            std::thread::sleep(Duration::from_millis(5));
            let now = sent();
            if now - before >= DATA_BYTES {
                (before, last) = (now, Instant::now());
            }
        }
        (last - began).as_secs_f64()
    }

    fn figures(&self, session: &Session, looks: &[Look], before_s: f64, drained_s: f64) -> Run {
        let last = &looks.last().expect("one look is taken at the end").status;
        let total = self.clip.total();
        let complete = looks.iter().find(|look| look.status.verified_bytes == total).map(|look| look.at_s);
        let standby = |look: &&Look| look.status.sources.get(FIRST).is_some_and(|source| source.state != "standby");
        let failure = self.options.failure + drained_s;
        let dialled = self.which.fails().then(|| looks.iter().find(standby).map(|look| look.at_s)).flatten();
        let noticed = dialled.map(|at| at - failure);
        let recovered = dialled.and_then(|from| self.recovered(looks, from)).zip(dialled).map(|(at, from)| at - from);
        let wait = |look: &Look| look.status.playhead.and_then(|playhead| playhead.initial_buffering_s);
        let early: Vec<f64> = looks.iter().filter(|look| (look.at_s - KNOWN_S).abs() < 0.5).filter_map(wait).collect();
        Run {
            which: self.which,
            first_byte_s: session.first_byte.map(|first| first.as_secs_f64()),
            before_s,
            limit_s: self.options.limit_s(self.which.senders().min(FIRST)),
            start_s: session.began.then_some(session.playback.start.as_secs_f64()),
            stalls: session.stalls.iter().map(|(at_s, for_s, _)| (*at_s, *for_s)).collect(),
            complete_s: complete,
            rate: complete.map(|at| total as f64 / (at + before_s)),
            senders: last.sources.iter().map(|source| source.downloaded_bytes).collect(),
            lanes: looks.iter().map(|look| look.status.sources.iter().map(|s| s.lanes).sum()).max().unwrap_or(0),
            duplicate_share: last.waste.duplicate_bytes as f64 / last.downloaded_bytes.max(1) as f64,
            drained_s,
            noticed_s: noticed,
            recovered_s: recovered,
            initial_buffering_s: (!early.is_empty()).then(|| early.iter().sum::<f64>() / early.len() as f64),
            initial_buffering_range: early.iter().copied().fold(None, |range: Option<(f64, f64)>, s| {
                Some(range.map_or((s, s), |(least, most)| (least.min(s), most.max(s))))
            }),
            error: session.end.as_ref().err().map(ToString::to_string),
        }
    }

    /// Returns the time from `from` on at which the clip's rate arrives again.
    fn recovered(&self, looks: &[Look], from: f64) -> Option<f64> {
        let enough = |look: &&Look| {
            let later = looks.iter().find(|later| later.at_s >= look.at_s + MEAN_S);
            later.is_some_and(|later| {
                let bytes = later.status.downloaded_bytes - look.status.downloaded_bytes;
                bytes as f64 >= self.options.rate as f64 * (later.at_s - look.at_s)
                    || later.status.verified_bytes == self.clip.total()
            })
        };
        looks.iter().filter(|look| look.at_s >= from).find(enough).map(|look| look.at_s)
    }
}

fn sender(n: usize) -> String {
    format!("sender{n}")
}
