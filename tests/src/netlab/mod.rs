//! A private network for tests on one machine: hosts with real rates, delays, jitter and loss, and
//! links that can be cut. It needs no kernel queueing discipline.
//!
//! Each host is a network namespace with one TUN device as its link. The host's *sender* thread
//! reads its packets. It computes when the host's uplink would have sent each packet and when it
//! would arrive, and puts it into the destination's inbox. The *receiver* thread of each host
//! passes arriving packets through its downlink, one after the other, and writes them to the
//! device. Both links drop packets that would wait too long (tail drop), so congestion control of
//! real TCP stacks finds its rate as it does on the internet.
//!
//! Hosts have an IPv4 address 10.77.0.N and an IPv6 address fd77::N, and an IPv4 address 45.77.0.N that
//! counts as one of the Internet. A network may have another prefix than the first ([`Net::at`]), for
//! programs that treat private addresses differently. Packets to other destinations (multicast, the
//! internet) are dropped, but recorded by [`Net::sightings`]. A test can therefore check what a program
//! tried to send, and to which address.

mod namespace;
mod packet;
mod tun;

use crate::content::mix;
use crate::place::Place;
use packet::Packet;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tun::Tun;

/// Longest time that a link holds a packet; packets that would wait longer are dropped. Home
/// routers have similar buffers.
const QUEUE: Duration = Duration::from_millis(200);
/// Prefix of a network's IPv4 addresses, unless a test chooses another.
const PRIVATE: [u8; 3] = [10, 77, 0];
/// Prefix that looks like one of the Internet. Nothing leaves the test's network.
pub const PUBLIC: [u8; 3] = [44, 77, 0];

/// A host's link. The default is perfect: no limit, no delay, no loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Link {
    /// Uplink rate in kbit/s; 0 for no limit.
    pub up_kbit: u64,
    /// Downlink rate in kbit/s; 0 for no limit.
    pub down_kbit: u64,
    /// One-way delay in milliseconds. The delays of sender and receiver add up.
    pub delay_ms: f64,
    /// Largest additional delay in milliseconds, uniformly distributed. Packets keep their order.
    pub jitter_ms: f64,
    /// Share of the packets that the host's link loses, 0 to 1.
    pub loss: f64,
    /// Whether the link is cut: everything is lost silently.
    pub cut: bool,
    /// Whether the host is behind NAT or a firewall: it gets packets only from addresses to which it
    /// has sent some, whatever the port (RFC 4787, address-dependent filtering). Its own address is
    /// not translated, as by a NAT that maps each endpoint to itself.
    pub hidden: bool,
}

impl Link {
    /// Returns a home connection: `up` and `down` in kbit/s, `delay` in milliseconds one way.
    pub fn home(up: u64, down: u64, delay: f64) -> Link {
        Link { up_kbit: up, down_kbit: down, delay_ms: delay, ..Link::default() }
    }
}

/// The traffic on a host's link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of the IP packets that the host sent.
    pub sent_bytes: u64,
    /// Bytes of the IP packets that reached it.
    pub received_bytes: u64,
    /// Packets lost on either of its links.
    pub lost_packets: u64,
}

/// A packet that carried one of the watched byte strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The host that sent it.
    pub host: String,
    /// 6 for TCP, 17 for UDP.
    pub protocol: u8,
    /// Its destination, on the network or not.
    pub to: SocketAddr,
    /// Index of the watched byte string that it carried.
    pub watched: usize,
}

/// A destination of TCP or UDP packets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// Whether the packets are datagrams of UDP.
    pub is_udp: bool,
    /// The address, on the network or not.
    pub to: SocketAddr,
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", if self.is_udp { "UDP" } else { "TCP" }, self.to)
    }
}

