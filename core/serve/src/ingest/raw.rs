//! MPEG-TS over plain TCP. Its client can show no token, so it is taken only where none is asked for.

use super::Shared;
use super::connection::Protocol;
use super::sender::Sender;
use bytes::Bytes;
use playswarm::live::protocol::ingest::Refusal;
use std::sync::Arc;

/// Bytes by which the protocol is told. `GET` begins with the first byte of MPEG-TS.
pub(super) const TOLD_BY: usize = 4;
/// First byte of each packet.
const SYNC: u8 = 0x47;
/// Media type of the stream.
pub(super) const MPEG_TS: &str = "video/mp2t";

/// Whether these are the first bytes of a packet.
pub(super) fn is_mpeg_ts(bytes: &[u8]) -> bool {
    bytes.first() == Some(&SYNC) && !bytes.starts_with(b"GET ")
}

/// A connection over which packets come.
pub(super) struct Raw {
    shared: Arc<Shared>,
    waiting: Vec<u8>,
    is_closed: bool,
}

impl Raw {
    pub(super) fn new(shared: Arc<Shared>) -> Raw {
        Raw { shared, waiting: Vec::new(), is_closed: false }
    }
}

impl Protocol for Raw {
    fn feed(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    fn step(&mut self, sender: &mut Sender) -> Option<Result<(), Refusal>> {
        if self.waiting.is_empty() {
            return None;
        }
        let begun = match sender.has_begun() {
            true => Ok(()),
            false => self.shared.access.check_token(None).and_then(|()| sender.begin(Some(MPEG_TS), 0).map(|_| ())),
        };
        let pushed = begun.and_then(|()| sender.push(&self.waiting));
        self.waiting.clear();
        Some(pushed)
    }

    // There is no answer in this protocol.
    fn refuse(&mut self, _refusal: &Refusal) {
        self.is_closed = true;
    }

    fn take_output(&mut self) -> Bytes {
        Bytes::new()
    }

    fn is_closed(&self) -> bool {
        self.is_closed
    }
}
