//! The invariants of the slot index; tests check them after every step.

use super::Slots;
use super::tuning::LOOKUPS_AT_ONCE;
use crate::Time;

impl Slots {
    /// Checks every invariant, for tests.
    ///
    /// # Errors
    ///
    /// Returns a sentence that names the violated invariant.
    pub fn check_invariants(&self, now: Time) -> Result<(), String> {
        self.candidates.check(&self.config)?;
        self.search.check()?;
        let places = self.parents.all.len() + self.dialling.len();
        if places > self.config.max_parents {
            return Err(format!("{places} places are taken, {} are kept", self.config.max_parents));
        }
        let lookups = self.running.values().filter(|r| !r.announce).count();
        if lookups > LOOKUPS_AT_ONCE {
            return Err(format!("{lookups} lookups run at once"));
        }
        if let Some(r) = self.running.values().find(|r| now >= r.deadline) {
            return Err(format!("an operation in slot {} should have been given up", r.slot));
        }
        for (slot, announced) in &self.announced {
            if announced.running.is_some_and(|operation| !self.running.contains_key(&operation)) {
                return Err(format!("the announce in slot {slot} waits for an operation that is over"));
            }
        }
        if self.play.is_none() && !(self.running.is_empty() && self.announced.is_empty() && self.parents.all.is_empty())
        {
            return Err("an operation runs although no reader plays".into());
        }
        let both = self.dialling.keys().find(|addr| self.parents.all.values().any(|p| p.addr == **addr));
        if let Some(addr) = both {
            return Err(format!("{addr} is a parent and being dialled"));
        }
        if self.wake <= now {
            return Err(format!("the timeout {:?} is not later than {now:?}", self.wake));
        }
        Ok(())
    }
}
