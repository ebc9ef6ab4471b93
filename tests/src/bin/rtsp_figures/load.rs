//! What arrives over UDP, and what sessions cost.

use super::client::{Client, Unit};
use super::film::{self, Here};
use super::quantile;
use playswarm_tests::torrent::TestTorrent;
use std::time::{Duration, Instant};

/// Time between requests that keep a session alive.
const KEEP_ALIVE: Duration = Duration::from_secs(25);
/// Clock ticks of proc(5) per second: 100 in user space on every current Linux architecture.
const TICKS_PER_S: f64 = 100.0;
/// Ticks of RTP per second for video.
const CLOCK: f64 = 90_000.0;

fn stage(mbit: u32, seconds: u32) -> (tempfile::TempDir, TestTorrent, Here) {
    let folder = tempfile::tempdir().unwrap();
    let path = film::make(folder.path(), "film.mkv", seconds + 15, mbit * 1_000_000);
    let torrent = TestTorrent::of_file(&path, 1 << 20);
    std::fs::remove_file(path).unwrap();
    let here = Here::new(&torrent);
    (folder, torrent, here)
}

/// Numbers of packets, and the jitter (RFC 3550, section 6.4.1) after each, in ms.
#[derive(Default)]
struct Arrivals {
    packets: u64,
    bytes: u64,
    lost: u64,
    disordered: u64,
    jitter: Vec<f64>,
    last: Option<(u16, f64)>,
}

impl Arrivals {
    fn add(&mut self, at: Duration, packet: &[u8]) {
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let ticks = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        let transit = at.as_secs_f64() - f64::from(ticks) / CLOCK;
        if let Some((last, before)) = self.last {
            match sequence.wrapping_sub(last) {
                1 => {}
                ahead @ 2..0x8000 => self.lost += u64::from(ahead) - 1,
                _ => self.disordered += 1,
            }
            let jitter = self.jitter.last().copied().unwrap_or(0.0);
            self.jitter.push(jitter + ((transit - before).abs() * 1e3 - jitter) / 16.0);
        }
        self.last = Some((sequence, transit));
        (self.packets, self.bytes) = (self.packets + 1, self.bytes + packet.len() as u64);
    }
}

/// Plays over UDP with the system's default buffer, and prints what is missing.
pub(crate) fn datagrams(mbit: u32, seconds: u32) {
    let (_folder, _torrent, here) = stage(mbit, seconds);
    let mut client = Client::open(&here.url, true);
    let media = client.media.take().unwrap();
    client.start();
    let (start, cost) = (Instant::now(), Cost::of(here.playswarm.process.id()));
    let full = buffer_errors();
    let (mut arrivals, mut packet, mut kept_alive) = (Arrivals::default(), [0; 2048], start);
    while start.elapsed() < Duration::from_secs(seconds.into()) {
        let length = media.recv(&mut packet).unwrap();
        arrivals.add(start.elapsed(), &packet[..length]);
        if kept_alive.elapsed() > KEEP_ALIVE {
            kept_alive = Instant::now();
            // In a thread of its own it would be exact, but it takes less than a millisecond.
            client.keep_alive();
        }
    }
    let wall = start.elapsed().as_secs_f64();
    let cpu = Cost::of(here.playswarm.process.id()).cpu_s - cost.cpu_s;
    let Arrivals { packets, bytes, lost, disordered, mut jitter, .. } = arrivals;
    let (rate, full) = (bytes as f64 * 8.0 / wall / 1e6, buffer_errors() - full);
    println!("{wall:.0} s over UDP at {rate:.1} Mbit/s: {packets} packets, {lost} lost, {disordered} out of order");
    println!("datagrams for which a receiver on this machine had no room: {full}");
    let quantiles = [0.5, 0.99, 1.0].map(|share| quantile(&mut jitter, share));
    println!("jitter, ms: median, p99, max {quantiles:.2?}; processor {:.1} % of a core", cpu / wall * 100.0);
}

/// Returns the number of datagrams for which the buffer of a socket on this machine was full.
fn buffer_errors() -> u64 {
    let text = std::fs::read_to_string("/proc/net/snmp").unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("Udp:")).collect();
    let mut columns = lines[0].split(' ').zip(lines[1].split(' '));
    columns.find(|(name, _)| *name == "RcvbufErrors").map_or(0, |(_, value)| value.parse().unwrap())
}

/// What a process has used.
struct Cost {
    cpu_s: f64,
    resident: f64,
}

impl Cost {
    fn of(id: u32) -> Cost {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{id}/{file}")).unwrap();
        let stat = read("stat");
        let fields: Vec<f64> =
            stat.rsplit_once(')').unwrap().1.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
        let status = read("status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: f64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
        Cost { cpu_s: (fields[11] + fields[12]) / TICKS_PER_S, resident: kib / 1024.0 }
    }
}

/// Plays several times at once, and prints what each costs.
pub(crate) fn sessions(mbit: u32, seconds: u32, count: usize, udp: bool) {
    let (_folder, _torrent, here) = stage(mbit, seconds);
    let (id, url) = (here.playswarm.process.id(), here.url.as_str());
    std::thread::sleep(Duration::from_secs(5));
    let before = Cost::of(id);
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let peak = std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| consume(url, udp, end));
        }
        let mut peak: f64 = 0.0;
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(500));
            peak = peak.max(Cost::of(id).resident);
        }
        peak
    });
    let after = Cost::of(id);
    let share = (after.cpu_s - before.cpu_s) / f64::from(seconds) / count as f64 * 100.0;
    let memory = (peak - before.resident) / count as f64;
    let transport = if udp { "UDP" } else { "TCP" };
    println!("{count} sessions of {mbit} Mbit/s over {transport}: {share:.2} % of a core and {memory:.1} MiB each");
}

fn consume(url: &str, udp: bool, end: Instant) {
    let mut client = Client::open(url, udp);
    client.start();
    let media = client.media.take();
    let (mut packet, mut kept_alive) = ([0; 2048], Instant::now());
    while Instant::now() < end {
        match &media {
            Some(media) => drop(media.recv(&mut packet).unwrap()),
            None => drop::<Unit>(client.unit()),
        }
        if udp && kept_alive.elapsed() > KEEP_ALIVE {
            kept_alive = Instant::now();
            client.keep_alive();
        }
    }
}
