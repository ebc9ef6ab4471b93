//! The parts of the info dictionary that one peer requested (BEP 9).

use bytes::Bytes;
use playswarm_proto::metadata::{MetadataMessage, PART_BYTES};
use std::collections::VecDeque;
use std::time::Duration;

/// The parts accepted for one peer, within bounds.
#[derive(Debug, Default)]
pub(super) struct InfoGiver {
    /// Number of parts accepted so far.
    promised: u64,
    waiting: VecDeque<u32>,
    at_work: bool,
}

/// The decision about a request for a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// The part is sent in its turn. True if this request starts the sending.
    Given(bool),
    /// The part does not exist or was sent too often, or we lack the info dictionary.
    Refused,
}

impl InfoGiver {
    /// Number of times that one connection may receive the whole info dictionary.
    const TIMES: u64 = 3;
    /// Pause before a part once the whole was sent. 64 kB/s are enough to replace lost parts.
    const PAUSE: Duration = Duration::from_millis(250);

    /// Handles a request for a part.
    pub(super) fn ask(&mut self, info_bytes: usize, part: u32) -> Promise {
        let parts = info_bytes.div_ceil(PART_BYTES) as u64;
        if u64::from(part) >= parts || self.promised >= Self::TIMES * parts {
            return Promise::Refused;
        }
        self.promised += 1;
        self.waiting.push_back(part);
        Promise::Given(!std::mem::replace(&mut self.at_work, true))
    }

    /// Returns the next part to send and the pause before it; `None` ends the sending.
    pub(super) fn next(&mut self, info: &Bytes) -> Option<(MetadataMessage, Duration)> {
        let Some(part) = self.waiting.pop_front() else {
            self.at_work = false;
            return None;
        };
        let given = self.promised - self.waiting.len() as u64;
        let first = given <= info.len().div_ceil(PART_BYTES) as u64;
        let start = part as usize * PART_BYTES;
        let data = info.slice(start.min(info.len())..info.len().min(start + PART_BYTES));
        // The info dictionary is far below 4 GiB: larger torrents are refused earlier.
        let message = MetadataMessage::Data { part, total: Some(info.len() as u32), data };
        Some((message, if first { Duration::ZERO } else { Self::PAUSE }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_giver_gives_every_part_and_not_more_than_three_times() {
        let info = Bytes::from(vec![9; 2 * PART_BYTES + 5]);
        let mut giver = InfoGiver::default();
        let asked: Vec<_> = (0..4).map(|part| giver.ask(info.len(), part)).collect();
        assert_eq!(asked, [Promise::Given(true), Promise::Given(false), Promise::Given(false), Promise::Refused]);
        let given: Vec<_> = std::iter::from_fn(|| giver.next(&info))
            .map(|(message, pause)| match message {
                MetadataMessage::Data { data, total, .. } => (data.len(), total.unwrap_or(0), pause),
                other => panic!("{other:?}"),
            })
            .collect();
        let at_once = Duration::ZERO;
        assert_eq!(given, [(PART_BYTES, 32773, at_once), (PART_BYTES, 32773, at_once), (5, 32773, at_once)]);
        let promised = (0..20).filter(|_| giver.ask(info.len(), 0) != Promise::Refused).count();
        assert_eq!(promised, 6);
        let pauses: Vec<_> = std::iter::from_fn(|| giver.next(&info)).map(|(_, pause)| pause).collect();
        assert_eq!(pauses, [InfoGiver::PAUSE; 6], "what was given once already comes slowly");
        assert_eq!(InfoGiver::default().ask(0, 0), Promise::Refused);
    }
}
