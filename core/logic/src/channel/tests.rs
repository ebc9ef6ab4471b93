//! Whole channels that exchange real messages over connections without delay.

use super::*;
use crate::relay::Dialled;
use crate::rng::Rng;
use crate::stripe::Cut;
use playswarm_proto::live::{CodeId, Minute, NodeId, Shape, SourceKey, Title};
use std::net::Ipv4Addr;

/// Bytes of a unit of the stream.
const UNIT: usize = 4000;

fn addr(node: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(20, 0, node as u8, 1), 6881))
}

fn key() -> SourceKey {
    SourceKey::from_seed(&[3; 32])
}

fn head(cast: u64, init: &[u8]) -> Head {
    Head {
        key: key().channel(),
        cast,
        revision: 0,
        started_ms: 0,
        shape: Shape::new(4, 1, CodeId::Xor).unwrap(),
        group_ms: 0,
        packet_bytes: 0,
        bytes_per_s: 40_000,
        margin_ms: 1000,
        name: "test".to_owned(),
        content_type: "video/mp2t".to_owned(),
        init: Bytes::copy_from_slice(init),
    }
}

struct Node {
    channel: Channel,
    /// What its player has been given.
    stream: Vec<u8>,
    ready: Vec<u64>,
    skips: usize,
    minutes: Vec<u32>,
    banned: Vec<PeerKey>,
    done: bool,
}

struct Net {
    now: Time,
    nodes: Vec<Option<Node>>,
    ends: BTreeMap<(usize, PeerKey), (usize, PeerKey)>,
    jobs: VecDeque<(usize, Input)>,
    next_peer: u32,
    pushed: Vec<u8>,
    rng: Rng,
    /// Changes messages on their way from this node.
    forger: Option<usize>,
    /// Packets of this stripe from this node are lost.
    loses: Option<(usize, u8)>,
    /// Sends a packet that it kept instead of each new one.
    replayer: Option<(usize, Vec<u8>)>,
    /// Nodes whose messages and dials are lost, as are those to them.
    offline: Vec<usize>,
    /// The source's clock, milliseconds since 1970 at the beginning of the test.
    unix_ms: u64,
}

impl Net {
    fn new(places: f64, init: &[u8]) -> Net {
        let now = Time::from_secs_f64(1.0);
        let mut net = Net {
            now,
            nodes: Vec::new(),
            ends: BTreeMap::new(),
            jobs: VecDeque::new(),
            next_peer: 0,
            pushed: Vec::new(),
            rng: Rng::new(9),
            forger: None,
            loses: None,
            replayer: None,
            offline: Vec::new(),
            unix_ms: 1_800_000_000_000,
        };
        net.begin(0, 7, places, init);
        net
    }

    /// A source begins a cast.
    fn begin(&mut self, node: usize, cast: u64, places: f64, init: &[u8]) {
        let unix_ms = self.unix_ms + self.now.0 / 1000;
        let cut = Cut { shape: Shape::new(4, 1, CodeId::Xor).unwrap(), ..Cut::of_rate(40_000) };
        let source = Source::new(self.now, unix_ms, key(), cut, head(cast, init)).unwrap();
        let channel = Channel::source(self.now, source, &Config::default(), NodeId(1000 + cast), 6881);
        self.place(node, channel, places);
    }

    fn place(&mut self, node: usize, channel: Channel, places: f64) {
        let made = Node {
            channel,
            stream: Vec::new(),
            ready: Vec::new(),
            skips: 0,
            minutes: Vec::new(),
            banned: Vec::new(),
            done: false,
        };
        if node == self.nodes.len() {
            self.nodes.push(Some(made));
        } else {
            self.nodes[node] = Some(made);
        }
        // A stripe costs a quarter of the stream, and its packets' signatures.
        let upload = places * (10_000.0 + 4.0 * PACKET_BYTES) / 0.9 + 10.0;
        self.give(node, Input::Relay(relay::Input::Upload(upload)));
    }

    fn join(&mut self, places: f64) -> usize {
        let node = self.nodes.len();
        let mut config = Config::default();
        config.relay.seed = node as u64;
        let channel = Channel::new(self.now, key().channel(), &config, NodeId(node as u64), 6881);
        self.place(node, channel, places);
        self.give(node, Input::Relay(relay::Input::Contact(addr(0), None)));
        node
    }

