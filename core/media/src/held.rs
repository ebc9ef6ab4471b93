//! The bytes that were fed and are still of use, and the little machine around them that every container's walk is.

use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of a file, some here, some not. Only what was asked for is kept, so its size is what walks ask for at once.
#[derive(Debug, Default)]
pub(crate) struct Held {
    size: u64,
    /// By offset; ranges do not overlap, and once joined do not touch.
    ranges: BTreeMap<u64, Vec<u8>>,
    /// What the walk would like to have beside what it needs.
    wished: Vec<Range<u64>>,
    /// What it wished for before: not asked for any more, but kept if it comes, as it may be on its way.
    welcome: Vec<Range<u64>>,
}

impl Held {
    pub(crate) fn new(size: u64) -> Held {
        Held { size, ranges: BTreeMap::new(), wished: Vec::new(), welcome: Vec::new() }
    }

    /// Bytes of the file.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The bytes of a range, if all of them are here. A range past the end of the file is cut there.
    pub(crate) fn get(&self, range: Range<u64>) -> Option<&[u8]> {
        let range = range.start..range.end.min(self.size);
        if range.is_empty() {
            return Some(&[]);
        }
        let from = self.from(range.start)?;
        from.get(..usize::try_from(range.end - range.start).ok()?)
    }

    /// All that lies here from an offset on without a gap; `None` if its first byte is not here.
    pub(crate) fn from(&self, offset: u64) -> Option<&[u8]> {
        let (start, bytes) = self.ranges.range(..=offset).next_back()?;
        bytes.get(usize::try_from(offset - start).ok()?..).filter(|rest| !rest.is_empty())
    }

    /// Whether what lies before an offset is here and nothing but zeros, for longer than any film has them: a hole in a file
    /// that is not whole.
    pub(crate) fn hole_before(&self, offset: u64) -> bool {
        const HOLE: u64 = 256 << 10;
        let bytes = offset.checked_sub(HOLE).and_then(|start| self.get(start..offset));
        bytes.is_some_and(|bytes| !bytes.is_empty() && bytes.iter().all(|byte| *byte == 0))
    }

    /// What of a range is not here, in ascending order.
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

    /// Asks for a range beside what the walk needs: it will likely be wanted next, and is not waited for. Until the next step.
    pub(crate) fn wish(&mut self, range: Range<u64>) {
        self.wished.push(range);
    }

    /// Keeps what of these bytes lies in a range. Until they are [joined](Held::join), they lie beside what they touch.
    fn keep(&mut self, range: Range<u64>, offset: u64, bytes: &[u8]) {
        let end = offset.saturating_add(bytes.len() as u64);
        for gap in self.missing(range.start.max(offset)..range.end.min(end)) {
            let part = &bytes[(gap.start - offset) as usize..(gap.end - offset) as usize];
            self.ranges.insert(gap.start, part.to_vec());
        }
    }

    /// Makes one of ranges that touch: once, when all is here, and not with each piece, for a large range comes in many.
    fn join(&mut self) {
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

    /// Gives back everything before an offset: a walk that has read past it.
    pub(crate) fn forget_before(&mut self, offset: u64) {
        let mut kept = self.ranges.split_off(&offset);
        if let Some((start, bytes)) = self.ranges.pop_last()
            && start + bytes.len() as u64 > offset
        {
            kept.insert(offset, bytes[(offset - start) as usize..].to_vec());
        }
        self.ranges = kept;
    }

    /// Gives back everything when it has become much, before a walk asks for all that it needs next.
    pub(crate) fn make_room(&mut self) {
        /// Kept for the case that it is needed again.
        const KEEP: usize = 1 << 20;
        if self.bytes() > KEEP {
            self.ranges.clear();
        }
    }

    /// Gives back a range that was read.
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

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.ranges.values().map(Vec::len).sum()
    }
}

/// What a walk came to with the bytes that are here.
#[derive(Debug)]
pub(crate) enum Step<T> {
    /// These are needed to go on, the most urgent first. Parts of them may be here already.
    Need(Vec<Range<u64>>),
    /// It is through.
    Done(T),
    /// The file is damaged, lies or is beyond a limit: why, as the end of a sentence ("its index …").
    Failed(String),
}

/// What keeps a part of a walk from its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// As [`Step::Need`].
    Need(Vec<Range<u64>>),
    /// As [`Step::Failed`].
    Failed(String),
}

impl Stop {
    /// One range is needed.
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

/// A walk through the structure of a container: called again whenever what it needed is here, it goes on where it was.
///
/// It must ask for something new or end with each step, and bounds how often: [`Probe`] ends one that does neither.
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

/// The door of a walk: says what is needed, takes what comes.
#[derive(Debug)]
pub(crate) struct Probe<W: Walk> {
    held: Held,
    walk: W,
    needed: Vec<Range<u64>>,
    outcome: Option<Result<W::Found, String>>,
    steps: u32,
}

/// Bounds the walk's questions: a film of a day in fragments of two seconds has 43,200.
const MAX_STEPS: u32 = 100_000;

/// What a walk holds and asks for together: no index needs more at once, however large its file. A walk bounds each thing that it
/// reads; this bounds what a lie can make of many of them.
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

    /// How much is needed beside what is here. What is named twice counts twice.
    fn missing_bytes(&self) -> u64 {
        self.missing(&self.needed).iter().map(|range| range.end - range.start).fold(0, u64::saturating_add)
    }

    /// What is still to be fed, the most urgent first; nothing once there is an outcome. What is only wished for comes last.
    pub(crate) fn needed(&self) -> Vec<Range<u64>> {
        let mut needed = self.missing(&self.needed);
        needed.extend(self.missing(&self.held.wished));
        needed
    }

    /// Takes bytes of the file; those that nobody needs are let go.
    pub(crate) fn feed(&mut self, offset: u64, bytes: &[u8]) {
        for range in self.needed.iter().chain(&self.held.wished).chain(&self.held.welcome).cloned().collect::<Vec<_>>()
        {
            self.held.keep(range, offset, bytes);
        }
        self.advance();
    }

    /// Bytes of the file.
    pub(crate) fn size(&self) -> u64 {
        self.held.size()
    }

    pub(crate) fn outcome(&self) -> Option<Result<&W::Found, &str>> {
        self.outcome.as_ref().map(|o| o.as_ref().map_err(String::as_str))
    }

    /// Bytes held in memory.
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
        fn what_is_held_is_what_was_fed(feeds in prop::collection::vec((0u64..300, 0usize..80, 0u64..300, 0u64..300), 0..40)) {
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
