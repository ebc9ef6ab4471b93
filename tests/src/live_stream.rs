//! A live stream for experiments: MPEG-TS (ISO/IEC 13818-1) whose packets are numbered and stamped, so
//! that a viewer can tell what is missing and how old a packet is. It has no pictures.

use std::time::{Duration, Instant};

/// Bytes of a packet.
const PACKET: usize = 188;
const VIDEO: u16 = 0x100;
const MAP: u16 = 0x1000;
/// Pictures per second. Each begins with a PES header.
const PICTURES: f64 = 25.0;
/// Where the number and the time of a packet are: at its end.
const STAMP: usize = PACKET - 16;

/// Makes the stream.
pub struct Maker {
    per_s: f64,
    /// Packets of a picture, and pictures from one keyframe to the next.
    picture: u64,
    key: u64,
    next: u64,
    counters: [u8; 3],
}

impl Maker {
    /// A stream of this rate, with a keyframe after so many seconds each.
    pub fn new(bytes_per_s: u64, key_s: f64) -> Maker {
        let per_s = bytes_per_s as f64 / PACKET as f64;
        let picture = ((per_s / PICTURES) as u64).max(1);
        Maker { per_s, picture, key: ((key_s * PICTURES) as u64).max(1), next: 0, counters: [0; 3] }
    }

    /// Returns the packets that are due at this time, stamped with it.
    pub fn due(&mut self, elapsed: Duration) -> Vec<u8> {
        let mut bytes = Vec::new();
        while (self.next as f64) < elapsed.as_secs_f64() * self.per_s {
            let (picture, begins) = (self.next / self.picture, self.next.is_multiple_of(self.picture));
            let key = begins && picture.is_multiple_of(self.key);
            if key {
                bytes.extend(self.packet(0, 0, true, false, &section(&[0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xf0, 0])));
                let map = [2, 0xb0, 18, 0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 0, 0x1b, 0xe1, 0, 0xf0, 0];
                bytes.extend(self.packet(1, MAP, true, false, &section(&map)));
            }
            let mut payload = if begins { pes(picture) } else { Vec::new() };
            payload.resize(if key { 182 } else { 184 }, 0xff);
            let mut packet = self.packet(2, VIDEO, begins, key, &payload);
            packet[STAMP..STAMP + 8].copy_from_slice(&self.next.to_be_bytes());
            packet[STAMP + 8..].copy_from_slice(&(elapsed.as_micros() as u64).to_be_bytes());
            bytes.extend(packet);
            self.next += 1;
        }
        bytes
    }

    fn packet(&mut self, counter: usize, pid: u16, start: bool, key: bool, payload: &[u8]) -> [u8; PACKET] {
        let mut packet = [0xff; PACKET];
        let control = if key { 0x30 } else { 0x10 };
        packet[0] = 0x47;
        packet[1] = (pid >> 8) as u8 | if start { 0x40 } else { 0 };
        packet[2] = pid as u8;
        packet[3] = control | self.counters[counter];
        self.counters[counter] = (self.counters[counter] + 1) & 15;
        let mut at = 4;
        if key {
            // An adaptation field with the random access indicator.
            packet[4..6].copy_from_slice(&[1, 0x40]);
            at = 6;
        }
        packet[at..at + payload.len()].copy_from_slice(payload);
        packet
    }
}

/// Returns a section with its pointer field and its checksum.
fn section(body: &[u8]) -> Vec<u8> {
    let mut crc = u32::MAX;
    for byte in body {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = if crc >> 31 == 1 { (crc << 1) ^ 0x04c1_1db7 } else { crc << 1 };
        }
    }
    [&[0], body, &crc.to_be_bytes()].concat()
}

/// Returns the PES header of a picture.
fn pes(picture: u64) -> Vec<u8> {
    let pts = 90_000 + (picture as f64 * 90_000.0 / PICTURES) as u64;
    let [a, b, c] = [pts >> 30 & 7, pts >> 15 & 0x7fff, pts & 0x7fff];
    let time = [0x21 | (a << 1) as u8, (b >> 7) as u8, (b << 1) as u8 | 1, (c >> 7) as u8, (c << 1) as u8 | 1];
    [&[0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5][..], &time].concat()
}

/// What a viewer's player would have shown.
pub struct Checker {
    per_s: f64,
    epoch: Instant,
    rest: Vec<u8>,
    /// Number of the packet that comes next, once there was one.
    next: Option<u64>,
    first: Option<Instant>,
    /// When the packet with number 0 would have been shown. `None` until the player has begun.
    zero: Option<f64>,
    oldest: u64,
    newest: Option<Duration>,
    /// Packets that came.
    pub packets: u64,
    /// Packets that were left out, came again, or were not of the stream.
    pub lost: u64,
    /// See `lost`.
    pub repeated: u64,
    /// See `lost`.
    pub damaged: u64,
    /// Interruptions of the picture: when, and for how long, in seconds.
    pub gaps: Vec<(f64, f64)>,
    /// Ages of packets in seconds, of those made after the viewer's first.
    pub delays: Vec<f64>,
}

