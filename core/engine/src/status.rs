//! What a torrent is doing: a snapshot, and events as they happen.

use crate::torrent::InfoHash;
use playswarm_media::{Accuracy, Timeline, Track, TrackKind};
use serde::Serialize;
use std::fmt;
use std::net::SocketAddr;

/// A snapshot of one torrent.
#[derive(Clone, Debug, Serialize)]
pub struct MediaStatus {
    /// Its info-hash.
    pub info_hash: InfoHash,
    /// Its name.
    pub name: String,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Bytes of the pieces that are verified and here.
    pub verified_bytes: u64,
    /// Bytes per piece.
    pub piece_bytes: u32,
    /// Number of pieces.
    pub pieces: u32,
    /// One character a piece: `#` here, `+` being fetched, `.` missing.
    pub piece_map: String,
    /// Payload received over the last seconds, bytes per second.
    pub download_bytes_per_s: f64,
    /// Payload sent over the last seconds, bytes per second.
    pub upload_bytes_per_s: f64,
    /// Payload received since the torrent was opened.
    pub downloaded_bytes: u64,
    /// Payload sent since the torrent was opened.
    pub uploaded_bytes: u64,
    /// What was received for nothing.
    pub waste: Waste,
    /// Open readers.
    pub readers: Vec<ReaderStatus>,
    /// Where the player is; `None` until something was read.
    pub playhead: Option<Playhead>,
    /// The viewer's place in the slot index; `None` where it is off, or nothing is watched whose time is known.
    pub slots: Option<SlotStatus>,
    /// What is known of the files' time, of those whose index was read.
    pub timelines: Vec<TimelineStatus>,
    /// Connected peers.
    pub peers: Vec<PeerStatus>,
    /// The trackers that are asked for peers, in the order of their tiers.
    pub trackers: Vec<TrackerStatus>,
    /// Peers known but not connected.
    pub known_peers: usize,
    /// Peers turned away for good because they lied or broke the protocol.
    pub banned_peers: usize,
    /// Why nothing is fetched at the moment, as a sentence (full disk, no peers), if so.
    pub trouble: Option<String>,
    /// Sentences about the torrent's files that the user should know: names that are taken, files that other programs changed.
    /// The latest is the last; at most 16.
    pub notices: Vec<String>,
    /// Bytes held in memory for this torrent.
    pub memory_bytes: u64,
    /// Bytes of verified pieces on disk.
    pub disk_bytes: u64,
    /// Whether the torrent is being kept by the background session instead of watched.
    pub background: bool,
}

/// How far the search for a magnet's torrent is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OpeningStatus {
    /// The torrent's info-hash.
    pub info_hash: InfoHash,
    /// Seconds since it began.
    pub waited_s: f64,
    /// Addresses of peers that are known, connected or not.
    pub found_peers: usize,
    /// Peers that are being dialled.
    pub dialled_peers: usize,
    /// Connected peers.
    pub connected_peers: usize,
    /// Peers that were connected since it began.
    pub met_peers: usize,
    /// Connected peers that offer the torrent's info.
    pub offering_peers: usize,
    /// Bytes of the info that came.
    pub received_bytes: u64,
    /// Bytes of the whole info, as the peers say.
    pub total_bytes: Option<u64>,
    /// Its trackers, and what came of asking them.
    pub trackers: Vec<TrackerStatus>,
}

/// Bytes received for nothing, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Waste {
    /// Blocks that had come from another peer before.
    pub duplicate_bytes: u64,
    /// Blocks that nobody asked for (or not any more).
    pub unasked_bytes: u64,
    /// Pieces that failed their hash.
    pub failed_bytes: u64,
    /// Blocks given up to make room in memory.
    pub forgotten_bytes: u64,
}

