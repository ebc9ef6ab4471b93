//! The picker's 15 tuning constants. Five more are in [`Config`](super::Config).
//!
//! The comments name scenarios of the simulator (docs/SIM.md) that get worse with other values;
//! docs/adr/0016-picker.md has the figures. Bounds on memory and work do not tune behaviour: they
//! are beside the code that they protect.

/// Assumed rate of a peer while none is measured, bytes per second: 2 Mbit/s, a home connection.
/// `residential`, `jittery`.
pub(super) const PRIOR_RATE: f64 = 250_000.0;
/// Assumed round trip where the handshake measured none, seconds: within a continent. Needed by
/// incoming connections, which the simulator does not have.
pub(super) const PRIOR_RTT_S: f64 = 0.08;
/// Assumed rate of a reader of unknown rate, bytes per second: 8 Mbit/s, a good film. `uneven`,
/// `liars`.
pub(super) const PRIOR_READ_RATE: f64 = 1e6;

/// Memory of a peer's rate, seconds; at least the time of [`PROBE_BLOCKS`] blocks. A shorter one
/// takes noise for a change of the rate, a longer one follows a change late. `near_and_far`,
/// `jittery`.
pub(super) const RATE_MEMORY_S: f64 = 0.8;
/// Variation of answers below which a peer counts as steady; and time after a seek or between two
/// pieces for which a reader counts as blocked, seconds. If it is shorter, requests for later
/// pieces fill the line in that moment. If it is longer, they are held back although no reader
/// waits. `viewers`, `high_delay`.
pub(super) const STEADY_S: f64 = 0.1;
/// Interval between two checks of silent peers, seconds: a quarter of [`PATIENCE_S`], so a silence
/// is noticed soon after it is too long. While a piece is urgent, it is a tenth, which is also the
/// least gain that justifies a duplicate. `demo`, `high_delay`.
pub(super) const TICK_S: f64 = 0.25;
/// Time without progress after which a blocked reader no longer holds other requests back, time
/// within which a new peer is expected to unchoke, and bound on the data under way while nothing is
/// urgent, seconds. It is longer than a round trip between continents. `many_slow`, `high_delay`.
pub(super) const STUCK_S: f64 = 0.5;
/// Shortest silence before a peer counts as snubbed; delay of a blocked reader that justifies a
/// duplicate at any share of waste; and memory of sent duplicates and of the rate of the viewer's
/// line, seconds. It is several round trips between continents. A longer one waits for peers that
/// are gone. `high_delay`, `clip_uneven`, `mobile`.
pub(super) const PATIENCE_S: f64 = 1.0;
/// Time within which a due piece is urgent: duplicates are weighed, and a blocked reader's peers
/// may be asked for it, seconds. If it is shorter, late blocks are noticed late. If it is longer,
/// more requests share the line with a blocked reader. `partial_peers`, `viewers`.
pub(super) const URGENT_S: f64 = 3.0;
/// Time before its deadline within which a piece is not requested from unsteady peers, and may be
/// requested from idle seeds in any case; distance of seek targets behind a full read-ahead; memory
/// of a reader's rate, seconds. It leaves time to replace a peer that fails. `mobile`, `crowd`.
pub(super) const SOON_S: f64 = 10.0;
/// Horizon of requests to viewers, and longest time for which a peer that rejects or is silent is
/// avoided, seconds. A viewer's upload is small, so it goes to what is shown within a minute.
/// `viewers`.
pub(super) const LONG_S: f64 = 60.0;

/// Outstanding requests at all peers beyond which unmeasured peers get none ahead of a piece that
/// blocks a reader (or the blocks of that piece, if more), and largest small piece, blocks: an
/// eighth of a second at 8 Mbit/s. `crowd`, `viewers`, `demo`.
pub(super) const PROBE_BLOCKS: u32 = 8;
/// Data that is fetched together with the piece on which a reader is blocked, blocks (or a round
/// trip of all peers, if that is more): 1 MiB, enough for a player to start. `demo`.
pub(super) const BURST_BLOCKS: u32 = 64;
/// Film that a player buffers before it shows a picture, seconds: while its reader is blocked, a
/// duplicate for a piece due within this time is weighed as if the piece were needed at once. `p2pmod`
/// of the clients.
pub(super) const START_S: f64 = 1.0;
/// Share of the remaining wait that a duplicate must save, since estimates err. `uneven`, `demo`.
pub(super) const DUPLICATE_GAIN: f64 = 0.3;
