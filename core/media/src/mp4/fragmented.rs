//! MP4 as a live stream: whether its movie leaves all samples to fragments, and whether a player
//! can begin with a fragment.

use super::boxes::inside;
use super::bytes::Bytes;
use super::edits::nanoseconds;
use super::fragments::{self, Tracks};
use super::movie::Movie;
use crate::TrackKind;
use crate::held::Held;

/// Longest header of a fragment in bytes.
pub(crate) const MAX_MOOF_BYTES: u64 = fragments::MAX_MOOF_BYTES;

/// A movie that has no samples of its own.
#[derive(Debug)]
pub(crate) struct Fragmented {
    /// `None` if it has neither video nor audio.
    tracks: Option<Tracks>,
    pub(crate) video: bool,
}

/// What a player needs to know of a fragment before it begins with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// Whether its first sample of the main track is a keyframe.
    pub(crate) key: bool,
    /// Time of that sample in microseconds.
    pub(crate) us: Option<i64>,
    /// Whether its data are located by their place in the whole stream.
    pub(crate) absolute: bool,
}

impl Fragmented {
    /// Reads a `moov` from its header on. Returns `None` if it cannot be read.
    pub(crate) fn read(moov: &[u8]) -> Option<Result<Fragmented, Whole>> {
        let size = moov.len() as u64;
        let mut held = Held::new(size);
        held.keep(0..size, 0, moov);
        let header = super::boxes::header(&held, 0, size, &mut Vec::new()).ok()??;
        let movie = Movie::read(&held, header.body, &mut Vec::new()).ok().filter(|movie| !movie.traks.is_empty())?;
        if !movie.fragmented || movie.traks.iter().any(|trak| trak.sizes.count > 0) {
            return Some(Err(Whole));
        }
        let video = movie.traks.iter().any(|trak| trak.about.kind == TrackKind::Video);
        Some(Ok(Fragmented { tracks: movie.main().map(|main| Tracks::new(&movie, main)), video }))
    }

    /// Reads the body of a `moof`.
    pub(crate) fn fragment(&self, body: &[u8]) -> Fragment {
        let mut found = Fragment { absolute: is_absolute(body), ..Fragment::default() };
        let Some(tracks) = &self.tracks else { return found };
        let mut begun = false;
        tracks.samples(0, body, |track, sample| {
            if track.id == tracks.main() && !begun {
                begun = true;
                found.key = sample.key || !self.video;
                found.us = Some(nanoseconds(sample.pts, track.timescale) / 1000);
            }
        });
        found
    }
}

/// A movie that describes samples itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole;

/// Whether a track of a fragment states an offset from the beginning of the file.
fn is_absolute(body: &[u8]) -> bool {
    const BASE_DATA_OFFSET: u32 = 1;
    let trafs = inside(Bytes(body)).filter(|(kind, _)| kind == b"traf");
    let mut headers = trafs.filter_map(|(_, traf)| inside(traf).find(|(kind, _)| kind == b"tfhd"));
    headers.any(|(_, mut header)| header.full().is_some_and(|(_, flags)| flags & BASE_DATA_OFFSET != 0))
}

/// Returns the position of the first header of a fragment.
pub(crate) fn find(bytes: &[u8]) -> Option<usize> {
    fragments::find_moof(bytes)
}
