//! An IP packet as a router reads it: destination, protocol, and (for tests) content.

use std::net::{IpAddr, SocketAddr};

/// An IP packet as read from a TUN device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Packet(pub(super) Vec<u8>);

impl Packet {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn version(&self) -> u8 {
        self.0.first().map_or(0, |byte| byte >> 4)
    }

    /// Returns the protocol number. For IPv6 it is that of the first header, as nothing here sends
    /// extensions.
    pub(super) fn protocol(&self) -> u8 {
        let at = if self.version() == 4 { 9 } else { 6 };
        self.0.get(at).copied().unwrap_or(0)
    }

    fn payload_at(&self) -> usize {
        if self.version() == 4 { usize::from(self.0[0] & 15) * 4 } else { 40 }
    }

    /// Returns the address that sent it.
    pub(super) fn source(&self) -> Option<IpAddr> {
        match self.version() {
            4 => self.ip_at::<4>(12),
            6 => self.ip_at::<16>(8),
            _ => None,
        }
    }

    fn ip_at<const N: usize>(&self, at: usize) -> Option<IpAddr>
    where
        IpAddr: From<[u8; N]>,
    {
        <[u8; N]>::try_from(self.0.get(at..at + N)?).ok().map(IpAddr::from)
    }

    /// Returns the destination; the port is 0 if there is none.
    pub(super) fn destination(&self) -> Option<SocketAddr> {
        let ip = match self.version() {
            4 => self.ip_at::<4>(16),
            6 => self.ip_at::<16>(24),
            _ => None,
        }?;
        let at = self.payload_at() + 2;
        let port = match self.protocol() {
            6 | 17 => self.0.get(at..at + 2).map_or(0, |port| u16::from_be_bytes([port[0], port[1]])),
            _ => 0,
        };
        Some(SocketAddr::new(ip, port))
    }

    pub(super) fn contains(&self, wanted: &[u8]) -> bool {
        !wanted.is_empty() && self.0.windows(wanted.len()).any(|window| window.eq_ignore_ascii_case(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destination_and_port_of_a_udp_packet_are_read() {
        let mut bytes = vec![0u8; 30];
        bytes[0] = 0x45;
        bytes[9] = 17;
        bytes[12..16].copy_from_slice(&[10, 77, 0, 2]);
        bytes[16..20].copy_from_slice(&[10, 77, 0, 3]);
        bytes[22..24].copy_from_slice(&6771u16.to_be_bytes());
        let packet = Packet(bytes);
        assert_eq!(packet.destination(), Some("10.77.0.3:6771".parse().unwrap()));
        assert_eq!(packet.source(), Some("10.77.0.2".parse().unwrap()));
        assert_eq!(packet.protocol(), 17);
    }

    #[test]
    fn rubbish_has_no_destination() {
        assert_eq!(Packet(vec![]).destination(), None);
        assert_eq!(Packet(vec![0x45, 0, 0]).destination(), None);
    }
}
