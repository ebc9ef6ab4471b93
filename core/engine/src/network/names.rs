//! Addresses that stand for host names, where a proxy looks names up.
//!
//! The torrent knows peers by their addresses. A peer whose name only the proxy can look up gets an
//! address of 198.18.0.0/15 with its own port, a network that no host of the Internet has (RFC 2544).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Most names. They come from the user's settings and links.
const MAX_NAMES: usize = 4096;
/// First address of the network.
const FIRST: u32 = u32::from_be_bytes([198, 18, 0, 1]);

#[derive(Debug, Default)]
pub(super) struct Names {
    by_name: HashMap<(String, u16), SocketAddr>,
    by_address: HashMap<SocketAddr, String>,
}

impl Names {
    /// Returns the address that stands for a name, always the same one. `None` if there are too
    /// many names.
    pub(super) fn stand_in(&mut self, host: &str, port: u16) -> Option<SocketAddr> {
        let name = (host.to_ascii_lowercase(), port);
        if let Some(addr) = self.by_name.get(&name) {
            return Some(*addr);
        }
        let number = u32::try_from(self.by_name.len()).ok()?;
        if self.by_name.len() >= MAX_NAMES {
            return None;
        }
        let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::from(FIRST + number)), port);
        self.by_address.insert(addr, name.0.clone());
        self.by_name.insert(name, addr);
        Some(addr)
    }

    /// Returns the host to ask the proxy for, with its port.
    pub(super) fn destination(&self, addr: SocketAddr) -> String {
        match self.by_address.get(&addr) {
            Some(host) => format!("{host}:{}", addr.port()),
            None => addr.to_string(),
        }
    }
}
