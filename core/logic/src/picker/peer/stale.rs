//! Requests that were cancelled or given up, whose blocks may still come.

use super::{Ask, Peer};
use crate::{BlockRef, Time};

/// Least time after which a request without an answer counts as lost and is sent again, seconds. A
/// slow peer that has it would send the block twice.
const LOST_S: f64 = 10.0;
/// Most stale requests that are remembered, besides twice the most requests that were ever
/// outstanding at once.
const STALE_REQUESTS: usize = 1024;

/// A request that was cancelled or given up, whose block may still come.
#[derive(Clone, Copy, Debug)]
pub(in crate::picker) struct StaleRequest {
    pub(in crate::picker) block: BlockRef,
    asked: Time,
    sent: Time,
    since: Time,
    /// Whether the request still stands at the peer: it was given up without a CANCEL.
    live: bool,
}

impl Peer {
    /// Returns the number of blocks of stale requests that will probably come all the same.
    pub(super) fn pending_stale(&self, now: Time, prior: f64) -> usize {
        if self.stale.is_empty() {
            return 0;
        }
        let (s, rtt) = (self.service_s(prior), self.rtt_s());
        let comes = |n: usize| now.since(self.stale[n].since).as_secs_f64() < rtt + 1.5 * s * (n + 1) as f64;
        // They are in the order of time: from one on, all of them come. Usually none does.
        if !comes(self.stale.len() - 1) {
            return 0;
        }
        let (mut from, mut to) = (0, self.stale.len());
        while from < to {
            let middle = usize::midpoint(from, to);
            if comes(middle) { to = middle } else { from = middle + 1 }
        }
        self.stale.len() - from
    }

    /// Adds a request that was cancelled, or given up without a CANCEL (`live`).
    pub(in crate::picker) fn mark_stale(&mut self, ask: Ask, since: Time, live: bool) {
        if self.stale.len() >= STALE_REQUESTS + 2 * self.most_asked
            && let Some(old) = self.stale.pop_front()
        {
            self.live_stale -= usize::from(old.live);
        }
        self.live_stale += usize::from(live);
        self.stale.push_back(StaleRequest { block: ask.block, asked: ask.asked, sent: ask.sent, since, live });
    }

    /// Removes a stale request for this block and returns when it was made.
    pub(in crate::picker) fn take_stale(&mut self, block: BlockRef) -> Option<Time> {
        let at = self.stale.iter().position(|g| g.block == block)?;
        let old_request = self.stale.remove(at)?;
        self.live_stale -= usize::from(old_request.live);
        Some(old_request.asked)
    }

    /// Handles a choke without BEP 6, which drops all requests.
    pub(in crate::picker) fn drop_requests(&mut self) {
        self.stale.iter_mut().for_each(|g| g.live = false);
        self.live_stale = 0;
    }

    /// Removes a request for this block that was given up without a CANCEL, as it stands again.
    /// Returns when it was sent. A cancelled request does not stand, and its REJECT may still come.
    pub(in crate::picker) fn revive(&mut self, block: BlockRef) -> Option<Time> {
        if self.live_stale == 0 {
            return None;
        }
        let sent = self.stale.iter().find(|g| g.live && g.block == block)?.sent;
        self.take_stale(block)?;
        Some(sent)
    }

    /// Returns whether a request sent at `sent` without an answer counts as lost: some peers drop
    /// requests silently.
    pub(in crate::picker) fn is_lost(&self, sent: Time, now: Time, prior: f64) -> bool {
        now.since(sent).as_secs_f64() > LOST_S.max(4.0 * self.patience_s(LOST_S / 4.0, prior))
    }

    /// Returns whether this REJECT answers a CANCEL rather than an outstanding request.
    pub(in crate::picker) fn answers_cancel(&mut self, block: BlockRef) -> bool {
        self.stale.iter().any(|g| !g.live && g.block == block) && self.take_stale(block).is_some()
    }
}
