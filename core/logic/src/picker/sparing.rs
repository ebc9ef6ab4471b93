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
/// Time since its coming for which a viewer is believed to deliver though nothing was measured yet, seconds.
const BELIEVED_S: f64 = 10.0;

impl Picker {
    /// Counts who may be spared. An origin is, as long as there are as many viewers to ask in its place and what they deliver is
    /// enough for the film: what they say of themselves proves nothing.
    pub(super) fn count_viewers(&mut self) {
        let (mut viewers, mut origins, mut supply, mut full_supply) = (0, 0, 0.0, 0.0);
        for p in self.peers.values().filter(|p| p.serves(self.now) && !p.snubbed) {
            if p.views {
                let rate = self.believed_rate(p);
                viewers += 1;
                supply += rate;
                full_supply += if p.bits.is_full() { rate } else { 0.0 };
            } else if p.bits.is_full() {
                origins += 1;
            }
        }
        let readers = self.readers.values().filter(|r| r.position < r.end);
        let wanted: f64 = readers.filter_map(super::reader::Reader::rate).sum();
        self.spares_origins = origins > 0 && viewers >= origins && supply >= wanted;
        self.full_viewers = full_supply > 0.0 && full_supply >= wanted;
    }

    /// What a viewer delivers, bytes per second, as far as that was measured.
    fn believed_rate(&self, p: &Peer) -> f64 {
        if p.measured() {
            p.rate(self.prior)
        } else if self.now.since(p.joined).as_secs_f64() < BELIEVED_S {
            f64::INFINITY
        } else {
            0.0
        }
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
