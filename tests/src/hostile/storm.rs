//! Attacks on the program's listening port: hundreds of connections, with or without a handshake.

use super::wire::{Wire, handshake, peer_id};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Opens `count` connections that never send anything, and keeps them.
pub fn silent_connections(to: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).filter_map(|_| TcpStream::connect_timeout(&to, Duration::from_secs(2)).ok()).collect()
}

/// Opens and closes `count` connections, each with a complete handshake, as fast as it can.
pub fn handshake_storm(to: SocketAddr, info_hash: [u8; 20], count: usize) {
    for i in 0..count {
        if let Ok(stream) = TcpStream::connect_timeout(&to, Duration::from_secs(2)) {
            let _ = (&stream).write_all(&handshake(&info_hash, &peer_id(i as u64)));
        }
    }
}

/// Opens `count` connections for one torrent and keeps them, up to the number that is accepted.
pub fn crowd(to: SocketAddr, info_hash: [u8; 20], count: usize) -> Vec<Wire> {
    let dial = |i: usize| {
        let stream = TcpStream::connect_timeout(&to, Duration::from_secs(2)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        Wire::greet(stream, i as u64, info_hash).ok()
    };
    (0..count).filter_map(dial).collect()
}

/// Sends bytes that are not a handshake, on `count` connections.
pub fn rubbish(to: SocketAddr, count: usize) {
    for i in 0..count {
        if let Ok(stream) = TcpStream::connect_timeout(&to, Duration::from_secs(2)) {
            let bytes = (0..512u64).flat_map(|n| crate::content::mix(n + i as u64).to_le_bytes()).collect::<Vec<u8>>();
            let _ = (&stream).write_all(&bytes);
        }
    }
}