    /// Viewers with nine places each come, one a second.
    fn crowd(&mut self, count: usize) -> Vec<usize> {
        let come = |_| {
            let node = self.join(9.0);
            self.stream(1.0);
            node
        };
        (0..count).map(come).collect()
    }

    fn node(&self, node: usize) -> &Node {
        self.nodes[node].as_ref().unwrap()
    }

    fn give(&mut self, node: usize, input: Input) {
        self.jobs.push_back((node, input));
        while let Some((at, input)) = self.jobs.pop_front() {
            let now = self.now;
            let Some(node) = &mut self.nodes[at] else { continue };
            node.channel.handle(now, input);
            let outputs: Vec<Output> = std::iter::from_fn(|| node.channel.poll()).collect();
            outputs.into_iter().for_each(|output| self.carry_out(at, output));
        }
    }

    fn carry_out(&mut self, at: usize, output: Output) {
        let Some(node) = &mut self.nodes[at] else { return };
        match output {
            Output::Ready { group } => {
                // A new cast that began in the same event has replaced the groups before it.
                let Some((_, bytes)) = node.channel.read(group) else { return };
                node.stream.extend_from_slice(bytes);
                node.ready.push(group);
            }
            Output::Skip { .. } => node.skips += 1,
            Output::Minute(minute) => node.minutes.push(minute.number),
            Output::Done => node.done = true,
            Output::Ban(peer) => {
                node.banned.push(peer);
                self.close(at, peer);
            }
            Output::Close(peer) => self.close(at, peer),
            Output::Dial(to) => self.dial(at, to),
            Output::Send(peer, bytes, _) => {
                let Some((there, from)) = self.ends.get(&(at, peer)).copied() else { return };
                let mut bytes = bytes.to_vec();
                if [8, 12, 13].contains(&bytes[0]) && self.forger == Some(at) {
                    let last = bytes.len() - 1;
                    bytes[last] ^= 1;
                }
                if bytes[0] == 8 && self.loses == Some((at, bytes[95])) || self.is_cut(at, there) {
                    return;
                }
                if let Some((_, old)) = self.replayer.as_mut().filter(|(node, _)| bytes[0] == 8 && *node == at) {
                    if old.is_empty() {
                        old.clone_from(&bytes);
                    }
                    bytes.clone_from(old);
                }
                self.jobs.push_back((there, Input::Heard(from, bytes.into())));
            }
            _ => {}
        }
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.offline.contains(&a) != self.offline.contains(&b)
    }

    fn dial(&mut self, at: usize, to: SocketAddr) {
        let is_there = |n: &usize| addr(*n) == to && self.nodes[*n].is_some() && !self.is_cut(at, *n);
        let there = (0..self.nodes.len()).find(is_there);
        let Some(there) = there else {
            let failed = relay::Input::Dialled(to, Dialled::Failed);
            return self.jobs.push_back((at, Input::Relay(failed)));
        };
        let (a, b) = (PeerKey(self.next_peer), PeerKey(self.next_peer + 1));
        self.next_peer += 2;
        self.ends.insert((at, a), (there, b));
        self.ends.insert((there, b), (at, a));
        self.jobs.push_back((there, Input::Relay(relay::Input::Incoming(b, addr(at)))));
        self.jobs.push_back((at, Input::Relay(relay::Input::Dialled(to, Dialled::Connected(a)))));
    }

    fn close(&mut self, at: usize, peer: PeerKey) {
        if let Some((there, from)) = self.ends.remove(&(at, peer)) {
            self.ends.remove(&(there, from));
            self.jobs.push_back((there, Input::Left(from)));
        }
    }

    fn kill(&mut self, node: usize) {
        self.nodes[node] = None;
        let ends: Vec<(usize, PeerKey)> = self.ends.keys().copied().filter(|(n, _)| *n == node).collect();
        ends.into_iter().for_each(|(node, peer)| self.close(node, peer));
        while let Some((node, input)) = self.jobs.pop_front() {
            self.give(node, input);
        }
    }

