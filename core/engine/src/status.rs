//! The state of a torrent: a snapshot, and events as they happen.
//!
//! Records gain fields, so no other crate can write them out in full. A program's tests of its own
//! display make them with `default()` and set the fields that matter.

use crate::metainfo::InfoHash;
pub use playswarm_logic::torrent::{Event, SlotStatus, ViewerStatus};
use playswarm_media::{Accuracy, Timeline, Track, TrackKind};
use serde::Serialize;
use std::fmt;
use std::net::SocketAddr;

/// A snapshot of one torrent.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct TorrentStatus {
    /// Info-hash of the torrent.
    pub info_hash: InfoHash,
    /// Name of the torrent.
    pub name: String,
    /// Total size of all files in bytes.
    pub total_bytes: u64,
    /// Bytes of the verified pieces on this machine.
    pub verified_bytes: u64,
    /// Bytes per piece.
    pub piece_bytes: u32,
    /// Number of pieces.
    pub pieces: u32,
    /// One character per piece: `#` present, `+` being fetched, `.` missing.
    pub piece_map: String,
    /// Payload received over the last seconds, in bytes per second.
    pub download_bytes_per_s: f64,
    /// Payload sent over the last seconds, in bytes per second.
    pub upload_bytes_per_s: f64,
    /// Payload received since the torrent was opened, in bytes.
    pub downloaded_bytes: u64,
    /// Payload sent since the torrent was opened, in bytes.
    pub uploaded_bytes: u64,
    /// Bytes received in vain.
    pub waste: Waste,
    /// Open readers.
    pub readers: Vec<ReaderStatus>,
    /// The player's playhead; `None` before the first read.
    pub playhead: Option<Playhead>,
    /// The viewer's place in the slot index; `None` where the index is off, or no file with a known
    /// timeline is being watched.
    pub slots: Option<SlotStatus>,
    /// Timelines of the files whose index was read.
    pub timelines: Vec<TimelineStatus>,
    /// Connected peers.
    pub peers: Vec<PeerStatus>,
    /// Web seeds, mirrors and servents, in the order in which they became known. Their connections are among the
    /// peers too.
    pub sources: Vec<SourceStatus>,
    /// Trackers that are used, in the order of their tiers.
    pub trackers: Vec<TrackerStatus>,
    /// Number of known peers that are not connected.
    pub known_peers: usize,
    /// Number of peers that are banned because they lied or broke the protocol.
    pub banned_peers: usize,
    /// The reason why nothing is fetched at the moment, as a sentence (full disk, no peers), if so.
    pub trouble: Option<String>,
    /// Sentences about the torrent's files for the user: taken names, files that other programs
    /// changed. The latest is the last; at most 16.
    pub notices: Vec<String>,
    /// Bytes in memory for this torrent.
    pub memory_bytes: u64,
    /// Bytes of verified pieces on disk.
    pub disk_bytes: u64,
    /// What the bytes are checked against before they are shown: `pieces`, `tree`, `accepted tree` or
    /// `whole file`. Empty while it is not known.
    pub proof: String,
    /// Bytes that are fetched and not shown, as only the whole file proves them.
    pub unproven_bytes: u64,
    /// Whether the background session keeps the torrent, and no user has it open.
    pub background: bool,
}

/// The progress of the search for the metadata of a magnet link.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OpeningStatus {
    /// Info-hash of the torrent.
    pub info_hash: InfoHash,
    /// Seconds since the search began.
    pub waited_s: f64,
    /// Number of known peer addresses, connected or not.
    pub found_peers: usize,
    /// Number of peers that are being dialled.
    pub dialled_peers: usize,
    /// Number of connected peers.
    pub connected_peers: usize,
    /// Number of peers that were connected since the search began.
    pub met_peers: usize,
    /// Number of connected peers that offer the torrent's info.
    pub offering_peers: usize,
    /// Received bytes of the info.
    pub received_bytes: u64,
    /// Size of the whole info in bytes, according to the peers.
    pub total_bytes: Option<u64>,
    /// The torrent's trackers and the results of their announces.
    pub trackers: Vec<TrackerStatus>,
}

/// Bytes received in vain, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Waste {
    /// Bytes of blocks that another peer had sent before.
    pub duplicate_bytes: u64,
    /// Bytes of blocks that were not requested, or whose request was cancelled.
    pub unasked_bytes: u64,
    /// Bytes of pieces that failed their hash.
    pub failed_bytes: u64,
    /// Bytes of blocks that were dropped to free memory.
    pub forgotten_bytes: u64,
}

impl Waste {
    /// Returns all bytes received in vain, whatever the reason.
    pub fn total_bytes(&self) -> u64 {
        let Waste { duplicate_bytes, unasked_bytes, failed_bytes, forgotten_bytes } = self;
        duplicate_bytes + unasked_bytes + failed_bytes + forgotten_bytes
    }
}

