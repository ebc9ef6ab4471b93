//! What differs for a peer that serves ranges over HTTP.
//!
//! It answers requests in order, each for a run of blocks, and a request that was sent cannot be
//! withdrawn. So a cancelled block stays in the queue until it comes: it delays later blocks, and
//! takes its part of the bound on the queue.

use super::{Manner, Peer};
use crate::{BLOCK_BYTES, BlockRef};

/// Least length of a run while a reader waits, in blocks. Other peers may take the next blocks as
/// soon as they turn out to be faster. `gnustream`.
const SMALL_RUN: f64 = 2.0;
/// Length of a run in round trips at the peer's rate, if requests cannot be pipelined. The
/// connection is idle for one round trip between two of them, so it is busy for four fifths of the
/// time. Longer runs delay a seek. `mirrors`.
const ROUND_TRIPS: f64 = 4.0;

impl Peer {
    pub(in crate::picker) fn is_asked_for_runs(&self) -> bool {
        matches!(self.manner, Manner::Ranges { .. })
    }

    /// Whether a choke drops its requests (BEP 3). BEP 6 keeps those for allowed fast pieces, and
    /// each other one is rejected.
    pub(in crate::picker) fn drops_on_choke(&self) -> bool {
        matches!(self.manner, Manner::Blocks { fast: false, .. })
    }

    /// Returns the most blocks that may be outstanding, apart from the bound by rate.
    pub(super) fn max_outstanding(&self) -> usize {
        let most = super::super::MAX_REQUESTS;
        match self.manner {
            Manner::Blocks { requests, .. } => (requests.clamp(1, most) as usize).saturating_sub(self.live_stale),
            Manner::Ranges { .. } => most as usize,
        }
    }

    /// Whether it owes a block that is still wanted.
    pub(in crate::picker) fn owes(&self) -> bool {
        self.queue.iter().any(|ask| !ask.withdrawn)
    }

    /// Whether a further run would be one request more than it accepts.
    pub(in crate::picker) fn is_at_depth(&self) -> bool {
        let Manner::Ranges { depth, .. } = self.manner else { return false };
        let rest = self.queue.front().is_some_and(|ask| !ask.begins);
        let runs = self.queue.iter().filter(|ask| ask.begins).count() + usize::from(rest);
        runs >= usize::from(depth.max(1))
    }

    /// Returns the time for which the connection is idle before the next request, in seconds: a
    /// round trip if requests cannot be pipelined.
    pub(in crate::picker) fn pause_s(&self) -> f64 {
        let serial = matches!(self.manner, Manner::Ranges { depth: 0 | 1, .. });
        if serial && !self.queue.is_empty() { self.rtt_s() } else { 0.0 }
    }

    /// Returns the most blocks of one request. Runs keep the connection busy. While a reader waits
    /// (`urgent`), they are no longer than that; otherwise they are as long as a round trip, and at
    /// least as long as the source wants them.
    pub(in crate::picker) fn run_blocks(&self, urgent: bool, prior: f64) -> u32 {
        let Manner::Ranges { depth, least_bytes, most_bytes } = self.manner else { return 1 };
        let blocks = |bytes: u32| f64::from((bytes / BLOCK_BYTES).max(1));
        let (flight, depth) = (self.in_flight(prior), f64::from(depth));
        let run = match (depth > 1.0, urgent) {
            (true, true) => flight / (depth - 1.0),
            (true, false) => flight,
            (false, _) => ROUND_TRIPS * flight,
        };
        let least = if urgent { SMALL_RUN } else { blocks(least_bytes) };
        // An unmeasured source is not trusted with more than the first requests of any peer.
        let most = if urgent && !self.measured() { self.window } else { f64::INFINITY };
        run.max(least).min(most).min(blocks(most_bytes)).ceil() as u32
    }

    /// Takes back the withdrawal of a request. Returns whether there was one for this block.
    pub(in crate::picker) fn ask_again(&mut self, block: BlockRef) -> bool {
        let ask = self.queue.iter_mut().find(|ask| ask.withdrawn && ask.block == block);
        ask.map(|ask| ask.withdrawn = false).is_some()
    }
}