struct Host {
    name: String,
    address: Ipv4Addr,
    tun: Tun,
    link: Mutex<Link>,
    inbox: Mutex<Inbox>,
    arrival: Condvar,
    traffic: Mutex<Traffic>,
    /// Addresses to which it has sent.
    met: Mutex<BTreeSet<IpAddr>>,
    /// Destinations of its packets, if they are recorded.
    sent_to: Mutex<Option<BTreeSet<Destination>>>,
}

/// Packets in flight to a host.
#[derive(Default)]
struct Inbox {
    /// By the time of arrival at the downlink; the number keeps ties in order.
    travelling: BinaryHeap<Reverse<(Instant, u64, Packet)>>,
    /// Packets in the downlink, with the time at which each has passed it.
    passing: VecDeque<(Instant, Packet)>,
    /// Time at which the downlink is free again.
    free: Option<Instant>,
    count: u64,
}

struct Shared {
    hosts: Vec<Host>,
    by_address: BTreeMap<IpAddr, usize>,
    stop: AtomicBool,
    watched: Mutex<Vec<Vec<u8>>>,
    sightings: Mutex<Vec<Sighting>>,
}

/// A running network. Dropping it removes the hosts.
pub struct Net {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    prefix: String,
}

impl Net {
    /// Creates the hosts and starts to carry packets. Needs [`crate::requirement::network`].
    pub fn new(hosts: &[(&str, Link)]) -> Net {
        Net::at(PRIVATE, hosts)
    }

    /// Creates hosts like [`Net::new`], with IPv4 addresses of this prefix.
    pub fn at(network: [u8; 3], hosts: &[(&str, Link)]) -> Net {
        assert!(hosts.len() < 250, "the last byte of an address numbers the hosts");
        namespace::remove_stale();
        let prefix = namespace::fresh_prefix();
        let mut by_address = BTreeMap::new();
        let hosts = hosts.iter().enumerate().map(|(i, (name, link))| {
            let number = i as u8 + 1;
            let [a, b, c] = network;
            let address = Ipv4Addr::new(a, b, c, number);
            by_address.insert(IpAddr::V4(address), i);
            by_address.insert(format!("fd77::{number:x}").parse().expect("an IPv6 address"), i);
            let public = format!("{}.{number}", namespace::PUBLIC).parse().expect("an IPv4 address");
            by_address.insert(public, i);
            let namespace = format!("{prefix}{name}");
            let tun = namespace::create(&namespace, address, number);
            Host {
                name: (*name).into(),
                address,
                tun,
                link: Mutex::new(*link),
                inbox: Mutex::default(),
                arrival: Condvar::new(),
                traffic: Mutex::default(),
                met: Mutex::default(),
                sent_to: Mutex::default(),
            }
        });
        let hosts = hosts.collect();
        let stop = AtomicBool::new(false);
        let shared =
            Arc::new(Shared { hosts, by_address, stop, watched: Mutex::default(), sightings: Mutex::default() });
        let mut threads = Vec::new();
        for i in 0..shared.hosts.len() {
            for work in [Shared::send_loop, Shared::receive_loop] {
                let shared = shared.clone();
                threads.push(std::thread::spawn(move || work(&shared, i)));
            }
        }
        Net { shared, threads, prefix }
    }

    #[track_caller]
    fn host(&self, name: &str) -> &Host {
        self.shared.hosts.iter().find(|host| host.name == name).unwrap_or_else(|| panic!("there is no host {name}"))
    }

    /// Returns the place where a host's processes run.
    #[track_caller]
    pub fn place(&self, host: &str) -> Place {
        Place::Namespace(format!("{}{}", self.prefix, self.host(host).name))
    }

    /// Returns a host's IPv4 address.
    #[track_caller]
    pub fn ip(&self, host: &str) -> Ipv4Addr {
        self.host(host).address
    }

    /// Returns a host's second IPv4 address with a port. To programs it is one of the Internet.
    #[track_caller]
    pub fn public_addr(&self, host: &str, port: u16) -> SocketAddr {
        let number = self.ip(host).octets()[3];
        format!("{}.{number}:{port}", namespace::PUBLIC).parse().expect("an IPv4 address")
    }

