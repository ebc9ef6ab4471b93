//! The conduct of servents of Gnutella, which punish what web servers bear.
//!
//! A servent serves one connection of an address for a file, reads a second request only once it has
//! answered the first, and holds against us what we give up. So it is asked for small ranges over
//! one connection that is kept, and what it says about waiting is obeyed.

use crate::picker::Manner;
use playswarm_proto::gnutella::ServentFields;
use playswarm_proto::http_range::Refusal;
use std::time::Duration;

/// Manner in which a servent is asked at first. Two requests may be under way, as all servents read
/// the next one when the last is served; what was requested is not withdrawn, so the ranges are small.
pub const PIPELINED: Manner = Manner::Ranges { depth: 2, least_bytes: 32 << 10, most_bytes: 256 << 10 };
/// Manner for a servent that closes the connection after an answer: few, larger answers keep the
/// number of connections small.
pub const ONE_BY_ONE: Manner = Manner::Ranges { depth: 1, least_bytes: 256 << 10, most_bytes: 1 << 20 };
/// Pause after which a busy servent that says nothing is asked again.
const BUSY: Duration = Duration::from_secs(60);
/// Time after which gtk-gnutella has noticed that an earlier connection for the file is gone.
pub const CONFLICT: Duration = Duration::from_secs(45);
/// Pause after a ban or the loss of our place in a queue, as gtk-gnutella asks for.
const PENALTY: Duration = Duration::from_secs(1200);
/// Time beyond the one that a servent asked for: it says whole seconds, and punishes early requests.
const MARGIN: Duration = Duration::from_secs(1);

/// What a refused answer of a servent means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is to be asked again after this time, and nothing is wrong.
    Wait(Duration),
    /// It lacks these bytes.
    Lacks,
    /// The same as from a web server.
    AsWeb,
}

/// Returns what a refused answer means. `said` are the fields of its head.
pub fn verdict(refusal: &Refusal, said: &ServentFields) -> Verdict {
    // A shorter pause after a ban would be a reason for the next one.
    let (pause, least) = match refusal {
        Refusal::Busy { status: 429, .. } | Refusal::Denied { status: 403 } => (PENALTY, BUSY),
        Refusal::Busy { .. } => (BUSY, Duration::ZERO),
        Refusal::Status { status: 409 } => (CONFLICT, Duration::ZERO),
        Refusal::OutOfRange { .. } => return Verdict::Lacks,
        _ => return Verdict::AsWeb,
    };
    let poll = said.queue.as_ref().and_then(|place| place.poll_min_s);
    let stated = said.retry_after_s.max(poll).map(Duration::from_secs);
    Verdict::Wait(stated.unwrap_or(pause).max(least) + MARGIN)
}
