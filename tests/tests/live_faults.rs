//! Live channels when lines and machines fail: a cable is pulled, the source's network drops, a laptop sleeps. Real
//! processes on a shaped network; players that notice each packet that is missing.
#![allow(clippy::unwrap_used)]

use playswarm_tests::http::{self, Url};
use playswarm_tests::live_stream::{Checker, Maker};
use playswarm_tests::netlab::{Link, Net};
use playswarm_tests::playswarm::{Builder, Playswarm};
use playswarm_tests::{requirement, wait_for};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Rate of the stream in bytes per second.
const RATE: u64 = 25_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// A source that feeds two, and viewers that feed as many.
struct Stage {
    begun: Instant,
    is_over: Arc<AtomicBool>,
    viewers: Vec<Viewer>,
    net: Net,
}

struct Viewer {
    program: Playswarm,
    url: Url,
    checker: Arc<Mutex<Checker>>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Stage {
    /// `None` where the machine lacks something.
    fn new(viewers: usize) -> Option<Stage> {
        if !requirement::network() {
            return None;
        }
        let names: Vec<String> = (0..viewers).map(|n| format!("v{n}")).collect();
        let line = Link { delay_ms: 10.0, ..Link::default() };
        let hosts = ["source"].into_iter().chain(names.iter().map(String::as_str)).map(|name| (name, line));
        let net = Net::new(&hosts.collect::<Vec<_>>());
        let upload = ((2.2 * 1.35 * RATE as f64) as u64).to_string();
        let (begun, is_over) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let cast = Builder::cast().place(net.place("source"), net.addr("source", 6881));
        let cast = cast.argument("--rate").argument(&RATE.to_string());
        let mut source = cast.argument("--up-limit").argument(&upload).spawn();
        let link = source.process.expect_line(0, PATIENCE, |line| line.strip_prefix("link: ").map(str::to_owned));
        let mut input = source.process.take_stdin();
        let over = is_over.clone();
        std::thread::spawn(move || {
            let mut maker = Maker::new(RATE, 1.0);
            while !over.load(Ordering::Relaxed) && input.write_all(&maker.due(begun.elapsed())).is_ok() {
                sleep(Duration::from_millis(20));
            }
            drop(source);
        });
        sleep(Duration::from_secs(2));
        let view = |name: &String| {
            let watch = Builder::watch(&link).place(net.place(name), net.addr(name, 6881));
            let program = watch.argument("--up-limit").argument(&upload).start();
            let (url, place) = (program.url(), net.place(name));
            let checker = Arc::new(Mutex::new(Checker::new(RATE, begun)));
            let (into, over, from) = (checker.clone(), is_over.clone(), url.clone());
            std::thread::spawn(move || {
                let mut stream = http::request(&place, "GET", &from, &[]).unwrap();
                let mut buffer = vec![0; 64 << 10];
                while !over.load(Ordering::Relaxed)
                    && let Ok(n) = stream.read(&mut buffer)
                    && n > 0
                {
                    into.lock().unwrap().take(&buffer[..n], Instant::now());
                }
            });
            Viewer { program, url, checker }
        };
        let viewers = names.iter().map(view).collect();
        Some(Stage { begun, is_over, viewers, net })
    }

    fn status(&self, viewer: usize) -> serde_json::Value {
        let place = self.net.place(&format!("v{viewer}"));
        let answer = http::request(&place, "GET", &self.viewers[viewer].url.at("/status"), &[]).unwrap();
        serde_json::from_str(&answer.text().unwrap()).unwrap()
    }

    fn children(&self, viewer: usize) -> u64 {
        self.status(viewer)["children"].as_u64().unwrap()
    }

    /// Returns the viewer that feeds most.
    fn busiest(&self) -> usize {
        let all = 0..self.viewers.len();
        wait_for("a viewer that feeds others", PATIENCE, || {
            let (children, viewer) = all.clone().map(|n| (self.children(n), n)).max().unwrap();
            (children > 1).then_some(viewer)
        })
    }

    /// Waits until a viewer's player has what is made from now on.
    fn wait_present(&self, viewer: usize) {
        let now = self.begun.elapsed();
        wait_for(&format!("viewer {viewer}'s next packets"), PATIENCE, || {
            let checker = self.viewers[viewer].checker.lock().unwrap();
            checker.newest().is_some_and(|made| made > now).then_some(())
        });
    }

    /// Returns the packets that were lost, came again, or were damaged.
    fn faults(&self, viewer: usize) -> (u64, u64, u64) {
        let checker = self.viewers[viewer].checker.lock().unwrap();
        (checker.lost, checker.repeated, checker.damaged)
    }

    /// Checks that a viewer goes on at the present, and that its player missed no more than an interruption
    /// of this length: what a line cannot catch up in a moment is skipped.
    #[track_caller]
    fn assert_goes_on(&self, viewer: usize, interruption: Duration) {
        self.wait_present(viewer);
        let (lost, repeated, damaged) = self.faults(viewer);
        assert_eq!((repeated, damaged), (0, 0), "viewer {viewer}");
        let lost_s = (lost * 188) as f64 / RATE as f64;
        assert!(lost_s <= interruption.as_secs_f64() + 4.0, "viewer {viewer} lost {lost_s} s");
    }

    fn others(&self, than: usize) -> impl Iterator<Item = usize> {
        (0..self.viewers.len()).filter(move |viewer| *viewer != than)
    }
}

#[test]
fn a_relay_whose_cable_is_pulled_costs_nobody_a_byte() {
    let Some(stage) = Stage::new(5) else { return };
    let victim = stage.busiest();
    stage.net.cut(&format!("v{victim}"));
    sleep(Duration::from_secs(4));
    for viewer in stage.others(victim) {
        stage.wait_present(viewer);
        assert_eq!(stage.faults(viewer), (0, 0, 0), "viewer {viewer}");
    }
    // What it missed is still in the others' back buffers.
    stage.net.mend(&format!("v{victim}"));
    stage.wait_present(victim);
    assert_eq!(stage.faults(victim), (0, 0, 0));
}

#[test]
fn viewers_go_on_after_the_source_was_offline() {
    let Some(stage) = Stage::new(3) else { return };
    (0..3).for_each(|viewer| stage.wait_present(viewer));
    let offline = Duration::from_secs(8);
    stage.net.cut("source");
    sleep(offline);
    stage.net.mend("source");
    (0..3).for_each(|viewer| stage.assert_goes_on(viewer, offline));
}

#[test]
fn a_viewer_that_slept_goes_on_at_the_present_and_harms_nobody() {
    let Some(stage) = Stage::new(5) else { return };
    let sleeper = stage.busiest();
    let process = &stage.viewers[sleeper].program.process;
    process.suspend();
    let asleep = Duration::from_secs(35);
    sleep(asleep);
    process.resume();
    stage.assert_goes_on(sleeper, asleep);
    for viewer in stage.others(sleeper) {
        stage.wait_present(viewer);
        assert_eq!(stage.faults(viewer), (0, 0, 0), "viewer {viewer}");
    }
}

#[test]
fn two_halves_of_a_network_that_was_cut_in_two_find_each_other_again() {
    let Some(stage) = Stage::new(5) else { return };
    (0..5).for_each(|viewer| stage.wait_present(viewer));
    // All but one are without the source, and without each other.
    let away = [1, 2, 3, 4].map(|viewer| format!("v{viewer}"));
    away.iter().for_each(|host| stage.net.cut(host));
    let apart = Duration::from_secs(6);
    sleep(apart);
    stage.wait_present(0);
    away.iter().for_each(|host| stage.net.mend(host));
    (0..5).for_each(|viewer| stage.assert_goes_on(viewer, apart));
}
