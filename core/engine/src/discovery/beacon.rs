//! Mutable items of the DHT (BEP 44): the beacon of a live channel. Only nodes of IPv4 are asked.

use super::Shared;
use futures_util::StreamExt;
use mainline::MutableItem;
use mainline::errors::{ConcurrencyError, PutMutableError};
use playswarm_proto::AddressClass;
use playswarm_proto::live::{BEACON_SALT, Beacon, ChannelKey, SignedBeacon};
use tokio::sync::mpsc;

/// Most beacons of one lookup that wait for their reader. Nodes store one each, and most the same.
const MAX_WAITING: usize = 64;

/// The result of storing a beacon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// At least one node has it.
    Yes,
    /// Nodes have one with a higher sequence number.
    Outdated,
    /// No node answered, or all refused.
    No,
}

impl Shared {
    /// Returns the class of addresses that nodes of the DHT may name; `None` without a DHT.
    pub(crate) fn dht_class(&self) -> Option<AddressClass> {
        self.dht.as_ref().map(|dht| dht.class)
    }

    /// Stores a beacon. Takes at most 25 s.
    pub(crate) async fn store_beacon(&self, signed: &SignedBeacon) -> Stored {
        let Some(dht) = &self.dht else { return Stored::No };
        let SignedBeacon { key, sequence, value, signature } = signed;
        let item = MutableItem::new_signed_unchecked(key.0, *signature, value, *sequence, Some(BEACON_SALT));
        let store = |node: super::dht::Node| async move {
            match node.client().put_mutable(item, None).await {
                Ok(_) => Some(Stored::Yes),
                Err(PutMutableError::Concurrency(ConcurrencyError::NotMostRecent)) => Some(Stored::Outdated),
                Err(e) => {
                    tracing::debug!("no node of the DHT stored the beacon of the channel: {e}");
                    None
                }
            }
        };
        dht.query(store).await.unwrap_or(Stored::No)
    }

    /// Looks up a channel's beacon. Each one found, with its sequence number, comes as soon as it is
    /// here, not in the order of their numbers. Their signatures have been verified. The end comes
    /// within 25 s. Dropping the receiver ends the lookup.
    pub(crate) fn find_beacon(&self, key: &ChannelKey) -> mpsc::Receiver<(i64, Beacon)> {
        let (tx, rx) = mpsc::channel(MAX_WAITING);
        let (Some(dht), key, cancel) = (self.dht.clone(), *key, self.cancel.clone()) else { return rx };
        self.tasks.spawn(async move {
            let found = tx.clone();
            let look = |node: super::dht::Node| async move {
                let mut items = node.client().get_mutable(&key.0, Some(BEACON_SALT), None);
                let mut last = None;
                while let Some(item) = items.next().await {
                    let named = Some((item.seq(), item.value().to_vec()));
                    if named == last {
                        continue;
                    }
                    last = named;
                    if let Some(beacon) = Beacon::decode(item.value()) {
                        // The reader has enough if it is full.
                        let _ = found.try_send((item.seq(), beacon));
                    }
                }
                last.is_some().then_some(())
            };
            tokio::select! {
                _ = dht.query(look) => {}
                () = tx.closed() => {}
                () = cancel.cancelled() => {}
            }
        });
        rx
    }
}
