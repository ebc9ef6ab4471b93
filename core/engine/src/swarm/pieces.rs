//! Pieces as the swarm meets them: hashed, announced, lost; and what the store says by itself.

use crate::error::Error;
use crate::status::Event;
use crate::store::{StoreEvent, Verdict};
use crate::swarm::driver::{State, Swarm};
use playswarm_logic::choker;
use playswarm_logic::picker::Input;
use playswarm_logic::{Bits, PeerKey, PieceIndex};
use playswarm_proto::extended::ExtendedHandshake;
use playswarm_proto::wire::Message;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Notices that the status keeps; the oldest go.
const MAX_NOTICES: usize = 16;

impl Swarm {
    /// All blocks of a piece are here: hashes it, and tells everybody.
    pub(super) fn verify(self: &Arc<Self>, piece: PieceIndex) {
        let swarm = self.clone();
        self.verifying.spawn(async move {
            let Some(content) = swarm.content.get() else { return };
            match content.store.verify(piece).await {
                Verdict::Verified { liars } => swarm.verified(piece, &liars),
                Verdict::Corrupt { givers } => {
                    let mut st = swarm.state.lock();
                    st.resets += 1;
                    swarm.pick_with(&mut st, Input::PieceFailed(piece));
                    match givers[..] {
                        [liar] => swarm.convict(&mut st, PeerKey(liar)),
                        _ => givers.iter().for_each(|giver| swarm.suspect(&mut st, PeerKey(*giver))),
                    }
                    drop(st);
                    let _ = swarm.events.send(Event::PieceFailed { piece: piece.0 });
                    swarm.arm();
                }
                Verdict::NotWhole => {}
            }
        });
    }

    pub(super) fn verified(self: &Arc<Self>, piece: PieceIndex, liars: &[u32]) {
        let complete = {
            let mut st = self.state.lock();
            self.credit(&mut st, piece);
            self.pick_with(&mut st, Input::PieceVerified(piece));
            liars.iter().for_each(|liar| self.convict(&mut st, PeerKey(*liar)));
            self.announce(&mut st, piece.0);
            let complete = st.picker.as_ref().is_some_and(|p| p.have().is_full());
            if complete {
                self.choke_with(&mut st, choker::Input::Complete(true));
                self.tell_upload_only(&mut st, true);
                // Trackers want to know at once.
                if let Some(discovery) = &st.discovery {
                    discovery.hurry();
                }
            }
            complete
        };
        // Readers first: all else can wait.
        self.news.notify_waiters();
        let _ = self.events.send(Event::PieceVerified { piece: piece.0 });
        if complete {
            let _ = self.events.send(Event::Completed);
        }
        self.arm();
    }

    /// Tells everybody whether we ask for anything still (BEP 21).
    fn tell_upload_only(&self, st: &mut State, upload_only: bool) {
        let said = ExtendedHandshake { upload_only: Some(upload_only), ..ExtendedHandshake::default() };
        for p in st.peers.values().filter(|p| p.reserved.extended()) {
            p.say(Message::Extended { id: 0, payload: said.encode() });
        }
    }

    /// HAVE to those who lack the piece.
    pub(super) fn announce(&self, st: &mut State, piece: u32) {
        st.withdrawn.set(piece, false);
        st.peers.values().for_each(|p| p.say(Message::Have(piece)));
    }

    /// Tells a peer how the pieces that are here differ from `told`, the pieces that its first words named. `None` stands for
    /// none at all.
    pub(super) fn tell_changes(&self, st: &mut State, key: PeerKey, told: Option<&Bits>) {
        let (Some(content), Some(p)) = (self.content.get(), st.peers.get_mut(&key)) else { return };
        let have = content.store.told();
        let none = Bits::new(have.len());
        for piece in have.differences(told.unwrap_or(&none)) {
            if have.get(piece) { p.say(Message::Have(piece)) } else { p.withdraw(piece) }
        }
    }

    /// Pieces that are not here any more. `told`: whether peers may have heard that they were.
    fn lost(&self, pieces: &[(PieceIndex, bool)]) {
        if pieces.is_empty() {
            return;
        }
        let mut st = self.state.lock();
        if st.picker.as_ref().is_some_and(|p| p.have().is_full()) {
            self.tell_upload_only(&mut st, false);
        }
        for (piece, told) in pieces {
            self.pick_with(&mut st, Input::PieceLost(*piece));
            if *told {
                self.unsay(&mut st, piece.0);
            }
        }
        self.choke_with(&mut st, choker::Input::Complete(false));
        drop(st);
        for (piece, _) in pieces {
            let _ = self.events.send(Event::PieceLost { piece: piece.0 });
        }
        self.news.notify_waiters();
        self.arm();
    }

