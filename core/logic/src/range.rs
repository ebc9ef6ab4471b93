//! The numbers that a setting may have.

/// A setting, its value, and the least and the largest that it may have.
///
/// Whole numbers are compared as floating-point numbers. That is exact up to 2⁵³, above every bound in use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The setting's name.
    pub name: &'static str,
    /// What it is set to.
    pub value: f64,
    /// The least value.
    pub least: f64,
    /// The largest value.
    pub most: f64,
}

impl Range {
    /// A setting that may have the values from `least` to `most`.
    pub fn new(name: &'static str, value: f64, least: f64, most: f64) -> Range {
        Range { name, value, least, most }
    }
}
