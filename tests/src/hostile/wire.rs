//! The peer protocol (BEP 3, 6, 9, 10) for hostile peers: it can send any bytes and checks little
//! of what it receives. The implementation is our own on purpose, since the product's would not let
//! a peer misbehave.

use crate::bencode::Ben;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The beginning of every handshake: `19` and the protocol's name.
const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";
/// Longest accepted message in bytes, more than any honest one.
const LONGEST: usize = 1 << 20;

/// Message numbers.
#[allow(missing_docs)] // they are the names of the BEPs
pub mod id {
    pub const CHOKE: u8 = 0;
    pub const UNCHOKE: u8 = 1;
    pub const INTERESTED: u8 = 2;
    pub const NOT_INTERESTED: u8 = 3;
    pub const HAVE: u8 = 4;
    pub const BITFIELD: u8 = 5;
    pub const REQUEST: u8 = 6;
    pub const PIECE: u8 = 7;
    pub const CANCEL: u8 = 8;
    pub const REJECT: u8 = 16;
    pub const EXTENDED: u8 = 20;
}

/// A message: its number and its payload. `None` stands for a keep-alive.
pub type Message = Option<(u8, Vec<u8>)>;

/// A connection after its handshake.
pub struct Wire {
    /// The connection itself, for sending arbitrary bytes.
    pub stream: TcpStream,
    /// The torrent that the other side or we named.
    pub info_hash: [u8; 20],
    /// Whether both sides support BEP 6.
    pub fast: bool,
    /// Whether the other side supports BEP 10.
    pub extended: bool,
}

/// Returns a handshake's 68 bytes, with FAST and the extension protocol.
pub fn handshake(info_hash: &[u8; 20], peer_id: &[u8; 20]) -> Vec<u8> {
    let reserved = [0, 0, 0, 0, 0, 0x10, 0, 0x04];
    [&PROTOCOL[..], &reserved, info_hash, peer_id].concat()
}

/// Returns a peer id that resembles no real client.
pub fn peer_id(seed: u64) -> [u8; 20] {
    let mut id = *b"-XX0001-000000000000";
    id[8..].copy_from_slice(format!("{:012x}", crate::content::mix(seed) >> 16).as_bytes());
    id
}

impl Wire {
    /// Answers a peer that dialled us, with its own info-hash or with `other`.
    pub fn accept(stream: TcpStream, seed: u64, other: Option<[u8; 20]>) -> io::Result<Wire> {
        Self::prepare(&stream)?;
        let (info_hash, reserved) = Self::read_handshake(&stream)?;
        (&stream).write_all(&handshake(&other.unwrap_or(info_hash), &peer_id(seed)))?;
        Ok(Self::ready(stream, info_hash, reserved))
    }

    /// Sends the handshake to a peer that we dialled.
    pub fn greet(stream: TcpStream, seed: u64, info_hash: [u8; 20]) -> io::Result<Wire> {
        Self::prepare(&stream)?;
        (&stream).write_all(&handshake(&info_hash, &peer_id(seed)))?;
        let (_, reserved) = Self::read_handshake(&stream)?;
        Ok(Self::ready(stream, info_hash, reserved))
    }

    fn prepare(stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        stream.set_write_timeout(Some(Duration::from_secs(120)))
    }

    fn read_handshake(mut stream: &TcpStream) -> io::Result<([u8; 20], [u8; 8])> {
        let mut bytes = [0; 68];
        stream.read_exact(&mut bytes)?;
        if &bytes[..20] != PROTOCOL {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no BitTorrent handshake"));
        }
        Ok((bytes[28..48].try_into().expect("20 bytes"), bytes[20..28].try_into().expect("8 bytes")))
    }

    fn ready(stream: TcpStream, info_hash: [u8; 20], reserved: [u8; 8]) -> Wire {
        Wire { stream, info_hash, fast: reserved[7] & 4 != 0, extended: reserved[5] & 0x10 != 0 }
    }

    /// Sends a message.
    pub fn send(&self, number: u8, payload: &[u8]) -> io::Result<()> {
        let length = (payload.len() as u32 + 1).to_be_bytes();
        (&self.stream).write_all(&[&length[..], &[number], payload].concat())
    }

    /// Sends three numbers, as in REQUEST, CANCEL and REJECT.
    pub fn send_block(&self, number: u8, piece: u32, begin: u32, length: u32) -> io::Result<()> {
        self.send(number, &[piece, begin, length].map(u32::to_be_bytes).concat())
    }

    /// Sends an extended message (BEP 10).
    pub fn send_extended(&self, number: u8, header: &Ben, data: &[u8]) -> io::Result<()> {
        self.send(id::EXTENDED, &[&[number], &header.encode()[..], data].concat())
    }

    /// Waits for a message.
    pub fn receive(&self) -> io::Result<Message> {
        let mut stream = &self.stream;
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length == 0 {
            return Ok(None);
        }
        if length > LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an oversized message"));
        }
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes)?;
        Ok(Some((bytes[0], bytes.split_off(1))))
    }
}

/// Parses piece, begin and length of a REQUEST or CANCEL.
pub fn block_of(payload: &[u8]) -> Option<(u32, u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(payload.get(at..at + 4)?.try_into().ok()?));
    Some((number(0)?, number(4)?, number(8)?))
}
