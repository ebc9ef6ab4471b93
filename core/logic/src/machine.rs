//! The contract of every state machine, and how a driver runs one.
//!
//! A driver hands a machine what happened, at a time that it names, and carries out what the machine says. In between
//! nothing happens: a machine does no I/O, reads no clock and draws no randomness but from the seed in its settings. The
//! same inputs at the same times therefore give the same outputs, in the engine, in a test and in the simulator.

use crate::{Time, choker, metadata, picker, slots, trackers};

/// A state machine.
///
/// The driver's loop: [`Machine::handle`] an input; take outputs from [`Machine::poll`] until there is none; be back with
/// a timeout input at [`Machine::next_timeout`], or earlier with any other input.
pub trait Machine {
    /// What happened.
    type Input;
    /// What to do about it.
    type Output;

    /// Takes note of something that happened at `now`, which never goes back.
    fn handle(&mut self, now: Time, input: Self::Input);

    /// Returns the next thing to do, in the order in which it must be done; `None` once all is said.
    fn poll(&mut self) -> Option<Self::Output>;

    /// Returns when the machine wants a timeout input at the latest; [`Time::NEVER`] if it needs none.
    fn next_timeout(&self) -> Time;
}

impl Machine for picker::Picker {
    type Input = picker::Input;
    type Output = picker::Output;

    fn handle(&mut self, now: Time, input: picker::Input) {
        picker::Picker::handle(self, now, input);
    }

    fn poll(&mut self) -> Option<picker::Output> {
        picker::Picker::poll(self)
    }

    fn next_timeout(&self) -> Time {
        picker::Picker::next_timeout(self).unwrap_or(Time::NEVER)
    }
}

impl Machine for choker::Choker {
    type Input = choker::Input;
    type Output = choker::Output;

    fn handle(&mut self, now: Time, input: choker::Input) {
        choker::Choker::handle(self, now, input);
    }

    fn poll(&mut self) -> Option<choker::Output> {
        choker::Choker::poll(self)
    }

    fn next_timeout(&self) -> Time {
        choker::Choker::next_timeout(self)
    }
}

impl Machine for metadata::Fetch {
    type Input = metadata::Input;
    type Output = metadata::Output;

    fn handle(&mut self, now: Time, input: metadata::Input) {
        metadata::Fetch::handle(self, now, input);
    }

    fn poll(&mut self) -> Option<metadata::Output> {
        metadata::Fetch::poll(self)
    }

    fn next_timeout(&self) -> Time {
        metadata::Fetch::next_timeout(self)
    }
}

impl Machine for slots::Slots {
    type Input = slots::Input;
    type Output = slots::Output;

    fn handle(&mut self, now: Time, input: slots::Input) {
        slots::Slots::handle(self, now, input);
    }

    fn poll(&mut self) -> Option<slots::Output> {
        slots::Slots::poll(self)
    }

    fn next_timeout(&self) -> Time {
        slots::Slots::next_timeout(self)
    }
}

impl Machine for trackers::Trackers {
    type Input = trackers::Input;
    type Output = trackers::Output;

    fn handle(&mut self, now: Time, input: trackers::Input) {
        trackers::Trackers::handle(self, now, input);
    }

    fn poll(&mut self) -> Option<trackers::Output> {
        trackers::Trackers::poll(self)
    }

    fn next_timeout(&self) -> Time {
        trackers::Trackers::next_timeout(self)
    }
}
