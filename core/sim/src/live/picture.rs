//! The picture of docs/LIVE-SIM.md: SpreadIt's add policies by number of viewers, and the links.

use super::report::Report;
use crate::plot::{self, COLOURS, Panel};

const WIDTH: f64 = 820.0;
const LEFT: f64 = 60.0;
const PANEL: f64 = 190.0;
const GAP: f64 = 50.0;
const TOP: f64 = 70.0;
const POLICIES: [&str; 6] = ["random", "round_robin", "smart_placement", "knock_downs", "smart_bandwidth", "nearest"];
const BLACK: &str = "#222222";

/// Selects the value of a report that a panel shows.
type Figure = fn(&Report) -> Option<f64>;

/// Returns the points of one policy: the decimal logarithm of the number of viewers, and the value.
fn points(reports: &[Report], policy: &str, of: Figure) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = reports
        .iter()
        .filter_map(|report| {
            let viewers: f64 = report.scenario.strip_prefix(policy)?.strip_prefix('_')?.parse().ok()?;
            Some((viewers.log10(), of(report)?))
        })
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// Draws delay, depth and time to the first packet by number of viewers, a line a policy.
pub fn svg(reports: &[Report]) -> String {
    let panels: [(&str, Figure); 3] = [
        ("delay of the median viewer, seconds", |report| report.delay_s(0.5)),
        ("mean depth", |report| Some(report.mean_depth())),
        ("time to the first packet, 95 %, seconds", |report| report.first_packet_s(0.95)),
    ];
    let height = TOP + panels.len() as f64 * (PANEL + GAP);
    let mut out = plot::begin(
        WIDTH,
        height,
        "SpreadIt's add policies and ours in one tree, by number of viewers (lower is better)",
        "Delay, depth and time to the first packet by number of viewers, for six add policies",
    );
    let colour = |policy: usize| COLOURS.get(policy).copied().unwrap_or(BLACK);
    for (i, policy) in POLICIES.into_iter().enumerate() {
        out += &plot::key(10.0 + i as f64 * 130.0, colour(i), policy);
    }
    for (p, (title, of)) in panels.into_iter().enumerate() {
        let top = TOP + p as f64 * (PANEL + GAP);
        let lines: Vec<_> = POLICIES.into_iter().map(|policy| points(reports, policy, of)).collect();
        let most = |of: fn(&(f64, f64)) -> f64, least| lines.iter().flatten().map(of).fold(least, f64::max);
        let panel = Panel {
            left: LEFT,
            right: WIDTH - 20.0,
            top: top + 14.0,
            bottom: top + PANEL,
            x_most: most(|point| point.0, 1.0),
            y_most: most(|point| point.1, 0.001),
        };
        out += &panel.title(title);
        out += &panel.grid(|value| format!("{value}"), 1.0, |log| format!("{:.0}", 10f64.powf(log)));
        for (i, line) in lines.into_iter().enumerate().filter(|(_, line)| !line.is_empty()) {
            out += &panel.line(line.into_iter(), colour(i), POLICIES[i]);
        }
    }
    out + "</svg>\n"
}
