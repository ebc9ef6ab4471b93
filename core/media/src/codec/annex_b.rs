//! Byte streams of NAL units with start codes (ITU-T H.264 and H.265, Annex B).

/// Iterates over the data between start codes.
pub(crate) fn units(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let start = |bytes: &[u8]| bytes.windows(3).position(|w| w == [0, 0, 1]);
    let mut rest = start(body).map(|at| &body[at + 3..]);
    std::iter::from_fn(move || {
        let unit = rest?;
        let next = start(unit);
        rest = next.map(|at| &unit[at + 3..]);
        Some(&unit[..next.unwrap_or(unit.len())])
    })
}
