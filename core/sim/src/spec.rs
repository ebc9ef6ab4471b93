//! A scenario as data: the torrent, the peers, the viewer's link and the viewer's actions.

use playswarm_logic::picker::Manner;

/// Converts kilobits per second to bytes per second.
pub fn kbit(kbit: f64) -> f64 {
    kbit * 125.0
}

/// Which pieces a peer holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Holds {
    /// All of them.
    All,
    /// Each with this probability.
    Share(f64),
    /// Those in the first share of the torrent.
    Head(f64),
    /// Each with this probability, and more over time, drawn at random (HAVE).
    Growing {
        /// Probability of each at the start.
        share: f64,
        /// Pieces gained a second.
        per_s: f64,
    },
}

/// A peer that chokes and unchokes in turn, from a random point of its cycle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChokeCycle {
    /// Seconds of a whole cycle.
    pub period_s: f64,
    /// Share of it that is unchoked.
    pub open: f64,
}

/// A rate that is drawn repeatedly around the group's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// Seconds between two draws.
    pub every_s: f64,
    /// Largest deviation from the group's rate, as a share of it.
    pub spread: f64,
}

/// How a source over HTTP is asked: by GETs that each name a range of bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Http {
    /// Number of GETs that may be outstanding on its connection.
    pub depth: u8,
    /// Least length of a range, in bytes, where nobody waits.
    pub least_bytes: u32,
    /// Most length of a range, in bytes.
    pub most_bytes: u32,
}

/// A group of peers with the same properties.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerGroup {
    /// Number of peers.
    pub count: u32,
    /// Upload rate of each, bytes per second.
    pub rate: f64,
    /// One-way delay to the viewer, in seconds.
    pub delay_s: f64,
    /// Largest additional delay of each arrival, in seconds.
    pub jitter_s: f64,
    /// Probability that a packet is lost (and sent again, a round trip later).
    pub loss: f64,
    /// Range from which the time of the dial is drawn, in seconds.
    pub join_s: (f64, f64),
    /// Seconds from the handshake to the first unchoke.
    pub unchoke_after_s: f64,
    /// Its choke cycle, if it has one.
    pub choke: Option<ChokeCycle>,
    /// Its pieces.
    pub holds: Holds,
    /// Whether it speaks BEP 6.
    pub fast: bool,
    /// Whether CANCEL withdraws requests that it has not begun to send.
    pub honours_cancel: bool,
    /// Data in its socket that cannot be withdrawn, in seconds of its rate (at least one block).
    pub buffered_s: f64,
    /// Probability that a block of it is wrong.
    pub lies: f64,
    /// Whether it answers requests at all.
    pub answers: bool,
    /// Most outstanding requests that it accepts (BEP 10 `reqq`).
    pub max_requests: u32,
    /// The drift of its rate, if any.
    pub drift: Option<Drift>,
    /// Whether its TCP window begins small, after idle time too (RFC 5681).
    pub slow_start: bool,
    /// Whether it reports its playback position (`ps_slot`), which makes it a viewer for the
    /// picker.
    pub views: bool,
    /// Whether it is no BitTorrent peer but a source over HTTP, and how it is asked.
    pub http: Option<Http>,
    /// Whether it is a standby: dialled only once the others deliver less than the readers use.
    pub standby: bool,
}

impl PeerGroup {
    /// Returns how the picker asks it.
    pub fn manner(&self) -> Manner {
        match self.http {
            Some(Http { depth, least_bytes, most_bytes }) => Manner::Ranges { depth, least_bytes, most_bytes },
            None => Manner::Blocks { requests: self.max_requests, fast: self.fast },
        }
    }

    /// Returns the round trips from the dial to the first request. HTTP has no handshake.
    pub(crate) fn round_trips_to_join(&self) -> f64 {
        if self.http.is_some() { 1.0 } else { 2.0 }
    }
}

impl Default for PeerGroup {
    /// One seed of 4 Mbit/s, 20 ms away, without faults.
    fn default() -> PeerGroup {
        PeerGroup {
            count: 1,
            rate: kbit(4000.0),
            delay_s: 0.020,
            jitter_s: 0.0,
            loss: 0.0,
            join_s: (0.0, 0.0),
            unchoke_after_s: 0.0,
            choke: None,
            holds: Holds::All,
            fast: true,
            honours_cancel: true,
            buffered_s: 0.1,
            lies: 0.0,
            answers: true,
            max_requests: 250,
            drift: None,
            slow_start: true,
            views: false,
            http: None,
            standby: false,
        }
    }
}

