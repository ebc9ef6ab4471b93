//! The results of a run.

use super::node::Node;
use super::scenario::Grain;
use super::world::{BEFORE_S, World};
use crate::stats::quantile;
use playswarm_logic::Time;
use serde::{Deserialize, Serialize};

/// The results of one viewer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct ViewerReport {
    /// Time from the request to the first parent, seconds.
    pub parent_s: Option<f64>,
    /// Time from the request to the first packet, seconds.
    pub first_packet_s: Option<f64>,
    /// Time from the request to the first complete group, seconds.
    pub first_group_s: Option<f64>,
    /// Time for which it watched, seconds.
    pub watched_s: f64,
    /// Interruptions of the picture within 3 s of its start.
    pub start_gaps: u32,
    /// Their length, seconds.
    pub start_gap_s: f64,
    /// Later interruptions of the picture.
    pub gaps: u32,
    /// Their length, seconds.
    pub gap_s: f64,
    /// Delay from a group's birth until it is complete here, seconds: 50 % and 95 %.
    pub delay_s: Option<(f64, f64)>,
    /// Share of the groups that did not come by themselves; only with trees as the grain.
    pub unfed: Option<f64>,
    /// Whether it was there at the end.
    pub stayed: bool,
    /// Depth of its deepest stripe at the end.
    pub depth: usize,
    /// Stripes that had a parent at the end.
    pub fed: usize,
}

/// What a departure at one moment did to the others.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct AfterKill {
    /// Viewers that played before and stayed.
    pub survivors: usize,
    /// Share of them without a gap afterwards.
    pub unharmed: f64,
    /// Time until the last lost stripe of a viewer had a parent, seconds: 95 % and most.
    pub whole_s: Option<(f64, f64)>,
}

/// Ways of a packet over links between routers, against direct ones.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Links {
    /// Most and mean copies of a packet on a link.
    pub stress: (u32, f64),
    /// Delay from the source by the tree, as a multiple of the direct one: median and 95 %.
    pub stretch: (f64, f64),
}

/// The results of a run.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The viewers, in the order of arrival.
    pub viewers: Vec<ViewerReport>,
    /// Stripes of the channel.
    pub stripes: usize,
    /// What the source sent in the mean, in streams without parity.
    pub source_streams: f64,
    /// Share of control messages in all bytes.
    pub control: f64,
    /// Share of packets that were received twice.
    pub duplicates: f64,
    /// Time from the loss of a parent until another fed the stripe, seconds, ascending.
    pub repairs_s: Vec<f64>,
    /// Most requests for places that the source received in one second.
    pub source_joins_per_s: u64,
    /// Departures one by one.
    pub departures: u64,
    /// Viewers below the departed in the first stripe's tree, a departure.
    pub bereft: Option<f64>,
    /// New parents instead of others, a departure.
    pub moves: Option<f64>,
    /// What the departure at one moment did, if there was one.
    pub after_kill: Option<AfterKill>,
    /// Ways over links; only with routers.
    pub links: Option<Links>,
    /// Number of events of the simulation.
    pub events: u64,
}

impl Report {
    fn values(&self, of: impl Fn(&ViewerReport) -> Option<f64>) -> Vec<f64> {
        self.viewers.iter().filter_map(of).collect()
    }

    /// Returns an event's number per viewer and hour.
    fn per_hour(&self, of: impl Fn(&ViewerReport) -> u32) -> f64 {
        let gaps: u32 = self.viewers.iter().map(of).sum();
        let watched: f64 = self.viewers.iter().map(|viewer| viewer.watched_s).sum();
        f64::from(gaps) * 3600.0 / watched.max(1.0)
    }

    /// Returns the interruptions after the start per viewer and hour.
    pub fn gaps_per_hour(&self) -> f64 {
        self.per_hour(|viewer| viewer.gaps)
    }

    /// Returns the share of the viewers whose start was interrupted.
    pub fn rough_starts(&self) -> f64 {
        let rough = self.viewers.iter().filter(|viewer| viewer.start_gaps > 0).count();
        rough as f64 / self.viewers.len().max(1) as f64
    }

    /// Returns a quantile of the time to the first parent, seconds.
    pub fn parent_s(&self, share: f64) -> Option<f64> {
        quantile(&self.values(|viewer| viewer.parent_s), share)
    }

