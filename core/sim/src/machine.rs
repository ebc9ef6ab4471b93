//! The machine that the simulator drives: the picker, or a test's own.

use playswarm_logic::picker::{Counters, Input, Output, Picker};
use playswarm_logic::{BlockRef, PeerKey, Time};

/// A machine with the picker's inputs and outputs.
pub trait Machine {
    /// Handles an input.
    fn handle(&mut self, now: Time, input: Input);
    /// Returns the next output; called after each `handle` until there is none.
    fn poll(&mut self) -> Option<Output>;
    /// Returns when `Input::Timeout` is due, if at all.
    fn next_timeout(&self) -> Option<Time>;
    /// Returns the bytes and requests counted so far.
    fn counters(&self) -> Counters;
    /// Whether this block from this peer is to be stored; called just before `Input::Block`.
    fn accepts(&self, _peer: PeerKey, _block: BlockRef) -> bool {
        true
    }
    /// Whether the peers deliver less than the readers use.
    fn is_short(&self) -> bool {
        false
    }
    /// Checks the invariants. The error describes a contradiction.
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

    fn is_short(&self) -> bool {
        Picker::is_short(self)
    }

    fn check(&self) -> Result<(), String> {
        self.check_invariants()
    }
}
