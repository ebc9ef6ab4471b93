//! Vendor messages: what servents agreed on after the first drafts.

use super::fields::{Fields, put_address};
use super::ggep::{Budget, Place};
use super::head_ping::{HeadPing, HeadPong};
use super::ping::VendorCode;
use super::{Fault, Ggep};
use bytes::{BufMut, Bytes};
use std::net::SocketAddrV4;

/// Longest token of a claim, bytes.
pub const MAX_TOKEN_BYTES: usize = 64;
/// Number of results with which a leaf ends its query ([`VendorMessage::QueryStatus`]).
pub const STOP_QUERY: u16 = u16::MAX;
/// Name of messages that all understand.
const COMMON: VendorCode = [0; 4];

/// Name, number and version of a vendor message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    /// Who defined it.
    pub vendor: VendorCode,
    /// Its number.
    pub number: u16,
    /// Its version.
    pub version: u16,
}

const fn id(vendor: &VendorCode, number: u16, version: u16) -> Id {
    Id { vendor: *vendor, number, version }
}

const SUPPORTED: Id = id(&COMMON, 0, 0);
const FEATURES: Id = id(&COMMON, 10, 0);
const HOPS_FLOW: Id = id(b"BEAR", 4, 1);
const CONNECT_BACK: Id = id(b"BEAR", 7, 1);
const STATUS_REQUEST: Id = id(b"BEAR", 11, 1);
const STATUS: Id = id(b"BEAR", 12, 1);
const UDP_CONNECT_BACK: Id = id(b"GTKG", 7, 2);
const CLAIM_2: Id = id(b"LIME", 11, 2);
const CLAIM_3: Id = id(b"LIME", 11, 3);
const OOB_1: Id = id(b"LIME", 12, 1);
const OOB_2: Id = id(b"LIME", 12, 2);
const OOB_3: Id = id(b"LIME", 12, 3);
const PROXY_REQUEST: Id = id(b"LIME", 21, 1);
const PROXY_ACK: Id = id(b"LIME", 22, 2);
const HEAD_PING_1: Id = id(b"LIME", 23, 1);
const HEAD_PING_2: Id = id(b"LIME", 23, 2);
const HEAD_PONG_1: Id = id(b"LIME", 24, 1);
const HEAD_PONG_2: Id = id(b"LIME", 24, 2);

/// The messages that we understand, to be announced after the handshake.
pub const OURS: [Id; 12] = [
    HOPS_FLOW,
    STATUS_REQUEST,
    STATUS,
    CLAIM_3,
    OOB_2,
    OOB_3,
    PROXY_REQUEST,
    PROXY_ACK,
    HEAD_PING_1,
    HEAD_PING_2,
    HEAD_PONG_1,
    HEAD_PONG_2,
];

/// A feature of a servent, which is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Feature {
    /// Its name.
    pub name: [u8; 4],
    /// Its version.
    pub version: [u8; 2],
}

/// A vendor message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VendorMessage {
    /// Messages that the sender understands (null/0v0).
    Supported(Vec<Id>),
    /// Features of the sender (null/10v0).
    Features(Vec<Feature>),
    /// The sender wants no queries that made more hops (BEAR/4v1). 0: it wants none.
    HopsFlow(u8),
    /// A request to connect to this TCP port, to show that it can be reached (BEAR/7v1).
    ConnectBack(u16),
    /// A request to send a ping to this UDP port (GTKG/7v2).
    UdpConnectBack(u16),
    /// A question how many results a query has so far (BEAR/11v1). The identifier is the query's.
    QueryStatusRequest,
    /// The number of results of a query so far (BEAR/12v1), or [`STOP_QUERY`].
    QueryStatus(u16),
    /// The sender has hits for a query, and sends them by UDP when they are claimed (LIME/12).
    OobIndication {
        /// Version of the message: 1, 2 or 3. From 3 on, a claim has a token.
        version: u16,
        /// Number of the results; 255 stands for more.
        hits: u8,
        /// Whether the sender can be reached by UDP from hosts that it did not ask; version 1 does
        /// not say it.
        is_reachable: bool,
    },
    /// A claim of hits (LIME/11).
    OobClaim {
        /// Number of results that are wanted.
        hits: u8,
        /// Token that the hits must have (version 3).
        token: Option<Bytes>,
    },
    /// A request of a leaf that cannot be reached: to pass pushes on (LIME/21v1). The identifier of
    /// the message is that of the servent, else it is ignored.
    PushProxyRequest,
    /// The sender passes pushes on, and can be reached at this address (LIME/22v2).
    PushProxyAck(SocketAddrV4),
    /// A question about a file (LIME/23).
    HeadPing(HeadPing),
    /// The answer to it (LIME/24).
    HeadPong(HeadPong),
    /// Another one.
    Other {
        /// Its name.
        id: Id,
        /// Its content.
        payload: Bytes,
    },
}

