//! The tree grain: four groups a second, each played along the trees as they are at its birth.
//!
//! Delays add up along paths: the way, the line, and the packets before it on the line. A node with
//! enough packets of a group makes the others. What did not come is resumed from a new parent, or
//! asked from neighbours, as the assembler does.

use super::node::HALF_MARGIN_MS;
use super::world::{Event, PACKET_BYTES, World};
use playswarm_logic::relay::Input;
use playswarm_logic::stripe::Config;
use playswarm_logic::{PeerKey, Time};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Time between two groups, seconds.
const STEP_S: f64 = 0.25;
/// Groups that a node remembers.
const HELD: u64 = 64;

/// What a group's way through the trees needs.
#[derive(Default)]
pub(super) struct Scratch {
    heap: BinaryHeap<Reverse<(Time, usize, u8, PeerKey)>>,
    /// For each node: packets received, packets passed on, when its line is free, and when it had
    /// enough.
    got: Vec<u32>,
    passed: Vec<u32>,
    free_at: Vec<Time>,
    whole_at: Vec<Option<Time>>,
}

/// Returns when a group is complete at the source.
fn cut(group: u64) -> Time {
    Time::from_secs_f64(group as f64 * STEP_S)
}

impl World<'_> {
    pub(super) fn sample(&mut self, group: u64) {
        self.now = self.now.max(cut(group));
        self.events.push(cut(group + 1), Event::Group(group + 1));
        let mut scratch = std::mem::take(&mut self.scratch);
        let count = self.nodes.len();
        for list in [&mut scratch.got, &mut scratch.passed] {
            list.clear();
            list.resize(count, 0);
        }
        scratch.free_at.clear();
        scratch.free_at.resize(count, Time::ZERO);
        scratch.whole_at.clear();
        scratch.whole_at.resize(count, None);
        for stripe in 0..self.stripes {
            scratch.heap.push(Reverse((self.now, 0, stripe, PeerKey(0))));
        }
        while let Some(Reverse((when, node, stripe, from))) = scratch.heap.pop() {
            if self.nodes[node].alive {
                self.pass(&mut scratch, group, when, node, stripe, from);
            }
        }
        for node in 0..count {
            if self.nodes[node].alive {
                let next = Some(group + 1).filter(|_| self.nodes[node].player.has_begun());
                self.nodes[node].relay.handle(self.now, Input::Next(next));
                self.take_group(node, group, scratch.whole_at[node]);
                self.drain(node);
            }
        }
        self.scratch = scratch;
    }

    /// Returns when a group began: as with packets, its length before it is complete.
    fn born(&self, group: u64) -> Time {
        Time(cut(group).0.saturating_sub(self.scenario.group_ms() * 1000))
    }

    /// A packet reaches a node, which passes it on.
    fn pass(&mut self, scratch: &mut Scratch, group: u64, when: Time, node: usize, stripe: u8, from: PeerKey) {
        let share = self.channel().stripe_bytes_per_s * STEP_S;
        let here = &mut self.nodes[node];
        here.counted.received += if node == 0 { 0 } else { share as u64 };
        here.first_packet.get_or_insert(when);
        if scratch.got[node] & 1 << stripe != 0 {
            // In packets, as the other grain counts them.
            here.counted.duplicates += (share / (self.packet_bytes + PACKET_BYTES) as f64) as u64;
            return;
        }
        scratch.got[node] |= 1 << stripe;
        here.relay.handle(self.now, Input::Arrived { from, stripe, group });
        self.forward(scratch, when, node, stripe);
        let count = scratch.got[node].count_ones();
        if count == u32::from(self.scenario.trees.data) && scratch.whole_at[node].is_none() {
            scratch.whole_at[node] = Some(when);
            for made in 0..self.stripes {
                self.forward(scratch, when, node, made);
            }
        }
    }

    fn forward(&mut self, scratch: &mut Scratch, when: Time, node: usize, stripe: u8) {
        if self.nodes[node].lies || scratch.passed[node] & 1 << stripe != 0 {
            return;
        }
        scratch.passed[node] |= 1 << stripe;
        let bytes = (self.packet_bytes + PACKET_BYTES) as f64;
        let share = (self.channel().stripe_bytes_per_s * STEP_S) as u64;
        let takes_s = bytes / self.line_rate(node);
        let mut next = 0;
        while let Some(peer) = self.nodes[node].relay.feeds(stripe).get(next).copied() {
            next += 1;
            let Some(end) = self.nodes[node].ends.get(&peer).copied().filter(|end| !end.is_closed) else { continue };
            self.nodes[node].counted.sent += share;
            let left = when.max(scratch.free_at[node]).plus_secs(takes_s);
            scratch.free_at[node] = left;
            let loss = self.scenario.loss + self.map.loss(&self.nodes[node].place, &self.nodes[end.node].place);
            if loss > 0.0 && self.rng.chance(loss) {
                continue;
            }
            let when = left.plus_secs(self.delay_s(node, end.node));
            scratch.heap.push(Reverse((when, end.node, stripe, end.peer)));
        }
    }

    /// A viewer has found a parent: it begins to play once enough stripes flow.
    pub(super) fn begin(&mut self, at: usize) {
        let needed = usize::from(self.scenario.trees.data);
        if self.nodes[at].player.has_begun() || self.nodes[at].relay.fed() < needed {
            return;
        }
        let mut ways: Vec<f64> = (0..self.stripes)
            .filter_map(|stripe| self.nodes[at].fed_by(stripe))
            .filter(|parent| *parent == 0 || self.nodes[*parent].sampled.held & 3 != 0)
            .map(|parent| self.delay_s(parent, at))
            .collect();
        ways.sort_by(f64::total_cmp);
        if let Some(way_s) = needed.checked_sub(1).and_then(|last| ways.get(last)) {
            self.start(at, self.now.plus_secs(*way_s));
        }
    }

    /// The first picture: that of the newest restart group that is half a margin old, once it is a
    /// margin old.
    fn start(&mut self, at: usize, when: Time) {
        let each_s = self.scenario.restart_s;
        let half_margin_s = HALF_MARGIN_MS as f64 / 1000.0;
        let restart_s = ((self.now.as_secs_f64() - half_margin_s) / each_s).floor() * each_s;
        let margin_at = Time::from_secs_f64(restart_s + Config::default().margin_s);
        let node = &mut self.nodes[at];
        node.first_packet.get_or_insert(when);
        node.player.ready(when.max(margin_at), Time::from_secs_f64(restart_s));
    }

    /// Gives the player what it can play.
    fn take_group(&mut self, at: usize, group: u64, whole_at: Option<Time>) {
        let sampled = &mut self.nodes[at].sampled;
        sampled.held = sampled.held << 1 | u64::from(whole_at.is_some());
        if at == 0 {
            return;
        }
        if !self.nodes[at].player.has_begun() {
            if let Some(when) = whole_at {
                self.start(at, when);
            }
            return;
        }
        let sampled = &mut self.nodes[at].sampled;
        sampled.groups += 1;
        sampled.unfed += u32::from(whole_at.is_none());
        sampled.awaited.push_back((group, whole_at));
        for i in 0..self.nodes[at].sampled.awaited.len() {
            let (number, ready) = self.nodes[at].sampled.awaited[i];
            if ready.is_none()
                && let Some(when) = self.recover(at, number, group)
            {
                let sampled = &mut self.nodes[at].sampled;
                sampled.awaited[i].1 = Some(when);
                sampled.held |= 1 << (group - number).min(HELD - 1);
            }
        }
        self.play_out(at, group);
    }

    fn play_out(&mut self, at: usize, newest: u64) {
        let patience_s = Config::default().patience_s;
        let now = self.now;
        let mut last = Time::ZERO;
        while let Some((number, ready)) = self.nodes[at].sampled.awaited.front().copied() {
            let born = self.born(number);
            let node = &mut self.nodes[at];
            match ready {
                Some(when) => {
                    last = last.max(when);
                    node.player.ready(last, born);
                }
                // A later place to go on must be there.
                None if now.since(born).as_secs_f64() > patience_s && node.sampled.held & 1 != 0 => {
                    let lost = node.sampled.awaited.iter().take_while(|(_, ready)| ready.is_none()).count();
                    node.sampled.awaited.drain(1..lost.max(1));
                    node.player.skip(now, lost as f64 * STEP_S);
                }
                None => break,
            }
            node.sampled.awaited.pop_front();
        }
        let node = &mut self.nodes[at];
        // Without any stream for long, nothing but the newest will be played.
        while node.sampled.awaited.front().is_some_and(|(number, _)| newest - number >= HELD) {
            node.sampled.awaited.pop_front();
        }
    }

    /// Returns when a group that did not come is complete: from parents that have it, or from a
    /// neighbour.
    fn recover(&self, at: usize, number: u64, newest: u64) -> Option<Time> {
        let bit = 1u64.checked_shl((newest - number) as u32)?;
        let age_s = self.now.since(self.born(number)).as_secs_f64();
        let has =
            |node: usize| self.nodes[node].alive && !self.nodes[node].lies && self.nodes[node].sampled.held & bit != 0;
        let node = &self.nodes[at];
        if age_s < STEP_S || !self.scenario.repair && !self.scenario.trees.relay.neighbours {
            return None;
        }
        let parents = (0..self.stripes).filter_map(|stripe| node.fed_by(stripe)).filter(|parent| has(*parent));
        if parents.count() >= usize::from(self.scenario.trees.data) {
            let way_s = (0..self.stripes).filter_map(|s| Some(self.delay_s(node.fed_by(s)?, at))).fold(0.0, f64::max);
            return Some(self.now.plus_secs(way_s));
        }
        if !self.scenario.repair || age_s < Config::default().want_after_s {
            return None;
        }
        let neighbours = node.ends.values().filter(|end| !end.is_closed && has(end.node));
        let way_s = neighbours.map(|end| self.delay_s(at, end.node)).min_by(f64::total_cmp)?;
        Some(self.now.plus_secs(2.0 * way_s))
    }
}
