//! What the examples share: a session from the environment.

use anyhow::{Result, anyhow};
use playswarm::{Config, PeerAddress, Session};
use std::path::Path;

/// Starts a session that keeps its files in `folder`. `PLAYSWARM_PEER` names a peer to dial, for trials on one machine.
///
/// # Errors
/// If `PLAYSWARM_PEER` is not an address, or the session cannot start.
pub async fn session(folder: &Path) -> Result<Session> {
    let mut config = Config::default();
    config.dir = folder.to_owned();
    if let Ok(peer) = std::env::var("PLAYSWARM_PEER") {
        config.peers.push(peer.parse::<PeerAddress>().map_err(|why| anyhow!("PLAYSWARM_PEER: {why}"))?);
    }
    Ok(Session::new(config).await?)
}
