//! The message between viewers: slot, playhead, buffer, unused upload. A BEP 10 extension.
//!
//! Layout and version are in docs/SLOTS.md. The message is a bencoded dictionary of integers. Other
//! clients ignore its name in the extended handshake and never receive one. The driver decides when
//! to send it.

use crate::bencode::{Malformed, Reader};

/// Name in the `m` dictionary of the extended handshake (BEP 10).
pub const EXTENSION: &str = "ps_slot";
/// Version that is written. Other versions are read as far as their fields are known.
pub const VERSION: i64 = 1;
/// Longest accepted message. Longer ones are refused unread.
pub const MAX_MESSAGE_BYTES: usize = 256;

/// A viewer's report about itself. It is believed only as far as it is checked; peers are judged by
/// the data they deliver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Number of the file in the torrent, from 0.
    pub file: u32,
    /// Virtual slot that the viewer announces.
    pub slot: i64,
    /// Playhead at the time of sending, milliseconds into the film.
    pub playhead_ms: u64,
    /// Whether the player plays (true) or is paused.
    pub playing: bool,
    /// Buffer beyond the playhead, seconds of film.
    pub ahead_s: u32,
    /// Unused upload rate, bytes per second.
    pub spare_bytes_per_s: u64,
    /// Clock of the viewer with its own correction, seconds since 1970.
    pub unix_s: i64,
}

const TOO_LONG: Malformed = Malformed("it is longer than any slot message");
const NOT_BENCODE: Malformed = Malformed("it is not a bencoded dictionary");
const BAD_FIELD: Malformed = Malformed("a field of it is missing or out of range");

impl Message {
    /// Returns the payload of the extended message.
    pub fn encode(&self) -> Vec<u8> {
        // Keys in order, as BEP 3 requires.
        format!(
            "d1:ai{}e1:fi{}e1:pi{}e1:ri{}e1:si{}e1:ui{}e1:vi{VERSION}e1:wi{}ee",
            self.ahead_s,
            self.file,
            self.playhead_ms.min(i64::MAX as u64),
            i32::from(self.playing),
            self.slot,
            self.spare_bytes_per_s.min(i64::MAX as u64),
            self.unix_s
        )
        .into_bytes()
    }

    /// Parses a payload. Unknown fields are skipped.
    ///
    /// # Errors
    ///
    /// Returns an error if the payload is too long, is not bencode or lacks a field.
    pub fn decode(bytes: &[u8]) -> Result<Message, Malformed> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(TOO_LONG);
        }
        let mut reader = Reader::of_peer(bytes);
        let mut fields: [Option<i64>; 128] = [None; 128];
        reader
            .dict(|key, value| {
                let number = value.integer_if_any()?;
                if let [letter @ 0..128] = key {
                    fields[usize::from(*letter)] = number;
                }
                Ok(())
            })
            .map_err(|Malformed(_)| NOT_BENCODE)?;
        if !reader.at_end() {
            return Err(NOT_BENCODE);
        }
        let field = |letter: u8| fields[usize::from(letter)].ok_or(BAD_FIELD);
        let version = field(b'v')?;
        let playing = match field(b'r')? {
            0 => false,
            1 => true,
            _ => return Err(BAD_FIELD),
        };
        if version < 1 {
            return Err(BAD_FIELD);
        }
        let bad = |_| BAD_FIELD;
        Ok(Message {
            file: u32::try_from(field(b'f')?).map_err(bad)?,
            slot: field(b's')?,
            playhead_ms: u64::try_from(field(b'p')?).map_err(bad)?,
            playing,
            ahead_s: u32::try_from(field(b'a')?).map_err(bad)?,
            spare_bytes_per_s: u64::try_from(field(b'u')?).map_err(bad)?,
            unix_s: field(b'w')?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SENT: Message = Message {
        file: 2,
        slot: 14_999_995,
        playhead_ms: 605_250,
        playing: true,
        ahead_s: 41,
        spare_bytes_per_s: 125_000,
        unix_s: 1_800_000_000,
    };

    #[test]
    fn the_example_in_the_document_is_written_and_read() {
        let page = include_str!("../../../docs/SLOTS.md");
        let text = String::from_utf8(SENT.encode()).unwrap();
        assert!(page.contains(&text), "{text}");
        assert_eq!(Message::decode(text.as_bytes()), Ok(SENT));
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        let text = "d1:ai1e1:bl4:spami1ed3:fooleee1:fi0e3:newi9e1:pi5e1:ri0e1:si-3e1:ui0e1:vi2e1:wi7ee";
        let read = Message::decode(text.as_bytes()).unwrap();
        assert_eq!((read.ahead_s, read.playhead_ms, read.playing, read.slot, read.unix_s), (1, 5, false, -3, 7));
    }

    #[test]
    fn each_kind_of_nonsense_is_refused() {
        let refused = |text: &str| Message::decode(text.as_bytes()).unwrap_err();
        assert_eq!(refused(""), NOT_BENCODE);
        assert_eq!(refused("de"), BAD_FIELD);
        assert_eq!(refused(&format!("d1:ai{}ee", "9".repeat(300))), TOO_LONG);
        assert_eq!(refused(&format!("d1:x{}", "l".repeat(200))), NOT_BENCODE);
        assert_eq!(refused("d1:ai-1e1:fi0e1:pi5e1:ri0e1:si-3e1:ui0e1:vi1e1:wi7ee"), BAD_FIELD);
        assert_eq!(refused("d1:ai1e1:fi0e1:pi5e1:ri2e1:si-3e1:ui0e1:vi1e1:wi7ee"), BAD_FIELD);
        // An integer that begins with a zero is accepted, as in other clients; the other fields are
        // missing.
        assert_eq!(refused("d1:ai01ee"), BAD_FIELD);
        assert_eq!(refused("d1:ai1e1:fi0e1:pi5e1:ri0e1:si-3e1:ui0e1:vi1e1:wi7eex"), NOT_BENCODE);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Message::decode(&bytes);
        }

        #[test]
        fn nearly_right_bytes_do_not_panic_either(at in 0usize..60, byte: u8) {
            let mut bytes = SENT.encode();
            bytes[at] = byte;
            let _ = Message::decode(&bytes);
        }

        #[test]
        fn written_messages_are_read(file: u32, slot: i64, playhead in 0..=i64::MAX as u64, playing: bool, ahead_s: u32,
                                   spare in 0..=i64::MAX as u64, unix_s: i64) {
            let message = Message {
                file, slot, playhead_ms: playhead, playing, ahead_s, spare_bytes_per_s: spare, unix_s,
            };
            let bytes = message.encode();
            prop_assert!(bytes.len() <= MAX_MESSAGE_BYTES);
            prop_assert_eq!(Message::decode(&bytes), Ok(message));
        }
    }
}
