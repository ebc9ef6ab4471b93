//! Uploads to peers: blocks on request, within the choker's limits, and parts of the info
//! dictionary.

use super::info_giver::Promise;
use super::{Output, Torrent};
use crate::{PeerKey, Time, choker};
use bytes::Bytes;
use playswarm_proto::metadata::MetadataMessage;
use playswarm_proto::wire::{Message, Span};
use std::time::Duration;

impl Torrent {
    /// Returns the next request of a peer without taking it. It can still be cancelled.
    pub fn peek_upload(&mut self, key: PeerKey) -> Option<Span> {
        self.peers.get_mut(&key)?.uploads.peek()
    }

    /// Takes the next request of a peer, which is answered now.
    pub fn next_upload(&mut self, key: PeerKey) -> Option<Span> {
        let span = self.peers.get_mut(&key)?.uploads.pop();
        self.resume_if_shallow(key);
        span
    }

    /// Counts a block that was written to a peer.
    pub fn uploaded(&mut self, now: Time, key: PeerKey, bytes: u64) {
        self.now = now;
        self.up.add(now, bytes);
        if let Some(p) = self.peers.get_mut(&key) {
            p.uploaded += bytes;
            p.traded = now;
        }
        self.choke(choker::Input::Took(key, bytes));
    }

    /// Handles the loss of the piece of a request that was taken. The reject is deferred, so that
    /// the peer first learns of the loss.
    pub fn upload_failed(&mut self, key: PeerKey, span: Span) {
        let Some(p) = self.peers.get_mut(&key) else { return };
        if !p.uploads.put_off(span) && p.reserved.fast() {
            self.say(key, Message::Reject(span));
        }
    }

    /// Sends the deferred rejects.
    pub(super) fn say_owed_rejects(&mut self) {
        for (key, p) in &mut self.peers {
            let rejects = p.uploads.take_owed().into_iter();
            self.outputs.extend(rejects.map(|span| Output::Send(*key, Message::Reject(span))));
        }
    }

    pub(super) fn resume_if_shallow(&mut self, key: PeerKey) {
        if self.peers.get_mut(&key).is_some_and(super::Peer::resumes) {
            self.do_later(Output::Resume(key));
        }
    }

    pub(super) fn carry_out_choke(&mut self, output: choker::Output) {
        let (choker::Output::Unchoke(key) | choker::Output::Choke(key)) = output;
        let now = self.now;
        let Some(p) = self.peers.get_mut(&key) else { return };
        let (message, rejects) = match output {
            choker::Output::Unchoke(_) => {
                p.uploads.unchoke();
                (Message::Unchoke, Vec::new())
            }
            choker::Output::Choke(_) => (Message::Choke, p.uploads.choke(now)),
        };
        self.say(key, message);
        rejects.into_iter().for_each(|span| self.say(key, Message::Reject(span)));
        self.resume_if_shallow(key);
    }

    /// Handles a request for a part of the info dictionary.
    pub(super) fn metadata_requested(&mut self, key: PeerKey, part: u32) {
        let bytes = self.ready().map_or(0, |ready| ready.content.info.len());
        let Some(p) = self.peers.get_mut(&key) else { return };
        let Some(id) = p.extended.metadata_id() else { return };
        match p.giver.ask(bytes, part) {
            Promise::Refused => {
                let payload = MetadataMessage::Reject(part).encode();
                self.say(key, Message::Extended { id, payload });
            }
            Promise::Given(false) => {}
            Promise::Given(true) => self.do_later(Output::GiveInfo(key)),
        }
    }

    /// Returns the next requested part of the info dictionary as a message, and the pause before
    /// it. `None` ends the work that [`Output::GiveInfo`] began.
    pub fn next_info_part(&mut self, key: PeerKey) -> Option<(Message, Duration)> {
        let info: Bytes = self.ready()?.content.info.clone();
        let p = self.peers.get_mut(&key)?;
        let id = p.extended.metadata_id()?;
        let (message, pause) = p.giver.next(&info)?;
        Some((Message::Extended { id, payload: message.encode() }, pause))
    }
}
