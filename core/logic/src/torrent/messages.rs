//! Handles the messages of peers. Extended messages are in `extensions`, blocks in `blocks`.

use super::conduct::Offence;
use super::upload_queue::Asked;
use super::{Disconnect, Output, Phase, Torrent};
use crate::{Bits, PeerKey, PieceIndex, Time, choker, picker};
use playswarm_proto::wire::{MAX_PIECES, Message, Span};

/// Fraction of the memory (one in this many) that piece announcements may take before the metadata
/// is known.
const EARLY_SHARE: u64 = 16;
/// Least memory for those announcements, bytes.
const MIN_EARLY_BYTES: u64 = 1 << 20;

impl Torrent {
    /// Handles messages of a peer in order, except blocks. Takes them from `messages`.
    ///
    /// Returns whether to pause reading from the peer, because many of its requests are unanswered.
    ///
    /// # Errors
    ///
    /// Returns the reason to close the connection. The driver answers with
    /// [`super::Input::Disconnected`]. Later messages of the batch are not handled.
    pub fn receive_messages(
        &mut self,
        now: Time,
        key: PeerKey,
        messages: &mut Vec<Message>,
    ) -> Result<bool, Disconnect> {
        self.now = now;
        self.hears(key)?;
        for message in messages.drain(..) {
            if !matches!(message, Message::Piece { .. }) {
                self.message(key, message)?;
            }
        }
        let Some(p) = self.peers.get_mut(&key) else { return Ok(false) };
        p.paused |= p.uploads.is_deep();
        Ok(p.paused)
    }

    /// Returns whether reading from a peer remains paused. The driver calls this after each
    /// [`Output::Resume`].
    pub fn is_paused(&mut self, now: Time, key: PeerKey) -> bool {
        let Some(p) = self.peers.get_mut(&key) else { return false };
        // Reading was paused, so the silence was ours.
        p.heard = now;
        p.resumes();
        p.paused
    }

    pub(super) fn offend(&mut self, key: PeerKey, offence: Offence) -> Result<(), Disconnect> {
        let Some(p) = self.peers.get_mut(&key) else { return Ok(()) };
        p.conduct.note(self.now, offence)
    }

    fn message(&mut self, key: PeerKey, message: Message) -> Result<(), Disconnect> {
        let pieces = self.ready().map_or(MAX_PIECES, |ready| ready.content.layout.pieces());
        let Some(p) = self.peers.get_mut(&key) else { return Ok(()) };
        p.conduct.message(self.now, &message, pieces)?;
        let fast = p.rejects();
        match message {
            Message::KeepAlive | Message::Unknown(_) | Message::Suggest(_) | Message::Port(_) => {}
            Message::Piece { .. } => {}
            Message::Choke => {
                p.chokes_us = true;
                self.pick(picker::Input::Choked(key));
            }
            Message::Unchoke => {
                p.chokes_us = false;
                self.pick(picker::Input::Unchoked(key));
            }
            Message::Interested | Message::NotInterested => {
                p.interested = message == Message::Interested;
                let interested = p.interested;
                self.choke(choker::Input::Interested(key, interested));
            }
            Message::HaveAll | Message::HaveNone | Message::AllowedFast(_) | Message::Reject(_) if !fast => {
                self.offend(key, Offence::OutOfPlace)?;
            }
            Message::Have(_) | Message::Bitfield(_) | Message::HaveAll | Message::HaveNone => {
                self.peer_has(key, &message)?;
            }
            Message::AllowedFast(piece) => self.pick(picker::Input::AllowedFast(key, PieceIndex(piece))),
            Message::Reject(span) => self.rejected(key, span),
            Message::Request(span) => self.requested(key, span)?,
            Message::Cancel(span) => {
                if p.uploads.cancel(span) && fast {
                    self.say(key, Message::Reject(span));
                }
            }
            Message::Extended { id, payload } => self.extended(key, id, &payload)?,
        }
        Ok(())
    }

    fn rejected(&mut self, key: PeerKey, span: Span) {
        let layout = self.ready().map(|ready| ready.content.layout);
        if let Some(block) = layout.and_then(|l| l.block_from_wire(span.piece, span.begin, span.length)) {
            self.pick(picker::Input::Rejected(key, block));
        }
    }

    fn requested(&mut self, key: PeerKey, span: Span) -> Result<(), Disconnect> {
        let (Phase::Ready(ready), Some(p)) = (&self.phase, self.peers.get_mut(&key)) else { return Ok(()) };
        let told = p.extended.dont_have_id().is_some();
        let here = (ready.picker.have(), &ready.withdrawn);
        let (asked, offence) = p.uploads.push(self.now, span, &ready.content.layout, here, told);
        match asked {
            Asked::Queued => self.do_later(Output::Upload(key)),
            Asked::Ignored => {}
            Asked::Reject => self.say(key, Message::Reject(span)),
        }
        offence.map_or(Ok(()), |offence| self.offend(key, offence))
    }

    /// Handles HAVE, a bitfield, HAVE ALL or HAVE NONE.
    fn peer_has(&mut self, key: PeerKey, message: &Message) -> Result<(), Disconnect> {
        let Some(p) = self.peers.get_mut(&key) else { return Ok(()) };
        let repeats = p.source.is_none() && !matches!(message, Message::Have(_)) && !p.conduct.says_all();
        if repeats {
            return self.offend(key, Offence::OutOfPlace);
        }
        let Phase::Ready(ready) = &self.phase else {
            let before = p.early.bytes();
            if !p.early.hear(message) {
                return self.offend(key, Offence::OutOfPlace);
            }
            if p.early.bytes() > before {
                self.bound_early();
            }
            return Ok(());
        };
        let pieces = ready.content.layout.pieces();
        let bits = match message {
            Message::Have(piece) if *piece >= pieces => return self.offend(key, Offence::OutOfPlace),
            Message::Have(piece) => {
                self.pick(picker::Input::PeerHas(key, PieceIndex(*piece)));
                return Ok(());
            }
            Message::Bitfield(bytes) => match Bits::from_bitfield(bytes, pieces) {
                Some(bits) => bits,
                None => return self.offend(key, Offence::Malformed),
            },
            Message::HaveAll => Bits::full(pieces),
            _ => Bits::new(pieces),
        };
        self.pick(picker::Input::PeerHasBits(key, bits));
        Ok(())
    }

    /// Handles DONT HAVE (BEP 54).
    pub(super) fn peer_lacks(&mut self, key: PeerKey, piece: u32) {
        let bits = self.picker().and_then(|picker| picker.bits(key));
        if bits.is_some_and(|bits| piece < bits.len() && bits.get(piece)) {
            self.pick(picker::Input::PeerLacks(key, PieceIndex(piece)));
        }
    }

    /// Drops the largest piece announcements that arrived before the metadata.
    fn bound_early(&mut self) {
        let most = (self.config.memory_limit_bytes / EARLY_SHARE).max(MIN_EARLY_BYTES);
        while self.peers.values().map(|p| p.early.bytes()).sum::<u64>() > most {
            let Some(largest) = self.peers.values_mut().max_by_key(|p| p.early.bytes()) else { return };
            largest.early.forget();
        }
    }
}
