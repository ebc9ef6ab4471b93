//! The channel: network, source, and viewers that come and go.

use crate::options::Options;
use crate::report::Viewer;
use anyhow::{Context, Result};
use playswarm_tests::figures::{cpu_of, peak_memory_of};
use playswarm_tests::http::{self, Url};
use playswarm_tests::live_stream::{Checker, Maker};
use playswarm_tests::netlab::{Link, Net};
use playswarm_tests::place::Place;
use playswarm_tests::playswarm::{Builder, Playswarm};
use serde::Deserialize;
use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub(crate) const SOURCE: &str = "source";
pub(crate) const PORT: u16 = 6881;
/// Share of its line that a program is told to use.
const LIMIT: f64 = 0.95;
/// Longest wait for the first byte.
const FIRST: Duration = Duration::from_secs(60);
/// Time between two writes of the source.
const STEP: Duration = Duration::from_millis(10);
/// Longest time that a program may take to leave.
const LEAVE: Duration = Duration::from_secs(5);

/// `/status` of a viewer as far as it is used here.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Status {
    pub(crate) stripes: usize,
    pub(crate) fed: usize,
    depth: usize,
    children: usize,
    restored: u64,
    first_packet_ms: Option<u64>,
}

impl Status {
    pub(crate) fn of(place: &Place, url: &Url) -> Option<Status> {
        let answer = http::request(place, "GET", &url.at("/status"), &[]).ok()?;
        serde_json::from_str(&answer.text().ok()?).ok()
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.stripes > 0 && self.fed == self.stripes
    }
}

/// What exists before the first viewer arrives. The source is dropped before the network.
pub(crate) struct Crowd<'a> {
    pub(crate) options: &'a Options,
    pub(crate) source: Playswarm,
    pub(crate) net: Net,
    pub(crate) link: String,
    /// Start of the stream.
    pub(crate) begun: Instant,
    /// Everything ends.
    pub(crate) over: AtomicBool,
    /// The viewers that are there, by host.
    pub(crate) present: Vec<Mutex<Option<Present>>>,
}

/// A viewer that is there.
pub(crate) struct Present {
    program: Playswarm,
    /// Where its server is, once it has the stream.
    pub(crate) url: Option<Url>,
    killed: bool,
}

pub(crate) fn host(viewer: usize) -> String {
    format!("v{viewer}")
}

