//! The benchmark's picture: for each scenario the bars of the policies, with start and seek side by
//! side.

use crate::bench::Cell;
use crate::plot::COLOURS;

/// Longest bar, as a ratio. Longer ones are truncated and labelled.
const MOST: f64 = 6.0;
const BAR: f64 = 9.0;
const GAP: f64 = 14.0;
const LEFT: f64 = 150.0;
const PANEL: f64 = 340.0;
const TOP: f64 = 84.0;

/// Selects the value of a cell that a panel shows.
type Figure = fn(&Cell) -> Option<f64>;

fn names<'a>(cells: &'a [Cell], of: impl Fn(&'a Cell) -> &'a str) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for cell in cells {
        if !names.contains(&of(cell)) {
            names.push(of(cell));
        }
    }
    names
}

/// Draws horizontal bars of the delays as ratios to the limit: shorter is better, and 1 is the
/// least possible.
pub fn svg(cells: &[Cell]) -> String {
    let (scenarios, policies) = (names(cells, |c| &c.scenario), names(cells, |c| &c.policy));
    let row = policies.len() as f64 * BAR + GAP;
    let height = TOP + scenarios.len() as f64 * row + 20.0;
    let width = LEFT + 2.0 * (PANEL + 60.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"Start and seek delays by policy and scenario, as ratios to the computed limit\" \
         font-family=\"system-ui, sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"20\" font-size=\"14\" font-weight=\"bold\">Delay by limit (1 is the least possible; shorter is better)</text>\n"
    );
    for (i, policy) in policies.iter().enumerate() {
        let x = 10.0 + i as f64 * 140.0;
        let colour = COLOURS[i % COLOURS.len()];
        out += &format!(
            "<rect x=\"{x}\" y=\"32\" width=\"11\" height=\"11\" fill=\"{colour}\"/><text x=\"{}\" y=\"42\">{policy}</text>\n",
            x + 16.0
        );
    }
    let panels: [(&str, Figure); 2] = [("start", |c| c.start), ("seek (median)", |c| c.seek)];
    for (p, (title, value)) in panels.into_iter().enumerate() {
        let x0 = LEFT + p as f64 * (PANEL + 60.0);
        out += &format!("<text x=\"{x0}\" y=\"64\" font-weight=\"bold\">{title}</text>\n");
        for tick in 0..=MOST as u32 {
            let x = x0 + f64::from(tick) / MOST * PANEL;
            let (colour, dash) = if tick == 1 { ("#444444", "") } else { ("#dddddd", " stroke-dasharray=\"2 3\"") };
            out += &format!(
                "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"{dash}/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555555\" font-size=\"10\">{tick}</text>\n",
                height - 20.0,
                TOP - 5.0
            );
        }
        for (s, scenario) in scenarios.iter().enumerate() {
            let y0 = TOP + s as f64 * row + GAP / 2.0;
            if p == 0 {
                let y = y0 + (row - GAP) / 2.0 + 4.0;
                out += &format!("<text x=\"{}\" y=\"{y:.1}\" text-anchor=\"end\">{scenario}</text>\n", LEFT - 8.0);
            }
            for (i, policy) in policies.iter().enumerate() {
                let cell = cells.iter().find(|c| c.scenario == *scenario && c.policy == *policy);
                let Some(ratio) = cell.and_then(value) else { continue };
                let (y, length) = (y0 + i as f64 * BAR, ratio.min(MOST) / MOST * PANEL);
                let colour = COLOURS[i % COLOURS.len()];
                out += &format!(
                    "<rect x=\"{x0:.1}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{:.1}\" fill=\"{colour}\"><title>{scenario}, {policy}: {ratio:.2}</title></rect>\n",
                    BAR - 1.0
                );
                if ratio > MOST {
                    out += &format!(
                        "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"9\" fill=\"#333333\">{ratio:.1}</text>\n",
                        x0 + length + 3.0,
                        y + BAR - 1.5
                    );
                }
            }
        }
    }
    out + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_has_a_bar_in_each_panel_and_its_name_once() {
        let cell = |policy: &str, start| Cell {
            scenario: "one".into(),
            policy: policy.into(),
            start: Some(start),
            seek: Some(1.5),
            worst_seek: None,
            by_floor: None,
            stalls: 0.0,
            stalled_share: 0.0,
            waste: 0.0,
            imbalance: 0.0,
            hedges: 0.0,
            cancels: 0.0,
            timeouts: 0.0,
            faults: 0,
            unfinished: 0,
        };
        let picture = svg(&[cell("a", 1.0), cell("b", 22.0)]);
        assert_eq!(picture.matches("<title>").count(), 4);
        assert_eq!(picture.matches(">22.0<").count(), 1);
        assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"));
    }
}
