//! The messages of the Mojito DHT, each a datagram: which servents have a file is found there by its
//! SHA-1. Numbers are big-endian here, and so are ports.

use super::fields::{Fields, put_short_number, short_number};
use super::frame::{Frame, Header, kind};
use super::ggep::{Budget, Place};
use super::ping::{VENDOR, VendorCode};
use super::{Fault, Ggep, Guid};
use crate::{sha1, tiger_tree};
use bytes::{BufMut, Bytes};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Nodes that store a value, and most nodes in an answer (K).
pub const MAX_NODES: usize = 20;
/// Most values of one answer.
pub const MAX_VALUES: usize = 32;
/// Longest data of a value, bytes.
pub const MAX_VALUE_BYTES: usize = 512;
/// Longest token, bytes.
const MAX_TOKEN_BYTES: usize = 32;
/// Most proxies that are taken from a value.
const MAX_PROXIES: usize = 8;
const WHAT: &str = "message of the DHT";

/// Name of a node, or a key.
pub type Kuid = [u8; 20];

/// The name of the type of a value.
pub type ValueType = [u8; 4];
/// Values that say which servent has a file. Their key is its SHA-1.
pub const FILE_LOCATION: ValueType = *b"ALOC";
/// Values with the push proxies of a servent. Their key is the SHA-1 of its identifier.
pub const PUSH_PROXIES: ValueType = *b"PROX";
/// Values of push proxies themselves, for a servent that is not in the DHT.
pub const PROXY_NODE: ValueType = *b"NOPE";
/// Values of every type.
pub const ANY: ValueType = *b"****";

mod opcode {
    pub(super) const PING: u8 = 1;
    pub(super) const PONG: u8 = 2;
    pub(super) const STORE: u8 = 3;
    pub(super) const STORE_ACK: u8 = 4;
    pub(super) const FIND_NODE: u8 = 5;
    pub(super) const NODES: u8 = 6;
    pub(super) const FIND_VALUE: u8 = 7;
    pub(super) const VALUE: u8 = 8;
}

/// The sender cannot be reached, and enters no routing table.
const FIREWALLED: u8 = 1;
/// The sender ends now.
const LEAVING: u8 = 2;

/// A node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Name of the program, with its version.
    pub vendor: VendorCode,
    /// Version of the program.
    pub version: [u8; 2],
    /// Name of the node.
    pub kuid: Kuid,
    /// Its address, as somebody says.
    pub address: SocketAddrV4,
}

/// A stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The node that made it. Its address is what it says.
    pub creator: Node,
    /// Its key.
    pub key: Kuid,
    /// Type of the data.
    pub of_type: ValueType,
    /// Version of the type.
    pub version: [u8; 2],
    /// The data.
    pub data: Bytes,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Body {
    /// Whether the node is there.
    Ping,
    /// It is.
    Pong {
        /// Our address as the node sees it.
        our_address: SocketAddrV4,
        /// Number of nodes that it believes in, at most 2^64 − 1.
        network_size: u64,
    },
    /// Values to store.
    Store {
        /// Token that the node gave with [`Body::Nodes`].
        token: Bytes,
        /// The values.
        values: Vec<Value>,
    },
    /// The outcome of each value: key, name of its creator, and code. 1 is success, 13 a wrong token.
    Stored(Vec<(Kuid, Kuid, u16)>),
    /// A question for the nodes nearest to a name.
    FindNode(Kuid),
    /// The nodes nearest to it.
    Nodes {
        /// Token for values that are stored at the sender.
        token: Bytes,
        /// At most [`MAX_NODES`].
        nodes: Vec<Node>,
    },
    /// A question for values, which is answered by them or by nearer nodes.
    FindValue {
        /// Their key.
        key: Kuid,
        /// Names of their creators; none for all.
        creators: Vec<Kuid>,
        /// Their type.
        of_type: ValueType,
    },
    /// Values of a key.
    Values {
        /// How often the key is asked for, each second.
        load: f32,
        /// Some of them.
        values: Vec<Value>,
        /// Names of the creators of others, to be asked for one by one.
        creators: Vec<Kuid>,
    },
    /// A message that is not understood.
    Other(u8, Bytes),
}