    /// Returns a quantile of the time to the first packet, seconds.
    pub fn first_packet_s(&self, share: f64) -> Option<f64> {
        quantile(&self.values(|viewer| viewer.first_packet_s), share)
    }

    /// Returns a quantile of the time to the first complete group, seconds.
    pub fn first_group_s(&self, share: f64) -> Option<f64> {
        quantile(&self.values(|viewer| viewer.first_group_s), share)
    }

    /// Returns a quantile over the viewers of each one's delay of 95 % of the groups, seconds.
    pub fn delay_s(&self, share: f64) -> Option<f64> {
        quantile(&self.values(|viewer| Some(viewer.delay_s?.1)), share)
    }

    /// Returns the mean share of groups that did not come by themselves.
    pub fn unfed(&self) -> Option<f64> {
        let shares = self.values(|viewer| viewer.unfed);
        (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
    }

    /// Returns the greatest depth of those there at the end.
    pub fn depth(&self) -> usize {
        self.viewers.iter().map(|viewer| viewer.depth).max().unwrap_or(0)
    }

    /// Returns the mean depth of those there at the end.
    pub fn mean_depth(&self) -> f64 {
        let depths = self.values(|viewer| (viewer.depth > 0).then_some(viewer.depth as f64));
        depths.iter().sum::<f64>() / depths.len().max(1) as f64
    }

    /// Returns the number of viewers that never had a picture, or had too few stripes at the end.
    pub fn unserved(&self) -> usize {
        let never = |viewer: &ViewerReport| viewer.first_group_s.is_none() && viewer.watched_s > 5.0;
        self.viewers.iter().filter(|viewer| never(viewer)).count()
    }

    /// Returns the median delay of the viewers at each depth from 1 on, seconds.
    pub fn delay_by_depth(&self) -> Vec<(usize, f64)> {
        let median = |depth| quantile(&self.values(|v| v.delay_s.filter(|_| v.depth == depth).map(|d| d.0)), 0.5);
        (1..=self.depth()).filter_map(|depth| Some((depth, median(depth)?))).collect()
    }

    /// Returns a line of figures.
    pub fn line(&self) -> String {
        let s = |value: Option<f64>| value.map_or("–".into(), |s| format!("{s:.2}"));
        let after = self.after_kill.as_ref().map_or(String::new(), |after| {
            let (most, last) = after.whole_s.unwrap_or_default();
            format!("; unharmed {:.2} % of {}, whole {most:.2} / {last:.2} s", after.unharmed * 100.0, after.survivors)
        });
        format!(
            "{}: {} viewers, {} unserved; parent {} s; first packet {} / {} s; picture {} / {} s; delay {} / {} s; {:.2} gaps an hour, {:.1} % rough starts; unfed {:.3} %; depth {} (mean {:.2}); source {:.2} streams; repair {} / {} s ({}); control {:.2} %; twice {:.2} %; {} joins/s at the source; {} bereft, {} moves a departure{after}; {} events",
            self.scenario,
            self.viewers.len(),
            self.unserved(),
            s(self.parent_s(0.5)),
            s(self.first_packet_s(0.5)),
            s(self.first_packet_s(0.95)),
            s(self.first_group_s(0.5)),
            s(self.first_group_s(0.95)),
            s(self.delay_s(0.5)),
            s(self.delay_s(0.95)),
            self.gaps_per_hour(),
            self.rough_starts() * 100.0,
            self.unfed().unwrap_or(0.0) * 100.0,
            self.depth(),
            self.mean_depth(),
            self.source_streams,
            s(quantile(&self.repairs_s, 0.5)),
            s(quantile(&self.repairs_s, 0.95)),
            self.repairs_s.len(),
            self.control * 100.0,
            self.duplicates * 100.0,
            self.source_joins_per_s,
            s(self.bereft),
            s(self.moves),
            self.events
        )
    }
}

impl World<'_> {
    fn viewer_report(&self, node: &Node) -> ViewerReport {
        let delays: Vec<f64> = node.player.delays_s.iter().map(|s| f64::from(*s)).collect();
        let since = |at: Option<Time>| at.map(|at| at.since(node.came).as_secs_f64());
        let depth = (0..self.stripes).map(|s| node.relay.path(s).len()).max().unwrap_or(0);
        let (groups, unfed) = (f64::from(node.sampled.groups), f64::from(node.sampled.unfed));
        ViewerReport {
            parent_s: node.counted.parent_s,
            first_packet_s: since(node.first_packet),
            first_group_s: since(node.player.first_at),
            watched_s: node.went.unwrap_or(self.now).since(node.came).as_secs_f64(),
            start_gaps: node.player.start_gaps.count,
            start_gap_s: node.player.start_gaps.s,
            gaps: node.player.gaps.count,
            gap_s: node.player.gaps.s,
            delay_s: quantile(&delays, 0.5).zip(quantile(&delays, 0.95)),
            unfed: (groups > 0.0).then(|| unfed / groups),
            stayed: node.alive,
            depth: if node.alive { depth } else { 0 },
            fed: if node.alive { node.relay.fed() } else { 0 },
        }
    }

