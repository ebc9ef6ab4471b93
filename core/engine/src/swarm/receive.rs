//! Messages of a peer on their way to the store and the torrent.

use crate::store::Put;
use crate::swarm::driver::Swarm;
use bytes::Bytes;
use playswarm_logic::torrent::{Disconnect, Received, Stored, Ticket};
use playswarm_logic::{PeerKey, PieceIndex};
use playswarm_proto::wire::Message;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The result of handling a batch of messages.
pub(super) struct Heard {
    /// Bytes of blocks.
    pub(super) bytes: u64,
    /// Time for which messages other than blocks and requests occupied the torrent.
    pub(super) took: Duration,
    /// Whether to pause reading.
    pub(super) pause: bool,
}

impl Swarm {
    /// Handles a batch of messages, and clears it.
    pub(super) fn receive(
        self: &Arc<Self>,
        key: PeerKey,
        batch: &mut Vec<Message>,
        progress: bool,
    ) -> Result<Heard, Disconnect> {
        let (blocks, others) = count(batch);
        let mut whole = Vec::new();
        let told = self.receive_blocks(key, batch, blocks > 0 || progress, progress, &mut whole);
        // Also for a peer that is being disconnected: these pieces would otherwise never be hashed.
        whole.into_iter().for_each(|piece| self.verify(piece));
        let mut heard = Heard { bytes: told?, took: Duration::ZERO, pause: false };
        if blocks < batch.len() || !(blocks > 0 || progress) {
            let (began, all) = (Instant::now(), batch.len() - blocks);
            heard.pause = self.enter(|torrent, now| torrent.receive_messages(now, key, batch))?;
            // The line and the torrent's own limits bound the number of requests.
            heard.took = began.elapsed() * others as u32 / (all.max(1) as u32);
        }
        batch.clear();
        Ok(heard)
    }

    /// Stores the blocks of a batch, and returns their number of bytes. Adds the pieces that are
    /// now complete to `whole`.
    fn receive_blocks(
        &self,
        key: PeerKey,
        batch: &[Message],
        any: bool,
        progress: bool,
        whole: &mut Vec<PieceIndex>,
    ) -> Result<u64, Disconnect> {
        if !any {
            return Ok(0);
        }
        let admitted = self.enter(|torrent, now| torrent.admit_blocks(now, key, batch))?;
        let data = batch.iter().filter_map(|message| match message {
            Message::Piece { data, .. } => Some(data),
            _ => None,
        });
        let blocks: Vec<(Ticket, bool, &Bytes)> = admitted
            .into_iter()
            .zip(data)
            .filter_map(|(ticket, data)| ticket.map(|(t, wanted)| (t, wanted, data)))
            .collect();
        let bytes = blocks.iter().map(|(_, _, data)| data.len() as u64).sum();
        // Copying and storing need no lock on the torrent.
        let mut store = |ticket: Ticket, wanted: bool, data: &Bytes| {
            let stored = if wanted { self.store(ticket, data, key, whole) } else { Stored::Unwanted };
            Received { ticket, bytes: data.len() as u32, stored }
        };
        let mut received: Vec<Received> =
            blocks.iter().map(|(ticket, wanted, data)| store(*ticket, *wanted, data)).collect();
        let mut from: Vec<&Bytes> = blocks.iter().map(|(_, _, data)| *data).collect();
        let mut progress = progress;
        loop {
            let again = self.enter(|torrent, now| torrent.receive_blocks(now, key, &received, progress))?;
            if again.is_empty() {
                return Ok(bytes);
            }
            progress = false;
            from = again.iter().map(|(at, _)| from[*at]).collect();
            received = again.iter().zip(&from).map(|((_, ticket), data)| store(*ticket, true, data)).collect();
        }
    }

    fn store(&self, ticket: Ticket, data: &Bytes, key: PeerKey, whole: &mut Vec<PieceIndex>) -> Stored {
        let Some(content) = self.content() else { return Stored::Ignored };
        match content.store.put_block(ticket, data, key.0) {
            Put::Complete => {
                whole.push(ticket.block.piece);
                Stored::Kept
            }
            Put::More => Stored::Kept,
            Put::Ignored => Stored::Ignored,
            Put::NoRoom => Stored::NoRoom,
        }
    }
}

/// Counts the blocks of a batch, and the messages that are neither blocks nor requests.
fn count(batch: &[Message]) -> (usize, usize) {
    batch.iter().fold((0, 0), |(blocks, others), message| match message {
        Message::Piece { .. } => (blocks + 1, others),
        Message::Request(_) | Message::Cancel(_) => (blocks, others),
        _ => (blocks, others + 1),
    })
}
