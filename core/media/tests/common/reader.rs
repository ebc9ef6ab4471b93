//! Feeds the requested ranges of a film to an `Indexer` or a `Locate`, and counts the cost.

use super::Film;
use playswarm_media::{Indexer, Locate, SeekPoint, Timeline};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Length of a block, the unit of a swarm's requests and of the touched bytes.
pub const BLOCK: u64 = 16 << 10;

/// How the requested ranges are fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Exactly these bytes.
    Exact,
    /// All blocks that contain them, the last first, one by one.
    Blocks,
}

/// The result and the cost of reading an index.
#[derive(Debug)]
pub struct Read {
    pub timeline: Arc<Timeline>,
    /// Bytes of the blocks touched.
    pub touched: u64,
    /// Number of rounds of requests.
    pub rounds: usize,
    /// Most bytes held.
    pub held: usize,
    /// Time spent in it, without reading the file.
    pub parse: Duration,
}

pub fn read(film: &Film, cut: Cut) -> Read {
    read_path(&film.path(), cut)
}

pub fn read_path(path: &Path, cut: Cut) -> Read {
    let mut source = Source::open(path, cut);
    let began = Instant::now();
    let mut indexer = Indexer::new(path.file_name().unwrap().to_str().unwrap(), source.size);
    let mut parse = began.elapsed();
    let (mut held, mut rounds) = (0, 0);
    while indexer.timeline().is_none() {
        let needed = indexer.needed();
        assert!(!needed.is_empty(), "no timeline, but nothing more is needed");
        rounds += 1;
        for (offset, bytes) in source.pieces(&needed) {
            let began = Instant::now();
            indexer.feed(offset, &bytes);
            parse += began.elapsed();
            held = held.max(indexer.held_bytes());
        }
    }
    assert_eq!(indexer.needed(), [], "there is a timeline, but more is needed");
    let timeline = Arc::clone(indexer.timeline().unwrap());
    Read { timeline, touched: source.touched(), rounds, held, parse }
}

/// Returns the seek point for a time, and the bytes of the blocks touched to find it.
pub fn locate(film: &Film, timeline: &Arc<Timeline>, time: Duration) -> (SeekPoint, u64) {
    let mut source = Source::open(&film.path(), Cut::Blocks);
    let mut locate = Locate::new(timeline, time);
    loop {
        if let Some(seek_point) = locate.seek_point() {
            assert_eq!(locate.needed(), [], "there is a seek point, but more is needed");
            return (seek_point, source.touched());
        }
        let needed = locate.needed();
        assert!(!needed.is_empty(), "no seek point, but nothing more is needed");
        for (offset, bytes) in source.pieces(&needed) {
            locate.feed(offset, &bytes);
        }
    }
}

pub struct Source {
    file: File,
    size: u64,
    cut: Cut,
    blocks: BTreeSet<u64>,
}

impl Source {
    pub fn open(path: &Path, cut: Cut) -> Source {
        let file = File::open(path).unwrap();
        let size = file.metadata().unwrap().len();
        Source { file, size, cut, blocks: BTreeSet::new() }
    }

    fn touched(&self) -> u64 {
        self.blocks.iter().map(|block| BLOCK.min(self.size - block * BLOCK)).sum()
    }

    /// Returns the requested bytes in the chosen parts.
    pub fn pieces(&mut self, needed: &[Range<u64>]) -> Vec<(u64, Vec<u8>)> {
        let mut ranges = Vec::new();
        let mut blocks = BTreeSet::new();
        for range in needed {
            assert!(range.start < range.end && range.end <= self.size, "{range:?} of {} bytes is needed", self.size);
            blocks.extend(range.start / BLOCK..range.end.div_ceil(BLOCK));
            ranges.push(range.clone());
        }
        if self.cut == Cut::Blocks {
            ranges = blocks.iter().rev().map(|b| b * BLOCK..self.size.min((b + 1) * BLOCK)).collect();
        }
        self.blocks.append(&mut blocks);
        ranges.into_iter().map(|range| (range.start, self.bytes(&range))).collect()
    }

    fn bytes(&mut self, range: &Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.file.seek(SeekFrom::Start(range.start)).unwrap();
        self.file.read_exact(&mut bytes).unwrap();
        bytes
    }
}
