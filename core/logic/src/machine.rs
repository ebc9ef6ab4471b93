//! The contract of every state machine and its driver.
//!
//! A driver passes events to a machine, each with its time, and carries out the machine's outputs.
//! Nothing happens in between. A machine does no I/O, reads no clock and draws randomness only from
//! the seed in its settings. The same inputs at the same times therefore give the same outputs in
//! the engine, in a test and in the simulator.

use crate::gnutella::dht;
use crate::stripe::{assembler, cutter};
use crate::{Time, channel, choker, gnutella, metadata, picker, relay, slots, stripe, trackers};

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

/// Implements the contract by a machine's own functions of the same names.
macro_rules! machines {
    ($($module:ident::$machine:ident),*) => { $(
        impl Machine for $module::$machine {
            type Input = $module::Input;
            type Output = $module::Output;

            fn handle(&mut self, now: Time, input: $module::Input) {
                $module::$machine::handle(self, now, input);
            }

            fn poll(&mut self) -> Option<$module::Output> {
                $module::$machine::poll(self)
            }

            fn next_timeout(&self) -> Time {
                $module::$machine::next_timeout(self)
            }
        }
    )* };
}

machines!(
    assembler::Assembler,
    channel::Channel,
    choker::Choker,
    cutter::Cutter,
    dht::Dht,
    gnutella::Leaf,
    metadata::Fetch,
    picker::Picker,
    relay::Relay,
    slots::Slots,
    stripe::Receiver,
    trackers::Trackers
);
