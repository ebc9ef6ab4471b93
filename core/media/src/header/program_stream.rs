//! MPEG program streams: the clocks of the first and the last pack, and of three between them,
//! since the clock of a DVD may restart.

use super::{Short, Told};
use crate::held::Held;
use std::ops::Range;

/// Bytes read to find a pack.
pub(super) const WINDOW: u64 = 64 << 10;
/// Ticks of the clock per second.
const TICKS: f64 = 90_000.0;
/// Number of values of the clock before it wraps.
const WRAP: u64 = 1 << 33;
/// Largest ratio between the rates of two quarters of the film.
const MAX_RATIO: f64 = 20.0;

pub(super) fn read(held: &Held) -> Result<Told, Short> {
    let size = held.size();
    let windows = (0..5).map(|n| {
        let at = (size / 4 * n).min(size.saturating_sub(WINDOW));
        at..(at + WINDOW).min(size)
    });
    let windows: Vec<Range<u64>> = windows.collect();
    let mut clocks = Vec::with_capacity(5);
    // The last window first: it was requested with the head.
    for (n, window) in windows.iter().enumerate().rev() {
        let bytes = held.get(window.clone()).ok_or(Short::Need(window.clone()))?;
        let mut packs = packs(bytes);
        let pack = if n == 4 { packs.last() } else { packs.next() };
        clocks.push(pack.ok_or(Short::Nothing("has no pack where one belongs"))?);
    }
    clocks.reverse();
    let steps: Vec<f64> = clocks.windows(2).map(|pair| ((pair[1] + WRAP - pair[0]) % WRAP) as f64 / TICKS).collect();
    let most = steps.iter().copied().fold(0.0, f64::max);
    let least = steps.iter().copied().fold(f64::MAX, f64::min);
    if size >= 8 * WINDOW && most > least.max(0.001) * MAX_RATIO {
        return Err(Short::Nothing("has a clock that begins anew"));
    }
    let duration_s = if size >= 8 * WINDOW { steps.iter().sum() } else { ticks(clocks[0], clocks[4]) };
    Ok(Told { duration_s, ..Told::default() })
}

fn ticks(from: u64, to: u64) -> f64 {
    ((to + WRAP - from) % WRAP) as f64 / TICKS
}

/// Iterates over the clocks of the packs in these bytes.
fn packs(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.windows(10).filter_map(|pack| {
        let [0, 0, 1, 0xba, a, b, c, d, e, _] = *pack else { return None };
        let [a, b, c, d, e] = [a, b, c, d, e].map(u64::from);
        // Marker bits separate the parts of the clock.
        if a & 0xc4 == 0x44 && c & 4 == 4 && e & 4 == 4 {
            let high = (a >> 3 & 7) << 30 | (a & 3) << 28;
            return Some(high | b << 20 | (c >> 3) << 15 | (c & 3) << 13 | d << 5 | e >> 3);
        }
        (a & 0xf1 == 0x21 && c & 1 == 1 && e & 1 == 1)
            .then_some((a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1)
    })
}
