//! Decoding timestamps for containers that have presentation timestamps alone.

use super::{ParameterSets, TrackSetup};
use crate::codec::sps;

/// Pictures that are reordered if neither the codec nor its parameter sets say so: two B-pictures
/// and a reference, as encoders do by default.
const USUAL_DEPTH: usize = 2;

/// Assumed duration of a picture before the first one, in nanoseconds.
const USUAL_FRAME_NS: i64 = 40_000_000;

/// Returns how many pictures of a track may precede another in decoding order and follow it in
/// presentation order.
pub(crate) fn depth(codec: &str, setup: &TrackSetup) -> usize {
    let stated = |sets: Option<ParameterSets>| {
        let sps = sets?.sps.into_iter().next()?;
        let set = if codec == "h264" { sps::h264(&sps) } else { sps::hevc(&sps) };
        set?.reorder.map(|reorder| reorder as usize)
    };
    match codec {
        "h264" | "hevc" => stated(setup.parameter_sets(codec)).unwrap_or(USUAL_DEPTH),
        "vvc" => USUAL_DEPTH,
        "mpeg1video" | "mpeg2video" | "mpeg4" | "vc1" => 1,
        _ => 0,
    }
}

/// The order of the pictures of one track.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    depth: usize,
    /// Duration of a picture in nanoseconds.
    frame_ns: i64,
    /// The latest presentation times so far, ascending: one more than the depth.
    latest: Vec<i64>,
    last: i64,
}

impl Order {
    pub(crate) fn new(depth: usize, frame_ns: Option<i64>) -> Order {
        let frame_ns = frame_ns.filter(|ns| *ns > 0).unwrap_or(USUAL_FRAME_NS);
        Order { depth, frame_ns, latest: Vec::new(), last: i64::MIN }
    }

    /// Returns the decoding time of the next picture. A picture is decoded when as many pictures as
    /// may be reordered were, and one more.
    pub(crate) fn dts(&mut self, pts: i64) -> i64 {
        if self.latest.is_empty() {
            let before = (1..=self.depth as i64).rev();
            self.latest = before.map(|n| pts.saturating_sub(n.saturating_mul(self.frame_ns))).collect();
        } else {
            self.latest.remove(0);
        }
        let at = self.latest.partition_point(|known| *known <= pts);
        self.latest.insert(at, pts);
        self.last = self.latest[0].max(self.last).min(pts);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(depth: usize, pts: &[i64]) -> Vec<i64> {
        let mut order = Order::new(depth, Some(1));
        pts.iter().map(|pts| order.dts(*pts)).collect()
    }

    #[test]
    fn decoding_times_ascend_and_precede_presentation() {
        assert_eq!(order(0, &[0, 1, 2]), [0, 1, 2]);
        assert_eq!(order(1, &[0, 2, 1, 4, 3]), [-1, 0, 1, 2, 3]);
        assert_eq!(order(2, &[0, 4, 2, 1, 3, 8, 6, 5, 7]), [-2, -1, 0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_depth_that_is_too_small_never_puts_decoding_after_presentation() {
        let pts = [0, 4, 2, 1, 3, 8];
        assert!(order(0, &pts).iter().zip(pts).all(|(dts, pts)| *dts <= pts));
    }
}
