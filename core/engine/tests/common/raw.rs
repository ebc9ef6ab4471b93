//! A peer that sends and receives single messages on one connection.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// The reserved bytes of a peer that supports BEP 3 alone.
pub const PLAIN: [u8; 8] = [0; 8];
/// With BEP 6.
pub const FAST: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 4];
/// With BEP 6 and BEP 10.
pub const EXTENDED: [u8; 8] = [0, 0, 0, 0, 0, 0x10, 0, 4];

/// A connection of the peer.
pub struct Raw(pub TcpStream);

impl Raw {
    /// Performs the handshake with BEP 3 and BEP 6.
    pub async fn shake(socket: TcpStream, info_hash: [u8; 20], id: u8) -> Raw {
        Raw::shake_as(socket, info_hash, id, FAST).await
    }

    /// Performs the handshake with these reserved bytes.
    pub async fn shake_as(mut socket: TcpStream, info_hash: [u8; 20], id: u8, reserved: [u8; 8]) -> Raw {
        let hello = [&b"\x13BitTorrent protocol"[..], &reserved, &info_hash, &[id; 20]].concat();
        socket.write_all(&hello).await.unwrap();
        let mut theirs = [0; 68];
        socket.read_exact(&mut theirs).await.unwrap();
        assert_eq!(theirs[28..48], info_hash);
        Raw(socket)
    }

    /// Dials and performs the handshake.
    pub async fn dial(addr: SocketAddr, info_hash: [u8; 20], id: u8, reserved: [u8; 8]) -> Raw {
        Raw::shake_as(TcpStream::connect(addr).await.unwrap(), info_hash, id, reserved).await
    }

    /// Sends a message. Write errors are ignored, as `hear` finds a closed connection.
    pub async fn say(&mut self, id: u8, body: &[u8]) {
        let _ = self.0.write_all(&message(id, body)).await;
    }

    /// Returns the next message, without keep-alives. `None` at the end.
    pub async fn hear(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let length = self.0.read_u32().await.ok()?;
            if length > 0 {
                let mut body = vec![0; length as usize];
                self.0.read_exact(&mut body).await.ok()?;
                return Some((body[0], body[1..].to_vec()));
            }
        }
    }

    /// Receives messages until one of this kind comes, and returns its body.
    pub async fn hear_of(&mut self, id: u8) -> Vec<u8> {
        loop {
            let (heard, body) = self.hear().await.expect("the connection goes on");
            if heard == id {
                return body;
            }
        }
    }

    /// Dials from this address of the machine and performs the handshake. `None` if the other side
    /// closes the connection.
    pub async fn dial_from(from: &str, to: SocketAddr, info_hash: [u8; 20], id: u8) -> Option<Raw> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
        let mut socket = socket.connect(to).await.ok()?;
        let hello = [&b"\x13BitTorrent protocol"[..], &FAST, &info_hash, &[id; 20]].concat();
        socket.write_all(&hello).await.ok()?;
        let mut theirs = [0; 68];
        socket.read_exact(&mut theirs).await.ok()?;
        Some(Raw(socket))
    }

    /// Serves requests until `blocks` blocks are sent. `change` may change the bytes of a block.
    pub async fn serve(&mut self, data: &[u8], piece_bytes: u32, blocks: usize, change: impl Fn(&mut [u8])) -> usize {
        let mut given = 0;
        while given < blocks {
            let Some((id, body)) = self.hear().await else { break };
            if id != 6 {
                continue;
            }
            let number = |at: usize| u32::from_be_bytes(*body[at..].first_chunk().unwrap()) as usize;
            let start = number(0) * piece_bytes as usize + number(4);
            let mut block = data[start..start + number(8)].to_vec();
            change(&mut block);
            self.say(7, &[&body[..8], &block].concat()).await;
            given += 1;
        }
        given
    }
}

/// Returns a message as bytes.
pub fn message(id: u8, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 1).to_be_bytes()[..], &[id], body].concat()
}

/// Returns the body of a REQUEST for a block of 16 KiB.
pub fn block(piece: u32, n: u32) -> Vec<u8> {
    [piece.to_be_bytes(), (n * 16384).to_be_bytes(), 16384u32.to_be_bytes()].concat()
}

/// Returns the number at the start of a message's body.
pub fn number(body: &[u8]) -> u32 {
    u32::from_be_bytes(*body.first_chunk().expect("four bytes"))
}
