//! Receives a channel: heads and packets from any nodes in any order, and out of it the stream.
//!
//! Each packet is verified before anything else happens to it. A new one is passed on at once,
//! whether its group is complete or not. A packet that does not verify is its sender's offence,
//! because the sender had to verify it too.

use super::assembler::{self, Arrival, Assembler, Facts};
use super::back_buffer::{BackBuffer, Effect};
use super::{Code, Config};
use crate::{PeerKey, Time};
use playswarm_proto::live::{BadPacket, ChannelKey, Packet, Shape, SignedHead};
use std::collections::{BTreeMap, VecDeque};

/// Most heads of a cast that are kept, with their init bytes: one for each revision of which the
/// back buffer may have groups.
const MAX_HEADS: usize = 4;

/// An event that the driver reports.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// A verified head of the channel.
    Head(SignedHead),
    /// A packet arrived from a peer.
    Packet(PeerKey, Packet),
    /// Give out groups from this number on, as after an interruption. Without it, the first is the
    /// first complete group at which a player can begin.
    Resume(u64),
    /// The time of [`Receiver::next_timeout`] has come.
    Timeout,
}

/// An action for the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// A newer head applies. If it is of a new cast, the groups of the old one are gone.
    Head {
        /// Whether the source began a new cast.
        new_cast: bool,
    },
    /// Pass this packet of a peer on.
    PassOn(PeerKey, Packet),
    /// Ban this peer: it passed on what no honest node passes on.
    Offence(PeerKey, BadPacket),
    /// Ask this peer for the head: it sent a packet of a cast or revision that is not known here.
    NeedHead(PeerKey),
    /// Give this peer the newest head: it sent a packet of the cast before.
    Behind(PeerKey),
    /// A group was restored from parity, so packets that never arrived can be given to others.
    Restored {
        /// Number of the group.
        group: u64,
    },
    /// The source made the parity of this group wrongly. Only its data packets are used.
    WrongParity {
        /// Number of the group.
        group: u64,
    },
    /// An action of the [`Assembler`]: a group is ready, wanted or lost.
    Group(assembler::Output),
}

/// Counts of received packets since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that were verified and new.
    pub accepted: u64,
    /// Packets that were here already.
    pub duplicate: u64,
    /// Packets of groups, revisions or casts that are over.
    pub late: u64,
    /// Packets of a group of which the source signed two versions.
    pub conflicting: u64,
    /// Packets that did not verify.
    pub refused: u64,
    /// Packets of unknown casts and revisions.
    pub unknown: u64,
    /// Groups that were restored from parity.
    pub restored: u64,
    /// Groups that were lost for good.
    pub lost: u64,
}

/// The state machine of a channel's receiver; see the [module](self).
#[derive(Debug)]
pub struct Receiver {
    key: ChannelKey,
    config: Config,
    cast: Option<u64>,
    /// Cast before this one, whose packets may still be on their way.
    last_cast: Option<u64>,
    heads: BTreeMap<u8, SignedHead>,
    /// A code for each shape in use.
    codes: Vec<Code>,
    assembler: Assembler,
    buffer: BackBuffer,
    counts: Counts,
    /// When the first packet was accepted.
    first: Option<Time>,
    outputs: VecDeque<Output>,
}

impl Receiver {
    /// Creates a receiver of this channel.
    pub fn new(key: ChannelKey, config: Config) -> Receiver {
        Receiver {
            key,
            cast: None,
            last_cast: None,
            heads: BTreeMap::new(),
            codes: Vec::new(),
            assembler: Assembler::new(config.clone()),
            buffer: BackBuffer::new(&config),
            config,
            counts: Counts::default(),
            first: None,
            outputs: VecDeque::new(),
        }
    }

    /// Returns the newest head.
    pub fn head(&self) -> Option<&SignedHead> {
        self.heads.last_key_value().map(|(_, head)| head)
    }

    /// Returns the head of a revision of the present cast.
    pub fn head_of(&self, revision: u8) -> Option<&SignedHead> {
        self.heads.get(&revision)
    }

    /// Returns the back buffer.
    pub fn buffer(&self) -> &BackBuffer {
        &self.buffer
    }

    /// Returns the order of groups.
    pub fn assembler(&self) -> &Assembler {
        &self.assembler
    }

    /// Returns when the first packet came that was verified and new.
    pub fn first_packet(&self) -> Option<Time> {
        self.first
    }

    /// Returns the counts.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the group with which a new player begins, this much behind the newest.
    pub fn start(&self, margin_s: f64) -> Option<u64> {
        self.buffer.start(self.assembler.next()?, margin_s)
    }

    /// Returns a packet of a complete group for another node, also one that never arrived here.
    pub fn packet(&mut self, group: u64, index: u8) -> Option<Packet> {
        let shape = self.buffer.shape(group)?;
        let Receiver { buffer, codes, .. } = self;
        buffer.packet(group, index, code_of(codes, shape))
    }