impl<'a> Crowd<'a> {
    pub(crate) fn new(options: &'a Options) -> Result<Crowd<'a>> {
        let names: Vec<String> = (0..options.viewers).map(host).collect();
        let upload = options.line(options.copies);
        let away = Link { delay_ms: options.source_delay_ms.unwrap_or(options.delay_ms), ..options.link(upload, 0.0) };
        let mut hosts: Vec<(&str, Link)> = vec![(SOURCE, away)];
        let lines = names.iter().enumerate();
        hosts.extend(lines.map(|(i, name)| (name.as_str(), options.link(options.viewer_up(i), options.loss))));
        let net = Net::new(&hosts);
        let mut cast = Builder::cast().place(net.place(SOURCE), net.addr(SOURCE, PORT));
        cast = cast.argument("--rate").argument(&options.rate.to_string());
        if let Some((data, parity)) = options.stripes {
            cast = cast.argument("--stripes").argument(&format!("{data}+{parity}"));
        }
        let mut source = with_options(options, cast, upload).spawn();
        let limit = Duration::from_secs(10);
        let link = source.process.expect_line(0, limit, |line| line.strip_prefix("link: ").map(str::to_owned));
        let present = (0..options.viewers).map(|_| Mutex::new(None)).collect();
        Ok(Crowd { options, source, net, link, begun: Instant::now(), over: AtomicBool::new(false), present })
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits until this time of the stream. Returns whether it came before the end.
    pub(crate) fn wait(&self, until_s: f64) -> bool {
        while !self.is_over() {
            let left = until_s - self.seconds();
            if left <= 0.0 {
                return true;
            }
            std::thread::sleep(Duration::from_secs_f64(left.min(0.1)));
        }
        false
    }

    /// Sends the stream to the source's input until the end.
    pub(crate) fn feed(&self, mut input: impl Write) -> Result<()> {
        let mut maker = Maker::new(self.options.rate, self.options.keyframes);
        let mut next = self.begun;
        while !self.is_over() {
            input.write_all(&maker.due(self.begun.elapsed())).context("The source ended.")?;
            next += STEP;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    /// Runs a viewer on a host until `until_s`, or until somebody kills it.
    pub(crate) fn view(&self, at: usize, until_s: f64) -> Result<Viewer> {
        let (place, before) = (self.net.place(&host(at)), self.net.traffic(&host(at)));
        let mut report = Viewer { host: at, arrived_s: self.seconds(), ..Viewer::default() };
        let spawned = Instant::now();
        let builder = Builder::watch(&self.link).place(place.clone(), self.net.addr(&host(at), PORT));
        let program = with_options(self.options, builder, self.options.viewer_up(at)).spawn();
        *self.present[at].lock().unwrap() = Some(Present { program, url: None, killed: false });
        let mut checker = Checker::new(self.options.rate, self.begun);
        let read = self.read(at, &place, &mut checker, spawned, &mut report, until_s);
        let present = self.present[at].lock().unwrap().take();
        let Some(mut present) = present else { return Ok(report) };
        report.killed = present.killed;
        report.left_s = self.seconds();
        if !present.killed {
            let status = present.url.as_ref().and_then(|url| Status::of(&place, url)).unwrap_or_default();
            (report.depth, report.children, report.restored) = (status.depth, status.children, status.restored);
            report.first_packet_s = status.first_packet_ms.map(|ms| ms as f64 / 1000.0);
            let pid = present.program.process.id();
            report.cpu_s = cpu_of(pid).unwrap_or_default().as_secs_f64();
            report.memory_bytes = peak_memory_of(pid).unwrap_or(0);
        }
        report.line(before, self.net.traffic(&host(at)));
        (report.packets, report.lost, report.repeated) = (checker.packets, checker.lost, checker.repeated);
        report.damaged = checker.damaged;
        report.gaps = checker.gaps;
        let ages = checker.delays;
        let shares = [0.05, 0.5, 0.95, 1.0];
        report.delay_s =
            (!ages.is_empty()).then(|| shares.map(|share| playswarm_tests::figures::quantile(&ages, share)));
        self.leave(at, &mut present);
        read.map(|()| report)
    }

    fn read(
        &self,
        at: usize,
        place: &Place,
        checker: &mut Checker,
        spawned: Instant,
        report: &mut Viewer,
        until_s: f64,
    ) -> Result<()> {
        let prefix = "url: ";
        let url = loop {
            let present = self.present[at].lock().unwrap();
            let Some(viewer) = present.as_ref().filter(|viewer| !viewer.killed) else { return Ok(()) };
            let lines = viewer.program.process.stdout();
            drop(present);
            match lines.iter().find_map(|line| line.strip_prefix(prefix)) {
                Some(url) => break Url::parse(url).context("no URL")?,
                None if spawned.elapsed() > FIRST => anyhow::bail!("viewer {at} had no stream within {FIRST:?}"),
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        let mut stream = match http::request(place, "GET", &url, &[]) {
            Ok(stream) => stream,
            Err(_) if self.is_killed(at) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        if let Some(viewer) = self.present[at].lock().unwrap().as_mut() {
            viewer.url = Some(url);
        }
        let mut buffer = vec![0; 64 << 10];
        while !self.is_over() && self.seconds() < until_s {
            match stream.read(&mut buffer) {
                Ok(n) if n > 0 => {
                    report.first_s.get_or_insert_with(|| spawned.elapsed().as_secs_f64());
                    checker.take(&buffer[..n], Instant::now());
                }
                _ if self.is_killed(at) || self.is_over() => return Ok(()),
                Ok(_) => anyhow::bail!("the stream of viewer {at} ended after {:.1} s", self.seconds()),
                Err(e) => return Err(e).context(format!("viewer {at}")),
            }
        }
        Ok(())
    }

    fn is_killed(&self, at: usize) -> bool {
        self.present[at].lock().unwrap().as_ref().is_none_or(|viewer| viewer.killed)
    }

    /// Kills a viewer as a power cut would, but that the system closes its connections.
    pub(crate) fn kill(&self, at: usize) {
        if let Some(viewer) = self.present[at].lock().unwrap().as_mut() {
            viewer.killed = true;
            viewer.program.process.kill9();
        }
    }

    fn leave(&self, at: usize, viewer: &mut Present) {
        if !viewer.killed {
            viewer.program.process.interrupt();
            let end = Instant::now() + LEAVE;
            while viewer.program.process.ended().is_none() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        if let Some(dir) = &self.options.log_dir {
            let name = format!("{}-{:.0}.log", host(at), self.seconds());
            let _ = std::fs::write(dir.join(name), viewer.program.process.stderr().join("\n"));
        }
    }
}

pub(crate) fn with_options(options: &Options, mut builder: Builder, upload: u64) -> Builder {
    builder = builder.log(&options.log);
    if !options.unlimited {
        // As users are told to: a little below the line, which carries acknowledgements too.
        let limit = (upload as f64 * LIMIT) as u64;
        builder = builder.argument("--up-limit").argument(&limit.max(1).to_string());
    }
    if let Some(config) = &options.config {
        builder = builder.argument("--config").argument(&config.to_string_lossy());
    }
    match &options.program {
        Some(program) => builder.binary(program),
        None => builder,
    }
}