/// An open reader.
#[derive(Clone, Debug, Serialize)]
pub struct ReaderStatus {
    /// The file that it reads.
    pub file: usize,
    /// The next byte of the file that it will read.
    pub position: u64,
    /// Verified bytes that lie ahead of it without a gap.
    pub ahead_bytes: u64,
    /// The same in seconds of the media, where its rate is known or has been measured.
    pub ahead_s: Option<f64>,
    /// Whether it is waiting for data now.
    pub waiting: bool,
    /// Whether it is one of ours that reads the file's index, and no player's.
    pub index: bool,
}

/// Where the player is: what was read last, by whichever reader, a player's look at the index apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Playhead {
    /// The file.
    pub file: usize,
    /// The next byte of the file that will be read.
    pub position: u64,
    /// The same as a time from the start of the media, in seconds, where the file's time is known.
    pub time_s: Option<f64>,
    /// Verified bytes lie from there up to this byte without a gap.
    pub buffered_until: u64,
    /// The same as a time from the start of the media, in seconds.
    pub buffered_until_s: Option<f64>,
}

/// What is known of a file's time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimelineStatus {
    /// The file.
    pub file: usize,
    /// The container's name: `MP4`, `Matroska`, …
    pub container: &'static str,
    /// How long it plays, in seconds; 0 where that is not known.
    pub duration_s: f64,
    /// `exact` where every keyframe is known, `sparse` where a seek must look for them, `estimate` where there is only a
    /// straight line from the first byte to the last.
    pub accuracy: &'static str,
    /// Why it is only an estimate, as a sentence.
    pub why: Option<String>,
    /// How many keyframes of the main track are known.
    pub keyframes: usize,
    /// Bytes a second on average.
    pub bytes_per_s: f64,
    /// The streams in the file.
    pub tracks: Vec<TrackStatus>,
}

/// A stream of a media file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrackStatus {
    /// `video`, `audio`, `subtitle` or `other`.
    pub kind: &'static str,
    /// The codec, by FFmpeg's name.
    pub codec: String,
    /// Its language.
    pub language: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// How many.
    pub channels: Option<u32>,
    /// Samples a second.
    pub sample_rate: Option<u32>,
}

impl TimelineStatus {
    /// The figures of a file's timeline.
    pub fn new(file: usize, timeline: &Timeline) -> TimelineStatus {
        let duration_s = timeline.duration().as_secs_f64();
        let (accuracy, why) = match timeline.accuracy() {
            Accuracy::Exact => ("exact", None),
            Accuracy::Sparse => ("sparse", None),
            Accuracy::Estimate { why } => ("estimate", Some(why.clone())),
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
pub struct PeerStatus {
    /// Its address.
    pub addr: SocketAddr,
    /// Its client's name and version, as it gives them, or guessed from its peer id.
    pub client: String,
    /// `tcp` or `utp`.
    pub transport: &'static str,
    /// Whether it connected to us.
    pub incoming: bool,
    /// How we came to know it: `tracker`, `dht`, `lsd`, `pex`, `slots`, `given` or `incoming`.
    pub origin: &'static str,
    /// Share of the pieces that it has, 0 to 1.
    pub has: f64,
    /// Measured rate towards us, bytes per second.
    pub rate_bytes_per_s: Option<f64>,
    /// Round trip, milliseconds.
    pub rtt_ms: f64,
    /// Blocks asked of it and not yet here.
    pub outstanding: u32,
    /// Payload received from it.
    pub downloaded_bytes: u64,
    /// Payload sent to it.
    pub uploaded_bytes: u64,
    /// It chokes us.
    pub choked_by: bool,
    /// We choke it.
    pub choking: bool,
    /// It wants something of ours.
    pub interested: bool,
    /// It has gone quiet while something was asked of it.
    pub snubbed: bool,
    /// It has a place kept for viewers ahead of ours (docs/SLOTS.md).
    pub parent: bool,
    /// Where it is in the film, if it is a viewer that says so.
    pub viewer: Option<ViewerStatus>,
}

/// A tracker, and what came of asking it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TrackerStatus {
    /// Its announce URL, without what may be a passkey.
    pub url: String,
    /// Its tier (BEP 12).
    pub tier: u32,
    /// `idle` while another of its tier answers, `asking`, `working`, or `failed`.
    pub state: &'static str,
    /// Why it failed, or a warning that came with its answer; its own words where it gave some.
    pub message: Option<String>,
    /// Peers in its last answer.
    pub peers: usize,
    /// Seeds of the torrent that it knows of.
    pub seeds: Option<u64>,
    /// Other peers that it knows of.
    pub leeches: Option<u64>,
    /// Seconds until it is asked next.
    pub next_announce_s: Option<f64>,
}

/// What it is doing, in a line without its URL.
impl fmt::Display for TrackerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.state)?;
        if self.state == "working" {
            write!(f, ", {} peers", self.peers)?;
        }
        self.message.iter().try_for_each(|said| write!(f, ": {said}"))
    }
}