    /// Handles an event at time `now`, which never goes back.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Head(head) => self.take_head(head),
            Input::Packet(from, packet) => self.take_packet(now, from, &packet),
            Input::Resume(from) => self.order(now, assembler::Input::Resume(from)),
            Input::Timeout => self.order(now, assembler::Input::Timeout),
        }
    }

    /// Returns the next action.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the latest time for a timeout input.
    pub fn next_timeout(&self) -> Time {
        self.assembler.next_timeout()
    }

    fn take_head(&mut self, signed: SignedHead) {
        let (head, known) = (signed.head(), self.head().map(SignedHead::head));
        // Never back, or a relay could replay an old head.
        let is_newer = known.is_none_or(|known| match known.cast == head.cast {
            true => head.revision > known.revision,
            false => head.started_ms > known.started_ms,
        });
        if head.key != self.key || !is_newer {
            return;
        }
        let new_cast = self.cast.is_some_and(|cast| cast != head.cast);
        let last = self.cast.replace(head.cast);
        if new_cast {
            self.last_cast = last;
            self.heads.clear();
            self.assembler = Assembler::new(self.config.clone());
            self.buffer = BackBuffer::new(&self.config);
        }
        self.heads.insert(head.revision, signed);
        if self.heads.len() > MAX_HEADS {
            self.heads.pop_first();
        }
        self.outputs.push_back(Output::Head { new_cast });
    }

    fn take_packet(&mut self, now: Time, from: PeerKey, packet: &Packet) {
        let group = packet.group;
        let Some(head) = self.heads.get(&group.revision).filter(|_| self.cast == Some(group.cast)) else {
            return self.take_unknown(from, packet);
        };
        let shape = head.head().shape;
        // The head's bound on the number of packets is checked below, before the number is used.
        match self.assembler.arrival(group.number, packet.index.min(31)) {
            Arrival::New => {}
            Arrival::Duplicate => return self.counts.duplicate += 1,
            Arrival::Late => return self.counts.late += 1,
        }
        let known = self.buffer.signed(group.number);
        let signed = match packet.verify(&self.key, shape, known) {
            Ok(signed) => signed,
            Err(why) => {
                self.counts.refused += 1;
                return self.outputs.push_back(Output::Offence(from, why));
            }
        };
        if known.is_some_and(|known| *known != signed) {
            return self.counts.conflicting += 1;
        }
        self.counts.accepted += 1;
        self.first.get_or_insert(now);
        let effect = self.buffer.store(signed, packet, code_of(&mut self.codes, shape));
        self.outputs.push_back(Output::PassOn(from, packet.clone()));
        // Before the group is reported, so that a group that is ready can be read.
        if let Some(below) = self.buffer.trim() {
            self.order(now, assembler::Input::Dropped(below));
        }
        self.report(now, packet, shape, effect);
        self.buffer.forget(self.assembler.oldest());
    }

    /// Handles a packet whose head is not known: it is over, or its head has not come yet.
    fn take_unknown(&mut self, from: PeerKey, packet: &Packet) {
        let (cast, revision) = (packet.group.cast, packet.group.revision);
        let is_over = self.head().is_some_and(|known| match Some(cast) == self.cast {
            true => revision < known.head().revision,
            false => Some(cast) == self.last_cast,
        });
        if is_over {
            self.counts.late += 1;
            if Some(cast) != self.cast {
                self.outputs.push_back(Output::Behind(from));
            }
        } else {
            self.counts.unknown += 1;
            self.outputs.push_back(Output::NeedHead(from));
        }
    }

    fn report(&mut self, now: Time, packet: &Packet, shape: Shape, effect: Effect) {
        let group = packet.group.number;
        match effect {
            Effect::WrongParity => {
                self.outputs.push_back(Output::WrongParity { group });
                let parity = (shape.data()..shape.packets()).fold(0, |set, n| set | 1 << n);
                self.order(now, assembler::Input::Unusable { group, packets: parity });
            }
            Effect::Whole { restored: true } => {
                self.counts.restored += 1;
                self.outputs.push_back(Output::Restored { group });
            }
            Effect::Whole { restored: false } | Effect::Stored => {}
        }
        let facts = Facts {
            needed: shape.data() as u8,
            born_ms: packet.group.born_ms,
            restart: packet.group.is_restart(),
            end: packet.group.is_end(),
        };
        self.order(now, assembler::Input::Arrived { group, index: packet.index, facts });
    }

    fn order(&mut self, now: Time, input: assembler::Input) {
        self.assembler.handle(now, input);
        while let Some(output) = self.assembler.poll() {
            if let assembler::Output::Skip { from, to } = output {
                self.counts.lost += to - from;
            }
            self.outputs.push_back(Output::Group(output));
        }
    }
}

/// Returns the code of a shape. The number of shapes is bounded.
fn code_of(codes: &mut Vec<Code>, shape: Shape) -> &mut Code {
    let at = codes.iter().position(|code| code.shape() == shape).unwrap_or_else(|| {
        codes.push(Code::new(shape));
        codes.len() - 1
    });
    &mut codes[at]
}
