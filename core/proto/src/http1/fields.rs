//! The header fields of a message.

use super::{Fault, Framing, MAX_TEXT_BYTES};
use crate::{charset, printable};

/// The fields of a head as httparse returns them.
pub(crate) struct Fields<'a>(pub(crate) &'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    pub(crate) fn all(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// Returns the first field with one of these names, as text.
    pub(crate) fn text(&self, names: &[&'static str]) -> Option<String> {
        let value = names.iter().find_map(|name| self.all(name).next())?;
        Some(shortened(&charset::likely_text(value))).filter(|text| !text.is_empty())
    }

    /// Whether a field with a list of words has this word.
    pub(crate) fn has_word(&self, name: &'static str, word: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(|b| *b == b','))
            .any(|w| w.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    }

    /// Whether the connection may be used again after this message (RFC 9112, section 9.3).
    pub(crate) fn keep_alive(&self, is_1_1: bool) -> bool {
        match is_1_1 {
            true => !self.has_word("connection", "close"),
            false => self.has_word("connection", "keep-alive"),
        }
    }

    /// Returns the media type (`Content-Type`) in lower case, without its parameters.
    pub(crate) fn media_type(&self) -> Option<String> {
        let text = self.text(&["content-type"])?;
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        (!essence.is_empty()).then_some(essence)
    }

    /// Returns how the body ends; `None` if the head does not say it.
    pub(crate) fn framing(&self) -> Result<Option<Framing>, Fault> {
        let is_chunked = match self.text(&["transfer-encoding"]) {
            None => false,
            Some(coding) if coding.eq_ignore_ascii_case("chunked") => true,
            Some(coding) if coding.eq_ignore_ascii_case("identity") => false,
            Some(_) => return Err(Fault::Coding),
        };
        match (is_chunked, self.length()?) {
            (true, Some(_)) => Err(Fault::Both),
            (true, None) => Ok(Some(Framing::Chunked)),
            (false, length) => Ok(length.map(Framing::Length)),
        }
    }

    /// Returns the length of the body (`Content-Length`).
    pub(crate) fn length(&self) -> Result<Option<u64>, Fault> {
        let mut found = None;
        for value in self.all("content-length") {
            let digits = std::str::from_utf8(value.trim_ascii()).map_err(|_| Fault::Length)?;
            let length = number(digits).ok_or(Fault::Length)?;
            if found.replace(length).is_some_and(|before| before != length) {
                return Err(Fault::Length);
            }
        }
        Ok(found)
    }
}

/// Returns a number that is written in digits alone, without a sign.
pub(crate) fn number(digits: &str) -> Option<u64> {
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Returns the text without white space around it, and cut to the longest one kept.
pub(crate) fn shortened(text: &str) -> String {
    printable::prefix(text.trim(), MAX_TEXT_BYTES).to_owned()
}
