//! Titles within a stream of sound, as SHOUTcast and Icecast send them to clients that ask with
//! `Icy-MetaData: 1`: after each `icy-metaint` bytes of sound there is a block, whose first byte is its
//! length in units of 16 bytes. No standard describes it.

use bytes::{Buf, Bytes, BytesMut};

/// Shortest distance of two blocks that is accepted, bytes. A stream of tiny ones would be titles for the
/// most part, and each costs a listener work.
pub const MIN_INTERVAL: usize = 256;
/// Longest distance of two blocks that is accepted, bytes. Servers have 8 to 64 KiB.
pub const MAX_INTERVAL: usize = 16 << 20;

/// What a piece of the stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes of sound.
    Sound(Bytes),
    /// Another title. May be empty.
    Title(String),
}

/// Takes the blocks out of a stream.
#[derive(Debug)]
pub struct Reader {
    interval: usize,
    /// Bytes of sound before the next block.
    left: usize,
    /// The beginning of a block that is not whole yet.
    block: BytesMut,
}

impl Reader {
    /// Creates a reader of a stream with this `icy-metaint`. `None` if it is none.
    pub fn new(interval: usize) -> Option<Reader> {
        (MIN_INTERVAL..=MAX_INTERVAL).contains(&interval).then(|| Reader {
            interval,
            left: interval,
            block: BytesMut::new(),
        })
    }

    /// Takes bytes of the stream, which may end anywhere, and returns their parts in order.
    pub fn read(&mut self, mut bytes: Bytes) -> Vec<Part> {
        let mut parts = Vec::new();
        while !bytes.is_empty() {
            if self.left > 0 {
                let sound = bytes.split_to(self.left.min(bytes.len()));
                self.left -= sound.len();
                parts.push(Part::Sound(sound));
                continue;
            }
            if self.block.is_empty() {
                self.block.extend_from_slice(&[bytes.get_u8()]);
            }
            let whole = 1 + 16 * usize::from(self.block[0]);
            let more = (whole - self.block.len()).min(bytes.len());
            self.block.extend_from_slice(&bytes.split_to(more));
            if self.block.len() == whole {
                parts.extend(title(&self.block[1..]).map(Part::Title));
                self.block.clear();
                self.left = self.interval;
            }
        }
        parts
    }
}

/// Returns the title in a block, if it has one. It is UTF-8, or else ISO 8859-1.
fn title(block: &[u8]) -> Option<String> {
    let end = block.iter().rposition(|byte| *byte != 0)? + 1;
    let text = match std::str::from_utf8(&block[..end]) {
        Ok(text) => text.to_owned(),
        Err(_) => block[..end].iter().map(|byte| char::from(*byte)).collect(),
    };
    let (_, rest) = text.split_once("StreamTitle='")?;
    // Nothing escapes an apostrophe.
    let title = rest.split_once("';").or_else(|| rest.rsplit_once('\'')).map_or(rest, |(title, _)| title);
    Some(title.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &[u8]) -> Vec<u8> {
        let mut block = vec![text.len().div_ceil(16) as u8];
        block.extend_from_slice(text);
        block.resize(1 + 16 * usize::from(block[0]), 0);
        block
    }

    /// Returns the sound and the titles, with the bytes in pieces of this size.
    fn read(interval: usize, stream: &[u8], piece: usize) -> (Vec<u8>, Vec<String>) {
        let mut reader = Reader::new(interval).unwrap();
        let (mut sound, mut titles) = (Vec::new(), Vec::new());
        for piece in stream.chunks(piece) {
            for part in reader.read(Bytes::copy_from_slice(piece)) {
                match part {
                    Part::Sound(bytes) => sound.extend(bytes),
                    Part::Title(title) => titles.push(title),
                }
            }
        }
        (sound, titles)
    }

    #[test]
    fn the_sound_is_whole_and_each_title_is_told_wherever_the_pieces_end() {
        let sound: Vec<u8> = (0..6 * MIN_INTERVAL + 4).map(|n| n as u8).collect();
        let blocks = [
            block(b"StreamTitle='It's late';StreamUrl='';"),
            block(b""),
            block("StreamTitle='Ünter';".as_bytes()),
            block(b"StreamTitle='\xdcnter';"),
            block(b"StreamTitle='';"),
            block(b"StreamUrl='x';"),
        ];
        let mut stream = Vec::new();
        for (sound, block) in sound.chunks(MIN_INTERVAL).zip(&blocks) {
            stream.extend([sound, block].concat());
        }
        stream.extend(&sound[6 * MIN_INTERVAL..]);
        for piece in [1, 2, 7, 16, 1000] {
            let (heard, titles) = read(MIN_INTERVAL, &stream, piece);
            assert_eq!(heard, sound, "pieces of {piece}");
            assert_eq!(titles, ["It's late", "Ünter", "Ünter", ""]);
        }
    }

    #[test]
    fn impossible_distances_are_refused() {
        assert!([0, 255, MAX_INTERVAL + 1].iter().all(|interval| Reader::new(*interval).is_none()));
        assert!([MIN_INTERVAL, 8192, MAX_INTERVAL].iter().all(|interval| Reader::new(*interval).is_some()));
    }
}
