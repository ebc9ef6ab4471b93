//! The picture of docs/CLIENTS-SIM.md: start delays of the viewers, and the sources of their
//! payload.

use super::report::{Report, ViewerReport};
use crate::plot::{self, COLOURS, Panel};

/// Runs that are shown.
const SHOWN: [&str; 3] = ["p2pmod", "viewers_1000", "flash_crowd_1000"];
const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 330.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = HEIGHT - 30.0;
/// Number of groups, in the order of arrival, for which the origins' share is shown.
const GROUPS: usize = 25;

/// Returns the share of the viewers' payload that came from origins.
fn origin_share(viewers: &[ViewerReport]) -> f64 {
    let sum = |of: fn(&ViewerReport) -> u64| viewers.iter().map(of).sum::<u64>() as f64;
    sum(|v| v.origin_bytes) / sum(|v| v.received_bytes).max(1.0)
}

/// Draws two panels: the start delays of all viewers, and the origins' share of the payload in the order
/// of arrival.
pub fn svg(reports: &[Report]) -> String {
    let shown: Vec<&Report> = SHOWN.iter().filter_map(|name| reports.iter().find(|r| r.scenario == *name)).collect();
    let title = "Whole clients: start delays, and what comes from the origin (lower is better in both)";
    let mut out = plot::begin(WIDTH, HEIGHT, title, "Start delays, and share of the origin by order of arrival");
    let slowest = shown.iter().flat_map(|r| r.starts()).fold(0.5, f64::max);
    let starts = Panel { left: 60.0, right: 400.0, top: TOP, bottom: BOTTOM, x_most: 100.0, y_most: slowest };
    let origin = Panel { left: 470.0, right: WIDTH - 20.0, x_most: 100.0, y_most: 1.0, ..starts };
    out += &starts.title("start delay, by share of the viewers");
    out += &starts.grid(|s| format!("{s:.1} s"), 25.0, |share| format!("{share:.0} %"));
    out += &origin.title("share of the origin, by order of arrival");
    out += &origin.grid(|share| format!("{:.0} %", share * 100.0), 25.0, |share| format!("{share:.0} %"));
    for (i, report) in shown.into_iter().enumerate() {
        let (colour, name) = (COLOURS[i], &report.scenario);
        out += &plot::key(10.0 + i as f64 * 150.0, colour, name);
        let delays = report.starts();
        let last = delays.len().max(2) as f64 - 1.0;
        let points = delays.iter().enumerate().map(|(n, delay)| (n as f64 / last * 100.0, *delay));
        out += &starts.line(points, colour, &format!("{name}: start delays"));
        let viewers = &report.viewers;
        let group = |n: usize| &viewers[n * viewers.len() / GROUPS..(n + 1) * viewers.len() / GROUPS];
        let points = (0..GROUPS).map(|n| ((n as f64 + 0.5) * 100.0 / GROUPS as f64, origin_share(group(n))));
        out += &origin.line(points, colour, &format!("{name}: {:.1} streams in the mean", report.origin_streams()));
    }
    out + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_a_line_in_each_panel_and_its_name_once() {
        let viewer = |n: u32| ViewerReport {
            came_s: f64::from(n),
            start_s: Some(0.5),
            received_bytes: 100,
            origin_bytes: u64::from(100 - n),
            ..ViewerReport::default()
        };
        let report = |scenario: &str| Report {
            scenario: scenario.into(),
            seed: 1,
            viewers: (0..100).map(viewer).collect(),
            origin_sent_bytes: 100,
            lasted_s: 100.0,
            film_bytes_per_s: 1.0,
            events: 1,
            trace: 1,
        };
        let picture = svg(&[report("p2pmod"), report("liars")]);
        assert_eq!(picture.matches("<polyline").count(), 2);
        assert_eq!(picture.matches(">p2pmod<").count(), 1);
        assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));
    }
}