/// A message of the DHT.
#[derive(Clone, Debug, PartialEq)]
pub struct DhtMessage {
    /// Identifier of the question, which the answer repeats.
    pub guid: Guid,
    /// The sender.
    pub node: Node,
    /// Number that changes when the node changes its name.
    pub instance: u8,
    /// Whether the sender enters no routing table: it cannot be reached, or ends now.
    pub is_passive: bool,
    /// What it says.
    pub body: Body,
}

impl Node {
    /// Returns us, as a node.
    pub fn ours(kuid: Kuid, address: SocketAddrV4) -> Node {
        Node { vendor: VENDOR, version: [0, 0], kuid, address }
    }

    fn decode(fields: &mut Fields) -> Result<Node, Fault> {
        let (vendor, version, kuid) = (fields.array()?, fields.array()?, fields.array()?);
        Ok(Node { vendor, version, kuid, address: address(fields)? })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_slice(&self.vendor);
        out.put_slice(&self.version);
        out.put_slice(&self.kuid);
        put_address(out, self.address);
    }
}

/// Reads an address with the length of its IP address first. Only IPv4 is in use.
fn address(fields: &mut Fields) -> Result<SocketAddrV4, Fault> {
    if fields.u8()? != 4 {
        return Err(Fault::Value(WHAT));
    }
    let ip: Ipv4Addr = fields.ip()?;
    Ok(SocketAddrV4::new(ip, fields.u16_be()?))
}

fn put_address(out: &mut Vec<u8>, address: SocketAddrV4) {
    out.push(4);
    out.put_slice(&address.ip().octets());
    out.put_u16(address.port());
}

/// Reads bytes with their length first.
fn token(fields: &mut Fields) -> Result<Bytes, Fault> {
    let length = usize::from(fields.u8()?);
    if length > MAX_TOKEN_BYTES {
        return Err(Fault::Value(WHAT));
    }
    fields.bytes(length)
}

fn put_token(out: &mut Vec<u8>, token: &Bytes) {
    let token = &token[..token.len().min(MAX_TOKEN_BYTES)];
    out.push(token.len() as u8);
    out.put_slice(token);
}

/// Reads a list with its number of items first, which may be at most `most`.
fn list<T>(fields: &mut Fields, most: usize, item: impl Fn(&mut Fields) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    let count = usize::from(fields.u8()?);
    if count > most {
        return Err(Fault::Value(WHAT));
    }
    (0..count).map(|_| item(fields)).collect()
}

/// Appends a list, cut to `most`.
fn put_list<T>(out: &mut Vec<u8>, most: usize, items: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    let items = &items[..items.len().min(most)];
    // No list is longer than a byte can say.
    out.push(items.len() as u8);
    items.iter().for_each(|item| put(out, item));
}

impl Value {
    fn decode(fields: &mut Fields) -> Result<Value, Fault> {
        let creator = Node::decode(fields)?;
        let (key, of_type, version) = (fields.array()?, fields.array()?, fields.array()?);
        let length = usize::from(fields.u16_be()?);
        if length > MAX_VALUE_BYTES {
            return Err(Fault::Value(WHAT));
        }
        Ok(Value { creator, key, of_type, version, data: fields.bytes(length)? })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.creator.encode(out);
        out.put_slice(&self.key);
        out.put_slice(&self.of_type);
        out.put_slice(&self.version);
        let data = &self.data[..self.data.len().min(MAX_VALUE_BYTES)];
        out.put_u16(data.len() as u16);
        out.put_slice(data);
    }
}

impl Body {
    fn opcode(&self) -> u8 {
        match self {
            Body::Ping => opcode::PING,
            Body::Pong { .. } => opcode::PONG,
            Body::Store { .. } => opcode::STORE,
            Body::Stored(_) => opcode::STORE_ACK,
            Body::FindNode(_) => opcode::FIND_NODE,
            Body::Nodes { .. } => opcode::NODES,
            Body::FindValue { .. } => opcode::FIND_VALUE,
            Body::Values { .. } => opcode::VALUE,
            Body::Other(opcode, _) => *opcode,
        }
    }

