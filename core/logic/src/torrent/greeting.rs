//! The first messages of a torrent on a new connection, behind the handshake.

use crate::Bits;
use bytes::{Bytes, BytesMut};
use playswarm_proto::extended::ExtendedHandshake;
use playswarm_proto::handshake::Reserved;
use playswarm_proto::wire::{self, Message};

/// The first messages on a new connection, apart from the handshake itself.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// Extensions that we support.
    pub reserved: Reserved,
    /// The extended handshake (BEP 10); `yourip` is filled in for each peer.
    pub extended: ExtendedHandshake,
    /// Pieces that we have; `None` while the info dictionary is not known.
    pub have: Option<Bits>,
    /// Whether to send INTERESTED at once, in the hope that the peer unchokes us a round trip
    /// sooner.
    pub interested: bool,
    /// Further messages, which need nothing of the peer's handshake.
    pub more: Vec<Message>,
}

impl Greeting {
    /// Appends the messages that follow our handshake.
    ///
    /// For incoming connections, `theirs` holds the peer's extensions. When we dial, `theirs` is
    /// `None`: the messages go out in the same write as the handshake. They then have forms that
    /// every client accepts: a bitfield even if it is empty, since BEP 6 demands one of the three
    /// messages. [`Greeting::encode_rest`] later adds the messages that had to wait.
    pub fn encode(&self, theirs: Option<Reserved>, remote: std::net::IpAddr, out: &mut BytesMut) {
        if theirs.is_none_or(Reserved::extended) {
            let extended = ExtendedHandshake { yourip: Some(remote), ..self.extended.clone() };
            wire::encode(&Message::Extended { id: 0, payload: extended.encode() }, out);
        }
        match (&self.have, theirs.is_some_and(Reserved::fast)) {
            (Some(have), true) if have.is_full() && !have.is_empty() => wire::encode(&Message::HaveAll, out),
            (Some(have), true) if have.count() == 0 => wire::encode(&Message::HaveNone, out),
            (None, true) => wire::encode(&Message::HaveNone, out),
            // A client without pieces may omit the bitfield (BEP 3). A FAST peer would miss it.
            (Some(have), false) if have.count() == 0 && theirs.is_some() => {}
            (Some(have), _) => wire::encode(&Message::Bitfield(Bytes::copy_from_slice(have.as_bytes())), out),
            (None, false) => {}
        }
        if self.interested {
            wire::encode(&Message::Interested, out);
        }
        self.more.iter().for_each(|message| wire::encode(message, out));
    }

    /// Appends the messages that had to wait for the handshake of a peer that we dialled. That is
    /// HAVE NONE if the number of pieces was not known for a bitfield.
    pub fn encode_rest(&self, theirs: Reserved, out: &mut BytesMut) {
        if self.have.is_none() && theirs.fast() {
            wire::encode(&Message::HaveNone, out);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use playswarm_proto::wire::{Limits, decode};
    use std::net::{IpAddr, Ipv4Addr};

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn words(bits: Option<&Bits>) -> Greeting {
        Greeting {
            reserved: Reserved::ours(true),
            extended: ExtendedHandshake::default(),
            have: bits.cloned(),
            interested: true,
            more: Vec::new(),
        }
    }

    fn said(words: &Greeting, theirs: Option<Reserved>) -> Vec<Message> {
        let mut buf = BytesMut::new();
        words.encode(theirs, HOST, &mut buf);
        std::iter::from_fn(|| decode(&mut buf, Limits::default()).unwrap()).collect()
    }

    #[test]
    fn a_dialling_client_sends_messages_that_every_client_accepts() {
        let full = Bits::full(9);
        let said = said(&words(Some(&full)), None);
        assert!(matches!(said[0], Message::Extended { id: 0, .. }));
        assert_eq!(said[1..], [Message::Bitfield(Bytes::from_static(&[0xff, 0x80])), Message::Interested]);
    }

    #[test]
    fn further_messages_go_with_the_handshake_behind_all_others() {
        let more = vec![Message::Extended { id: 5, payload: Bytes::from_static(b"hello") }];
        let words = Greeting { more: more.clone(), ..words(Some(&Bits::new(9))) };
        for theirs in [None, Some(Reserved::ours(false))] {
            let said = said(&words, theirs);
            assert_eq!(said[said.len() - 2..], [Message::Interested, more[0].clone()]);
        }
    }

    #[test]
    fn a_dialled_client_uses_the_extensions_of_the_peer() {
        let fast = Some(Reserved::ours(false));
        assert_eq!(said(&words(Some(&Bits::full(9))), fast)[1..], [Message::HaveAll, Message::Interested]);
        assert_eq!(said(&words(Some(&Bits::new(9))), fast)[1..], [Message::HaveNone, Message::Interested]);
        assert_eq!(said(&words(Some(&Bits::new(9))), Some(Reserved(0))), [Message::Interested]);
        assert_eq!(said(&words(None), fast)[1..], [Message::HaveNone, Message::Interested]);
    }

    #[test]
    fn have_none_waits_for_the_peers_handshake_where_the_number_of_pieces_is_unknown() {
        assert_eq!(said(&words(None), None)[1..], [Message::Interested]);
        let mut rest = BytesMut::new();
        words(None).encode_rest(Reserved(0), &mut rest);
        assert!(rest.is_empty());
        words(None).encode_rest(Reserved::ours(false), &mut rest);
        assert_eq!(decode(&mut rest, Limits::default()).unwrap(), Some(Message::HaveNone));
    }
}
