//! Panels of lines, which the pictures of the crowds share.

/// Okabe and Ito's colours, which are distinguishable with colour blindness too.
pub(crate) const COLOURS: [&str; 5] = ["#0072B2", "#E69F00", "#56B4E9", "#CC79A7", "#999999"];

/// A rectangle with axes from zero.
pub(crate) struct Panel {
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
    /// The values at the right and upper ends.
    pub(crate) x_most: f64,
    pub(crate) y_most: f64,
}

/// Returns the tick spacing of an axis: about four ticks up to `most`.
pub(crate) fn step(most: f64) -> f64 {
    let rough = (most / 4.0).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough).unwrap_or(rough)
}

/// Begins a picture, with its title and a description for screen readers.
pub(crate) fn begin(width: f64, height: f64, title: &str, label: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"{label}\" font-family=\"system-ui, sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{title}</text>\n"
    )
}

/// Draws a legend entry at `x`, below the title.
pub(crate) fn key(x: f64, colour: &str, name: &str) -> String {
    let at = x + 16.0;
    format!(
        "<rect x=\"{x}\" y=\"32\" width=\"11\" height=\"11\" fill=\"{colour}\"/><text x=\"{at}\" y=\"42\">{name}</text>\n"
    )
}

impl Panel {
    fn x(&self, value: f64) -> f64 {
        self.left + value / self.x_most * (self.right - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - value / self.y_most * (self.bottom - self.top)
    }

    pub(crate) fn title(&self, title: &str) -> String {
        let (x, y) = (self.left, self.top - 16.0);
        format!("<text x=\"{x}\" y=\"{y}\" font-weight=\"bold\">{title}</text>\n")
    }

    /// Draws horizontal lines with their values, and the values of the other axis below.
    pub(crate) fn grid(&self, y_label: impl Fn(f64) -> String, x_step: f64, x_label: impl Fn(f64) -> String) -> String {
        let mut out = String::new();
        let (left, right) = (self.left, self.right);
        let y_step = step(self.y_most);
        for value in (0..).map(|n| f64::from(n) * y_step).take_while(|value| *value <= self.y_most) {
            let y = self.y(value);
            out += &format!(
                "<line x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#dddddd\" stroke-dasharray=\"2 3\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555555\">{}</text>\n",
                left - 6.0,
                y + 4.0,
                y_label(value)
            );
        }
        for value in (0..).map(|n| f64::from(n) * x_step).take_while(|value| *value <= self.x_most) {
            out += &format!(
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555555\">{}</text>\n",
                self.x(value),
                self.bottom + 15.0,
                x_label(value)
            );
        }
        out
    }

    /// Draws a line through these points.
    pub(crate) fn line(&self, points: impl Iterator<Item = (f64, f64)>, colour: &str, title: &str) -> String {
        let points: Vec<String> = points.map(|(x, y)| format!("{:.1},{:.1}", self.x(x), self.y(y))).collect();
        format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"><title>{title}</title></polyline>\n",
            points.join(" ")
        )
    }
}