    /// Peers hear that a piece is not here any more.
    fn unsay(&self, st: &mut State, piece: u32) {
        st.withdrawn.set(piece, true);
        for p in st.peers.values_mut() {
            // In this order: a peer that hears of the rejects first asks again.
            p.withdraw(piece);
            let rejects = p.uploads.forget_piece(piece);
            rejects.into_iter().for_each(|span| p.say(Message::Reject(span)));
            p.look_for_room();
        }
    }

    /// Pieces that files only seemed to hold are right.
    fn proven(&self, pieces: &[u32]) {
        if pieces.is_empty() {
            return;
        }
        let mut st = self.state.lock();
        pieces.iter().for_each(|piece| self.announce(&mut st, *piece));
        drop(st);
        self.arm();
    }

    pub(super) async fn hear_store(self: Arc<Self>, mut heard: mpsc::UnboundedReceiver<StoreEvent>) {
        let mut events = Vec::new();
        loop {
            let some = tokio::select! {
                () = self.cancel.cancelled() => return,
                some = heard.recv_many(&mut events, 256) => some,
            };
            if some == 0 {
                return;
            }
            let (mut lost, mut proven) = (Vec::new(), Vec::new());
            for event in events.drain(..) {
                match event {
                    StoreEvent::Lost(piece) | StoreEvent::GivenBack(piece) => lost.push((piece, true)),
                    StoreEvent::Unfounded(piece) => lost.push((piece, false)),
                    StoreEvent::Proven(piece) => proven.push(piece.0),
                    other => self.hear_disk(other),
                }
            }
            self.proven(&proven);
            self.lost(&lost);
        }
    }

    /// What the user is told of the disk.
    fn hear_disk(&self, event: StoreEvent) {
        match event {
            StoreEvent::DiskFull => {
                self.disk_trouble(Some(&Error::DiskFull { path: self.config.dir.clone() }.to_string()));
            }
            StoreEvent::WriteFailed(e) => self.disk_trouble(Some(&e.to_string())),
            StoreEvent::DiskSlow => self.disk_trouble(Some("the disk takes too long to write")),
            StoreEvent::DiskOk => self.disk_trouble(None),
            StoreEvent::DiskLimitUnsupported => {
                let message = "the file system cannot give room back, so the disk limit is not kept".to_owned();
                tracing::warn!("{message}");
                let _ = self.events.send(Event::Trouble { message });
            }
            StoreEvent::PaddingFilled => {
                let Some(content) = self.content.get() else { return };
                let mut st = self.state.lock();
                self.pick_with(&mut st, Input::KnownTails(content.store.known_tails()));
            }
            StoreEvent::FileChanged(path) => self.notice(format!(
                "another program changed, moved or removed {}; what is missing is fetched again",
                path.display()
            )),
            StoreEvent::Elsewhere { taken, ours } => self.notice(format!(
                "{} is not a file that playswarm made, so it stays as it is; this torrent is written to {}",
                taken.display(),
                ours.display()
            )),
            StoreEvent::Lost(_) | StoreEvent::Unfounded(_) | StoreEvent::Proven(_) | StoreEvent::GivenBack(_) => {}
        }
    }

    /// Something that the user should know and need not mend.
    fn notice(&self, message: String) {
        {
            let mut st = self.state.lock();
            // A reader and a writer may find the same file changed.
            if st.notices.last() == Some(&message) {
                return;
            }
            if st.notices.len() >= MAX_NOTICES {
                st.notices.remove(0);
            }
            st.notices.push(message.clone());
        }
        tracing::warn!("{message}");
        let _ = self.events.send(Event::Notice { message });
    }

    /// While the disk takes nothing, only what is read next is fetched: as much as memory can hold.
    pub(super) fn disk_trouble(&self, trouble: Option<&str>) {
        let trouble = trouble
            .map(|why| format!("{why}; what is played next is kept in memory meanwhile, and nothing else is fetched"));
        let mut st = self.state.lock();
        let event = match &trouble {
            Some(message) => Event::Trouble { message: message.clone() },
            None => Event::TroubleOver,
        };
        st.disk_trouble = trouble;
        let all = st.fetch_all && st.disk_trouble.is_none();
        self.pick_with(&mut st, Input::FetchAll(all));
        self.set_all_limits(&mut st);
        self.check_room(&mut st);
        drop(st);
        let _ = self.events.send(event);
        self.arm();
    }

    /// Stops asking while nothing more can be kept.
    pub(super) fn check_room(&self, st: &mut State) {
        let Some(content) = self.content.get() else { return };
        let paused = content.store.room_for_assembly() == 0;
        if paused != st.paused {
            st.paused = paused;
            self.pick_with(st, Input::Paused(paused));
        }
    }
}
