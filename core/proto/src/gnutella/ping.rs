//! Ping, pong and bye.

use super::fields::{Fields, addresses, put_address, short_number, text};
use super::ggep::Place;
use super::{Fault, Ggep, host_cache};
use bytes::{BufMut, Bytes};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Most addresses that are taken from one extension of a pong.
pub const MAX_PONG_ADDRESSES: usize = 64;
/// Longest text of a bye that is kept, bytes.
const MAX_BYE_BYTES: usize = 1024;

/// Four letters and digits that name a program, in hits, pongs and vendor messages.
pub type VendorCode = [u8; 4];
/// Ours.
pub const VENDOR: VendorCode = *b"PSWM";

/// A ping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ping {
    /// Its extensions.
    pub ggep: Ggep,
}

impl Ping {
    /// Returns the ping to a host cache (UHC), which asks for ultrapeers with free slots for
    /// leaves, and for nodes of the DHT.
    pub fn to_host_cache() -> Ping {
        let vendor = [&VENDOR[..], &[0]].concat();
        Ping { ggep: Ggep::new().with("SCP", vec![0]).with("VC", vendor).with("DHTIPP", Bytes::new()) }
    }

    /// Returns the ping that asks for a key for queries by UDP (GUESS).
    pub fn for_query_key() -> Ping {
        Ping { ggep: Ggep::new().with("QK", Bytes::new()).with("SCP", vec![0]) }
    }

    /// Whether the sender wants addresses of others (`SCP`).
    pub fn wants_addresses(&self) -> bool {
        self.ggep.has("SCP")
    }

    pub(super) fn decode(payload: &Bytes) -> Ping {
        Ping { ggep: Ggep::decode_lenient(payload) }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.ggep.encode(Place::Free, out);
    }
}

/// Slots that an ultrapeer has free (`UP`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UltrapeerSlots {
    /// For leaves.
    pub leaves: u8,
    /// For other ultrapeers.
    pub ultrapeers: u8,
}

/// A pong: the address of a servent, and what its extensions say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pong {
    /// Address of the servent. It is what the sender says.
    pub address: SocketAddrV4,
    /// Number of shared files; a random number in pongs that acknowledge a query.
    pub files: u32,
    /// Length of the shared files, KiB; an ultrapeer sends a power of two.
    pub kib: u32,
    /// Its extensions.
    pub ggep: Ggep,
}

impl Pong {
    /// Returns the pong of a leaf that shares this many files.
    pub fn of_leaf(address: SocketAddrV4, files: u32, kib: u32) -> Pong {
        // A power of two would be that of an ultrapeer.
        let kib = if kib >= 8 && kib.is_power_of_two() { kib + 1 } else { kib };
        Pong { address, files, kib, ggep: Ggep::new().with("VC", [&VENDOR[..], &[0]].concat()) }
    }

    /// Returns the free slots, if the servent is an ultrapeer.
    pub fn ultrapeer_slots(&self) -> Option<UltrapeerSlots> {
        match self.ggep.get("UP")?[..] {
            [_, leaves, ultrapeers, ..] => Some(UltrapeerSlots { leaves, ultrapeers }),
            _ => None,
        }
    }

    /// Whether the servent says that it is an ultrapeer.
    pub fn is_ultrapeer(&self) -> bool {
        self.ggep.has("UP") || (self.kib >= 8 && self.kib.is_power_of_two())
    }

    /// Returns the average time per day for which the servent runs, seconds (`DU`).
    pub fn daily_uptime_s(&self) -> Option<u32> {
        short_number(self.ggep.get("DU")?).and_then(|seconds| u32::try_from(seconds).ok())
    }

    /// Returns the name of the program (`VC`).
    pub fn vendor(&self) -> Option<VendorCode> {
        self.ggep.get("VC")?.first_chunk().copied()
    }

    /// Whether the servent takes queries by UDP (`GUE`).
    pub fn has_guess(&self) -> bool {
        self.ggep.has("GUE")
    }

