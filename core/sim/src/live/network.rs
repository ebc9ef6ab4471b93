//! Where nodes are, and how long bytes take between them.

use crate::rng::Rng;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Transit domains, routers in each, stub domains at each of these, and routers in a stub domain.
const DOMAINS: usize = 4;
const TRANSIT: usize = 8;
const STUBS: usize = 3;
const STUB: usize = 8;
/// Delays of links between transit domains, within one or to a stub domain, and within a stub
/// domain: seconds one way.
const FAR_S: f64 = 0.02;
const MIDDLE_S: f64 = 0.005;
const NEAR_S: f64 = 0.001;
/// Loss on each link between transit routers.
const TRANSIT_LOSS: f64 = 0.001;

/// The network between the nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Network {
    /// Places in a plane, and a line of 1 to 5 ms for each node: round trips of 2 to 95 ms.
    Plane,
    /// The same round trip between all nodes, seconds.
    Even(f64),
    /// Routers in transit and stub domains, as GT-ITM makes them. Packets are lost on transit links.
    TransitStub,
}

/// The place of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    x_s: f64,
    y_s: f64,
    /// Delay of its own line, seconds one way.
    line_s: f64,
    router: usize,
}

/// The routers and their shortest paths.
#[derive(Debug, Default)]
pub(super) struct Routers {
    delays_s: Vec<Vec<f64>>,
    /// The router before the last on the way from the first index to the second.
    before: Vec<Vec<usize>>,
}

/// The built network.
#[derive(Debug)]
pub(super) struct Map {
    network: Network,
    routers: Routers,
}

impl Map {
    pub(super) fn new(network: Network, rng: &mut Rng) -> Map {
        let routers = match network {
            Network::TransitStub => Routers::new(rng),
            _ => Routers::default(),
        };
        Map { network, routers }
    }

    pub(super) fn place(&self, rng: &mut Rng) -> Place {
        let router = DOMAINS * TRANSIT + rng.below((DOMAINS * TRANSIT * STUBS * STUB) as u64) as usize;
        Place { x_s: rng.between(0.0, 0.06), y_s: rng.between(0.0, 0.06), line_s: rng.between(0.001, 0.005), router }
    }

    /// Returns the delay between two nodes, seconds one way.
    pub(super) fn delay_s(&self, a: &Place, b: &Place) -> f64 {
        match self.network {
            Network::Plane => (a.x_s - b.x_s).hypot(a.y_s - b.y_s) / 2.0 + a.line_s + b.line_s,
            Network::Even(rtt_s) => rtt_s / 2.0,
            Network::TransitStub => self.routers.delays_s[a.router][b.router] + a.line_s + b.line_s,
        }
    }

    /// Returns the share of packets that are lost between two nodes.
    pub(super) fn loss(&self, a: &Place, b: &Place) -> f64 {
        let transit = self.path(a, b).windows(2).filter(|link| link.iter().all(|r| *r < DOMAINS * TRANSIT)).count();
        1.0 - (1.0 - TRANSIT_LOSS).powi(transit as i32)
    }

    /// Returns the routers from one node to another.
    pub(super) fn path(&self, a: &Place, b: &Place) -> Vec<usize> {
        let Some(before) = self.routers.before.get(a.router) else { return Vec::new() };
        let mut path = vec![b.router];
        while let Some(last) = path.last().copied().filter(|last| *last != a.router) {
            path.push(before[last]);
        }
        path.reverse();
        path
    }

    /// Returns the copies of a packet on each link that carries any, from the pairs of nodes that
    /// pass it on.
    pub(super) fn stress(&self, hops: impl Iterator<Item = (Place, Place)>) -> Vec<u32> {
        let mut copies: BTreeMap<(usize, usize), u32> = BTreeMap::new();
        for (from, to) in hops {
            for link in self.path(&from, &to).windows(2) {
                *copies.entry((link[0], link[1])).or_insert(0) += 1;
            }
        }
        copies.into_values().collect()
    }
}

impl Routers {
    fn new(rng: &mut Rng) -> Routers {
        let transit = DOMAINS * TRANSIT;
        let count = transit + transit * STUBS * STUB;
        let mut links: Vec<Vec<(usize, f64)>> = vec![Vec::new(); count];
        let mut link = |a: usize, b: usize, s: f64| {
            links[a].push((b, s));
            links[b].push((a, s));
        };
        // Each domain is a ring with some chords; all pairs of transit domains are linked.
        let mut ring = |rng: &mut Rng, first: usize, size: usize, s: f64| {
            for i in 0..size {
                link(first + i, first + (i + 1) % size, s);
            }
            for _ in 0..size / 4 {
                let (a, b) = (rng.below(size as u64) as usize, rng.below(size as u64) as usize);
                if a != b {
                    link(first + a, first + b, s);
                }
            }
        };
        for domain in 0..DOMAINS {
            ring(rng, domain * TRANSIT, TRANSIT, MIDDLE_S);
        }
        for stub in 0..transit * STUBS {
            ring(rng, transit + stub * STUB, STUB, NEAR_S);
        }
        for stub in 0..transit * STUBS {
            link(stub / STUBS, transit + stub * STUB + rng.below(STUB as u64) as usize, MIDDLE_S);
        }
        for a in 0..DOMAINS {
            for b in 0..a {
                let end = |rng: &mut Rng, domain: usize| domain * TRANSIT + rng.below(TRANSIT as u64) as usize;
                let (a, b) = (end(rng, a), end(rng, b));
                link(a, b, FAR_S);
            }
        }
        let (delays_s, before) = (0..count).map(|from| shortest(&links, from)).unzip();
        Routers { delays_s, before }
    }
}

/// Returns the delays from a router to all, and the router before the last of each way.
fn shortest(links: &[Vec<(usize, f64)>], from: usize) -> (Vec<f64>, Vec<usize>) {
    let mut delays = vec![f64::INFINITY; links.len()];
    let mut before = vec![from; links.len()];
    let mut heap = BinaryHeap::from([Reverse((0u64, from))]);
    delays[from] = 0.0;
    while let Some(Reverse((us, at))) = heap.pop() {
        if us > (delays[at] * 1e6).round() as u64 {
            continue;
        }
        for (to, s) in &links[at] {
            let delay = delays[at] + s;
            if delay + 1e-9 < delays[*to] {
                delays[*to] = delay;
                before[*to] = at;
                heap.push(Reverse(((delay * 1e6).round() as u64, *to)));
            }
        }
    }
    (delays, before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_router_is_reached_and_a_path_is_as_long_as_its_links() {
        let mut rng = Rng::new(1);
        let map = Map::new(Network::TransitStub, &mut rng);
        let (a, b) = (map.place(&mut rng), map.place(&mut rng));
        assert!(map.routers.delays_s.iter().flatten().all(|s| s.is_finite()));
        let path = map.path(&a, &b);
        assert_eq!((path.first(), path.last()), (Some(&a.router), Some(&b.router)));
        let sum: f64 = path.windows(2).map(|link| map.routers.delays_s[link[0]][link[1]]).sum();
        assert!((map.delay_s(&a, &b) - sum - a.line_s - b.line_s).abs() < 1e-9);
    }

    #[test]
    fn copies_are_counted_on_each_link() {
        let mut rng = Rng::new(1);
        let map = Map::new(Network::TransitStub, &mut rng);
        let (a, b) = (map.place(&mut rng), map.place(&mut rng));
        let stress = map.stress([(a, b), (a, b)].into_iter());
        assert_eq!(stress.len(), map.path(&a, &b).len() - 1);
        assert!(stress.iter().all(|copies| *copies == 2));
    }
}
