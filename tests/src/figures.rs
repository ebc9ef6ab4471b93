//! Figures of experiments: quantiles, and the machine's load during a run, from proc(5). Figures from
//! a starved processor would say nothing about the swarm.

use anyhow::{Context, Result};
use std::path::Path;
use std::time::{Duration, Instant};

/// Reads a file of figures, or a page of the docs.
///
/// # Errors
/// A sentence with its path.
pub fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("Can't read {}.", path.display()))
}

/// Writes one.
///
/// # Errors
/// A sentence with its path.
pub fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("Can't write {}.", path.display()))
}

/// Writes a table into a page, between its markers.
///
/// # Errors
/// A sentence with its path.
pub fn write_into(page: &Path, table: &str) -> Result<()> {
    write(page, &playswarm_sim::splice(&read(page)?, table))
}

/// Clock ticks of proc(5) per second: 100 in user space on every current Linux architecture.
const TICKS_PER_S: f64 = 100.0;

/// Times of all processors since the machine started, in ticks.
#[derive(Clone, Copy, Debug)]
pub struct Ticks {
    idle: u64,
    niced: u64,
    all: u64,
}

impl Ticks {
    /// Reads the times of now.
    pub fn now() -> Ticks {
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let fields: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|f| f.parse().ok()).collect();
        // Waiting for a disk counts as idle: a runnable process could run.
        let idle = fields.get(3).copied().unwrap_or(0) + fields.get(4).copied().unwrap_or(0);
        Ticks { idle, niced: fields.get(1).copied().unwrap_or(0), all: fields.iter().sum() }
    }

    /// Returns the share of processor time since `before` spent on low-priority work (`nice`).
    pub fn niced_since(&self, before: Ticks) -> f64 {
        (self.niced - before.niced) as f64 / (self.all - before.all).max(1) as f64
    }

    /// Returns the idle share of processor time since `before`.
    pub fn idle_since(&self, before: Ticks) -> f64 {
        (self.idle - before.idle) as f64 / (self.all - before.all).max(1) as f64
    }
}

/// Length in seconds of the periods over which processor load is measured.
const IDLE_STEP: usize = 10;

/// The measurements of a run that are taken every second.
pub struct Watch {
    sent: u64,
    /// Bytes that the measured host sent in each second.
    pub seconds: Vec<u64>,
    ticks: Ticks,
    /// Idle share of processor time in the busiest ten seconds.
    pub least_idle: f64,
}

impl Watch {
    /// Begins with the bytes that the host has sent so far.
    pub fn new(sent: u64) -> Watch {
        Watch { sent, seconds: Vec::new(), ticks: Ticks::now(), least_idle: 1.0 }
    }

    /// Waits for the next whole second since `begun` and records it. `sent` returns the bytes that the
    /// host has sent so far.
    pub fn second(&mut self, begun: Instant, sent: impl FnOnce() -> u64) {
        let next = Duration::from_secs(self.seconds.len() as u64 + 1);
        std::thread::sleep(next.saturating_sub(begun.elapsed()));
        let sent = sent();
        self.seconds.push(sent - self.sent);
        self.sent = sent;
        if self.seconds.len().is_multiple_of(IDLE_STEP) {
            let now = Ticks::now();
            self.least_idle = self.least_idle.min(now.idle_since(self.ticks));
            self.ticks = now;
        }
    }
}

/// Returns user and system time of a running process and the children that it waited for.
pub fn cpu_of(pid: u32) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may contain any characters, but is the last item in brackets.
    let ticks = text.rsplit_once(')')?.1.split_whitespace().skip(11).take(4).filter_map(|f| f.parse::<u64>().ok());
    Some(Duration::from_secs_f64(ticks.sum::<u64>() as f64 / TICKS_PER_S))
}

/// Returns the peak resident memory of a running process in bytes.
pub fn peak_memory_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

/// Returns the least value that this share of the values does not exceed. Missing values count as
/// infinite.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_a_value_counts_it() {
        let values: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), 5.0);
        assert_eq!(quantile(&values, 0.9), 9.0);
        assert_eq!(quantile(&values, 0.95), 10.0);
        assert_eq!(quantile(&values, 1.0), 10.0);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn a_process_knows_its_own_time_and_memory() {
        let pid = std::process::id();
        assert!(peak_memory_of(pid).unwrap() > 100_000);
        let before = Ticks::now();
        let start = cpu_of(pid).unwrap();
        let mut sum = 0u64;
        while cpu_of(pid).unwrap() < start + Duration::from_millis(50) {
            sum = (0..100_000).fold(sum, |a, b| a ^ a.wrapping_add(b));
        }
        assert!(Ticks::now().idle_since(before) < 1.0, "{sum}");
    }
}
