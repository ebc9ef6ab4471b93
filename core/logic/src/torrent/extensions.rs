//! Extended messages (BEP 10): the handshake, metadata (BEP 9), peer exchange (BEP 11), DONT HAVE
//! (BEP 54), and the slot index (docs/SLOTS.md).

use super::conduct::Offence;
use super::{Disconnect, Finding, Origin, Output, Peer, Torrent};
use crate::{PeerKey, metadata, picker};
use bytes::Bytes;
use playswarm_proto::AddressClass;
use playswarm_proto::extended::{ExtendedHandshake, decode_dont_have, encode_dont_have, ours};
use playswarm_proto::metadata::MetadataMessage;
use playswarm_proto::pex::PexMessage;
use playswarm_proto::wire::Message;
use std::collections::BTreeMap;
use std::net::SocketAddr;

impl Torrent {
    pub(super) fn extended(&mut self, key: PeerKey, id: u8, payload: &Bytes) -> Result<(), Disconnect> {
        match id {
            0 => match ExtendedHandshake::decode(payload) {
                Ok(said) => self.extended_handshake(key, said),
                Err(_) => self.offend(key, Offence::Extension),
            },
            ours::UT_METADATA => match MetadataMessage::decode(payload) {
                Ok(message) => {
                    self.metadata_message(key, message);
                    Ok(())
                }
                Err(_) => {
                    self.fetch_metadata(metadata::Input::Odd(key));
                    self.offend(key, Offence::Extension)
                }
            },
            ours::UT_PEX => self.pex_message(key, payload),
            ours::PS_SLOT => self.viewer_said(key, payload),
            ours::LT_DONTHAVE => {
                if let Some(piece) = decode_dont_have(payload) {
                    self.peer_lacks(key, piece);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn extended_handshake(&mut self, key: PeerKey, said: ExtendedHandshake) -> Result<(), Disconnect> {
        let Some(p) = self.peers.get_mut(&key) else { return Ok(()) };
        p.extended.update(said);
        if let Some(client) = &p.extended.client {
            p.client.clone_from(client);
        }
        let manner = p.manner();
        let metadata = p.extended.metadata_id().zip(p.extended.metadata_size);
        self.say_withdrawn(key);
        self.note_listening_port(key)?;
        self.pick(picker::Input::PeerManner(key, manner));
        if let Some((_, size)) = metadata {
            self.fetch_metadata(metadata::Input::Offered(key, size));
        }
        self.greet_viewer(key);
        Ok(())
    }

    /// Notes the listening port of a peer that connected to us. Only the first one counts, or a
    /// peer could fill the address book with ports.
    fn note_listening_port(&mut self, key: PeerKey) -> Result<(), Disconnect> {
        let Some(p) = self.peers.get_mut(&key).filter(|p| p.incoming && !p.booked) else { return Ok(()) };
        let Some(port) = p.extended.port else { return Ok(()) };
        let addr = SocketAddr::new(p.addr.ip(), port);
        if self.book.may_be_named(self.now, addr, AddressClass::of(addr.ip())) {
            if self.book.bans.is_banned(addr, self.now) {
                return Err(Disconnect::Closed("its address is banned".to_owned()));
            }
            (p.addr, p.booked) = (addr, true);
            self.book.connected(self.now, addr, Origin::Incoming);
        }
        Ok(())
    }

    /// Requests a part of the metadata.
    pub(super) fn request_metadata(&mut self, key: PeerKey, part: u32) {
        let Some(id) = self.peers.get(&key).and_then(|p| p.extended.metadata_id()) else { return };
        let payload = MetadataMessage::Request(part).encode();
        self.say(key, Message::Extended { id, payload });
    }

    fn metadata_message(&mut self, key: PeerKey, message: MetadataMessage) {
        match message {
            MetadataMessage::Request(part) => self.metadata_requested(key, part),
            MetadataMessage::Data { part, total, data } => {
                let data = data.to_vec();
                self.fetch_metadata(metadata::Input::Part { peer: key, part, total, data });
            }
            MetadataMessage::Reject(part) => self.fetch_metadata(metadata::Input::Rejected(key, part)),
            MetadataMessage::Unknown => {}
        }
    }

    fn pex_message(&mut self, key: PeerKey, payload: &[u8]) -> Result<(), Disconnect> {
        if !self.config.pex || self.is_private() {
            return Ok(());
        }
        let Some(p) = self.peers.get_mut(&key) else { return Ok(()) };
        match PexMessage::decode(payload, p.addr.ip()) {
            Ok(message) if p.pex.received(self.now) => {
                let by = AddressClass::of(p.addr.ip());
                let findings =
                    message.added.into_iter().map(|(addr, _)| Finding::Peer { addr, origin: Origin::Pex, by });
                self.found(findings.collect());
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(_) => self.offend(key, Offence::Extension),
        }
    }

    /// Sends PEX messages to the peers for which one is due.
    pub(super) fn exchange_peers(&mut self) {
        if !self.config.pex || self.ready().is_none_or(|ready| ready.content.private) {
            return;
        }
        let now = self.now;
        let is_due = |p: &Peer| p.extended.pex_id().is_some() && p.pex.next_timeout() <= now;
        let due: Vec<PeerKey> = self.peers.iter().filter(|(_, p)| is_due(p)).map(|(key, _)| *key).collect();
        if due.is_empty() {
            return;
        }
        // Only listening addresses are worth sharing: those that were dialled or that the peer
        // named.
        let is_listening = |p: &Peer| !p.incoming || p.extended.port.is_some();
        let listening = self.connections().filter(|(_, p)| is_listening(p));
        let connected: BTreeMap<SocketAddr, u8> =
            listening.map(|(key, p)| (p.addr, p.pex_flags(self.peer_is_complete(*key)))).collect();
        for key in due {
            let Some(p) = self.peers.get_mut(&key) else { continue };
            let Some(id) = p.extended.pex_id() else { continue };
            if let Some(message) = p.pex.poll(now, p.addr, &connected) {
                self.say(key, Message::Extended { id, payload: message.encode() });
            }
        }
    }

    /// Sends DONT HAVE for a piece to a peer that supports it (BEP 54).
    pub(super) fn withdraw(&mut self, key: PeerKey, piece: u32) {
        if let Some(p) = self.peers.get_mut(&key).filter(|p| p.source.is_none()) {
            p.withdraw(piece);
            self.say_withdrawn(key);
        }
    }

    /// Sends the DONT HAVE messages that had to wait for the peer's extended handshake.
    fn say_withdrawn(&mut self, key: PeerKey) {
        let Some((id, pieces)) = self.peers.get_mut(&key).and_then(Peer::take_withdrawn) else { return };
        let dont_have = |piece| Message::Extended { id, payload: encode_dont_have(piece) };
        self.outputs.extend(pieces.into_iter().map(|piece| Output::Send(key, dont_have(piece))));
    }
}
