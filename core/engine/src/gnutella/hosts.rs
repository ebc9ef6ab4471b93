//! Where the hosts come from that the leaf tries: the state folder, and caches by UDP and HTTP.

use super::service::Service;
use crate::discovery::resolver::NamedBy;
use crate::discovery::web::{Got, Terms};
use crate::store::{load_state, save_state};
use playswarm_logic::gnutella::{Input, MAX_SAVED};
use playswarm_proto::gnutella::{CacheAnswer, CacheVersion, MAX_CACHE_BYTES, cache_request};
use playswarm_proto::{AddressClass, PeerAddress};
use std::fmt::Write as _;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;
use std::time::Duration;
use url::Url;

/// File in the state folder with a host of the leaf a line, the best first.
pub(super) const HOSTS: &str = "gnutella-hosts";
/// The same with nodes of the DHT.
pub(super) const NODES: &str = "gnutella-nodes";
/// Longest such file, bytes: as many lines as are saved.
const MAX_FILE_BYTES: u64 = MAX_SAVED as u64 * 22;
/// Longest wait for the answer of a web cache.
const ANSWER: Duration = Duration::from_secs(10);

/// Returns the hosts that an earlier session saved in this file of a folder, the best first. Lines that are no
/// hosts are skipped.
pub(super) fn load(dir: &Path, file: &str) -> Vec<SocketAddrV4> {
    let bytes = load_state(dir, file, MAX_FILE_BYTES).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().filter_map(|line| line.parse().ok()).collect()
}

/// Saves hosts for the next session. Those of private networks are left out: they mean other
/// machines elsewhere.
pub(super) fn save(dir: &Path, file: &'static str, hosts: &[SocketAddrV4]) {
    let far = hosts.iter().filter(|host| !AddressClass::of((*host.ip()).into()).is_local());
    let mut text = String::new();
    for host in far {
        let _ = writeln!(text, "{host}");
    }
    if !text.is_empty() {
        save_state(dir, file, text.as_bytes(), "the hosts of the Gnutella network");
    }
}

/// Looks up a cache that answers by UDP, for the leaf.
pub(super) async fn resolve(service: &Service, cache: usize, at: &PeerAddress) -> Input {
    let addresses = service.discovery().resolver().addresses(at, NamedBy::User).await;
    Input::Resolved { cache, address: usable(addresses, named_by(service)) }
}

/// Returns the class of the address that named the caches: the names that we know may lead to any address
/// in time.
fn named_by(service: &Service) -> AddressClass {
    if service.has_well_known_caches() { AddressClass::Global } else { AddressClass::Loopback }
}

/// Returns the first address that a cache may have.
fn usable(addresses: impl IntoIterator<Item = SocketAddr>, named_by: AddressClass) -> Option<SocketAddrV4> {
    let four = |address: SocketAddr| if let SocketAddr::V4(address) = address { Some(address) } else { None };
    let may = |address: &SocketAddrV4| named_by.may_name(AddressClass::of((*address.ip()).into()));
    addresses.into_iter().filter_map(four).find(may)
}

/// Asks a web cache for hosts, for the leaf: in the newer version of the protocol, then in the older.
pub(super) async fn fetch(service: &Service, cache: usize, at: &Url) -> Input {
    let terms = Terms {
        named_by: named_by(service),
        announce_only: false,
        family: None,
        timeout: ANSWER,
        max_bytes: MAX_CACHE_BYTES,
    };
    let mut hosts = Vec::new();
    for version in [CacheVersion::Two, CacheVersion::One] {
        match service.discovery().web().get(cache_request(at, version), terms).await {
            Ok(Got::Body { status, body, .. }) if status.is_success() => hosts = CacheAnswer::parse(&body).hosts,
            answer => tracing::debug!(%at, "a web cache named no hosts: {answer:?}"),
        }
        if !hosts.is_empty() {
            break;
        }
    }
    Input::Fetched { cache, hosts }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_saved_in_their_order_and_those_of_private_networks_are_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path(), HOSTS).is_empty());
        let hosts =
            ["9.9.9.9:6346", "10.0.0.1:6346", "127.0.0.1:6346", "8.8.8.8:1025"].map(|host| host.parse().unwrap());
        save(dir.path(), HOSTS, &hosts);
        assert_eq!(load(dir.path(), HOSTS), [hosts[0], hosts[3]]);
        // A session without hosts keeps those of the one before.
        save(dir.path(), HOSTS, &hosts[1..3]);
        assert_eq!(load(dir.path(), HOSTS).len(), 2);
    }

    #[test]
    fn a_well_known_cache_does_not_lead_into_the_users_network() {
        let addresses: Vec<SocketAddr> =
            ["[::1]:80", "127.0.0.1:80", "192.168.1.1:80", "9.9.9.9:80"].map(|at| at.parse().unwrap()).into();
        let all = |named_by| usable(addresses.clone(), named_by).unwrap().to_string();
        assert_eq!(all(AddressClass::Global), "9.9.9.9:80");
        assert_eq!(all(AddressClass::Loopback), "127.0.0.1:80", "the user may name any");
    }

    #[test]
    fn as_many_hosts_as_are_saved_fit_and_what_is_no_host_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let hosts: Vec<SocketAddrV4> = (100..200).map(|n| format!("199.199.199.{n}:65535").parse().unwrap()).collect();
        assert_eq!(hosts.len(), MAX_SAVED);
        save(dir.path(), HOSTS, &hosts);
        assert_eq!(load(dir.path(), HOSTS), hosts);
        save_state(dir.path(), HOSTS, b"garbage\n9.9.9.9:6346\n9.9.9.9\n\xff\n", "a file of a test");
        assert_eq!(load(dir.path(), HOSTS), ["9.9.9.9:6346".parse().unwrap()]);
    }
}
