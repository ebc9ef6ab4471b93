//! One viewer: it arrives, starts the program, plays the film from beginning to end, and leaves.

use crate::report::{Sample, Stall, ViewerReport};
use crate::scene::Scene;
use playswarm_tests::figures;
use playswarm_tests::playswarm::{Playswarm, STARTUP, Status};
use playswarm_tests::reader::{CheckedReader, Player};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Time between two samples of `/status`. Connections that open and close between them are missed.
const LOOK: Duration = Duration::from_secs(5);
/// Longest time that the program may take to exit.
const LEAVE: Duration = Duration::from_secs(10);

/// The data shared by all viewers.
pub(crate) struct Stage<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) player: Player,
    /// Start of the experiment.
    pub(crate) begun: Instant,
    pub(crate) stop: &'a AtomicBool,
    pub(crate) log_dir: Option<&'a Path>,
}

impl Stage<'_> {
    fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Waits, unless everything is being stopped. Returns whether to continue.
    pub(crate) fn wait(&self, until: Duration) -> bool {
        while !self.stop.load(Ordering::Relaxed) {
            let left = until.saturating_sub(self.begun.elapsed());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(Duration::from_millis(200)));
        }
        false
    }

    /// Runs a viewer that arrives at `arrival` after the start. Returns `None` if the experiment
    /// was stopped.
    pub(crate) fn live(&self, number: usize, arrival: Duration) -> Option<ViewerReport> {
        if !self.wait(arrival) {
            return None;
        }
        let mut report = ViewerReport { number, arrived_s: self.seconds(), ..ViewerReport::default() };
        let spawned = Instant::now();
        let mut program = self.scene.viewer(number).spawn();
        program.wait_url(STARTUP);
        report.url_s = spawned.elapsed().as_secs_f64();
        let heard = Mutex::new(Heard::default());
        let done = AtomicBool::new(false);
        let reader = CheckedReader::new(&program, self.scene.torrent.content(0));
        let session = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) && !self.stop.load(Ordering::Relaxed) {
                    heard.lock().unwrap().hear(self, &program);
                    let next = Instant::now() + LOOK;
                    while !done.load(Ordering::Relaxed) && Instant::now() < next {
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
            });
            let session = self.player.watch(&reader, 0, f64::INFINITY);
            if session.end.is_ok() {
                // All data has arrived but is not yet watched. The viewer remains a peer until
                // then.
                self.wait(self.begun.elapsed() + Duration::from_secs_f64(session.ahead_s.max(0.0)));
            }
            done.store(true, Ordering::Relaxed);
            session
        });
        let mut heard = heard.into_inner().unwrap();
        heard.hear(self, &program);
        report.left_s = self.seconds();
        if session.began {
            let start = session.playback.start.as_secs_f64();
            report.start_s = Some(start);
            report.start_from_process_s = Some((session.asked - spawned).as_secs_f64() + start);
        }
        report.first_byte_s = session.first_byte.map(|first| first.as_secs_f64());
        report.stalls = session
            .stalls
            .iter()
            .map(|(at_s, for_s, byte)| Stall { at_s: *at_s, for_s: *for_s, byte: *byte })
            .collect();
        report.played_s = session.shown_s;
        report.ended_badly = session.end.err().map(|e| e.to_string());
        heard.tell(self, &mut report);
        let pid = program.process.id();
        report.cpu_s = figures::cpu_of(pid).unwrap_or_default().as_secs_f64();
        report.memory_bytes = figures::peak_memory_of(pid).unwrap_or(0);
        report.traffic = self.scene.net.traffic(&crate::scene::host_of(number)).into();
        self.leave(number, program);
        Some(report)
    }

    /// Sends Ctrl-C, so that the tracker receives the stop announce.
    fn leave(&self, number: usize, mut program: Playswarm) {
        program.process.interrupt();
        let end = Instant::now() + LEAVE;
        while program.process.ended().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
        if let Some(dir) = self.log_dir {
            let _ = std::fs::write(dir.join(format!("viewer{number}.log")), program.process.stderr().join("\n"));
        }
    }
}

/// The information from `/status` samples.
#[derive(Default)]
struct Heard {
    last: Option<Status>,
    /// Payload per connection, and how the program found the peer.
    gave: BTreeMap<SocketAddr, Given>,
    samples: Vec<Sample>,
}

#[derive(Default)]
struct Given {
    /// Payload from closed connections of this address.
    before: u64,
    now: u64,
    origin: String,
}

impl Heard {
    fn hear(&mut self, stage: &Stage<'_>, program: &Playswarm) {
        let Some(status) = program.try_status() else { return };
        for peer in &status.peers {
            let given = self.gave.entry(peer.addr).or_default();
            if peer.downloaded_bytes < given.now {
                given.before += given.now;
            }
            given.now = peer.downloaded_bytes;
            given.origin.clone_from(&peer.origin);
        }
        self.samples.push(Sample {
            at_s: stage.seconds(),
            peers: status.peers.len(),
            verified_bytes: status.verified_bytes,
            downloaded_bytes: status.downloaded_bytes,
            uploaded_bytes: status.uploaded_bytes,
            origin_bytes: self.of_origin(stage),
            ahead_bytes: status.readers.iter().map(|r| r.ahead_bytes).max().unwrap_or(0),
        });
        self.last = Some(status);
    }

    fn of_origin(&self, stage: &Stage<'_>) -> u64 {
        let origin = stage.scene.origin_ip();
        self.gave.iter().filter(|(addr, _)| addr.ip() == origin).map(|(_, given)| given.before + given.now).sum()
    }

    fn tell(self, stage: &Stage<'_>, report: &mut ViewerReport) {
        report.origin_bytes = self.of_origin(stage);
        for given in self.gave.into_values() {
            *report.bytes_by_finding.entry(given.origin).or_default() += given.before + given.now;
        }
        if let Some(status) = self.last {
            report.received_bytes = status.downloaded_bytes;
            report.sent_bytes = status.uploaded_bytes;
            report.duplicate_bytes = status.waste.duplicate_bytes;
            report.wasted_bytes = status.waste.total() + status.waste.forgotten_bytes;
            report.verified_bytes = status.verified_bytes;
        }
        report.samples = self.samples;
    }
}
