//! The results of a crowd.

use super::scenario::{Crowd, Index, Sharing};
use super::viewer::Lived;
use crate::stats::quantile;
use playswarm_logic::slots::Counters;
use serde::{Deserialize, Serialize};

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The crowd's name.
    pub crowd: String,
    /// How viewers found each other.
    pub index: Index,
    /// How uploads were shared.
    pub sharing: Sharing,
    /// Mean upload of the origin, as a number of streams at the film's rate.
    pub origin_streams: f64,
    /// The same in its busiest minute.
    pub origin_peak_streams: f64,
    /// The share of all received bytes that came from the origin.
    pub origin_share: f64,
    /// Median and 95th percentile of the delay from arrival to the picture, in seconds.
    pub start_s: (f64, f64),
    /// The same of jumps.
    pub seek_s: (f64, f64),
    /// Stalls per viewer.
    pub stalls: f64,
    /// Viewers with any stall.
    pub stalled_viewers: f64,
    /// Time in stalls, as a share of playing and stalls.
    pub stall_ratio: f64,
    /// Share of the received bytes that were played, including the DHT's bytes.
    pub efficiency: f64,
    /// The share of the bytes that parents gave.
    pub parent_share: f64,
    /// DHT operations per viewer and hour.
    pub operations_per_hour: f64,
    /// Dials of the index per viewer and hour.
    pub dials_per_hour: f64,
    /// The share of dials that led to no parent that served.
    pub failed_dials: f64,
    /// Dials that went to the Sybil.
    pub sybil_dials: u64,
    /// The origin's streams minute by minute, for the picture.
    pub origin_minutes: Vec<f64>,
    /// The sum of the machines' counters.
    pub counters: Counters,
}

/// Mean cost of a DHT operation in bytes, in both directions: some 70 packets of 100 to 500 bytes.
const OPERATION_BYTES: f64 = 25_000.0;

pub(super) fn measure(
    crowd: &Crowd,
    index: Index,
    sharing: Sharing,
    lived: &[&Lived],
    origin_minutes: &[f64],
    counters: Counters,
    sybil_dials: u64,
) -> Report {
    let sum = |f: &dyn Fn(&Lived) -> f64| lived.iter().map(|l| f(l)).sum::<f64>();
    let (played_s, stalled_s) = (sum(&|l| l.played_s), sum(&|l| l.stalled_s));
    let (origin, peers) = (sum(&|l| l.from_origin), sum(&|l| l.from_peers));
    let starts: Vec<f64> = lived.iter().filter_map(|l| l.start_s).collect();
    let seeks: Vec<f64> = lived.iter().flat_map(|l| l.seeks_s.iter().copied()).collect();
    let both = |values: &[f64]| (quantile(values, 0.5).unwrap_or(0.0), quantile(values, 0.95).unwrap_or(0.0));
    let operations = (counters.lookups + counters.announces) as f64;
    let hours = ((played_s + stalled_s) / 3600.0).max(1e-9);
    let minutes: Vec<f64> = origin_minutes.iter().map(|bytes| bytes / 60.0 / crowd.film_rate).collect();
    let viewers = lived.len().max(1) as f64;
    let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
    Report {
        crowd: crowd.name.clone(),
        index,
        sharing,
        origin_streams: origin / crowd.end_s / crowd.film_rate,
        origin_peak_streams: minutes.iter().copied().fold(0.0, f64::max),
        origin_share: ratio(origin, origin + peers),
        start_s: both(&starts),
        seek_s: both(&seeks),
        stalls: sum(&|l| f64::from(l.stalls)) / viewers,
        stalled_viewers: lived.iter().filter(|l| l.stalls > 0).count() as f64 / viewers,
        stall_ratio: ratio(stalled_s, played_s + stalled_s),
        efficiency: ratio(sum(&|l| l.useful_s) * crowd.film_rate, origin + peers + operations * OPERATION_BYTES),
        parent_share: ratio(sum(&|l| l.from_parents), origin + peers),
        operations_per_hour: operations / hours,
        dials_per_hour: counters.dials as f64 / hours,
        failed_dials: ratio(counters.failed_dials as f64, counters.dials as f64),
        sybil_dials,
        origin_minutes: minutes,
        counters,
    }
}
