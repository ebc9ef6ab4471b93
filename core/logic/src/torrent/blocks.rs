//! Blocks on their way from a peer to the store.
//!
//! A block is copied into the store outside of the torrent's lock. In between, its piece may fail or be given up, so that
//! the block belongs to an attempt that is over. Each block therefore carries a [`Ticket`] with the attempt for which it
//! was admitted. The store drops blocks of older attempts, and a block whose ticket is outdated when it is reported is
//! either not needed or stored again.

use super::conduct::Offence;
use super::{Disconnect, Phase, Received, Stored, Ticket, Torrent};
use crate::{PeerKey, Time, choker, picker};
use playswarm_proto::wire::Message;

impl Torrent {
    /// Notes that something came from a peer.
    pub(super) fn hears(&mut self, key: PeerKey) -> Result<(), Disconnect> {
        let gone = || Disconnect::Closed("it was sent away".to_owned());
        let p = self.peers.get_mut(&key).ok_or_else(gone)?;
        (p.heard, p.silent_so_far) = (self.now, false);
        Ok(())
    }

    /// Looks at the blocks among a peer's messages before they are stored. Returns a ticket for each, in their order, and
    /// whether the block is wanted; `None` for one that is no block of this torrent.
    ///
    /// # Errors
    /// Why the connection is to be closed.
    pub fn admit_blocks(
        &mut self,
        now: Time,
        key: PeerKey,
        messages: &[Message],
    ) -> Result<Vec<Option<(Ticket, bool)>>, Disconnect> {
        self.now = now;
        self.hears(key)?;
        let (mut admitted, mut bytes) = (Vec::new(), 0);
        for message in messages {
            let Message::Piece { piece, begin, data } = message else { continue };
            let found = self.ready().and_then(|ready| {
                let block = ready.content.layout.block_from_wire(*piece, *begin, data.len() as u32)?;
                let ticket = Ticket { block, generation: ready.generation(block.piece) };
                Some((ticket, ready.picker.accepts(key, block)))
            });
            if found.is_none() {
                self.offend(key, Offence::OutOfPlace)?;
            }
            admitted.push(found);
            bytes += data.len() as u64;
        }
        if bytes > 0 {
            self.down.add(now, bytes);
            if let Some(p) = self.peers.get_mut(&key) {
                p.downloaded += bytes;
                p.traded = now;
            }
            self.choke(choker::Input::Gave(key, bytes));
        }
        Ok(admitted)
    }

    /// Takes note of blocks that the store has dealt with. `progress`: whether part of a further block is here.
    ///
    /// Returns blocks that must be stored (again) with new tickets and reported once more, by their place in `blocks`: they
    /// were stored for an attempt that is over, or were not wanted when they came, and are wanted now.
    ///
    /// # Errors
    /// Why the connection is to be closed. All blocks have been taken note of nevertheless.
    pub fn receive_blocks(
        &mut self,
        now: Time,
        key: PeerKey,
        blocks: &[Received],
        progress: bool,
    ) -> Result<Vec<(usize, Ticket)>, Disconnect> {
        self.now = now;
        self.hears(key)?;
        let mut again = Vec::new();
        let mut conduct = Ok(());
        for (at, block) in blocks.iter().enumerate() {
            let told = self.receive_block(key, block, at, &mut again);
            conduct = conduct.and(told);
        }
        if progress && let Phase::Ready(ready) = &mut self.phase {
            ready.picker.handle(now, picker::Input::Progress(key));
        }
        self.drain_picker();
        conduct.map(|()| again)
    }

    fn receive_block(
        &mut self,
        key: PeerKey,
        received: &Received,
        at: usize,
        again: &mut Vec<(usize, Ticket)>,
    ) -> Result<(), Disconnect> {
        let now = self.now;
        let Phase::Ready(ready) = &mut self.phase else { return Ok(()) };
        let Ticket { block, generation } = received.ticket;
        let present = ready.generation(block.piece);
        // The picker and the store must agree on which blocks are here, or nobody requests the missing ones.
        let outdated = generation != present;
        if (outdated || received.stored == Stored::Unwanted) && ready.picker.accepts(key, block) {
            again.push((at, Ticket { block, generation: present }));
            return Ok(());
        }
        let input = match received.stored {
            Stored::NoRoom => picker::Input::Unkept(key, block),
            Stored::Kept | Stored::Ignored | Stored::Unwanted => picker::Input::Block(key, block),
        };
        let unasked = ready.picker.counters().unasked_bytes;
        ready.picker.handle(now, input);
        let offends = ready.picker.counters().unasked_bytes > unasked;
        if received.stored == Stored::Kept && !outdated {
            self.count_delivery(key, u64::from(received.bytes));
        }
        if offends { self.offend(key, Offence::UnaskedBlock) } else { Ok(()) }
    }
}