    /// Whether the sender is a host cache (`UDPHC`).
    pub fn is_host_cache(&self) -> bool {
        self.ggep.has("UDPHC")
    }

    /// Returns other ultrapeers (`IPP`), at most [`MAX_PONG_ADDRESSES`].
    pub fn others(&self) -> Vec<SocketAddrV4> {
        self.list("IPP")
    }

    /// Returns nodes of the DHT (`DHTIPP`), at most [`MAX_PONG_ADDRESSES`].
    pub fn dht_nodes(&self) -> Vec<SocketAddrV4> {
        self.list("DHTIPP")
    }

    fn list(&self, name: &str) -> Vec<SocketAddrV4> {
        self.ggep.get(name).map(|bytes| addresses(bytes, MAX_PONG_ADDRESSES)).unwrap_or_default()
    }

    /// Returns our own address as the servent sees it (`IP`).
    pub fn our_address(&self) -> Option<SocketAddrV4> {
        addresses(self.ggep.get("IP")?, 1).pop()
    }

    /// Returns the key for queries by UDP (`QK`).
    pub fn query_key(&self) -> Option<&Bytes> {
        self.ggep.get("QK").filter(|key| !key.is_empty())
    }

    /// Returns other host caches (`PHC`), as host and port.
    pub fn host_caches(&self) -> Vec<(String, u16)> {
        self.ggep.get("PHC").map(|packed| host_cache::packed_list(packed)).unwrap_or_default()
    }

    pub(super) fn decode(payload: &Bytes) -> Result<Pong, Fault> {
        let mut fields = Fields::new("pong", payload);
        let port = fields.u16_le()?;
        let address = SocketAddrV4::new(fields.ip()?, port);
        let (files, kib) = (fields.u32_le()?, fields.u32_le()?);
        Ok(Pong { address, files, kib, ggep: Ggep::decode_lenient(&fields.rest()) })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_port_first(out, self.address);
        out.put_u32_le(self.files);
        out.put_u32_le(self.kib);
        self.ggep.encode(Place::Free, out);
    }
}

/// Appends an address as pongs and hits have it: the port first.
pub(super) fn put_port_first(out: &mut Vec<u8>, address: SocketAddrV4) {
    out.put_u16_le(address.port());
    out.put_slice(&address.ip().octets());
}

/// The last message of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bye {
    /// Code as in HTTP: 200 after a normal end, 4xx for faults of the receiver, 5xx for others.
    pub code: u16,
    /// The reason, and perhaps header fields after it.
    pub text: String,
}

impl Bye {
    /// Returns the reason: the first line of the text.
    pub fn reason(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    pub(super) fn decode(payload: &Bytes) -> Result<Bye, Fault> {
        let mut fields = Fields::new("bye", payload);
        let code = fields.u16_le()?;
        Ok(Bye { code, text: text(&fields.until_nul(), MAX_BYE_BYTES) })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u16_le(self.code);
        out.extend(self.text.bytes().filter(|b| *b != 0));
        out.push(0);
    }
}

/// A request to a servent that cannot be reached: to connect to an address, and give a file there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Identifier of the servent that shall connect.
    pub servent: super::Guid,
    /// Number of the file, which modern servents ignore.
    pub index: u32,
    /// Address to which it shall connect.
    pub address: SocketAddrV4,
    /// Its extensions.
    pub ggep: Ggep,
}

impl Push {
    pub(super) fn decode(payload: &Bytes) -> Result<Push, Fault> {
        let mut fields = Fields::new("push", payload);
        let (servent, index) = (fields.guid()?, fields.u32_le()?);
        let ip: Ipv4Addr = fields.ip()?;
        let address = SocketAddrV4::new(ip, fields.u16_le()?);
        Ok(Push { servent, index, address, ggep: Ggep::decode_lenient(&fields.rest()) })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_slice(&self.servent.0);
        out.put_u32_le(self.index);
        put_address(out, self.address);
        self.ggep.encode(Place::Free, out);
    }
}
