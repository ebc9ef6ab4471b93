//! RTP packets and RTCP reports (RFC 3550).

/// Length in bytes of a packet's header.
pub(crate) const HEADER_BYTES: usize = 12;

/// Fields of a packet's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
}

impl Header {
    /// Returns the packet with this payload.
    pub(crate) fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::with_capacity(HEADER_BYTES + payload.len());
        packet.extend_from_slice(&[0x80, u8::from(self.marker) << 7 | self.payload_type]);
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&self.timestamp.to_be_bytes());
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        packet.extend_from_slice(payload);
        packet
    }
}

/// Content of a sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SenderReport {
    pub(crate) ssrc: u32,
    /// Seconds since 1900 in units of 2^-32 s.
    pub(crate) ntp: u64,
    pub(crate) timestamp: u32,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
}

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;

/// Canonical name of the sender, the same for all streams of a session, so that receivers
/// synchronise them.
const CNAME: &[u8] = b"playswarm";

impl SenderReport {
    /// Returns a compound packet: the report, the name, and the goodbye if the stream has ended.
    pub(crate) fn compound(&self, ends: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        head(SENDER_REPORT, 0, 24, &mut out);
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&self.ntp.to_be_bytes());
        for word in [self.timestamp, self.packets, self.octets] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        // The item ends with at least one zero, up to a multiple of four bytes.
        let item = 4 + 2 + CNAME.len();
        let padded = (item / 4 + 1) * 4;
        head(DESCRIPTION, 1, padded, &mut out);
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&[1, CNAME.len() as u8]);
        out.extend_from_slice(CNAME);
        out.resize(out.len() + padded - item, 0);
        if ends {
            head(GOODBYE, 1, 4, &mut out);
            out.extend_from_slice(&self.ssrc.to_be_bytes());
        }
        out
    }
}

/// Appends the header of an RTCP packet with a count and the bytes that follow it.
fn head(kind: u8, count: u8, bytes: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x80 | count, kind]);
    out.extend_from_slice(&((bytes / 4) as u16).to_be_bytes());
}

/// Returns the lost packets that a receiver reports for each stream, by SSRC, from a compound packet.
/// `None` if it is none. The numbers are only shown: a client may claim any.
pub(crate) fn reported_losses(mut compound: &[u8]) -> Option<Vec<(u32, u32)>> {
    let mut found = Vec::new();
    while !compound.is_empty() {
        let (&[first, kind, high, low], rest) = compound.split_first_chunk()?;
        let (body, after) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])) * 4)?;
        if first >> 6 != 2 {
            return None;
        }
        let skipped = match kind {
            SENDER_REPORT => 24,
            RECEIVER_REPORT => 4,
            _ => body.len(),
        };
        let blocks = body.get(skipped..).unwrap_or_default().chunks_exact(24).take(usize::from(first & 0x1f));
        found.extend(blocks.map(|block| {
            let word = |at: usize| u32::from_be_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
            (word(0), word(4) & 0x7f_ffff)
        }));
        compound = after;
    }
    Some(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_what_another_implementation_reads() {
        let header = Header { payload_type: 96, marker: true, sequence: 65535, timestamp: 0xdead_beef, ssrc: 7 };
        let packet = header.packet(b"abc");
        let read = rtp_types::RtpPacket::parse(&packet).unwrap();
        assert_eq!((read.payload_type(), read.marker_bit(), read.sequence_number()), (96, true, 65535));
        assert_eq!((read.timestamp(), read.ssrc(), read.payload()), (0xdead_beef, 7, &b"abc"[..]));
    }

    #[test]
    fn a_report_has_the_lengths_of_the_rfc() {
        let report = SenderReport { ssrc: 1, ntp: 2 << 32, timestamp: 3, packets: 4, octets: 5 };
        let bytes = report.compound(true);
        assert_eq!(bytes.len(), 28 + 20 + 8);
        assert_eq!(
            (&bytes[..4], &bytes[28..32], &bytes[48..52]),
            (&[0x80, 200, 0, 6][..], &[0x81, 202, 0, 4][..], &[0x81, 203, 0, 1][..])
        );
        assert_eq!(reported_losses(&bytes), Some(vec![]));
        assert_eq!(report.compound(false).len(), 48);
    }

    #[test]
    fn losses_are_read_and_lies_about_lengths_are_not() {
        let mut bytes = vec![0x81, 201, 0, 7, 0, 0, 0, 9];
        bytes.extend_from_slice(&[0, 0, 0, 1, 0xff, 0, 0, 5]);
        bytes.extend_from_slice(&[0; 16]);
        assert_eq!(reported_losses(&bytes), Some(vec![(1, 5)]));
        assert_eq!(reported_losses(&bytes[..20]), None);
        bytes[3] = 2;
        bytes.truncate(12);
        assert_eq!(reported_losses(&bytes), Some(vec![]), "fewer blocks than counted");
        assert_eq!(reported_losses(&[0, 201, 0, 0]), None);
    }
}
