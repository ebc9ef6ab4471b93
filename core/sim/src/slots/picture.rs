//! The picture of docs/SLOTS-SIM.md: what the origin sends, minute by minute, in the three great crowds.

use super::report::Report;
use super::scenario::{Index, Sharing};
use playswarm_logic::slots::Kind;

/// Crowds that have a panel.
const PANELS: [&str; 3] = ["poisson", "flash", "zipf"];
const WIDTH: f64 = 820.0;
const LEFT: f64 = 60.0;
const PANEL: f64 = 190.0;
const GAP: f64 = 50.0;
const TOP: f64 = 70.0;

/// Okabe and Ito's colours, told apart by the colour-blind too.
fn colour(index: Index) -> &'static str {
    match index {
        Index::None => "#999999",
        Index::Slots(Kind::Virtual) => "#0072B2",
        Index::Slots(Kind::Data) => "#E69F00",
    }
}

/// A step for the axis: about four of them up to `most`.
fn step(most: f64) -> f64 {
    let rough = (most / 4.0).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough).unwrap_or(rough)
}

/// Lines of the origin's streams over time: lower is better.
pub fn svg(reports: &[Report]) -> String {
    let shown = |crowd: &str| -> Vec<&Report> {
        reports.iter().filter(|r| r.crowd == crowd && r.sharing == Sharing::Urgent).collect()
    };
    let panels: Vec<&str> = PANELS.into_iter().filter(|p| !shown(p).is_empty()).collect();
    let height = TOP + panels.len() as f64 * (PANEL + GAP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-label=\"Streams that the origin sends over two hours, by tracker alone and by slot index\" \
         font-family=\"system-ui, sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"20\" font-size=\"14\" font-weight=\"bold\">What the origin sends to 10,000 viewers, in streams of the film (lower is better)</text>\n"
    );
    for (i, index) in [Index::None, Index::Slots(Kind::Virtual), Index::Slots(Kind::Data)].into_iter().enumerate() {
        let x = 10.0 + i as f64 * 150.0;
        let name = if index == Index::None { "tracker alone".into() } else { format!("{} slots", index.name()) };
        out += &format!(
            "<rect x=\"{x}\" y=\"32\" width=\"11\" height=\"11\" fill=\"{}\"/><text x=\"{}\" y=\"42\">{name}</text>\n",
            colour(index),
            x + 16.0
        );
    }
    for (p, crowd) in panels.into_iter().enumerate() {
        let lines = shown(crowd);
        let most = lines.iter().flat_map(|r| r.origin_minutes.iter().copied()).fold(1.0, f64::max);
        let minutes = lines.iter().map(|r| r.origin_minutes.len()).max().unwrap_or(1).max(2) as f64 - 1.0;
        let (y0, bottom) = (TOP + p as f64 * (PANEL + GAP), TOP + p as f64 * (PANEL + GAP) + PANEL);
        let right = WIDTH - 20.0;
        let (x_of, y_of) = (
            |minute: f64| LEFT + minute / minutes * (right - LEFT),
            |streams: f64| bottom - streams / most * (PANEL - 14.0),
        );
        out += &format!("<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{crowd}</text>\n", y0 - 2.0);
        let mut streams = 0.0;
        while streams <= most {
            let y = y_of(streams);
            out += &format!(
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#dddddd\" stroke-dasharray=\"2 3\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555555\">{streams:.0}</text>\n",
                LEFT - 6.0,
                y + 4.0
            );
            streams += step(most);
        }
        for half_hour in 0..=(minutes / 30.0) as u32 {
            let minute = f64::from(half_hour) * 30.0;
            out += &format!(
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555555\">{minute:.0} min</text>\n",
                x_of(minute),
                bottom + 15.0
            );
        }
        for report in lines {
            let points: Vec<String> = report
                .origin_minutes
                .iter()
                .enumerate()
                .map(|(minute, streams)| format!("{:.1},{:.1}", x_of(minute as f64), y_of(*streams)))
                .collect();
            out += &format!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\"><title>{crowd}, {}: {:.1} streams</title></polyline>\n",
                points.join(" "),
                colour(report.index),
                report.index.name(),
                report.origin_streams
            );
        }
    }
    out + "</svg>\n"
}
