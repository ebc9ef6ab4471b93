//! Transport packets and the PES headers in them (ISO/IEC 13818-1, 2.4.3): synchronisation and
//! parsing.

use crate::bisect::{Look, Short};
use crate::held::Held;
use std::ops::Range;

/// The arrangement of packets in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Distance between packets: 188, or 192 if four bytes of arrival time precede each (Blu-ray,
    /// AVCHD).
    pub(crate) stride: u64,
    /// Bytes before the sync byte.
    pub(crate) lead: u64,
}

const LAYOUTS: [Layout; 2] = [Layout { stride: PACKET as u64, lead: 0 }, Layout { stride: 192, lead: 4 }];
/// Length of a transport packet in bytes.
pub(crate) const PACKET: usize = 188;
pub(crate) const SYNC: u8 = 0x47;
/// Consecutive sync bytes that distinguish packets from a chance match.
pub(crate) const IN_A_ROW: u64 = 4;
/// Bytes requested at once.
const CHUNK: u64 = 64 << 10;
/// Longest distance in bytes over which packets are searched for. After a longer gap the stream is
/// considered lost.
const MAX_LOST: u64 = 1 << 20;

impl Layout {
    /// Detects the layout of a file that begins with these bytes. Garbage before the first packet
    /// is allowed.
    pub(crate) fn of(head: &[u8]) -> Option<Layout> {
        Layout::find(head, head.len().min(CHUNK as usize), true).map(|(_, layout)| layout)
    }

    /// Searches the first `starts` positions for packets. Returns where they begin. If the stream
    /// `ended` with these bytes, the last packets need fewer others after them.
    pub(crate) fn find(bytes: &[u8], starts: usize, ended: bool) -> Option<(usize, Layout)> {
        (0..starts.min(bytes.len())).find_map(|start| {
            let rest = if ended { (bytes.len() - start) as u64 } else { u64::MAX };
            let layout = LAYOUTS.into_iter().find(|layout| layout.begins(&bytes[start..], rest))?;
            Some((start, layout))
        })
    }

    /// Whether packets begin here; `rest` is the number of bytes left in the file.
    fn begins(&self, bytes: &[u8], rest: u64) -> bool {
        let wanted = IN_A_ROW.min(rest / self.stride).max(1);
        (0..wanted).all(|n| bytes.get((n * self.stride + self.lead) as usize) == Some(&SYNC))
    }
}

/// Steps from packet to packet.
#[derive(Debug)]
pub(crate) struct Packets {
    layout: Layout,
    /// Expected offset of the next packet.
    pub(crate) at: u64,
    /// Whether that offset is only a guess.
    lost: bool,
    /// Bytes searched without success.
    searched: u64,
}

impl Packets {
    /// Starts at an offset where no packet needs to begin.
    pub(crate) fn new(layout: Layout, at: u64) -> Packets {
        Packets { layout, at, lost: true, searched: 0 }
    }

    /// Returns the offset of the next packet, whose bytes are then available.
    pub(crate) fn next(&mut self, held: &Held) -> Look<u64> {
        let Layout { stride, lead } = self.layout;
        loop {
            let rest = held.size().saturating_sub(self.at);
            if rest < lead + PACKET as u64 {
                return Err(Short::Nothing);
            }
            let needed = if self.lost { IN_A_ROW * stride } else { lead + PACKET as u64 };
            let Some(bytes) = held.get(self.at..self.at.saturating_add(needed)) else {
                return Err(Short::Need(self.at..self.at.saturating_add(CHUNK)));
            };
            if !self.lost && bytes.get(lead as usize) == Some(&SYNC) {
                let at = self.at;
                self.at += stride;
                return Ok(at);
            }
            self.lost = true;
            let bytes = held.from(self.at).unwrap_or_default();
            let all = bytes.len() as u64 >= rest;
            let starts = if all { bytes.len() } else { bytes.len() - (IN_A_ROW * stride) as usize + 1 };
            match (0..starts).find(|start| self.layout.begins(&bytes[*start..], rest - *start as u64)) {
                Some(skip) => {
                    self.at += skip as u64;
                    (self.lost, self.searched) = (false, 0);
                }
                None => {
                    self.at += starts.max(1) as u64;
                    self.searched += starts.max(1) as u64;
                    if self.searched > MAX_LOST || held.hole_before(self.at) {
                        return Err(Short::Lost);
                    }
                }
            }
        }
    }

    /// Returns the packet at an offset returned by [`Packets::next`].
    pub(crate) fn packet<'a>(&self, held: &'a Held, at: u64) -> Option<Packet<'a>> {
        let start = at + self.layout.lead;
        Packet::parse(held.get(start..start + PACKET as u64)?)
    }
}