/// An open reader.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct ReaderStatus {
    /// Number of the file that it reads.
    pub file: usize,
    /// Next byte of the file that it will read.
    pub position: u64,
    /// Contiguous verified bytes ahead of the position.
    pub ahead_bytes: u64,
    /// The same in seconds of playback, where the media's rate is known or was measured.
    pub ahead_s: Option<f64>,
    /// End of the bytes that are fetched for it, in bytes of the file. With the position and the end
    /// of the verified bytes ahead it is one of the three pointers of its buffer.
    pub window_until: u64,
    /// Whether it is waiting for data now.
    pub waiting: bool,
    /// Whether it is an internal reader of the file's index, and not a player's.
    pub index: bool,
}

/// The player's playhead: the end of the latest read by any reader, except a player's look at the
/// index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Playhead {
    /// Number of the file.
    pub file: usize,
    /// Next byte of the file that will be read.
    pub position: u64,
    /// The time that a [`Player`](crate::Player) reports, in seconds. Without one the presentation
    /// time of the position, where the file's timeline is known.
    pub time_s: Option<f64>,
    /// End of the contiguous verified bytes from the position on, in bytes of the file.
    pub buffered_until: u64,
    /// The same as a presentation time in seconds.
    pub buffered_until_s: Option<f64>,
    /// Seconds by which a player must wait before it plays the file from the beginning, so that it
    /// never stalls at the rate at which data arrives; 0 if data arrives fast enough, or the rest is
    /// here. `None` until that rate and the file's timeline are known.
    pub initial_buffering_s: Option<f64>,
}

/// A file's timeline in figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TimelineStatus {
    /// Number of the file.
    pub file: usize,
    /// Name of the container: `MP4`, `Matroska`, …
    pub container: &'static str,
    /// Duration in seconds; 0 where it is not known.
    pub duration_s: f64,
    /// Accuracy: `exact` where every keyframe is known, `sparse` where a seek must search for them,
    /// `estimate` for a straight line from the first byte to the last.
    pub accuracy: &'static str,
    /// The reason for an estimate, as a sentence.
    pub why: Option<String>,
    /// Number of known keyframes of the main track.
    pub keyframes: usize,
    /// Average rate in bytes per second.
    pub bytes_per_s: f64,
    /// Streams in the file.
    pub tracks: Vec<TrackStatus>,
}

/// A stream of a media file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TrackStatus {
    /// Kind: `video`, `audio`, `subtitle` or `other`.
    pub kind: &'static str,
    /// Name of the codec in FFmpeg.
    pub codec: String,
    /// Language of the stream.
    pub language: Option<String>,
    /// Title of the stream.
    pub title: Option<String>,
    /// Width in pixels.
    pub width: Option<u32>,
    /// Height in pixels.
    pub height: Option<u32>,
    /// Number of audio channels.
    pub channels: Option<u32>,
    /// Samples per second.
    pub sample_rate: Option<u32>,
}

impl TimelineStatus {
    /// Returns the figures of a file's timeline.
    pub fn new(file: usize, timeline: &Timeline) -> TimelineStatus {
        let duration_s = timeline.duration().as_secs_f64();
        let (accuracy, why) = match timeline.accuracy() {
            Accuracy::Exact => ("exact", None),
            Accuracy::Sparse => ("sparse", None),
            Accuracy::Estimate { why } => ("estimate", Some(why.clone())),
            _ => ("estimate", None),
        };
        TimelineStatus {
            file,
            container: timeline.container().name(),
            duration_s,
            accuracy,
            why,
            keyframes: timeline.keyframes().len(),
            bytes_per_s: if duration_s > 0.0 { timeline.size() as f64 / duration_s } else { 0.0 },
            tracks: timeline.tracks().iter().map(TrackStatus::new).collect(),
        }
    }
}

impl TrackStatus {
    fn new(track: &Track) -> TrackStatus {
        TrackStatus {
            kind: match track.kind {
                TrackKind::Video => "video",
                TrackKind::Audio => "audio",
                TrackKind::Subtitle => "subtitle",
                _ => "other",
            },
            codec: track.codec.clone(),
            language: track.language.clone(),
            title: track.title.clone(),
            width: track.resolution.map(|(width, _)| width),
            height: track.resolution.map(|(_, height)| height),
            channels: track.audio.map(|(channels, _)| channels),
            sample_rate: track.audio.map(|(_, rate)| rate),
        }
    }
}