    /// The source pushes this many seconds of the stream, ten units a second, every tenth a place
    /// to begin.
    fn stream(&mut self, seconds: f64) {
        for n in 0..(seconds * 10.0) as usize {
            let unit: Vec<u8> = (0..UNIT).map(|_| self.rng.next_u64() as u8).collect();
            self.pushed.extend_from_slice(&unit);
            self.give(0, Input::Cast(Cast::Bytes(unit.into(), n % 10 == 0)));
            self.pass(0.1);
        }
    }

    fn pass(&mut self, seconds: f64) {
        let end = self.now.plus_secs(seconds);
        loop {
            let due = |node: &Option<Node>| node.as_ref().map(|node| node.channel.next_timeout());
            let next = self.nodes.iter().enumerate().filter_map(|(n, node)| Some((due(node)?, n))).min();
            let Some((at, node)) = next.filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            self.give(node, Input::Timeout);
        }
        self.now = end;
    }

    /// Asserts that a node's stream is a suffix of the pushed bytes.
    fn assert_suffix(&self, node: usize) {
        let stream = &self.node(node).stream;
        assert!(!stream.is_empty(), "node {node} has no picture");
        assert!(self.pushed.ends_with(stream), "node {node} has other bytes than were pushed");
    }
}

#[test]
fn the_stream_reaches_everybody_byte_for_byte_though_the_source_feeds_two() {
    let mut net = Net::new(10.0, b"init");
    net.stream(3.0);
    let viewers = net.crowd(12);
    net.stream(3.0);
    net.pass(0.5);
    for node in &viewers {
        net.assert_suffix(*node);
        assert_eq!(net.node(*node).skips, 0);
        assert_eq!(net.node(*node).channel.head().unwrap().head().init, b"init"[..]);
    }
    let counts: Vec<_> = viewers.iter().map(|node| net.node(*node).channel.counts()).collect();
    let (accepted, twice) = counts.iter().fold((0, 0), |sum, c| (sum.0 + c.accepted, sum.1 + c.duplicate));
    assert!(twice * 50 < accepted, "{twice} of {accepted} packets came twice");
    let by_source: usize = (0..5).map(|stripe| net.node(0).channel.relay().feeds(stripe).len()).sum();
    assert!(by_source <= 10, "{by_source}");
}

#[test]
fn who_joins_late_begins_a_margin_behind_within_half_a_margin() {
    for extra in [0.2, 0.5, 0.8] {
        let mut net = Net::new(20.0, b"");
        net.stream(10.0);
        net.stream(extra);
        let node = net.join(5.0);
        let joined = net.now;
        while net.node(node).ready.is_empty() {
            net.pass(0.1);
            net.stream(0.1);
        }
        let waited_s = net.now.since(joined).as_secs_f64();
        assert!(waited_s < 0.8, "{waited_s} s");
        let (group, _) = net.node(node).channel.read(net.node(node).ready[0]).unwrap();
        assert!(group.is_restart());
        let age_ms = 1_800_000_000_000 + net.now.0 / 1000 - group.born_ms;
        // A restart group comes each second, and the one to begin with is chosen when its past comes fast.
        assert!((1000..=2300).contains(&age_ms), "{age_ms} ms");
    }
}

#[test]
fn a_relay_that_dies_costs_nobody_a_byte() {
    let mut net = Net::new(10.0, b"");
    net.stream(3.0);
    let viewers = net.crowd(10);
    net.stream(5.0);
    for victim in [viewers[0], viewers[3]] {
        let children: usize = (0..5).map(|stripe| net.node(victim).channel.relay().feeds(stripe).len()).sum();
        assert!(children > 0, "it feeds somebody");
        net.kill(victim);
        net.stream(3.0);
    }
    net.pass(0.5);
    for node in viewers.iter().filter(|node| net.nodes[**node].is_some()) {
        net.assert_suffix(*node);
        assert_eq!(net.node(*node).skips, 0);
    }
}

