//! Gives a torrent's info dictionary to peers that came by a magnet (BEP 9): within the upload limit, part by part.

use crate::swarm::driver::{State, Swarm};
use bytes::Bytes;
use playswarm_logic::PeerKey;
use playswarm_proto::metadata::{MetadataMessage, PART_BYTES};
use playswarm_proto::wire::Message;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// What one peer was promised: not more than makes sense.
#[derive(Debug, Default)]
pub(crate) struct MetadataGiver {
    /// Parts promised so far.
    promised: u64,
    waiting: VecDeque<u32>,
    at_work: bool,
}

/// What becomes of a request for a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// It is given in its turn; true where work on this begins.
    Given(bool),
    /// It does not exist or has been given too often, or we have no info ourselves yet.
    Refused,
}

impl MetadataGiver {
    /// How often one connection may have the whole of it.
    const TIMES: u64 = 3;
    /// Pause before a part once the whole was given: 64 kB/s are enough for what got lost.
    const PAUSE: Duration = Duration::from_millis(250);

    /// A part is asked for.
    pub(crate) fn ask(&mut self, info_bytes: usize, part: u32) -> Promise {
        let parts = info_bytes.div_ceil(PART_BYTES) as u64;
        if u64::from(part) >= parts || self.promised >= Self::TIMES * parts {
            return Promise::Refused;
        }
        self.promised += 1;
        self.waiting.push_back(part);
        Promise::Given(!std::mem::replace(&mut self.at_work, true))
    }

    /// The next part to give, and the pause before it; `None` ends the work.
    pub(crate) fn next(&mut self, info: &Bytes) -> Option<(MetadataMessage, Duration)> {
        let Some(part) = self.waiting.pop_front() else {
            self.at_work = false;
            return None;
        };
        let given = self.promised - self.waiting.len() as u64;
        let first = given <= info.len().div_ceil(PART_BYTES) as u64;
        let start = part as usize * PART_BYTES;
        let data = info.slice(start.min(info.len())..info.len().min(start + PART_BYTES));
        // The info is far below 4 GiB: torrents are refused long before.
        let message = MetadataMessage::Data { part, total: Some(info.len() as u32), data };
        Some((message, if first { Duration::ZERO } else { Self::PAUSE }))
    }
}

/// Bytes that may wait to be written to a peer while it gets the info: a large one must not fill its queue.
const MAX_WAITING_BYTES: usize = 256 << 10;
/// Pause until a peer whose queue is full is looked at again.
const FULL_PAUSE: Duration = Duration::from_millis(100);

impl Swarm {
    /// A peer asks for a part of the info.
    pub(super) fn metadata_requested(self: &Arc<Self>, st: &mut State, key: PeerKey, part: u32) {
        let bytes = self.content.get().map_or(0, |c| c.torrent.info.len());
        let Some(p) = st.peers.get_mut(&key) else { return };
        let Some(id) = p.extended.metadata_id() else { return };
        match p.giver.ask(bytes, part) {
            Promise::Refused => p.say(Message::Extended { id, payload: MetadataMessage::Reject(part).encode() }),
            Promise::Given(false) => {}
            Promise::Given(true) => drop(self.runtime.spawn(give(self.this.clone(), key, id))),
        }
    }
}

/// Gives a peer what it has asked for until there is nothing more.
async fn give(swarm: Weak<Swarm>, key: PeerKey, id: u8) {
    loop {
        let Some(swarm) = swarm.upgrade() else { return };
        let Some(info) = swarm.content.get().map(|c| c.torrent.info.clone()) else { return };
        let next = {
            let mut st = swarm.state.lock();
            let Some(p) = st.peers.get_mut(&key) else { return };
            if p.unsent_bytes() > MAX_WAITING_BYTES {
                None
            } else {
                let Some(next) = p.giver.next(&info) else { return };
                Some(next)
            }
        };
        let Some((message, pause)) = next else {
            tokio::time::sleep(FULL_PAUSE).await;
            continue;
        };
        tokio::time::sleep(pause).await;
        let payload = message.encode();
        swarm.rates.upload(payload.len() as u64).await;
        if let Some(p) = swarm.state.lock().peers.get(&key) {
            p.say(Message::Extended { id, payload });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_giver_gives_every_part_and_not_more_than_three_times() {
        let info = Bytes::from(vec![9; 2 * PART_BYTES + 5]);
        let mut giver = MetadataGiver::default();
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
        assert_eq!(pauses, [MetadataGiver::PAUSE; 6], "what was given once already comes slowly");
        assert_eq!(MetadataGiver::default().ask(0, 0), Promise::Refused);
    }
}
