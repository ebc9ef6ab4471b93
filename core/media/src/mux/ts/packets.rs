//! Transport packets of one PID (ISO/IEC 13818-1, 2.4.3).

/// Length of a transport packet in bytes, and of its payload without an adaptation field.
pub(super) const PACKET: usize = 188;
const PAYLOAD: usize = PACKET - 4;

/// PID of null packets, which carry nothing.
const NULL_PID: u16 = 0x1fff;

/// A packet identifier with its state.
#[derive(Clone, Debug)]
pub(super) struct Pid {
    pub(super) number: u16,
    /// Counter of the next packet with a payload.
    counter: u8,
    /// Whether the next packet says that times and counters do not continue.
    pub(super) discontinuity: bool,
}

impl Pid {
    pub(super) fn new(number: u16) -> Pid {
        Pid { number, counter: 0, discontinuity: false }
    }

    /// Writes a section or a PES packet as transport packets. The first one has the flags.
    pub(super) fn write(&mut self, unit: &[u8], random: bool, pcr: Option<u64>, out: &mut Vec<u8>) {
        let mut fields = self.fields(random, pcr);
        let mut rest = unit;
        let mut first = true;
        while first || !rest.is_empty() {
            let taken = rest.len().min(PAYLOAD - if fields.is_empty() { 0 } else { 1 + fields.len() });
            let room = PAYLOAD - taken;
            let (high, low) = ((self.number >> 8) as u8 | if first { 0x40 } else { 0 }, self.number as u8);
            out.extend_from_slice(&[0x47, high, low, if room > 0 { 0x30 } else { 0x10 } | self.counter]);
            adaptation(&fields, room, out);
            out.extend_from_slice(&rest[..taken]);
            self.counter = (self.counter + 1) & 0x0f;
            rest = &rest[taken..];
            first = false;
            fields.clear();
        }
    }

    /// Writes a packet with a clock reference and no payload.
    pub(super) fn write_pcr(&mut self, pcr: u64, out: &mut Vec<u8>) {
        let fields = self.fields(false, Some(pcr));
        // The counter counts packets with a payload.
        let counter = self.counter.wrapping_sub(1) & 0x0f;
        out.extend_from_slice(&[0x47, (self.number >> 8) as u8, self.number as u8, 0x20 | counter]);
        adaptation(&fields, PAYLOAD, out);
    }

    /// Returns the flags of an adaptation field and what they announce; empty if there are none.
    fn fields(&mut self, random: bool, pcr: Option<u64>) -> Vec<u8> {
        let discontinuity = std::mem::take(&mut self.discontinuity);
        let flags = u8::from(discontinuity) << 7 | u8::from(random) << 6 | u8::from(pcr.is_some()) << 4;
        if flags == 0 {
            return Vec::new();
        }
        let mut fields = vec![flags];
        if let Some(base) = pcr {
            // 33 bits in 1/90000 s, six reserved bits, and nine bits in 1/27000000 s.
            let bytes = (base << 15 | 0x3f << 9).to_be_bytes();
            fields.extend_from_slice(&bytes[2..]);
        }
        fields
    }
}

/// Writes an adaptation field that takes `room` bytes with its length.
fn adaptation(fields: &[u8], room: usize, out: &mut Vec<u8>) {
    if room == 0 {
        return;
    }
    let end = out.len() + room;
    out.push((room - 1) as u8);
    if room > 1 {
        out.extend_from_slice(if fields.is_empty() { &[0] } else { fields });
    }
    out.resize(end, 0xff);
}

/// Writes null packets.
pub(super) fn write_null(count: usize, out: &mut Vec<u8>) {
    for _ in 0..count {
        let end = out.len() + PACKET;
        out.extend_from_slice(&[0x47, (NULL_PID >> 8) as u8, NULL_PID as u8, 0x10]);
        out.resize(end, 0xff);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_any_length_fill_whole_packets_and_come_back() {
        for length in (0..600).chain([18_400, 70_000]) {
            for (random, pcr) in [(false, None), (true, None), (true, Some(0x1_2345_6789))] {
                let unit: Vec<u8> = (0..length).map(|i| i as u8).collect();
                let (mut pid, mut out) = (Pid::new(0x1234), Vec::new());
                pid.write(&unit, random, pcr, &mut out);
                let mut back = Vec::new();
                for (n, packet) in out.chunks(PACKET).enumerate() {
                    assert_eq!(packet.len(), PACKET);
                    assert_eq!((packet[0], u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff), (0x47, 0x1234));
                    assert_eq!((packet[1] & 0x40 != 0, usize::from(packet[3] & 0x0f)), (n == 0, n % 16));
                    let field = if packet[3] & 0x20 != 0 { 1 + usize::from(packet[4]) } else { 0 };
                    back.extend_from_slice(&packet[4 + field..]);
                    if n == 0 && random {
                        assert_eq!(packet[5] & 0x50, if pcr.is_some() { 0x50 } else { 0x40 });
                    }
                }
                assert_eq!(back, unit);
            }
        }
    }
}