/// A change of a peer or of the viewer during a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// The peer's cable is pulled: no data arrives, and the connection stays open until the
    /// viewer's own timer expires.
    Cut,
    /// The cable is plugged in again, and the data that TCP held follows.
    Mend,
    /// The peer closes its connection.
    Leave,
    /// The peer's rate from now on, bytes per second.
    Rate(f64),
    /// The viewer's disk is full (true) or has room again (false).
    Full(bool),
    /// A verified piece, drawn at random, is lost.
    LosePiece,
}

/// A change and its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disturbance {
    /// Seconds from the start.
    pub at_s: f64,
    /// The number of the peer, counted through the groups.
    pub peer: u32,
    /// What happens.
    pub change: Change,
}

/// A step of a player's script.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Jumps to this share of the file.
    Seek(f64),
    /// Pauses the clock; reading continues until the read-ahead is full.
    Pause,
    /// Resumes.
    Resume,
    /// Closes the reader.
    Close,
}

/// A reader and its script.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// Seconds from the start of the run.
    pub open_s: f64,
    /// Its starting position, as a share of the file.
    pub at: f64,
    /// Steps by time in seconds from the start of the run, ascending.
    pub steps: Vec<(f64, Step)>,
    /// The media's rate in bytes per second; 0 for a reader without a clock, which reads as fast as
    /// it can.
    pub rate: f64,
    /// Whether the picker knows that rate.
    pub rate_known: bool,
    /// Number of bytes after which a reader without a clock closes.
    pub bytes: u64,
    /// How far ahead of the reader may be fetched, in bytes.
    pub window: u64,
    /// Whether a seek opens a new reader and closes the old one (as HTTP players do), or moves the
    /// same reader.
    pub reopens: bool,
}

impl Script {
    /// Creates a player of this rate from this share of the file on.
    pub fn player(rate: f64, at: f64, steps: &[(f64, Step)]) -> Script {
        Script {
            open_s: 0.0,
            at,
            steps: steps.to_vec(),
            rate,
            rate_known: false,
            bytes: 0,
            window: u64::MAX,
            reopens: false,
        }
    }

    /// Creates a reader without a clock that reads this number of bytes there.
    pub fn probe(open_s: f64, at: f64, bytes: u64) -> Script {
        Script { open_s, bytes, ..Script::player(0.0, at, &[]) }
    }
}

/// A whole run, except for the seed and the policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name on the command line and in tables.
    pub name: String,
    /// Its subject, in one line.
    pub about: String,
    /// Length of the torrent.
    pub total_bytes: u64,
    /// Length of a piece.
    pub piece_bytes: u32,
    /// The viewer's download rate, bytes per second.
    pub down_rate: f64,
    /// Length of the queue of the viewer's link in seconds; more is dropped.
    pub down_queue_s: f64,
    /// The peers.
    pub peers: Vec<PeerGroup>,
    /// Changes during the run.
    pub disturbances: Vec<Disturbance>,
    /// The viewer's readers.
    pub readers: Vec<Script>,
    /// Time at which the players stop, in seconds from the start.
    pub end_s: f64,
    /// Seconds after a pulled cable until the viewer's own timer expires.
    pub expire_s: f64,
    /// Whether the peers together have so much more than the media's rate that there must be no
    /// stall.
    pub ample: bool,
}

impl Scenario {
    /// Returns a scenario without peers and readers: 256 MiB in pieces of 2 MiB behind 50 Mbit/s.
    pub fn new(name: &str, about: &str) -> Scenario {
        Scenario {
            name: name.into(),
            about: about.into(),
            total_bytes: 256 << 20,
            piece_bytes: 2 << 20,
            down_rate: kbit(50_000.0),
            down_queue_s: 0.1,
            peers: Vec::new(),
            disturbances: Vec::new(),
            readers: Vec::new(),
            end_s: 60.0,
            expire_s: 120.0,
            ample: true,
        }
    }
}
