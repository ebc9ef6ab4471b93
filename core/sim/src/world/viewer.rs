//! The viewer's actions in a run: readers that open, read, wait and jump, and pieces that become
//! readable.

use super::{World, trace};
use crate::events::Event;
use crate::limit::{floor_s, limit_s};
use crate::machine::Machine;
use crate::measure::{Wait, WaitKind};
use crate::reader::State;
use crate::spec::Step;
use crate::store::Hash;
use playswarm_logic::picker::Input;
use playswarm_logic::{BlockRef, PieceIndex, ReaderKey};

/// Longest time between two reads of a playing reader, in seconds.
const TICK_S: f64 = 0.1;

impl<M: Machine> World<'_, '_, M> {
    pub(super) fn hashed(&mut self, piece: u32) {
        match self.store.hashed(piece) {
            None => {}
            Some(Hash::Right(liars)) => {
                self.tell(Input::PieceVerified(PieceIndex(piece)));
                if self.complete_at.is_none() && self.store.verified.is_full() {
                    self.complete_at = Some(self.now);
                }
                liars.into_iter().for_each(|liar| self.ban(liar));
                self.serve_all();
            }
            Some(Hash::Wrong(only)) => {
                self.tell(Input::PieceFailed(PieceIndex(piece)));
                if let Some(liar) = only {
                    self.ban(liar);
                }
            }
        }
    }

    /// The engine bans peers that it has identified.
    fn ban(&mut self, liar: u32) {
        if !self.peers[liar as usize].gone {
            trace!(self, "# peer {liar} is banned");
            self.leave(liar);
        }
    }

    pub(super) fn serve_all(&mut self) {
        (0..self.readers.len()).for_each(|i| self.serve(i));
    }

    fn new_key(&mut self) -> ReaderKey {
        self.next_key += 1;
        ReaderKey(self.next_key - 1)
    }

    pub(super) fn script_step(&mut self, i: u32, n: u32) {
        let i = i as usize;
        let step = (n > 0).then(|| self.readers[i].script.steps[n as usize - 1].1);
        trace!(self, "# reader {}: {}", i, step.map_or("Open".into(), |s| format!("{s:?}")));
        let now = self.now;
        match step {
            None => {
                self.readers[i].key = self.new_key();
                self.go(i, self.readers[i].script.at, WaitKind::Start);
            }
            Some(Step::Seek(at)) if self.readers[i].state != State::Off => self.go(i, at, WaitKind::Seek),
            Some(Step::Pause) => {
                self.readers[i].advance(now);
                self.readers[i].paused = true;
            }
            Some(Step::Resume) => {
                self.readers[i].advance(now);
                self.readers[i].paused = false;
            }
            Some(Step::Close) => self.close(i),
            Some(Step::Seek(_)) => {}
        }
        if self.readers[i].state != State::Off {
            self.serve(i);
        }
    }

    fn close(&mut self, i: usize) {
        if self.readers[i].state == State::Off {
            return;
        }
        self.give_up_wait(i);
        self.readers[i].close(self.now);
        self.tell(Input::ReaderClosed(self.readers[i].key));
    }

    fn give_up_wait(&mut self, i: usize) {
        if let Some(wait) = self.readers[i].wait.take() {
            let wait = &mut self.waits[wait];
            wait.gave_up_s = Some(self.now.as_secs_f64() - wait.at_s);
        }
    }

    /// Moves a reader to this share of the file, by a new reader or by a jump.
    fn go(&mut self, i: usize, at: f64, kind: WaitKind) {
        self.give_up_wait(i);
        let (now, total) = (self.now, self.layout.total_bytes());
        let position = ((total as f64 * at) as u64).min(total - 1);
        let reader = &mut self.readers[i];
        let end = if reader.has_clock() { total } else { total.min(position + reader.script.bytes) };
        let was_waiting = reader.waiting;
        reader.jump(now, position, end);
        let (script, old) = (reader.script.clone(), reader.key);
        let piece = self.layout.piece_at(position);
        let bytes = f64::from(self.layout.bytes_of(piece));
        self.waits.push(Wait {
            kind,
            at_s: now.as_secs_f64(),
            piece: piece.0,
            blocks_here: self.store.blocks_here(piece.0),
            limit_s: limit_s(&self.peers, now, piece, bytes, self.scenario.down_rate),
            floor_s: floor_s(&self.peers, now, piece, bytes, self.scenario.down_rate),
            delay_s: None,
            gave_up_s: None,
            shares: Default::default(),
        });
        self.readers[i].wait = Some(self.waits.len() - 1);
        if kind == WaitKind::Seek && !script.reopens {
            // The machine assumes that this reader waits until the next input about it.
            self.readers[i].waiting = was_waiting;
            return self.tell(Input::ReaderSought(old, position));
        }
        let key = if kind == WaitKind::Seek { self.new_key() } else { old };
        self.readers[i].key = key;
        self.tell(Input::ReaderOpened {
            reader: key,
            start: 0,
            position,
            end,
            bytes_per_s: (script.rate_known && script.rate > 0.0).then_some(script.rate),
            window: script.window,
        });
        if key != old {
            self.tell(Input::ReaderClosed(old));
        }
    }

