//! The contract of every state machine and its driver.
//!
//! A driver passes events to a machine, each with its time, and carries out the machine's outputs.
//! Nothing happens in between. A machine does no I/O, reads no clock and draws randomness only from
//! the seed in its settings. The same inputs at the same times therefore give the same outputs in
//! the engine, in a test and in the simulator.

use crate::{Time, choker, metadata, picker, slots, trackers};

/// A state machine.
///
/// The driver's loop: pass an input to [`Machine::handle`], then take outputs from
/// [`Machine::poll`] until there is none. Pass a timeout input at [`Machine::next_timeout`], or any
/// other input earlier.
pub trait Machine {
    /// An event.
    type Input;
    /// An action for the driver.
    type Output;

    /// Handles an event at time `now`, which never goes back.
    fn handle(&mut self, now: Time, input: Self::Input);

    /// Returns the next action, in the order in which to carry them out; `None` once all are taken.
    fn poll(&mut self) -> Option<Self::Output>;

    /// Returns the latest time for a timeout input; [`Time::NEVER`] if none is needed.
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
