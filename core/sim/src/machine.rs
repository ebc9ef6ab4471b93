//! What the simulator drives: the picker, or a test's own machine with the same door.

use playswarm_logic::picker::{Counters, Input, Output, Picker};
use playswarm_logic::{BlockRef, PeerKey, Time};

/// A machine of the picker's shape.
pub trait Machine {
    /// Takes what happened.
    fn handle(&mut self, now: Time, input: Input);
    /// What to do next; called after each `handle` until it is drained.
    fn poll(&mut self) -> Option<Output>;
    /// When `Input::Timeout` is due, if ever.
    fn next_timeout(&self) -> Option<Time>;
    /// Bytes and requests counted so far.
    fn counters(&self) -> Counters;
    /// Whether this block, which came from this peer, is to be kept; asked just before `Input::Block`.
    fn accepts(&self, _peer: PeerKey, _block: BlockRef) -> bool {
        true
    }
    /// An inner contradiction, said as a sentence.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

impl Machine for Picker {
    fn handle(&mut self, now: Time, input: Input) {
        Picker::handle(self, now, input);
    }

    fn poll(&mut self) -> Option<Output> {
        Picker::poll(self)
    }

    fn next_timeout(&self) -> Option<Time> {
        Some(Picker::next_timeout(self)).filter(|at| *at != Time::NEVER)
    }

    fn counters(&self) -> Counters {
        Picker::counters(self)
    }

    fn accepts(&self, peer: PeerKey, block: BlockRef) -> bool {
        Picker::accepts(self, peer, block)
    }

    fn check(&self) -> Result<(), String> {
        self.check_invariants()
    }
}
