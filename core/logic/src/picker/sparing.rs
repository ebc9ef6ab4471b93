//! Among viewers: what is not asked of whom, so that everybody's uploads go to those who need them.
//!
//! Where viewers feed each other, each upload is a small one and much is wanted of it soon by somebody; and whoever holds all
//! and watches nothing (the origin) is all that those have who find nothing elsewhere. So a viewer is asked for what is
//! shown within a minute, and an origin for what is shown within moments, or what no other peer has. P2PMoD's origin sent
//! seven streams to seventy viewers without such a rule.

use super::Picker;
use super::api::Policy;
use super::peer::Peer;
use super::plan::Wanted;

/// A viewer is asked for what is shown within so many seconds. A minute: it rides out the loss of several parents.
const OF_VIEWERS_S: f64 = 60.0;
/// An origin is asked for what is shown within so many seconds, whoever else may have it.
const OF_ORIGINS_S: f64 = 10.0;

impl Picker {
    /// Counts who may be spared. An origin is, as long as there are as many viewers to ask in its place.
    pub(super) fn count_viewers(&mut self) {
        let serving = || self.peers.values().filter(|p| p.serves(self.now) && !p.snubbed);
        let viewers = serving().filter(|p| p.views).count();
        let origins = serving().filter(|p| !p.views && p.bits.is_full()).count();
        self.spares_origins = origins > 0 && viewers >= origins;
        self.full_viewers = serving().any(|p| p.views && p.bits.is_full());
    }

    fn is_origin(&self, p: &Peer) -> bool {
        self.spares_origins && !p.views && p.bits.is_full()
    }

    /// Whether this peer is left alone with what nobody has to see soon.
    pub(super) fn is_spared(&self, p: &Peer) -> bool {
        (p.views || self.is_origin(p)) && !self.fetch_all && self.config.policy == Policy::EarliestArrival
    }

    /// Whether this piece is not asked of this peer, at least not yet.
    pub(super) fn holds_back(&self, p: &Peer, w: &Wanted) -> bool {
        if !self.is_spared(p) {
            return false;
        }
        w.shown_s > OF_VIEWERS_S || (self.is_origin(p) && w.shown_s > OF_ORIGINS_S && self.others_have(w.piece))
    }

    /// The same of a place to which the player may jump.
    pub(super) fn holds_back_jump(&self, p: &Peer, piece: u32) -> bool {
        self.is_spared(p) && self.is_origin(p) && self.others_have(piece)
    }

    /// Whether a peer has it that is no origin.
    fn others_have(&self, piece: u32) -> bool {
        self.full_viewers || self.availability.is_at_partial(piece)
    }
}
