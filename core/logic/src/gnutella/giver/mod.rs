//! Giving back: how requests of servents for a file that we play are answered.
//!
//! Only verified bytes of files that a hash names are given. Each file is asked for by its hash:
//! names, numbers and lists of files are never given. The driver reads requests, sends heads and
//! bodies, and closes connections that are idle or too slow.

mod slots;
#[cfg(test)]
mod tests;

pub use slots::ConnectionKey;

use super::addresses::may_use;
use crate::Time;
use playswarm_proto::FileHashes;
use playswarm_proto::address_class::AddressClass;
use playswarm_proto::gnutella::{BadRequest, FileRequest, ServentFields, Target, TreePlace};
use slots::{Entry, Slots};
use std::fmt::Write;
use std::net::{SocketAddr, SocketAddrV4};
use std::ops::Range;

/// Most other sources that are named in an answer.
const MAX_ALTERNATES: usize = 10;
/// Wait that is asked of a client that cannot wait in the queue, seconds.
const RETRY_S: u64 = 60;

/// What is shared of a file.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Hashes that name it. Servents know only files with a SHA-1.
    pub hashes: FileHashes,
    /// Length of the file, bytes.
    pub size: u64,
    /// The bytes that were verified against what the user's link names, in order and apart from each
    /// other. A tree that a server merely claims proves nothing to others.
    pub verified: Vec<Range<u64>>,
    /// Whether its tiger tree is here.
    pub has_tree: bool,
    /// Sources that gave us a verified slice.
    pub sources: Vec<SocketAddr>,
}

impl Part {
    fn is_whole(&self) -> bool {
        self.verified.first().is_some_and(|range| *range == (0..self.size))
    }

    /// Returns the first verified bytes in a range.
    fn first_in(&self, wanted: &Range<u64>) -> Option<Range<u64>> {
        let cut = |range: &Range<u64>| range.start.max(wanted.start)..range.end.min(wanted.end);
        self.verified.iter().map(cut).find(|range| !range.is_empty())
    }
}

/// What follows a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    None,
    /// These bytes of the file with these hashes.
    Bytes(FileHashes, Range<u64>),
    /// The tree of the file with these hashes in DIME. Its length is still missing in the head:
    /// the driver adds `Content-Length` and the empty line.
    Tree(FileHashes),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The head, with its empty line, but for a tree.
    pub head: String,
    /// What follows.
    pub body: Body,
    /// Whether another request may follow.
    pub keeps: bool,
    /// Other sources of the file that the client names. They are claims.
    pub named: Vec<SocketAddr>,
}

/// The upload side; see the [module](self).
#[derive(Debug, Default)]
pub struct Giver {
    slots: Slots,
    reachable: Option<SocketAddrV4>,
}

impl Giver {
    /// Sets our address as strangers can reach it.
    pub fn set_reachable(&mut self, address: Option<SocketAddrV4>) {
        self.reachable = address;
    }

    /// Notes that a connection has ended. Its slot is free.
    pub fn closed(&mut self, connection: ConnectionKey) {
        self.slots.closed(connection);
    }

    /// Answers the head of a request. `shared` returns what is shared of the file with a hash.
    pub fn answer(
        &mut self,
        now: Time,
        connection: ConnectionKey,
        from: SocketAddr,
        head: &[u8],
        shared: impl Fn(&FileHashes) -> Option<Part>,
    ) -> Answer {
        let request = match FileRequest::parse(head) {
            Ok(request) => request,
            Err(why) => return refusal(why),
        };
        let part = |hashes: &FileHashes| shared(hashes).filter(|part| part.hashes.sha1.is_some());
        match &request.target {
            Some(Target::File(hashes)) => match part(hashes) {
                Some(part) => self.file(now, connection, from, &request, &part),
                None => not_found(),
            },
            Some(Target::Tree(hashes)) => match part(hashes).filter(|part| part.has_tree) {
                Some(part) => tree(&request, &part),
                None => not_found(),
            },
            Some(Target::Index { .. }) | None => not_found(),
        }
    }

