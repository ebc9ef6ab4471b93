//! Packets and reports of one stream of a session (RFC 3550).

use super::payload::Payload;
use super::rtp::{Header, SenderReport};
use std::time::Instant;

/// Random numbers with which a stream begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seed {
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
}

/// A stream that the client has set up.
#[derive(Clone, Debug)]
pub(super) struct Outlet {
    pub(super) stream: usize,
    pub(super) seed: Seed,
    pub(super) sequence: u16,
    packets: u32,
    octets: u32,
    pub(super) report_at: Instant,
}

impl Outlet {
    pub(super) fn new(stream: usize, seed: Seed, now: Instant) -> Outlet {
        Outlet { stream, seed, sequence: seed.sequence, packets: 0, octets: 0, report_at: now }
    }

    /// Makes the next packet, and counts it.
    pub(super) fn packet(&mut self, payload_type: u8, timestamp: u32, payload: &Payload) -> Vec<u8> {
        let (sequence, ssrc) = (self.sequence, self.seed.ssrc);
        self.sequence = sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload.data.len() as u32);
        Header { payload_type, marker: payload.marker, sequence, timestamp, ssrc }.packet(&payload.data)
    }

    /// Makes a report of what was sent. `ntp` and `timestamp` are the same moment.
    pub(super) fn report(&self, ntp: u64, timestamp: u32, ends: bool) -> Vec<u8> {
        let Outlet { packets, octets, .. } = *self;
        SenderReport { ssrc: self.seed.ssrc, ntp, timestamp, packets, octets }.compound(ends)
    }
}
