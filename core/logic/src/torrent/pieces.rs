//! The events of a piece: known, verified, corrupt, announced, lost.

use super::{Content, Event, Output, Phase, Ready, Torrent};
use crate::picker::Picker;
use crate::{Bits, PeerKey, PieceIndex, choker, picker};
use playswarm_proto::extended::ExtendedHandshake;
use playswarm_proto::wire::Message;
use std::collections::BTreeMap;

impl Torrent {
    /// Begins with the known content: the connected peers join the picker.
    pub(super) fn begin(&mut self, content: Content, have: &Bits, told: Bits, known_tails: Vec<(PieceIndex, u32)>) {
        if !matches!(self.phase, Phase::Metadata(_)) {
            return;
        }
        let mut config = self.config.picker.clone();
        if self.config.storage_limit_bytes != 0 {
            // Pieces far ahead of the readers could not be stored.
            config.seek_targets = 0;
        }
        config.max_partial_bytes = config.max_partial_bytes.min(self.config.memory_limit_bytes / 2);
        let mut picker = Picker::new(content.layout, have, config);
        picker.handle(self.now, picker::Input::KnownTails(known_tails));
        let (private, complete) = (content.private, have.is_full());
        let (withdrawn, generations) = (Bits::new(have.len()), BTreeMap::new());
        self.phase = Phase::Ready(Box::new(Ready { content, picker, told, withdrawn, generations }));
        self.choke(choker::Input::Complete(complete));
        for key in self.peers.keys().copied().collect::<Vec<_>>() {
            self.join(key);
            self.tell_changes(key, None);
        }
        if private {
            self.make_private();
        }
        if self.fetch_all {
            self.set_fetch_all(true);
        }
        self.dial();
    }

    /// Handles a verified piece.
    pub(super) fn verified(&mut self, piece: PieceIndex, liars: &[PeerKey]) {
        self.credit(piece);
        self.pick(picker::Input::PieceVerified(piece));
        liars.iter().for_each(|liar| self.convict(*liar));
        self.announce(piece);
        // Readers come first: everything else can wait.
        self.do_later(Output::News);
        self.event(Event::PieceVerified { piece: piece.0 });
        if self.is_complete() {
            self.choke(choker::Input::Complete(true));
            self.tell_upload_only(true);
            // Trackers expect to learn of this at once.
            self.do_later(Output::AskForPeers);
            self.event(Event::Completed);
        }
    }

    /// Handles a corrupt piece. A single contributor sent wrong data; several are suspected.
    pub(super) fn corrupt(&mut self, piece: PieceIndex, givers: &[PeerKey]) {
        if let Some(ready) = self.ready_mut() {
            let drop = ready.begin_anew(piece);
            self.do_later(drop);
        }
        // Before the picker requests the blocks anew.
        let one = self.are_one(givers);
        if one.is_none() {
            givers.iter().for_each(|giver| self.suspect(*giver));
        }
        self.pick(picker::Input::PieceFailed(piece));
        if let Some(liar) = one {
            self.convict(liar);
        }
        self.event(Event::PieceFailed { piece: piece.0 });
    }

    /// Tells peers whether we still request anything (BEP 21).
    fn tell_upload_only(&mut self, upload_only: bool) {
        let said = ExtendedHandshake { upload_only: Some(upload_only), ..ExtendedHandshake::default() };
        self.say_to_all_extended(&said);
    }

    /// Sends HAVE to all peers, also to those that have the piece. A super-seeding peer waits for
    /// it.
    fn announce(&mut self, piece: PieceIndex) {
        let Phase::Ready(ready) = &mut self.phase else { return };
        ready.told.set(piece.0, true);
        ready.withdrawn.set(piece.0, false);
        let peers = self.peers.iter().filter(|(_, p)| p.source.is_none());
        self.outputs.extend(peers.map(|(key, _)| Output::Send(*key, Message::Have(piece.0))));
    }

    /// Tells a peer which stored pieces differ from those that our greeting announced; `None`
    /// stands for no piece.
    pub(super) fn tell_changes(&mut self, key: PeerKey, greeted: Option<&Bits>) {
        let Some(ready) = self.ready() else { return };
        let none = Bits::new(ready.told.len());
        let changes: Vec<(u32, bool)> =
            ready.told.differences(greeted.unwrap_or(&none)).map(|piece| (piece, ready.told.get(piece))).collect();
        for (piece, here) in changes {
            if here { self.say(key, Message::Have(piece)) } else { self.withdraw(key, piece) }
        }
    }

    /// Handles lost pieces. The flag tells whether they may have been announced to peers.
    pub(super) fn lost(&mut self, pieces: &[(PieceIndex, bool)]) {
        if pieces.is_empty() {
            return;
        }
        if self.is_complete() {
            self.tell_upload_only(false);
        }
        for (piece, told) in pieces {
            self.pick(picker::Input::PieceLost(*piece));
            if *told {
                self.unsay(piece.0);
            }
        }
        self.choke(choker::Input::Complete(false));
        for (piece, _) in pieces {
            self.event(Event::PieceLost { piece: piece.0 });
        }
        self.do_later(Output::News);
    }

    /// Tells peers that a piece was lost.
    fn unsay(&mut self, piece: u32) {
        let Some(ready) = self.ready_mut() else { return };
        ready.told.set(piece, false);
        ready.withdrawn.set(piece, true);
        for key in self.peers.keys().copied().collect::<Vec<_>>() {
            // The order matters: a peer that receives the rejects first requests again.
            self.withdraw(key, piece);
            let rejects = self.peers.get_mut(&key).map(|p| p.uploads.forget_piece(piece)).unwrap_or_default();
            rejects.into_iter().for_each(|span| self.say(key, Message::Reject(span)));
            self.resume_if_shallow(key);
        }
    }

    /// Announces pieces that files only appeared to contain and that passed verification.
    pub(super) fn proven(&mut self, pieces: &[PieceIndex]) {
        pieces.iter().for_each(|piece| self.announce(*piece));
    }

    /// Handles a piece that a recheck found in a file.
    pub(super) fn rechecked(&mut self, piece: PieceIndex) {
        self.pick(picker::Input::PieceVerified(piece));
        self.announce(piece);
    }

    /// Notes whether the disk accepts data. While it does not, only the next pieces of readers are
    /// fetched, as many as memory holds.
    pub(super) fn set_disk_trouble(&mut self, trouble: bool) {
        self.disk_trouble = trouble;
        self.pick(picker::Input::FetchAll(self.fetch_all && !trouble));
        self.set_all_limits();
    }

    /// Sets whether to fetch every piece, or only those that are read.
    pub(super) fn set_fetch_all(&mut self, on: bool) {
        self.fetch_all = on;
        self.pick(picker::Input::FetchAll(on && !self.disk_trouble));
    }
}
