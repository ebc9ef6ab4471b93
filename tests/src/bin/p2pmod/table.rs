//! Tables of the figures, for a terminal and for docs/P2PMOD.md, beside those that P2PMoD's authors
//! reported.

use crate::report::{Report, SHARES};
use playswarm_tests::figures::quantile;

/// The figures that P2PMoD's authors reported for 70 viewers on PlanetLab, and our goals.
struct Row {
    name: &'static str,
    theirs: &'static str,
    goal: &'static str,
    points: [String; 4],
}

fn rows(r: &Report) -> Vec<Row> {
    let points = |values: Vec<f64>, show: fn(f64) -> String| SHARES.map(|share| show(quantile(&values, share)));
    // For an efficiency the worst viewers matter, so its shares count viewers that reach it.
    let falling = |values: Vec<f64>| {
        let turned: Vec<f64> = values.iter().map(|v| -v).collect();
        SHARES.map(|share| per_cent(-quantile(&turned, share)))
    };
    vec![
        Row { name: "start delay", theirs: "6 s for 90 %", goal: "1.5 s for all", points: points(r.starts(), seconds) },
        Row {
            name: "first byte",
            theirs: "",
            goal: "",
            points: points(r.each(|v| v.first_byte_s.unwrap_or(f64::INFINITY)), seconds),
        },
        Row {
            name: "start delay since the program's start",
            theirs: "",
            goal: "",
            points: points(r.each(|v| v.start_from_process_s.unwrap_or(f64::INFINITY)), seconds),
        },
        Row {
            name: "stalls",
            theirs: "under 2",
            goal: "none",
            points: points(r.each(|v| v.stalls.len() as f64), |n| format!("{n:.0}")),
        },
        Row {
            name: "stall ratio",
            theirs: "under 3 %",
            goal: "0 %",
            points: points(r.each(crate::report::ViewerReport::stall_ratio), per_cent),
        },
        Row {
            name: "data efficiency, reached by",
            theirs: "90 %",
            goal: "95 %",
            points: falling(r.each(crate::report::ViewerReport::efficiency)),
        },
    ]
}

fn seconds(s: f64) -> String {
    if s.is_finite() { format!("{s:.2} s") } else { "never".into() }
}

fn per_cent(share: f64) -> String {
    format!("{:.1} %", share * 100.0 + 0.0)
}

const HEAD: [&str; 7] = ["of the viewers", "P2PMoD", "goal", "50 %", "90 %", "95 %", "100 %"];

fn cells(r: &Report) -> Vec<[String; 7]> {
    let mut cells = vec![HEAD.map(String::from)];
    for row in rows(r) {
        let [a, b, c, d] = row.points;
        cells.push([row.name.into(), row.theirs.into(), row.goal.into(), a, b, c, d]);
    }
    cells
}

/// Returns the figures that are not distributions, with their names.
fn sums(r: &Report) -> Vec<(&'static str, String)> {
    let kb = |bytes: f64| format!("{:.0} kB/s", bytes / 1000.0);
    let (payload, wire) = r.origin_streams();
    let received: u64 = r.viewers.iter().map(|v| v.received_bytes).sum();
    let useful: u64 = r.viewers.iter().map(|v| v.received_bytes - v.wasted_bytes.min(v.received_bytes)).sum();
    let on_wire: u64 = r.viewers.iter().map(|v| v.traffic.received_bytes).sum();
    let memory = r.viewers.iter().map(|v| v.memory_bytes);
    let ended = r.viewers.iter().filter(|v| v.ended_badly.is_some()).count() + r.failed.len();
    let late = r.starts().iter().filter(|s| **s > 1.5).count();
    let stalled = r.viewers.iter().filter(|v| !v.stalls.is_empty()).count();
    let mut found: std::collections::BTreeMap<&str, u64> = std::collections::BTreeMap::new();
    for (name, bytes) in r.viewers.iter().flat_map(|v| &v.bytes_by_finding) {
        *found.entry(name).or_default() += bytes;
    }
    let found: Vec<String> = found
        .iter()
        .map(|(name, bytes)| format!("{name} {}", per_cent(*bytes as f64 / received.max(1) as f64)))
        .collect();
    vec![
        (
            "viewers",
            format!(
                "{}; {late} began after more than 1.5 s, {stalled} stalled, {ended} ended with an error",
                r.viewers.len()
            ),
        ),
        ("from the first arrival to the last departure", format!("{:.0} s", r.seconds)),
        (
            "the origin sent (P2PMoD: 275 kB/s, 7 streams; goal: 3)",
            format!("{payload:.2} streams ({}); {wire:.2} with all overhead", kb(payload * r.rate as f64)),
        ),
        ("the origin's busiest minute", format!("{:.1} streams", r.origin_peak_streams())),
        ("of the payload came from the origin", per_cent(r.origin_payload() as f64 / received.max(1) as f64)),
        ("payload by how peers were found", found.join(", ")),
        ("data efficiency of all payload (P2PMoD: 90 %; goal: 95 %)", per_cent(r.efficiency())),
        ("data efficiency of all bytes on the viewers' lines", per_cent(useful as f64 / on_wire.max(1) as f64)),
        (
            "processor time",
            format!(
                "{:.1} s a viewer, {:.1} s the origin, {:.1} s DHT nodes, {:.1} s the network and the players",
                (r.cpu_s - r.origin_cpu_s) / r.viewers.len().max(1) as f64,
                r.origin_cpu_s,
                r.dht_cpu_s,
                r.harness_cpu_s
            ),
        ),
        (
            "idle processor time",
            format!(
                "{}; {} in the busiest 10 s; low-priority work (nice): {}",
                per_cent(r.idle),
                per_cent(r.least_idle),
                per_cent(r.niced)
            ),
        ),
        ("largest memory of a viewer", format!("{:.0} MB", memory.max().unwrap_or(0) as f64 / 1e6)),
    ]
}

/// Formats the figures for a terminal.
pub(crate) fn text(r: &Report) -> String {
    let cells = cells(r);
    let widths: Vec<usize> =
        (0..HEAD.len()).map(|i| cells.iter().map(|row| row[i].chars().count()).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &cells {
        for (i, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[i] - cell.chars().count());
            out += &if i < 3 { format!("{cell}{pad}  ") } else { format!("{pad}{cell}  ") };
        }
        out = out.trim_end().to_owned() + "\n";
    }
    out += "\n";
    for (name, figure) in sums(r) {
        out += &format!("{name}: {figure}\n");
    }
    for failed in &r.failed {
        out += &format!("failed: {failed}\n");
    }
    out
}

/// Formats the figures as Markdown tables.
pub(crate) fn markdown(r: &Report) -> String {
    let cells = cells(r);
    let mut out = String::new();
    for (i, row) in cells.iter().enumerate() {
        out += &format!("| {} |\n", row.join(" | "));
        if i == 0 {
            out += "|---|---|---|---:|---:|---:|---:|\n";
        }
    }
    out += "\n| of all together | |\n|---|---|\n";
    for (name, figure) in sums(r) {
        out += &format!("| {name} | {figure} |\n");
    }
    out
}
