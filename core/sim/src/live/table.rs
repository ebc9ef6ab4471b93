//! The runs as tables of a page.

use super::catalogue::{SETS, catalogue};
use super::report::Report;
use crate::stats::quantile;

type Column = (&'static str, fn(&Report) -> String);

fn s(value: Option<f64>) -> String {
    value.map_or("–".into(), |s| format!("{s:.2}"))
}

fn both(of: impl Fn(f64) -> Option<f64>) -> String {
    format!("{} / {}", s(of(0.5)), s(of(0.95)))
}

fn percent(value: Option<f64>) -> String {
    value.map_or("–".into(), |share| format!("{:.2} %", share * 100.0))
}

const VIEWERS: Column = ("viewers", |r| r.viewers.len().to_string());
const UNSERVED: Column = ("unserved", |r| r.unserved().to_string());
const PARENT: Column = ("parent, s", |r| both(|q| r.parent_s(q)));
const PACKET: Column = ("first packet, s", |r| both(|q| r.first_packet_s(q)));
const PICTURE: Column = ("picture, s", |r| both(|q| r.first_group_s(q)));
const DELAY: Column = ("delay, s", |r| both(|q| r.delay_s(q)));
const GAPS: Column = ("gaps/h", |r| format!("{:.2}", r.gaps_per_hour()));
const ROUGH: Column = ("rough starts", |r| percent(Some(r.rough_starts())));
const UNFED: Column = ("unfed", |r| percent(r.unfed()));
const DEPTH: Column = ("depth", |r| format!("{} ({:.1})", r.depth(), r.mean_depth()));
const SOURCE: Column = ("source", |r| format!("{:.2}", r.source_streams));
const REPAIR: Column = ("repair, s", |r| both(|q| quantile(&r.repairs_s, q)));
const CONTROL: Column = ("control", |r| percent(Some(r.control)));
const TWICE: Column = ("twice", |r| percent(Some(r.duplicates)));
const REQUESTS: Column = ("requests/s", |r| r.source_joins_per_s.to_string());
const BEREFT: Column = ("below", |r| s(r.bereft));
const MOVES: Column = ("moved", |r| s(r.moves));
const UNHARMED: Column = ("unharmed", |r| percent(r.after_kill.as_ref().map(|after| after.unharmed)));
const WHOLE: Column = ("whole, s", |r| {
    let whole = r.after_kill.as_ref().and_then(|after| after.whole_s);
    format!("{} / {}", s(whole.map(|w| w.0)), s(whole.map(|w| w.1)))
});
const HOPS: Column = ("delay at each depth, ms", |r| {
    let delays = r.delay_by_depth().into_iter().map(|(_, s)| format!("{:.1}", s * 1000.0));
    delays.collect::<Vec<_>>().join(", ")
});
const STRESS: Column =
    ("stress", |r| r.links.as_ref().map_or("–".into(), |l| format!("{} ({:.1})", l.stress.0, l.stress.1)));
const STRETCH: Column =
    ("stretch", |r| r.links.as_ref().map_or("–".into(), |l| format!("{:.2} / {:.2}", l.stretch.0, l.stretch.1)));

fn columns(set: &str) -> Vec<Column> {
    match set {
        "ours" => vec![
            VIEWERS, UNSERVED, PACKET, PICTURE, DELAY, GAPS, ROUGH, DEPTH, SOURCE, REPAIR, CONTROL, TWICE, REQUESTS,
            UNHARMED, WHOLE,
        ],
        "without" => vec![UNSERVED, PICTURE, DELAY, GAPS, ROUGH, DEPTH, SOURCE, REPAIR, CONTROL, TWICE, REQUESTS],
        "links" => vec![UNSERVED, PICTURE, DELAY, GAPS, ROUGH, TWICE],
        "testbed" => vec![PARENT, PACKET, DELAY, DEPTH, HOPS],
        "departure" => vec![BEREFT, MOVES, REQUESTS, REPAIR, UNFED, DEPTH],
        "pairs" => vec![PARENT, PACKET, DELAY, UNFED, DEPTH, REPAIR, REQUESTS, BEREFT, MOVES],
        _ => vec![UNSERVED, PARENT, PACKET, DELAY, UNFED, DEPTH, REQUESTS, STRESS, STRETCH],
    }
}

/// Returns the tables in Markdown: one a set, one row a report.
pub fn markdown(reports: &[Report]) -> String {
    let all = catalogue();
    let mut text = String::new();
    for set in &SETS {
        let rows: Vec<_> = (all.iter().filter(|scenario| scenario.set == set.name))
            .filter_map(|scenario| Some((scenario, reports.iter().rfind(|report| report.scenario == scenario.name)?)))
            .collect();
        if rows.is_empty() {
            continue;
        }
        let columns = columns(set.name);
        let head: Vec<&str> = columns.iter().map(|(head, _)| *head).collect();
        text +=
            &format!("### {}\n\n| scenario | {} |\n|---|{}\n", set.title, head.join(" | "), "---:|".repeat(head.len()));
        for (scenario, report) in &rows {
            let cells: Vec<String> = columns.iter().map(|(_, cell)| cell(report)).collect();
            text += &format!("| {} | {} |\n", scenario.name, cells.join(" | "));
        }
        text += "\n";
        // The names of the others say what they are.
        if matches!(set.name, "ours" | "without" | "testbed") {
            rows.iter().for_each(|(scenario, _)| text += &format!("- **{}**: {}.\n", scenario.name, scenario.about));
            text += "\n";
        }
    }
    text.trim_end().to_owned() + "\n"
}
