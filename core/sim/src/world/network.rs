//! The network's and the peers' actions in a run.

use super::{World, key, trace};
use crate::events::{Control, Down, Event, Up};
use crate::machine::Machine;
use crate::peer::Send;
use crate::spec::{Change, Holds};
use crate::store::Taken;
use playswarm_logic::picker::Input;
use playswarm_logic::{BlockRef, PieceIndex, Time};
use std::time::Duration;

/// Time between two looks whether a standby is needed, in seconds.
const STANDBY_S: f64 = 0.25;

impl<M: Machine> World<'_, '_, M> {
    pub(super) fn set_dialled(&mut self, peers: usize) {
        self.dialled = peers;
        self.tell(Input::Dialled(peers));
    }

    pub(super) fn dial(&mut self, i: u32) {
        let now = self.now;
        let peer = &mut self.peers[i as usize];
        peer.join_at = now;
        // Messages that may follow a handshake leave with it.
        let joined_at = now.plus_secs(peer.group.round_trips_to_join() * peer.rtt());
        self.events.push(joined_at, Event::Joined(i));
        self.set_dialled(self.dialled + 1);
    }

    /// Dials a standby if the peers deliver too little and no dial is under way.
    pub(super) fn look_for_standby(&mut self) {
        let Some(next) = self.peers.iter().position(|p| p.join_at == Time::NEVER) else { return };
        if self.dialled == 0 && self.machine.is_short() {
            trace!(self, "# standby {next} is dialled");
            self.dial(next as u32);
        }
        self.events.push(self.now.plus_secs(STANDBY_S), Event::Standby);
    }

    pub(super) fn joined(&mut self, i: u32) {
        let now = self.now;
        let peer = &mut self.peers[i as usize];
        if peer.gone {
            return;
        }
        if peer.cut {
            // Dialled over a pulled cable, so the dial is repeated.
            self.events.push(now.plus_secs(3.0), Event::Joined(i));
            return;
        }
        peer.joined = true;
        self.set_dialled(self.dialled - 1);
        let peer = &mut self.peers[i as usize];
        peer.known = peer.have.clone();
        let manner = peer.group.manner();
        let jitter = if peer.group.jitter_s > 0.0 { peer.rng.between(0.0, 2.0 * peer.group.jitter_s) } else { 0.0 };
        let rtt = peer.rtt() + jitter;
        let bits = peer.known.clone();
        let (unchoke_after, cycle, grows) = (peer.group.unchoke_after_s, peer.group.choke, peer.group.holds);
        let phase = peer.rng.unit();
        if let Some(drift) = peer.group.drift {
            let first = peer.rng.between(0.0, drift.every_s);
            self.events.push(now.plus_secs(first), Event::Drift(i));
        }
        if let Holds::Growing { per_s, .. } = grows
            && per_s > 0.0
        {
            self.events.push(now.plus_secs(1.0 / per_s), Event::Grow(i));
        }
        self.tell(Input::PeerJoined { peer: key(i), rtt: Some(Duration::from_secs_f64(rtt)), manner });
        if self.peers[i as usize].group.views {
            self.tell(Input::PeerViews(key(i)));
        }
        self.tell(Input::PeerHasBits(key(i), bits));
        match cycle {
            Some(c) => {
                // Its cycle starts at a random point.
                let open_s = c.open * c.period_s;
                let into = phase * c.period_s;
                if into < open_s {
                    self.unchoke_at_once(i);
                    self.events.push(now.plus_secs(open_s - into), Event::Choke(i, true));
                } else {
                    self.events.push(now.plus_secs(c.period_s - into), Event::Choke(i, false));
                }
            }
            None if unchoke_after > 0.0 => self.events.push(now.plus_secs(unchoke_after), Event::Choke(i, false)),
            None => self.unchoke_at_once(i),
        }
    }

    /// Handles an unchoke that came with the bitfield.
    fn unchoke_at_once(&mut self, i: u32) {
        self.peers[i as usize].choking = false;
        self.peers[i as usize].choked = false;
        self.tell(Input::Unchoked(key(i)));
    }

    pub(super) fn up(&mut self, i: u32, up: Up) {
        let peer = &mut self.peers[i as usize];
        if peer.gone {
            return;
        }
        if peer.cut {
            peer.held_up.push(up);
            return;
        }
        peer.take(up);
        self.pump(i);
    }