#[test]
fn relays_that_die_at_the_same_moment_cost_nobody_a_byte() {
    let mut net = Net::new(10.0, b"");
    net.stream(3.0);
    let viewers = net.crowd(12);
    net.stream(5.0);
    // More than parity replaces: what is missing is asked of others.
    let mut order = viewers.clone();
    order.sort_by_key(|n| (0..5).map(|stripe| net.node(*n).channel.relay().feeds(stripe).len()).sum::<usize>());
    let victims = order.split_off(order.len() - 3);
    let lost = |net: &Net, viewer: usize| {
        let parent = |stripe| net.node(viewer).channel.relay().parent(stripe).map(|parent| parent.node.0 as usize);
        (0..5).filter(|stripe| parent(*stripe).is_some_and(|parent| victims.contains(&parent))).count()
    };
    assert!(order.iter().any(|viewer| lost(&net, *viewer) >= 2), "somebody gets two stripes from them");
    victims.iter().for_each(|victim| net.kill(*victim));
    net.stream(5.0);
    net.pass(0.5);
    for node in order {
        net.assert_suffix(node);
        assert_eq!(net.node(node).skips, 0, "node {node}");
    }
}

#[test]
fn a_viewer_without_its_line_for_twenty_seconds_gets_all_that_it_missed_and_harms_nobody() {
    let mut net = Net::new(10.0, b"");
    net.stream(3.0);
    let viewers = net.crowd(8);
    net.stream(3.0);
    net.offline = vec![viewers[0]];
    net.stream(20.0);
    let had = net.node(viewers[0]).stream.len();
    net.offline.clear();
    net.stream(8.0);
    net.pass(0.5);
    assert!(net.node(viewers[0]).stream.len() > had + 20 * 10 * UNIT);
    for node in viewers {
        net.assert_suffix(node);
        assert_eq!(net.node(node).skips, 0, "node {node}");
    }
}

#[test]
fn a_node_that_replays_an_old_packet_is_left_and_its_children_lose_nothing() {
    let mut net = Net::new(10.0, b"");
    net.stream(3.0);
    let viewers = net.crowd(8);
    let replayer = viewers[0];
    let children = |net: &Net| (0..5).map(|n| net.node(replayer).channel.relay().feeds(n).len()).sum::<usize>();
    assert!(children(&net) > 0);
    net.replayer = Some((replayer, Vec::new()));
    net.stream(6.0);
    net.pass(0.5);
    for node in viewers.into_iter().filter(|node| *node != replayer) {
        net.assert_suffix(node);
        let (relay, skips) = (net.node(node).channel.relay(), net.node(node).skips);
        assert!((0..5).all(|stripe| relay.parent(stripe).is_none_or(|parent| parent.node.0 != replayer as u64)));
        assert_eq!(skips, 0);
    }
}

#[test]
fn a_source_with_a_wrong_clock_is_watched_like_any_other() {
    for unix_ms in [0, 1, 4_000_000_000_000, 1 << 50] {
        let mut net = Net::new(10.0, b"");
        net.unix_ms = unix_ms;
        net.begin(0, 7, 10.0, b"");
        net.stream(3.0);
        let viewers = net.crowd(3);
        net.stream(3.0);
        net.pass(0.5);
        for node in viewers {
            net.assert_suffix(node);
            assert_eq!(net.node(node).skips, 0);
        }
    }
}

#[test]
fn a_forger_is_banned_at_its_first_packet_and_reaches_nobody() {
    let mut net = Net::new(10.0, b"");
    net.stream(3.0);
    let viewers = net.crowd(8);
    let forger = viewers[0];
    let children: Vec<PeerKey> =
        (0..5).flat_map(|stripe| net.node(forger).channel.relay().feeds(stripe).to_vec()).collect();
    assert!(!children.is_empty());
    net.forger = Some(forger);
    net.stream(5.0);
    net.pass(0.5);
    for node in viewers.into_iter().filter(|node| *node != forger) {
        net.assert_suffix(node);
        assert!(
            (0..5).all(|stripe| net
                .node(node)
                .channel
                .relay()
                .parent(stripe)
                .is_none_or(|p| p.node.0 != forger as u64))
        );
        assert_eq!(net.node(node).skips, 0);
    }
    let bans: usize = net.nodes.iter().flatten().map(|node| node.banned.len()).sum();
    let refused: u64 = net.nodes.iter().flatten().map(|node| node.channel.counts().refused).sum();
    assert!(bans >= 1 && refused as usize == bans, "{bans} bans for {refused} packets");
}

