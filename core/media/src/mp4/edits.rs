//! Edit lists: conversion between a track's media times and presentation times.

/// Most segments that are read. A longer list is not plausible; the rest is ignored.
pub(super) const MAX_EDITS: usize = 1024;

/// Longest plausible time: a hundred years in nanoseconds.
pub(super) const MAX_NS: i64 = 100 * 365 * 24 * 3600 * 1_000_000_000;

/// Converts ticks of a clock to nanoseconds.
pub(super) fn nanoseconds(ticks: i64, timescale: u32) -> i64 {
    let ns = i128::from(ticks) * 1_000_000_000 / i128::from(timescale.max(1));
    ns.clamp(-i128::from(MAX_NS), i128::from(MAX_NS)) as i64
}

/// An entry of an `elst`: its length in the movie's ticks, and its start in the media. Without a
/// start, nothing is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) duration: u64,
    pub(super) media_time: Option<i64>,
}

/// A span of a track's media and its presentation time. Times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) media: i64,
    pub(super) shown: i64,
    /// `MAX_NS` means up to the end.
    pub(super) length: i64,
}

impl Segment {
    /// Returns the presentation time of a media time.
    pub(super) fn shows(&self, media: i64) -> i64 {
        media.saturating_sub(self.media).saturating_add(self.shown)
    }

    /// Returns the end in the media.
    pub(super) fn media_end(&self) -> i64 {
        self.media.saturating_add(self.length)
    }
}

/// The presentation of a track. Times in nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Presentation {
    segments: Vec<Segment>,
    /// Total length of all edits, empty ones included, if the list states it.
    duration: Option<i64>,
}

impl Presentation {
    /// Creates the presentation of a track from its edit list, which may be empty. Durations are in
    /// ticks of the movie, times in ticks of the media.
    pub(super) fn new(edits: &[Edit], movie_timescale: u32, timescale: u32) -> Presentation {
        let (mut segments, mut shown) = (Vec::new(), 0i64);
        let mut open = edits.is_empty();
        for edit in edits.iter().take(MAX_EDITS) {
            let length = nanoseconds(i64::try_from(edit.duration).unwrap_or(i64::MAX), movie_timescale);
            if let Some(media_time) = edit.media_time {
                // A segment without a length extends to the end. Fragmented films have it, because
                // their length is not known yet.
                open |= length == 0;
                let length = if length == 0 { MAX_NS } else { length };
                // Players count in the track's ticks, so an empty edit is rounded to them.
                let ticks = (i128::from(shown) * i128::from(timescale) + 500_000_000) / 1_000_000_000;
                let begins = nanoseconds(i64::try_from(ticks).unwrap_or(i64::MAX), timescale);
                segments.push(Segment { media: nanoseconds(media_time, timescale), shown: begins, length });
            }
            shown = shown.saturating_add(length).min(MAX_NS);
        }
        if segments.is_empty() {
            segments.push(Segment { media: 0, shown, length: MAX_NS });
            open = true;
        }
        Presentation { segments, duration: (!open).then_some(shown) }
    }

    /// Returns the presentation time of the start. `None` without an edit list; the first timestamp
    /// then gives it.
    pub(super) fn begins(&self) -> Option<i64> {
        let first = self.segments.first()?;
        (self.duration.is_some() || first.media != 0 || first.shown != 0).then_some(first.shown)
    }

    /// Returns the duration from the start of the presentation to the end of the track, if the edit
    /// list states it.
    pub(super) fn duration(&self) -> Option<i64> {
        self.duration
    }

    /// Returns the presentation time of media after the end of the list, such as that of fragments.
    pub(super) fn shown_last(&self, media: i64) -> i64 {
        self.segments.last().map_or(media, |last| last.shows(media))
    }

    /// Returns the spans of media, in the order in which they are shown.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Computes the presentation times of keyframes. Calls `shown` with each keyframe's index and
    /// time. `times` are ascending media times. A segment that begins between keyframes needs the
    /// one before it, which then counts as at the segment's start.
    pub(super) fn place(&self, times: &[i64], most: usize, mut shown: impl FnMut(usize, i64)) {
        if self.begins().is_none() {
            times.iter().take(most).enumerate().for_each(|(i, time)| shown(i, *time));
            return;
        }
        let mut placed = 0;
        for segment in &self.segments {
            let first = times.partition_point(|time| *time <= segment.media).saturating_sub(1);
            let end = times.partition_point(|time| *time < segment.media.saturating_add(segment.length));
            for (i, time) in times.iter().enumerate().take(end).skip(first) {
                if placed == most {
                    return;
                }
                placed += 1;
                shown(i, segment.shown.saturating_add((time - segment.media).max(0)));
            }
        }
    }

    /// Returns a media time for a presentation time. Before the first segment it is that segment's
    /// start, between segments the end of the one before.
    pub(super) fn media_at(&self, shown: i64) -> i64 {
        let next = self.segments.partition_point(|segment| segment.shown <= shown);
        let Some(segment) = self.segments.get(next.saturating_sub(1)) else { return shown };
        segment.media.saturating_add(shown.saturating_sub(segment.shown).clamp(0, segment.length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn edit(duration: u64, media_time: i64) -> Edit {
        Edit { duration, media_time: (media_time >= 0).then_some(media_time) }
    }

    fn places(presentation: &Presentation, times: &[i64]) -> Vec<(usize, i64)> {
        let mut placed = Vec::new();
        presentation.place(times, 100, |i, time| placed.push((i, time)));
        placed
    }

    #[test]
    fn without_an_edit_list_media_is_shown_at_its_own_times() {
        let plain = Presentation::new(&[], 1000, 90_000);
        assert_eq!(places(&plain, &[S, 3 * S]), [(0, S), (1, 3 * S)]);
        assert_eq!((plain.begins(), plain.duration(), plain.media_at(7)), (None, None, 7));
    }

    #[test]
    fn the_media_time_is_subtracted_and_an_empty_edit_is_added() {
        let delayed = Presentation::new(&[edit(2000, -1), edit(10_000, 90_000)], 1000, 90_000);
        assert_eq!(places(&delayed, &[S, 3 * S]), [(0, 2 * S), (1, 4 * S)]);
        assert_eq!((delayed.begins(), delayed.duration()), (Some(2 * S), Some(12 * S)));
        assert_eq!(delayed.media_at(4 * S), 3 * S);
        assert_eq!(delayed.media_at(0), S);
    }

    #[test]
    fn a_segment_that_begins_between_keyframes_takes_the_one_before() {
        let cut = Presentation::new(&[edit(4000, 5)], 1000, 1);
        assert_eq!(places(&cut, &[0, 4 * S, 8 * S, 12 * S]), [(1, 0), (2, 3 * S)]);
    }

    #[test]
    fn segments_are_shown_one_after_the_other_in_their_own_order() {
        let swapped = Presentation::new(&[edit(4000, 8), edit(4000, 0)], 1000, 1);
        assert_eq!(places(&swapped, &[0, 4 * S, 8 * S]), [(2, 0), (0, 4 * S)]);
        assert_eq!(swapped.media_at(5 * S), S);
        assert_eq!(swapped.duration(), Some(8 * S));
    }

    #[test]
    fn edits_of_all_possible_lengths_do_not_overflow() {
        let lies = [edit(u64::MAX, i64::MAX), edit(u64::MAX, -1), edit(u64::MAX, i64::MIN)];
        let presentation = Presentation::new(&lies, 1, 1);
        places(&presentation, &[i64::MIN, -1, 0, i64::MAX]);
        presentation.media_at(i64::MAX);
        presentation.shown_last(i64::MIN);
    }
}
