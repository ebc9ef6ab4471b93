//! The benchmark's table, for a terminal and for a page of docs.

use crate::bench::Cell;

const HEAD: [&str; 14] = [
    "scenario",
    "policy",
    "start",
    "seek",
    "worst seek",
    "by floor",
    "stalls",
    "stalled",
    "waste",
    "imbalance",
    "hedges",
    "cancels",
    "timeouts",
    "faults",
];

fn ratio(value: Option<f64>) -> String {
    value.map_or("–".into(), |v| format!("{v:.2}"))
}

fn rows(cells: &[Cell]) -> Vec<[String; 14]> {
    cells
        .iter()
        .map(|c| {
            let faults = if c.unfinished > 0 {
                format!("{} ({} unfinished)", c.faults, c.unfinished)
            } else {
                c.faults.to_string()
            };
            [
                c.scenario.clone(),
                c.policy.clone(),
                ratio(c.start),
                ratio(c.seek),
                ratio(c.worst_seek),
                ratio(c.by_floor),
                format!("{}", c.stalls),
                format!("{:.1} %", c.stalled_share * 100.0),
                format!("{:.2} %", c.waste * 100.0),
                format!("{:.2}", c.imbalance),
                format!("{}", c.hedges),
                format!("{}", c.cancels),
                format!("{}", c.timeouts),
                faults,
            ]
        })
        .collect()
}

/// Formats columns of even width.
pub fn text(cells: &[Cell]) -> String {
    columns(&HEAD.map(String::from), &rows(cells), 2)
}

/// Formats rows under a header in columns of even width, the first `left` of them left-aligned.
pub(crate) fn columns<const N: usize>(head: &[String; N], rows: &[[String; N]], left: usize) -> String {
    let widths: Vec<usize> =
        (0..N).map(|i| rows.iter().chain([head]).map(|r| r[i].chars().count()).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for row in [head].into_iter().chain(rows) {
        for (i, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[i] - cell.chars().count());
            out += &if i < left { format!("{cell}{pad}  ") } else { format!("{pad}{cell}  ") };
        }
        out = out.trim_end().to_string() + "\n";
    }
    out
}

/// Formats a table of Markdown; the first row is the header.
pub fn markdown(cells: &[Cell]) -> String {
    let mut out = format!("| {} |\n|---|---|{}\n", HEAD.join(" | "), "---:|".repeat(HEAD.len() - 2));
    for row in rows(cells) {
        out += &format!("| {} |\n", row.join(" | "));
    }
    out
}

const BEGIN: &str = "<!-- bench: begin -->";
const END: &str = "<!-- bench: end -->";

/// Replaces the text between the markers of a page. Without markers, appends them with the text.
pub fn splice(page: &str, table: &str) -> String {
    let block = format!("{BEGIN}\n\n{table}\n{END}");
    match (page.find(BEGIN), page.find(END)) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{}{block}{}", &page[..begin], &page[end + END.len()..])
        }
        _ => format!("{page}\n{block}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_keeps_what_is_outside_of_the_markers() {
        let once = splice("before\n", "A");
        let twice = splice(&format!("{once}after\n"), "B");
        assert!(twice.starts_with("before\n") && twice.ends_with("after\n"));
        assert!(twice.contains("\nB\n") && !twice.contains("\nA\n"));
    }
}