#[test]
fn a_stripe_that_does_not_arrive_is_made_again_for_its_children() {
    let mut net = Net::new(10.0, b"");
    net.stream(3.0);
    let viewers = net.crowd(6);
    // The source loses one stripe on its way to everybody.
    let homes = |node: &usize| net.node(*node).channel.relay().homes();
    let stripe = viewers.iter().flat_map(|node| homes(node).iter()).find(|stripe| *stripe < 4).unwrap();
    net.loses = Some((0, stripe));
    let facts = |net: &Net, node: usize| {
        let counts = net.node(node).channel.counts();
        (counts.restored, counts.accepted, net.node(node).ready.len() as u64)
    };
    let before: Vec<_> = viewers.iter().map(|node| facts(&net, *node)).collect();
    net.stream(4.0);
    net.pass(0.5);
    assert!(facts(&net, viewers[0]).0 > before[0].0);
    let mut fed_by_viewers = 0;
    for (node, before) in viewers.into_iter().zip(before) {
        net.assert_suffix(node);
        assert_eq!(net.node(node).skips, 0);
        let parent = net.node(node).channel.relay().parent(stripe).unwrap().node;
        if parent != net.node(0).channel.relay().node() {
            fed_by_viewers += 1;
            let (_, accepted, groups) = facts(&net, node);
            let (packets, groups) = (accepted - before.1, groups - before.2);
            assert!(packets + 5 >= 5 * groups, "{packets} packets of {groups} groups: its parent made the fifth");
        }
    }
    assert!(fed_by_viewers > 0);
}

#[test]
fn a_head_of_several_parts_arrives_and_its_successor_too() {
    let init = vec![5; 200_000];
    let mut net = Net::new(10.0, &init);
    net.stream(3.0);
    let [a, b] = [0, 1].map(|_| {
        let node = net.join(9.0);
        net.stream(2.0);
        node
    });
    assert_eq!(net.node(b).channel.head().unwrap().head().init, init[..]);
    net.give(0, Input::Cast(Cast::Init { init: Bytes::from_static(b"new"), content_type: "video/mp2t".to_owned() }));
    net.stream(2.0);
    net.pass(0.5);
    for node in [a, b] {
        let head = net.node(node).channel.head().unwrap().head();
        assert_eq!((head.revision, &head.init[..]), (1, &b"new"[..]));
        net.assert_suffix(node);
        let last = *net.node(node).ready.last().unwrap();
        let (group, _) = net.node(node).channel.read(last).unwrap();
        assert_eq!(group.revision, 1);
    }
}

#[test]
fn a_source_that_comes_back_goes_on_as_a_new_cast() {
    let mut net = Net::new(5.0, b"one");
    net.stream(3.0);
    let [a, b] = [9.0, 9.0].map(|places| {
        let node = net.join(places);
        net.stream(2.0);
        node
    });
    net.kill(0);
    net.pass(3.0);
    net.pushed.clear();
    [a, b].into_iter().for_each(|node| net.nodes[node].as_mut().unwrap().stream.clear());
    net.begin(0, 8, 5.0, b"two");
    net.pass(5.0);
    net.stream(10.0);
    net.pass(0.5);
    for node in [a, b] {
        assert_eq!(net.node(node).channel.head().unwrap().head().cast, 8);
        net.assert_suffix(node);
    }
}

