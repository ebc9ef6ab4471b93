//! Which segments of a live playlist are new, and when it is to be loaded again (RFC 8216, section
//! 6.3).

use super::{Media, Segment};
use std::time::Duration;

/// Target durations between the end of a live playlist and the first segment that is taken.
/// Segments nearer to the end may stall (RFC 8216, section 6.3.3).
const BEHIND: u64 = 3;
/// Bounds on the time until a playlist is loaded again.
const MIN_WAIT: Duration = Duration::from_millis(500);
const MAX_WAIT: Duration = Duration::from_secs(60);

/// What a loaded playlist brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// New segments, without those that are missing at the server.
    pub segments: Vec<Segment>,
    /// Segments that were gone before they were loaded.
    pub lost: u64,
    /// Time until the playlist is to be loaded again. `None` if it has ended.
    pub wait: Option<Duration>,
}

/// A reader of the playlist of one stream.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    /// Number of the next segment. `None` before the first playlist.
    next: Option<u64>,
    /// Whether the next segment does not continue the one before it.
    is_cut: bool,
}

impl Follower {
    /// Returns what is new in the playlist. A segment after missing ones, or after a new start of
    /// the stream's numbers, is marked as discontinuous.
    pub fn update(&mut self, playlist: Media) -> Update {
        let count = playlist.segments.len() as u64;
        let end = playlist.sequence.saturating_add(count);
        // A cache may return an older playlist. One that is older by its own length is that of a
        // server which began again.
        let next = self.next.filter(|next| end.saturating_add(count) >= *next);
        let is_new_start = next.is_none() && self.next.is_some();
        let start = next.unwrap_or_else(|| playlist.sequence.saturating_add(first_segment(&playlist)));
        let lost = playlist.sequence.saturating_sub(start);
        let skipped = start.saturating_sub(playlist.sequence);
        self.next = Some(start.max(end));

        let mut segments: Vec<Segment> =
            playlist.segments.into_iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX)).collect();
        self.is_cut |= is_new_start || lost > 0;
        for segment in &mut segments {
            segment.is_discontinuous |= self.is_cut;
            // What follows a missing segment does not continue what precedes it.
            self.is_cut = segment.is_gap;
        }
        let target = Duration::from_secs(playlist.target_duration_s);
        let wait = if segments.is_empty() { target / 2 } else { target };
        segments.retain(|segment| !segment.is_gap);
        Update { segments, lost, wait: (!playlist.has_ended).then(|| wait.clamp(MIN_WAIT, MAX_WAIT)) }
    }
}

/// Returns how many segments at the start of a first playlist are not taken.
fn first_segment(playlist: &Media) -> u64 {
    if playlist.has_ended {
        return 0;
    }
    let wanted = Duration::from_secs(playlist.target_duration_s.saturating_mul(BEHIND));
    let mut left = Duration::ZERO;
    let taken = playlist.segments.iter().rev().take_while(|segment| {
        let is_enough = left >= wanted;
        left = left.saturating_add(segment.duration);
        !is_enough
    });
    playlist.segments.len() as u64 - taken.count() as u64
}
