//! Buffer of the fed bytes that are still needed, and the state machine that drives the walk of
//! each container.

use std::collections::BTreeMap;
use std::ops::Range;

/// A partial copy of a file. It keeps only requested bytes, so its size is bounded by what walks
/// request at once.
#[derive(Debug, Default)]
pub(crate) struct Held {
    size: u64,
    /// Byte ranges by offset. They do not overlap; after joining, they do not touch.
    ranges: BTreeMap<u64, Vec<u8>>,
    /// Ranges that the walk would like to have in addition to those it needs.
    wished: Vec<Range<u64>>,
    /// Ranges wished for earlier. They are no longer requested, but are kept if they arrive, as
    /// they may be in flight.
    welcome: Vec<Range<u64>>,
}

impl Held {
    pub(crate) fn new(size: u64) -> Held {
        Held { size, ranges: BTreeMap::new(), wished: Vec::new(), welcome: Vec::new() }
    }

    /// Returns the size of the file in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Returns the bytes of a range if all are available. A range past the end of the file is cut
    /// there.
    pub(crate) fn get(&self, range: Range<u64>) -> Option<&[u8]> {
        let range = range.start..range.end.min(self.size);
        if range.is_empty() {
            return Some(&[]);
        }
        let from = self.from(range.start)?;
        from.get(..usize::try_from(range.end - range.start).ok()?)
    }

    /// Returns the contiguous bytes available from an offset on; `None` if the first byte is
    /// missing.
    pub(crate) fn from(&self, offset: u64) -> Option<&[u8]> {
        let (start, bytes) = self.ranges.range(..=offset).next_back()?;
        bytes.get(usize::try_from(offset - start).ok()?..).filter(|rest| !rest.is_empty())
    }

    /// Whether the bytes before an offset are available and all zero, for longer than any real file
    /// has zeros. That indicates a hole in an incomplete file.
    pub(crate) fn hole_before(&self, offset: u64) -> bool {
        const HOLE: u64 = 256 << 10;
        let bytes = offset.checked_sub(HOLE).and_then(|start| self.get(start..offset));
        bytes.is_some_and(|bytes| !bytes.is_empty() && bytes.iter().all(|byte| *byte == 0))
    }

    /// Returns the missing parts of a range, in ascending order.
    pub(crate) fn missing(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut missing = Vec::new();
        let (mut at, end) = (range.start, range.end.min(self.size));
        while at < end {
            if let Some(here) = self.from(at) {
                at += here.len() as u64;
            } else {
                let next = self.ranges.range(at..end).next().map_or(end, |(start, _)| *start);
                missing.push(at..next);
                at = next;
            }
        }
        missing
    }

    /// Requests a range that will probably be needed next, without waiting for it. Valid until the
    /// next step.
    pub(crate) fn wish(&mut self, range: Range<u64>) {
        self.wished.push(range);
    }

    /// Returns the ranges wished for in the last step.
    pub(crate) fn wished(&self) -> &[Range<u64>] {
        &self.wished
    }

    /// Replaces the ranges wished for and returns the earlier ones.
    pub(crate) fn replace_wished(&mut self, wished: Vec<Range<u64>>) -> Vec<Range<u64>> {
        std::mem::replace(&mut self.wished, wished)
    }

    /// Stores the part of these bytes that lies in a range. Ranges that touch stay separate until
    /// they are [joined](Held::join).
    pub(crate) fn keep(&mut self, range: Range<u64>, offset: u64, bytes: &[u8]) {
        let end = offset.saturating_add(bytes.len() as u64);
        for gap in self.missing(range.start.max(offset)..range.end.min(end)) {
            let part = &bytes[(gap.start - offset) as usize..(gap.end - offset) as usize];
            self.ranges.insert(gap.start, part.to_vec());
        }
    }

    /// Merges ranges that touch. Called once when all are available, not for each piece, since a
    /// large range arrives in many pieces.
    pub(crate) fn join(&mut self) {
        let mut joined = BTreeMap::new();
        let mut ranges = std::mem::take(&mut self.ranges).into_iter().peekable();
        while let Some((start, mut bytes)) = ranges.next() {
            while let Some((_, after)) = ranges.next_if(|(next, _)| *next == start + bytes.len() as u64) {
                bytes.extend_from_slice(&after);
            }
            joined.insert(start, bytes);
        }
        self.ranges = joined;
    }

