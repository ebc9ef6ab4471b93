//! The title of what a channel is playing. The newest one of the present cast is kept and passed on.

use super::{Channel, Output, Urgency};
use crate::{PeerKey, Time};
use bytes::Bytes;
use playswarm_proto::live::SignedTitle;
use playswarm_proto::live::message::Message;

impl Channel {
    /// Returns the title of what is playing. `None` if the source has told none.
    pub fn title(&self) -> Option<&str> {
        self.title.as_ref().map(|signed| signed.title.text.as_str()).filter(|text| !text.is_empty())
    }

    /// Keeps a title that the source signed, and passes it on, unless a newer one is known.
    pub(super) fn take_title(&mut self, now: Time, peer: PeerKey, signed: SignedTitle) {
        let Some(cast) = self.receiver.head().map(|head| head.head().cast) else { return };
        let is_newer = self.title.as_ref().is_none_or(|known| known.title.number < signed.title.number);
        if signed.title.cast != cast || !is_newer {
            return;
        }
        if !signed.is_signed_by(&self.key) {
            return self.ban(now, peer);
        }
        self.title = Some(signed);
        self.outputs.push_back(Output::Title);
        let others: Vec<PeerKey> = self.heads.told().filter(|other| *other != peer).collect();
        self.send_title(others.into_iter());
    }

    pub(super) fn send_title(&mut self, peers: impl Iterator<Item = PeerKey>) {
        let Some(title) = &self.title else { return };
        let bytes = Bytes::from(Message::Title(title.clone()).encode());
        self.outputs.extend(peers.map(|peer| Output::Send(peer, bytes.clone(), Urgency::Control)));
    }
}
