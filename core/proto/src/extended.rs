//! The extended handshake (BEP 10) and DONT HAVE (BEP 54): encoding and decoding.
//!
//! It uses our own bencode (see `bencode`), because librqbit's type supports no names beyond
//! ut_metadata and ut_pex.

use crate::bencode::{Malformed, Reader, put_integer_at, put_string, put_string_at};
use crate::{live, slots};
use bytes::{BufMut, Bytes, BytesMut};
use std::net::IpAddr;

/// Our numbers for extended messages; peers learn them from our handshake.
pub mod ours {
    /// Peer exchange (BEP 11).
    pub const UT_PEX: u8 = 1;
    /// Metadata (BEP 9).
    pub const UT_METADATA: u8 = 2;
    /// DONT HAVE (BEP 54).
    pub const LT_DONTHAVE: u8 = 3;
    /// Messages of the slot index (docs/SLOTS.md).
    pub const PS_SLOT: u8 = 4;
    /// Messages of a live channel (docs/LIVE.md).
    pub const PS_LIVE: u8 = 5;
}

/// Most outstanding requests that we accept from a peer. libtorrent announces the same, so clients
/// are used to it.
pub const OUR_REQQ: u32 = 500;

/// Largest info dictionary accepted or offered, bytes: that of 1,600,000 pieces.
pub const MAX_METADATA_BYTES: u32 = 32 << 20;

/// Longest client name kept, characters.
const MAX_CLIENT_CHARS: usize = 64;

/// An extended handshake; every part is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtendedHandshake {
    /// The sender's number for metadata messages (BEP 9); 0 turns them off.
    pub ut_metadata: Option<u8>,
    /// The sender's number for PEX (BEP 11); 0 turns it off.
    pub ut_pex: Option<u8>,
    /// The sender's number for DONT HAVE (BEP 54); 0 turns it off.
    pub lt_donthave: Option<u8>,
    /// The sender's number for messages of the slot index (docs/SLOTS.md); 0 turns them off.
    pub ps_slot: Option<u8>,
    /// The sender's number for messages of a live channel (docs/LIVE.md).
    pub ps_live: Option<u8>,
    /// The client's name and version, printable.
    pub client: Option<String>,
    /// Most outstanding requests that the sender accepts.
    pub reqq: Option<u32>,
    /// Length of the info dictionary in bytes, within [`MAX_METADATA_BYTES`].
    pub metadata_size: Option<u32>,
    /// The port on which the sender listens.
    pub port: Option<u16>,
    /// Address of the receiver, as the sender sees it.
    pub yourip: Option<IpAddr>,
    /// Whether the sender will request nothing (BEP 21); a later handshake may revoke that.
    pub upload_only: Option<bool>,
}

impl ExtendedHandshake {
    /// Returns our handshake. PEX and the slot index are left out if they are off or the torrent is
    /// private (BEP 27).
    pub fn ours(
        metadata_size: Option<u32>,
        port: Option<u16>,
        pex: bool,
        slots: bool,
        upload_only: bool,
    ) -> ExtendedHandshake {
        ExtendedHandshake {
            ut_metadata: Some(ours::UT_METADATA),
            ut_pex: pex.then_some(ours::UT_PEX),
            lt_donthave: Some(ours::LT_DONTHAVE),
            ps_slot: slots.then_some(ours::PS_SLOT),
            ps_live: None,
            client: Some(concat!("playswarm ", env!("CARGO_PKG_VERSION")).to_owned()),
            reqq: Some(OUR_REQQ),
            metadata_size,
            port,
            yourip: None,
            upload_only: upload_only.then_some(true),
        }
    }