#[test]
fn a_source_that_comes_back_with_its_clock_set_back_begins_anew() {
    let mut net = Net::new(5.0, b"one");
    net.stream(3.0);
    let [a, b] = [9.0, 9.0].map(|places| {
        let node = net.join(places);
        net.stream(2.0);
        node
    });
    let began_ms = net.node(a).channel.head().unwrap().head().started_ms;
    net.kill(0);
    net.pass(3.0);
    net.pushed.clear();
    [a, b].into_iter().for_each(|node| net.nodes[node].as_mut().unwrap().stream.clear());
    // By a day.
    net.unix_ms -= 86_400_000;
    net.begin(0, 20, 5.0, b"two");
    net.pass(5.0);
    net.stream(10.0);
    net.pass(0.5);
    for node in [0, a, b] {
        assert_eq!(shown(&net, node), (21, began_ms + 1), "node {node}");
        assert!(net.node(node).banned.is_empty());
    }
    [a, b].into_iter().for_each(|node| net.assert_suffix(node));
    // Who signs with the same key and always begins later has the last word.
    for n in 1..10 {
        let (cast, started_ms) = shown(&net, 0);
        show(&mut net, 0, 98 + n, started_ms + 1000);
        let expected = if n < 4 { (cast + 1, started_ms + 1001) } else { (cast, started_ms) };
        assert_eq!(shown(&net, 0), expected, "answer {n}");
    }
}

/// Returns the cast that a node has, and when that began.
fn shown(net: &Net, node: usize) -> (u64, u64) {
    let head = net.node(node).channel.head().unwrap().head();
    (head.cast, head.started_ms)
}

/// A stranger shows a node a head that the source signed in another run.
fn show(net: &mut Net, node: usize, cast: u64, started_ms: u64) {
    let ours = net.node(node).channel.head().unwrap().head().clone();
    let bytes = SignedHead::new(&key(), &Head { cast, started_ms, ..ours }).unwrap().bytes().clone();
    net.give(node, Input::Relay(relay::Input::Incoming(PeerKey(500), addr(77))));
    net.give(node, Input::Heard(PeerKey(500), Message::Head { part: 0, parts: 1, bytes }.encode().into()));
}

#[test]
fn an_old_head_that_a_viewer_is_shown_climbs_to_the_source_which_begins_anew() {
    let mut net = Net::new(5.0, b"one");
    let (_, began_ms) = shown(&net, 0);
    net.stream(3.0);
    let viewers = net.crowd(2);
    net.stream(5.0);
    assert!(net.node(viewers[1]).channel.relay().parent(0).is_some_and(|parent| parent.node != NodeId(1007)));
    // The clock was a second ahead in that run: it began after this one, and before the present time.
    show(&mut net, viewers[1], 98, began_ms + 1000);
    net.stream(10.0);
    net.pass(0.5);
    for node in [0, viewers[0], viewers[1]] {
        assert_eq!(shown(&net, node), (8, began_ms + 1001), "node {node}");
        assert!(net.node(node).banned.is_empty());
    }
    for node in viewers {
        let stream = &net.node(node).stream;
        assert!(net.pushed.ends_with(&stream[stream.len() - 50 * UNIT..]), "node {node}");
    }
}

#[test]
fn a_stream_that_has_ended_does_not_begin_anew() {
    let mut net = Net::new(5.0, b"one");
    net.stream(3.0);
    let (cast, began_ms) = shown(&net, 0);
    net.give(0, Input::Cast(Cast::End));
    show(&mut net, 0, 98, began_ms + 1_000_000);
    assert_eq!(shown(&net, 0), (cast, began_ms));
}

#[test]
fn an_encoder_that_returns_more_often_than_a_cast_has_heads_begins_another() {
    let mut net = Net::new(5.0, b"one");
    net.stream(2.0);
    let viewer = net.join(9.0);
    net.stream(2.0);
    for n in 0..300_u32 {
        let init = Bytes::copy_from_slice(&n.to_be_bytes());
        net.give(0, Input::Cast(Cast::Init { init, content_type: "video/mp2t".to_owned() }));
        net.stream(0.1);
    }
    net.stream(3.0);
    net.pass(0.5);
    let head = net.node(viewer).channel.head().unwrap().head();
    assert_eq!((head.cast, head.revision, &head.init[..]), (8, 44, &299_u32.to_be_bytes()[..]));
    let stream = &net.node(viewer).stream;
    assert!(net.pushed.ends_with(&stream[stream.len() - 30 * UNIT..]), "the stream goes on after the change");
}