impl VendorMessage {
    pub(super) fn decode(payload: &Bytes) -> Result<VendorMessage, Fault> {
        let mut fields = Fields::new("vendor message", payload);
        let id = Id { vendor: fields.array()?, number: fields.u16_le()?, version: fields.u16_le()? };
        Ok(match id {
            SUPPORTED => VendorMessage::Supported(list(&mut fields, |f| {
                Ok(Id { vendor: f.array()?, number: f.u16_le()?, version: f.u16_le()? })
            })?),
            FEATURES => {
                VendorMessage::Features(list(&mut fields, |f| Ok(Feature { name: f.array()?, version: f.array()? }))?)
            }
            HOPS_FLOW => VendorMessage::HopsFlow(fields.u8()?),
            CONNECT_BACK => VendorMessage::ConnectBack(fields.u16_le()?),
            UDP_CONNECT_BACK => VendorMessage::UdpConnectBack(fields.u16_le()?),
            STATUS_REQUEST => VendorMessage::QueryStatusRequest,
            STATUS => VendorMessage::QueryStatus(fields.u16_le()?),
            OOB_1 => VendorMessage::OobIndication { version: 1, hits: fields.u8()?, is_reachable: false },
            OOB_2 | OOB_3 => VendorMessage::OobIndication {
                version: id.version,
                hits: fields.u8()?,
                is_reachable: fields.u8()? & 1 != 0,
            },
            CLAIM_2 => VendorMessage::OobClaim { hits: fields.u8()?, token: None },
            CLAIM_3 => {
                let hits = fields.u8()?;
                let (ggep, _) = Ggep::decode(&fields.rest(), &mut Budget::default())?;
                let token = ggep.get("SO").filter(|token| (1..=MAX_TOKEN_BYTES).contains(&token.len()));
                let token = token.ok_or(Fault::Value("claim of hits"))?;
                VendorMessage::OobClaim { hits, token: Some(token.clone()) }
            }
            PROXY_REQUEST => VendorMessage::PushProxyRequest,
            PROXY_ACK => {
                let ip = fields.ip()?;
                VendorMessage::PushProxyAck(SocketAddrV4::new(ip, fields.u16_le()?))
            }
            HEAD_PING_1 | HEAD_PING_2 => VendorMessage::HeadPing(HeadPing::decode(id.version, fields)?),
            HEAD_PONG_1 => VendorMessage::HeadPong(HeadPong::decode_v1(fields)?),
            HEAD_PONG_2 => VendorMessage::HeadPong(HeadPong::decode_v2(&fields.rest())?),
            _ => VendorMessage::Other { id, payload: fields.rest() },
        })
    }

    /// Returns the name of the message.
    pub fn id(&self) -> Id {
        match self {
            VendorMessage::Supported(_) => SUPPORTED,
            VendorMessage::Features(_) => FEATURES,
            VendorMessage::HopsFlow(_) => HOPS_FLOW,
            VendorMessage::ConnectBack(_) => CONNECT_BACK,
            VendorMessage::UdpConnectBack(_) => UDP_CONNECT_BACK,
            VendorMessage::QueryStatusRequest => STATUS_REQUEST,
            VendorMessage::QueryStatus(_) => STATUS,
            VendorMessage::OobIndication { version, .. } => Id { version: (*version).clamp(1, 3), ..OOB_1 },
            VendorMessage::OobClaim { token: None, .. } => CLAIM_2,
            VendorMessage::OobClaim { token: Some(_), .. } => CLAIM_3,
            VendorMessage::PushProxyRequest => PROXY_REQUEST,
            VendorMessage::PushProxyAck(_) => PROXY_ACK,
            VendorMessage::HeadPing(ping) => Id { version: ping.version.clamp(1, 2), ..HEAD_PING_1 },
            VendorMessage::HeadPong(pong) => Id { version: pong.version.clamp(1, 2), ..HEAD_PONG_1 },
            VendorMessage::Other { id, .. } => *id,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_id(out, &self.id());
        match self {
            VendorMessage::Supported(ids) => {
                put_count(out, ids.len());
                ids.iter().take(u16::MAX.into()).for_each(|id| put_id(out, id));
            }
            VendorMessage::Features(features) => {
                put_count(out, features.len());
                for feature in features.iter().take(u16::MAX.into()) {
                    out.put_slice(&feature.name);
                    out.put_slice(&feature.version);
                }
            }
            VendorMessage::HopsFlow(hops) => out.push(*hops),
            VendorMessage::ConnectBack(number)
            | VendorMessage::UdpConnectBack(number)
            | VendorMessage::QueryStatus(number) => out.put_u16_le(*number),
            VendorMessage::QueryStatusRequest | VendorMessage::PushProxyRequest => {}
            VendorMessage::OobIndication { version, hits, is_reachable } => {
                out.push(*hits);
                if *version > 1 {
                    out.push(u8::from(*is_reachable));
                }
            }
            VendorMessage::OobClaim { hits, token } => {
                out.push(*hits);
                if let Some(token) = token {
                    Ggep::new().with("SO", token.clone()).encode(Place::AmongTexts, out);
                }
            }
            VendorMessage::PushProxyAck(address) => put_address(out, *address),
            VendorMessage::HeadPing(ping) => ping.encode(out),
            VendorMessage::HeadPong(pong) => pong.encode(out),
            VendorMessage::Other { payload, .. } => out.put_slice(payload),
        }
    }
}

/// Reads a list with its number of items first.
fn list<T>(fields: &mut Fields, item: impl Fn(&mut Fields) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    let count = fields.u16_le()?;
    (0..count).map(|_| item(fields)).collect()
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.put_u16_le(u16::try_from(count).unwrap_or(u16::MAX));
}

fn put_id(out: &mut Vec<u8>, id: &Id) {
    out.put_slice(&id.vendor);
    out.put_u16_le(id.number);
    out.put_u16_le(id.version);
}
