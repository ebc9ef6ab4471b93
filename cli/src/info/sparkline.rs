//! Renders a curve as a line of text.

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Renders the values as bars from zero to the largest value, one character each.
pub(super) fn sparkline(values: &[f64]) -> String {
    let most = values.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
    let level = |value: &f64| {
        let share = if most > 0.0 && value.is_finite() { (value / most).clamp(0.0, 1.0) } else { 0.0 };
        LEVELS[((share * LEVELS.len() as f64).ceil() as usize).clamp(1, LEVELS.len()) - 1]
    };
    values.iter().map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_largest_value_fills_its_character() {
        assert_eq!(sparkline(&[0.0, 1.0, 2.0, 4.0, 8.0]), "▁▁▂▄█");
        assert_eq!(sparkline(&[5.0, 5.0]), "██");
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[0.0, 0.0]), "▁▁");
        assert_eq!(sparkline(&[f64::NAN, f64::INFINITY, 1.0, -1.0]), "▁▁█▁");
    }

    proptest! {
        #[test]
        fn more_is_never_shown_as_less(a in 0.0f64..1e9, b in 0.0f64..1e9) {
            let bars: Vec<char> = sparkline(&[a, b]).chars().collect();
            prop_assert_eq!(bars.len(), 2);
            if a <= b {
                prop_assert!(bars[0] <= bars[1]);
            }
        }
    }
}
