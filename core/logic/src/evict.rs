//! Eviction: which pieces to evict when the bound on disk use is reached, and which to drop from
//! memory.
//!
//! Pure decisions from the stored pieces and the readers' positions; the store carries them out. A
//! piece has one of four relations to the readers, and eviction follows this order:
//!
//! 1. **elsewhere**: outside of every reader's file, or no reader will reach it. The least recently
//!    used goes first.
//! 2. **behind**: every reader concerned has passed it. The farthest behind its nearest reader goes
//!    first.
//! 3. **ahead**, beyond the near window: not watched yet, so the farthest ahead goes first.
//! 4. **near**: a reader reads it now or next. It is never evicted.

use crate::PieceIndex;
use std::cmp::Reverse;

/// A reader's position, and how much ahead of it must stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// First piece of the reader's file.
    pub first: PieceIndex,
    /// Piece that the reader reads now.
    pub at: PieceIndex,
    /// Number of pieces in the near window, from `at` on and including it.
    pub near: u32,
    /// End of the reader's pieces, exclusive.
    pub end: PieceIndex,
}

/// A stored piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The piece.
    pub piece: PieceIndex,
    /// Length of the piece.
    pub bytes: u32,
    /// Time of the last read, by a count that only grows.
    pub last_use: u64,
}

/// The relation of a piece to the readers, with the distance in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    /// No reader needs it.
    Elsewhere,
    /// All readers concerned have passed it; the distance to the nearest of them.
    Behind(u32),
    /// A reader will reach it; the distance of the nearest.
    Ahead(u32),
    /// It is in a near window; the distance from the reader.
    Near(u32),
}

/// Returns the distance of `piece` from the reader that needs it most.
pub fn distance(piece: PieceIndex, readers: &[Reader]) -> Distance {
    let (mut near, mut ahead, mut behind) = (None::<u32>, None::<u32>, None::<u32>);
    let closer = |best: &mut Option<u32>, distance: u32| *best = Some(best.map_or(distance, |b| b.min(distance)));
    for r in readers {
        if piece.0 >= r.at.0 {
            let distance = piece.0 - r.at.0;
            // A window larger than the rest of the file still ends with the file.
            if piece.0 < r.end.0 || distance == 0 {
                closer(if distance < r.near.max(1) { &mut near } else { &mut ahead }, distance);
            }
        } else if piece.0 >= r.first.0 {
            closer(&mut behind, r.at.0 - piece.0);
        }
    }
    match (near, ahead, behind) {
        (Some(d), _, _) => Distance::Near(d),
        (None, Some(d), _) => Distance::Ahead(d),
        (None, None, Some(d)) => Distance::Behind(d),
        (None, None, None) => Distance::Elsewhere,
    }
}

/// Returns the pieces to evict, in this order, so that at least `target_bytes` become free. It
/// returns fewer if the rest is near.
pub fn from_disk(held: &[Held], readers: &[Reader], target_bytes: u64) -> Vec<PieceIndex> {
    let rank = |at: Distance| if matches!(at, Distance::Near(_)) { None } else { Some(class(at)) };
    first(held, target_bytes, |piece| rank(distance(piece, readers)))
}

/// Returns the pieces to drop from memory, in this order, so that at least `target_bytes` become
/// free. Pieces outside the near windows come first by last use, then the near ones, the farthest
/// first. They stay on disk.
pub fn from_memory(held: &[Held], readers: &[Reader], target_bytes: u64) -> Vec<PieceIndex> {
    let rank = |at: Distance| if matches!(at, Distance::Near(_)) { class(at) } else { (0, 0) };
    first(held, target_bytes, |piece| Some(rank(distance(piece, readers))))
}

/// Returns the pieces to discard if neither disk nor memory has room, in this order, so that at
/// least `target_bytes` become free. The order is that of [`from_disk`], then the near pieces, the
/// farthest first.
pub fn to_discard(held: &[Held], readers: &[Reader], target_bytes: u64) -> Vec<PieceIndex> {
    first(held, target_bytes, |piece| Some(class(distance(piece, readers))))
}