    pub(super) fn report(&self, seed: u64) -> Report {
        let sum = |of: fn(&Node) -> u64| self.nodes.iter().map(of).sum::<u64>() as f64;
        let mut repairs_s: Vec<f64> =
            self.nodes.iter().flat_map(|node| node.counted.repairs_s.iter().copied()).collect();
        repairs_s.sort_by(f64::total_cmp);
        let on_air_s = (self.scenario.lasts_s - BEFORE_S).max(1.0);
        let per_departure = |n: f64| (self.departures > 0).then(|| n / self.departures as f64);
        Report {
            scenario: self.scenario.name.clone(),
            seed,
            viewers: self.nodes[1..].iter().map(|node| self.viewer_report(node)).collect(),
            stripes: usize::from(self.stripes),
            source_streams: self.nodes[0].counted.sent as f64 / on_air_s / self.scenario.bytes_per_s,
            control: sum(|node| node.counted.control) / sum(|node| node.counted.sent).max(1.0),
            duplicates: sum(|node| node.counted.duplicates) * self.packet_bytes as f64
                / sum(|node| node.counted.received).max(1.0),
            repairs_s,
            source_joins_per_s: self.source_joins.iter().copied().max().unwrap_or(0),
            departures: self.departures,
            bereft: per_departure(self.bereft as f64),
            moves: per_departure(sum(|node| node.counted.moves)),
            after_kill: self.killed.map(|killed| self.after_kill(killed)),
            links: self.links(),
            events: self.events.count(),
        }
    }

    fn after_kill(&self, killed: Time) -> AfterKill {
        let played = |node: &&Node| node.alive && node.player.first_at.is_some_and(|at| at < killed);
        let survivors: Vec<&Node> = self.nodes[1..].iter().filter(played).collect();
        let harmed = survivors.iter().filter(|node| node.player.gaps_at.iter().any(|at| *at > killed)).count();
        let repaired = survivors.iter().filter_map(|node| node.counted.last_repair.filter(|at| *at > killed));
        let whole: Vec<f64> = repaired.map(|at| at.since(killed).as_secs_f64()).collect();
        AfterKill {
            survivors: survivors.len(),
            unharmed: 1.0 - harmed as f64 / survivors.len().max(1) as f64,
            whole_s: quantile(&whole, 0.95).zip(quantile(&whole, 1.0)),
        }
    }

    /// Returns stress and stretch of the first stripe's tree, if there are routers.
    fn links(&self) -> Option<Links> {
        if self.scenario.grain != Grain::Trees || self.map.path(&self.nodes[0].place, &self.nodes[0].place).is_empty() {
            return None;
        }
        let alive = (1..self.nodes.len()).filter(|node| self.nodes[*node].alive);
        let hops: Vec<(usize, usize)> = alive.filter_map(|node| Some((self.nodes[node].fed_by(0)?, node))).collect();
        let stress = self.map.stress(hops.iter().map(|(from, to)| (self.nodes[*from].place, self.nodes[*to].place)));
        let stretches: Vec<f64> = hops.iter().filter_map(|(_, node)| self.stretch(*node)).collect();
        Some(Links {
            stress: (stress.iter().copied().max()?, stress.iter().sum::<u32>() as f64 / stress.len() as f64),
            stretch: (quantile(&stretches, 0.5)?, quantile(&stretches, 0.95)?),
        })
    }

    fn stretch(&self, node: usize) -> Option<f64> {
        let (mut at, mut way_s) = (node, 0.0);
        for _ in 0..self.nodes.len() {
            if at == 0 {
                return Some(way_s / self.delay_s(0, node));
            }
            let parent = self.nodes[at].fed_by(0)?;
            way_s += self.delay_s(parent, at);
            at = parent;
        }
        None
    }
}
