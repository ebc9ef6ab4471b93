//! Connections that servents make to us: to give a file after a push, and when their queue has come
//! to us. And the request to a push proxy by HTTP.

use super::Guid;
use crate::http_range::USER_AGENT;
use crate::http1::number;
use bytes::Bytes;
use std::net::SocketAddr;

/// Longest first line of such a connection, bytes.
pub const MAX_CALLBACK_BYTES: usize = 512;
/// Longest identifier of a place in a queue, characters.
pub(super) const MAX_QUEUE_ID_CHARS: usize = 64;

/// What a connection to our port begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callback {
    /// A servent comes after a push: from here on it answers our requests. Its number and name of a
    /// file mean nothing.
    Give {
        /// Identifier of the servent.
        servent: Guid,
    },
    /// Our turn in a queue has come: request the file on this connection.
    Queue {
        /// Identifier of our place in the queue.
        id: String,
        /// Address of the servent, as it says.
        servent: SocketAddr,
    },
    /// A servent wants a connection of the network.
    Handshake,
    /// Something else, as a request by HTTP.
    Other,
}

/// Reads the start of a connection to our port. Returns what it is, and the bytes to skip; `None`
/// if more bytes are needed.
pub fn callback(bytes: &[u8]) -> Option<(Callback, usize)> {
    const STARTS: [&[u8]; 4] = [b"GIV ", b"PUSH guid:", b"QUEUE ", b"GNUTELLA CONNECT/"];
    let common = |start: &&[u8]| {
        let length = bytes.len().min(start.len());
        bytes[..length] == start[..length]
    };
    if !STARTS.iter().any(common) {
        return Some((Callback::Other, 0));
    }
    if bytes.starts_with(STARTS[3]) {
        return Some((Callback::Handshake, 0));
    }
    let line_end = bytes.iter().take(MAX_CALLBACK_BYTES).position(|b| *b == b'\n');
    let Some(line_end) = line_end else {
        return (bytes.len() >= MAX_CALLBACK_BYTES).then_some((Callback::Other, 0));
    };
    let line = std::str::from_utf8(&bytes[..line_end]).unwrap_or_default().trim_end();
    let rest = &bytes[line_end + 1..];
    if line.starts_with("QUEUE ") {
        let skip = line_end + 1;
        return Some(queue(line).map_or((Callback::Other, 0), |queue| (queue, skip)));
    }
    // An empty line follows, with or without a carriage return.
    let empty = match rest {
        [b'\n', ..] => 1,
        [b'\r', b'\n', ..] => 2,
        [] | [b'\r'] => return None,
        _ => return Some((Callback::Other, 0)),
    };
    let skip = line_end + 1 + empty;
    Some(give(line).map_or((Callback::Other, 0), |servent| (Callback::Give { servent }, skip)))
}

/// Parses `GIV index:guid/name` and `PUSH guid:guid`.
fn give(line: &str) -> Option<Guid> {
    if let Some(guid) = line.strip_prefix("PUSH guid:") {
        return Guid::from_hex(guid.trim());
    }
    let (index, rest) = line.strip_prefix("GIV ")?.split_once(':')?;
    number(index.trim())?;
    Guid::from_hex(rest.split_once('/')?.0)
}

fn queue(line: &str) -> Option<Callback> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (id, address) = (words.next()?, words.next()?);
    let is_id = id.len() <= MAX_QUEUE_ID_CHARS && id.bytes().all(|b| b.is_ascii_alphanumeric());
    let servent = address.parse().ok()?;
    is_id.then(|| Callback::Queue { id: id.to_owned(), servent })
}

/// Returns the line with which we come after a push.
pub fn give_line(index: u32, servent: Guid) -> Bytes {
    format!("GIV {index}:{servent}/file\n\n").into()
}

/// Returns the request to a push proxy: to make a servent connect to our address.
pub fn push_proxy_request(proxy: SocketAddr, servent: Guid, ours: SocketAddr) -> Bytes {
    let id = servent.to_base32();
    format!(
        "GET /gnutella/push-proxy?ServerId={id} HTTP/1.1\r\nHost: {proxy}\r\nUser-Agent: {USER_AGENT}\r\n\
         X-Node: {ours}\r\n\r\n"
    )
    .into()
}

/// What a push proxy answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushProxyAnswer {
    /// It passed the push on.
    Sent,
    /// The servent is not connected to it any more.
    Gone,
    /// It understood something else, or does not pass pushes on.
    Useless,
}

impl PushProxyAnswer {
    /// Returns the meaning of the code of an answer.
    pub fn of_status(status: u16) -> PushProxyAnswer {
        match status {
            200 | 202 => PushProxyAnswer::Sent,
            404 | 410 => PushProxyAnswer::Gone,
            _ => PushProxyAnswer::Useless,
        }
    }
}
