//! Matroska and WebM: everything up to the tracks is the init bytes, and a player begins with a
//! cluster whose first picture is a keyframe. Segments and clusters may have an unknown size; they
//! are entered, whatever size they state.

use super::Unsplittable;
use super::syntax::{MAX_ELEMENT, MAX_LOOK, Role, Step, Syntax};
use crate::matroska::blocks::{BLOCK_HEAD, CLUSTER_HEAD, cluster_ticks};
use crate::matroska::ebml::{MAX_HEADER, child, children, header, text, vint};
use crate::matroska::ids;
use crate::matroska::tracks::Film;
use crate::timeline::TrackKind;

/// The EBML header that begins a stream, and its document type (RFC 8794, 11.2).
const EBML: u32 = 0x1a45_dfa3;
const DOC_TYPE: u32 = 0x4282;
/// The tags, of which players show the title.
const TAGS: u32 = 0x1254_c367;

/// Header of a segment of unknown size. Any size that the source stated counts bytes that later
/// viewers do not get.
const SEGMENT: [u8; 12] = [0x18, 0x53, 0x80, 0x67, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// A stream of clusters.
#[derive(Debug, Default)]
pub(super) struct Matroska {
    film: Film,
    web: bool,
    init: Vec<u8>,
    /// Whether the elements in front of the clusters are being read.
    heading: bool,
    /// Whether a cluster was passed on.
    begun: bool,
    lost: bool,
}

/// The first block of the main track in a cluster.
enum First {
    /// Bytes before it, and whether it is a keyframe.
    Block(usize, bool),
    /// There is none in this many bytes.
    None(usize),
    Need(usize),
}

impl Matroska {
    fn main(&self) -> Option<(u64, TrackKind)> {
        self.film.main().map(|entry| (entry.number, entry.track.kind))
    }

    /// Takes an element in front of the clusters, with its header. Others than these are of no use
    /// to players that cannot seek, or too large: indexes, padding, attachments.
    fn take(&mut self, id: u32, element: &[u8], content: &[u8]) {
        match id {
            EBML => {
                self.init.clear();
                self.film = Film::default();
                self.heading = true;
                self.web = child(content, DOC_TYPE).and_then(text).is_some_and(|name| name == "webm");
            }
            ids::INFO => self.film.read_info(content),
            ids::TRACKS => self.film.read_tracks(content),
            _ => {}
        }
        self.init.extend_from_slice(element);
    }

    /// Returns the role of what is in front of the clusters. Players that began already get it in
    /// the stream.
    fn init_role(&self) -> Role {
        if self.begun { Role::Unit } else { Role::Init }
    }

    /// Judges the element in front. Returns `None` if it is damaged.
    fn judge(&mut self, bytes: &[u8], ended: bool) -> Result<Option<Step>, Unsplittable> {
        let Some(found) = header(&bytes[..bytes.len().min(MAX_HEADER as usize)]) else {
            return Ok((bytes.len() < MAX_HEADER as usize && !ended).then_some(Step::Need(MAX_HEADER as usize)));
        };
        let head = found.len as usize;
        match found.id {
            ids::SEGMENT => {
                if self.heading && !self.init.ends_with(&SEGMENT) {
                    self.init.extend_from_slice(&SEGMENT);
                }
                return Ok(Some(Step::Take(found.len, self.init_role())));
            }
            ids::CLUSTER => return Ok(Some(self.cluster(bytes, head, ended))),
            _ => {}
        }
        let known = is_known(found.id);
        let limit = if known { MAX_ELEMENT } else { MAX_LOOK as u64 };
        let Some(size) = found.size.filter(|size| *size <= limit) else { return Ok(None) };
        let whole = found.len + size;
        let heads = found.id == EBML || (self.heading && matches!(found.id, ids::INFO | ids::TRACKS | TAGS));
        if !heads {
            let left_out = self.heading && !self.begun;
            return Ok(Some(Step::Take(whole, if left_out { Role::Init } else { Role::Unit })));
        }
        if whole > (MAX_LOOK - self.init.len().min(MAX_LOOK)) as u64 {
            return if self.begun { Ok(None) } else { Err(Unsplittable::LongInit) };
        }
        let Some(element) = bytes.get(..whole as usize) else { return Ok(Some(Step::Need(whole as usize))) };
        self.take(found.id, element, &element[head..]);
        Ok(Some(Step::Take(whole, self.init_role())))
    }

    /// Judges the cluster in front, together with the blocks before its first picture.
    fn cluster(&mut self, bytes: &[u8], head: usize, ended: bool) -> Step {
        let window = head + CLUSTER_HEAD as usize;
        if bytes.len() < window && !ended {
            return Step::Need(window);
        }
        let ticks = bytes.get(head..window.min(bytes.len())).and_then(cluster_ticks);
        let us = ticks.and_then(|ticks| i64::try_from(ticks).ok()).map(|ticks| self.film.us(ticks));
        let (taken, key) = match self.first(bytes, head, ended) {
            First::Need(bytes) => return Step::Need(bytes),
            First::Block(at, key) => (at, key),
            First::None(at) => (at, self.main().is_some_and(|(_, kind)| kind != TrackKind::Video)),
        };
        (self.heading, self.begun) = (false, true);
        Step::Take(taken as u64, if key { Role::Restart(us) } else { Role::Unit })
    }

    /// Searches a cluster for the first block of the main track.
    fn first(&self, bytes: &[u8], head: usize, ended: bool) -> First {
        let Some((main, kind)) = self.main() else { return First::None(head) };
        let mut at = head;
        while at < MAX_LOOK {
            let rest = &bytes[at.min(bytes.len())..];
            let needed = at + (MAX_HEADER + BLOCK_HEAD) as usize;
            if bytes.len() < needed && !ended {
                return First::Need(needed);
            }
            let Some(found) = header(rest).filter(|found| is_within_cluster(found.id)) else { break };
            let Some(size) = found.size.filter(|size| *size <= MAX_ELEMENT) else { break };
            let (start, end) = (at + found.len as usize, at + (found.len + size) as usize);
            let key = match found.id {
                ids::SIMPLE_BLOCK => is_key(&bytes[start.min(bytes.len())..], main),
                ids::BLOCK_GROUP => match bytes.get(start..end) {
                    Some(group) => is_key_group(group, main),
                    None if end < MAX_LOOK && !ended => return First::Need(end),
                    None => Some(false),
                },
                _ => None,
            };
            if let Some(key) = key {
                return First::Block(at, key || kind != TrackKind::Video);
            }
            at = end;
        }
        // What is not there yet is judged on its own.
        First::None(head)
    }

    /// Searches for a cluster or for the beginning of another stream.
    fn search(&mut self, bytes: &[u8], ended: bool) -> Step {
        let window = (MAX_HEADER + CLUSTER_HEAD) as usize;
        let starts = if ended { bytes.len() } else { (bytes.len() + 1).saturating_sub(window) };
        let begins = |at: &usize| {
            let bytes = &bytes[*at..];
            let Some(found) = header(bytes) else { return false };
            match found.id {
                EBML => found.size.is_some_and(|size| size < 1 << 10),
                ids::CLUSTER => cluster_ticks(&bytes[(found.len as usize).min(bytes.len())..]).is_some(),
                _ => false,
            }
        };
        let next = (0..starts).filter(|at| matches!(bytes[*at], 0x1a | 0x1f)).find(begins);
        self.lost = next.is_none();
        match next {
            None if starts == 0 => Step::Need(window),
            next => Step::Take(next.unwrap_or(starts) as u64, Role::Damage),
        }
    }
}

/// Whether a block is a keyframe, by its flags. `None` if it is of another track.
fn is_key(block: &[u8], main: u64) -> Option<bool> {
    const KEY: u8 = 0x80;
    let (track, len) = vint(block)?;
    let flags = block.get(len + 2)?;
    (track == main).then_some(flags & KEY != 0)
}

/// The same of a block group, by whether it has references.
fn is_key_group(group: &[u8], main: u64) -> Option<bool> {
    let (track, _) = vint(child(group, ids::BLOCK)?)?;
    let refers = children(group).any(|(id, _)| id == ids::REFERENCE_BLOCK);
    (track == main).then_some(!refers)
}

/// Whether an element is one of a cluster (RFC 9559, 5.1.3), or may be anywhere.
fn is_within_cluster(id: u32) -> bool {
    const POSITION: u32 = 0xa7;
    const PREVIOUS_SIZE: u32 = 0xab;
    const SILENT_TRACKS: u32 = 0x5854;
    const ENCRYPTED_BLOCK: u32 = 0xaf;
    const VOID: u32 = 0xec;
    const CRC: u32 = 0xbf;
    let known = [POSITION, PREVIOUS_SIZE, SILENT_TRACKS, ENCRYPTED_BLOCK, VOID, CRC];
    matches!(id, ids::TIMESTAMP | ids::SIMPLE_BLOCK | ids::BLOCK_GROUP) || known.contains(&id)
}

/// Whether an element is one of a cluster or of a segment.
fn is_known(id: u32) -> bool {
    const CHAPTERS: u32 = 0x1043_a770;
    const ATTACHMENTS: u32 = 0x1941_a469;
    let top = matches!(id, EBML | TAGS | ids::SEEK_HEAD | ids::INFO | ids::TRACKS | ids::CUES);
    top || matches!(id, CHAPTERS | ATTACHMENTS) || is_within_cluster(id)
}

impl Syntax for Matroska {
    fn next(&mut self, bytes: &[u8], ended: bool) -> Result<Step, Unsplittable> {
        if self.lost {
            let step = self.search(bytes, ended);
            if step != Step::Take(0, Role::Damage) {
                return Ok(step);
            }
        }
        let step = self.judge(bytes, ended)?;
        self.lost = step.is_none();
        Ok(step.unwrap_or(Step::Take(1, Role::Damage)))
    }

    fn init(&self) -> &[u8] {
        &self.init
    }

    fn extension(&self) -> Option<&'static str> {
        let audio = self.main().is_some_and(|(_, kind)| kind == TrackKind::Audio);
        Some(match (self.web, audio) {
            (true, false) => "webm",
            (true, true) => "weba",
            (false, false) => "mkv",
            (false, true) => "mka",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyframes_are_told_by_flags_or_by_the_lack_of_references() {
        assert_eq!(is_key(&[0x81, 0, 0, 0x80], 1), Some(true));
        assert_eq!(is_key(&[0x81, 0, 0, 0], 1), Some(false));
        assert_eq!(is_key(&[0x82, 0, 0, 0x80], 1), None, "of another track");
        let block = [0xa1, 0x85, 0x81, 0, 0, 0, 9];
        assert_eq!(is_key_group(&block, 1), Some(true));
        assert_eq!(is_key_group(&[&block[..], &[0xfb, 0x81, 0xff]].concat(), 1), Some(false));
        assert_eq!(is_key_group(&block[..6], 1), None);
    }
}