    fn decode(opcode: u8, mut fields: Fields) -> Result<Body, Fault> {
        let f = &mut fields;
        Ok(match opcode {
            opcode::PING => Body::Ping,
            opcode::PONG => {
                let our_address = address(f)?;
                let digits = token(f)?;
                // A number that is too large is a lie.
                let network_size = digits.iter().fold(0u64, |sum, digit| sum.saturating_mul(256) | u64::from(*digit));
                Body::Pong { our_address, network_size }
            }
            opcode::STORE => Body::Store { token: token(f)?, values: list(f, MAX_VALUES, Value::decode)? },
            opcode::STORE_ACK => Body::Stored(list(f, MAX_VALUES, |f| {
                let (key, creator, code) = (f.array()?, f.array()?, f.u16_be()?);
                let length = f.u16_be()?;
                f.bytes(length.into())?;
                Ok((key, creator, code))
            })?),
            opcode::FIND_NODE => Body::FindNode(f.array()?),
            opcode::NODES => Body::Nodes { token: token(f)?, nodes: list(f, MAX_NODES, Node::decode)? },
            opcode::FIND_VALUE => {
                let key = f.array()?;
                let creators = list(f, MAX_VALUES, Fields::array)?;
                Body::FindValue { key, creators, of_type: f.array()? }
            }
            opcode::VALUE => {
                let load = f32::from_be_bytes(f.array()?);
                let load = if load.is_finite() { load } else { 0.0 };
                let values = list(f, MAX_VALUES, Value::decode)?;
                Body::Values { load, values, creators: list(f, u8::MAX.into(), Fields::array)? }
            }
            other => Body::Other(other, fields.rest()),
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let put_kuid = |out: &mut Vec<u8>, kuid: &Kuid| out.put_slice(kuid);
        match self {
            Body::Ping => {}
            Body::Pong { our_address, network_size } => {
                put_address(out, *our_address);
                let digits = network_size.to_be_bytes();
                let zeros = (network_size.leading_zeros() / 8).min(7) as usize;
                put_token(out, &Bytes::copy_from_slice(&digits[zeros..]));
            }
            Body::Store { token, values } => {
                put_token(out, token);
                put_list(out, MAX_VALUES, values, |out, value| value.encode(out));
            }
            Body::Stored(outcomes) => put_list(out, MAX_VALUES, outcomes, |out, (key, creator, code)| {
                out.put_slice(key);
                out.put_slice(creator);
                out.put_u16(*code);
                out.put_u16(0);
            }),
            Body::FindNode(kuid) => out.put_slice(kuid),
            Body::Nodes { token, nodes } => {
                put_token(out, token);
                put_list(out, MAX_NODES, nodes, |out, node| node.encode(out));
            }
            Body::FindValue { key, creators, of_type } => {
                out.put_slice(key);
                put_list(out, MAX_VALUES, creators, put_kuid);
                out.put_slice(of_type);
            }
            Body::Values { load, values, creators } => {
                out.put_f32(*load);
                put_list(out, MAX_VALUES, values, |out, value| value.encode(out));
                put_list(out, u8::MAX.into(), creators, put_kuid);
            }
            Body::Other(_, bytes) => out.put_slice(bytes),
        }
    }
}

impl DhtMessage {
    /// Reads the payload of a frame of type [`kind::DHT`].
    ///
    /// # Errors
    /// The reason why it is malformed.
    pub fn decode(frame: &Frame) -> Result<DhtMessage, Fault> {
        if frame.header.kind != kind::DHT {
            return Err(Fault::Value(WHAT));
        }
        let mut fields = Fields::new(WHAT, &frame.payload);
        let opcode = fields.u8()?;
        let node = Node::decode(&mut fields)?;
        let (instance, flags) = (fields.u8()?, fields.u8()?);
        // Extensions of the header, of which none is known.
        let extended = fields.u16_be()?;
        fields.bytes(extended.into())?;
        let is_passive = flags & (FIREWALLED | LEAVING) != 0;
        Ok(DhtMessage { guid: frame.header.guid, node, instance, is_passive, body: Body::decode(opcode, fields)? })
    }

    /// Returns the datagram.
    ///
    /// # Errors
    /// [`Fault::LongMessage`] if it is longer than nodes accept.
    pub fn encode(&self) -> Result<Bytes, Fault> {
        let mut payload = vec![self.body.opcode()];
        self.node.encode(&mut payload);
        payload.put_slice(&[self.instance, if self.is_passive { FIREWALLED } else { 0 }, 0, 0]);
        self.body.encode(&mut payload);
        let header = Header { guid: self.guid, kind: kind::DHT, ttl: 0, hops: 0 };
        Frame { header, payload: payload.into() }.encode()
    }
}

/// A servent that has a file ([`FILE_LOCATION`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLocation {
    /// Identifier of the servent.
    pub servent: Guid,
    /// TCP port of the servent. Its address is that of the value's creator.
    pub port: u16,
    /// Length of the file, bytes.
    pub size: Option<u64>,
    /// Root of its tiger tree, as the servent claims.
    pub tiger: Option<tiger_tree::Digest>,
    /// Whether the servent needs a push.
    pub is_firewalled: bool,
    /// Whether it has only a part of the file.
    pub is_partial: bool,
}

/// Reads the extensions that are the data of a value of this type.
fn data_of(value: &Value, of_type: ValueType) -> Option<Ggep> {
    let is_one = value.of_type == of_type;
    is_one.then(|| Ggep::decode(&value.data, &mut Budget::default()).ok()).flatten().map(|(ggep, _)| ggep)
}

impl FileLocation {
    /// Reads a value. `None` if it is none of this type, or malformed.
    pub fn of(value: &Value) -> Option<FileLocation> {
        let ggep = data_of(value, FILE_LOCATION)?;
        Some(FileLocation {
            servent: Guid(ggep.exact("client-id")?),
            port: u16::from_be_bytes(ggep.exact("port")?),
            size: ggep.get("length").and_then(|bytes| short_number(bytes)),
            tiger: ggep.exact("ttroot"),
            is_firewalled: ggep.get("firewalled").is_some_and(|flag| flag.first() == Some(&1)),
            is_partial: ggep.has("avail"),
        })
    }

