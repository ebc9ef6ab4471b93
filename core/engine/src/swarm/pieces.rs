//! Pieces between store and torrent, and reports to the user about files and disk.

use crate::error::{Error, Result};
use crate::status::Event;
use crate::store::{StoreEvent, Verdict, WholeVerdict};
use crate::swarm::driver::Swarm;
use bytes::Bytes;
use playswarm_logic::torrent::Input;
use playswarm_logic::{PeerKey, PieceIndex};
use playswarm_proto::proof::Mismatch;
use playswarm_proto::wire::Span;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Most notices kept in the status; the oldest are dropped.
const MAX_NOTICES: usize = 16;

/// The reports to the user about files and disk.
#[derive(Default)]
pub(super) struct Reports {
    /// Reason why the disk accepts no data.
    pub(super) trouble: Option<String>,
    /// Notices, the latest last.
    pub(super) notices: Vec<String>,
}

impl Swarm {
    /// Hashes a piece whose blocks are complete.
    pub(super) fn verify(self: &Arc<Self>, piece: PieceIndex) {
        let swarm = self.clone();
        self.verifying.spawn(async move {
            let Some(content) = swarm.content() else { return };
            let peers = |numbers: Vec<u32>| numbers.into_iter().map(PeerKey).collect();
            match content.store.verify(piece).await {
                Verdict::Verified { liars } => {
                    swarm.tell(Input::Verified(piece, peers(liars)));
                    swarm.prove_whole();
                }
                Verdict::Corrupt { givers } => swarm.tell(Input::Corrupt(piece, peers(givers))),
                Verdict::NotWhole => {}
            }
        });
    }

    /// Checks the hash of the whole file, if it is due.
    pub(super) fn prove_whole(self: &Arc<Self>) {
        let swarm = self.clone();
        self.verifying.spawn(async move {
            let Some(content) = swarm.content() else { return };
            let name = &content.torrent.name;
            let verdict = tokio::select! {
                verdict = content.store.check_whole() => verdict,
                // The next opening checks it.
                () = swarm.cancel.cancelled() => return,
            };
            match verdict {
                WholeVerdict::NotYet => {}
                WholeVerdict::Right => {
                    swarm.news.notify_waiters();
                    if content.torrent.proof.is_settled_by_whole() {
                        let _ = swarm.events.send(Event::Completed);
                    }
                }
                WholeVerdict::Contradiction(why) => swarm.notice(format!(
                    "{name} has every piece that the link names, but {why}: the link contradicts itself"
                )),
                WholeVerdict::Wrong(why) => {
                    let _ = swarm.wrong.set(why);
                    swarm.notice(swarm.wrong_file(why).to_string());
                    swarm.tell(Input::Unusable);
                    swarm.news.notify_waiters();
                }
            }
        });
    }

    /// Fails if the whole file is not the named one.
    pub(crate) fn check_right(&self) -> Result<()> {
        self.wrong.get().map_or(Ok(()), |why| Err(self.wrong_file(*why)))
    }

    fn wrong_file(&self, why: Mismatch) -> Error {
        let name = self.content().map(|content| content.torrent.name.clone()).unwrap_or_default();
        Error::WrongFile { name, why: why.to_string() }
    }

    /// Tells the user why nothing is shown yet.
    pub(super) fn explain_wait(&self) {
        let Some(content) = self.content() else { return };
        let (bytes, name) = (content.torrent.total_bytes(), &content.torrent.name);
        self.notice(format!(
            "{name} has only a hash of the whole file, so nothing is shown before all {bytes} bytes are here; a link with \
             its tiger tree (urn:bitprint:… or urn:tree:tiger:…) plays at once"
        ));
    }

    /// Returns the requested bytes from the store.
    pub(super) async fn upload_data(&self, span: Span) -> Option<Bytes> {
        let store = &self.content()?.store;
        store.block(PieceIndex(span.piece), span.begin, span.length).await.ok().flatten()
    }

    /// Forwards the store's events until the swarm is closed.
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
                    StoreEvent::Proven(piece) => proven.push(piece),
                    other => self.hear_disk(other),
                }
            }
            if !proven.is_empty() {
                self.tell(Input::Proven(proven));
            }
            if !lost.is_empty() {
                self.tell(Input::Lost(lost));
            }
        }
    }

    /// Handles an event about the disk.
    fn hear_disk(&self, event: StoreEvent) {
        match event {
            StoreEvent::DiskFull => {
                self.disk_trouble(Some(&Error::DiskFull { path: self.config.dir.clone() }.to_string()));
            }
            StoreEvent::WriteFailed(e) => self.disk_trouble(Some(&e.to_string())),
            StoreEvent::DiskSlow => self.disk_trouble(Some("the disk writes too slowly")),
            StoreEvent::DiskOk => self.disk_trouble(None),
            StoreEvent::DiskLimitUnsupported => {
                let message = "the file system cannot punch holes, so the disk limit is exceeded".to_owned();
                tracing::warn!("{message}");
                let _ = self.events.send(Event::Trouble { message });
            }
            StoreEvent::PaddingFilled => {
                let Some(content) = self.content() else { return };
                self.tell(Input::KnownTails(content.store.known_tails()));
            }
            StoreEvent::FileChanged(path) => self.notice(format!(
                "another program changed, moved or removed {}; the missing pieces are fetched again",
                path.display()
            )),
            StoreEvent::Elsewhere { taken, ours, refused: true } => self.notice(format!(
                "the disk does not accept the name of {}; this torrent is written to {}",
                taken.display(),
                ours.display()
            )),
            StoreEvent::Elsewhere { taken, ours, refused: false } => self.notice(format!(
                "{} was not created by playswarm, so it is left unchanged; this torrent is written to {}",
                taken.display(),
                ours.display()
            )),
            StoreEvent::Lost(_) | StoreEvent::Unfounded(_) | StoreEvent::Proven(_) | StoreEvent::GivenBack(_) => {}
        }
    }

    /// Adds a notice that requires no action.
    fn notice(&self, message: String) {
        {
            let notices = &mut self.reports.lock().notices;
            // A reader and a writer may notice the same changed file.
            if notices.last() == Some(&message) {
                return;
            }
            if notices.len() >= MAX_NOTICES {
                notices.remove(0);
            }
            notices.push(message.clone());
        }
        tracing::warn!("{message}");
        let _ = self.events.send(Event::Notice { message });
    }

    /// Notes that the disk accepts no data, with the reason, or that it accepts pieces again.
    fn disk_trouble(&self, why: Option<&str>) {
        let trouble = why.map(|why| {
            format!("{why}; until the disk works, only the pieces played next are fetched, and kept in memory")
        });
        let event = match &trouble {
            Some(message) => Event::Trouble { message: message.clone() },
            None => Event::TroubleOver,
        };
        let is_trouble = trouble.is_some();
        self.reports.lock().trouble = trouble;
        self.tell(Input::DiskTrouble(is_trouble));
        let _ = self.events.send(event);
    }
}
