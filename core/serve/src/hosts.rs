//! The names under which a server is known, as a protection against DNS rebinding. A page of another site can make any name of the public DNS point here
//! (DNS rebinding). So a name counts only if the public DNS cannot have it, or the machine's own
//! settings define it.

use crate::http::parse_host;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use url::Host;

/// Top-level domains that are not in the public DNS: RFC 6761, 6762 (with its appendix G) and 8375,
/// and ICANN's `internal`.
const PRIVATE: &[&str] =
    &["local", "localhost", "test", "internal", "lan", "home", "localdomain", "intranet", "private", "corp"];
/// Most bytes read of the hosts file: lists against advertisements have tens of thousands of lines.
const HOSTS_BYTES: u64 = 4 << 20;
/// Most addresses other than loopback that are tried.
const MOST_ADDRESSES: usize = 64;

/// The names of a server, as [`host_of`] returns them.
pub(crate) struct Hosts(BTreeSet<String>);

impl Hosts {
    /// Returns the names of this machine and those that its user allows.
    pub(crate) fn new(own_names: BTreeSet<String>, allowed: &[String]) -> Hosts {
        let mut hosts = own_names;
        hosts.extend(allowed.iter().filter_map(|host| parse_host(host).ok()));
        Hosts(hosts)
    }

    /// Whether `host[:port]` names this server.
    pub(crate) fn is_ours(&self, authority: &str) -> bool {
        match host_of(authority) {
            // No server of a name in `localhost` can be elsewhere (RFC 6761, section 6.3).
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost") || self.0.contains(&name),
            // An address cannot be rebound: a page that was loaded from it came from the machine
            // that has it.
            Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
            None => false,
        }
    }
}

/// Returns the host of `host[:port]`, a name in lower case and without a trailing dot. `None` where
/// the text is neither.
pub(crate) fn host_of(authority: &str) -> Option<Host<String>> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, if port.is_empty() { port } else { port.strip_prefix(':')? })
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    if !port.bytes().all(|b| b.is_ascii_digit()) || (!port.is_empty() && port.parse::<u16>().is_err()) {
        return None;
    }
    if authority.starts_with('[') {
        // The zone names an interface of the client (RFC 6874).
        let (host, _zone) = host.split_once('%').unwrap_or((host, ""));
        return host.parse::<Ipv6Addr>().ok().map(Host::Ipv6);
    }
    match Host::parse(host.strip_suffix('.').unwrap_or(host)).ok()? {
        Host::Domain(name) if !name.is_empty() => Some(Host::Domain(name)),
        Host::Domain(_) => None,
        other => Some(other),
    }
}

/// Returns the names of this machine in lower case: its host name, with and without `.local`, and
/// those of its hosts file. It reads that file and binds sockets, so it blocks.
pub(crate) fn own_names() -> BTreeSet<String> {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_str().unwrap_or_default();
    let mut text = Vec::new();
    if let Ok(file) = std::fs::File::open("/etc/hosts") {
        // A file that cannot be read adds no names.
        let _ = std::io::Read::read_to_end(&mut std::io::Read::take(file, HOSTS_BYTES), &mut text);
    }
    names_from(name, &String::from_utf8_lossy(&text), is_own_address)
}

/// Whether an address is this machine's: only its own can be bound.
fn is_own_address(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

fn names_from(node: &str, hosts: &str, is_own: impl Fn(IpAddr) -> bool) -> BTreeSet<String> {
    let node = node.trim_end_matches('.').to_ascii_lowercase();
    let label = node.split('.').next().unwrap_or_default();
    let mut names = BTreeSet::new();
    if !label.is_empty() && label.parse::<IpAddr>().is_err() {
        names.extend([label.to_owned(), format!("{label}.local")]);
        if is_private(&node) {
            names.insert(node.clone());
        }
    }
    let (mut tried, mut own) = (0, BTreeSet::new());
    for line in hosts.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(ip) = words.next().and_then(|ip| ip.parse::<IpAddr>().ok()) else { continue };
        // Lists against advertisements map public names to 0.0.0.0 or 127.0.0.1. Such names stay
        // foreign.
        let ours: Vec<String> = words.map(|w| w.trim_end_matches('.').to_ascii_lowercase()).collect();
        let ours = ours.into_iter().filter(|name| is_private(name) || *name == node);
        let (mut ours, unspecified) = (ours.peekable(), ip.is_unspecified());
        if unspecified || ours.peek().is_none() {
            continue;
        }
        let here = ip.to_canonical().is_loopback() || own.contains(&ip) || {
            tried += 1;
            tried <= MOST_ADDRESSES && is_own(ip) && own.insert(ip)
        };
        if here {
            names.extend(ours);
        }
    }
    names
}

/// Whether the public DNS cannot have a name.
fn is_private(name: &str) -> bool {
    match name.rsplit_once('.') {
        None => !name.is_empty(),
        Some((_, top)) => PRIVATE.contains(&top) || name.ends_with(".home.arpa"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(node: &str, hosts: &str) -> Vec<String> {
        let own: IpAddr = [192, 168, 1, 5].into();
        names_from(node, hosts, |ip| ip == own).into_iter().collect()
    }

    #[test]
    fn a_machine_has_its_own_name_and_that_of_multicast_dns() {
        assert_eq!(names("Box", ""), ["box", "box.local"]);
        assert_eq!(names("box.lan.", ""), ["box", "box.lan", "box.local"]);
        assert_eq!(names("", ""), [""; 0]);
    }

    #[test]
    fn a_public_name_is_ours_only_where_the_machines_settings_say_so() {
        // A host name may come from a stranger's DHCP.
        assert_eq!(names("box.example.com", ""), ["box", "box.local"]);
        assert_eq!(names("box.example.com", "127.0.1.1 box.example.com box"), ["box", "box.example.com", "box.local"]);
    }

    #[test]
    fn the_hosts_file_names_this_machine_but_no_public_names() {
        let hosts = "# comment\n127.0.0.1\tlocalhost TV.local films.test # mine\n192.168.1.5 nas.lan\n192.168.1.6 other.lan\n\
                     ::1 ip6-localhost\n0.0.0.0 blocked.local\n127.0.0.1 ads.example evil.example.com\nnonsense x.local\n";
        let expected = ["box", "box.local", "films.test", "ip6-localhost", "localhost", "nas.lan", "tv.local"];
        assert_eq!(names("box", hosts), expected);
    }
}
