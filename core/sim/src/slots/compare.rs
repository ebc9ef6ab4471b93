//! The flow model against whole clients: the same viewers, film and lines, played as flows.

use super::report::Report;
use super::scenario::{Crowd, Drawn, Index, Sharing};
use super::world::run_drawn;
use crate::clients;
use crate::rng::Rng;
use crate::stats::quantile;
use playswarm_logic::slots::Kind;

/// A run of whole clients and the same viewers as flows.
pub struct Comparison {
    whole: clients::Report,
    flows: Vec<Report>,
}

impl Comparison {
    /// Plays the viewers of a run of whole clients as flows: each comes when it came there, stays as
    /// long, and has the same line.
    pub fn new(whole: clients::Report, scenario: &clients::Scenario) -> Comparison {
        let first_s = whole.viewers.iter().map(|v| v.came_s).fold(f64::INFINITY, f64::min);
        let crowd = Crowd {
            name: whole.scenario.clone(),
            about: scenario.about.to_owned(),
            viewers: scenario.viewers,
            arrive_s: scenario.arrivals_s,
            end_s: whole.lasted_s,
            film_s: scenario.film_s,
            film_rate: scenario.film_bytes_per_s,
            chunk_s: f64::from(scenario.piece_bytes) / scenario.film_bytes_per_s,
            keeps_s: None,
            origin_rate: scenario.origin_up * f64::from(scenario.origins),
            tracker_peers: scenario.tracker_peers,
            unreachable: scenario.unreachable,
            ..Crowd::default()
        };
        let mut rng = Rng::new(whole.seed);
        let draw = |v: &clients::ViewerReport| Drawn {
            arrives: v.came_s - first_s,
            begins_at: 0.0,
            down: scenario.viewer_down,
            up: scenario.viewer_up,
            reachable: !rng.chance(scenario.unreachable),
            clock_off_s: 0.0,
            watches_s: v.played_s,
            acts: Vec::new(),
        };
        let drawn: Vec<Drawn> = whole.viewers.iter().map(draw).collect();
        let index = if scenario.slot_index { Index::Slots(Kind::Virtual) } else { Index::None };
        let play = |sharing| run_drawn(&crowd, drawn.clone(), index, sharing, whole.seed);
        let flows = [Sharing::Urgent, Sharing::Even].map(play).to_vec();
        Comparison { whole, flows }
    }

    fn rows(&self) -> Vec<[String; 9]> {
        let whole = &self.whole;
        let starts = whole.starts();
        let at = |share| quantile(&starts, share).unwrap_or(f64::NAN);
        let (stalled, share) = whole.stalls();
        let row = |model: &str, figures: [f64; 7]| {
            let [origin, of_bytes, start, late, stalled, share, efficiency] = figures;
            [
                whole.scenario.clone(),
                model.to_owned(),
                format!("{origin:.2}"),
                format!("{:.1} %", of_bytes * 100.0),
                format!("{start:.2} s"),
                format!("{late:.2} s"),
                format!("{stalled:.0}"),
                format!("{:.2} %", share * 100.0),
                format!("{:.1} %", efficiency * 100.0),
            ]
        };
        let of_bytes = 1.0 - whole.from_viewers();
        let figures = [whole.origin_streams(), of_bytes, at(0.5), at(0.95), stalled as f64, share, whole.efficiency()];
        let mut rows = vec![row("whole clients", figures)];
        for flow in &self.flows {
            let name = match flow.sharing {
                Sharing::Urgent => "flows, urgent first",
                Sharing::Even => "flows, evenly",
            };
            let stalled = flow.stalled_viewers * whole.viewers.len() as f64;
            let (start, late) = flow.start_s;
            let figures =
                [flow.origin_streams, flow.origin_share, start, late, stalled, flow.stall_ratio, flow.efficiency];
            rows.push(row(name, figures));
        }
        rows
    }
}

/// Returns a table in Markdown: each run of whole clients, and below it the same viewers as flows.
pub fn comparison(runs: &[Comparison]) -> String {
    let head = ["scenario", "model", "origin", "of bytes", "start 50 %", "95 %", "stalled", "of time", "efficiency"];
    let mut text = format!("| {} |\n|---|---|{}\n", head.join(" | "), "---:|".repeat(head.len() - 2));
    for row in runs.iter().flat_map(Comparison::rows) {
        text += &format!("| {} |\n", row.join(" | "));
    }
    text
}