    /// Lets the peer send as much as its uplink permits.
    fn pump(&mut self, i: u32) {
        let (now, layout) = (self.now, self.layout);
        let peer = &mut self.peers[i as usize];
        loop {
            match peer.next_send(now, layout) {
                Send::Nothing => return,
                Send::Control(control) => {
                    let (at, _) = peer.arrival(now, 0);
                    self.events.push(at, Event::Arrive(i, Down::Control(control)));
                }
                Send::Part { takes_s } => {
                    self.events.push(now.plus_secs(takes_s), Event::Sent(i));
                    return;
                }
            }
        }
    }

    pub(super) fn sent(&mut self, i: u32) {
        let now = self.now;
        let peer = &mut self.peers[i as usize];
        if let Some(down) = peer.sent() {
            let bytes = if let Down::Data { bytes, .. } = down { bytes } else { 0 };
            let (at, lost) = peer.arrival(now, bytes);
            if lost {
                peer.window.lost(now);
            }
            self.events.push(at, Event::Arrive(i, down));
        }
        self.pump(i);
    }

    /// Handles data at the far end of the viewer's own link.
    pub(super) fn arrive(&mut self, i: u32, down: Down) {
        let now = self.now;
        let peer = &mut self.peers[i as usize];
        if peer.gone {
            return;
        }
        if peer.cut {
            peer.held_down.push(down);
            return;
        }
        let through = match down {
            Down::Control(_) => now,
            Down::Data { bytes, .. } => self.link.pass(now, bytes).unwrap_or_else(|| {
                peer.window.lost(now);
                self.link.force(now, bytes).plus_secs(peer.rtt())
            }),
        };
        peer.last_delivery = peer.last_delivery.max(through);
        self.events.push(peer.last_delivery, Event::Deliver(i, down));
    }

    pub(super) fn ack(&mut self, i: u32, bytes: u32) {
        let peer = &mut self.peers[i as usize];
        if peer.gone || peer.cut {
            return;
        }
        peer.window.acked(self.now, bytes);
        self.pump(i);
    }

    /// Handles data at the viewer.
    pub(super) fn deliver(&mut self, i: u32, down: Down) {
        let now = self.now;
        let peer = &mut self.peers[i as usize];
        if peer.gone {
            return;
        }
        match down {
            Down::Control(control) => self.hear(i, control),
            Down::Data { block, bytes, last, bad } => {
                peer.delivered += u64::from(bytes);
                self.delivered += u64::from(bytes);
                let second = now.as_secs_f64() as usize;
                self.by_second.resize(self.by_second.len().max(second + 1), 0);
                self.by_second[second] += u64::from(bytes);
                self.events.push(now.plus_secs(peer.group.delay_s), Event::Ack(i, bytes));
                self.count_share(i, block, bytes);
                if last {
                    self.block_came(i, block, bad);
                } else {
                    self.tell(Input::Progress(key(i)));
                }
            }
        }
    }

    fn hear(&mut self, i: u32, control: Control) {
        let peer = &mut self.peers[i as usize];
        let input = match control {
            Control::Choke => {
                peer.choked = true;
                if !peer.rejects() {
                    peer.asked.clear();
                }
                Input::Choked(key(i))
            }
            Control::Unchoke => {
                peer.choked = false;
                Input::Unchoked(key(i))
            }
            Control::Have(piece) => {
                peer.known.set(piece.0, true);
                Input::PeerHas(key(i), piece)
            }
            Control::Reject(block) => {
                peer.answered(block);
                peer.rejected.insert(block);
                Input::Rejected(key(i), block)
            }
        };
        self.tell(input);
    }

    fn block_came(&mut self, i: u32, block: BlockRef, bad: bool) {
        self.peers[i as usize].answered(block);
        let kept = self.machine.accepts(key(i), block);
        let taken = if kept { self.store.take(block, i, bad) } else { Taken::Duplicate };
        if taken != Taken::Duplicate {
            self.stored += u64::from(self.layout.block_bytes(block));
        }
        self.tell(Input::Block(key(i), block));
        if taken == Taken::Complete {
            // About 1 GB/s of SHA-1.
            let takes_s = f64::from(self.layout.bytes_of(block.piece)) / f64::from(1 << 20) * 0.001;
            self.events.push(self.now.plus_secs(takes_s), Event::Hashed(block.piece.0));
        }
    }