/// Returns the class of a distance, the first to go first, and the pieces in between.
fn class(distance: Distance) -> (u8, u32) {
    match distance {
        Distance::Elsewhere => (0, 0),
        Distance::Behind(pieces) => (1, pieces),
        Distance::Ahead(pieces) => (2, pieces),
        Distance::Near(pieces) => (3, pieces),
    }
}

/// Returns pieces of at least `target_bytes`: the lowest class first, in it the farthest, and among
/// equals the one used longest ago. Pieces without a rank stay.
fn first(held: &[Held], target_bytes: u64, rank: impl Fn(PieceIndex) -> Option<(u8, u32)>) -> Vec<PieceIndex> {
    let ranked = held.iter().filter_map(|h| {
        let (class, pieces) = rank(h.piece)?;
        Some(((class, Reverse(pieces), h.last_use, h.piece), h.bytes))
    });
    let mut order: Vec<_> = ranked.collect();
    order.sort_unstable();
    let mut freed = 0u64;
    let wanted = order.into_iter().take_while(|(_, bytes)| {
        let go_on = freed < target_bytes;
        freed += u64::from(*bytes);
        go_on
    });
    wanted.map(|((.., piece), _)| piece).collect()
}

/// Returns the readers with near windows reduced to at most `pieces` pieces in all, and at least
/// one each. Otherwise windows larger than the bound on disk use would leave nothing to evict.
pub fn fit_windows(readers: &[Reader], pieces: u32) -> Vec<Reader> {
    let share = (pieces / (readers.len().max(1).min(u32::MAX as usize) as u32)).max(1);
    readers.iter().map(|r| Reader { near: r.near.min(share), ..*r }).collect()
}

