//! The run: takes the earliest event, lets the network or the viewer act, passes inputs to the
//! machine and carries out its outputs.
//!
//! This file has the loop and the connections between the parts. `network` has the network's
//! actions, `viewer` the readers'.

mod network;
mod viewer;
pub use viewer::describe;

use crate::events::{Event, Events, Up};
use crate::link::Link;
use crate::machine::Machine;
use crate::measure::{PeerLoad, Report, Wait};
use crate::peer::Peer;
use crate::policy::Policy;
use crate::reader::{Reader, State};
use crate::rng::Rng;
use crate::spec::Scenario;
use crate::store::Store;
use playswarm_logic::picker::{Config, Input, Output, Picker};
use playswarm_logic::{BlockRef, Layout, PeerKey, ReaderKey, Time};
use std::collections::{BTreeMap, VecDeque};

/// Timeouts at one moment after which a machine counts as broken.
const MOST_TIMEOUTS_AT_ONCE: u32 = 1000;

/// How a run is observed.
#[derive(Default)]
pub struct Options<'a> {
    /// Called with each relevant event as a line, and its time.
    #[allow(clippy::type_complexity)] // A named type would be less clear.
    pub trace: Option<&'a mut dyn FnMut(Time, &str)>,
    /// Whether the machine's invariants are checked after every input (slow).
    pub check: bool,
}

struct World<'a, 't, M: Machine> {
    now: Time,
    scenario: &'a Scenario,
    layout: Layout,
    events: Events,
    rng: Rng,
    machine: &'a mut M,
    peers: Vec<Peer>,
    link: Link,
    store: Store,
    readers: Vec<Reader>,
    dialled: usize,
    next_key: u32,
    wake_at: Time,
    timeouts_now: u32,
    options: Options<'t>,
    waits: Vec<Wait>,
    faults: BTreeMap<String, u64>,
    inputs: u64,
    delivered: u64,
    /// Bytes delivered in each second of the run.
    by_second: Vec<u64>,
    complete_at: Option<Time>,
    /// Number of GETs to sources over HTTP.
    gets: u64,
    stored: u64,
    broken: Option<String>,
}

macro_rules! trace {
    ($world:expr, $($text:tt)*) => {
        if let Some(trace) = &mut $world.options.trace {
            trace($world.now, &format!($($text)*));
        }
    };
}
use trace;

/// Plays a scenario with the real picker.
///
/// # Errors
/// As [`run`].
pub fn run_policy(scenario: &Scenario, policy: Policy, seed: u64, options: Options<'_>) -> Result<Report, String> {
    let layout = layout_of(scenario)?;
    let have = playswarm_logic::Bits::new(layout.pieces());
    let config = Config { seed, ..Config::default() };
    let mut picker = Picker::new(layout, &have, config);
    if let Some(rule) = policy.rule() {
        picker = picker.with_rule(rule);
    }
    run(scenario, &mut picker, policy.name(), seed, options)
}

fn layout_of(scenario: &Scenario) -> Result<Layout, String> {
    Layout::new(scenario.total_bytes, scenario.piece_bytes).ok_or_else(|| "The scenario has an empty torrent.".into())
}

/// Plays a scenario with any machine, which starts with nothing.
///
/// # Errors
/// If the machine contradicts itself (with [`Options::check`]), or sets its timeout to the same
/// moment repeatedly.
pub fn run<M: Machine>(
    scenario: &Scenario,
    machine: &mut M,
    policy: &str,
    seed: u64,
    options: Options<'_>,
) -> Result<Report, String> {
    let layout = layout_of(scenario)?;
    let rng = Rng::new(seed);
    let mut peers = Vec::new();
    for group in &scenario.peers {
        for _ in 0..group.count {
            peers.push(Peer::new(group, layout, rng.fork(peers.len() as u64)));
        }
    }
    let readers = scenario.readers.iter().map(|script| Reader::new(script, ReaderKey(0))).collect();
    let mut world = World {
        now: Time::ZERO,
        scenario,
        layout,
        events: Events::default(),
        rng: rng.fork(u64::MAX),
        machine,
        peers,
        link: Link::new(scenario.down_rate, scenario.down_queue_s),
        store: Store::new(layout),
        readers,
        dialled: 0,
        next_key: 1,
        wake_at: Time::NEVER,
        timeouts_now: 0,
        options,
        waits: Vec::new(),
        faults: BTreeMap::new(),
        inputs: 0,
        delivered: 0,
        by_second: Vec::new(),
        complete_at: None,
        gets: 0,
        stored: 0,
        broken: None,
    };
    world.set_up();
    world.play();
    world.report(policy, seed)
}

