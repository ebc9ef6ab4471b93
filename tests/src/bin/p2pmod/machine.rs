//! The machine's load during the run, from proc(5). Figures from a starved processor would say
//! nothing about the swarm.

use std::time::Duration;

/// Clock ticks of proc(5) per second: 100 in user space on every current Linux architecture.
const TICKS_PER_S: f64 = 100.0;

/// Times of all processors since the machine started, in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    idle: u64,
    niced: u64,
    all: u64,
}

impl Ticks {
    pub(crate) fn now() -> Ticks {
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let fields: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|f| f.parse().ok()).collect();
        // Waiting for a disk counts as idle: a runnable process could run.
        let idle = fields.get(3).copied().unwrap_or(0) + fields.get(4).copied().unwrap_or(0);
        Ticks { idle, niced: fields.get(1).copied().unwrap_or(0), all: fields.iter().sum() }
    }

    /// Returns the share of processor time since `before` spent on low-priority work (`nice`).
    pub(crate) fn niced_since(&self, before: Ticks) -> f64 {
        (self.niced - before.niced) as f64 / (self.all - before.all).max(1) as f64
    }

    /// Returns the idle share of processor time since `before`.
    pub(crate) fn idle_since(&self, before: Ticks) -> f64 {
        (self.idle - before.idle) as f64 / (self.all - before.all).max(1) as f64
    }
}

/// Returns user and system time of a running process and the children that it waited for.
pub(crate) fn cpu_of(pid: u32) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may contain any characters, but is the last item in brackets.
    let ticks = text.rsplit_once(')')?.1.split_whitespace().skip(11).take(4).filter_map(|f| f.parse::<u64>().ok());
    Some(Duration::from_secs_f64(ticks.sum::<u64>() as f64 / TICKS_PER_S))
}

/// Returns the peak resident memory of a running process in bytes.
pub(crate) fn peak_memory_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

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
