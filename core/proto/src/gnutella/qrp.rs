//! The query routing protocol: a leaf sends its ultrapeers a table of the words in the names of its
//! files, and gets only queries whose words are there (Rohrs, "Query Routing for the Gnutella
//! Network", version 1.0).

use super::Fault;
use super::fields::Fields;
use super::inflate::{deflate, inflate};
use bytes::{BufMut, Bytes};

/// Most slots of a table, as a power of two.
pub const MAX_SLOTS_LOG2: u8 = 20;
/// Slots of an empty table, as a power of two.
const EMPTY_SLOTS_LOG2: u8 = 3;
/// Value of slots that are not set, in tables of ours.
const INFINITY: u8 = 7;
/// Change of a slot that is set, in tables of ours: from [`INFINITY`] to 1, in four bits.
const SET: u8 = 0xa;
/// Longest part of a table that is sent at once, bytes.
const PART_BYTES: usize = 4 << 10;
/// Multiplier of the hash: the golden ratio (Knuth, section 6.4).
const MULTIPLIER: u32 = 0x4f1b_bcdc;

/// Returns the slot of a word in a table of 2^`slots_log2` slots. The word is one of
/// [`words`](super::words). Of each unit of UTF-16 the low byte counts, as in LimeWire.
pub fn hash(word: &str, slots_log2: u8) -> usize {
    let mut sum = [0; 4];
    word.encode_utf16().enumerate().for_each(|(at, unit)| sum[at % 4] ^= unit as u8);
    let product = u32::from_le_bytes(sum).wrapping_mul(MULTIPLIER);
    let shift = u32::BITS - u32::from(slots_log2.min(MAX_SLOTS_LOG2));
    product.checked_shr(shift).unwrap_or_default() as usize
}

/// A part of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteUpdate {
    /// A new, empty table begins.
    Reset {
        /// Number of slots, as a power of two.
        slots_log2: u8,
        /// Value of slots that are not set.
        infinity: u8,
    },
    /// Changes of all slots, in one or more parts.
    Patch {
        /// Number of the part, from 1 on.
        part: u8,
        /// Number of parts.
        parts: u8,
        /// Whether the parts together are compressed.
        is_deflated: bool,
        /// Bits of a change: 1, 4 or 8.
        entry_bits: u8,
        /// The changes.
        data: Bytes,
    },
}

impl RouteUpdate {
    pub(super) fn decode(payload: &Bytes) -> Result<RouteUpdate, Fault> {
        const WHAT: &str = "routing table";
        let mut fields = Fields::new(WHAT, payload);
        let bad = Fault::Value(WHAT);
        match fields.u8()? {
            0 => {
                let (slots, infinity) = (fields.u32_le()?, fields.u8()?);
                let slots_log2 = slots.checked_ilog2().unwrap_or_default() as u8;
                if !slots.is_power_of_two() || !(1..=MAX_SLOTS_LOG2).contains(&slots_log2) || infinity == 0 {
                    return Err(bad);
                }
                Ok(RouteUpdate::Reset { slots_log2, infinity })
            }
            1 => {
                let [part, parts, compressor, entry_bits] = fields.array()?;
                if part == 0 || part > parts || compressor > 1 || !matches!(entry_bits, 1 | 4 | 8) {
                    return Err(bad);
                }
                Ok(RouteUpdate::Patch { part, parts, is_deflated: compressor == 1, entry_bits, data: fields.rest() })
            }
            _ => Err(bad),
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            RouteUpdate::Reset { slots_log2, infinity } => {
                out.push(0);
                out.put_u32_le(1 << (*slots_log2).min(MAX_SLOTS_LOG2));
                out.push(*infinity);
            }
            RouteUpdate::Patch { part, parts, is_deflated, entry_bits, data } => {
                out.put_slice(&[1, *part, *parts, u8::from(*is_deflated), *entry_bits]);
                out.put_slice(data);
            }
        }
    }
}

/// A table of words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTable {
    slots_log2: u8,
    is_set: Vec<bool>,
}

impl RouteTable {
    /// Creates the table of a servent that shares nothing: no query has a word in it.
    pub fn empty() -> RouteTable {
        RouteTable::with_slots(EMPTY_SLOTS_LOG2)
    }

