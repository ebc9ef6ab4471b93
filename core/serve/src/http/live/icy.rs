//! Titles within a stream of sound, as players of web radio ask for them with `Icy-MetaData: 1`: after
//! each `icy-metaint` bytes of sound there is a block, whose first byte is its length in units of 16
//! bytes. No standard describes it; SHOUTcast and Icecast send it so.

use bytes::Bytes;

/// Bytes of sound between two blocks, as Icecast has by default.
pub(super) const INTERVAL: usize = 16_000;
/// Most bytes of a block.
const MAX_BLOCK: usize = 255 * 16;

/// Inserts the blocks.
pub(super) struct Titles {
    left: usize,
    /// What the last block said. Unchanged titles have empty blocks.
    said: Option<String>,
}

impl Titles {
    pub(super) fn new() -> Titles {
        Titles { left: INTERVAL, said: None }
    }

    /// Returns the next bytes of the stream with the blocks among them.
    pub(super) fn insert(&mut self, mut sound: Bytes, title: &str) -> Vec<Bytes> {
        let mut out = Vec::new();
        while sound.len() >= self.left {
            out.push(sound.split_to(self.left));
            out.push(self.block(title));
            self.left = INTERVAL;
        }
        self.left -= sound.len();
        out.push(sound);
        out.retain(|bytes| !bytes.is_empty());
        out
    }

    fn block(&mut self, title: &str) -> Bytes {
        if self.said.as_deref() == Some(title) {
            return Bytes::from_static(&[0]);
        }
        self.said = Some(title.to_owned());
        // The end of a title is `';`, and nothing escapes it.
        let mut title: String = title.replace('\'', "\u{2019}").chars().filter(|c| !c.is_control()).collect();
        while title.len() > MAX_BLOCK - 32 {
            title.pop();
        }
        let mut block = format!("StreamTitle='{title}';").into_bytes();
        block.resize(block.len().next_multiple_of(16), 0);
        block.insert(0, (block.len() / 16) as u8);
        block.into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn blocks_are_where_players_expect_them() {
        let mut titles = Titles::new();
        let sound = vec![7; 50_000];
        let mut sent = Vec::new();
        for part in sound.chunks(7_001) {
            sent.extend(titles.insert(Bytes::copy_from_slice(part), "It's late").concat());
        }
        // Read as a player does.
        let (mut at, mut heard, mut said) = (0, 0, Vec::new());
        while at < sent.len() {
            let take = INTERVAL.min(sent.len() - at);
            assert!(sent[at..at + take].iter().all(|byte| *byte == 7));
            (heard, at) = (heard + take, at + take);
            if take == INTERVAL {
                let length = usize::from(sent[at]) * 16;
                said.push(String::from_utf8(sent[at + 1..at + 1 + length].to_vec()).unwrap());
                at += 1 + length;
            }
        }
        assert_eq!(heard, sound.len());
        assert_eq!(said[0].trim_end_matches('\0'), "StreamTitle='It\u{2019}s late';");
        assert_eq!(said[1..], ["", ""]);
        let long = titles.block(&"ü".repeat(5000));
        assert_eq!(long.len(), 1 + usize::from(long[0]) * 16);
    }
}
