//! Finding the nodes of a channel by its key: announcements on the DHT and in the local network under
//! the channel's id, and the beacon that the source publishes on the DHT under the key itself.

use super::{Node, unix_ms};
use crate::discovery::{Discovery, FAREWELL, Params, Progress, Stored};
use crate::live::addresses::reachable;
use crate::swarm::named::keep_looking_up;
use playswarm_logic::channel::Input;
use playswarm_logic::relay;
use playswarm_logic::torrent::Finding;
use playswarm_proto::PeerAddress;
use playswarm_proto::address_class::{AddressClass, is_acceptable, is_ours};
use playswarm_proto::live::{Beacon, SignedBeacon};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Shortest pause before the DHT is asked again for a node that finds no place. It doubles up to
/// [`LONGEST_PAUSE`], so that an hour has at most 60 operations, as many as the slot index's.
const SHORTEST_PAUSE: Duration = Duration::from_secs(5);
/// Longest such pause, and the time after which it is short again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// Time after which the beacon is stored again. Nodes of the DHT keep it for two hours, but go away
/// themselves.
const REPUBLISH: Duration = Duration::from_secs(10 * 60);
/// Time after which a beacon that was not stored is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// Time between two looks whether the source's own addresses have changed.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl Node {
    /// Adds an address that the user gave, after its name was looked up.
    pub(in crate::live) fn add(&self, addr: &PeerAddress) {
        let this = self.this.clone();
        let met = move |addrs: Vec<SocketAddr>| {
            let contacts = addrs.into_iter().map(|addr| Input::Relay(relay::Input::Contact(addr, None)));
            this.upgrade().inspect(|node| contacts.for_each(|contact| node.tell(contact))).is_some()
        };
        match addr {
            PeerAddress::Ip(addr) => _ = met(vec![*addr]),
            name => {
                let looking = keep_looking_up(self.around.discovery.clone(), self.cancel.clone(), name.clone(), met);
                tokio::spawn(looking);
            }
        }
    }

    /// Adds an address that a source at an address of this class named.
    fn meet(&self, addr: SocketAddr, named_by: AddressClass) {
        self.tell(Input::Relay(relay::Input::Contact(addr, Some(named_by))));
    }

    /// Takes a beacon that nodes of the DHT gave, unless a newer one is known.
    fn take_beacon(&self, sequence: i64, beacon: Beacon, named_by: AddressClass) {
        let at = beacon.at.clone();
        {
            let mut inside = self.inside.lock();
            if inside.beacon.as_ref().is_some_and(|(newest, _)| *newest > sequence) {
                return;
            }
            inside.beacon = Some((sequence, beacon));
        }
        at.into_iter().for_each(|addr| self.meet(addr, named_by));
    }

    /// Returns the addresses at which this node can be reached, as far as this machine knows them.
    pub(in crate::live) fn reachable(&self) -> Vec<SocketAddr> {
        reachable(self.listen_addr(), self.around.discovery.network().addresses())
    }

    /// Returns whether to announce this node.
    fn is_helpful(&self) -> bool {
        self.inside.lock().channel.relay().is_helpful(self.now())
    }

    /// Returns the signed beacon of a source, also of one that is closed.
    fn beacon(&self, sequence: i64, on_air: bool, at: Vec<SocketAddr>) -> Option<SignedBeacon> {
        self.inside.lock().channel.beacon(sequence, on_air, at)
    }

    /// Waits until the stream has ended, or the channel was closed.
    pub(in crate::live) async fn over(&self) {
        self.until(|| self.has_ended().then_some(())).await;
    }
}

/// Looks for nodes of the channel, and lets others find this one, until the channel is closed.
pub(super) async fn look(node: Arc<Node>) {
    let (shared, listen) = (node.around.discovery.clone(), node.listen_addr());
    let this = Arc::downgrade(&node);
    let params = Params {
        info_hash: node.key().id(),
        peer_id: node.around.transport.peer_id().0,
        listen_port: listen.port(),
        trackers: Default::default(),
        private: false,
        progress: Arc::new(Progress::default),
        announces: Arc::new(move || this.upgrade().is_some_and(|node| node.is_helpful())),
    };
    let (discovery, mut found) = Discovery::start(&shared, params);
    let hear = async {
        while let Some(finding) = found.recv().await {
            if let Finding::Peer { addr, by, .. } = finding
                && !is_ours(addr, listen)
            {
                node.meet(addr, by);
            }
        }
    };
    let ask = async {
        let class = shared.dht_class().unwrap_or(AddressClass::Global);
        let mut pause = SHORTEST_PAUSE;
        loop {
            let asked = Instant::now();
            let mut beacons = shared.find_beacon(&node.key());
            while let Some((sequence, beacon)) = beacons.recv().await {
                node.take_beacon(sequence, beacon, class);
            }
            node.wanted.notified().await;
            pause = if asked.elapsed() > LONGEST_PAUSE { SHORTEST_PAUSE } else { pause };
            sleep_until(asked + pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
            discovery.hurry();
        }
    };
    tokio::select! {
        () = node.cancel.cancelled() => {}
        () = hear => {}
        () = ask => {}
    }
}

/// Keeps the source's beacon on the DHT until its stream ends or it is closed, and then says there
/// that it is off the air.
pub(super) async fn publish(node: Arc<Node>) {
    let shared = node.around.discovery.clone();
    let Some(class) = shared.dht_class() else { return };
    let (mut sequence, mut is_stored) = (0_i64, false);
    loop {
        let on_air = !node.has_ended();
        if !on_air && !is_stored {
            return;
        }
        let at = addresses(&node, class);
        // Above that of an earlier run, which may have had this key.
        sequence = (unix_ms() as i64).max(sequence.saturating_add(1));
        let Some(signed) = node.beacon(sequence, on_air, at.clone()) else { return };
        if !on_air {
            let _ = timeout(FAREWELL, shared.store_beacon(&signed)).await;
            return;
        }
        let stored = tokio::select! {
            () = node.over() => continue,
            stored = shared.store_beacon(&signed) => stored,
        };
        is_stored |= stored == Stored::Yes;
        if stored == Stored::Outdated {
            // This machine's clock is behind that of the earlier run.
            let mut beacons = shared.find_beacon(&node.key());
            while let Some((earlier, _)) = beacons.recv().await {
                sequence = sequence.max(earlier.saturating_add(1));
            }
        }
        let due = Instant::now() + if stored == Stored::Yes { REPUBLISH } else { RETRY };
        while Instant::now() < due && !node.has_ended() && addresses(&node, class) == at {
            tokio::select! {
                () = node.over() => {}
                () = sleep(LOOK_EVERY.min(due - Instant::now())) => {}
            }
        }
    }
}

/// Returns the addresses at which those who ask the DHT can dial the source.
fn addresses(node: &Node, class: AddressClass) -> Vec<SocketAddr> {
    node.reachable().into_iter().filter(|addr| is_acceptable(*addr, class)).collect()
}
