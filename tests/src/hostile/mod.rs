//! Hostile peers: each repeats one action that no honest client does, on every connection that it
//! gets.

mod behaviour;
pub mod storm;
pub mod wire;

use crate::bencode::Ben;
use crate::peers::fresh_ip;
use crate::torrent::TestTorrent;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The action of a hostile peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malice {
    /// Serves every request at once, with wrong bytes.
    WrongData,
    /// Serves right data except for one wrong block per piece. The whole piece fails, though most
    /// peers that delivered it are honest.
    OneWrongBlock,
    /// Claims all pieces, unchokes, and then never sends anything again.
    Silence,
    /// Unchokes, waits for requests, chokes, and repeats. Never serves a block.
    ChokeFlapping,
    /// Claims all pieces and rejects each request (BEP 6).
    RejectAll,
    /// Requests pieces that do not exist, ranges past their ends, and lengths of gigabytes.
    AbsurdRequests,
    /// Announces a message of 2 GiB and sends it without end.
    Oversized,
    /// Sends messages that break the rules: short payloads, unknown numbers, bitfields of a wrong
    /// length, bad bencode.
    Malformed,
    /// Serves right data, one byte per second.
    OneByteASecond,
    /// Answers with another torrent's handshake.
    WrongInfoHash,
    /// Sends blocks that were not requested, as fast as it can.
    Flood,
    /// Claims all pieces, then requests all, and never reads what it is sent.
    NeverReads,
    /// Serves wrong metadata (BEP 9) of the right length.
    WrongMetadata,
    /// Claims that the metadata is gigabytes long.
    AbsurdMetadata,
    /// Announces a hundred nonexistent peers per second (BEP 11).
    PexFlood,
    /// Announces a hundred ports of one address, including those of services.
    PexPorts,
}

/// Number of connections to all hostile peers of this process, which distinguishes them.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// A running hostile peer; it ends when dropped.
pub struct Hostile {
    /// Its listening address.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    malice: Malice,
    pieces: u32,
    piece_length: u64,
    total: u64,
    info: Ben,
    contents: Vec<crate::content::Content>,
    info_hash: [u8; 20],
    stop: AtomicBool,
    connections: AtomicU64,
    requests: AtomicU64,
}

impl Hostile {
    /// Starts a hostile peer for one torrent, on a loopback address of its own.
    pub fn start(malice: Malice, torrent: &TestTorrent) -> Hostile {
        let addr = SocketAddr::new(fresh_ip().into(), 6881);
        let listener = TcpListener::bind(addr).unwrap_or_else(|e| panic!("cannot listen on {addr}: {e}"));
        let shared = Arc::new(Shared {
            malice,
            pieces: torrent.pieces(),
            piece_length: torrent.piece_length,
            total: torrent.total(),
            info: torrent.info.clone(),
            contents: torrent.files.iter().map(|(_, content)| *content).collect(),
            info_hash: torrent.info_hash,
            stop: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.stop.load(Ordering::Relaxed) {
                    return;
                }
                serving.connections.fetch_add(1, Ordering::Relaxed);
                let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
                let shared = serving.clone();
                // It ends with an error when the other side disconnects it, as it should.
                std::thread::spawn(move || drop(behaviour::run(&shared, stream, number)));
            }
        });
        Hostile { addr, shared }
    }

    /// Returns the number of connections so far. A test without any shows nothing.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Returns the number of requests for blocks so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = std::net::TcpStream::connect_timeout(&self.addr, Duration::from_millis(200)); // wakes accept()
    }
}

impl Shared {
    fn piece_size(&self, piece: u32) -> u64 {
        (self.total - u64::from(piece) * self.piece_length).min(self.piece_length)
    }

    /// Returns the right bytes of a block, or `None` if there is no such block.
    fn block(&self, piece: u32, begin: u32, length: u32) -> Option<Vec<u8>> {
        if piece >= self.pieces || u64::from(begin) + u64::from(length) > self.piece_size(piece) || length > 1 << 17 {
            return None;
        }
        let mut bytes = Vec::with_capacity(length as usize);
        let mut at = u64::from(piece) * self.piece_length + u64::from(begin);
        let mut start = 0;
        for content in &self.contents {
            if at < start + content.length && bytes.len() < length as usize {
                let take = (start + content.length - at).min(u64::from(length) - bytes.len() as u64);
                bytes.extend(content.bytes(at - start, take as usize));
                at += take;
            }
            start += content.length;
        }
        Some(bytes)
    }
}
