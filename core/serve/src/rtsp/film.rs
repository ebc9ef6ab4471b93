//! A file of a torrent as a presentation: its streams and their formats.

use super::payload::Format;
use playswarm_media::{Timeline, TrackKind, mux::TsMuxer};
use std::sync::Arc;

/// Most streams of a presentation.
pub(crate) const MAX_STREAMS: usize = 12;

/// First payload type without a fixed meaning (RFC 3551).
const DYNAMIC: u8 = 96;

/// A presentation of a file.
#[derive(Clone, Debug)]
pub(crate) struct Film {
    pub(crate) file: usize,
    pub(crate) timeline: Arc<Timeline>,
    /// The streams. A transport stream is one.
    pub(crate) formats: Vec<Format>,
    /// The tracks of a transport stream.
    pub(crate) muxed: Vec<usize>,
}

impl Film {
    /// Returns the presentation of a file: elementary streams, or a transport stream if that is asked
    /// for or if its pictures or all of its sound have no format of their own. `None` if neither can
    /// carry it.
    pub(crate) fn new(file: usize, timeline: &Arc<Timeline>, transport_stream: bool) -> Option<Film> {
        let tracks = || timeline.tracks().iter().zip(timeline.setups()).enumerate();
        // Players show one picture, and choose among sounds.
        let video = tracks().position(|(_, (track, _))| track.kind == TrackKind::Video);
        let chosen = || tracks().filter(|(n, (track, _))| Some(*n) == video || track.kind == TrackKind::Audio);
        let mut formats = Vec::new();
        for (n, (track, setup)) in chosen().take(MAX_STREAMS) {
            formats.extend(Format::of(n, track, setup, DYNAMIC + formats.len() as u8));
        }
        let carried = chosen().filter(|(_, (track, setup))| TsMuxer::carries(track, setup));
        let muxed: Vec<usize> = carried.map(|(n, _)| n).take(MAX_STREAMS).collect();
        let kinds = |tracks: &mut dyn Iterator<Item = usize>| {
            let kinds: Vec<TrackKind> = tracks.map(|n| timeline.tracks()[n].kind).collect();
            [TrackKind::Video, TrackKind::Audio].map(|kind| kinds.contains(&kind))
        };
        let elementary = kinds(&mut formats.iter().filter_map(|format| format.track));
        let in_muxed = kinds(&mut muxed.iter().copied());
        let loses = elementary.iter().zip(in_muxed).any(|(here, there)| there && !here);
        let muxes = !muxed.is_empty() && (transport_stream || loses);
        if muxes {
            formats = vec![Format::transport_stream()];
        }
        let muxed = if muxes { muxed } else { Vec::new() };
        let asked_in_vain = transport_stream && !muxes;
        (!formats.is_empty() && !asked_in_vain).then(|| Film { file, timeline: timeline.clone(), formats, muxed })
    }

    /// Whether it is one transport stream.
    pub(crate) fn is_muxed(&self) -> bool {
        !self.muxed.is_empty()
    }

    /// Returns the tracks that a reading of these streams needs.
    pub(crate) fn tracks(&self, streams: impl Iterator<Item = usize>) -> Vec<usize> {
        match self.is_muxed() {
            true => self.muxed.clone(),
            false => streams.filter_map(|stream| self.formats.get(stream)?.track).collect(),
        }
    }
}
