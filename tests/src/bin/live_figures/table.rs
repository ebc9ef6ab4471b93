//! Tables of the figures.

use crate::report::Report;
use playswarm_tests::figures::quantile;

/// Formats runs as Markdown tables.
pub(crate) fn markdown(reports: &[Report]) -> String {
    let mut out = String::from(
        "| run | viewers | kbit/s | first packet, s | first byte, s | delay, s: 50, 95, 100 % | spread, s | gaps/viewer-hours | lost \
         packets | source, streams: mean, peak | depth | overhead |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for r in reports {
        out += &format!("| {} |\n", all(r).join(" | "));
    }
    out += "\n| run | kills | repaired, s: 50, 95, 100 % | unharmed | memory, MB: most, source | processor: viewer, source | \
            idle: mean, least |\n|---|---:|---:|---:|---:|---:|---:|\n";
    for r in reports {
        out += &format!("| {} |\n", machine(r).join(" | "));
    }
    out += "\n| run | delay at each depth, s |\n|---|---|\n";
    for r in reports {
        out += &format!("| {} | {} |\n", r.name, by_depth(r));
    }
    out
}

/// Returns the median delay of the viewers at each depth.
fn by_depth(r: &Report) -> String {
    let deepest = r.viewers.iter().map(|v| v.depth).max().unwrap_or(0);
    let at = |depth| r.each(|v| v.delay_s.filter(|_| v.depth == depth).map(|d| d[1]));
    let shown =
        |values: Vec<f64>| if values.is_empty() { "–".into() } else { format!("{:.3}", quantile(&values, 0.5)) };
    (1..=deepest).map(|depth| shown(at(depth))).collect::<Vec<String>>().join(", ")
}

fn quantiles<const N: usize>(values: &[f64], shares: [f64; N]) -> String {
    let shown = |v: f64| if v.is_finite() { format!("{v:.2}") } else { "–".into() };
    shares.map(|share| shown(quantile(values, share))).join(" / ")
}

fn all(r: &Report) -> Vec<String> {
    let (mean, peak) = r.source();
    let median = r.each(|v| v.delay_s.map(|d| d[1]));
    let late = r.each(|v| v.delay_s.map(|d| d[2]));
    let depths: Vec<f64> = r.each(|v| (v.depth > 0).then_some(v.depth as f64));
    let worst = r.each(|v| v.delay_s.map(|d| d[3])).into_iter().fold(0.0, f64::max);
    vec![
        r.name.clone(),
        r.viewers.len().to_string(),
        format!("{:.0}", r.rate as f64 * 8.0 / 1000.0),
        quantiles(&r.each(|v| v.first_packet_s), [0.5, 0.95, 1.0]),
        quantiles(&r.each(|v| v.first_s), [0.5, 0.95, 1.0]),
        format!("{:.2} / {:.2} / {worst:.2}", quantile(&median, 0.5), quantile(&late, 0.95)),
        format!("{:.2}", quantile(&median, 0.95) - quantile(&median, 0.05)),
        format!("{} / {:.1}", r.gaps(), r.viewer_hours()),
        r.lost().to_string(),
        format!("{mean:.2} / {peak:.2}"),
        quantiles(&depths, [0.5, 1.0]),
        format!("{:.1} %", r.overhead() * 100.0),
    ]
}

fn machine(r: &Report) -> Vec<String> {
    let repaired: Vec<f64> = r.kills.iter().flat_map(|kill| kill.repaired_s.clone()).collect();
    let unharmed = r.unharmed().map_or("–".into(), |share| format!("{:.1} %", share * 100.0));
    let memory = r.each(|v| Some(v.memory_bytes as f64 / 1e6));
    let cpu = r.each(|v| (!v.killed && v.stayed_s() > 1.0).then(|| v.cpu_s / v.stayed_s() * 100.0));
    vec![
        r.name.clone(),
        r.kills.iter().map(|kill| kill.hosts.len()).sum::<usize>().to_string(),
        quantiles(&repaired, [0.5, 0.95, 1.0]),
        unharmed,
        format!("{:.0} / {:.0}", quantile(&memory, 1.0), r.source_memory_bytes as f64 / 1e6),
        format!("{:.2} % / {:.2} %", quantile(&cpu, 0.5), r.source_cpu_s / r.seconds * 100.0),
        format!("{:.0} % / {:.0} %", r.idle * 100.0, r.least_idle * 100.0),
    ]
}
