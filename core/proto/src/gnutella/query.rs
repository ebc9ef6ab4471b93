//! Queries.

use super::area::Area;
use super::fields::{Fields, put_short_number, short_number, text};
use super::frame::MAX_QUERY_BYTES;
use super::ggep::Budget;
use super::{Fault, Ggep};
use crate::{FileHashes, printable};
use bytes::{BufMut, Bytes};

/// Longest query that we write, bytes. The draft's bound; servents relay longer ones rarely.
pub const MAX_OUR_QUERY_BYTES: usize = 256;
/// Longest text of a query that we write, bytes: room for the hashes and extensions.
pub const MAX_OUR_TEXT_BYTES: usize = 128;

/// Flags of a query. They are big-endian, unlike all other numbers of the protocol.
pub mod flag {
    /// The field has flags. Without it, it is a speed, as in old servents.
    pub const IS_FLAGS: u16 = 0x8000;
    /// The sender cannot be reached from outside.
    pub const FIREWALLED: u16 = 0x4000;
    /// Metadata is wanted in XML.
    pub const XML: u16 = 0x2000;
    /// The leaf says how many results it has (BEAR/12).
    pub const LEAF_GUIDED: u16 = 0x1000;
    /// Hashes are understood in the extension `H`.
    pub const GGEP_HASHES: u16 = 0x0800;
    /// Hits may come by UDP to the address in the identifier.
    pub const OUT_OF_BAND: u16 = 0x0400;
    /// Transfers between two firewalled servents are possible.
    pub const FIREWALL_TO_FIREWALL: u16 = 0x0200;
    /// Answers by semi-reliable UDP are understood.
    pub const RELIABLE_UDP: u16 = 0x0100;
}

/// Kinds of media, as a query names those that it wants (`M`).
pub mod media {
    /// Audio.
    pub const AUDIO: u32 = 0x04;
    /// Video.
    pub const VIDEO: u32 = 0x08;
}

/// Returns the longest prefix within `bytes` that ends between words. A part of a word would match
/// no file.
fn whole_words(text: &str, bytes: usize) -> &str {
    let cut = printable::prefix(text, bytes);
    let is_whole = text[cut.len()..].chars().next().is_none_or(char::is_whitespace);
    if is_whole {
        cut.trim_end()
    } else {
        cut.rsplit_once(char::is_whitespace).map_or("", |(words, _)| words.trim_end())
    }
}

/// A query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Flags, of [`flag`]. The low byte is the most hits that are wanted, or 0.
    pub flags: u16,
    /// Words to search for.
    pub text: String,
    /// Hashes and other extensions.
    pub area: Area,
}

impl Query {
    /// Returns a query for words, and for a file with these hashes if there are any. Words are
    /// needed as well: servents route by words alone. Words beyond the longest text are left out.
    pub fn new(text: &str, hashes: &FileHashes) -> Query {
        let text: String = text.chars().map(|c| if printable::is_printable(c) { c } else { ' ' }).collect();
        let text = whole_words(text.trim(), MAX_OUR_TEXT_BYTES).to_owned();
        // The SHA-1 alone: a bitprint would not be found by servents that have no tree.
        let sha1 = FileHashes { sha1: hashes.sha1, ..FileHashes::default() };
        Query { flags: flag::IS_FLAGS | flag::GGEP_HASHES, text, area: Area::of_urn(&sha1) }
    }

    /// Adds flags of [`flag`].
    #[must_use]
    pub fn with_flags(mut self, flags: u16) -> Query {
        self.flags |= flags;
        self
    }

    /// Asks for files of these kinds of [`media`] alone.
    #[must_use]
    pub fn of_media(self, mask: u32) -> Query {
        self.with("M", put_short_number(mask.into()))
    }

    /// Says that files which their owner is still downloading are welcome too.
    #[must_use]
    pub fn with_partial_files(self) -> Query {
        self.with("PR", Bytes::new())
    }

    /// Asks for hits by UDP to the address in the message's identifier, each with a token that the
    /// claim names.
    #[must_use]
    pub fn out_of_band(self) -> Query {
        self.with_flags(flag::OUT_OF_BAND).with("SO", Bytes::new())
    }

    /// Asks ultrapeers not to take hits by UDP in place of the leaf.
    #[must_use]
    pub fn without_proxy(self) -> Query {
        self.with("NP", Bytes::new())
    }

    /// Makes it a query by UDP (GUESS), with the key that the servent gave.
    #[must_use]
    pub fn with_key(self, key: &Bytes) -> Query {
        self.with("QK", key.clone()).with("SCP", vec![0])
    }

    fn with(mut self, name: &'static str, data: impl Into<Bytes>) -> Query {
        self.area.ggep = std::mem::take(&mut self.area.ggep).with(name, data);
        self
    }

    /// Whether a flag is set. Without [`flag::IS_FLAGS`] the field is no flags.
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag::IS_FLAGS != 0 && self.flags & flag != 0
    }

    /// Returns the kinds of [`media`] that are wanted; `None` for all.
    pub fn media(&self) -> Option<u32> {
        short_number(self.area.ggep.get("M")?).and_then(|mask| u32::try_from(mask).ok())
    }

    /// Returns the key of a query by UDP (`QK`).
    pub fn key(&self) -> Option<&Bytes> {
        self.ggep().get("QK")
    }

    /// Whether the hits' token is understood (`SO`).
    pub fn has_secure_oob(&self) -> bool {
        self.ggep().has("SO")
    }

    fn ggep(&self) -> &Ggep {
        &self.area.ggep
    }

    /// Whether the query is no longer than those which servents relay.
    pub fn fits(&self) -> bool {
        self.check_length().is_ok()
    }

    /// Checks that the query is no longer than those which servents relay.
    ///
    /// # Errors
    /// [`Fault::TooLong`].
    pub(super) fn check_length(&self) -> Result<(), Fault> {
        let mut payload = Vec::new();
        self.encode(&mut payload);
        let (bytes, most) = (payload.len(), MAX_OUR_QUERY_BYTES);
        if bytes > most { Err(Fault::TooLong { what: "query", bytes, most }) } else { Ok(()) }
    }

    pub(super) fn decode(payload: &Bytes) -> Result<Query, Fault> {
        let mut fields = Fields::new("query", payload);
        let flags = fields.u16_be()?;
        let text = text(&fields.until_nul(), MAX_QUERY_BYTES as usize);
        Ok(Query { flags, text, area: Area::decode(&fields.rest(), &mut Budget::default()) })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u16(self.flags);
        out.extend(self.text.bytes().filter(|b| *b != 0));
        out.push(0);
        self.area.encode(out);
    }
}