/// What another viewer said of itself, moved on by the clock. Not checked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ViewerStatus {
    /// The file that it watches.
    pub file: usize,
    /// Its virtual slot.
    pub slot: i64,
    /// Where it plays, seconds into the film.
    pub playhead_s: f64,
    /// Whether it plays on, or is paused.
    pub playing: bool,
    /// Seconds of film that it has in hand.
    pub ahead_s: f64,
    /// Upload that it has to spare, bytes per second.
    pub spare_bytes_per_s: u64,
}

/// The viewer's place in the slot index, and what the index has cost and brought.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SlotStatus {
    /// The file that is watched.
    pub file: usize,
    /// Our slot, once it is known.
    pub slot: Option<i64>,
    /// Seconds that a slot is wide.
    pub width_s: u16,
    /// Where our player is taken to be, seconds into the film: players read ahead of what they show.
    pub playhead_s: f64,
    /// Whether it plays on, or is paused.
    pub playing: bool,
    /// Viewers with a kept place.
    pub parents: usize,
    /// What these give now, bytes per second.
    pub parents_bytes_per_s: f64,
    /// Useful bytes that came from parents.
    pub parent_bytes: u64,
    /// Useful bytes that came from all other peers.
    pub other_bytes: u64,
    /// Lookups on the DHT.
    pub lookups: u64,
    /// Announces on the DHT.
    pub announces: u64,
    /// Of both, those that failed.
    pub failed_operations: u64,
    /// The budget of both together, for an hour.
    pub operations_per_hour: f64,
    /// Addresses that the DHT named.
    pub found: u64,
    /// Of these, those that were not looked at: garbage, our own, known, failed before, or too many.
    pub ignored: u64,
    /// Dials for the index.
    pub dials: u64,
    /// Of these, those that brought no parent.
    pub failed_dials: u64,
    /// Parents whose place went to another because they did not serve.
    pub released: u64,
    /// By how much our clock is put forward to agree with viewers that gave us bytes, seconds.
    pub clock_correction_s: f64,
}

/// Something that happened to a torrent.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A peer was connected.
    PeerConnected {
        /// Its address.
        addr: SocketAddr,
    },
    /// A peer is gone.
    PeerDisconnected {
        /// Its address.
        addr: SocketAddr,
        /// Why, in a few words.
        why: String,
    },
    /// A peer was turned away for good.
    PeerBanned {
        /// Its address.
        addr: SocketAddr,
        /// Why, in a few words.
        why: String,
    },
    /// A piece is here and verified.
    PieceVerified {
        /// Its number.
        piece: u32,
    },
    /// A piece came but was wrong; it is fetched again.
    PieceFailed {
        /// Its number.
        piece: u32,
    },
    /// A piece is not here any more: given back, or its file was changed by somebody else.
    PieceLost {
        /// Its number.
        piece: u32,
    },
    /// Nothing can be fetched for now; the sentence says why.
    Trouble {
        /// What to do about it.
        message: String,
    },
    /// The trouble is over.
    TroubleOver,
    /// Something about the torrent's files that the user should know: a name that is taken, a file that another program
    /// changed. Nothing has to be done about it.
    Notice {
        /// What it is.
        message: String,
    },
    /// Every piece is here.
    Completed,
}
