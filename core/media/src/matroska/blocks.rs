//! Reads clusters block by block, from header to header, and skips the frames themselves. Elements
//! of unknown size are entered, so that their own structure ends them. Where no element follows,
//! the next cluster is searched for.

use super::ebml::{self, Header, children, header, uint, vint};
use super::ids;
use super::tracks::Film;
use crate::bisect::{Key, Look, Point, Reading, Short, Stream};
use crate::held::Held;
use crate::timeline::TrackKind;
use std::ops::Range;
use std::sync::Arc;

/// A block with its times and position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) track: u64,
    /// Timestamp in microseconds by the file's clock, without the codec's delay.
    pub(crate) us: i64,
    /// Duration in microseconds, if stated.
    pub(crate) duration_us: Option<i64>,
    pub(crate) key: bool,
    /// Offset of its content, and of the end of it.
    pub(crate) offset: u64,
    pub(crate) end: u64,
    /// Offset of its cluster.
    pub(crate) cluster: u64,
}

/// A sequential reader of blocks, starting at an element.
#[derive(Debug)]
pub(crate) struct Blocks {
    film: Arc<Film>,
    at: u64,
    cluster: u64,
    /// The cluster's timestamp in ticks.
    ticks: i64,
    group: Option<Group>,
    /// Offset from which a cluster is searched for, since no element was found there.
    lost: Option<u64>,
}

/// A BlockGroup that is being read.
#[derive(Debug)]
struct Group {
    end: u64,
    block: Option<Block>,
    duration: Option<u64>,
    references: bool,
}

/// Bytes requested at each header. Audio blocks lie close together, video blocks far apart.
const CHUNK: u64 = 1 << 10;
/// Bytes requested while searching for a cluster.
const SCAN_CHUNK: u64 = 64 << 10;
/// Longest distance in bytes over which a cluster is searched for after damage. FFmpeg's clusters
/// have 5 MB at most.
const MAX_LOST: u64 = 8 << 20;
/// Bytes that identify a cluster: its header, a checksum and its timestamp.
pub(crate) const CLUSTER_HEAD: u64 = 64;
/// Length in bytes of a block's head: track (8), time (2), flags (1).
pub(crate) const BLOCK_HEAD: u64 = 11;

impl Blocks {
    pub(crate) fn new(film: Arc<Film>, at: u64) -> Blocks {
        Blocks { film, at, cluster: at, ticks: 0, group: None, lost: None }
    }

    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Returns the offset before which everything was read, apart from blocks that were returned.
    pub(crate) fn read_up_to(&self) -> u64 {
        let block = self.group.as_ref().and_then(|group| group.block);
        block.map_or(self.at, |block| block.offset.min(self.at))
    }

    /// Returns the next block.
    pub(crate) fn next(&mut self, held: &Held) -> Look<Block> {
        loop {
            if self.group.as_ref().is_some_and(|group| self.at >= group.end)
                && let Some(block) = self.group.take().and_then(|group| group.finish(&self.film))
            {
                return Ok(block);
            }
            if self.at >= held.size() {
                return Err(Short::Nothing);
            }
            if let Some(since) = self.lost {
                if self.at > since.saturating_add(MAX_LOST) {
                    return Err(Short::Lost);
                }
                let found = cluster(&self.film, held, &mut self.at, held.size());
                if found == Err(Short::Nothing) {
                    self.at = held.size();
                }
                found?;
                self.lost = None;
            }
            let end = self.at.saturating_add(ebml::MAX_HEADER + BLOCK_HEAD);
            let Some(bytes) = held.get(self.at..end) else {
                return Err(Short::Need(self.at..self.at.saturating_add(CHUNK)));
            };
            let Some(header) = header(bytes) else {
                self.lose();
                continue;
            };
            let content = &bytes[(header.len as usize).min(bytes.len())..];
            let offset = self.at + header.len;
            if matches!(header.id, ids::SEGMENT | ids::CLUSTER) {
                // Entered, whatever the stated size.
                if header.id == ids::CLUSTER {
                    (self.cluster, self.ticks) = (self.at, 0);
                }
                self.group = None;
                self.at = offset;
                continue;
            }
            let Some(next) = header.size.and_then(|size| offset.checked_add(size)).filter(|next| *next <= held.size())
            else {
                self.lose();
                continue;
            };
            let small = usize::try_from(next - offset).ok().and_then(|size| content.get(..size)).and_then(uint);
            self.at = next;
            match header {
                Header { id: ids::TIMESTAMP, .. } => self.ticks = small.map_or(0, |t| i64::try_from(t).unwrap_or(0)),
                Header { id: ids::BLOCK_GROUP, .. } => {
                    self.group = Some(Group { end: next, block: None, duration: None, references: false });
                    self.at = offset;
                }
                Header { id: ids::SIMPLE_BLOCK, .. } => {
                    if let Some((block, flags)) = self.block(content, offset..next) {
                        return Ok(Block { key: flags & 0x80 != 0, ..block });
                    }
                }
                Header { id, .. } => {
                    let block = (id == ids::BLOCK).then(|| self.block(content, offset..next)).flatten();
                    if let Some(group) = &mut self.group {
                        match id {
                            ids::BLOCK => group.block = block.map(|(block, _)| block),
                            ids::BLOCK_DURATION => group.duration = small,
                            ids::REFERENCE_BLOCK => group.references = true,
                            _ => {}
                        }
                    }
                }
            }
        }
    }

