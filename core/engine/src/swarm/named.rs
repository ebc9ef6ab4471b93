//! Peers that the user, the settings or the link name by a host name. Names are resolved
//! repeatedly, because a network may come up later and dynamic names change.

use crate::discovery::Shared;
use crate::discovery::resolver::NamedBy;
use playswarm_proto::PeerAddress;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Pause after the first failed lookup. It doubles up to [`REFRESH`].
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// Pause after a successful lookup, by when the address may have changed.
const REFRESH: Duration = Duration::from_secs(5 * 60);

/// Resolves a name until it is cancelled or `found` returns false. `found` gets its addresses.
pub(crate) async fn keep_looking_up(
    shared: Arc<Shared>,
    cancel: CancellationToken,
    peer: PeerAddress,
    found: impl Fn(Vec<SocketAddr>) -> bool,
) {
    let mut wait = FIRST_RETRY;
    let mut warned = false;
    loop {
        let addrs = tokio::select! {
            () = cancel.cancelled() => return,
            addrs = shared.resolver().addresses(&peer, NamedBy::User) => addrs,
        };
        if addrs.is_empty() {
            if !std::mem::replace(&mut warned, true) {
                tracing::warn!("the host name of the peer {peer} could not be resolved; this is retried");
            }
        } else {
            (wait, warned) = (REFRESH, true);
            if !found(addrs) {
                return;
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(REFRESH);
    }
}
