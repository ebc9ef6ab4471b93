//! The picture of docs/P2PMOD.md: four distributions over the viewers, each beside P2PMoD's own
//! figure.

use crate::report::{Report, ViewerReport};

const PANEL_W: f64 = 340.0;
const PANEL_H: f64 = 200.0;
const LEFT: f64 = 55.0;
const TOP: f64 = 60.0;
const GAP_X: f64 = 70.0;
const GAP_Y: f64 = 80.0;
/// Okabe and Ito's colours, which are distinguishable with colour blindness too.
const OURS: &str = "#0072B2";
const THEIRS: &str = "#D55E00";

struct Panel {
    title: &'static str,
    /// The figure of P2PMoD's authors, as a value of this axis and the share of viewers.
    theirs: (f64, f64, &'static str),
    unit: &'static str,
    /// Least range of the axis.
    axis: (f64, f64),
    values: Vec<f64>,
}

fn panels(r: &Report) -> [Panel; 4] {
    let efficiency = r.each(|v| v.efficiency() * 100.0);
    let worst = efficiency.iter().copied().fold(88.0, f64::min);
    [
        Panel {
            title: "start delay",
            theirs: (6.0, 0.9, "P2PMoD: 90 % within 6 s"),
            unit: "s",
            axis: (0.0, 7.0),
            values: r.starts(),
        },
        Panel {
            title: "stalls",
            theirs: (2.0, 1.0, "P2PMoD: under 2"),
            unit: "",
            axis: (0.0, 3.0),
            values: r.each(|v| v.stalls.len() as f64),
        },
        Panel {
            title: "stall ratio",
            theirs: (3.0, 1.0, "P2PMoD: under 3 %"),
            unit: "%",
            axis: (0.0, 4.0),
            values: r.each(|v| ViewerReport::stall_ratio(v) * 100.0),
        },
        Panel {
            title: "data efficiency",
            theirs: (90.0, 0.5, "P2PMoD: 90 %"),
            unit: "%",
            axis: (worst.max(0.0).floor(), 100.0),
            values: efficiency,
        },
    ]
}

/// Renders distributions as steps: for each value, the share of viewers with at most that value.
pub(crate) fn svg(r: &Report) -> String {
    let width = LEFT + 2.0 * PANEL_W + GAP_X + 20.0;
    let height = TOP + 2.0 * PANEL_H + GAP_Y + 40.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"Start delay, stalls, stall ratio and data efficiency of {0} viewers as distributions\" \
         font-family=\"system-ui, sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"20\" font-size=\"14\" font-weight=\"bold\">P2PMoD's experiment: the share of {0} viewers with no more than …</text>\n",
        r.viewers.len()
    );
    for (i, panel) in panels(r).iter().enumerate() {
        let x0 = LEFT + (i % 2) as f64 * (PANEL_W + GAP_X);
        let y0 = TOP + (i / 2) as f64 * (PANEL_H + GAP_Y);
        out += &panel.draw(x0, y0);
    }
    out + "</svg>\n"
}

impl Panel {
    fn draw(&self, x0: f64, y0: f64) -> String {
        let mut values: Vec<f64> = self.values.iter().copied().filter(|v| v.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let all = self.values.len().max(1) as f64;
        let from = self.axis.0;
        let to = values.last().copied().unwrap_or(0.0).max(self.axis.1);
        let x_of = |value: f64| x0 + (value - from) / (to - from) * PANEL_W;
        let y_of = |share: f64| y0 + (1.0 - share) * PANEL_H;
        let (right, bottom) = (x0 + PANEL_W, y0 + PANEL_H);
        let mut out = format!("<text x=\"{x0}\" y=\"{}\" font-weight=\"bold\">{}</text>\n", y0 - 8.0, self.title);
        for quarter in 0..=4 {
            let share = f64::from(quarter) / 4.0;
            let y = y_of(share);
            out += &format!(
                "<line x1=\"{x0}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555555\">{:.0} %</text>\n",
                x0 - 6.0,
                y + 4.0,
                share * 100.0
            );
        }
        let step = step(to - from);
        let mut mark = (from / step).ceil() * step;
        while mark <= to + step * 1e-6 {
            let label = format!(
                "{}{}{}",
                (mark * 1000.0).round() / 1000.0,
                if self.unit.is_empty() { "" } else { " " },
                self.unit
            );
            out += &format!(
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555555\">{label}</text>\n",
                x_of(mark),
                bottom + 15.0
            );
            mark += step;
        }
        let mut points = format!("{:.1},{:.1}", x_of(from), y_of(0.0));
        let mut share = 0.0;
        for (i, value) in values.iter().enumerate() {
            points += &format!(" {:.1},{:.1}", x_of(*value), y_of(share));
            share = (i + 1) as f64 / all;
            points += &format!(" {:.1},{:.1}", x_of(*value), y_of(share));
        }
        points += &format!(" {right:.1},{:.1}", y_of(share));
        let (value, share, words) = self.theirs;
        let (x, y) = (x_of(value), y_of(share));
        let anchor = if x > x0 + PANEL_W / 2.0 { ("end", -7.0) } else { ("start", 7.0) };
        out += &format!(
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{OURS}\" stroke-width=\"1.8\"/>\n\
             <circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{THEIRS}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{}\" fill=\"{THEIRS}\">{words}</text>\n",
            x + anchor.1,
            y + 16.0,
            anchor.0
        );
        out
    }
}

/// Returns the tick spacing of the axis: about five ticks over `span`.
fn step(span: f64) -> f64 {
    let rough = (span / 5.0).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough * 0.999).unwrap_or(rough)
}
