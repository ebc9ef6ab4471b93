//! The results of a run.

use crate::stats::quantile;
use serde::{Deserialize, Serialize};

/// The results of one viewer.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct ViewerReport {
    /// Time of its arrival, in seconds of the run.
    pub came_s: f64,
    /// From the player's request to its first byte.
    pub first_byte_s: Option<f64>,
    /// From the player's request to the picture.
    pub start_s: Option<f64>,
    /// From each jump to the picture.
    pub jumps_s: Vec<f64>,
    /// Number of stalls.
    pub stalls: u32,
    /// Total time of the stalls.
    pub stalled_s: f64,
    /// Length of the film that was played.
    pub played_s: f64,
    /// Payload received.
    pub received_bytes: u64,
    /// Payload received and used.
    pub useful_bytes: u64,
    /// Payload received from origins.
    pub origin_bytes: u64,
}

/// The results of a run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The viewers, in the order of arrival.
    pub viewers: Vec<ViewerReport>,
    /// Payload that the origins sent.
    pub origin_sent_bytes: u64,
    /// From the first arrival to the last departure, seconds.
    pub lasted_s: f64,
    /// The film's rate, bytes a second.
    pub film_bytes_per_s: f64,
    /// Number of events of the simulation.
    pub events: u64,
    /// A hash of all sent messages, for comparing runs.
    pub trace: u64,
}

impl Report {
    /// Returns the start delays of the viewers that saw a picture, ascending.
    pub fn starts(&self) -> Vec<f64> {
        let mut starts: Vec<f64> = self.viewers.iter().filter_map(|v| v.start_s).collect();
        starts.sort_by(f64::total_cmp);
        starts
    }

    /// Returns the delays of jumps, ascending.
    pub fn jumps(&self) -> Vec<f64> {
        let mut jumps: Vec<f64> = self.viewers.iter().flat_map(|v| v.jumps_s.clone()).collect();
        jumps.sort_by(f64::total_cmp);
        jumps
    }

    /// Returns the share of the payload that was used.
    pub fn efficiency(&self) -> f64 {
        let sum = |of: fn(&ViewerReport) -> u64| self.viewers.iter().map(of).sum::<u64>() as f64;
        sum(|v| v.useful_bytes) / sum(|v| v.received_bytes).max(1.0)
    }

    /// Returns the origins' upload over the whole run, in streams of the film.
    pub fn origin_streams(&self) -> f64 {
        self.origin_sent_bytes as f64 / self.lasted_s.max(1.0) / self.film_bytes_per_s
    }

    /// Returns the number of viewers that stalled, and the stalled share of the film's time.
    pub fn stalls(&self) -> (usize, f64) {
        let stalled: f64 = self.viewers.iter().map(|v| v.stalled_s).sum();
        let played: f64 = self.viewers.iter().map(|v| v.played_s).sum();
        (self.viewers.iter().filter(|v| v.stalls > 0).count(), stalled / played.max(1.0))
    }

    /// Returns the share of the payload that came from viewers.
    pub fn from_viewers(&self) -> f64 {
        let received: u64 = self.viewers.iter().map(|v| v.received_bytes).sum();
        let origin: u64 = self.viewers.iter().map(|v| v.origin_bytes).sum();
        1.0 - origin as f64 / (received as f64).max(1.0)
    }

    /// Returns a line of figures.
    pub fn line(&self) -> String {
        let starts = self.starts();
        let (stalled, share) = self.stalls();
        format!(
            "{}: {} of {} started, 50 % within {:.2} s, 90 % {:.2}, 100 % {:.2}; {} stalled ({:.2} %); efficiency {:.1} %; origin {:.2} streams; {} events",
            self.scenario,
            starts.len(),
            self.viewers.len(),
            quantile(&starts, 0.5).unwrap_or(f64::NAN),
            quantile(&starts, 0.9).unwrap_or(f64::NAN),
            quantile(&starts, 1.0).unwrap_or(f64::NAN),
            stalled,
            share * 100.0,
            self.efficiency() * 100.0,
            self.origin_streams(),
            self.events,
        )
    }
}
