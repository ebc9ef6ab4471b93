//! Blocks on their way from a peer to the store.
//!
//! A block is copied into the store outside of the torrent's lock. In between, its piece may fail
//! or be dropped, so that the block belongs to an attempt that is over. Each block therefore
//! carries a [`Ticket`] with the attempt for which it was admitted. The store drops blocks of older
//! attempts. A block whose ticket is outdated when it is reported is either not needed or stored
//! again.

use super::conduct::Offence;
use super::{Disconnect, Phase, Received, Stored, Ticket, Torrent};
use crate::{PeerKey, Time, choker, picker};
use playswarm_proto::wire::Message;

impl Torrent {
    /// Notes that a message arrived from a peer.
    pub(super) fn hears(&mut self, key: PeerKey) -> Result<(), Disconnect> {
        let gone = || Disconnect::Closed("it was disconnected".to_owned());
        let p = self.peers.get_mut(&key).ok_or_else(gone)?;
        (p.heard, p.silent_so_far) = (self.now, false);
        Ok(())
    }

    /// Examines the blocks among a peer's messages before they are stored. Returns, in their order,
    /// a ticket for each and whether the block is wanted. The entry is `None` for a block outside
    /// of this torrent.
    ///
    /// # Errors
    ///
    /// Returns the reason to close the connection.
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

    /// Processes blocks that the store has handled. `progress` tells whether part of a further
    /// block has arrived.
    ///
    /// Returns the blocks to store and report again with new tickets, by their index in `blocks`.
    /// They were stored for an attempt that is over, or were not wanted on arrival and are wanted
    /// now.
    ///
    /// # Errors
    ///
    /// Returns the reason to close the connection. All blocks have been processed nevertheless.
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
        // The picker and the store must agree on the stored blocks. Otherwise the missing ones are
        // never requested.
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
