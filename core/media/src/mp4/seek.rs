//! Finds the keyframe at or before a time in a fragmented film. It uses the index if there is one,
//! else bisection over fragments' headers. From there it steps from fragment to fragment.

use super::boxes::Wants;
use super::edits::nanoseconds;
use super::fragments::{Hop, Moof, Tracks, find_moof, hop};
use crate::held::{Held, Step, Walk};
use crate::locate::SeekPoint;
use crate::timeline::{Search, Timeline};
use std::sync::Arc;
use std::time::Duration;

/// Most fragments read in a row: half an hour of fragments of two seconds.
const MAX_HOPS: u32 = 1000;

/// Most positions of a bisection. Each halves the range, which reduces 2^16 fragments to one.
const MAX_PROBES: u32 = 16;

/// Distance after a position over which a header is searched for, in multiples of the spacing of
/// the first fragments, within limits.
const SCAN_SPACINGS: u64 = 4;
const LEAST_SCAN_BYTES: u64 = 256 << 10;
const MOST_SCAN_BYTES: u64 = 8 << 20;

/// Most scans of that distance per search. After that the estimate is used.
const MAX_SCANS: u64 = 4;

/// Bytes read first; each further read doubles them.
const FIRST_SCAN_BYTES: u64 = 64 << 10;
const MOST_WINDOW_BYTES: u64 = 512 << 10;

/// Seconds before the time at which the first, second and last attempt of a bisection aims. The
/// range between is walked, and a keyframe may be that far back.
const BACK_S: [i64; 3] = [4, 30, 300];

/// The data about a film that a search needs in addition to its timeline.
#[derive(Debug)]
pub(super) struct Fragments {
    pub(super) tracks: Tracks,
    pub(super) origin_ns: i64,
    /// Offset of the first fragment. Earlier media is covered by the `moov`'s own tables.
    pub(super) first: u64,
    /// Whether an index gave the known points, so that they are complete.
    pub(super) dense: bool,
    /// Distance in bytes between the first fragments.
    pub(super) spacing: u64,
}

impl Fragments {
    fn scan_bytes(&self) -> u64 {
        (self.spacing.saturating_mul(SCAN_SPACINGS)).clamp(LEAST_SCAN_BYTES, MOST_SCAN_BYTES)
    }
}

impl Search for Arc<Fragments> {
    fn walk(&self, timeline: &Arc<Timeline>, time: Duration) -> Box<dyn Walk<Found = SeekPoint>> {
        let time_ns = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let mut seek = Seek {
            film: Arc::clone(self),
            timeline: Arc::clone(timeline),
            time,
            target: time_ns.saturating_add(self.origin_ns),
            attempt: 0,
            scanned: 0,
            phase: Phase::Chain { at: 0, hops: 0 },
            best: None,
            behind: None,
            others: Vec::new(),
        };
        seek.begin();
        Box::new(seek)
    }
}

#[derive(Debug)]
struct Seek {
    film: Arc<Fragments>,
    timeline: Arc<Timeline>,
    time: Duration,
    /// The time in the fragments' own count.
    target: i64,
    attempt: usize,
    /// Bytes searched for headers.
    scanned: u64,
    phase: Phase,
    best: Option<SeekPoint>,
    /// The first keyframe after the time, used if there is none at or before it.
    behind: Option<SeekPoint>,
    /// Fragments of other tracks alone since the last one of the main track: end time and offset.
    others: Vec<(i64, u64)>,
}

#[derive(Debug)]
enum Phase {
    /// Between two fragments, or one and the end: times and offsets.
    Bisect {
        low: (i64, u64),
        high: (i64, u64),
        probes: u32,
        scan: Option<Scan>,
    },
    Chain {
        at: u64,
        hops: u32,
    },
}

/// A search for a header from an offset on.
#[derive(Clone, Debug)]
struct Scan {
    start: u64,
    at: u64,
    window: u64,
}