/// Seconds of stream that a player has before it begins.
const BUFFER_S: f64 = 0.5;
/// Lateness within the error of the arithmetic, seconds.
const ROUNDING_S: f64 = 1e-6;
/// One packet of this many is measured.
const MEASURED: u64 = 7;

impl Checker {
    /// A player of a stream of this rate that began at `epoch`.
    pub fn new(bytes_per_s: u64, epoch: Instant) -> Checker {
        Checker {
            per_s: bytes_per_s as f64 / PACKET as f64,
            epoch,
            rest: Vec::new(),
            next: None,
            first: None,
            zero: None,
            oldest: 0,
            newest: None,
            packets: 0,
            lost: 0,
            repeated: 0,
            damaged: 0,
            gaps: Vec::new(),
            delays: Vec::new(),
        }
    }

    /// Returns when the newest packet was made, since the stream's start.
    pub fn newest(&self) -> Option<Duration> {
        self.newest
    }

    /// Takes the next bytes, which arrived at `now`.
    pub fn take(&mut self, bytes: &[u8], now: Instant) {
        self.rest.extend_from_slice(bytes);
        let whole = self.rest.len() / PACKET * PACKET;
        let rest = self.rest.split_off(whole);
        for packet in std::mem::replace(&mut self.rest, rest).chunks_exact(PACKET) {
            let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
            if packet[0] != 0x47 {
                self.damaged += 1;
            } else if pid == VIDEO {
                let number = |at: usize| u64::from_be_bytes(packet[at..at + 8].try_into().unwrap());
                self.packet(number(STAMP), Duration::from_micros(number(STAMP + 8)), now);
            }
        }
    }

    fn packet(&mut self, number: u64, made: Duration, now: Instant) {
        let at = now.saturating_duration_since(self.epoch).as_secs_f64();
        let first = *self.first.get_or_insert(now);
        let expected = *self.next.get_or_insert_with(|| {
            self.oldest = number;
            number
        });
        self.packets += 1;
        if number < expected {
            self.repeated += 1;
            return;
        }
        if number > expected {
            self.lost += number - expected;
            // The player shows nothing instead, and each later picture at its time.
            self.gaps.push((at, (number - expected) as f64 / self.per_s));
        }
        (self.next, self.newest) = (Some(number + 1), Some(made));
        let shown_s = number as f64 / self.per_s;
        match &mut self.zero {
            None if (number - self.oldest) as f64 >= BUFFER_S * self.per_s => {
                self.zero = Some(at - self.oldest as f64 / self.per_s);
            }
            None => {}
            Some(zero) => {
                let late = at - (*zero + shown_s);
                if late > ROUNDING_S {
                    self.gaps.push((at, late));
                    *zero += late;
                }
            }
        }
        if self.epoch + made > first && number.is_multiple_of(MEASURED) {
            self.delays.push((now - (self.epoch + made)).as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes the stream on with a pause and without some packets. Returns the gaps.
    fn gaps(pause: f64, without: std::ops::Range<u64>) -> (Vec<(f64, f64)>, Checker) {
        let (mut maker, epoch) = (Maker::new(47_000, 2.0), Instant::now());
        let mut checker = Checker::new(47_000, epoch);
        let mut number = 0;
        for step in 0..1000 {
            let at = Duration::from_millis(step * 10);
            let late = if at.as_secs_f64() > 5.0 { pause } else { 0.0 };
            for packet in maker.due(at).chunks(PACKET) {
                let tables = packet[1] & 0x1f != 1;
                if tables || !without.contains(&number) {
                    checker.take(packet, epoch + at + Duration::from_secs_f64(late));
                }
                number += u64::from(!tables);
            }
        }
        (std::mem::take(&mut checker.gaps), checker)
    }

    #[test]
    fn pauses_and_losses_are_gaps() {
        let (none, checker) = gaps(0.3, 0..0);
        assert_eq!(none, [], "shorter than the buffer");
        assert_eq!((checker.lost, checker.repeated, checker.damaged), (0, 0, 0));
        assert!(checker.packets > 2_400 && checker.delays.iter().all(|s| *s < 0.32), "{}", checker.packets);
        let (late, _) = gaps(1.5, 0..0);
        assert!((late.iter().map(|(_, s)| s).sum::<f64>() - 1.0).abs() < 0.02, "{late:?}");
        let (lost, checker) = gaps(0.0, 1000..1250);
        assert_eq!(checker.lost, 250);
        assert!(lost.len() == 1 && (lost[0].1 - 1.0).abs() < 1e-9, "{lost:?}");
    }
}
