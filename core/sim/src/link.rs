//! The viewer's own link, a queue that all peers' bytes share, and the window of one TCP
//! connection.
//!
//! TCP is modelled as far as it affects a picker: slow start from ten packets, additive increase,
//! halving once per round trip on loss, and a small window after idle time (RFC 5681, RFC 6928). A
//! lost packet arrives a round trip later and delays the data after it.

use playswarm_logic::Time;
use std::time::Duration;

/// Bytes of a packet.
pub(crate) const MSS: f64 = 1460.0;
const INITIAL_WINDOW: f64 = 10.0 * MSS;
const LEAST_WINDOW: f64 = 2.0 * MSS;
/// Most bytes in flight on a connection, as usual socket buffers allow.
const MOST_WINDOW: f64 = 4.0 * 1024.0 * 1024.0;

/// The viewer's downlink.
pub(crate) struct Link {
    rate: f64,
    queue: Duration,
    free_at: Time,
}

impl Link {
    pub(crate) fn new(rate: f64, queue_s: f64) -> Link {
        Link { rate, queue: Duration::from_secs_f64(queue_s), free_at: Time::ZERO }
    }

    /// Returns when these bytes, arriving now, have passed; `None` if the queue is full and drops
    /// them.
    pub(crate) fn pass(&mut self, now: Time, bytes: u32) -> Option<Time> {
        if self.free_at.since(now) > self.queue {
            return None;
        }
        Some(self.force(now, bytes))
    }

    /// The same for retransmitted bytes, for which the queue makes room.
    pub(crate) fn force(&mut self, now: Time, bytes: u32) -> Time {
        self.free_at = self.free_at.max(now).plus_secs(f64::from(bytes) / self.rate);
        self.free_at
    }
}

/// The sender's side of one TCP connection.
pub(crate) struct Window {
    cwnd: f64,
    threshold: f64,
    in_flight: f64,
    rtt: f64,
    idle_since: Time,
    halved_at: Option<Time>,
    /// Most bytes in flight in this round trip: the window grows only as far as it was used (RFC
    /// 7661).
    most_out: f64,
    round_at: Time,
    slow_start: bool,
}

impl Window {
    pub(crate) fn new(rtt: f64, slow_start: bool) -> Window {
        let cwnd = if slow_start { INITIAL_WINDOW } else { MOST_WINDOW };
        Window {
            cwnd,
            threshold: MOST_WINDOW,
            in_flight: 0.0,
            rtt,
            idle_since: Time::ZERO,
            halved_at: None,
            most_out: 0.0,
            round_at: Time::ZERO,
            slow_start,
        }
    }

    /// Returns the number of bytes that may be sent now.
    pub(crate) fn room(&mut self, now: Time) -> f64 {
        let timeout = (2.0 * self.rtt).max(0.2);
        if self.slow_start && self.in_flight <= 0.0 && now.since(self.idle_since).as_secs_f64() > timeout {
            self.threshold = self.threshold.max(self.cwnd * 0.75);
            self.cwnd = self.cwnd.min(INITIAL_WINDOW);
        }
        self.cwnd - self.in_flight
    }

    pub(crate) fn sent(&mut self, bytes: u32) {
        self.in_flight += f64::from(bytes);
        self.most_out = self.most_out.max(self.in_flight);
    }

    pub(crate) fn acked(&mut self, now: Time, bytes: u32) {
        let bytes = f64::from(bytes);
        let out = self.in_flight;
        self.in_flight -= bytes;
        if self.in_flight < 0.5 {
            self.in_flight = 0.0;
            self.idle_since = now;
        }
        let starting = self.cwnd < self.threshold;
        if starting && self.cwnd < 2.0 * self.most_out {
            self.cwnd += bytes;
        } else if !starting && self.cwnd < self.most_out + 3.0 * MSS {
            self.cwnd += MSS * bytes / self.cwnd;
        }
        self.cwnd = self.cwnd.min(MOST_WINDOW);
        if now.since(self.round_at).as_secs_f64() > self.rtt {
            (self.round_at, self.most_out) = (now, out);
        }
    }

    /// Records a lost packet: the window halves, at most once per round trip.
    pub(crate) fn lost(&mut self, now: Time) {
        if self.halved_at.is_some_and(|at| now.since(at).as_secs_f64() < self.rtt) {
            return;
        }
        self.halved_at = Some(now);
        self.threshold = (self.cwnd / 2.0).max(LEAST_WINDOW);
        self.cwnd = self.threshold;
    }

    /// Resets the window after an outage.
    pub(crate) fn restart(&mut self) {
        self.threshold = (self.cwnd / 2.0).max(LEAST_WINDOW);
        self.cwnd = INITIAL_WINDOW;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_doubles_each_round_trip_while_it_is_what_limits() {
        let mut window = Window::new(0.1, true);
        let first = window.room(Time::ZERO);
        window.sent(first as u32);
        assert!(window.room(Time::ZERO) < 1.0);
        window.acked(Time(100_000), first as u32);
        assert_eq!(window.room(Time(100_000)).round(), (2.0 * first).round());
    }

    #[test]
    fn it_doubles_as_well_when_each_packet_is_acked_by_itself() {
        let mut window = Window::new(0.1, true);
        for round in 0..4u64 {
            let packets = (window.room(Time(round * 100_000)) / MSS) as u32;
            (0..packets).for_each(|_| window.sent(MSS as u32));
            (0..packets).for_each(|_| window.acked(Time(round * 100_000 + 99_000), MSS as u32));
        }
        assert_eq!(window.room(Time(400_000)), 16.0 * INITIAL_WINDOW);
    }

    #[test]
    fn a_window_starts_small_again_after_idleness() {
        let mut window = Window::new(0.1, true);
        for round in 1..5u64 {
            let room = window.room(Time(round * 100_000));
            window.sent(room as u32);
            window.acked(Time(round * 100_000 + 90_000), room as u32);
        }
        assert!(window.room(Time(500_000)) > 100_000.0);
        assert_eq!(window.room(Time(5_000_000)), INITIAL_WINDOW);
    }

    #[test]
    fn a_full_queue_drops() {
        let mut link = Link::new(1000.0, 0.1);
        assert_eq!(link.pass(Time::ZERO, 1000), Some(Time(1_000_000)));
        assert_eq!(link.pass(Time::ZERO, 1), None);
        assert_eq!(link.pass(Time(950_000), 100), Some(Time(1_100_000)));
    }
}