    /// Returns the payload of the message with id 0.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(192);
        out.put_u8(b'd');
        put_string(&mut out, b"m");
        out.put_u8(b'd');
        for (name, id) in [
            ("lt_donthave", self.lt_donthave),
            (live::message::EXTENSION, self.ps_live),
            (slots::EXTENSION, self.ps_slot),
            ("ut_metadata", self.ut_metadata),
            ("ut_pex", self.ut_pex),
        ] {
            if let Some(id) = id {
                put_integer_at(&mut out, name, u64::from(id));
            }
        }
        out.put_u8(b'e');
        if let Some(size) = self.metadata_size {
            put_integer_at(&mut out, "metadata_size", u64::from(size));
        }
        if let Some(port) = self.port {
            put_integer_at(&mut out, "p", u64::from(port));
        }
        if let Some(reqq) = self.reqq {
            put_integer_at(&mut out, "reqq", u64::from(reqq));
        }
        if let Some(upload_only) = self.upload_only {
            put_integer_at(&mut out, "upload_only", u64::from(upload_only));
        }
        if let Some(client) = &self.client {
            put_string_at(&mut out, "v", client.as_bytes());
        }
        match self.yourip {
            Some(IpAddr::V4(ip)) => put_string_at(&mut out, "yourip", &ip.octets()),
            Some(IpAddr::V6(ip)) => put_string_at(&mut out, "yourip", &ip.octets()),
            None => {}
        }
        out.put_u8(b'e');
        out.freeze()
    }

    /// Parses a payload. Unknown keys, and known ones with values out of range, are skipped. Only
    /// bytes that are no dictionary are an error.
    pub fn decode(payload: &[u8]) -> Result<ExtendedHandshake, Malformed> {
        let mut read = ExtendedHandshake::default();
        let within = |n: Option<i64>, low: i64, high: i64| n.filter(|n| (low..=high).contains(n));
        Reader::of_peer(payload).dict(|key, r| {
            match key {
                b"m" => r.dict_if_any(|name, r| {
                    // Checked to fit.
                    let id = within(r.integer_if_any()?, 0, 255).map(|n| n as u8);
                    match name {
                        b"ut_metadata" => read.ut_metadata = id,
                        b"ut_pex" => read.ut_pex = id,
                        b"lt_donthave" => read.lt_donthave = id,
                        name if name == slots::EXTENSION.as_bytes() => read.ps_slot = id,
                        name if name == live::message::EXTENSION.as_bytes() => read.ps_live = id,
                        _ => {}
                    }
                    Ok(())
                })?,
                b"v" => read.client = r.string_if_any()?.map(printable).filter(|v| !v.is_empty()),
                b"p" => read.port = within(r.integer_if_any()?, 1, 65535).map(|n| n as u16),
                b"reqq" => read.reqq = within(r.integer_if_any()?, 1, i64::from(u32::MAX)).map(|n| n as u32),
                b"metadata_size" => {
                    read.metadata_size =
                        within(r.integer_if_any()?, 1, i64::from(MAX_METADATA_BYTES)).map(|n| n as u32);
                }
                b"upload_only" => read.upload_only = r.integer_if_any()?.map(|n| n != 0),
                b"yourip" => {
                    read.yourip = r.string_if_any()?.and_then(|b| {
                        <[u8; 4]>::try_from(b)
                            .map(IpAddr::from)
                            .or_else(|_| <[u8; 16]>::try_from(b).map(IpAddr::from))
                            .ok()
                    });
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(read)
    }

    /// Merges a later handshake of the same peer (BEP 10 allows changes).
    pub fn update(&mut self, later: ExtendedHandshake) {
        fn take<T>(old: &mut Option<T>, new: Option<T>) {
            if new.is_some() {
                *old = new;
            }
        }
        take(&mut self.ut_metadata, later.ut_metadata);
        take(&mut self.ut_pex, later.ut_pex);
        take(&mut self.lt_donthave, later.lt_donthave);
        take(&mut self.ps_slot, later.ps_slot);
        take(&mut self.ps_live, later.ps_live);
        take(&mut self.client, later.client);
        take(&mut self.reqq, later.reqq);
        take(&mut self.metadata_size, later.metadata_size);
        take(&mut self.port, later.port);
        take(&mut self.yourip, later.yourip);
        take(&mut self.upload_only, later.upload_only);
    }

    /// Returns the peer's number for metadata messages, if it supports them.
    pub fn metadata_id(&self) -> Option<u8> {
        self.ut_metadata.filter(|id| *id != 0)
    }

    /// Returns the peer's number for PEX, if it supports it.
    pub fn pex_id(&self) -> Option<u8> {
        self.ut_pex.filter(|id| *id != 0)
    }

    /// Returns the peer's number for messages of the slot index, if it supports them.
    pub fn slot_id(&self) -> Option<u8> {
        self.ps_slot.filter(|id| *id != 0)
    }

    /// Returns the peer's number for DONT HAVE, if it supports it.
    pub fn dont_have_id(&self) -> Option<u8> {
        self.lt_donthave.filter(|id| *id != 0)
    }
}

/// Returns a foreign text in a form that is safe for terminals and JSON: short and without control
/// characters.
fn printable(bytes: &[u8]) -> String {
    crate::printable::line_of_bytes(bytes, MAX_CLIENT_CHARS)
}

/// Returns the payload of DONT HAVE (BEP 54): a piece that was announced is no longer stored.
pub fn encode_dont_have(piece: u32) -> Bytes {
    Bytes::copy_from_slice(&piece.to_be_bytes())
}

/// Returns the piece that a DONT HAVE names; `None` if it is malformed.
pub fn decode_dont_have(payload: &[u8]) -> Option<u32> {
    payload.try_into().ok().map(u32::from_be_bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_we_say_is_understood_and_in_order() {
        let mut ours = ExtendedHandshake::ours(Some(31235), Some(6881), true, true, true);
        ours.yourip = Some("10.0.0.7".parse().unwrap());
        let bytes = ours.encode();
        assert_eq!(
            bytes,
            format!(
                "d1:md11:lt_donthavei3e7:ps_sloti4e11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei31235e1:pi6881e4:reqqi500e\
                 11:upload_onlyi1e1:v15:playswarm {}6:yourip4:\x0a\0\0\x07e",
                env!("CARGO_PKG_VERSION")
            )
            .as_bytes()
        );
        assert_eq!(ExtendedHandshake::decode(&bytes).unwrap(), ours);
    }

    #[test]
    fn unknown_names_and_values_of_other_kinds_are_passed_over() {
        let read = ExtendedHandshake::decode(
            b"d12:complete_agoi-1e1:md12:ut_holepunchi4e11:ut_metadatai300e6:ut_pex1:xe13:metadata_sizei99999999e\
              1:pi70000e4:reqqi0e1:vi7e6:yourip3:abce",
        )
        .unwrap();
        assert_eq!(read, ExtendedHandshake::default());
        assert_eq!(ExtendedHandshake::decode(b"d1:mi3ee").unwrap(), ExtendedHandshake::default());
        assert!(ExtendedHandshake::decode(b"le").is_err() && ExtendedHandshake::decode(b"d1:m").is_err());
    }

    #[test]
    fn a_clients_name_cannot_play_with_the_terminal() {
        let read = ExtendedHandshake::decode(b"d1:v12:\x1b[31mevil\n\xff!e").unwrap();
        assert_eq!(read.client.as_deref(), Some("\u{fffd}[31mevil \u{fffd}!"));
    }

    #[test]
    fn a_later_handshake_changes_only_what_it_names_and_zero_turns_off() {
        let mut theirs = ExtendedHandshake::decode(b"d1:md11:ut_metadatai2e6:ut_pexi1ee4:reqqi250ee").unwrap();
        theirs.update(ExtendedHandshake::decode(b"d1:md6:ut_pexi0ee13:metadata_sizei5ee").unwrap());
        assert_eq!((theirs.metadata_id(), theirs.pex_id()), (Some(2), None));
        assert_eq!((theirs.reqq, theirs.metadata_size), (Some(250), Some(5)));
        theirs.update(ExtendedHandshake::decode(b"d11:upload_onlyi1ee").unwrap());
        theirs.update(ExtendedHandshake::decode(b"de").unwrap());
        assert_eq!(theirs.upload_only, Some(true));
        theirs.update(ExtendedHandshake::decode(b"d11:upload_onlyi0ee").unwrap());
        assert_eq!(theirs.upload_only, Some(false));
    }

    #[test]
    fn a_peer_may_take_back_that_it_only_uploads() {
        let mut theirs = ExtendedHandshake::decode(b"d11:upload_onlyi1ee").unwrap();
        theirs.update(ExtendedHandshake::decode(b"d4:reqqi250ee").unwrap());
        assert_eq!(theirs.upload_only, Some(true));
        theirs.update(ExtendedHandshake::decode(b"d11:upload_onlyi0ee").unwrap());
        assert_eq!(theirs.upload_only, Some(false));
        let taken_back = ExtendedHandshake { upload_only: Some(false), ..ExtendedHandshake::default() };
        assert_eq!(taken_back.encode(), &b"d1:mde11:upload_onlyi0ee"[..]);
    }

    #[test]
    fn dont_have_names_one_piece() {
        assert_eq!(decode_dont_have(&encode_dont_have(77)), Some(77));
        assert_eq!(decode_dont_have(b"abc"), None);
    }
}
