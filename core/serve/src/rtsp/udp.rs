//! The sockets of a session that is delivered by datagrams.

use super::rtp::reported_losses;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::UdpSocket;

/// Attempts to find two free ports in a row.
const ATTEMPTS: usize = 64;
/// Longest report that is read, in bytes.
const MAX_REPORT_BYTES: usize = 2 << 10;

/// A socket for RTP on an even port, and one for RTCP on the next (RFC 3550, section 11).
#[derive(Debug)]
pub(crate) struct Pair {
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

impl Pair {
    /// Binds two ports of an address.
    pub(crate) async fn bind(ip: IpAddr) -> io::Result<Pair> {
        let mut kept = Vec::new();
        for _ in 0..ATTEMPTS {
            let first = UdpSocket::bind((ip, 0)).await?;
            let port = first.local_addr()?.port();
            if port % 2 == 0
                && let Ok(rtcp) = UdpSocket::bind((ip, port + 1)).await
            {
                return Ok(Pair { rtp: first, rtcp });
            }
            // Held until the end, so that the next attempt gets another port.
            kept.push(first);
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// Returns the two ports.
    pub(crate) fn ports(&self) -> io::Result<(u16, u16)> {
        Ok((self.rtp.local_addr()?.port(), self.rtcp.local_addr()?.port()))
    }

    /// Sends a datagram. One that the system cannot deliver is lost, like one on the way.
    pub(crate) async fn send(&self, is_rtcp: bool, to: SocketAddr, packet: &[u8]) {
        let socket = if is_rtcp { &self.rtcp } else { &self.rtp };
        if let Err(error) = socket.send_to(packet, to).await {
            tracing::debug!(%error, %to, "a datagram was not sent");
        }
    }

    /// Waits for a report of a client, and ignores datagrams of others. Returns the lost packets of
    /// each stream by SSRC. Dropping the future loses nothing.
    pub(crate) async fn report(&self, from: IpAddr) -> Vec<(u32, u32)> {
        let mut buffer = [0; MAX_REPORT_BYTES];
        loop {
            match self.rtcp.recv_from(&mut buffer).await {
                Ok((length, sender)) if sender.ip() == from => {
                    if let Some(losses) = reported_losses(&buffer[..length]) {
                        tracing::trace!(?losses, "a report of an RTSP client");
                        return losses;
                    }
                }
                Ok(_) => {}
                // A port of the client is closed, which the next datagram may not find.
                Err(error) => {
                    tracing::debug!(%error, "no report of an RTSP client");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            }
        }
    }
}
