//! The machines and what they say: the picker, the choker and the metadata fetch are told here, and their outputs carried out.
//!
//! All under the swarm's lock: a machine hears things in the order in which they happened.

use crate::swarm::driver::{State, Swarm};
use crate::swarm::peer::Verdict as Conduct;
use playswarm_logic::picker::{Input, Output, Picker};
use playswarm_logic::{BLOCK_BYTES, BlockRef, PeerKey, Time, choker, metadata as logic_metadata};
use playswarm_proto::metadata::MetadataMessage;
use playswarm_proto::wire::{Message, Span};
use std::time::{Duration, Instant};

impl Swarm {
    pub(super) fn now(&self) -> Time {
        Time::ZERO + self.epoch.elapsed()
    }

    pub(super) fn instant(&self, at: Time) -> Instant {
        self.epoch + Duration::from_micros(at.0)
    }

    /// Tells the picker and does what it says.
    pub(super) fn pick_with(&self, st: &mut State, input: Input) {
        let now = self.now();
        let Some(picker) = &mut st.picker else { return };
        match input {
            Input::Timeout | Input::ReaderRead(..) => {}
            _ => tracing::trace!(t = now.as_secs_f64(), ?input, "told"),
        }
        picker.handle(now, input);
        self.drain_picker(st);
    }

    pub(super) fn drain_picker(&self, st: &mut State) {
        let Some(content) = self.content.get() else { return };
        let layout = content.torrent.layout;
        let span = |block: BlockRef| Span {
            piece: block.piece.0,
            begin: block.block * BLOCK_BYTES,
            length: layout.block_bytes(block),
        };
        while let Some(output) = st.picker.as_mut().and_then(Picker::poll) {
            tracing::trace!(t = self.now().as_secs_f64(), ?output, "do");
            match output {
                Output::Request(peer, block) => self.say(st, peer, Message::Request(span(block))),
                Output::Cancel(peer, block) => self.say(st, peer, Message::Cancel(span(block))),
                Output::Interested(peer, wanted) => {
                    if let Some(p) = st.peers.get_mut(&peer) {
                        p.wanted = wanted;
                        p.say(if wanted { Message::Interested } else { Message::NotInterested });
                    }
                }
                Output::Forget(piece) => {
                    st.resets += 1;
                    content.store.drop_assembly(piece);
                }
                _ => {}
            }
        }
    }

    pub(super) fn say(&self, st: &mut State, peer: PeerKey, message: Message) {
        if let Some(p) = st.peers.get_mut(&peer) {
            p.say(message);
        }
    }

    /// Tells the metadata machine and does what it says.
    pub(super) fn metadata_with(&self, st: &mut State, input: logic_metadata::Input) {
        let now = self.now();
        let Some(fetch) = &mut st.metadata else { return };
        fetch.handle(now, input);
        while let Some(output) = st.metadata.as_mut().and_then(logic_metadata::Fetch::poll) {
            match output {
                logic_metadata::Output::Request(key, part) => {
                    let Some(id) = st.peers.get(&key).and_then(|p| p.extended.metadata_id()) else { continue };
                    let payload = MetadataMessage::Request(part).encode();
                    self.say(st, key, Message::Extended { id, payload });
                }
                logic_metadata::Output::Assembled { attempt, info } => self.try_info(attempt, info),
                logic_metadata::Output::Ban(key) => self.part(st, key, Conduct::Lied("gave wrong metadata")),
                _ => {}
            }
        }
    }

    /// Tells the choker and does what it says.
    pub(super) fn choke_with(&self, st: &mut State, input: choker::Input) {
        let now = self.now();
        st.choker.handle(now, input);
        while let Some(output) = st.choker.poll() {
            self.carry_out_choke(st, now, output);
        }
    }
}
