//! Which addresses and URLs of others may be contacted.

use super::{ANNOUNCE, Family, MAX_ADDRESSES, NotGot, Terms};
use crate::network::Network;
use playswarm_proto::AddressClass;
use playswarm_proto::address_class::is_web_port;
use playswarm_proto::gnutella::Target;
use std::net::{IpAddr, SocketAddr};
use url::Url;

/// Returns the addresses that `terms` permit, alternating between families, with the system's first
/// choice first.
pub(crate) fn permitted(
    addresses: &[SocketAddr],
    terms: &Terms,
    path: &str,
    network: &Network,
) -> Result<Vec<SocketAddr>, NotGot> {
    let of_family = |addr: &&SocketAddr| terms.family.is_none_or(|family| addr.is_ipv6() == (family == Family::V6));
    let fitting: Vec<SocketAddr> = addresses.iter().filter(of_family).copied().collect();
    let Some(first) = fitting.first() else { return Err(NotGot::NoSuchFamily) };
    let may_be_named = |addr: &SocketAddr| terms.named_by.may_name(AddressClass::of(addr.ip()));
    let named: Vec<SocketAddr> = fitting.iter().filter(|addr| may_be_named(addr)).copied().collect();
    if named.is_empty() {
        return Err(refusal(first.ip()).into());
    }
    let (reached, refused): (Vec<_>, Vec<_>) = named.into_iter().partition(|addr| network.permit(addr.ip()).is_ok());
    if let Some(Err(why)) = refused.first().filter(|_| reached.is_empty()).map(|addr| network.permit(addr.ip())) {
        return Err(format!("its address {} is not used: {why}", first.ip()).into());
    }
    let any_path = !terms.announce_only || is_announce(path);
    let kept = reached.into_iter().filter(|addr| any_path || !AddressClass::of(addr.ip()).is_local());
    let (same, other): (Vec<_>, Vec<_>) = kept.partition(|addr| addr.is_ipv4() == first.is_ipv4());
    let mut turns = Vec::new();
    for n in 0..same.len().max(other.len()) {
        turns.extend(same.get(n).into_iter().chain(other.get(n)).copied());
    }
    turns.truncate(MAX_ADDRESSES);
    if turns.is_empty() {
        return Err(format!("a tracker in the local network ({}) is contacted only at {ANNOUNCE}", first.ip()).into());
    }
    Ok(turns)
}

/// Returns the class with whose permissions a URL is fetched that an address of class `named_by`
/// named. A URL that the user did not type leads to no port of another service, and to a local
/// network only without a query, which might command a device. The path of a servent commands none.
///
/// # Errors
///
/// The reason why it is not fetched.
pub(crate) fn permissions(url: &Url, named_by: AddressClass, is_typed: bool) -> Result<AddressClass, String> {
    let port = url.port_or_known_default().unwrap_or_default();
    match () {
        () if is_typed => Ok(named_by),
        () if !is_web_port(port) => Err(of_other_service(port)),
        () if url.query().is_some() && Target::of_url(url).is_none() => Ok(named_by.min(AddressClass::Global)),
        () => Ok(named_by),
    }
}

pub(super) fn of_other_service(port: u16) -> String {
    format!("port {port} belongs to another service; web servers are asked at 80, 443 and above 1023")
}

/// Returns the error sentence for an address that the source may not name.
fn refusal(ip: IpAddr) -> String {
    match AddressClass::of(ip) {
        AddressClass::Nowhere => format!("its address {ip} is not a unicast address"),
        _ => format!("its address {ip} is in the local network, which sources from outside must not name"),
    }
}

/// Returns whether a path looks like that of an announce URL: `/announce`, `/announce.php`,
/// `/announce/passkey`.
pub(super) fn is_announce(path: &str) -> bool {
    path.strip_prefix(ANNOUNCE).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']))
}