    /// Creates a table with these words, and with few enough of its slots set that most queries for
    /// other files are kept away.
    pub fn of<'a>(words: impl ExactSizeIterator<Item = &'a str>) -> RouteTable {
        // One slot of 32, and not less than servents use.
        let wanted = (words.len() * 32).next_power_of_two().ilog2() as u8;
        let mut table = RouteTable::with_slots(wanted.clamp(16, MAX_SLOTS_LOG2));
        for word in words {
            table.is_set[hash(word, table.slots_log2)] = true;
        }
        table
    }

    fn with_slots(slots_log2: u8) -> RouteTable {
        RouteTable { slots_log2, is_set: vec![false; 1 << slots_log2] }
    }

    /// Whether a file with this word may be there.
    pub fn has(&self, word: &str) -> bool {
        self.is_set[hash(word, self.slots_log2)]
    }

    /// Returns the number of slots that are set.
    pub fn set_slots(&self) -> usize {
        self.is_set.iter().filter(|is_set| **is_set).count()
    }

    /// Returns the messages that send the whole table.
    pub fn updates(&self) -> Vec<RouteUpdate> {
        let change = |is_set: &bool| if *is_set { SET } else { 0 };
        let plain: Vec<u8> = self.is_set.chunks(2).map(|pair| change(&pair[0]) << 4 | change(&pair[1])).collect();
        let deflated = deflate(&plain);
        let is_deflated = deflated.len() < plain.len();
        let data = Bytes::from(if is_deflated { deflated } else { plain });
        // The largest table has 512 KiB, which is 128 parts.
        let parts = data.len().div_ceil(PART_BYTES) as u8;
        let reset = RouteUpdate::Reset { slots_log2: self.slots_log2, infinity: INFINITY };
        let patch = |part: u8| {
            let start = usize::from(part - 1) * PART_BYTES;
            let data = data.slice(start..data.len().min(start + PART_BYTES));
            RouteUpdate::Patch { part, parts, is_deflated, entry_bits: 4, data }
        };
        std::iter::once(reset).chain((1..=parts).map(patch)).collect()
    }
}

/// The receiving end of a table.
#[derive(Debug, Default)]
pub struct RouteReceiver {
    slots_log2: u8,
    infinity: u8,
    /// Value of each slot; none before the first [`RouteUpdate::Reset`].
    values: Vec<u8>,
    /// The parts of a patch so far.
    data: Vec<u8>,
    /// Number of the last part, and what all parts have in common.
    last: Option<(u8, (u8, bool, u8))>,
}

impl RouteReceiver {
    /// Takes the next message. Returns the table when a patch is complete.
    ///
    /// # Errors
    /// The reason why the table cannot be used further.
    pub fn update(&mut self, update: &RouteUpdate) -> Result<Option<RouteTable>, Fault> {
        match update {
            RouteUpdate::Reset { slots_log2, infinity } => {
                let values = vec![*infinity; 1 << (*slots_log2).clamp(1, MAX_SLOTS_LOG2)];
                *self = RouteReceiver { slots_log2: *slots_log2, infinity: *infinity, values, ..Self::default() };
                Ok(None)
            }
            RouteUpdate::Patch { part, parts, is_deflated, entry_bits, data } => {
                let common = (*parts, *is_deflated, *entry_bits);
                let follows = match self.last {
                    None => *part == 1,
                    Some((last, of_last)) => Some(*part) == last.checked_add(1) && of_last == common,
                };
                let plain_bytes = (self.values.len() * usize::from(*entry_bits)).div_ceil(8);
                // Compression makes no data much longer.
                let too_long = self.data.len() + data.len() > plain_bytes + PART_BYTES;
                if !follows || self.values.is_empty() || too_long {
                    return Err(Fault::Table);
                }
                self.data.extend_from_slice(data);
                self.last = Some((*part, common));
                if part < parts {
                    return Ok(None);
                }
                self.last = None;
                let mut data = std::mem::take(&mut self.data);
                if *is_deflated {
                    data = inflate(&data, plain_bytes)?;
                }
                if data.len() != plain_bytes {
                    return Err(Fault::Table);
                }
                self.apply(&data, *entry_bits);
                let is_set = self.values.iter().map(|value| *value < self.infinity).collect();
                Ok(Some(RouteTable { slots_log2: self.slots_log2, is_set }))
            }
        }
    }

    /// Changes each slot.
    fn apply(&mut self, data: &[u8], entry_bits: u8) {
        let per_byte = usize::from(8 / entry_bits.max(1));
        for (at, value) in self.values.iter_mut().enumerate() {
            let byte = data.get(at / per_byte).copied().unwrap_or_default();
            // The first slot is in the high bits.
            let shifted = byte << (at % per_byte * usize::from(entry_bits % 8));
            *value = match entry_bits {
                1 if shifted & 0x80 != 0 => self.infinity - *value,
                1 => *value,
                // An arithmetic shift keeps the sign.
                _ => {
                    let change = i16::from(shifted as i8 >> (8 - entry_bits));
                    u8::try_from((i16::from(*value) + change).clamp(0, self.infinity.into())).unwrap_or_default()
                }
            };
        }
    }
}