impl Seek {
    /// Starts an attempt from the timeline's known points.
    fn begin(&mut self) {
        let keyframes = self.timeline.keyframes();
        let after = keyframes.partition_point(|k| k.time <= self.time);
        self.best = None;
        self.others.clear();
        if self.film.dense {
            // An attempt that finds no keyframe restarts one fragment earlier.
            let known = after.checked_sub(1 + self.attempt).and_then(|i| keyframes.get(i)).or(keyframes.first());
            let after = after.max(1);
            let next = keyframes.get(after).filter(|_| self.attempt == 0).map(|k| k.from);
            self.start_chain(known.copied(), next);
            return;
        }
        let back = Duration::from_secs(BACK_S[self.attempt.min(BACK_S.len() - 1)].unsigned_abs());
        let from = keyframes.partition_point(|k| k.time + back <= self.time);
        let known = from.checked_sub(1).and_then(|i| keyframes.get(i)).or(keyframes.first());
        let next = keyframes.get(after).map_or((self.timeline.duration(), self.timeline.size()), |k| (k.time, k.from));
        let ns =
            |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX).saturating_add(self.film.origin_ns);
        match known.copied() {
            Some(known) if next.1 > known.from.max(self.film.first) => {
                let low = (ns(known.time), known.from.max(self.film.first));
                let high = (ns(next.0), next.1);
                self.keep_known(Some(known));
                self.phase = Phase::Bisect { low, high, probes: 0, scan: None };
            }
            known => self.start_chain(known, None),
        }
    }

    fn start_chain(&mut self, known: Option<crate::Keyframe>, next: Option<u64>) {
        self.keep_known(known);
        let at = known.map_or(self.film.first, |k| k.from.max(self.film.first));
        // All keyframes before the first fragment are known.
        let hops = if next.is_some_and(|next| next <= self.film.first) { MAX_HOPS } else { 0 };
        self.phase = Phase::Chain { at, hops };
        if let (Some(best), Some(next)) = (&mut self.best, next) {
            best.until = next;
        }
    }

    /// Takes a keyframe of the `moov`'s own tables, whose position is exact.
    fn keep_known(&mut self, known: Option<crate::Keyframe>) {
        if let Some(known) = known.filter(|k| k.offset < self.film.first) {
            let (time, until) = (known.time, self.film.first);
            self.best = Some(SeekPoint { time, offset: known.offset, from: known.from, until, estimated: false });
        }
    }

    /// Bisects until the start of the walk is known, then sets the phase.
    fn bisect(&mut self, held: &mut Held, wants: &mut Wants) -> Result<(), String> {
        let aim = self.target.saturating_sub(BACK_S[self.attempt.min(BACK_S.len() - 1)] * nanoseconds(1, 1));
        while let Phase::Bisect { low, high, probes, scan } = &mut self.phase {
            // Distance in bytes below which a walk is quicker.
            const NEAR_BYTES: u64 = 256 << 10;
            let near = high.1.saturating_sub(low.1) <= NEAR_BYTES || low.0 >= aim && low.0 <= self.target;
            if scan.is_none() {
                if near || *probes >= MAX_PROBES {
                    self.phase = Phase::Chain { at: low.1, hops: 0 };
                    return Ok(());
                }
                *probes += 1;
                let share = (aim.saturating_sub(low.0)) as f64 / (high.0.saturating_sub(low.0)).max(1) as f64;
                // Rates vary. If a guess keeps missing on one side, the middle helps.
                let share = if *probes % 3 == 0 { 0.5 } else { share.clamp(0.02, 0.98) };
                let start = low.1 + 1 + ((high.1 - low.1) as f64 * share) as u64;
                *scan = Some(Scan { start, at: start, window: FIRST_SCAN_BYTES });
            }
            let Some(now) = scan.as_mut() else { return Ok(()) };
            let end = (now.at + now.window).min(high.1.saturating_add(16)).min(held.size());
            if now.at >= high.1 || now.at - now.start > self.film.scan_bytes() || end <= now.at {
                // No fragment begins between this one and the known one after it.
                high.1 = now.start.min(high.1);
                *scan = None;
                continue;
            }
            let Some(bytes) = held.get(now.at..end) else {
                wants.push(now.at..end);
                return Ok(());
            };
            let Some(found) = find_moof(bytes) else {
                self.scanned += end - now.at;
                if self.scanned > MAX_SCANS * self.film.scan_bytes() {
                    return Err("has no fragments where they should be".into());
                }
                held.forget(now.at..end.saturating_sub(16));
                now.at = end.saturating_sub(16).max(now.at + 1);
                now.window = (now.window * 2).min(MOST_WINDOW_BYTES);
                continue;
            };
            let at = now.at + found as u64;
            let moof = match hop(held, at, &self.film.tracks, wants) {
                Ok(Some(Hop::Moof(moof, _))) => Some(moof),
                Ok(None) => return Ok(()),
                Ok(Some(_)) | Err(_) => None,
            };
            match moof.and_then(|moof| moof.begins) {
                Some(begins) if begins <= aim => *low = (begins.max(low.0), at.max(low.1)),
                Some(begins) => *high = (begins.min(high.0).max(low.0), now.start.min(high.1)),
                None => {
                    now.at = at + 4;
                    continue;
                }
            }
            held.forget(now.start..at + MOST_SCAN_BYTES);
            *scan = None;
        }
        Ok(())
    }

    /// Steps from fragment to fragment. Returns `Ok(true)` at the end.
    fn chain(&mut self, held: &mut Held, wants: &mut Wants) -> Result<bool, String> {
        loop {
            let Phase::Chain { at, hops } = &mut self.phase else { return Ok(true) };
            if *hops >= MAX_HOPS {
                return Ok(true);
            }
            let here = *at;
            let next = match hop(held, here, &self.film.tracks, wants)? {
                None => return Ok(false),
                Some(Hop::End) => {
                    if let Some(best) = &mut self.best {
                        best.until = held.size();
                    }
                    return Ok(true);
                }
                Some(Hop::Other(next)) => {
                    *hops += 1;
                    next
                }
                Some(Hop::Moof(moof, next)) => {
                    *hops += 1;
                    if self.take(here, &moof) {
                        return Ok(true);
                    }
                    next
                }
            };
            if let Phase::Chain { at, .. } = &mut self.phase {
                *at = next;
            }
            held.forget_before(next);
        }
    }

    /// Takes a fragment. Returns `true` once the next keyframe after the time is known.
    fn take(&mut self, start: u64, moof: &Moof) -> bool {
        let (true, Some(begins)) = (moof.main, moof.begins) else {
            self.others.push((moof.ends.unwrap_or(i64::MIN), start));
            self.others.truncate(64);
            return false;
        };
        for &(time, offset) in &moof.keyframes {
            if let Some(best) = self.best.as_mut().filter(|_| time > self.target) {
                best.until = if best.offset > start && best.from <= start { offset } else { start };
                return true;
            }
            // Data of other tracks from then on may lie in separate fragments before it.
            let others = self.others.iter().filter(|(ends, _)| *ends > time).map(|(_, start)| *start);
            let from = others.min().unwrap_or(start).min(start).min(offset);
            let since = time.saturating_sub(self.film.origin_ns).max(0).unsigned_abs();
            let until = self.timeline.size();
            let seek_point = SeekPoint { time: Duration::from_nanos(since), offset, from, until, estimated: false };
            if time > self.target {
                self.behind = Some(seek_point);
                return true;
            }
            self.best = Some(seek_point);
        }
        self.others.clear();
        begins > self.target && self.best.is_some()
    }
}

impl Walk for Seek {
    type Found = SeekPoint;

    fn step(&mut self, held: &mut Held) -> Step<SeekPoint> {
        loop {
            let mut wants = Wants::new();
            let done = match self.bisect(held, &mut wants) {
                Ok(()) if wants.is_empty() => self.chain(held, &mut wants),
                Ok(()) => Ok(false),
                Err(why) => Err(why),
            };
            match done {
                Err(why) => return Step::Failed(why),
                Ok(false) => return Step::Need(wants),
                Ok(true) => {}
            }
            match self.best.filter(|best| best.offset < held.size()) {
                // An index may claim any offset for the next keyframe.
                Some(best) => {
                    return Step::Done(SeekPoint { until: best.until.min(held.size()).max(best.offset + 1), ..best });
                }
                None if self.attempt + 1 < BACK_S.len() => {
                    self.attempt += 1;
                    self.begin();
                }
                None => {
                    let first = self.behind.filter(|behind| behind.offset < held.size());
                    return first.map_or_else(|| Step::Failed("has no keyframe near that time".into()), Step::Done);
                }
            }
        }
    }
}