/// A transport packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) pid: u16,
    /// Whether a PES packet or a section begins in it.
    pub(crate) start: bool,
    /// The random access indicator.
    pub(crate) random: bool,
    /// The discontinuity indicator.
    pub(crate) discontinuity: bool,
    /// Counter of the packets with a payload, of four bits.
    pub(crate) counter: u8,
    pub(crate) payload: &'a [u8],
}

impl<'a> Packet<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Packet<'a>> {
        let [sync, high, low, control, rest @ ..] = bytes else { return None };
        // The error indicator makes the content invalid.
        if *sync != SYNC || high & 0x80 != 0 {
            return None;
        }
        let adapted = control & 0x20 != 0;
        let length = if adapted { usize::from(*rest.first()?) + 1 } else { 0 };
        let payload = if control & 0x10 != 0 { rest.get(length..).unwrap_or_default() } else { &[] };
        let flag = |bit: u8| length > 1 && rest.get(1).is_some_and(|flags| flags & bit != 0);
        Some(Packet {
            pid: u16::from(high & 0x1f) << 8 | u16::from(*low),
            start: high & 0x40 != 0,
            random: flag(0x40),
            discontinuity: flag(0x80),
            counter: control & 0x0f,
            payload,
        })
    }
}

/// The start of a PES packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pes<'a> {
    /// Presentation timestamp, in 1/90000 s modulo 2^33.
    pub(crate) pts: Option<u64>,
    /// Decoding timestamp, if it differs.
    pub(crate) dts: Option<u64>,
    /// Bytes of the elementary stream in all of the packet, if stated.
    pub(crate) body_bytes: Option<usize>,
    /// The part of the elementary stream in the first transport packet.
    pub(crate) body: &'a [u8],
}

impl<'a> Pes<'a> {
    pub(crate) fn parse(payload: &'a [u8]) -> Option<Pes<'a>> {
        let [0, 0, 1, _, high, low, marker, flags, length, rest @ ..] = payload else { return None };
        if marker & 0xc0 != 0x80 {
            return None;
        }
        let stamp = |b: &[u8; 5]| {
            let bits = |byte: u8, shift: u32| u64::from(byte) << shift;
            bits(b[0] >> 1 & 7, 30) | bits(b[1], 22) | bits(b[2] >> 1, 15) | bits(b[3], 7) | bits(b[4] >> 1, 0)
        };
        let pts = rest.first_chunk::<5>().filter(|_| flags & 0x80 != 0).map(stamp);
        let dts = rest.get(5..).and_then(<[u8]>::first_chunk).filter(|_| flags & 0xc0 == 0xc0).map(stamp);
        let body_bytes = usize::from(u16::from_be_bytes([*high, *low])).checked_sub(3 + usize::from(*length));
        Some(Pes { pts, dts, body_bytes, body: rest.get(usize::from(*length)..).unwrap_or_default() })
    }
}

/// Returns the available content of a stream's PES packet at the start of a range, up to `most`
/// bytes.
pub(crate) fn content(layout: Layout, held: &Held, pid: u16, range: Range<u64>, most: usize) -> Vec<u8> {
    let mut packets = Packets::new(layout, range.start);
    let (mut content, mut begun) = (Vec::new(), false);
    while let Ok(at) = packets.next(held)
        && at < range.end
        && content.len() < most
    {
        let Some(packet) = packets.packet(held, at).filter(|packet| packet.pid == pid) else { continue };
        match (packet.start, begun) {
            (true, true) => break,
            (true, false) => content.extend_from_slice(Pes::parse(packet.payload).map_or(&[][..], |pes| pes.body)),
            (false, _) => content.extend_from_slice(packet.payload),
        }
        begun |= packet.start;
    }
    content.truncate(most);
    content
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_of_33_bits_is_put_together() {
        let pes = [0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 0x2f, 0xff, 0xff, 0xff, 0xff, 9, 9];
        let pes = Pes::parse(&pes).unwrap();
        assert_eq!(pes.pts, Some((1 << 33) - 1));
        assert_eq!(pes.body, [9, 9]);
        assert!(Pes::parse(&[0, 0, 1, 0xe0, 0, 0, 0x40, 0x80, 5, 0]).is_none());
        assert!(Pes::parse(&[0, 0, 1]).is_none());
    }

    #[test]
    fn an_adaptation_field_longer_than_its_packet_leaves_no_payload() {
        let mut bytes = [0; PACKET];
        bytes[..6].copy_from_slice(&[SYNC, 0x41, 0x00, 0x30, 250, 0x40]);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.pid, packet.start, packet.random, packet.payload), (0x100, true, true, &[][..]));
        bytes[1] |= 0x80;
        assert!(Packet::parse(&bytes).is_none());
    }
}
