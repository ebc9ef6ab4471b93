//! Peers that the user, the settings or the link name by a host name: looked up and noted for dialling, again and again, since a
//! network comes up and dynamic names move.

use crate::discovery::Shared;
use crate::discovery::resolver::NamedBy;
use crate::peer_address::PeerAddress;
use crate::swarm::driver::Swarm;
use playswarm_logic::torrent::Input;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// First wait after a failed lookup. It doubles up to [`REFRESH`].
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// Wait after a lookup that found something, by when the name may have moved.
const REFRESH: Duration = Duration::from_secs(5 * 60);

/// Looks the name up until the swarm is closed, and has its addresses dialled.
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
                tracing::warn!("the peer {peer} cannot be dialled: its host name was not found; it is looked up again");
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
