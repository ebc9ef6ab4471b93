//! Recorded conversations, see `fixtures/README.md`.

use super::super::*;
use bytes::Bytes;
use data_encoding::HEXLOWER;

/// A conversation with a real servent.
pub(super) struct Recording {
    pub(super) name: &'static str,
    /// What the servent sent, and what we sent, over a connection.
    pub(super) theirs: Vec<u8>,
    pub(super) ours: Vec<u8>,
    /// Datagrams, each with whether it is theirs.
    pub(super) datagrams: Vec<(bool, Bytes)>,
    /// Number of messages that the comments describe: theirs, and ours.
    pub(super) described: (usize, usize),
    /// Messages of compressed connections, as the recorder inflated them.
    pub(super) inflated: Vec<Bytes>,
}

fn unhex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.trim().as_bytes()).unwrap()
}

impl Recording {
    pub(super) fn parse(name: &'static str, text: &str) -> Recording {
        let (theirs, ours, datagrams, inflated) = Default::default();
        let mut recording = Recording { name, theirs, ours, datagrams, described: (0, 0), inflated };
        let mut is_datagram = false;
        for line in text.lines() {
            recording.described.0 += usize::from(line.contains("  got: "));
            recording.described.1 += usize::from(line.contains("  we send: ") || line.contains("we send (deflated"));
            is_datagram |= line.starts_with("# from ") || line.starts_with("# to ");
            if let Some(hex) = line.strip_prefix("#   inflated: ") {
                recording.inflated.push(unhex(hex).into());
            }
            let (is_theirs, hex) = match (line.strip_prefix("< "), line.strip_prefix("> ")) {
                (Some(hex), _) => (true, hex),
                (_, Some(hex)) => (false, hex),
                _ => continue,
            };
            let bytes = unhex(hex);
            match (is_datagram, is_theirs) {
                (true, _) => recording.datagrams.push((is_theirs, bytes.into())),
                (false, true) => recording.theirs.extend(bytes),
                (false, false) => recording.ours.extend(bytes),
            }
            is_datagram = false;
        }
        recording
    }

    /// Returns the frames of a side, over the connection and then in datagrams. The connection is
    /// cut into pieces of this length.
    pub(super) fn frames(&self, theirs: bool, cut: usize) -> Vec<Frame> {
        let (heads, rest) = without_heads(if theirs { &self.theirs } else { &self.ours });
        let mut reader = Reader::new(heads.contains("Content-Encoding: deflate"));
        let mut frames = Vec::new();
        for bytes in rest.chunks(cut) {
            reader.feed(bytes);
            while let Some(frame) = reader.next_frame().unwrap() {
                frames.push(frame);
            }
        }
        let of_side = self.datagrams.iter().filter(|(is_theirs, _)| *is_theirs == theirs);
        frames.extend(of_side.map(|(_, datagram)| Frame::from_datagram(datagram).unwrap()));
        frames
    }

    /// Returns the messages of a side.
    pub(super) fn messages(&self, theirs: bool) -> Vec<Message> {
        let decode = |frame: &Frame| Message::decode(frame).unwrap_or_else(|e| panic!("{}: {e}: {frame:?}", self.name));
        self.frames(theirs, usize::MAX).iter().map(decode).collect()
    }
}

/// Splits the heads of the handshake from what follows them.
pub(super) fn without_heads(bytes: &[u8]) -> (String, &[u8]) {
    let mut end = 0;
    while bytes[end..].starts_with(b"GNUTELLA") {
        end += bytes[end..].windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    }
    (String::from_utf8(bytes[..end].to_vec()).unwrap(), &bytes[end..])
}

macro_rules! recordings {
    ($($name:ident: $file:literal,)*) => {
        $(pub(super) fn $name() -> Recording {
            Recording::parse($file, include_str!(concat!("../fixtures/", $file, ".txt")))
        })*
        /// Returns all conversations that are messages after a handshake, or datagrams.
        pub(super) fn all() -> Vec<Recording> {
            vec![$($name()),*]
        }
    };
}

recordings! {
    leaf_deflate: "01b-handshake-leaf-deflate",
    deflate_both_ways: "01d-handshake-leaf-deflate-both-ways",
    leaf_connects_to_us: "01e-servent-leaf-connects-to-us",
    first_messages: "02-leaf-first-messages",
    query_keywords: "03a-query-keywords",
    query_and_urn: "03b-query-keywords-and-urn",
    query_many: "03d-query-many-deflated",
    query_received: "03e-query-received-by-leaf",
    query_answered: "03e2-query-answered-by-leaf",
    out_of_band: "03f-query-oob",
    guess: "03g-guess",
    head_ping: "08a-head-ping-udp",
    partial_head_ping: "09b-partial-head-ping",
    partial_query: "09c-partial-query",
    push: "12a-push-through-ultrapeer",
    push_udp: "12c-push-udp",
    host_cache: "13-uhc-ping-udp",
    bye: "14e-bye-patch-without-reset",
    unanswered_pings: "14g-bye-unanswered-pings",
}