/// Returns the stored bytes that no reader will reach: the room available without evicting
/// unwatched pieces.
pub fn watched_bytes(held: &[Held], readers: &[Reader]) -> u64 {
    held.iter()
        .filter(|h| matches!(distance(h.piece, readers), Distance::Elsewhere | Distance::Behind(_)))
        .map(|h| u64::from(h.bytes))
        .sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reader(at: u32, near: u32, end: u32) -> Reader {
        Reader { first: PieceIndex(0), at: PieceIndex(at), near, end: PieceIndex(end) }
    }

    /// Returns the pieces marked `#`, at their index in the string.
    fn held(picture: &str) -> Vec<Held> {
        let pieces = picture.bytes().enumerate().filter(|(_, c)| *c == b'#');
        pieces.map(|(i, _)| Held { piece: PieceIndex(i as u32), bytes: 10, last_use: 0 }).collect()
    }

    fn numbers(pieces: &[PieceIndex]) -> Vec<u32> {
        pieces.iter().map(|p| p.0).collect()
    }

    #[test]
    fn pieces_farthest_behind_go_first_then_those_farthest_ahead() {
        let given = from_disk(&held("##.#.##.####"), &[reader(5, 2, 12)], 1000);
        assert_eq!(numbers(&given), [0, 1, 3, 11, 10, 9, 8]);
    }

    #[test]
    fn no_more_is_given_back_than_was_asked_for() {
        assert_eq!(numbers(&from_disk(&held("##########"), &[reader(5, 2, 10)], 11)), [0, 1]);
        assert!(from_disk(&held("###"), &[], 0).is_empty());
    }

    #[test]
    fn a_piece_behind_one_reader_and_ahead_of_another_counts_as_unwatched() {
        let readers = [reader(8, 1, 10), reader(2, 1, 10)];
        assert_eq!(distance(PieceIndex(5), &readers), Distance::Ahead(3));
        assert_eq!(numbers(&from_disk(&held("##...#..#."), &readers, 1000)), [0, 1, 5]);
    }

    #[test]
    fn another_file_than_the_one_being_read_goes_by_last_use_before_anything_watched() {
        let reader = Reader { first: PieceIndex(4), at: PieceIndex(6), near: 1, end: PieceIndex(8) };
        let mut all = held("##..####.#");
        for (h, last_use) in all.iter_mut().zip([7, 3, 0, 0, 0, 0, 5]) {
            h.last_use = last_use;
        }
        assert_eq!(numbers(&from_disk(&all, &[reader], 1000)), [1, 9, 0, 4, 5, 7]);
    }

    #[test]
    fn memory_drops_the_least_recently_used_and_keeps_what_comes_next_longest() {
        let mut all = held("#####");
        for (h, last_use) in all.iter_mut().zip([5, 4, 1, 1, 1]) {
            h.last_use = last_use;
        }
        assert_eq!(numbers(&from_memory(&all, &[reader(2, 3, 5)], 1000)), [1, 0, 4, 3, 2]);
    }

    #[test]
    fn windows_that_exceed_the_bound_are_cut_evenly() {
        let cut = fit_windows(&[reader(0, 100, 200), reader(50, 3, 200)], 20);
        assert_eq!((cut[0].near, cut[1].near), (10, 3));
        assert_eq!(fit_windows(&[reader(0, 9, 10); 3], 1)[2].near, 1);
    }

    fn readers() -> impl Strategy<Value = Vec<Reader>> {
        let one = (0..60u32, 0..60u32, 0..60u32, 0..12u32).prop_map(|(a, b, c, near)| {
            let mut all = [a, b, c];
            all.sort_unstable();
            Reader { first: PieceIndex(all[0]), at: PieceIndex(all[1]), near, end: PieceIndex(all[2] + 1) }
        });
        prop::collection::vec(one, 0..4)
    }

    fn many_held() -> impl Strategy<Value = Vec<Held>> {
        prop::collection::btree_map(0..64u32, (1..100u32, 0..10u64), 0..64).prop_map(|all| {
            let held = all.into_iter();
            held.map(|(p, (bytes, last_use))| Held { piece: PieceIndex(p), bytes, last_use }).collect()
        })
    }

    proptest! {
        #[test]
        fn a_near_window_is_never_touched(held in many_held(), readers in readers(), target in 0..5000u64) {
            for piece in from_disk(&held, &readers, target) {
                for r in &readers {
                    prop_assert!(!(r.at..PieceIndex(r.at.0 + r.near).min(r.end)).contains(&piece));
                    prop_assert!(piece != r.at);
                }
            }
        }

        #[test]
        fn enough_is_given_back_or_all_that_is_not_near(held in many_held(), readers in readers(), target in 1..5000u64) {
            let given = from_disk(&held, &readers, target);
            let bytes = |p: &PieceIndex| u64::from(held.iter().find(|h| h.piece == *p).unwrap().bytes);
            let freed: u64 = given.iter().map(bytes).sum();
            let far = held.iter().filter(|h| !matches!(distance(h.piece, &readers), Distance::Near(_))).count();
            prop_assert!(freed >= target || given.len() == far);
            // No more pieces than needed.
            if let Some(last) = given.last() {
                prop_assert!(freed - bytes(last) < target);
            }
        }

        #[test]
        fn nothing_unwatched_goes_while_something_watched_stays(held in many_held(), readers in readers(), target in 0..5000u64) {
            let given = from_disk(&held, &readers, target);
            let ahead = |p: PieceIndex| matches!(distance(p, &readers), Distance::Ahead(_));
            if given.iter().any(|p| ahead(*p)) {
                let watched = |h: &&Held| matches!(distance(h.piece, &readers), Distance::Behind(_) | Distance::Elsewhere);
                prop_assert!(held.iter().filter(watched).all(|h| given.contains(&h.piece)));
            }
        }

        #[test]
        fn the_order_of_pieces_and_readers_decides_nothing(held in many_held(), readers in readers(), target in 0..5000u64) {
            let turned = |v: &[Held]| v.iter().rev().copied().collect::<Vec<_>>();
            let readers_turned: Vec<_> = readers.iter().rev().copied().collect();
            prop_assert_eq!(from_disk(&held, &readers, target), from_disk(&turned(&held), &readers_turned, target));
            prop_assert_eq!(from_memory(&held, &readers, target), from_memory(&turned(&held), &readers_turned, target));
        }

        #[test]
        fn memory_can_always_be_freed_in_full(held in many_held(), readers in readers(), target in 0..9000u64) {
            let dropped = from_memory(&held, &readers, target);
            let bytes = |p: &PieceIndex| u64::from(held.iter().find(|h| h.piece == *p).unwrap().bytes);
            let freed: u64 = dropped.iter().map(bytes).sum();
            prop_assert!(freed >= target || dropped.len() == held.len());
        }
    }
}