impl<M: Machine> World<'_, '_, M> {
    fn set_up(&mut self) {
        for i in 0..self.peers.len() {
            let peer = &self.peers[i];
            if peer.join_at != Time::NEVER {
                self.events.push(peer.join_at, Event::Dial(i as u32));
            }
        }
        if self.peers.iter().any(|p| p.group.standby) {
            self.events.push(Time::ZERO, Event::Standby);
        }
        for (i, d) in self.scenario.disturbances.iter().enumerate() {
            self.events.push(Time::from_secs_f64(d.at_s), Event::Disturb(i as u32));
        }
        for (i, script) in self.scenario.readers.iter().enumerate() {
            self.events.push(Time::from_secs_f64(script.open_s), Event::Step(i as u32, 0));
            for (n, (at, _)) in script.steps.iter().enumerate() {
                self.events.push(Time::from_secs_f64(*at), Event::Step(i as u32, n as u32 + 1));
            }
        }
    }

    /// Runs until the players have finished and every reader has its last requested data, or until
    /// nothing more can arrive.
    fn play(&mut self) {
        let end = Time::from_secs_f64(self.scenario.end_s);
        // Time for readers that still wait: four times the time that the first peer, which stays
        // and is honest, needs for the whole torrent, plus a margin for changes meanwhile.
        let alone_s = self.scenario.peers.first().map_or(0.0, |seed| {
            let open = seed.choke.map_or(1.0, |cycle| cycle.open);
            self.scenario.total_bytes as f64 / (seed.rate * open)
        });
        let last = end.plus_secs(self.scenario.end_s + 300.0 + 4.0 * alone_s);
        while let Some((at, event)) = self.events.pop() {
            if at > last || self.broken.is_some() || (at > end && self.satisfied()) {
                break;
            }
            if at > self.now {
                self.timeouts_now = 0;
            }
            self.now = at;
            self.step(event);
        }
    }

