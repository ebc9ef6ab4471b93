//! Shared code of the examples: settings from the environment.

use anyhow::{Result, anyhow};
use playswarm::{Config, PeerAddress, Session};
use std::path::Path;

/// Returns settings that keep files in `folder`. `PLAYSWARM_PEER` names a peer to dial, for trials on one machine.
///
/// # Errors
/// If `PLAYSWARM_PEER` is not an address.
pub fn config(folder: &Path) -> Result<Config> {
    let mut config = Config::default();
    config.dir = folder.to_owned();
    if let Ok(peer) = std::env::var("PLAYSWARM_PEER") {
        config.peers.push(peer.parse::<PeerAddress>().map_err(|why| anyhow!("PLAYSWARM_PEER: {why}"))?);
    }
    Ok(config)
}

/// Starts a session with these settings.
///
/// # Errors
/// Those of [`config`], or if the session cannot start.
pub async fn session(folder: &Path) -> Result<Session> {
    Ok(Session::new(config(folder)?).await?)
}
