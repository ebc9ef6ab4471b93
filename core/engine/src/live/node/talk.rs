//! The messages of a node's connections, as they are read and written.

use super::Node;
use crate::live::link::{Outlet, Sender};
use crate::swarm::link::{LinkReader, LinkWriter};
use crate::swarm::transport::Transport;
use bytes::Bytes;
use playswarm_logic::PeerKey;
use playswarm_logic::channel::Input;
use playswarm_logic::torrent::greeting::Greeting;
use playswarm_proto::extended::{ExtendedHandshake, ours};
use playswarm_proto::handshake::Reserved;
use playswarm_proto::wire::Message;
use std::sync::Arc;

/// Returns the extended handshake. A channel has no pieces, so nothing else has to be first.
pub(super) fn greeting(transport: &Transport) -> Greeting {
    let port = Some(transport.listen_addr().port()).filter(|port| *port != 0);
    let mut extended = ExtendedHandshake::ours(None, port, false, false, false);
    (extended.ut_metadata, extended.lt_donthave, extended.ps_live) = (None, None, Some(ours::PS_LIVE));
    Greeting { reserved: Reserved::extended_only(), extended, have: None, interested: false, more: Vec::new() }
}

/// Returns a message of a channel as it is sent. Both sides know by the channel's id that they speak
/// the extension. Its number is therefore fixed, and messages need not wait for the extended
/// handshake.
pub(super) fn extended(payload: Bytes) -> Message {
    Message::Extended { id: ours::PS_LIVE, payload }
}

impl Node {
    /// Passes the messages of a node to the channel.
    pub(super) fn hear(&self, key: PeerKey, batch: &mut Vec<Message>) {
        for message in batch.drain(..) {
            if let Message::Extended { id: ours::PS_LIVE, payload } = message {
                // Copied: the back buffer keeps packets, and would keep the whole read buffer.
                self.tell(Input::Heard(key, Bytes::copy_from_slice(&payload)));
            }
        }
    }
}

pub(super) async fn read(node: &Arc<Node>, key: PeerKey, mut reader: LinkReader) {
    let mut batch = Vec::new();
    while reader.read_batch(&mut batch).await.is_ok() {
        node.hear(key, &mut batch);
    }
}

pub(super) async fn write(
    sender: &Sender,
    peer: PeerKey,
    outlet: &Outlet,
    mut writer: LinkWriter,
) -> std::io::Result<()> {
    writer.flush().await?;
    loop {
        sender.ready(peer);
        outlet.messages().await.into_iter().for_each(|payload| writer.queue(&extended(payload)));
        writer.flush().await?;
    }
}
