//! Who gets a place, and where the others are sent: the policies by name.
//!
//! `Add` decides what a node without a free place does with a newcomer, `Delete` where the children
//! of a leaving node go. All but ours are those of SpreadIt (Deshpande, Bawa, Garcia-Molina:
//! "Streaming Live Media over a Peer-to-Peer Network", Stanford 2001, section V). They see one
//! model, [`Model`], and no messages.

use super::coordinates::Position;
use crate::rng::Rng;
use crate::{PeerKey, Time};
use playswarm_proto::live::{NodeId, Target};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::net::IpAddr;

/// What a node without a free place does with a newcomer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Add {
    /// Ours: to the free place that is nearest to the source.
    #[default]
    Nearest,
    /// To a random child.
    Random,
    /// To the children in turn.
    RoundRobin,
    /// To the child nearest to the newcomer.
    SmartPlacement,
    /// A newcomer nearer than every child takes the place of the farthest; others go to the child
    /// nearest to them.
    KnockDowns,
    /// A newcomer with more upload takes this node's own place; others go to a random child.
    SmartBandwidth,
}

/// Where the children of a node go that leaves or fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Delete {
    /// Ours: to neighbours with free places; to the source last.
    #[default]
    Spares,
    /// Children to the leaving node's parent.
    Grandfather,
    /// All descendants to the leaving node's parent.
    GrandfatherAll,
    /// Children to the source.
    Root,
    /// All descendants to the source.
    RootAll,
}

impl Delete {
    /// Returns whether all descendants move, and not the children alone.
    pub(super) fn is_all(self) -> bool {
        matches!(self, Delete::GrandfatherAll | Delete::RootAll)
    }

    /// Returns whether orphans ask the source first.
    pub(super) fn is_root(self) -> bool {
        matches!(self, Delete::Root | Delete::RootAll)
    }
}

/// How the distance of two nodes is estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Distance {
    /// By coordinates (Vivaldi).
    #[default]
    Coordinates,
    /// By the routers that their routes from the source share.
    Route,
    /// By the bits that their addresses share.
    Prefix,
}

/// Where a node is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Location {
    /// Its coordinates.
    pub position: Position,
    /// Its address.
    pub ip: Option<IpAddr>,
    /// Hashes of the routers from the source to it.
    pub route: Vec<u32>,
}

impl Location {
    /// Returns the distance to another node: seconds, routers or bits.
    pub(super) fn distance(&self, other: &Location, by: Distance) -> f64 {
        match by {
            Distance::Coordinates => self.position.distance_s(&other.position),
            Distance::Route => {
                let shared = self.route.iter().zip(&other.route).take_while(|(a, b)| a == b).count();
                (self.route.len() + other.route.len() - 2 * shared) as f64
            }
            Distance::Prefix => match (self.ip, other.ip) {
                (Some(a), Some(b)) => f64::from(128 - shared_bits(a, b)),
                _ => 128.0,
            },
        }
    }
}

fn shared_bits(a: IpAddr, b: IpAddr) -> u32 {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(ip.to_ipv6_mapped()),
        IpAddr::V6(ip) => u128::from(ip),
    };
    (bits(a) ^ bits(b)).leading_zeros()
}

/// A child in a stripe's tree, as its parent knows it.
#[derive(Clone, Debug)]
pub(super) struct Child {
    /// Connection to it.
    pub peer: PeerKey,
    /// The child.
    pub node: NodeId,
    /// Time since which it is a child.
    pub since: Time,
    /// Children that it can have in this stripe.
    pub gives: u16,
    /// Children that it can have in all stripes.
    pub capacity: u16,
    /// Nodes in its tree, itself included.
    pub subtree: u16,
    /// Free places in its tree.
    pub spare: u16,
    /// The free place in its tree that is nearest to the source.
    pub best: Option<Target>,
    /// The node in its tree, nearest to the source, with a child that gives little: `free` is what
    /// this child gives.
    pub step: Option<Target>,
    /// Where it is.
    pub location: Location,
}

/// A node that asks for a place.
#[derive(Clone, Debug)]
pub(super) struct Newcomer {
    /// The node.
    pub node: NodeId,
    /// Children that it can have in this stripe.
    pub gives: u16,
    /// Children that it can have in all stripes.
    pub capacity: u16,
    /// Where it is.
    pub location: Location,
}

/// What a policy sees.
pub(super) struct Model<'a> {
    pub(super) by: Distance,
    pub(super) step_in: bool,
    pub(super) is_source: bool,
    pub(super) capacity: u16,
    pub(super) location: &'a Location,
    /// The children, in the order of [`Add::RoundRobin`].
    pub(super) children: &'a [Child],
    /// Whether no child is being moved: until another feeds it, it costs a place more.
    pub(super) calm: bool,
    /// Free places outside the tree below this node.
    pub(super) kin: &'a [Target],
}

