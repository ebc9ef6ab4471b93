//! The last minutes of the stream on disk. Nodes learn only after its end which groups a minute has.
//!
//! The spool's files have no name: they are gone with the process, however it ends.

use bytes::Bytes;
use playswarm_proto::live::{MAX_MINUTE_BYTES, Minute};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Stretch of the stream that is kept, milliseconds: the longest minute, twice over where the stream has
/// few restart points, and time to announce it.
const KEPT_MS: u64 = 2 * MAX_MINUTE_MS + 60_000;
/// Longest minute that a source may choose, milliseconds.
pub(super) const MAX_MINUTE_MS: u64 = 120_000;
/// Most bytes that are kept: as many as a minute may have.
const KEPT_BYTES: u64 = MAX_MINUTE_BYTES;
/// Stretch of the stream in one file, milliseconds. A file is gone once nothing of it is kept.
const FILE_MS: u64 = 30_000;

/// A group of the stream.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) cast: u64,
    pub(super) number: u64,
    pub(super) revision: u8,
    pub(super) is_restart: bool,
    /// When its first byte reached the source, milliseconds since 1970.
    pub(super) born_ms: u64,
    pub(super) bytes: Bytes,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    cast: u64,
    groups: BTreeMap<u64, Spooled>,
    /// Bytes of all groups.
    bytes: u64,
    /// The file that is written, when its first group was born, and its length.
    open: Option<(Arc<File>, u64, u64)>,
}

#[derive(Clone, Debug)]
struct Spooled {
    file: Arc<File>,
    at: u64,
    length: u64,
    born_ms: u64,
}

impl Spool {
    pub(super) fn new(dir: PathBuf) -> Spool {
        Spool { dir, cast: 0, groups: BTreeMap::new(), bytes: 0, open: None }
    }

    /// Adds a group, and drops those that are too old. Those of another cast are dropped.
    ///
    /// # Errors
    ///
    /// Returns an error if the group cannot be written; it is left out then.
    pub(super) fn put(&mut self, group: &Group) -> io::Result<()> {
        if group.cast != self.cast {
            *self = Spool { cast: group.cast, ..Spool::new(std::mem::take(&mut self.dir)) };
        }
        let length = group.bytes.len() as u64;
        while let Some(oldest) = self.groups.first_entry()
            && (oldest.get().born_ms + KEPT_MS < group.born_ms || self.bytes + length > KEPT_BYTES)
        {
            self.bytes -= oldest.remove().length;
        }
        let (file, _, at) = match self.open.take() {
            Some(open) if open.1 + FILE_MS > group.born_ms => self.open.insert(open),
            _ => self.open.insert((Arc::new(nameless(&self.dir)?), group.born_ms, 0)),
        };
        file.write_all_at(&group.bytes, *at)?;
        let spooled = Spooled { file: file.clone(), at: *at, length, born_ms: group.born_ms };
        *at += length;
        self.bytes += length;
        self.groups.insert(group.number, spooled);
        Ok(())
    }

    /// Returns the length of a minute with these init bytes. `None` if a group is not here.
    pub(super) fn length(&self, minute: &Minute, init: &[u8]) -> Option<u64> {
        let held = |number| self.groups.get(&number).filter(|_| minute.cast == self.cast);
        let groups = (minute.first..minute.end).map(|number| Some(held(number)?.length));
        groups.sum::<Option<u64>>().map(|length| length + init.len() as u64)
    }

    /// Returns what is here of a minute's file. Without the init bytes, only its end has a known
    /// position.
    pub(super) fn image(&self, minute: &Minute, init: Option<Bytes>) -> Image {
        let mut parts = BTreeMap::new();
        let held = |number: u64| self.groups.get(&number).filter(|_| minute.cast == self.cast);
        let mut next = minute.first;
        if let Some(init) = init {
            let mut at = init.len() as u64;
            parts.insert(0, Part::Memory(init));
            while next < minute.end
                && let Some(group) = held(next)
            {
                parts.insert(at, Part::Spooled(group.clone()));
                (at, next) = (at + group.length, next + 1);
            }
        }
        let mut at = minute.length;
        for number in (next..minute.end).rev() {
            let Some((group, start)) = held(number).and_then(|group| Some((group, at.checked_sub(group.length)?)))
            else {
                break;
            };
            parts.insert(start, Part::Spooled(group.clone()));
            at = start;
        }
        Image { length: minute.length, parts }
    }
}

/// The parts of a minute's file that are here. They stay readable.
#[derive(Debug, Default)]
pub(super) struct Image {
    length: u64,
    /// By their positions in the file.
    parts: BTreeMap<u64, Part>,
}

#[derive(Debug)]
enum Part {
    Memory(Bytes),
    Spooled(Spooled),
}

