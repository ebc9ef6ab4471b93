//! The minutes of the archive that a node knows. Those of one cast, and the newest ones only.

use playswarm_proto::live::{ChannelKey, MAX_MINUTES, SignedMinute};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Minutes {
    known: BTreeMap<u32, SignedMinute>,
}

/// What a minute from another node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was not known, and is now.
    New,
    /// It is known, too old, or of another cast.
    Dropped,
    /// The source did not sign it.
    Forged,
}

impl Minutes {
    /// Takes a minute of the present cast. Signatures are verified only of those that are not known.
    pub(super) fn take(&mut self, key: &ChannelKey, cast: u64, signed: SignedMinute) -> Taken {
        let number = signed.minute.number;
        let is_full = self.known.len() >= MAX_MINUTES;
        let is_old = is_full && self.known.first_key_value().is_some_and(|(oldest, _)| number < *oldest);
        if signed.minute.cast != cast || is_old || self.known.get(&number) == Some(&signed) {
            return Taken::Dropped;
        }
        if !signed.is_signed_by(key) {
            return Taken::Forged;
        }
        if self.known.contains_key(&number) {
            // The source signed two. The first one is kept, so that nodes do not pass on others forever.
            return Taken::Dropped;
        }
        self.known.insert(number, signed);
        if is_full {
            self.known.pop_first();
        }
        Taken::New
    }

    /// Forgets all minutes: the source began anew.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    /// Returns the minutes in order.
    pub(super) fn known(&self) -> impl Iterator<Item = &SignedMinute> {
        self.known.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use playswarm_proto::live::{Minute, SourceKey};

    fn minute(cast: u64, number: u32) -> Minute {
        Minute { cast, number, first: 1, end: 2, length: 1, ..Minute::default() }
    }

    #[test]
    fn the_newest_minutes_of_the_cast_are_kept_and_forged_ones_refused() {
        let (key, other) = (SourceKey::from_seed(&[1; 32]), SourceKey::from_seed(&[2; 32]));
        let (mut minutes, channel) = (Minutes::default(), key.channel());
        let first = minute(7, 3).sign(&key);
        assert_eq!(minutes.take(&channel, 7, first), Taken::New);
        assert_eq!(minutes.take(&channel, 7, first), Taken::Dropped);
        assert_eq!(minutes.take(&channel, 7, minute(8, 4).sign(&key)), Taken::Dropped, "of another cast");
        assert_eq!(minutes.take(&channel, 7, minute(7, 4).sign(&other)), Taken::Forged);
        let changed = SignedMinute { minute: Minute { length: 2, ..first.minute }, ..first };
        assert_eq!(minutes.take(&channel, 7, changed), Taken::Forged);
        let second = Minute { length: 2, ..first.minute }.sign(&key);
        assert_eq!(minutes.take(&channel, 7, second), Taken::Dropped, "the first one is kept");
        assert_eq!(minutes.known().collect::<Vec<_>>(), [&first]);

        let all = MAX_MINUTES as u32 + 10;
        (4..all).for_each(|number| assert_eq!(minutes.take(&channel, 7, minute(7, number).sign(&key)), Taken::New));
        assert_eq!(minutes.known().count(), MAX_MINUTES);
        assert_eq!(minutes.known().next().map(|m| m.minute.number), Some(10));
        assert_eq!(minutes.take(&channel, 7, first), Taken::Dropped, "it is too old");
        minutes.clear();
        assert_eq!(minutes.take(&channel, 7, first), Taken::New);
    }
}