    /// Releases everything before an offset that a walk has read past.
    pub(crate) fn forget_before(&mut self, offset: u64) {
        let mut kept = self.ranges.split_off(&offset);
        if let Some((start, bytes)) = self.ranges.pop_last()
            && start + bytes.len() as u64 > offset
        {
            kept.insert(offset, bytes[(offset - start) as usize..].to_vec());
        }
        self.ranges = kept;
    }

    /// Releases everything if the buffer has grown large, before a walk requests all that it needs
    /// next.
    pub(crate) fn make_room(&mut self) {
        /// Bytes kept in case they are needed again.
        const KEEP: usize = 1 << 20;
        if self.bytes() > KEEP {
            self.ranges.clear();
        }
    }

    /// Releases a range that was read.
    pub(crate) fn forget(&mut self, range: Range<u64>) {
        while let Some((&start, _)) = self.ranges.range(..range.end).next_back() {
            let Some(bytes) = self.ranges.get_mut(&start) else { return };
            let end = start + bytes.len() as u64;
            if end <= range.start {
                return;
            }
            let after = (end > range.end).then(|| bytes.split_off((range.end - start) as usize));
            if start < range.start {
                bytes.truncate((range.start - start) as usize);
                bytes.shrink_to_fit();
            } else {
                self.ranges.remove(&start);
            }
            if let Some(after) = after {
                self.ranges.insert(range.end, after);
            }
        }
    }

    /// Returns the number of bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.ranges.values().map(Vec::len).sum()
    }
}

/// The result of advancing a walk with the available bytes.
#[derive(Debug)]
pub(crate) enum Step<T> {
    /// Ranges needed to continue, the most urgent first. Parts of them may be available already.
    Need(Vec<Range<u64>>),
    /// The walk has finished.
    Done(T),
    /// The file is damaged, false or beyond a limit. The reason is worded as the end of a sentence
    /// ("its index …").
    Failed(String),
}

/// The reason why part of a walk stopped early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// As [`Step::Need`].
    Need(Vec<Range<u64>>),
    /// As [`Step::Failed`].
    Failed(String),
}

impl Stop {
    /// Returns a stop that needs one range.
    pub(crate) fn need(range: Range<u64>) -> Stop {
        Stop::Need(vec![range])
    }

    pub(crate) fn failed(why: impl Into<String>) -> Stop {
        Stop::Failed(why.into())
    }
}

impl<T> From<Stop> for Step<T> {
    fn from(stop: Stop) -> Step<T> {
        match stop {
            Stop::Need(ranges) => Step::Need(ranges),
            Stop::Failed(why) => Step::Failed(why),
        }
    }
}

/// A walk through the structure of a container. It is called again whenever the bytes it needed are
/// available, and continues where it stopped.
///
/// Each step must request something new or finish, and the walk bounds the number of steps.
/// [`Probe`] ends a walk that does neither.
pub(crate) trait Walk: std::fmt::Debug + Send + Sync {
    type Found;
    fn step(&mut self, held: &mut Held) -> Step<Self::Found>;
}

impl<T> Walk for Box<dyn Walk<Found = T>> {
    type Found = T;

    fn step(&mut self, held: &mut Held) -> Step<T> {
        (**self).step(held)
    }
}

/// The driver of a walk: reports the bytes it needs and passes on the bytes that arrive.
#[derive(Debug)]
pub(crate) struct Probe<W: Walk> {
    held: Held,
    walk: W,
    needed: Vec<Range<u64>>,
    outcome: Option<Result<W::Found, String>>,
    steps: u32,
}

/// Most steps of a walk. A film of a day in fragments of two seconds has 43,200.
const MAX_STEPS: u32 = 100_000;

/// Most bytes that a walk holds and requests together. No index needs more at once, however large
/// its file. A walk bounds each item that it reads; this bounds the total that a false file can
/// reach.
const MAX_HELD_BYTES: u64 = 2 << 20;

impl<W: Walk> Probe<W> {
    pub(crate) fn new(size: u64, walk: W) -> Probe<W> {
        let mut probe = Probe { held: Held::new(size), walk, needed: Vec::new(), outcome: None, steps: 0 };
        probe.advance();
        probe
    }

    fn advance(&mut self) {
        while self.outcome.is_none() && self.missing(&self.needed).is_empty() {
            self.steps += 1;
            let wished = std::mem::take(&mut self.held.wished);
            self.held.welcome.extend(wished);
            self.held.join();
            match self.walk.step(&mut self.held) {
                Step::Need(ranges) => {
                    self.needed = ranges;
                    if self.missing(&self.needed).is_empty() && self.steps >= MAX_STEPS || self.steps > 4 * MAX_STEPS {
                        self.outcome = Some(Err("needs too many steps to be read".into()));
                    }
                    if self.held.bytes() as u64 + self.missing_bytes() > MAX_HELD_BYTES {
                        self.outcome = Some(Err("needs too much at once to be read".into()));
                    }
                }
                Step::Done(found) => self.outcome = Some(Ok(found)),
                Step::Failed(why) => self.outcome = Some(Err(why)),
            }
        }
        if self.outcome.is_some() {
            self.needed.clear();
            self.held.wished.clear();
        }
    }