impl Image {
    /// Returns the length of the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether nothing of the file is here.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Returns these bytes of the file. `None` if some are not here.
    ///
    /// # Errors
    ///
    /// Returns an error if the disk cannot be read.
    pub(super) fn read(&self, from: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::with_capacity(length);
        let end = from + length as u64;
        let first = self.parts.range(..=from).next_back().map_or(0, |(at, _)| *at);
        for (at, part) in self.parts.range(first..end) {
            let position = from + bytes.len() as u64;
            // Empty groups have the position of the next one.
            let Some(skip) = position.checked_sub(*at) else { return Ok(None) };
            let part_length = match part {
                Part::Memory(part) => part.len() as u64,
                Part::Spooled(part) => part.length,
            };
            let here = part_length.saturating_sub(skip).min(end - position) as usize;
            match part {
                Part::Memory(part) if here > 0 => bytes.extend_from_slice(&part[skip as usize..][..here]),
                Part::Spooled(part) if here > 0 => {
                    let filled = bytes.len();
                    bytes.resize(filled + here, 0);
                    part.file.read_exact_at(&mut bytes[filled..], part.at + skip)?;
                }
                _ => {}
            }
        }
        Ok((bytes.len() == length).then_some(bytes))
    }
}

/// Creates a file that has no name any more.
fn nameless(dir: &Path) -> io::Result<File> {
    fs::create_dir_all(dir)?;
    let path = dir.join(format!(".playswarm-spool-{:016x}", crate::random::number()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn group(number: u64, born_ms: u64, bytes: &'static [u8]) -> Group {
        Group { cast: 1, number, revision: 0, is_restart: true, born_ms, bytes: Bytes::from_static(bytes) }
    }

    fn minute(first: u64, end: u64, length: u64) -> Minute {
        Minute { cast: 1, first, end, length, ..Minute::default() }
    }

    #[test]
    fn a_minute_is_its_init_bytes_and_its_groups() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(dir.path().join("new"));
        for (n, bytes) in [&b"zero"[..], b"one", b"", b"three", b"four"].into_iter().enumerate() {
            spool.put(&group(n as u64, n as u64 * 20_000, bytes)).unwrap();
        }
        assert_eq!(fs::read_dir(dir.path().join("new")).unwrap().count(), 0, "its files have no names");
        let init = Bytes::from_static(b"init");
        let whole = minute(1, 5, 16);
        assert_eq!(spool.length(&whole, &init), Some(16));
        let image = spool.image(&whole, Some(init.clone()));
        assert_eq!(image.read(0, 16).unwrap().unwrap(), b"initonethreefour");
        for (from, length) in [(0, 3), (3, 2), (5, 4), (7, 5), (15, 1)] {
            let read = image.read(from, length).unwrap().unwrap();
            assert_eq!(read, b"initonethreefour"[from as usize..][..length]);
        }
        assert!(image.read(10, 7).unwrap().is_none(), "beyond its end");
        assert_eq!(spool.length(&minute(4, 6, 4), b""), None);
    }

    #[test]
    fn around_a_gap_the_beginning_and_the_end_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(dir.path().to_owned());
        for (number, bytes) in [(0, &b"aa"[..]), (1, b"bb"), (3, b"dd"), (4, b"ee")] {
            spool.put(&group(number, 0, bytes)).unwrap();
        }
        // The lost group had five bytes.
        let image = spool.image(&minute(0, 5, 13), Some(Bytes::new()));
        let read =
            |image: &Image, from, length| image.read(from, length).unwrap().map(|b| String::from_utf8(b).unwrap());
        assert_eq!(read(&image, 0, 4).as_deref(), Some("aabb"));
        assert_eq!(read(&image, 9, 4).as_deref(), Some("ddee"));
        assert!(read(&image, 3, 2).is_none() && read(&image, 8, 2).is_none() && !image.is_empty());
        let image = spool.image(&minute(0, 5, 13), None);
        assert!(read(&image, 0, 1).is_none() && read(&image, 9, 4).as_deref() == Some("ddee"));
        assert!(spool.image(&Minute { cast: 2, ..minute(0, 5, 13) }, None).is_empty());
        assert!(spool.image(&minute(0, 5, 1), None).read(0, 1).unwrap().is_none(), "a length that is a lie");
    }

    #[test]
    fn what_is_old_or_of_another_cast_is_dropped_and_images_stay_readable() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(dir.path().to_owned());
        spool.put(&group(0, 0, b"old")).unwrap();
        let image = spool.image(&minute(0, 1, 3), Some(Bytes::new()));
        spool.put(&group(1, KEPT_MS + 1, b"new")).unwrap();
        assert_eq!(spool.length(&minute(0, 1, 3), b""), None);
        assert_eq!((spool.bytes, image.read(0, 3).unwrap().unwrap()), (3, b"old".to_vec()));
        spool.put(&Group { cast: 2, ..group(0, 0, b"other") }).unwrap();
        assert_eq!((spool.bytes, spool.groups.len()), (5, 1));
    }
}
