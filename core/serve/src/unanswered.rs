//! Connections whose other end is gone while bytes are on the way to it, as after a pulled cable.
//!
//! TCP's own probes of idle connections do not run then, and the system tries for some 15 minutes.
//! `TCP_USER_TIMEOUT` is shorter, but also ends a connection whose client has a full window and
//! answers each probe of it: a paused player.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Time between two looks at the system's table.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Looks in a row that must find no answer. The connection then ends within 90 seconds.
const LOOKS: u32 = 3;
/// Attempts without an answer for which a look counts. On a lossy line some are normal.
const ATTEMPTS: u32 = 3;

/// Waits until the client of a connection has answered nothing for a minute. Never returns where the
/// system does not tell (it is Linux that does).
pub(crate) async fn unanswered(local: SocketAddr, peer: SocketAddr) {
    let path = if local.is_ipv4() { "/proc/self/net/tcp" } else { "/proc/self/net/tcp6" };
    let mut looks = 0;
    while looks < LOOKS {
        tokio::time::sleep(LOOK_EVERY).await;
        let Ok(table) = tokio::fs::read_to_string(path).await else { return std::future::pending().await };
        let is_silent = attempts(&table, local, peer).is_some_and(|attempts| attempts >= ATTEMPTS);
        looks = if is_silent { looks + 1 } else { 0 };
    }
}

/// Returns how often a connection has repeated its first unacknowledged bytes, or probed the
/// client's window, since the client's last answer. The table is that of proc(5).
fn attempts(table: &str, local: SocketAddr, peer: SocketAddr) -> Option<u32> {
    const REPEATED: usize = 6;
    const PROBED: usize = 8;
    let [local, peer] = [local, peer].map(name);
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        if fields.get(1) != Some(&local.as_str()) || fields.get(2) != Some(&peer.as_str()) {
            return None;
        }
        let repeated = u32::from_str_radix(fields.get(REPEATED)?, 16).ok()?;
        let probed: u32 = fields.get(PROBED)?.parse().ok()?;
        Some(repeated.saturating_add(probed))
    })
}

/// Returns an address as the table has it: words of 32 bits in the machine's order.
fn name(addr: SocketAddr) -> String {
    let word = |bytes: &[u8]| bytes.try_into().map(u32::from_ne_bytes).unwrap_or_default();
    let hex = |octets: &[u8]| octets.chunks(4).map(|bytes| format!("{:08X}", word(bytes))).collect::<String>();
    let ip = match addr.ip() {
        IpAddr::V4(ip) => hex(&ip.octets()),
        IpAddr::V6(ip) => hex(&ip.octets()),
    };
    format!("{ip}:{:04X}", addr.port())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
        0: 0100007F:BBD0 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3148368 1 0 100 0 0 10 0\n\
        1: 0100007F:BBD0 0200007F:1F90 01 00001000:00000000 01:00000014 0000000B     0        0 3148369 4 0 20 4 30 10 -1\n\
        2: 0100007F:BBD0 0300007F:1F90 01 00001000:00000000 04:00000014 00000000     0       12 3148370 4 0 20 4 30 10 -1\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn attempts_are_those_of_the_connection() {
        let of = |peer: &str| attempts(TABLE, "127.0.0.1:48080".parse().unwrap(), peer.parse().unwrap());
        assert_eq!(of("127.0.0.2:8080"), Some(11));
        assert_eq!(of("127.0.0.3:8080"), Some(12));
        assert_eq!(of("127.0.0.4:8080"), None);
        assert_eq!(of("127.0.0.2:8081"), None);
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn the_system_knows_a_connection_by_either_family() {
        for ip in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(ip).await else { continue };
            let mut to = listener.local_addr().unwrap();
            if to.ip().is_unspecified() {
                // An address of IPv4 within one of IPv6.
                to.set_ip([127, 0, 0, 1].into());
            }
            let client = TcpStream::connect(to).await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            let (local, peer) = (server.local_addr().unwrap(), server.peer_addr().unwrap());
            let path = if local.is_ipv4() { "/proc/self/net/tcp" } else { "/proc/self/net/tcp6" };
            let table = std::fs::read_to_string(path).unwrap();
            assert_eq!(attempts(&table, local, peer), Some(0), "{local} {peer}");
            drop(client);
        }
    }
}
