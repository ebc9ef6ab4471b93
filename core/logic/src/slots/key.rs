//! The 20-byte DHT keys under which viewers near each other meet, with the layout of docs/SLOTS.md.
//!
//! Pure arithmetic: slot, bucket and hash. The machine decides when to announce or look up a key.

use playswarm_proto::sha1::Sha1;
use serde::{Deserialize, Serialize};
use std::fmt;

/// First bytes of every key; the last of them is the version of the layout.
const TAG: &[u8; 16] = b"playswarm slot 1";

/// Deepest level of buckets: 127 buckets in all, each with room for about fifty viewers.
pub const MAX_LEVEL: u8 = 6;

/// The meaning of a slot's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The time at which a viewer would have begun at the film's start. It stays constant while the
    /// viewer plays (P2PMoD's virtual time slot).
    #[default]
    Virtual,
    /// A stretch of the film that a viewer holds, wherever it plays (P2PMoD's future work).
    Data,
}

impl Kind {
    /// Both kinds, for simulations that compare them.
    pub const ALL: [Kind; 2] = [Kind::Virtual, Kind::Data];

    /// Returns the name in configs and tables.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Virtual => "virtual",
            Kind::Data => "data",
        }
    }

    fn byte(self) -> u8 {
        match self {
            Kind::Virtual => b'v',
            Kind::Data => b'd',
        }
    }
}

/// A DHT key, used in place of BEP 5's info-hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; 20]);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns the key of a slot's bucket: SHA-1 of 53 bytes, one block of the hash.
///
/// `info_hash` is the version-1 info-hash, or the first 20 bytes of the version-2 one if there is
/// no other. `file` is the number of the file in the torrent, from 0, and `width_s` the slot's
/// width in seconds.
pub fn key(info_hash: &[u8; 20], file: u32, kind: Kind, width_s: u16, slot: i64, bucket: u16) -> Key {
    let mut hash = Sha1::new();
    hash.update(TAG);
    hash.update(info_hash);
    hash.update(&file.to_be_bytes());
    hash.update(&[kind.byte()]);
    hash.update(&width_s.to_be_bytes());
    hash.update(&slot.to_be_bytes());
    hash.update(&bucket.to_be_bytes());
    Key(hash.finish())
}

/// Returns the virtual slot of a viewer that is `position_s` into the film at the time `unix_s`,
/// both in seconds.
pub fn virtual_slot(unix_s: f64, position_s: f64, width_s: u16) -> i64 {
    // `as` saturates and turns NaN into zero, so no clock and no position can cause a panic.
    ((unix_s - position_s) / f64::from(width_s.max(1))).floor() as i64
}

/// Returns the stretch that contains this second of the film.
pub fn data_slot(position_s: f64, width_s: u16) -> i64 {
    (position_s.max(0.0) / f64::from(width_s.max(1))).floor() as i64
}

/// Returns the buckets of a level: 0 has bucket 0, 1 has 1 and 2, 2 has 3 to 6, and so on.
pub fn buckets_of(level: u8) -> std::ops::Range<u16> {
    let level = level.min(MAX_LEVEL);
    (1 << level) - 1..(1 << (level + 1)) - 1
}

/// Returns the level of a bucket.
pub fn level_of(bucket: u16) -> u8 {
    ((u32::from(bucket) + 1).ilog2() as u8).min(MAX_LEVEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of docs/SLOTS.md, computed with another SHA-1 (Python's `hashlib`).
    #[test]
    fn keys_are_those_of_the_document() {
        let page = include_str!("../../../../docs/SLOTS.md");
        let mut seen = 0;
        for line in page.lines() {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let ["", info_hash, file, kind @ ("v" | "d"), width, slot, bucket, wanted, ""] = cells[..] else {
                continue;
            };
            let mut bytes = [0; 20];
            let hex = info_hash.trim_matches('`');
            for (i, byte) in bytes.iter_mut().enumerate() {
                *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
            }
            let kind = if kind == "v" { Kind::Virtual } else { Kind::Data };
            let (file, width, slot) = (file.parse().unwrap(), width.parse().unwrap(), slot.parse().unwrap());
            let key = key(&bytes, file, kind, width, slot, bucket.parse().unwrap());
            assert_eq!(key.to_string(), wanted.trim_matches('`'), "{line}");
            seen += 1;
        }
        assert!(seen >= 5, "only {seen} vectors found");
    }

    #[test]
    fn each_part_changes_the_key() {
        let base = key(&[1; 20], 0, Kind::Virtual, 120, 5, 0);
        let others = [
            key(&[2; 20], 0, Kind::Virtual, 120, 5, 0),
            key(&[1; 20], 1, Kind::Virtual, 120, 5, 0),
            key(&[1; 20], 0, Kind::Data, 120, 5, 0),
            key(&[1; 20], 0, Kind::Virtual, 60, 5, 0),
            key(&[1; 20], 0, Kind::Virtual, 120, -5, 0),
            key(&[1; 20], 0, Kind::Virtual, 120, 5, 1),
        ];
        assert!(others.iter().all(|other| *other != base));
    }

    #[test]
    fn the_slot_stays_while_a_viewer_plays_on_and_moves_with_a_seek() {
        let start = virtual_slot(1_800_000_000.0, 0.0, 120);
        for played in [1.0, 59.0, 3600.0] {
            assert_eq!(virtual_slot(1_800_000_000.0 + played, played, 120), start);
        }
        assert_eq!(
            virtual_slot(1_800_000_000.0, 600.0, 120),
            start - 5,
            "ten minutes on: as if begun ten minutes earlier"
        );
    }

    #[test]
    fn no_number_panics() {
        for wild in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -1.0] {
            virtual_slot(wild, wild, 0);
            data_slot(wild, 0);
        }
        assert_eq!(data_slot(599.9, 300), 1);
    }

    #[test]
    fn levels_double_and_leave_no_gap() {
        let mut next = 0;
        for level in 0..=MAX_LEVEL {
            let buckets = buckets_of(level);
            assert_eq!((buckets.start, buckets.len()), (next, 1 << level));
            assert!(buckets.clone().all(|b| level_of(b) == level));
            next = buckets.end;
        }
    }
}
