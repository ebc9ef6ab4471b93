//! Which file of a torrent is meant.

use super::Torrent;
use crate::error::{Error, Result};

impl Torrent {
    /// The file to play when none is named: the largest that can be played, or the largest of all where no name tells
    /// of a format that we know. Where the link selects files (BEP 53), one of those.
    ///
    /// # Errors
    /// [`Error::NothingPlayable`].
    pub fn default_file(&self) -> Result<usize> {
        let counts = self.selection();
        let mut files: Vec<usize> = self.playable().into_iter().filter(|n| counts(*n)).collect();
        if files.is_empty() {
            let has_data = |n: &usize| !self.files[*n].padding && self.files[*n].length > 0;
            files = (0..self.files.len()).filter(has_data).filter(|n| counts(*n)).collect();
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn torrent(files: &[(&str, u64)]) -> Torrent {
        let list: String =
            files.iter().map(|(name, n)| format!("d6:lengthi{n}e4:pathl{}:{name}ee", name.len())).collect();
        let total: u64 = files.iter().map(|f| f.1).sum();
        let hashes = "h".repeat(total.div_ceil(16384) as usize * 20);
        let info = format!("d5:filesl{list}e4:name1:t12:piece lengthi16384e6:pieces{}:{hashes}e", hashes.len());
        Torrent::from_info(info.into(), Vec::new()).unwrap()
    }

    #[test]
    fn a_link_that_selects_files_chooses_among_them() {
        let mut torrent = torrent(&[("big.mkv", 900), ("a.mkv", 300), ("b.mkv", 500), ("notes.txt", 600)]);
        for (selected, wanted) in [
            (vec![], 0),
            (vec![1..=1], 1),
            (vec![1..=3], 2),
            (vec![3..=3], 3),
            (vec![9..=99_999_999_999], 0),
            (vec![9..=9, 1..=1], 1),
        ] {
            torrent.selected.clone_from(&selected);
            assert_eq!(torrent.default_file().unwrap(), wanted, "{selected:?}");
        }
    }
}
