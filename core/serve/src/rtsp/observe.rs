//! What can be seen of the RTSP server: its sessions, and its counters since the start.

use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A session of an RTSP client.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RtspSession {
    /// Number of the file.
    pub file: usize,
    /// Time of the film that the client shows, in seconds. It is at most a second old.
    pub position_s: f64,
    /// Film that was sent and not shown yet, in seconds.
    pub lead_s: f64,
    /// `tcp`, `udp` or `http`, which is TCP in a tunnel over HTTP.
    pub transport: &'static str,
    /// `elementary` or `mpegts`.
    pub format: &'static str,
    /// Lost packets, as the client reports them over UDP.
    pub lost: u64,
    /// The client's `User-Agent`, on one line; empty if it sent none.
    pub client: String,
}

/// Figures of an RTSP server since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RtspCounters {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) lost: u64,
    pub(crate) refused: u64,
}

/// A view of a running RTSP server, for a status. Cheap to clone. It does not keep the server
/// running.
#[derive(Clone, Debug, Default)]
pub struct RtspView(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    sessions: Mutex<BTreeMap<u64, RtspSession>>,
    next: AtomicU64,
    packets: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    refused: AtomicU64,
}

impl RtspView {
    /// Returns the sessions that are set up, the oldest first.
    pub fn sessions(&self) -> Vec<RtspSession> {
        self.0.sessions.lock().values().cloned().collect()
    }

    pub(crate) fn counters(&self) -> RtspCounters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Seen { packets, bytes, lost, refused, .. } = &*self.0;
        RtspCounters { packets: get(packets), bytes: get(bytes), lost: get(lost), refused: get(refused) }
    }

    /// Counts a request that was refused.
    pub(crate) fn refused(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Lists a session until the entry is dropped.
    pub(crate) fn enter(&self, session: RtspSession) -> Entry {
        let key = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.0.sessions.lock().insert(key, session);
        Entry { view: self.clone(), key, lost: BTreeMap::new() }
    }
}

/// A listed session.
#[derive(Debug)]
pub(crate) struct Entry {
    view: RtspView,
    key: u64,
    /// Lost packets of each stream, by its SSRC.
    lost: BTreeMap<u32, u32>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.view.0.sessions.lock().remove(&self.key);
    }
}

impl Entry {
    fn change(&self, change: impl FnOnce(&mut RtspSession)) {
        if let Some(session) = self.view.0.sessions.lock().get_mut(&self.key) {
            change(session);
        }
    }

    pub(crate) fn shows(&self, position_s: f64, lead_s: f64) {
        self.change(|session| (session.position_s, session.lead_s) = (position_s, lead_s));
    }

    /// Counts a packet of a stream.
    pub(crate) fn sent(&self, bytes: usize) {
        self.view.0.packets.fetch_add(1, Ordering::Relaxed);
        self.view.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Records a client's report of losses. `is_ours` tells which SSRC is a stream of the session.
    pub(crate) fn reported(&mut self, losses: &[(u32, u32)], is_ours: impl Fn(u32) -> bool) {
        for (ssrc, lost) in losses.iter().filter(|(ssrc, _)| is_ours(*ssrc)) {
            let before = self.lost.insert(*ssrc, *lost).unwrap_or_default();
            self.view.0.lost.fetch_add(lost.saturating_sub(before).into(), Ordering::Relaxed);
        }
        let lost = self.lost.values().map(|lost| u64::from(*lost)).sum();
        self.change(|session| session.lost = lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_listed_until_it_ends_and_its_figures_remain() {
        let view = RtspView::default();
        let mut entry = view.enter(RtspSession { file: 3, ..RtspSession::default() });
        let second = view.enter(RtspSession::default());
        entry.shows(12.5, 2.0);
        entry.sent(100);
        second.sent(11);
        // Another's stream does not count; a number that shrinks is a lie or a late datagram.
        entry.reported(&[(1, 5), (2, 2), (9, 50)], |ssrc| ssrc < 9);
        entry.reported(&[(1, 4), (2, 3)], |ssrc| ssrc < 9);
        let expected = RtspSession { file: 3, position_s: 12.5, lead_s: 2.0, lost: 7, ..RtspSession::default() };
        assert_eq!(view.sessions(), [expected, RtspSession::default()]);
        drop(entry);
        assert_eq!(view.sessions(), [RtspSession::default()]);
        view.refused();
        assert_eq!(view.counters(), RtspCounters { packets: 2, bytes: 111, lost: 8, refused: 1 });
    }
}
