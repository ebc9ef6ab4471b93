//! A scenario as data: the torrent, the peers, the viewer's link and what the viewer does.

/// Bytes per second of so many kilobits per second.
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
    /// Those of the first this share of the torrent.
    Head(f64),
    /// Each with this probability, and so many more a second, drawn at random (HAVE).
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

/// A rate that is drawn again and again around the group's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// Seconds between two draws.
    pub every_s: f64,
    /// How far from the group's rate, as a share of it.
    pub spread: f64,
}

/// Peers that are alike.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerGroup {
    /// How many.
    pub count: u32,
    /// Upload rate of each, bytes per second.
    pub rate: f64,
    /// One way to the viewer, seconds.
    pub delay_s: f64,
    /// Added to the delay of each arrival, up to this, seconds.
    pub jitter_s: f64,
    /// Probability that a packet is lost (and sent again, a round trip later).
    pub loss: f64,
    /// Dialled at a moment drawn from this range, seconds.
    pub join_s: (f64, f64),
    /// Seconds from the handshake to the first unchoke.
    pub unchoke_after_s: f64,
    /// Whether it chokes now and then.
    pub choke: Option<ChokeCycle>,
    /// What it has.
    pub holds: Holds,
    /// Whether it speaks BEP 6.
    pub fast: bool,
    /// Whether CANCEL takes back what it has not begun to send.
    pub honours_cancel: bool,
    /// What it has handed to its socket and cannot take back, in seconds of its rate (never less
    /// than one block).
    pub buffered_s: f64,
    /// Probability that a block of it is wrong.
    pub lies: f64,
    /// Whether it answers requests at all.
    pub answers: bool,
    /// Requests that it takes at once (BEP 10 `reqq`).
    pub max_requests: u32,
    /// Whether its rate drifts.
    pub drift: Option<Drift>,
    /// Whether its TCP begins small, after idleness too (RFC 5681).
    pub slow_start: bool,
    /// Whether it tells where it watches (`ps_slot`), which makes it a viewer to the picker.
    pub views: bool,
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
        }
    }
}

/// What befalls a peer, or the viewer, in the middle of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// The peer's cable is pulled: nothing comes, and nobody says so until the viewer's own timer
    /// does.
    Cut,
    /// The cable is back, and what TCP held follows.
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

/// A change and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disturbance {
    /// Seconds from the start.
    pub at_s: f64,
    /// The number of the peer, counted through the groups.
    pub peer: u32,
    /// What happens.
    pub change: Change,
}

/// What a player is told to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Jump to this share of the file.
    Seek(f64),
    /// Stop the clock; reading goes on until the read-ahead is full.
    Pause,
    /// Go on.
    Resume,
    /// Close.
    Close,
}

/// One reader and its life.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// Seconds from the start of the run.
    pub open_s: f64,
    /// Where it begins, as a share of the file.
    pub at: f64,
    /// Steps by time in seconds from the start of the run, ascending.
    pub steps: Vec<(f64, Step)>,
    /// The media's rate in bytes per second; 0 for a reader without a clock, which reads as fast as
    /// it can.
    pub rate: f64,
    /// Whether the picker is told that rate.
    pub rate_known: bool,
    /// A reader without a clock closes after so many bytes.
    pub bytes: u64,
    /// How far ahead of the reader may be fetched, bytes.
    pub window: u64,
    /// Whether a seek is a new reader beside the old one, which is then closed (as HTTP players
    /// do), or a jump of the same.
    pub reopens: bool,
}

impl Script {
    /// A player of this rate from this share of the file on.
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

    /// A reader without a clock that wants so many bytes there.
    pub fn probe(open_s: f64, at: f64, bytes: u64) -> Script {
        Script { open_s, bytes, ..Script::player(0.0, at, &[]) }
    }
}

/// A whole run, but for the seed and the policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name on the command line and in tables.
    pub name: String,
    /// What it is about, in one line.
    pub about: String,
    /// Of the torrent.
    pub total_bytes: u64,
    /// Of a piece.
    pub piece_bytes: u32,
    /// The viewer's download rate, bytes per second.
    pub down_rate: f64,
    /// Seconds of queue before the viewer's link drops.
    pub down_queue_s: f64,
    /// The peers.
    pub peers: Vec<PeerGroup>,
    /// What befalls them.
    pub disturbances: Vec<Disturbance>,
    /// The viewer's readers.
    pub readers: Vec<Script>,
    /// When the players stop, seconds from the start.
    pub end_s: f64,
    /// Seconds after a pulled cable until the viewer's own timer notices.
    pub expire_s: f64,
    /// Whether the peers together have so much more than the media's rate that there must be no
    /// stall.
    pub ample: bool,
}

impl Scenario {
    /// A scenario without peers and readers: 256 MiB in pieces of 2 MiB behind 50 Mbit/s.
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
