//! The title of what a channel is playing, signed by its source.

use super::{ChannelKey, Signature, SourceKey};
use bytes::{Buf, BufMut, Bytes};

/// Most bytes of a title, UTF-8.
pub const MAX_TITLE_BYTES: usize = 255;

/// Label of the signed bytes of a title. The last byte is the version.
const LABEL: &[u8] = b"playswarm live title 1";
/// Bytes of a title without its text and its signature.
const FIELD_BYTES: usize = 13;

/// What a cast is playing from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Title {
    /// Random number of the run of the source.
    pub cast: u64,
    /// Number of the title within the cast, from 0. The highest applies.
    pub number: u32,
    /// The title, such as `ARTIST - TITLE`. Empty if nothing is known of what is playing.
    pub text: String,
}

impl Title {
    /// Creates a title. A text that is too long is cut.
    pub fn new(cast: u64, number: u32, text: &str) -> Title {
        let longest = text.len().min(MAX_TITLE_BYTES);
        let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        Title { cast, number, text: text[..end].to_owned() }
    }

    fn fields(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIELD_BYTES + self.text.len());
        out.put_u64(self.cast);
        out.put_u32(self.number);
        out.put_u8(self.text.len() as u8);
        out.put_slice(self.text.as_bytes());
        out
    }

    /// Signs the title.
    pub fn sign(self, key: &SourceKey) -> SignedTitle {
        let signature = key.sign(&[LABEL, &self.fields()].concat());
        SignedTitle { title: self, signature }
    }
}

/// A title as it travels. Its signature is not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTitle {
    /// The title.
    pub title: Title,
    /// Its signature by the channel's key.
    pub signature: Signature,
}

impl SignedTitle {
    /// Returns whether the source of this channel signed it.
    pub fn is_signed_by(&self, key: &ChannelKey) -> bool {
        key.verifies(&[LABEL, &self.title.fields()].concat(), &self.signature)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.title.fields());
        out.put_slice(&self.signature);
    }

    /// Reads a title. `None` if it is cut off. The inner `None` stands for a text that is not UTF-8.
    pub(super) fn read(bytes: &mut Bytes) -> Option<Option<SignedTitle>> {
        if bytes.len() < FIELD_BYTES {
            return None;
        }
        let (cast, number, length) = (bytes.get_u64(), bytes.get_u32(), usize::from(bytes.get_u8()));
        if bytes.len() < length + 64 {
            return None;
        }
        let text = String::from_utf8(bytes.split_to(length).to_vec()).ok();
        let mut signature = [0; 64];
        bytes.copy_to_slice(&mut signature);
        Some(text.map(|text| SignedTitle { title: Title { cast, number, text }, signature }))
    }
}
