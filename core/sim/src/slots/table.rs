//! The crowds' table, for a terminal and for docs/SLOTS-SIM.md.

use super::report::Report;
use super::scenario::Sharing;

const HEAD: [&str; 14] = [
    "crowd",
    "found by",
    "shared",
    "origin",
    "peak",
    "of bytes",
    "start",
    "seek",
    "stalls",
    "stalled",
    "efficiency",
    "parents",
    "DHT/h",
    "dials/h",
];

fn row(r: &Report) -> [String; 14] {
    let per_cent = |x: f64, digits: usize| format!("{:.digits$} %", x * 100.0);
    let seconds = |(median, most): (f64, f64)| format!("{median:.1} / {most:.1} s");
    let shared = match r.sharing {
        Sharing::Even => "evenly",
        Sharing::Urgent => "urgent first",
    };
    [
        r.crowd.clone(),
        r.index.name().into(),
        shared.into(),
        format!("{:.1}", r.origin_streams),
        format!("{:.0}", r.origin_peak_streams),
        per_cent(r.origin_share, 1),
        seconds(r.start_s),
        seconds(r.seek_s),
        format!("{:.3}", r.stalls),
        per_cent(r.stall_ratio, 2),
        per_cent(r.efficiency, 1),
        per_cent(r.parent_share, 0),
        format!("{:.0}", r.operations_per_hour),
        format!("{:.0}", r.dials_per_hour),
    ]
}

/// Formats columns of even width, for a terminal; the first line is the header.
pub fn text(reports: &[Report]) -> String {
    crate::table::columns(&HEAD.map(String::from), &reports.iter().map(row).collect::<Vec<_>>(), 3)
}

/// Formats a table of Markdown.
pub fn markdown(reports: &[Report]) -> String {
    let mut out = format!("| {} |\n|---|---|---|{}\n", HEAD.join(" | "), "---:|".repeat(HEAD.len() - 3));
    for report in reports {
        out += &format!("| {} |\n", row(report).join(" | "));
    }
    out
}
