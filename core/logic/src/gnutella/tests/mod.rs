//! Situations of a leaf, with a driver that carries out nothing.

use super::*;
use bytes::Bytes;
use playswarm_proto::FileHashes;
use playswarm_proto::gnutella::{
    Area, Bye, Frame, Ggep, Ping, Pong, Query, Record, RouteReceiver, RouteUpdate, ServentFlag, Trailer, VendorMessage,
    flag, kind,
};
use std::net::Ipv4Addr;

mod bounds;
mod finding;
mod network;
mod probing;

/// A leaf, its time, and what it said.
struct Lab {
    leaf: Leaf,
    now: Time,
}

fn at(seconds: f64) -> Time {
    Time::from_secs_f64(seconds)
}

/// Returns a host in a network of its own.
fn host(n: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(60, n, 1, 1), 6346)
}

fn config(hosts: impl IntoIterator<Item = SocketAddrV4>) -> Config {
    let hosts = hosts.into_iter().collect();
    Config { key: [7; 32], links: 3, hosts, udp_caches: 2, web_caches: 1, udp: true }
}

impl Lab {
    fn new(config: &Config) -> Lab {
        Lab { leaf: Leaf::new(Time::ZERO, config), now: Time::ZERO }
    }

    /// Creates a leaf that is connected to this many ultrapeers, `host(1)` and so on.
    fn connected(count: u8) -> Lab {
        let mut lab = Lab::new(&config((1..=count).map(host)));
        for output in lab.handle(Input::Timeout) {
            if let Output::Dial { link, .. } = output {
                lab.handle(Input::Connected { link });
            }
        }
        assert_eq!(lab.leaf.ultrapeers().len(), usize::from(count));
        lab
    }

    fn handle(&mut self, input: Input) -> Vec<Output> {
        self.leaf.handle(self.now, input);
        std::iter::from_fn(|| self.leaf.poll()).collect()
    }

    /// Passes time, with each timeout that the leaf wants.
    fn wait(&mut self, seconds: f64) -> Vec<Output> {
        let end = self.now.plus_secs(seconds);
        let mut outputs = Vec::new();
        for _ in 0..200_000 {
            let next = self.leaf.next_timeout();
            if next > end {
                self.now = end;
                return outputs;
            }
            let before = self.now;
            self.now = self.now.max(next);
            outputs.extend(self.handle(Input::Timeout));
            assert!(self.leaf.next_timeout() > before, "a timeout must bring the leaf on");
        }
        panic!("the leaf wants too many timeouts");
    }

    /// Returns the link to a host.
    fn link(&self, address: SocketAddrV4) -> LinkKey {
        *self.leaf.links.iter().find(|(_, link)| link.address == address).unwrap().0
    }

    /// Lets the ultrapeer `host(n)` say something.
    fn hears(&mut self, n: u8, message: &Message, guid: Guid, ttl: u8) -> Vec<Output> {
        let (link, frame) = (self.link(host(n)), message.frame(guid, ttl).unwrap());
        self.handle(Input::Message { link, frame })
    }

    fn receives(&mut self, from: SocketAddrV4, message: &Message, guid: Guid) -> Vec<Output> {
        self.handle(Input::Datagram { from, frame: message.frame(guid, 1).unwrap() })
    }

    fn begins(&mut self, words: &str) -> Vec<Output> {
        self.handle(Input::Search { search: SEARCH, wanted: wanted(words) })
    }

    /// Returns the identifier of the search's query.
    fn query_guid(&self) -> Guid {
        self.leaf.search(SEARCH).unwrap().guid
    }

    fn results(&self) -> Vec<&Found> {
        self.leaf.results(SEARCH)
    }
}

const SEARCH: SearchKey = SearchKey(1);

fn wanted(words: &str) -> Wanted {
    let (hashes, kind) = (FileHashes::default(), None);
    Wanted { words: words.into(), hashes, kind, wait: Duration::from_secs(30), most: 100 }
}

fn guid(n: u8) -> Guid {
    Guid::of_random([n; 16])
}

fn hashes(n: u16) -> FileHashes {
    let mut sha1 = [0; 20];
    sha1[..2].copy_from_slice(&n.to_be_bytes());
    let mut hashes = FileHashes::default();
    hashes.sha1 = Some(sha1);
    hashes
}

fn record(n: u16, name: &str) -> Record {
    Record { index: u32::from(n) + 1, size: 1_000_000, name: name.into(), area: Area::of_urn(&hashes(n)) }
}

/// Returns a hit of a servent at an address, with a token for those out of band.
fn hit(address: SocketAddrV4, records: Vec<Record>, token: Option<&[u8]>) -> QueryHit {
    let ggep = token.map_or(Ggep::new(), |token| Ggep::new().with("SO", Bytes::copy_from_slice(token)));
    let trailer = Trailer::new(*b"TEST", &[(ServentFlag::HasUploaded, true)], ggep);
    let mut servent = [9; 16];
    servent[..4].copy_from_slice(&address.ip().octets());
    QueryHit { address, speed: 100, records, trailer: Some(trailer), servent: Guid(servent) }
}

/// Returns the messages that were sent on links, and the datagrams with their receivers.
fn sent(outputs: &[Output]) -> Vec<(LinkKey, Frame)> {
    let read = |output: &Output| match output {
        Output::Send { link, bytes } => Some((*link, Frame::from_datagram(bytes).unwrap())),
        _ => None,
    };
    outputs.iter().filter_map(read).collect()
}

fn datagrams(outputs: &[Output]) -> Vec<(SocketAddrV4, Guid, Message)> {
    let read = |output: &Output| match output {
        Output::SendTo { to, bytes } => {
            let frame = Frame::from_datagram(bytes).unwrap();
            Some((*to, frame.header.guid, Message::decode(&frame).unwrap()))
        }
        _ => None,
    };
    outputs.iter().filter_map(read).collect()
}

fn messages(outputs: &[Output]) -> Vec<Message> {
    sent(outputs).iter().map(|(_, frame)| Message::decode(frame).unwrap()).collect()
}

fn dialled(outputs: &[Output]) -> Vec<(LinkKey, SocketAddrV4)> {
    let read = |output: &Output| match output {
        Output::Dial { link, address } => Some((*link, *address)),
        _ => None,
    };
    outputs.iter().filter_map(read).collect()
}

/// Returns the pong of an ultrapeer that takes queries by UDP, with free slots for leaves.
fn ultrapeer_pong(address: SocketAddrV4, others: &[SocketAddrV4]) -> Pong {
    let ggep = Ggep::new().with("GUE", vec![2]).with("UP", vec![2, 10, 10]).with("IPP", packed(others));
    Pong { address, files: 0, kib: 8, ggep }
}

fn packed(addresses: &[SocketAddrV4]) -> Vec<u8> {
    let pack = |address: &SocketAddrV4| {
        let mut bytes = address.ip().octets().to_vec();
        bytes.extend(address.port().to_le_bytes());
        bytes
    };
    addresses.iter().flat_map(pack).collect()
}
