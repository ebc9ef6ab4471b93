//! The figures, and their table.

use crate::options::{Experiment, Options};
use serde::{Deserialize, Serialize};

/// The figures of one experiment. Times are in seconds since the player's request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) which: Experiment,
    pub(crate) first_byte_s: Option<f64>,
    /// Time from the start of the program to the player's request.
    pub(crate) before_s: f64,
    /// Shortest possible time to the first byte.
    pub(crate) limit_s: f64,
    pub(crate) start_s: Option<f64>,
    /// The end and the length of each stall.
    pub(crate) stalls: Vec<(f64, f64)>,
    pub(crate) complete_s: Option<f64>,
    /// Bytes of the clip per second from the start of the program until it was whole.
    pub(crate) rate: Option<f64>,
    /// Payload of each sender.
    pub(crate) senders: Vec<u64>,
    /// Most connections at a time.
    pub(crate) lanes: usize,
    pub(crate) duplicate_share: f64,
    /// Time after the failure for which the sender still delivered what it had written.
    pub(crate) drained_s: f64,
    /// Time from its last data until the standby was dialled.
    pub(crate) noticed_s: Option<f64>,
    /// Time from then until the clip's rate arrived again.
    pub(crate) recovered_s: Option<f64>,
    /// Wait before playback as the program told it after eight seconds, and its range in that second.
    pub(crate) initial_buffering_s: Option<f64>,
    pub(crate) initial_buffering_range: Option<(f64, f64)>,
    pub(crate) error: Option<String>,
}

/// All figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    round_trip_ms: f64,
    sender: f64,
    rate: u64,
    /// L (1/A - 1/P) for two senders.
    wait_s: f64,
    runs: Vec<Run>,
    /// Idle share of processor time.
    idle: f64,
}

impl Report {
    pub(crate) fn new(options: &Options, runs: Vec<Run>, idle: f64) -> Report {
        Report {
            round_trip_ms: options.round_trip,
            sender: options.sender,
            rate: options.rate,
            wait_s: options.wait_s(2),
            runs,
            idle,
        }
    }

    /// Returns the figures as a table in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut table = format!(
            "Senders of {} kB/s, a round trip of {} ms, a clip of {} kB/s. \
             The processors were idle for {:.0} % of the time.\n\n\
             | experiment | what | wanted | measured |\n|---|---|---:|---:|\n",
            self.sender,
            self.round_trip_ms,
            self.rate as f64 / 1000.0,
            self.idle * 100.0
        );
        for run in &self.runs {
            for (n, (what, wanted, measured)) in run.rows(self.wait_s).into_iter().enumerate() {
                let name = if n == 0 { run.which.name() } else { "" };
                table += &format!("| {name} | {what} | {wanted} | {measured} |\n");
            }
        }
        table
    }
}

fn seconds(s: Option<f64>) -> String {
    s.map_or_else(|| "never".into(), |s| format!("{s:.2} s"))
}

type Row = (&'static str, String, String);

impl Run {
    fn rows(&self, wait_s: f64) -> Vec<Row> {
        let mut rows = match self.which {
            Experiment::E1 => self.session_rows(),
            Experiment::Killed => self.failure_rows("0.3 s"),
            Experiment::Pulled => self.failure_rows("1.5 s"),
            Experiment::Throttled => self.failure_rows("5 s"),
            Experiment::E3 => {
                let (least, most) = self.initial_buffering_range.unwrap_or_default();
                let told = format!("{} ({least:.1} to {most:.1})", seconds(self.initial_buffering_s));
                vec![
                    ("`initial_buffering_s` after 8 s", format!("{wait_s:.1} s ± 10 %"), told),
                    ("stalls", "some".into(), self.stalls()),
                ]
            }
            Experiment::Patient => {
                vec![("begins after", String::new(), seconds(self.start_s)), ("stalls", "0".into(), self.stalls())]
            }
        };
        rows.extend(self.error.iter().map(|why| ("ended early", String::new(), why.clone())));
        rows
    }

    fn session_rows(&self) -> Vec<Row> {
        let first =
            format!("{}; {}", seconds(self.first_byte_s), seconds(self.first_byte_s.map(|s| s + self.before_s)));
        vec![
            ("first byte since the request; since the program's start", format!("{:.2} s", 1.2 * self.limit_s), first),
            ("playback begins", String::new(), seconds(self.start_s)),
            ("stalls", "0".into(), self.stalls()),
            ("rate until the clip is whole", "171 kB/s".into(), self.rate()),
            ("most by which a sender's share differs from the mean", "10 %".into(), self.unevenness()),
            ("duplicates", String::new(), per_cent(self.duplicate_share)),
        ]
    }

    fn failure_rows(&self, noticed: &str) -> Vec<Row> {
        let after = match self.drained_s {
            0.0 => String::new(),
            s => format!(" after its last data, {s:.2} s after the kill"),
        };
        vec![
            ("noticed after", noticed.into(), seconds(self.noticed_s) + &after),
            ("at the clip's rate after that", "1 s".into(), seconds(self.recovered_s)),
            ("stalls", "0".into(), self.stalls()),
            ("duplicates", "2 %".into(), per_cent(self.duplicate_share)),
        ]
    }

    fn stalls(&self) -> String {
        let stalled: f64 = self.stalls.iter().map(|stall| stall.1).sum();
        match self.stalls.len() {
            0 => "0".into(),
            n => format!("{n}, {stalled:.1} s"),
        }
    }

    fn rate(&self) -> String {
        self.rate.map_or_else(|| "never whole".into(), |rate| format!("{:.1} kB/s", rate / 1000.0))
    }

    fn unevenness(&self) -> String {
        let mean = self.senders.iter().sum::<u64>() as f64 / self.senders.len().max(1) as f64;
        per_cent(self.senders.iter().map(|bytes| (*bytes as f64 / mean - 1.0).abs()).fold(0.0, f64::max))
    }
}

fn per_cent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
