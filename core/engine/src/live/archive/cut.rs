//! Where the source ends a minute.

use super::spool::Group;
use playswarm_proto::live::Minute;

/// Cuts a cast into minutes. Each begins at a restart point, and has one head.
#[derive(Debug)]
pub(super) struct Cutter {
    /// Least duration of a minute, milliseconds. The next restart point ends it.
    least_ms: u64,
    open: Option<Minute>,
}

impl Cutter {
    pub(super) fn new(least_ms: u64) -> Cutter {
        Cutter { least_ms, open: None }
    }

    /// Takes the next group. Returns the minute that ended before it, without number, length and
    /// info-hash.
    pub(super) fn take(&mut self, group: &Group) -> Option<Minute> {
        let least_ms = self.least_ms;
        if let Some(open) = self.open.as_mut().filter(|open| goes_on(open, group, least_ms)) {
            open.end = group.number + 1;
            return None;
        }
        // Without a restart point, only streams that have none go on, in the next minute.
        let begins = group.is_restart || self.open.is_some_and(|open| follows(&open, group));
        let ended = self.end(Some(group.born_ms));
        let Group { cast, revision, number, born_ms, .. } = *group;
        let minute = Minute { cast, revision, first: number, end: number + 1, born_ms, ..Minute::default() };
        self.open = begins.then_some(minute);
        ended
    }

    /// Ends the minute. `now_ms` is when the next byte reached the source.
    pub(super) fn end(&mut self, now_ms: Option<u64>) -> Option<Minute> {
        let minute = self.open.take()?;
        let duration_ms = now_ms.map_or(0, |now_ms| now_ms.saturating_sub(minute.born_ms));
        Some(Minute { duration_ms: u32::try_from(duration_ms).unwrap_or(u32::MAX), ..minute })
    }

    /// Forgets the minute: a part of it cannot be kept.
    pub(super) fn drop_open(&mut self) {
        self.open = None;
    }
}

/// Returns whether a group belongs to the open minute.
fn goes_on(open: &Minute, group: &Group, least_ms: u64) -> bool {
    let age_ms = group.born_ms.saturating_sub(open.born_ms);
    // Streams of unknown containers have no restart points. Their minutes are of use in a row.
    let is_due = age_ms >= least_ms && (group.is_restart || age_ms >= 2 * least_ms);
    follows(open, group) && !is_due
}

/// Returns whether a group comes after an open minute, with the same head.
fn follows(open: &Minute, group: &Group) -> bool {
    (open.cast, open.revision, open.end) == (group.cast, group.revision, group.number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bytes::Bytes;

    fn group(number: u64, born_ms: u64, is_restart: bool) -> Group {
        Group { cast: 1, number, revision: 0, is_restart, born_ms, bytes: Bytes::new() }
    }

    fn cut(cutter: &mut Cutter, groups: impl IntoIterator<Item = Group>) -> Vec<(u64, u64, u32)> {
        let cut = groups.into_iter().filter_map(|group| cutter.take(&group));
        cut.map(|minute| (minute.first, minute.end, minute.duration_ms)).collect()
    }

    #[test]
    fn a_minute_ends_at_the_next_restart_point() {
        let mut cutter = Cutter::new(60_000);
        // A group each second, a restart point each seven.
        let groups = (0..200).map(|n| group(n, n * 1000, n % 7 == 0));
        assert_eq!(cut(&mut cutter, groups), [(0, 63, 63_000), (63, 126, 63_000), (126, 189, 63_000)]);
        let last = cutter.end(Some(200_000)).unwrap();
        assert_eq!((last.first, last.end, last.duration_ms), (189, 200, 11_000));
        assert_eq!(cutter.end(None), None);
    }

    #[test]
    fn it_also_ends_with_its_head_at_a_loss_and_where_no_restart_point_comes() {
        let mut cutter = Cutter::new(60_000);
        let new_head = Group { revision: 1, ..group(2, 2000, true) };
        assert_eq!(cut(&mut cutter, [group(0, 0, true), group(1, 1000, false), new_head]), [(0, 2, 2000)]);
        let after_loss = Group { revision: 1, ..group(9, 9000, true) };
        assert_eq!(cut(&mut cutter, [after_loss]), [(2, 3, 7000)]);
        let other = Group { cast: 2, ..group(10, 10_000, true) };
        assert_eq!(cut(&mut cutter, [other]), [(9, 10, 1000)]);
        let rest = (11..140).map(|n| Group { cast: 2, ..group(n, n * 1000, false) });
        assert_eq!(cut(&mut cutter, rest), [(10, 130, 120_000)]);
        cutter.drop_open();
        assert_eq!(cut(&mut cutter, [group(0, 0, true)]), []);
        // What comes before the first restart point cannot be played.
        let mut cutter = Cutter::new(60_000);
        let groups = (0..70).map(|n| group(n, n * 1000, n == 5 || n == 66));
        assert_eq!(cut(&mut cutter, groups), [(5, 66, 61_000)]);
    }
}
