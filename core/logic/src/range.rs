//! The valid range of a numeric setting.

/// A setting, its value, and its smallest and largest valid value.
///
/// Whole numbers are compared as floating-point numbers. That is exact up to 2⁵³, above every bound
/// in use.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Range {
    /// Name of the setting, after the names of its groups and dots: `advanced.picker.read_ahead_s`.
    pub name: String,
    /// Present value.
    pub value: f64,
    /// Smallest valid value.
    pub least: f64,
    /// Largest valid value.
    pub most: f64,
}

impl Range {
    /// Creates the range of a setting with valid values from `least` to `most`.
    pub fn new(name: &str, value: f64, least: f64, most: f64) -> Range {
        Range { name: name.to_owned(), value, least, most }
    }
}