    fn lose(&mut self) {
        self.lost.get_or_insert(self.at);
        self.group = None;
        self.at += 1;
    }

    /// Parses a block and its flags from the start of its content.
    fn block(&self, content: &[u8], range: Range<u64>) -> Option<(Block, u8)> {
        let (track, len) = vint(content)?;
        let &[high, low, flags] = content.get(len..len + 3)? else { return None };
        let ticks = self.ticks.saturating_add(i64::from(i16::from_be_bytes([high, low])));
        let us = self.film.us(ticks) - self.film.by_number(track).map_or(0, |entry| self.film.delay_us(entry));
        let (offset, end, cluster) = (range.start, range.end, self.cluster);
        Some((Block { track, us, duration_us: None, key: false, offset, end, cluster }, flags))
    }
}

impl Group {
    fn finish(self, film: &Film) -> Option<Block> {
        let ticks = self.duration.and_then(|ticks| i64::try_from(ticks).ok());
        let duration_us = ticks.map(|ticks| film.us(ticks));
        self.block.map(|block| Block { key: !self.references, duration_us, ..block })
    }
}

/// Searches for a cluster from `cursor` on and moves the cursor to it. Returns the cluster's
/// timestamp in ticks.
pub(crate) fn cluster(film: &Film, held: &Held, cursor: &mut u64, end: u64) -> Look<u64> {
    let end = end.min(held.size());
    while *cursor < end {
        // Enough bytes to judge a cluster at the cursor, or all that there are.
        if held.get(*cursor..cursor.saturating_add(CLUSTER_HEAD)).is_none() {
            return Err(Short::Need(*cursor..cursor.saturating_add(SCAN_CHUNK)));
        }
        let bytes = held.from(*cursor).unwrap_or_default();
        let to_the_end = *cursor + bytes.len() as u64 >= held.size();
        let keep = if to_the_end { 0 } else { CLUSTER_HEAD as usize - 1 };
        let starts = bytes.len().saturating_sub(keep);
        let candidate = bytes[..starts].iter().position(|byte| *byte == 0x1f);
        let Some(skip) = candidate else {
            *cursor += starts.max(1) as u64;
            if held.hole_before(*cursor) {
                return Err(Short::Lost);
            }
            continue;
        };
        *cursor += skip as u64;
        if *cursor >= end {
            break;
        }
        if let Some(ticks) = cluster_at(film, &bytes[skip..], held.size() - *cursor) {
            return Ok(ticks);
        }
        *cursor += 1;
    }
    Err(Short::Nothing)
}

/// Returns the timestamp in ticks of the cluster that begins here, if one does.
fn cluster_at(film: &Film, bytes: &[u8], rest: u64) -> Option<u64> {
    let header = header(bytes).filter(|header| header.id == ids::CLUSTER)?;
    if header.size.is_some_and(|size| size > rest.saturating_sub(header.len)) {
        return None;
    }
    let bytes = bytes.get(header.len as usize..(CLUSTER_HEAD as usize).min(bytes.len()))?;
    let ticks = cluster_ticks(bytes)?;
    let us = film.us(i64::try_from(ticks).ok()?);
    (us < MAX_CLUSTER_US).then_some(ticks)
}

/// Returns the timestamp in ticks in the first bytes of a cluster's content.
pub(crate) fn cluster_ticks(content: &[u8]) -> Option<u64> {
    // The timestamp is the first child, apart from small ones such as a checksum.
    children(content).take(4).find(|(id, _)| *id == ids::TIMESTAMP).and_then(|(_, content)| uint(content))
}

/// Latest plausible timestamp of a cluster: a year. A later one is a chance match.
const MAX_CLUSTER_US: i64 = 366 * 86_400 * 1_000_000;

/// The clusters of a film as a searchable stream.
#[derive(Clone, Debug)]
pub(crate) struct Clusters {
    pub(crate) film: Arc<Film>,
    /// The file's own timestamp of the film's start, in microseconds.
    pub(crate) origin: i64,
}

impl Stream for Clusters {
    type Reading = Keys;

    fn point(&self, held: &Held, cursor: &mut u64, end: u64) -> Look<Point> {
        let ticks = cluster(&self.film, held, cursor, end)?;
        let us = self.film.us(i64::try_from(ticks).unwrap_or(i64::MAX));
        Ok(Point { at: *cursor, time: us - self.origin })
    }

    fn read(&self, at: u64) -> Keys {
        let main = self.film.main().map_or(0, |entry| entry.number);
        let any = self.film.main().is_some_and(|entry| entry.track.kind != TrackKind::Video);
        Keys { blocks: Blocks::new(Arc::clone(&self.film), at), main, any, origin: self.origin, time: None }
    }
}

/// The keyframes of the main track.
#[derive(Debug)]
pub(crate) struct Keys {
    blocks: Blocks,
    main: u64,
    /// Whether each of its blocks is one.
    any: bool,
    origin: i64,
    time: Option<i64>,
}

impl Reading for Keys {
    fn at(&self) -> u64 {
        self.blocks.at()
    }

    fn time(&self) -> Option<i64> {
        self.time
    }

    fn next(&mut self, held: &Held) -> Look<Key> {
        loop {
            let block = self.blocks.next(held)?;
            let time = block.us - self.origin;
            self.time = Some(time);
            if block.track == self.main && (block.key || self.any) {
                return Ok(Key { time, offset: block.offset, from: block.cluster });
            }
        }
    }
}
