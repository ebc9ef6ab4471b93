//! Peers that the user, the settings or the link name by a host name. Names are resolved
//! repeatedly, because a network may come up later and dynamic names change.

use crate::discovery::Shared;
use crate::discovery::resolver::NamedBy;
use crate::swarm::driver::Swarm;
use playswarm_logic::torrent::Input;
use playswarm_proto::PeerAddress;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Pause after the first failed lookup. It doubles up to [`REFRESH`].
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// Pause after a successful lookup, by when the address may have changed.
const REFRESH: Duration = Duration::from_secs(5 * 60);

/// Resolves the name until the swarm is closed, and adds its addresses for dialling.
pub(super) async fn keep_looking_up(
    swarm: Weak<Swarm>,
    shared: Arc<Shared>,
    cancel: CancellationToken,
    peer: PeerAddress,
) {
    let mut wait = FIRST_RETRY;
    let mut warned = false;
    loop {
        let found = tokio::select! {
            () = cancel.cancelled() => return,
            found = shared.resolver().addresses(&peer, NamedBy::User) => found,
        };
        let Some(swarm) = swarm.upgrade() else { return };
        if found.is_empty() {
            if !std::mem::replace(&mut warned, true) {
                tracing::warn!("the host name of the peer {peer} could not be resolved; this is retried");
            }
        } else {
            (wait, warned) = (REFRESH, true);
            swarm.tell(Input::Given(found));
        }
        drop(swarm);
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(REFRESH);
    }
}