    fn file(
        &mut self,
        now: Time,
        connection: ConnectionKey,
        from: SocketAddr,
        request: &FileRequest,
        part: &Part,
    ) -> Answer {
        let class = AddressClass::of(from.ip());
        let mut named = request.fields.alternates.clone();
        named.extend(request.fields.node);
        named.retain(|address| may_use(*address, class, self.reachable));
        let wanted = match request.bytes {
            Some(bytes) => bytes.of(part.size),
            None if part.is_whole() => Some(0..part.size),
            None => None,
        };
        let range = wanted.as_ref().and_then(|wanted| part.first_in(wanted));
        let fields = self.fields(from, part);
        let Some(range) = range else {
            let beyond = request.bytes.is_some() && wanted.is_none();
            let mut head =
                start(if beyond { "416 Range Not Satisfiable" } else { "416 Requested Range Not Available Yet" });
            if beyond {
                let _ = write!(head, "Content-Range: bytes */{}\r\n", part.size);
            }
            return Answer { named, ..finish(head, &fields, Body::None, 0, request.keeps) };
        };
        if !request.is_head
            && let Some(entry) = self.slots.enter(now, connection, from.ip(), request.has_queue)
        {
            return Answer { named, ..busy(entry, fields, request) };
        }
        let length = range.end - range.start;
        let mut head = match request.bytes {
            Some(_) => start("206 Partial Content"),
            None => start("200 OK"),
        };
        if request.bytes.is_some() {
            let _ = write!(head, "Content-Range: bytes {}-{}/{}\r\n", range.start, range.end - 1, part.size);
        }
        head.push_str("Content-Type: application/octet-stream\r\nAccept-Ranges: bytes\r\n");
        let body = if request.is_head { Body::None } else { Body::Bytes(part.hashes, range) };
        Answer { named, ..finish(head, &fields, body, length, request.keeps) }
    }

    /// Returns the fields of answers about a file.
    fn fields(&self, client: SocketAddr, part: &Part) -> ServentFields {
        let mut fields = ServentFields::default();
        fields.node = self.reachable.map(SocketAddr::V4);
        fields.content.sha1 = part.hashes.sha1;
        let path = Target::Tree(part.hashes).path().filter(|_| part.has_tree);
        fields.tree = path.map(|path| TreePlace { path, root: part.hashes.tiger });
        fields.available = (!part.is_whole()).then(|| part.verified.clone());
        let others = part.sources.iter().filter(|source| source.ip() != client.ip());
        fields.alternates = others.take(MAX_ALTERNATES).copied().collect();
        fields
    }
}

fn start(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nServer: playswarm/{}\r\n", env!("CARGO_PKG_VERSION"))
}

/// Ends a head. `length` is that of the body, also if it is not sent.
fn finish(mut head: String, fields: &ServentFields, body: Body, length: u64, keeps: bool) -> Answer {
    head.push_str(&fields.to_lines());
    let connection = if keeps { "Keep-Alive" } else { "close" };
    let _ = write!(head, "X-Features: queue/0.1\r\nConnection: {connection}\r\nContent-Length: {length}\r\n\r\n");
    Answer { head, body, keeps, named: Vec::new() }
}

/// Refuses what is no request for a file. The connection ends, so that questions cost as much as
/// connections, which the listener bounds.
fn refusal(why: BadRequest) -> Answer {
    finish(start(&why.to_string()), &ServentFields::default(), Body::None, 0, false)
}

fn not_found() -> Answer {
    finish(start("404 Not Found"), &ServentFields::default(), Body::None, 0, false)
}

/// Lets a client wait: in the queue on its connection, or for a minute.
fn busy(entry: Entry, mut fields: ServentFields, request: &FileRequest) -> Answer {
    let mut head = start("503 Service Unavailable");
    if let Entry::Waiting { position, length } = entry {
        let _ = write!(
            head,
            "X-Queue: position={position},length={length},limit={},pollMin={},pollMax={}\r\n",
            slots::SLOTS,
            slots::POLL_MIN_S,
            slots::POLL_MAX_S
        );
    }
    let waits = matches!(entry, Entry::Waiting { .. });
    fields.retry_after_s = Some(if waits { slots::POLL_MIN_S } else { RETRY_S });
    finish(head, &fields, Body::None, 0, request.keeps && waits)
}

/// Gives the tree of a file, which needs no slot: it is short, and proves what others give.
fn tree(request: &FileRequest, part: &Part) -> Answer {
    let connection = if request.keeps { "Keep-Alive" } else { "close" };
    let mut head = start("200 OK");
    let _ = write!(head, "Content-Type: application/dime\r\nConnection: {connection}\r\n");
    Answer { head, body: Body::Tree(part.hashes), keeps: request.keeps, named: Vec::new() }
}
