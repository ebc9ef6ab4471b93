//! Which file of a torrent is meant.

use super::Torrent;
use crate::error::{Error, Result};

impl Torrent {
    /// The file to play when none is named: the largest that can be played, or the largest of all where no name tells
    /// of a format that we know.
    ///
    /// # Errors
    /// [`Error::NothingPlayable`].
    pub fn default_file(&self) -> Result<usize> {
        let mut files = self.playable();
        if files.is_empty() {
            files = (0..self.files.len()).filter(|&n| !self.files[n].padding && self.files[n].length > 0).collect();
        }
        // `max_by_key` takes the last of equals; the first is what people expect.
        files.into_iter().rev().max_by_key(|&n| self.files[n].length).ok_or(Error::NothingPlayable)
    }

    /// The file that a user means by its number, its name, or a part of its name that no other file has.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`] where there is none, or more than one.
    pub fn find_file(&self, wanted: &str) -> Result<usize> {
        let none = || Error::NoSuchFile { wanted: wanted.to_owned(), files: self.files.len() };
        let shown = |n: &usize| !self.files[*n].padding;
        if let Ok(n) = wanted.parse::<usize>()
            && n < self.files.len()
            && shown(&n)
        {
            return Ok(n);
        }
        let lower = wanted.to_lowercase();
        let all = || (0..self.files.len()).filter(shown);
        let name = |n: usize| self.files[n].name.to_lowercase();
        let is_named = |n: &usize| name(*n) == lower || name(*n).ends_with(&format!("/{lower}"));
        let mut exact = all().filter(is_named);
        if let (Some(n), None) = (exact.next(), exact.next()) {
            return Ok(n);
        }
        let mut partly = all().filter(|n| name(*n).contains(&lower));
        match (partly.next(), partly.next()) {
            (Some(n), None) if !lower.is_empty() => Ok(n),
            _ => Err(none()),
        }
    }
}