/// What to do with a newcomer for whom there is no free place.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Send it to these free places.
    Places(Vec<Target>),
    /// Send it to these children, best first.
    Children(Vec<PeerKey>),
    /// Take it in place of this child, which goes to the newcomer.
    Replace(PeerKey),
    /// Send it to our parent to take our own place.
    StepUp,
    /// Nobody has a place.
    Refuse,
}

impl Add {
    /// Decides about a newcomer. `asked` are the nodes that it asked in vain.
    pub(super) fn decide(self, rng: &mut Rng, model: &Model<'_>, new: &Newcomer, asked: &[NodeId]) -> Verdict {
        let children = model.children;
        match self {
            _ if children.is_empty() => Verdict::Refuse,
            Add::Nearest => nearest(rng, model, new, asked),
            Add::Random => Verdict::Children(random(rng, children)),
            Add::RoundRobin => Verdict::Children(vec![children[0].peer]),
            Add::SmartPlacement => Verdict::Children(by_distance(children, &new.location, model.by)),
            Add::KnockDowns => {
                let distance = |child: &Child| child.location.distance(model.location, model.by);
                let own = new.location.distance(model.location, model.by);
                let farthest = children.iter().max_by(|a, b| distance(a).total_cmp(&distance(b)));
                match farthest {
                    Some(farthest) if new.gives > 0 && children.iter().all(|child| own < distance(child)) => {
                        Verdict::Replace(farthest.peer)
                    }
                    _ => Verdict::Children(by_distance(children, &new.location, model.by)),
                }
            }
            Add::SmartBandwidth if !model.is_source && new.capacity > model.capacity => Verdict::StepUp,
            Add::SmartBandwidth => Verdict::Children(random(rng, children)),
        }
    }
}

/// Returns whether a child gives its place to a newcomer: if that can feed at least twice as many.
/// A stripe whose places are all taken by nodes that feed nobody can get no further giver, and
/// starves; and the more a node near the source feeds, the less deep the tree is.
pub(super) fn gives_way(child_gives: u16, newcomer_gives: u16) -> bool {
    newcomer_gives > 0 && newcomer_gives >= child_gives.saturating_mul(2)
}

/// Ours. A newcomer takes the place of a child that gives way to it. Any other goes to the place
/// that is nearest to the source: a free one, or that of a node that gives way.
fn nearest(rng: &mut Rng, model: &Model<'_>, new: &Newcomer, asked: &[NodeId]) -> Verdict {
    let steps_in = |gives: u16| model.step_in && gives_way(gives, new.gives);
    let weak = model.children.iter().filter(|child| steps_in(child.gives) && (model.calm || child.gives == 0));
    if let Some(out) = weak.min_by_key(|child| (child.gives, Reverse(child.since))) {
        return Verdict::Replace(out.peer);
    }
    let is_new = |node: NodeId| node != new.node && !asked.contains(&node);
    let below = model.children.iter().flat_map(|child| [child.best, child.step.filter(|place| steps_in(place.free))]);
    let mut places: Vec<(u8, u64, Target)> = (below.flatten().chain(model.kin.iter().copied()))
        .filter(|place| is_new(place.node))
        .map(|place| (place.depth, rng.next_u64(), place))
        .collect();
    places.sort_unstable_by_key(|(depth, draw, _)| (*depth, *draw));
    if !places.is_empty() {
        return Verdict::Places(places.into_iter().map(|(_, _, place)| place).collect());
    }
    // Where the places are is not known exactly any more: newcomers were sent to those reported.
    let mut roomy: Vec<&Child> = model.children.iter().filter(|child| child.spare > 0 && is_new(child.node)).collect();
    roomy.sort_by_key(|child| Reverse(child.spare));
    match roomy.is_empty() {
        true => Verdict::Refuse,
        false => Verdict::Children(roomy.into_iter().map(|child| child.peer).collect()),
    }
}

fn random(rng: &mut Rng, children: &[Child]) -> Vec<PeerKey> {
    vec![children[rng.below(children.len() as u32) as usize].peer]
}

fn by_distance(children: &[Child], of: &Location, by: Distance) -> Vec<PeerKey> {
    let nearest = children.iter().min_by(|a, b| {
        let (a, b) = (a.location.distance(of, by), b.location.distance(of, by));
        a.total_cmp(&b)
    });
    nearest.map(|child| child.peer).into_iter().collect()
}
