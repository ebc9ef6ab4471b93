//! The settings of the RTSP server.

use crate::http::parse_host;
use playswarm::{Error, Result};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Settings of the RTSP server.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RtspConfig {
    /// The address to listen on. Loopback and any free port by default, so that no other machine
    /// can connect.
    pub listen: SocketAddr,
    /// A secret that each client must know: the first element of the path after `~`, as in the
    /// server's URLs, or the password of Basic authentication. Letters and digits and `-._~`. None by
    /// default. VLC changes a URL to lower case, so upper and lower case are not distinguished.
    pub token: Option<String>,
    /// Host names of this server for tunnels over HTTP, as [`HttpConfig`](crate::HttpConfig) has
    /// them. None by default.
    pub allow_hosts: Vec<String>,
    /// Most connections at the same time. Further ones get the place of an idle one, or are closed.
    /// 64 by default.
    pub max_connections: usize,
    /// Most connections of one other machine at the same time. Programs on this machine have no
    /// such bound. 8 by default, so that one machine cannot take all sessions.
    pub max_connections_per_host: usize,
    /// Most sessions at the same time, each of which reads from the swarm. Further ones get the
    /// place of one that was set up but never played, or the answer 453. 16 by default.
    pub max_sessions: usize,
}

impl Default for RtspConfig {
    fn default() -> Self {
        let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        RtspConfig {
            listen,
            token: None,
            allow_hosts: Vec::new(),
            max_connections: 64,
            max_connections_per_host: 8,
            max_sessions: 16,
        }
    }
}

/// Leaves out the token, which is a secret.
impl fmt::Debug for RtspConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtspConfig")
            .field("listen", &self.listen)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("allow_hosts", &self.allow_hosts)
            .field("max_connections", &self.max_connections)
            .field("max_connections_per_host", &self.max_connections_per_host)
            .field("max_sessions", &self.max_sessions)
            .finish()
    }
}

impl RtspConfig {
    /// Checks that the settings can be used.
    ///
    /// # Errors
    /// [`Error::BadConfig`] with the setting and the reason.
    pub fn check(&self) -> Result<()> {
        let bad = |name: &str, why: &str| Err(Error::BadConfig { name: name.into(), why: why.into() });
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if self.token.as_ref().is_some_and(|token| token.is_empty() || !token.bytes().all(is_plain)) {
            return bad("token", "a token for RTSP is one or more of the characters A-Z, a-z, 0-9 and -._~");
        }
        for host in &self.allow_hosts {
            parse_host(host).or_else(|why| bad("allow_hosts", &why).map(|()| String::new()))?;
        }
        for (name, most) in [
            ("max_connections", self.max_connections),
            ("max_connections_per_host", self.max_connections_per_host),
            ("max_sessions", self.max_sessions),
        ] {
            if most == 0 {
                return bad(name, "it must be at least 1");
            }
        }
        Ok(())
    }
}