    fn satisfied(&self) -> bool {
        self.readers.iter().all(|r| {
            let done = if r.has_clock() { r.wait.is_none() } else { r.read >= r.end };
            r.state == State::Off || done
        })
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Dial(i) => self.dial(i),
            Event::Standby => self.look_for_standby(),
            Event::Joined(i) => self.joined(i),
            Event::Up(i, up) => self.up(i, up),
            Event::Sent(i) => self.sent(i),
            Event::Arrive(i, down) => self.arrive(i, down),
            Event::Deliver(i, down) => self.deliver(i, down),
            Event::Ack(i, bytes) => self.ack(i, bytes),
            Event::Choke(i, choke) => self.choke_cycle(i, choke),
            Event::Grow(i) => self.grow(i),
            Event::Drift(i) => self.drift(i),
            Event::Disturb(n) => self.disturb(n),
            Event::Expire(i, n) => self.expire(i, n),
            Event::Resume(i) => self.resume(i),
            Event::Hashed(piece) => self.hashed(piece),
            Event::Tick(i, n) => self.tick(i, n),
            Event::Step(i, n) => self.script_step(i, n),
            Event::Wake => self.wake(),
        }
    }

    fn wake(&mut self) {
        if self.wake_at > self.now {
            return;
        }
        self.wake_at = Time::NEVER;
        match self.machine.next_timeout() {
            Some(at) if at <= self.now => {
                self.timeouts_now += 1;
                if self.timeouts_now > MOST_TIMEOUTS_AT_ONCE {
                    self.broken = Some(format!("The machine sets its timeout to {} repeatedly.", secs(self.now)));
                    return;
                }
                self.tell(Input::Timeout);
            }
            _ => self.schedule_wake(),
        }
    }

    fn schedule_wake(&mut self) {
        if let Some(at) = self.machine.next_timeout()
            && at < self.wake_at
        {
            self.wake_at = at.max(self.now);
            self.events.push(self.wake_at, Event::Wake);
        }
    }

    /// Passes an input to the machine and carries out its outputs.
    fn tell(&mut self, input: Input) {
        if self.options.trace.is_some() && !matches!(input, Input::Progress(_) | Input::PeerHasBits(..)) {
            trace!(self, "< {}", short(&format!("{input:?}")));
        }
        self.inputs += 1;
        self.machine.handle(self.now, input);
        while let Some(output) = self.machine.poll() {
            self.obey(output);
        }
        if self.options.check
            && let Err(why) = self.machine.check()
        {
            self.broken.get_or_insert(format!("At {}: {why}", secs(self.now)));
        }
        self.schedule_wake();
    }

    fn obey(&mut self, output: Output) {
        trace!(self, "> {}", short(&format!("{output:?}")));
        match output {
            Output::Request(key, block) => {
                let fault = self.peers.get(key.0 as usize).map_or(Some("request to an unknown peer"), |peer| {
                    if !peer.joined || peer.gone {
                        Some("request to a peer that is not there")
                    } else if self.layout.block_bytes(block) == 0 {
                        Some("request past the end")
                    } else if peer.choked {
                        Some("request to a peer that chokes us")
                    } else if !peer.known.get(block.piece.0) {
                        Some("request to a peer that lacks the piece")
                    } else if peer.asked.contains(&block) {
                        Some("request twice to one peer")
                    } else if !peer.is_http() && peer.asked.len() >= peer.group.max_requests as usize {
                        Some("more requests than the peer takes")
                    } else if !peer.interested {
                        Some("request while not interested")
                    } else {
                        None
                    }
                });
                if let Some(fault) = fault {
                    self.fault(fault);
                    return;
                }
                self.get(key.0, block);
                self.peers[key.0 as usize].asked.insert(block);
                self.send_up(key.0, Up::Request(block));
            }
            Output::Cancel(key, block) => {
                let known = self.peers.get_mut(key.0 as usize).is_some_and(|p| {
                    // What was sent to a source over HTTP cannot be withdrawn.
                    let asked = if p.is_http() { p.asked.contains(&block) } else { p.asked.remove(&block) };
                    p.joined && !p.gone && (asked || p.rejected.remove(&block))
                });
                if known {
                    self.send_up(key.0, Up::Cancel(block));
                } else {
                    self.fault("cancel of a block that was not requested");
                }
            }
            Output::Interested(key, interested) => match self.peers.get_mut(key.0 as usize) {
                Some(peer) if peer.joined && !peer.gone => peer.interested = interested,
                _ => self.fault("interest in a peer that is not there"),
            },
            Output::Forget(piece) => {
                if !self.store.forget(piece.0) {
                    self.fault("a complete piece is forgotten");
                }
            }
            _ => self.fault("an output that the simulator does not know"),
        }
    }

    /// Adds a block to the GETs of a source over HTTP. Requests of one input for consecutive blocks
    /// are one GET.
    fn get(&mut self, i: u32, block: BlockRef) {
        let layout = self.layout;
        let Some(peer) = self.peers.get_mut(i as usize).filter(|p| p.is_http()) else { return };
        let follows = |last: &BlockRef| {
            let end = last.block + 1 == layout.blocks_of(last.piece);
            let next = if end { (last.piece.0 + 1, 0) } else { (last.piece.0, last.block + 1) };
            next == (block.piece.0, block.block)
        };
        let last = peer.last_request.replace((self.inputs, block));
        let joins = last.is_some_and(|(input, last)| input == self.inputs && follows(&last));
        match peer.gets.back_mut().filter(|_| joins) {
            Some(get) => get.push_back(block),
            None => peer.gets.push_back(VecDeque::from([block])),
        }
        self.gets += u64::from(!joins);
        if peer.gets.len() > peer.group.http.map_or(usize::MAX, |http| usize::from(http.depth)) {
            self.fault("more requests than the source takes");
        }
    }

    fn fault(&mut self, what: &str) {
        trace!(self, "! {what}");
        *self.faults.entry(what.into()).or_default() += 1;
    }

    fn send_up(&mut self, i: u32, up: Up) {
        let at = self.peers[i as usize].up_arrival(self.now);
        self.events.push(at, Event::Up(i, up));
    }

    fn report(mut self, policy: &str, seed: u64) -> Result<Report, String> {
        if let Some(broken) = self.broken {
            return Err(format!("{} with {policy}, seed {seed}: {broken}", self.scenario.name));
        }
        let now = self.now;
        let mut unfinished = Vec::new();
        for reader in &mut self.readers {
            let finished = if reader.has_clock() { reader.wait.is_none() } else { reader.read >= reader.end };
            if reader.state != State::Off && !finished {
                unfinished.push(format!("reader {} at byte {}", reader.key.0, reader.read));
            }
            reader.close(now);
        }
        let peers = self.peers.iter().map(|p| {
            let there = p.left_at.unwrap_or(now).since(p.join_at).as_secs_f64();
            let there = if p.cut { p.cut_at.since(p.join_at).as_secs_f64() } else { there };
            PeerLoad {
                bytes: p.delivered,
                capacity_bytes: if p.joined { there * p.capacity() } else { 0.0 },
                dialled_s: (p.join_at != Time::NEVER).then(|| p.join_at.as_secs_f64()),
            }
        });
        Ok(Report {
            scenario: self.scenario.name.clone(),
            policy: policy.into(),
            seed,
            peers: peers.collect(),
            waits: self.waits,
            stalls: self.readers.iter().map(|r| r.stalls).sum(),
            stalled_s: self.readers.iter().map(|r| r.stalled_s).sum(),
            played_s: self.readers.iter().map(|r| r.played_s).sum(),
            read_bytes: self.readers.iter().map(|r| r.bytes_read).sum(),
            delivered_bytes: self.delivered,
            delivered_by_second: self.by_second,
            complete_s: self.complete_at.map(|at| at.as_secs_f64()),
            gets: self.gets,
            stored_bytes: self.stored,
            counters: self.machine.counters(),
            inputs: self.inputs,
            ended_s: now.as_secs_f64(),
            faults: self.faults,
            unfinished,
        })
    }
}

fn secs(time: Time) -> String {
    format!("{:.6} s", time.as_secs_f64())
}

/// Debug output without the names of the index types: `Block(3, 17.4)`.
fn short(debug: &str) -> String {
    let mut text = debug.replace("BlockRef { piece: PieceIndex(", "").replace("PeerKey(", "p(");
    text =
        text.replace("PieceIndex(", "piece(").replace("ReaderKey(", "r(").replace("), block: ", ".").replace(" }", "");
    text
}

fn key(i: u32) -> PeerKey {
    PeerKey(i)
}