    /// Returns a host's IPv4 address with a port.
    #[track_caller]
    pub fn addr(&self, host: &str, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(host).into(), port)
    }

    /// Changes a host's link while packets flow.
    #[track_caller]
    pub fn set(&self, host: &str, change: impl FnOnce(&mut Link)) {
        change(&mut self.host(host).link.lock().unwrap());
    }

    /// Cuts a host's link silently: no FIN, no RST.
    #[track_caller]
    pub fn cut(&self, host: &str) {
        self.set(host, |link| link.cut = true);
    }

    /// Restores a host's link.
    #[track_caller]
    pub fn mend(&self, host: &str) {
        self.set(host, |link| link.cut = false);
    }

    /// Returns the traffic on a host's link so far.
    #[track_caller]
    pub fn traffic(&self, host: &str) -> Traffic {
        *self.host(host).traffic.lock().unwrap()
    }

    /// Gives a host a second interface with this address, whose cable is unplugged.
    #[track_caller]
    pub fn add_interface(&self, host: &str, interface: &str, address: &str) {
        namespace::add_interface(&format!("{}{}", self.prefix, self.host(host).name), interface, address);
    }

    /// Returns the number of packets that were sent from an interface of
    /// [`add_interface`](Self::add_interface), and dropped there.
    #[track_caller]
    pub fn dropped(&self, host: &str, interface: &str) -> u64 {
        namespace::dropped(&format!("{}{}", self.prefix, self.host(host).name), interface)
    }

    /// Starts to record the destinations of all TCP and UDP packets of a host anew. The system's own
    /// packets of other protocols are not recorded.
    #[track_caller]
    pub fn record(&self, host: &str) {
        *self.host(host).sent_to.lock().unwrap() = Some(BTreeSet::new());
    }

    /// Returns the destinations recorded so far.
    #[track_caller]
    pub fn destinations(&self, host: &str) -> BTreeSet<Destination> {
        self.host(host).sent_to.lock().unwrap().clone().unwrap_or_default()
    }

    /// Starts to search every packet for these byte strings.
    pub fn watch(&self, strings: Vec<Vec<u8>>) {
        *self.shared.watched.lock().unwrap() = strings;
        self.shared.sightings.lock().unwrap().clear();
    }

    /// Returns the packets with a watched byte string so far.
    pub fn sightings(&self) -> Vec<Sighting> {
        self.shared.sightings.lock().unwrap().clone()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.hosts.iter().for_each(|host| host.arrival.notify_all());
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
        for host in &self.shared.hosts {
            namespace::remove(&format!("{}{}", self.prefix, host.name));
        }
    }
}

/// Returns the time for which a link of this rate is busy with the given bytes.
fn busy(bytes: usize, kbit: u64) -> Duration {
    if kbit == 0 { Duration::ZERO } else { Duration::from_secs_f64(bytes as f64 * 8.0 / (kbit as f64 * 1000.0)) }
}

impl Host {
    fn note_destination(&self, packet: &Packet) {
        if let Some(all) = &mut *self.sent_to.lock().unwrap()
            && let (6 | 17, Some(to)) = (packet.protocol(), packet.destination())
        {
            all.insert(Destination { is_udp: packet.protocol() == 17, to });
        }
    }
}

