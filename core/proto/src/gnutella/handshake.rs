//! The handshake of Gnutella 0.6: a head from each side, and a third from the side that connected.

use super::header_fields::{HeaderFields, MAX_HEAD_BYTES, address, head_bytes};
use super::{Fault, Guid};
use crate::http_range::USER_AGENT;
use crate::http1::{number, shortened};
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};

/// Most addresses that are taken from a refusal.
pub const MAX_TRIES: usize = 40;
const GREETING: &str = "GNUTELLA CONNECT/";
const ANSWER: &str = "GNUTELLA/";

/// The first line of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A request to connect.
    Connect,
    /// The answer to it, or to that answer.
    Answer {
        /// Code as in HTTP: 200 accepts.
        status: u16,
        /// The reason, for people.
        reason: String,
    },
}

/// A head of the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The first line.
    pub start: Start,
    fields: HeaderFields,
}

/// Why a servent did not take the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Code as in HTTP.
    pub status: u16,
    /// The servent's words.
    pub reason: String,
    /// Other servents, to try instead. They are what the servent says.
    pub others: Vec<SocketAddr>,
}

/// What a servent's answer means to a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It takes the connection: send this, then messages.
    Accepted {
        /// The third head.
        confirmation: Bytes,
        /// Whether what the servent sends is compressed. What we send is not.
        is_deflated: bool,
    },
    /// It takes the connection, but is a leaf itself: close it.
    NoUltrapeer,
    /// It does not.
    Refused(Refusal),
}

impl Handshake {
    /// Parses the head at the start of a connection's bytes. Returns it with its length; `None` if
    /// more bytes are needed.
    ///
    /// # Errors
    /// The reason why it is none.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Handshake, usize)>, Fault> {
        let length = ANSWER.len() - 1;
        let begins = bytes.len().min(length);
        if bytes[..begins] != ANSWER.as_bytes()[..begins] {
            return Err(Fault::Head);
        }
        let Some(length) = head_bytes(bytes) else {
            let is_too_long = bytes.len() >= MAX_HEAD_BYTES;
            return if is_too_long { Err(Fault::LongHead(MAX_HEAD_BYTES)) } else { Ok(None) };
        };
        let (first, fields) = HeaderFields::parse(&bytes[..length]).ok_or(Fault::LongHead(MAX_HEAD_BYTES))?;
        let start = start(&first).ok_or(Fault::Head)?;
        Ok(Some((Handshake { start, fields }, length)))
    }

    /// Returns the name of the program.
    pub fn user_agent(&self) -> Option<String> {
        self.fields.text("User-Agent")
    }

    /// Whether the servent says that it is an ultrapeer; `None` if it does not say it.
    pub fn is_ultrapeer(&self) -> Option<bool> {
        self.fields.truth("X-Ultrapeer")
    }

    /// Whether the servent reads compressed messages.
    pub fn accepts_deflate(&self) -> bool {
        self.fields.has_item("Accept-Encoding", "deflate")
    }

    /// Whether the servent sends compressed messages from here on.
    pub fn sends_deflate(&self) -> bool {
        self.fields.has_item("Content-Encoding", "deflate")
    }

    /// Returns the identifier of the servent.
    pub fn servent(&self) -> Option<Guid> {
        self.fields.get("GUID").and_then(Guid::from_hex)
    }

    /// Returns our address as the servent sees it.
    pub fn our_ip(&self) -> Option<IpAddr> {
        self.fields.get("Remote-IP")?.parse().ok()
    }

    /// Returns the address at which the servent says that it listens.
    pub fn listens_at(&self) -> Option<SocketAddr> {
        self.fields.all(&["Listen-IP", "Node", "X-My-Address"]).find_map(address)
    }

    /// Returns other servents to try, at most [`MAX_TRIES`].
    pub fn others(&self) -> Vec<SocketAddr> {
        // A list may have notes after an address, separated by blanks.
        let items = self.fields.items(&["X-Try-Ultrapeers", "X-Try"]);
        items.filter_map(|item| address(item.split_ascii_whitespace().next()?)).take(MAX_TRIES).collect()
    }

    /// Returns what this answer means to a leaf that connected.
    pub fn outcome(&self) -> Outcome {
        match &self.start {
            Start::Answer { status: 200, .. } if self.is_ultrapeer() == Some(true) => {
                let confirmation = Bytes::from_static(b"GNUTELLA/0.6 200 OK\r\n\r\n");
                Outcome::Accepted { confirmation, is_deflated: self.sends_deflate() }
            }
            Start::Answer { status: 200, .. } => Outcome::NoUltrapeer,
            Start::Answer { status, reason } => {
                Outcome::Refused(Refusal { status: *status, reason: reason.clone(), others: self.others() })
            }
            // A greeting is no answer.
            Start::Connect => Outcome::NoUltrapeer,
        }
    }
}

/// Parses the first line. The minor version is not compared: later ones answer this one.
fn start(line: &str) -> Option<Start> {
    let is_version = |text: &str| text.starts_with("0.") && text.len() <= 8;
    if let Some(version) = line.strip_prefix(GREETING) {
        return is_version(version.trim()).then_some(Start::Connect);
    }
    let (version, rest) = line.strip_prefix(ANSWER)?.split_once(' ')?;
    let (status, reason) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
    let status = number(status).and_then(|status| u16::try_from(status).ok());
    let status = status.filter(|status| is_version(version) && (100..1000).contains(status))?;
    Some(Start::Answer { status, reason: shortened(reason) })
}

/// Returns the head with which a leaf connects. Other families of servents refuse a leaf that lacks
/// one of its fields, and all refuse one that does not take compressed messages.
pub fn leaf_greeting(ours: Option<SocketAddr>, theirs: SocketAddr, servent: Guid) -> Bytes {
    let listen = ours.map(|ours| format!("Listen-IP: {ours}\r\n")).unwrap_or_default();
    let remote = theirs.ip();
    format!(
        "GNUTELLA CONNECT/0.6\r\nUser-Agent: {USER_AGENT}\r\nX-Ultrapeer: False\r\nX-Query-Routing: 0.2\r\n\
         X-Ultrapeer-Query-Routing: 0.1\r\nX-Dynamic-Querying: 0.1\r\nX-Degree: 32\r\nX-Max-TTL: 4\r\n\
         X-Requeries: False\r\nGGEP: 0.5\r\nVendor-Message: 0.2\r\nPong-Caching: 0.1\r\nBye-Packet: 0.1\r\n\
         Accept-Encoding: deflate\r\n{listen}Remote-IP: {remote}\r\nX-Ext-Probes: 0.1\r\nGUID: {servent}\r\n\r\n"
    )
    .into()
}

/// Returns the answer to a servent that connects to us: leaves take no connections.
pub fn leaf_refusal(theirs: SocketAddr) -> Bytes {
    let remote = theirs.ip();
    format!("GNUTELLA/0.6 204 Shielded leaf node\r\nUser-Agent: {USER_AGENT}\r\nRemote-IP: {remote}\r\nX-Ultrapeer: False\r\n\r\n")
        .into()
}