    /// Returns the value that says that we have all of a file.
    pub fn to_value(&self, creator: Node, sha1: sha1::Digest) -> Value {
        let mut ggep = Ggep::new()
            .with("client-id", self.servent.0.to_vec())
            .with("firewalled", vec![u8::from(self.is_firewalled)]);
        if let Some(size) = self.size {
            ggep = ggep.with("length", put_short_number(size));
        }
        ggep = ggep.with("port", self.port.to_be_bytes().to_vec());
        if let Some(tiger) = self.tiger {
            ggep = ggep.with("ttroot", tiger.to_vec());
        }
        let mut data = Vec::new();
        ggep.encode(Place::Free, &mut data);
        Value { creator, key: sha1, of_type: FILE_LOCATION, version: [0, 1], data: data.into() }
    }
}

/// Returns the identifier of a servent and its push proxies, from values of [`PUSH_PROXIES`] and
/// [`PROXY_NODE`].
pub fn push_proxies(value: &Value) -> Option<(Guid, Vec<SocketAddrV4>)> {
    if let Some(ggep) = data_of(value, PROXY_NODE) {
        let port = u16::from_be_bytes(ggep.exact("port")?);
        let proxy = SocketAddrV4::new(*value.creator.address.ip(), port);
        return Some((Guid(ggep.exact("guid")?), vec![proxy]));
    }
    let ggep = data_of(value, PUSH_PROXIES)?;
    let mut fields = Fields::new(WHAT, ggep.get("proxies")?);
    let mut proxies = Vec::new();
    while !fields.is_empty() && proxies.len() < MAX_PROXIES {
        let length = fields.u8().ok()?;
        // Addresses of IPv6 are skipped.
        if let [a, b, c, d, high, low] = fields.bytes(length.into()).ok()?[..] {
            proxies.push(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])));
        }
    }
    Some((Guid(ggep.exact("client-id")?), proxies))
}
