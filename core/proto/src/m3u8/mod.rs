//! HLS playlists (RFC 8216) as far as a channel needs them: those from which a stream is pulled, and
//! those that are served.

mod follow;
mod parse;
#[cfg(test)]
mod tests;

pub use follow::{Follower, Update};
pub use parse::parse;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Longest playlist, bytes.
pub const MAX_PLAYLIST_BYTES: usize = 4 << 20;
/// Most segments in a playlist. A day of segments of six seconds has 14,400.
pub const MAX_SEGMENTS: usize = 20_000;
/// Most variants in a playlist.
pub const MAX_VARIANTS: usize = 256;
/// Longest address of a segment or variant, bytes.
pub const MAX_URI_BYTES: usize = 8 << 10;

/// The reason why a playlist cannot be used, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPlaylist(pub(crate) String);

impl BadPlaylist {
    fn new(text: impl Into<String>) -> BadPlaylist {
        BadPlaylist(text.into())
    }
}

/// A playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Playlist {
    /// One that lists variants of the same stream. It has at least one.
    Master(Vec<Variant>),
    /// One that lists segments.
    Media(Media),
}

/// A variant of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Address of its playlist, relative to that of this one.
    pub uri: String,
    /// Highest rate, bits/s.
    pub bits_per_s: u64,
    /// Whether its sound is in another playlist.
    pub has_separate_audio: bool,
}

/// Returns the variant with the highest rate, preferably one with its sound.
pub fn best(variants: &[Variant]) -> Option<&Variant> {
    // Of equal ones the first is that which the author prefers; `max_by_key` returns the last.
    variants.iter().rev().max_by_key(|variant| (!variant.has_separate_audio, variant.bits_per_s))
}

/// A playlist of segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// Longest duration of a segment, seconds, rounded.
    pub target_duration_s: u64,
    /// Number of the first segment.
    pub sequence: u64,
    /// Number of discontinuities before the first segment.
    pub discontinuity_sequence: u64,
    /// Segments in their order.
    pub segments: Vec<Segment>,
    /// Whether no more segments will be added.
    pub has_ended: bool,
}

/// A segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Address, relative to that of the playlist.
    pub uri: String,
    /// Duration.
    pub duration: Duration,
    /// Bytes of the file at the address; all if `None`.
    pub bytes: Option<Range<u64>>,
    /// Bytes that a decoder needs before those of the segment.
    pub map: Option<Arc<Map>>,
    /// Whether times or formats change before the segment.
    pub is_discontinuous: bool,
    /// Whether the segment is missing and must not be loaded.
    pub is_gap: bool,
}

/// Where the bytes are that a decoder needs first (`EXT-X-MAP`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// Address, relative to that of the playlist.
    pub uri: String,
    /// Bytes of the file at the address; all if `None`.
    pub bytes: Option<Range<u64>>,
}

/// Returns the absolute form of an address in a playlist.
///
/// # Errors
/// A sentence, if it is not one of HTTP or HTTPS.
pub fn resolve(playlist: &Url, uri: &str) -> Result<Url, BadPlaylist> {
    let url =
        playlist.join(uri).map_err(|e| BadPlaylist::new(format!("the playlist has an address that is none: {e}")))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        scheme => {
            Err(BadPlaylist::new(format!("the playlist leads to {scheme}:, and only HTTP and HTTPS are followed")))
        }
    }
}

/// Writes the playlist as it is served.
impl fmt::Display for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let any = |has: fn(&Segment) -> bool| self.segments.iter().any(has);
        // The least version with the tags that are used (RFC 8216, section 7).
        let version = match (any(|s| s.map.is_some()), any(|s| s.bytes.is_some())) {
            (true, _) => 6,
            (false, true) => 4,
            (false, false) => 3,
        };
        writeln!(f, "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{}", self.target_duration_s)?;
        writeln!(f, "#EXT-X-MEDIA-SEQUENCE:{}", self.sequence)?;
        if self.discontinuity_sequence > 0 {
            writeln!(f, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", self.discontinuity_sequence)?;
        }
        let mut map = None;
        for segment in &self.segments {
            if segment.is_discontinuous {
                writeln!(f, "#EXT-X-DISCONTINUITY")?;
            }
            if let Some(needed) = segment.map.as_ref().filter(|needed| map != Some(*needed)) {
                write!(f, "#EXT-X-MAP:URI=\"{}\"", needed.uri)?;
                if let Some(bytes) = &needed.bytes {
                    write!(f, ",BYTERANGE=\"{}@{}\"", bytes.end - bytes.start, bytes.start)?;
                }
                writeln!(f)?;
                map = Some(needed);
            }
            if segment.is_gap {
                writeln!(f, "#EXT-X-GAP")?;
            }
            writeln!(f, "#EXTINF:{}.{:09},", segment.duration.as_secs(), segment.duration.subsec_nanos())?;
            if let Some(bytes) = &segment.bytes {
                writeln!(f, "#EXT-X-BYTERANGE:{}@{}", bytes.end - bytes.start, bytes.start)?;
            }
            writeln!(f, "{}", segment.uri)?;
        }
        if self.has_ended { writeln!(f, "#EXT-X-ENDLIST") } else { Ok(()) }
    }
}
