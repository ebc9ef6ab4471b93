//! The settings of the server for encoders.

use crate::http::parse_host;
use playswarm::{Error, Result};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Settings of the server for encoders that push.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IngestConfig {
    /// The address to listen on. Loopback and any free port by default, so that no other machine
    /// can connect.
    pub listen: SocketAddr,
    /// A secret that each encoder must know: the parameter `token` of its URL, its password, or its
    /// stream key. Letters, digits and `-._~`. Without one, which is the default, the server draws
    /// one. Empty: none is asked for, and MPEG-TS is taken over plain TCP too.
    pub token: Option<String>,
    /// Host names of this server, as [`HttpConfig`](crate::HttpConfig) has them. None by default.
    pub allow_hosts: Vec<String>,
    /// Most connections at the same time. 32 by default.
    pub max_connections: usize,
    /// Most connections of one other machine at the same time. 8 by default.
    pub max_connections_per_host: usize,
}

impl Default for IngestConfig {
    fn default() -> Self {
        IngestConfig {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            token: None,
            allow_hosts: Vec::new(),
            max_connections: 32,
            max_connections_per_host: 8,
        }
    }
}

/// Leaves out the token, which is a secret.
impl fmt::Debug for IngestConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IngestConfig")
            .field("listen", &self.listen)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("allow_hosts", &self.allow_hosts)
            .field("max_connections", &self.max_connections)
            .field("max_connections_per_host", &self.max_connections_per_host)
            .finish()
    }
}

impl IngestConfig {
    /// Checks that the settings can be used.
    ///
    /// # Errors
    /// [`Error::BadConfig`] with the setting and the reason.
    pub fn check(&self) -> Result<()> {
        let bad = |name: &str, why: String| Err(Error::BadConfig { name: name.into(), why });
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if self.token.as_ref().is_some_and(|token| !token.bytes().all(is_plain)) {
            return bad("token", "a token for encoders has the characters A-Z, a-z, 0-9 and -._~".into());
        }
        if let Some(why) = self.allow_hosts.iter().find_map(|host| parse_host(host).err()) {
            return bad("allow_hosts", why);
        }
        for (name, most) in
            [("max_connections", self.max_connections), ("max_connections_per_host", self.max_connections_per_host)]
        {
            if most == 0 {
                return bad(name, "it must be at least 1".into());
            }
        }
        Ok(())
    }
}
