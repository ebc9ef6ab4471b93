//! The runs as a table of a page.

use super::report::Report;
use super::scenario::catalogue;
use crate::stats::quantile;

const HEAD: [&str; 11] = [
    "scenario",
    "viewers",
    "started",
    "start 50 %",
    "90 %",
    "100 %",
    "jump 50 %",
    "90 %",
    "stalled",
    "efficiency",
    "origin",
];

/// Returns the table in Markdown, one row a report.
pub fn markdown(reports: &[Report]) -> String {
    let mut text = format!("| {} |\n|---|{}\n", HEAD.join(" | "), "---:|".repeat(HEAD.len() - 1));
    for report in reports {
        let (starts, jumps) = (report.starts(), report.jumps());
        let seconds = |values: &[f64], share| quantile(values, share).map_or("–".into(), |s| format!("{s:.2} s"));
        let (stalled, share) = report.stalls();
        let row = [
            report.scenario.clone(),
            report.viewers.len().to_string(),
            starts.len().to_string(),
            seconds(&starts, 0.5),
            seconds(&starts, 0.9),
            seconds(&starts, 1.0),
            seconds(&jumps, 0.5),
            seconds(&jumps, 0.9),
            format!("{stalled} ({:.2} %)", share * 100.0),
            format!("{:.1} %", report.efficiency() * 100.0),
            format!("{:.2} streams", report.origin_streams()),
        ];
        text += &format!("| {} |\n", row.join(" | "));
    }
    text += "\n";
    for scenario in catalogue().iter().filter(|s| reports.iter().any(|r| r.scenario == s.name)) {
        text += &format!("- **{}**: {}.\n", scenario.name, scenario.about);
    }
    text
}