    pub(super) fn tick(&mut self, i: u32, n: u32) {
        let i = i as usize;
        if self.readers[i].ticks == n {
            self.serve(i);
        }
    }

    /// Lets a reader read the available bytes that it wants. Returns whether it waits.
    fn serve(&mut self, i: usize) {
        let now = self.now;
        let reader = &mut self.readers[i];
        if reader.state == State::Off {
            return;
        }
        reader.advance(now);
        let wants = reader.wants_to().max(reader.read);
        let can = self.store.readable_to(reader.read, wants);
        if can > reader.read {
            reader.bytes_read += can - reader.read;
            reader.read = can;
            let (key, was_waiting) = (reader.key, std::mem::replace(&mut reader.waiting, can < wants));
            self.first_byte(i);
            self.tell(Input::ReaderRead(key, can));
            if was_waiting && can == wants {
                self.tell(Input::ReaderBlocked(key, false));
            } else if !was_waiting && can < wants {
                self.tell(Input::ReaderBlocked(key, true));
            }
        } else if can < wants && !reader.waiting {
            reader.waiting = true;
            let key = reader.key;
            self.tell(Input::ReaderBlocked(key, true));
        }
        let reader = &mut self.readers[i];
        if !reader.has_clock() && reader.read >= reader.end {
            return self.close(i);
        }
        if reader.start_if_ready(now) {
            trace!(self, "# reader {i} plays");
        }
        let reader = &mut self.readers[i];
        reader.ticks += 1;
        if reader.state == State::Playing && !reader.paused {
            self.events.push(now.plus_secs(TICK_S), Event::Tick(i as u32, reader.ticks));
        }
    }

    fn first_byte(&mut self, i: usize) {
        let Some(n) = self.readers[i].wait.take() else { return };
        let wait = &mut self.waits[n];
        wait.delay_s = Some(self.now.as_secs_f64() - wait.at_s);
        let text = describe(wait);
        trace!(self, "# {text}");
    }

    /// Records bytes from a peer while readers wait for their first byte.
    pub(super) fn count_share(&mut self, peer: u32, block: BlockRef, bytes: u32) {
        for reader in &self.readers {
            let Some(n) = reader.wait else { continue };
            let wait = &mut self.waits[n];
            let into = self.now.as_secs_f64() - wait.at_s;
            let share = wait.shares.entry(peer).or_default();
            if block.piece.0 == wait.piece {
                if share.useful_bytes == 0 {
                    share.first_s = into;
                }
                share.useful_bytes += u64::from(bytes);
                share.last_s = into;
            } else {
                share.other_bytes += u64::from(bytes);
            }
        }
    }
}

/// Formats a wait with the deliveries of each peer, for a trace.
pub fn describe(wait: &Wait) -> String {
    let useful: u64 = wait.shares.values().map(|s| s.useful_bytes).sum();
    let other: u64 = wait.shares.values().map(|s| s.other_bytes).sum();
    let mut text = format!(
        "{:?} at {:.3}: piece {}, first byte after {:.3} s, limit {:.3} s, ratio {:.2}, floor {:.3} s; {} blocks were here; {} KiB useful, {} KiB other",
        wait.kind,
        wait.at_s,
        wait.piece,
        wait.delay_s.or(wait.gave_up_s).unwrap_or(f64::NAN),
        wait.limit_s.unwrap_or(f64::NAN),
        wait.ratio().unwrap_or(f64::NAN),
        wait.floor_s.unwrap_or(f64::NAN),
        wait.blocks_here,
        useful >> 10,
        other >> 10,
    );
    for (peer, share) in &wait.shares {
        text += &format!(
            "\n#   peer {peer}: useful {:.0} KiB from {:.3} to {:.3} s, other {:.0} KiB",
            share.useful_bytes as f64 / 1024.0,
            share.first_s,
            share.last_s,
            share.other_bytes as f64 / 1024.0
        );
    }
    text
}
