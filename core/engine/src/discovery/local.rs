//! The local network: other clients there (BEP 14, by librqbit-lsd) and the router's port mapping
//! (UPnP, by librqbit-upnp).

use super::Context;
use crate::network::Network;
use futures_util::StreamExt;
use librqbit_core::Id20;
use librqbit_lsd::{LocalServiceDiscovery, LocalServiceDiscoveryOptions};
use librqbit_upnp::UpnpPortForwarder;
use playswarm_logic::torrent::Origin;
use playswarm_proto::AddressClass;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Shortest time between two announces: BEP 14 allows at most one a minute.
const HURRY_PAUSE: Duration = Duration::from_secs(60);

/// The session's socket for BEP 14, bound on first use.
#[derive(Clone)]
pub(super) struct Lsd {
    network: Arc<Network>,
    cancel: CancellationToken,
    socket: Arc<OnceCell<Option<LocalServiceDiscovery>>>,
}

impl Lsd {
    pub(super) fn new(network: Arc<Network>, cancel: CancellationToken) -> Lsd {
        Lsd { network, cancel, socket: Arc::new(OnceCell::new()) }
    }

    async fn socket(&self) -> Option<&LocalServiceDiscovery> {
        let bind = async || {
            let (cancel_token, bind_device) = (self.cancel.clone(), self.network.device());
            let options = LocalServiceDiscoveryOptions { cancel_token, bind_device, ..Default::default() };
            LocalServiceDiscovery::new(options)
                .await
                .inspect_err(|e| tracing::info!("no peers from the local network: {e:#}"))
                .ok()
        };
        self.socket.get_or_init(bind).await.as_ref()
    }
}

/// Announces and listens until the torrent is dropped or turns out to be private.
pub(super) async fn run(lsd: Lsd, context: Arc<Context>) {
    let Some(socket) = lsd.socket().await else { return };
    let port = (context.listen_port != 0).then_some(context.listen_port);
    let mut hurry = context.hurry.subscribe();
    loop {
        // Announces at once and every five minutes. A new stream makes it announce earlier.
        let mut found = pin!(socket.announce(Id20::new(context.info_hash.0), port));
        let begun = Instant::now();
        let mut due = None;
        hurry.mark_unchanged();
        loop {
            let again = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                addr = found.next() => match addr {
                    // A client on the local network that names itself.
                    Some(addr) => context.offer(addr, Origin::Lsd, AddressClass::of(addr.ip())),
                    None => return,
                },
                changed = hurry.changed() => match changed {
                    Ok(()) => due = Some(begun + HURRY_PAUSE),
                    Err(_) => return,
                },
                () = again => break,
                () = context.private.cancelled() => return,
            }
        }
    }
}

/// Requests a mapping for a TCP port of the same number from the router, repeatedly. The lease ends
/// a minute after we do.
pub(super) fn map_port(tasks: &TaskTracker, cancel: CancellationToken, port: u16) {
    let forwarder = match UpnpPortForwarder::new(vec![port], None, None) {
        Ok(forwarder) => forwarder,
        Err(e) => {
            tracing::info!("no port mapping: {e:#}");
            return;
        }
    };
    tasks.spawn(async move {
        tokio::select! {
            never = forwarder.run_forever() => never,
            () = cancel.cancelled() => {}
        }
    });
}