#[test]
fn who_leaves_is_done_once_its_children_are_fed_by_others() {
    let mut net = Net::new(10.0, b"");
    net.stream(3.0);
    let viewers = net.crowd(6);
    net.give(viewers[0], Input::Relay(relay::Input::Leave));
    net.stream(3.0);
    net.pass(0.5);
    assert!(net.node(viewers[0]).done);
    for node in &viewers[1..] {
        net.assert_suffix(*node);
        assert_eq!(net.node(*node).skips, 0);
        assert_eq!(net.node(*node).channel.relay().counters().orphaned, 0);
    }
}

#[test]
fn nonsense_is_banned_and_unknown_messages_are_not() {
    let mut net = Net::new(10.0, b"");
    net.give(0, Input::Relay(relay::Input::Incoming(PeerKey(500), addr(77))));
    net.give(0, Input::Heard(PeerKey(500), Bytes::from_static(&[250, 1, 2])));
    assert!(net.node(0).banned.is_empty());
    net.give(0, Input::Heard(PeerKey(500), Bytes::from_static(&[3, 1])));
    assert_eq!(net.node(0).banned, [PeerKey(500)]);
    // A head that is not the source's.
    net.give(0, Input::Relay(relay::Input::Incoming(PeerKey(501), addr(78))));
    net.give(0, Input::Heard(PeerKey(501), Bytes::from_static(&[2, 0, 1, 9, 9, 9])));
    assert_eq!(net.node(0).banned, [PeerKey(500), PeerKey(501)]);
}

/// The source announces a minute of its cast.
fn announce(net: &mut Net, cast: u64, number: u32) {
    let minute = Minute { cast, number, first: 1, end: 2, length: 1, ..Minute::default() };
    net.give(0, Input::Cast(Cast::Minute(minute)));
}

#[test]
fn minutes_reach_each_node_once_and_those_that_join_later() {
    let mut net = Net::new(10.0, b"");
    net.stream(3.0);
    let viewers = net.crowd(12);
    announce(&mut net, 7, 0);
    announce(&mut net, 7, 1);
    announce(&mut net, 7, 1);
    announce(&mut net, 8, 2);
    net.stream(1.0);
    let late = net.join(9.0);
    net.stream(1.0);
    for node in viewers.into_iter().chain([late, 0]) {
        assert_eq!(net.node(node).minutes, [0, 1], "node {node}");
        assert_eq!(net.node(node).channel.minutes().count(), 2);
        assert!(net.node(node).banned.is_empty());
    }
    // With the next cast, they are those of the past.
    net.begin(0, 8, 10.0, b"");
    net.kill(0);
    net.begin(0, 9, 10.0, b"");
    net.give(late, Input::Relay(relay::Input::Contact(addr(0), None)));
    net.stream(40.0);
    announce(&mut net, 9, 0);
    net.stream(1.0);
    assert_eq!(net.node(late).minutes, [0, 1, 0]);
    assert_eq!(net.node(late).channel.minutes().map(|m| m.minute.cast).collect::<Vec<_>>(), [9]);
}

#[test]
fn a_node_that_forges_a_minute_is_banned_and_its_minute_reaches_nobody() {
    let mut net = Net::new(10.0, b"");
    net.stream(3.0);
    let viewers = net.crowd(8);
    let forger = viewers[0];
    let children: usize = (0..5).map(|stripe| net.node(forger).channel.relay().feeds(stripe).len()).sum();
    assert!(children > 0);
    net.forger = Some(forger);
    announce(&mut net, 7, 0);
    net.stream(0.1);
    let bans: usize = net.nodes.iter().flatten().map(|node| node.banned.len()).sum();
    assert!(bans > 0, "it is noticed");
    for node in viewers {
        let length = |m: &SignedMinute| (m.minute.number, m.is_signed_by(&key().channel()));
        assert!(net.node(node).channel.minutes().map(length).all(|found| found == (0, true)));
    }
}

