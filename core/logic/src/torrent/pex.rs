//! The content and timing of peer exchange (BEP 11). The messages are in `playswarm_proto::pex`.
//!
//! Private torrents (BEP 27) neither send nor accept it.

use crate::Time;
use playswarm_proto::pex::PexMessage;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// Time between two messages to one peer. BEP 11 allows at most one a minute.
const INTERVAL: Duration = Duration::from_secs(60);
/// Shortest interval between two messages of a peer; faster ones are ignored. This is BEP 11's
/// minute, less some slack for clocks and queues.
const MIN_RECEIVED_INTERVAL: Duration = Duration::from_secs(45);
/// Most added and most dropped addresses in one of our messages (BEP 11).
const MAX_SENT: usize = 50;

/// The peers sent to one peer, and the times of its last messages.
#[derive(Debug, Default)]
pub struct PexState {
    told: BTreeSet<SocketAddr>,
    sent_at: Option<Time>,
    received_at: Option<Time>,
}

impl PexState {
    /// Returns when the next message may be due.
    pub fn next_timeout(&self) -> Time {
        self.sent_at.map_or(Time::ZERO, |at| at + INTERVAL)
    }

    /// Returns the message to send now, if one is due and something has changed. `connected` holds
    /// the listening addresses of the connected peers and their flags; `peer` itself is left out.
    pub fn poll(&mut self, now: Time, peer: SocketAddr, connected: &BTreeMap<SocketAddr, u8>) -> Option<PexMessage> {
        if now < self.next_timeout() {
            return None;
        }
        self.sent_at = Some(now);
        let added: Vec<_> = connected
            .iter()
            .filter(|(addr, _)| **addr != peer && !self.told.contains(addr))
            .take(MAX_SENT)
            .map(|(addr, flags)| (*addr, *flags))
            .collect();
        let dropped: Vec<_> =
            self.told.iter().filter(|addr| !connected.contains_key(addr)).take(MAX_SENT).copied().collect();
        if added.is_empty() && dropped.is_empty() {
            return None;
        }
        self.told.extend(added.iter().map(|(addr, _)| *addr));
        self.told.retain(|addr| !dropped.contains(addr));
        Some(PexMessage { added, dropped })
    }

    /// Notes that a message arrived. Returns false if it came too soon after the last and is to be
    /// ignored.
    pub fn received(&mut self, now: Time) -> bool {
        let soon = self.received_at.is_some_and(|at| now.since(at) < MIN_RECEIVED_INTERVAL);
        if !soon {
            self.received_at = Some(now);
        }
        !soon
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn many(n: u8) -> BTreeMap<SocketAddr, u8> {
        (0..n).map(|i| (SocketAddr::new(Ipv4Addr::new(5, 5, 5, i).into(), 6881), 0)).collect()
    }

    #[test]
    fn each_minute_tells_what_changed_and_never_the_peer_of_itself() {
        let (mut state, mut connected) = (PexState::default(), many(3));
        let peer = addr("5.5.5.1:6881");
        let first = state.poll(Time::ZERO, peer, &connected).unwrap();
        assert_eq!(first.added.len(), 2);
        assert!(first.added.iter().all(|(a, _)| *a != peer));
        connected.remove(&addr("5.5.5.0:6881"));
        assert_eq!(state.poll(Time::from_secs_f64(59.0), peer, &connected), None);
        let next = state.poll(Time::from_secs_f64(60.0), peer, &connected).unwrap();
        assert_eq!(next, PexMessage { added: vec![], dropped: vec![addr("5.5.5.0:6881")] });
        assert_eq!(state.poll(Time::from_secs_f64(120.0), peer, &connected), None);
    }

    #[test]
    fn a_large_swarm_is_sent_in_parts_of_fifty() {
        let (mut state, connected) = (PexState::default(), many(120));
        let counts: Vec<usize> = (0..4)
            .map(|i| {
                state
                    .poll(Time::from_secs_f64(60.0 * f64::from(i)), addr("9.9.9.9:1"), &connected)
                    .map_or(0, |m| m.added.len())
            })
            .collect();
        assert_eq!(counts, [50, 50, 20, 0]);
    }

    #[test]
    fn messages_that_come_too_often_are_noticed() {
        let mut state = PexState::default();
        assert!(state.received(Time::ZERO));
        assert!(!state.received(Time::from_secs_f64(10.0)));
        assert!(state.received(Time::from_secs_f64(60.0)));
    }
}
