//! Pieces as a torrent meets them: known to be here, right, wrong, announced, lost.

use super::{Content, Event, Output, Phase, Ready, Torrent};
use crate::picker::Picker;
use crate::{Bits, PeerKey, PieceIndex, choker, picker};
use playswarm_proto::extended::ExtendedHandshake;
use playswarm_proto::wire::Message;
use std::collections::BTreeMap;

impl Torrent {
    /// The pieces are known now: the peers that are here already join the picker.
    pub(super) fn begin(&mut self, content: Content, have: &Bits, told: Bits, known_tails: Vec<(PieceIndex, u32)>) {
        if !matches!(self.phase, Phase::Metadata(_)) {
            return;
        }
        let mut config = self.config.picker.clone();
        if self.config.storage_limit_bytes != 0 {
            // Pieces far ahead of the readers could not be kept.
            config.jump_points = 0;
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

    /// A piece is right.
    pub(super) fn verified(&mut self, piece: PieceIndex, liars: &[PeerKey]) {
        self.credit(piece);
        self.pick(picker::Input::PieceVerified(piece));
        liars.iter().for_each(|liar| self.convict(*liar));
        self.announce(piece);
        // Readers first: everything else can wait.
        self.do_later(Output::News);
        self.event(Event::PieceVerified(piece));
        if self.is_complete() {
            self.choke(choker::Input::Complete(true));
            self.tell_upload_only(true);
            // Trackers want to know at once.
            self.do_later(Output::AskForPeers);
            self.event(Event::Completed);
        }
    }

    /// A piece is wrong: a single giver lied, several are suspected.
    pub(super) fn corrupt(&mut self, piece: PieceIndex, givers: &[PeerKey]) {
        if let Some(ready) = self.ready_mut() {
            let drop = ready.begin_anew(piece);
            self.do_later(drop);
        }
        self.pick(picker::Input::PieceFailed(piece));
        match givers {
            [liar] => self.convict(*liar),
            _ => givers.iter().for_each(|giver| self.suspect(*giver)),
        }
        self.event(Event::PieceFailed(piece));
    }

    /// Tells peers whether we request anything still (BEP 21).
    fn tell_upload_only(&mut self, upload_only: bool) {
        let said = ExtendedHandshake { upload_only: Some(upload_only), ..ExtendedHandshake::default() };
        self.say_to_all_extended(&said);
    }

    /// Sends HAVE to all peers, also to those that have the piece: a super-seeding one waits for it.
    fn announce(&mut self, piece: PieceIndex) {
        let Phase::Ready(ready) = &mut self.phase else { return };
        ready.told.set(piece.0, true);
        ready.withdrawn.set(piece.0, false);
        self.outputs.extend(self.peers.keys().map(|key| Output::Send(*key, Message::Have(piece.0))));
    }

    /// Tells a peer how the pieces that are here differ from those that our greeting named; `None` stands for no piece.
    pub(super) fn tell_changes(&mut self, key: PeerKey, greeted: Option<&Bits>) {
        let Some(ready) = self.ready() else { return };
        let none = Bits::new(ready.told.len());
        let changes: Vec<(u32, bool)> =
            ready.told.differences(greeted.unwrap_or(&none)).map(|piece| (piece, ready.told.get(piece))).collect();
        for (piece, here) in changes {
            if here { self.say(key, Message::Have(piece)) } else { self.withdraw(key, piece) }
        }
    }

    /// Pieces are not here any more. True: peers may have heard that they were.
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
            self.event(Event::PieceLost(*piece));
        }
        self.do_later(Output::News);
    }

    /// Peers hear that a piece is not here any more.
    fn unsay(&mut self, piece: u32) {
        let Some(ready) = self.ready_mut() else { return };
        ready.told.set(piece, false);
        ready.withdrawn.set(piece, true);
        for key in self.peers.keys().copied().collect::<Vec<_>>() {
            // In this order: a peer that hears of the rejects first requests again.
            self.withdraw(key, piece);
            let rejects = self.peers.get_mut(&key).map(|p| p.uploads.forget_piece(piece)).unwrap_or_default();
            rejects.into_iter().for_each(|span| self.say(key, Message::Reject(span)));
            self.resume_if_shallow(key);
        }
    }

    /// Pieces that files only seemed to hold are right.
    pub(super) fn proven(&mut self, pieces: &[PieceIndex]) {
        pieces.iter().for_each(|piece| self.announce(*piece));
    }

    /// A piece was found in a file.
    pub(super) fn rechecked(&mut self, piece: PieceIndex) {
        self.pick(picker::Input::PieceVerified(piece));
        self.announce(piece);
    }

    /// The disk takes nothing, or takes pieces again. Meanwhile only what is read next is fetched: as much as memory holds.
    pub(super) fn set_disk_trouble(&mut self, trouble: bool) {
        self.disk_trouble = trouble;
        self.pick(picker::Input::FetchAll(self.fetch_all && !trouble));
        self.set_all_limits();
    }

    /// Wants every piece, or only what is read.
    pub(super) fn set_fetch_all(&mut self, on: bool) {
        self.fetch_all = on;
        self.pick(picker::Input::FetchAll(on && !self.disk_trouble));
    }
}
