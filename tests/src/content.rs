//! File content that can be computed: each byte follows from a seed and its offset. A reader can
//! check data without holding the original. No two pieces are alike, so a byte at the wrong
//! position is always detected.

use std::io::{BufWriter, Write};
use std::path::Path;

/// The content of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Distinguishes files.
    pub seed: u64,
    /// Length in bytes.
    pub length: u64,
    /// Bytes at the start that replace the computed ones. A container's head makes a player's
    /// program treat the content as a film.
    pub head: &'static [u8],
}

impl Content {
    /// Creates a content of `length` bytes.
    pub fn new(seed: u64, length: u64) -> Content {
        Content { seed, length, head: &[] }
    }

    /// Returns the same content with this head, which is kept until the process ends.
    pub fn with_head(self, head: Vec<u8>) -> Content {
        Content { head: head.leak(), ..self }
    }

    /// Fills `buffer` with the bytes from `offset` on. Does not stop at the end of the file;
    /// callers must clamp.
    pub fn fill(&self, offset: u64, buffer: &mut [u8]) {
        let mut at = offset;
        let mut rest = &mut *buffer;
        while !rest.is_empty() {
            let word = mix(self.seed ^ (at / 8)).to_le_bytes();
            let from = (at % 8) as usize;
            let take = (8 - from).min(rest.len());
            let (now, later) = rest.split_at_mut(take);
            now.copy_from_slice(&word[from..from + take]);
            at += take as u64;
            rest = later;
        }
        if let Some(head) = usize::try_from(offset).ok().and_then(|from| self.head.get(from..)) {
            let take = head.len().min(buffer.len());
            buffer[..take].copy_from_slice(&head[..take]);
        }
    }

    /// Returns the bytes of a range.
    pub fn bytes(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(offset, &mut bytes);
        bytes
    }

    /// Compares `got`, read at `offset`, with the content. Returns the offset of the first wrong
    /// byte.
    pub fn first_difference(&self, offset: u64, got: &[u8]) -> Option<u64> {
        if offset + got.len() as u64 > self.length {
            return Some(self.length);
        }
        let mut expected = [0; 8192];
        for (i, chunk) in got.chunks(expected.len()).enumerate() {
            let at = offset + (i * 8192) as u64;
            self.fill(at, &mut expected[..chunk.len()]);
            if chunk != &expected[..chunk.len()] {
                let within = chunk.iter().zip(&expected).position(|(a, b)| a != b).unwrap_or(0);
                return Some(at + within as u64);
            }
        }
        None
    }

    /// Writes the whole file.
    pub fn write_to(&self, path: &Path) {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).unwrap();
        }
        let mut file = BufWriter::new(std::fs::File::create(path).unwrap());
        let mut buffer = vec![0; 1 << 16];
        let mut at = 0;
        while at < self.length {
            let take = (self.length - at).min(buffer.len() as u64) as usize;
            self.fill(at, &mut buffer[..take]);
            file.write_all(&buffer[..take]).unwrap();
            at += take as u64;
        }
        file.flush().unwrap();
    }

    /// Whether a file on disk has exactly this content.
    pub fn is_at(&self, path: &Path) -> bool {
        std::fs::read(path)
            .is_ok_and(|bytes| bytes.len() as u64 == self.length && self.first_difference(0, &bytes).is_none())
    }
}

/// Computes SplitMix64's output function. It is cheap, and each output bit depends on all input
/// bits.
pub fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_range_equals_the_same_range_of_the_whole() {
        let content = Content::new(7, 1000);
        let whole = content.bytes(0, 1000);
        for (from, length) in [(0, 1), (3, 8), (7, 100), (999, 1)] {
            assert_eq!(content.bytes(from as u64, length), whole[from..from + length]);
        }
    }

    #[test]
    fn a_head_stands_before_the_rest_and_changes_nothing_of_it() {
        let plain = Content::new(7, 1000);
        let film = plain.with_head(b"a head".to_vec());
        assert_eq!(film.bytes(0, 6), b"a head");
        assert_eq!(film.bytes(2, 6), [b"head", &plain.bytes(6, 2)[..]].concat());
        assert_eq!(film.bytes(5, 100)[1..], plain.bytes(6, 99));
        assert_eq!(film.first_difference(4, &film.bytes(4, 50)), None);
    }

    #[test]
    fn one_wrong_byte_is_found_at_its_place() {
        let content = Content::new(7, 100_000);
        let mut got = content.bytes(500, 50_000);
        assert_eq!(content.first_difference(500, &got), None);
        got[20_001] ^= 1;
        assert_eq!(content.first_difference(500, &got), Some(20_501));
        assert_eq!(content.first_difference(99_999, &got[..2]), Some(100_000), "past the end");
    }
}