impl Shared {
    /// Runs a host's uplink.
    fn send_loop(&self, i: usize) {
        let host = &self.hosts[i];
        let mut free = Instant::now();
        let mut last_arrival: BTreeMap<usize, Instant> = BTreeMap::new();
        let mut dice = mix(i as u64);
        let mut chance = || {
            dice = mix(dice);
            (dice >> 11) as f64 / (1u64 << 53) as f64
        };
        while !self.stop.load(Ordering::Relaxed) {
            let Some(packet) = host.tun.receive(Duration::from_millis(100)) else { continue };
            let now = Instant::now();
            self.look_into(host, &packet);
            host.note_destination(&packet);
            let link = *host.link.lock().unwrap();
            host.traffic.lock().unwrap().sent_bytes += packet.len() as u64;
            let (from, named) = (packet.source(), packet.destination().map(|address| address.ip()));
            let to = named.and_then(|ip| self.by_address.get(&ip).copied());
            if link.hidden {
                host.met.lock().unwrap().extend(named);
            }
            free = free.max(now);
            let full = free - now > QUEUE;
            if link.cut || full || chance() < link.loss {
                host.traffic.lock().unwrap().lost_packets += 1;
                continue;
            }
            free += busy(packet.len(), link.up_kbit);
            let Some(to) = to else { continue };
            let destination = &self.hosts[to];
            let far = *destination.link.lock().unwrap();
            let is_refused = far.hidden && from.is_none_or(|ip| !destination.met.lock().unwrap().contains(&ip));
            if far.cut || is_refused || chance() < far.loss {
                destination.traffic.lock().unwrap().lost_packets += 1;
                continue;
            }
            let jitter = chance() * link.jitter_ms + chance() * far.jitter_ms;
            let travel = Duration::from_secs_f64((link.delay_ms + far.delay_ms + jitter) / 1000.0);
            // Jitter delays packets but does not reorder them, since reordering would be a
            // different fault.
            let before = last_arrival.get(&to).copied().unwrap_or(free);
            let arrival = (free + travel).max(before);
            last_arrival.insert(to, arrival);
            let mut inbox = destination.inbox.lock().unwrap();
            inbox.count += 1;
            let count = inbox.count;
            inbox.travelling.push(Reverse((arrival, count, packet)));
            destination.arrival.notify_one();
        }
    }

    /// Runs a host's downlink.
    fn receive_loop(&self, i: usize) {
        let host = &self.hosts[i];
        let mut inbox = host.inbox.lock().unwrap();
        while !self.stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            while inbox.travelling.peek().is_some_and(|Reverse((arrival, ..))| *arrival <= now) {
                let Some(Reverse((arrival, _, packet))) = inbox.travelling.pop() else { break };
                let link = *host.link.lock().unwrap();
                let start = inbox.free.map_or(arrival, |free| free.max(arrival));
                if link.cut || start - arrival > QUEUE {
                    host.traffic.lock().unwrap().lost_packets += 1;
                    continue;
                }
                let passed = start + busy(packet.len(), link.down_kbit);
                inbox.free = Some(passed);
                inbox.passing.push_back((passed, packet));
            }
            let mut ready = Vec::new();
            while inbox.passing.front().is_some_and(|(passed, _)| *passed <= now) {
                ready.extend(inbox.passing.pop_front().map(|(_, packet)| packet));
            }
            if !ready.is_empty() {
                drop(inbox); // senders need not wait for the device
                for packet in &ready {
                    host.tun.send(packet);
                    host.traffic.lock().unwrap().received_bytes += packet.len() as u64;
                }
                inbox = host.inbox.lock().unwrap();
                continue;
            }
            let next_arrival = inbox.travelling.peek().map(|Reverse((arrival, ..))| *arrival);
            let next_passed = inbox.passing.front().map(|(passed, _)| *passed);
            let next = next_arrival.into_iter().chain(next_passed).min();
            let pause = next.map_or(Duration::from_millis(500), |next| next.saturating_duration_since(Instant::now()));
            inbox = host.arrival.wait_timeout(inbox, pause).unwrap().0;
        }
    }

    fn look_into(&self, host: &Host, packet: &Packet) {
        let watched = self.watched.lock().unwrap();
        for (i, wanted) in watched.iter().enumerate() {
            if packet.contains(wanted)
                && let Some(to) = packet.destination()
            {
                let sighting = Sighting { host: host.name.clone(), protocol: packet.protocol(), to, watched: i };
                self.sightings.lock().unwrap().push(sighting);
            }
        }
    }
}
