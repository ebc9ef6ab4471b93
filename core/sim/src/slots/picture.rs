//! The picture of docs/SLOTS-SIM.md: the origin's upload over time, for the three large crowds.

use super::report::Report;
use super::scenario::{Index, Sharing};
use crate::plot::{self, COLOURS, Panel};
use playswarm_logic::slots::Kind;

/// Crowds that have a panel.
const PANELS: [&str; 3] = ["poisson", "flash", "zipf"];
const WIDTH: f64 = 820.0;
const LEFT: f64 = 60.0;
const PANEL: f64 = 190.0;
const GAP: f64 = 50.0;
const TOP: f64 = 70.0;

fn colour(index: Index) -> &'static str {
    match index {
        Index::None => COLOURS[4],
        Index::Slots(Kind::Virtual) => COLOURS[0],
        Index::Slots(Kind::Data) => COLOURS[1],
    }
}

/// Lines of the origin's streams over time: lower is better.
pub fn svg(reports: &[Report]) -> String {
    let shown = |crowd: &str| -> Vec<&Report> {
        reports.iter().filter(|r| r.crowd == crowd && r.sharing == Sharing::Urgent).collect()
    };
    let panels: Vec<&str> = PANELS.into_iter().filter(|p| !shown(p).is_empty()).collect();
    let height = TOP + panels.len() as f64 * (PANEL + GAP);
    let mut out = plot::begin(
        WIDTH,
        height,
        "What the origin sends to 10,000 viewers, in streams of the film (lower is better)",
        "Streams that the origin sends over two hours, by tracker alone and by slot index",
    );
    for (i, index) in [Index::None, Index::Slots(Kind::Virtual), Index::Slots(Kind::Data)].into_iter().enumerate() {
        let name = if index == Index::None { "tracker alone".into() } else { format!("{} slots", index.name()) };
        out += &plot::key(10.0 + i as f64 * 150.0, colour(index), &name);
    }
    for (p, crowd) in panels.into_iter().enumerate() {
        let lines = shown(crowd);
        let minutes = lines.iter().map(|r| r.origin_minutes.len()).max().unwrap_or(1).max(2) as f64 - 1.0;
        let top = TOP + p as f64 * (PANEL + GAP);
        let panel = Panel {
            left: LEFT,
            right: WIDTH - 20.0,
            top: top + 14.0,
            bottom: top + PANEL,
            x_most: minutes,
            y_most: lines.iter().flat_map(|r| r.origin_minutes.iter().copied()).fold(1.0, f64::max),
        };
        out += &panel.title(crowd);
        out += &panel.grid(|streams| format!("{streams:.0}"), 30.0, |minute| format!("{minute:.0} min"));
        for report in lines {
            let points = report.origin_minutes.iter().enumerate().map(|(minute, streams)| (minute as f64, *streams));
            let title = format!("{crowd}, {}: {:.1} streams", report.index.name(), report.origin_streams);
            out += &panel.line(points, colour(report.index), &title);
        }
    }
    out + "</svg>\n"
}
