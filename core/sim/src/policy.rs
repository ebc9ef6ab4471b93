//! The policies that the simulator compares: playswarm's own, and others over the same model of
//! peers, readers and memory.

use playswarm_logic::picker::{Rule, Share};

/// How blocks are dealt out to peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// playswarm's picker: a request is made where its gain exceeds its price.
    EarliestArrival,
    /// GnuStream: each piece split among the peers in proportion to their rates.
    Proportional,
    /// GnuStream: each piece split evenly among the peers.
    Even,
    /// P2PMoD: pieces due within a horizon by deadline, the others rarest first.
    DeadlineRarest,
    /// In order of position, to whichever peer asks first.
    Sequential,
}

/// Horizon of [`Policy::DeadlineRarest`], seconds.
const DEADLINE_RAREST_S: f64 = 10.0;

impl Policy {
    /// Every policy.
    pub const ALL: [Policy; 5] =
        [Policy::EarliestArrival, Policy::Proportional, Policy::Even, Policy::DeadlineRarest, Policy::Sequential];

    /// The name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Policy::EarliestArrival => "earliest_arrival",
            Policy::Proportional => "proportional",
            Policy::Even => "even",
            Policy::DeadlineRarest => "deadline_rarest",
            Policy::Sequential => "sequential",
        }
    }

    /// The rule that replaces the picker's own; `None` for the picker's own.
    pub(crate) fn rule(self) -> Option<Box<dyn Rule>> {
        (self != Policy::EarliestArrival).then(|| Box::new(Comparison(self)) as Box<dyn Rule>)
    }
}

#[derive(Debug)]
struct Comparison(Policy);

impl Rule for Comparison {
    fn takes(&self, share: &Share) -> bool {
        let quota = match self.0 {
            Policy::Proportional => share.rate / share.total_rate.max(1.0),
            Policy::Even => 1.0 / share.holders.max(1) as f64,
            Policy::DeadlineRarest => return share.due_s <= DEADLINE_RAREST_S,
            Policy::Sequential | Policy::EarliestArrival => return true,
        };
        f64::from(share.taken) < (f64::from(share.blocks) * quota).ceil()
    }

    fn in_order_s(&self) -> f64 {
        if self.0 == Policy::DeadlineRarest { DEADLINE_RAREST_S } else { f64::INFINITY }
    }
}