    fn missing(&self, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        ranges.iter().flat_map(|range| self.held.missing(range.clone())).collect()
    }

    /// Returns the number of needed bytes that are not available. A range listed twice counts
    /// twice.
    fn missing_bytes(&self) -> u64 {
        self.missing(&self.needed).iter().map(|range| range.end - range.start).fold(0, u64::saturating_add)
    }

    /// Returns the bytes still to be fed, the most urgent first, and those only wished for last.
    /// Empty once there is an outcome.
    pub(crate) fn needed(&self) -> Vec<Range<u64>> {
        let mut needed = self.missing(&self.needed);
        needed.extend(self.missing(&self.held.wished));
        needed
    }

    /// Accepts bytes of the file and drops those that are not needed.
    pub(crate) fn feed(&mut self, offset: u64, bytes: &[u8]) {
        for range in self.needed.iter().chain(&self.held.wished).chain(&self.held.welcome).cloned().collect::<Vec<_>>()
        {
            self.held.keep(range, offset, bytes);
        }
        self.advance();
    }

    /// Returns the size of the file in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.held.size()
    }

    pub(crate) fn outcome(&self) -> Option<Result<&W::Found, &str>> {
        self.outcome.as_ref().map(|o| o.as_ref().map_err(String::as_str))
    }

    /// Returns the number of bytes held in memory.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.bytes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_fed_in_any_order_join_and_the_gaps_are_named() {
        let mut held = Held::new(100);
        held.keep(0..100, 10, &[1; 10]);
        held.keep(0..100, 30, &[3; 10]);
        assert_eq!(held.missing(0..50), [0..10, 20..30, 40..50]);
        assert_eq!(held.get(10..40), None);
        held.keep(0..100, 15, &[2; 20]);
        held.join();
        assert_eq!(held.get(10..40).unwrap(), [[1; 10], [2; 10], [3; 10]].concat());
        assert_eq!(held.ranges.len(), 1);
        assert_eq!(held.get(90..200), None);
        held.keep(0..200, 90, &[9; 50]);
        held.join();
        assert_eq!(held.get(90..200).unwrap(), [9; 10]);
    }

    #[test]
    fn what_was_read_can_be_given_back() {
        let mut held = Held::new(100);
        held.keep(0..100, 0, &[1; 40]);
        held.forget_before(30);
        assert_eq!(held.bytes(), 10);
        assert_eq!(held.missing(20..50), [20..30, 40..50]);
    }

    #[test]
    fn a_range_that_was_read_can_be_given_back_from_amid_others() {
        let mut held = Held::new(100);
        held.keep(0..100, 0, &[1; 40]);
        held.keep(0..100, 50, &[2; 40]);
        held.forget(30..60);
        assert_eq!(held.missing(0..100), [30..60, 90..100]);
        held.forget(10..20);
        held.forget(60..90);
        assert_eq!(held.missing(0..100), [10..20, 30..100]);
        held.forget(0..100);
        assert_eq!(held.bytes(), 0);
    }

    proptest! {
        #[test]
        fn the_held_bytes_are_those_that_were_fed(feeds in prop::collection::vec((0u64..300, 0usize..80, 0u64..300, 0u64..300), 0..40)) {
            let file: Vec<u8> = (0..256u32).map(|i| i as u8).collect();
            let mut held = Held::new(256);
            let mut here = vec![false; 256];
            for (offset, len, a, b) in feeds {
                let start = (offset as usize).min(256);
                let bytes = &file[start..(start + len).min(256)];
                let range = a.min(b)..a.max(b);
                held.keep(range.clone(), start as u64, bytes);
                for (i, here) in here.iter_mut().enumerate().skip(start).take(bytes.len()) {
                    *here |= range.contains(&(i as u64));
                }
            }
            for i in 0..256u64 {
                prop_assert_eq!(held.get(i..i + 1).map(|b| b[0]), here[i as usize].then_some(i as u8));
            }
            let missing: u64 = held.missing(0..256).iter().map(|r| r.end - r.start).sum();
            prop_assert_eq!(missing as usize, here.iter().filter(|h| !**h).count());
        }
    }
}