#[test]
fn the_newest_title_reaches_each_node_and_those_that_join_later() {
    let mut net = Net::new(10.0, b"");
    net.stream(3.0);
    let viewers = net.crowd(12);
    let play = |net: &mut Net, title: &str| net.give(0, Input::Cast(Cast::Title(title.to_owned())));
    let title = |net: &Net, node: usize| net.node(node).channel.title().map(str::to_owned);
    play(&mut net, "first");
    net.stream(0.1);
    assert_eq!(title(&net, viewers[11]).as_deref(), Some("first"));
    play(&mut net, "second");
    play(&mut net, "second");
    net.stream(1.0);
    let late = net.join(9.0);
    net.stream(1.0);
    for node in viewers.iter().copied().chain([late, 0]) {
        assert_eq!(title(&net, node).as_deref(), Some("second"), "node {node}");
        assert!(net.node(node).banned.is_empty());
        assert!(net.node(node).channel.title.as_ref().is_some_and(|signed| signed.title.number == 1));
    }
    play(&mut net, "");
    net.stream(0.1);
    assert_eq!(title(&net, late), None);
    // A new cast has its own.
    play(&mut net, "third");
    net.stream(0.1);
    net.begin(0, 8, 10.0, b"");
    net.kill(0);
    net.begin(0, 9, 10.0, b"");
    net.give(late, Input::Relay(relay::Input::Contact(addr(0), None)));
    net.stream(40.0);
    assert_eq!((net.node(late).channel.head().unwrap().head().cast, title(&net, late)), (9, None));
}

#[test]
fn a_source_sends_a_title_a_second_and_the_newest_at_last() {
    let mut net = Net::new(10.0, b"");
    let viewer = net.join(9.0);
    net.stream(2.0);
    for n in 0..100 {
        net.give(0, Input::Cast(Cast::Title(format!("title {n}"))));
        net.stream(0.1);
    }
    net.pass(1.0);
    let title = &net.node(viewer).channel.title.as_ref().unwrap().title;
    assert_eq!((title.text.as_str(), title.number), ("title 99", 10));
}

#[test]
fn a_node_that_asks_for_the_head_again_gets_the_title_too() {
    let mut net = Net::new(10.0, b"");
    net.give(0, Input::Cast(Cast::Title("on".to_owned())));
    net.give(0, Input::Relay(relay::Input::Incoming(PeerKey(500), addr(77))));
    let now = net.now;
    let channel = &mut net.nodes[0].as_mut().unwrap().channel;
    for _ in 0..2 {
        channel.handle(now, Input::Heard(PeerKey(500), Message::NeedHead.encode().into()));
        let sent: Vec<Message> = std::iter::from_fn(|| channel.poll())
            .filter_map(|output| match output {
                Output::Send(PeerKey(500), bytes, _) => Message::decode(bytes).unwrap(),
                _ => None,
            })
            .collect();
        assert!(
            matches!(&sent[..], [Message::Head { .. }, Message::Title(title)] if title.title.text == "on"),
            "{sent:?}"
        );
    }
}

#[test]
fn the_title_outlives_the_256th_head() {
    let mut net = Net::new(10.0, b"");
    let viewer = net.join(9.0);
    net.stream(1.0);
    net.give(0, Input::Cast(Cast::Title("on".to_owned())));
    for n in 0..=255u8 {
        let init = Bytes::copy_from_slice(&[n, 1]);
        net.give(0, Input::Cast(Cast::Init { init, content_type: "video/mp2t".to_owned() }));
    }
    net.stream(1.0);
    let channel = &net.node(viewer).channel;
    assert_eq!((channel.head().unwrap().head().cast, channel.title()), (8, Some("on")));
}

#[test]
fn a_node_that_forges_a_title_is_banned_and_its_title_reaches_nobody() {
    let mut net = Net::new(10.0, b"");
    net.stream(3.0);
    let viewers = net.crowd(8);
    net.forger = Some(viewers[0]);
    net.give(0, Input::Cast(Cast::Title("title".to_owned())));
    let title = Title::new(7, 9, "forged").sign(&SourceKey::from_seed(&[9; 32]));
    net.give(0, Input::Relay(relay::Input::Incoming(PeerKey(500), addr(77))));
    net.give(0, Input::Heard(PeerKey(500), Message::Title(title).encode().into()));
    net.stream(0.1);
    assert_eq!(net.node(0).banned, [PeerKey(500)]);
    for node in viewers {
        assert!(net.node(node).channel.title().is_none_or(|title| title == "title"));
    }
}