    pub(super) fn leave(&mut self, i: u32) {
        let now = self.now;
        let peer = &mut self.peers[i as usize];
        if peer.gone {
            return;
        }
        peer.gone = true;
        peer.left_at = Some(now);
        if peer.joined {
            self.tell(Input::PeerLeft(key(i)));
        }
    }

    pub(super) fn choke_cycle(&mut self, i: u32, choke: bool) {
        let now = self.now;
        let peer = &mut self.peers[i as usize];
        if peer.gone {
            return;
        }
        peer.choke(choke);
        if let Some(c) = peer.group.choke {
            let lasts = if choke { (1.0 - c.open) * c.period_s } else { c.open * c.period_s };
            self.events.push(now.plus_secs(lasts), Event::Choke(i, !choke));
        }
        self.pump(i);
    }

    pub(super) fn grow(&mut self, i: u32) {
        let now = self.now;
        let peer = &mut self.peers[i as usize];
        let Holds::Growing { per_s, .. } = peer.group.holds else { return };
        if peer.gone {
            return;
        }
        if let Some(piece) = peer.grow() {
            peer.say(Control::Have(piece));
            self.events.push(now.plus_secs(1.0 / per_s), Event::Grow(i));
            self.pump(i);
        }
    }

    pub(super) fn drift(&mut self, i: u32) {
        let now = self.now;
        let peer = &mut self.peers[i as usize];
        let Some(drift) = peer.group.drift else { return };
        if peer.gone {
            return;
        }
        peer.rate = peer.group.rate * (1.0 + peer.rng.between(-drift.spread, drift.spread));
        self.events.push(now.plus_secs(drift.every_s), Event::Drift(i));
    }

    pub(super) fn disturb(&mut self, n: u32) {
        let now = self.now;
        let d = self.scenario.disturbances[n as usize];
        trace!(self, "# peer {}: {:?}", d.peer, d.change);
        match d.change {
            Change::Full(full) => return self.tell(Input::Paused(full)),
            Change::LosePiece => return self.lose_piece(),
            _ => {}
        }
        let expire_s = self.scenario.expire_s;
        let Some(peer) = self.peers.get_mut(d.peer as usize) else { return };
        match d.change {
            Change::Cut if !peer.cut && !peer.gone => {
                peer.cut = true;
                peer.cuts += 1;
                peer.cut_at = now;
                self.events.push(now.plus_secs(expire_s), Event::Expire(d.peer, peer.cuts));
            }
            Change::Mend if peer.cut && !peer.gone => {
                // TCP retries at doubling intervals: on average half of the outage later.
                let held = now.since(peer.cut_at).as_secs_f64();
                self.events.push(now.plus_secs(held.min(60.0) / 2.0), Event::Resume(d.peer));
            }
            Change::Leave => self.leave(d.peer),
            Change::Rate(rate) => {
                peer.rate = rate;
                peer.group.rate = rate;
            }
            _ => {}
        }
    }

    fn lose_piece(&mut self) {
        let here: Vec<u32> = self.store.verified.iter_ones().collect();
        if here.is_empty() {
            return;
        }
        let piece = here[self.rng.below(here.len() as u64) as usize];
        self.store.lose(piece);
        self.tell(Input::PieceLost(PieceIndex(piece)));
        self.serve_all();
    }

    pub(super) fn expire(&mut self, i: u32, cut: u32) {
        let peer = &self.peers[i as usize];
        if peer.cut && peer.cuts == cut {
            self.leave(i);
        }
    }

    pub(super) fn resume(&mut self, i: u32) {
        let now: Time = self.now;
        let peer = &mut self.peers[i as usize];
        if peer.gone || !peer.cut {
            return;
        }
        peer.cut = false;
        peer.window.restart();
        let (ups, downs) = (std::mem::take(&mut peer.held_up), std::mem::take(&mut peer.held_down));
        for up in ups {
            let at = self.peers[i as usize].up_arrival(now);
            self.events.push(at, Event::Up(i, up));
        }
        for down in downs {
            let at = self.peers[i as usize].arrival(now, 0).0;
            self.events.push(at, Event::Arrive(i, down));
        }
        self.pump(i);
    }
}