/// A connected peer.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PeerStatus {
    /// Address of the peer.
    pub addr: SocketAddr,
    /// Name and version of its client, as it states them, or as guessed from its peer id.
    pub client: String,
    /// Transport: `tcp` or `utp`; `http` for a connection to a web seed or mirror.
    pub transport: &'static str,
    /// Whether it connected to us.
    pub incoming: bool,
    /// Origin of its address: `tracker`, `dht`, `lsd`, `pex`, `slots`, `given` or `incoming`; of a
    /// connection over HTTP `web_seed` or `mirror`.
    pub origin: &'static str,
    /// Share of the pieces that it has, 0 to 1.
    pub has: f64,
    /// Measured rate towards us, in bytes per second.
    pub rate_bytes_per_s: Option<f64>,
    /// Round-trip time in milliseconds.
    pub rtt_ms: f64,
    /// Number of blocks that are requested from it and outstanding.
    pub outstanding: u32,
    /// Payload received from it, in bytes.
    pub downloaded_bytes: u64,
    /// Payload sent to it, in bytes.
    pub uploaded_bytes: u64,
    /// Whether it chokes us.
    pub choked_by: bool,
    /// Whether we choke it.
    pub choking: bool,
    /// Whether it is interested in our pieces.
    pub interested: bool,
    /// Whether it is snubbed: it stopped sending while requests were outstanding.
    pub snubbed: bool,
    /// Whether it has a reserved place for viewers ahead of ours (docs/SLOTS.md).
    pub parent: bool,
    /// Its place in the film, if it is a viewer that reports one.
    pub viewer: Option<ViewerStatus>,
}

/// A record for tests: an unspecified address, and all figures zero.
impl Default for PeerStatus {
    fn default() -> Self {
        PeerStatus {
            addr: SocketAddr::from(([0, 0, 0, 0], 0)),
            client: String::new(),
            transport: "tcp",
            incoming: false,
            origin: "given",
            has: 0.0,
            rate_bytes_per_s: None,
            rtt_ms: 0.0,
            outstanding: 0,
            downloaded_bytes: 0,
            uploaded_bytes: 0,
            choked_by: false,
            choking: false,
            interested: false,
            snubbed: false,
            parent: false,
            viewer: None,
        }
    }
}

/// A web seed, mirror or servent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SourceStatus {
    /// URL without any key.
    pub url: String,
    /// How it came to be known: `web_seed` by the torrent or the link, `mirror` by the user, `servent` by
    /// a link or a search of Gnutella, `alternate` by another servent.
    pub origin: &'static str,
    /// State: `standby` while it is not needed, `dialling`, `serving`, `queued` in the queue of a servent,
    /// `waiting` after a failure, `refused` if it is of no use, or `banned` because it sent wrong data.
    pub state: &'static str,
    /// The last failure, as a sentence with a remedy.
    pub message: Option<String>,
    /// Number of connections.
    pub lanes: usize,
    /// Measured rate of all connections, in bytes per second.
    pub rate_bytes_per_s: f64,
    /// Payload received from it, in bytes.
    pub downloaded_bytes: u64,
    /// Seconds until the next attempt, while it is `waiting` or `queued`.
    pub retry_s: Option<f64>,
    /// Place in the queue of a servent, from 1 on.
    pub queue_position: Option<u64>,
    /// Length of that queue.
    pub queue_length: Option<u64>,
    /// Wait that the servent expects, in seconds.
    pub queue_eta_s: Option<u64>,
}

/// Describes the source's state in a line without its URL.
impl fmt::Display for SourceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.state)?;
        if self.state == "serving" {
            write!(f, ", {:.0} kB/s", self.rate_bytes_per_s / 1000.0)?;
        }
        if let (Some(position), Some(length)) = (self.queue_position, self.queue_length) {
            write!(f, ", place {position} of {length}")?;
        }
        if let Some(wait) = self.retry_s {
            write!(f, ", again in {wait:.0} s")?;
        }
        self.message.iter().try_for_each(|why| write!(f, ": {why}"))
    }
}

/// A tracker and the result of its announces.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TrackerStatus {
    /// Announce URL without any passkey.
    pub url: String,
    /// Tier of the tracker (BEP 12).
    pub tier: u32,
    /// State: `idle` while another of its tier answers, `asking`, `working`, or `failed`.
    pub state: &'static str,
    /// The reason for a failure, or a warning in its answer; in its own words where it gave some.
    pub message: Option<String>,
    /// Number of peers in its last answer.
    pub peers: usize,
    /// Number of seeds that it knows of.
    pub seeds: Option<u64>,
    /// Number of other peers that it knows of.
    pub leeches: Option<u64>,
    /// Seconds until the next announce.
    pub next_announce_s: Option<f64>,
}

/// Describes the tracker's state in a line without its URL.
impl fmt::Display for TrackerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.state)?;
        if self.state == "working" {
            write!(f, ", {} peers", self.peers)?;
        }
        self.message.iter().try_for_each(|said| write!(f, ": {said}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Event;

    #[test]
    fn an_event_is_a_json_object_with_its_name_and_its_figures() {
        let event = serde_json::to_string(&Event::Trouble { message: "full".to_owned() }).unwrap();
        assert_eq!(event, r#"{"event":"trouble","message":"full"}"#);
    }
}
