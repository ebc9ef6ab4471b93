//! The unanswered requests of one peer, in order; CANCEL and CHOKE are honoured.
//!
//! Pure. The driver takes requests with [`UploadQueue::pop`] when the rate limit and the writer
//! allow, reads the block from the store and sends it. Requests can therefore be cancelled until
//! they are written. Back-pressure bounds the queue: while it is deep, reading from the peer is
//! paused. Some clients (rTorrent) request as much as their line carries in several seconds. Those
//! without BEP 6 could not be told of a rejection.

use super::conduct::Offence;
use crate::{Bits, Layout, PieceIndex, Time};
use playswarm_proto::extended::OUR_REQQ;
use playswarm_proto::wire::Span;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Longest block that is served, bytes. The usual request is 16 KiB; some old clients request up to
/// this length (BEP 3).
const MAX_SERVED_BYTES: u32 = 128 * 1024;
/// Time after a CHOKE during which late requests are not counted as an offence.
const CHOKE_GRACE: Duration = Duration::from_secs(15);
/// Number of waiting requests at which reading from the peer pauses: twice the limit that we
/// announce.
const DEEP: usize = 2 * OUR_REQQ as usize;
/// Number of waiting requests at which reading resumes.
const SHALLOW: usize = OUR_REQQ as usize;
/// Most deferred rejects. Beyond it, rejects are sent at once.
const MAX_OWED: usize = 1024;
/// Factor by which the bytes served of an allowed-fast piece may exceed the piece, to replace lost
/// blocks.
const FAST_SHARES: u64 = 2;

/// The decision about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The request was queued.
    Queued,
    /// The request was queued already, or a choked peer without FAST is owed no answer. Send
    /// nothing.
    Ignored,
    /// Send REJECT. Only returned for a peer with FAST.
    Reject,
}

/// The queue of one peer.
#[derive(Debug, Default)]
pub struct UploadQueue {
    fast: bool,
    /// Requests in order of arrival. Those that are not in `known` were cancelled.
    waiting: VecDeque<Span>,
    known: BTreeSet<Span>,
    choked: bool,
    choked_at: Time,
    /// Bytes of each allowed-fast piece that may still be served while the peer is choked.
    allowed_fast: BTreeMap<u32, u64>,
    /// Deferred rejects.
    owed: Vec<Span>,
}

impl UploadQueue {
    /// Creates the queue of a new peer, which is choked. `fast` tells whether it supports BEP 6.
    pub fn new(now: Time, fast: bool) -> UploadQueue {
        UploadQueue { fast, choked: true, choked_at: now, ..UploadQueue::default() }
    }

    /// Notes that these pieces, given with their lengths, were sent to the peer as ALLOWED FAST.
    pub fn allow_fast(&mut self, pieces: impl IntoIterator<Item = (u32, u32)>) {
        self.allowed_fast.extend(pieces.into_iter().map(|(piece, bytes)| (piece, FAST_SHARES * u64::from(bytes))));
    }

    /// Handles a REQUEST. `have` holds the verified pieces in the store, and `withdrawn` the
    /// announced ones that were lost. `told` tells whether the peer learns which pieces were lost
    /// (BEP 54).
    pub fn push(
        &mut self,
        now: Time,
        span: Span,
        layout: &Layout,
        (have, withdrawn): (&Bits, &Bits),
        told: bool,
    ) -> (Asked, Option<Offence>) {
        let refused = if self.fast { Asked::Reject } else { Asked::Ignored };
        let end = u64::from(span.begin) + u64::from(span.length);
        if span.length == 0
            || span.length > MAX_SERVED_BYTES
            || end > u64::from(layout.bytes_of(PieceIndex(span.piece)))
        {
            return (refused, Some(Offence::BadRequest));
        }
        if self.choked && !self.allowed_fast.contains_key(&span.piece) {
            let late = now.since(self.choked_at) > CHOKE_GRACE;
            return (refused, late.then_some(Offence::RequestWhileChoked));
        }
        if !have.get(span.piece) {
            if !withdrawn.get(span.piece) {
                return (refused, Some(Offence::RequestForMissing));
            }
            // A peer that is not informed believes that we have the piece. It requests again as
            // soon as it receives a reject.
            if !told && self.put_off(span) {
                return (Asked::Ignored, None);
            }
            return (refused, None);
        }
        if self.known.contains(&span) {
            return (Asked::Ignored, None);
        }
        if self.choked && !self.spend(span) {
            return (refused, None);
        }
        self.waiting.push_back(span);
        self.known.insert(span);
        (Asked::Queued, None)
    }

    /// Defers a reject. Returns false if it is to be sent now, or if the peer gets none (no BEP 6).
    pub fn put_off(&mut self, span: Span) -> bool {
        let room = self.fast && self.owed.len() < MAX_OWED;
        if room {
            self.owed.push(span);
        }
        room
    }

    /// Counts a block against its allowed-fast piece. Returns whether the piece's allowance covers
    /// it.
    fn spend(&mut self, span: Span) -> bool {
        let Some(left) = self.allowed_fast.get_mut(&span.piece) else { return false };
        let rest = left.checked_sub(u64::from(span.length));
        *left = rest.unwrap_or(*left);
        rest.is_some()
    }

    /// Handles a CANCEL. Returns true if the request was still queued; a peer with FAST is then
    /// owed a REJECT (BEP 6: a block or a REJECT for each request). False means that the block is
    /// on its way, or was never requested.
    pub fn cancel(&mut self, span: Span) -> bool {
        let was_waiting = self.known.remove(&span);
        if self.waiting.len() > 2 * self.known.len() + 64 {
            self.waiting.retain(|s| self.known.contains(s));
        }
        was_waiting
    }

    /// Chokes the peer. Drops the queued requests and returns those that are owed a REJECT.
    /// Requests for allowed-fast pieces stay.
    pub fn choke(&mut self, now: Time) -> Vec<Span> {
        if !self.choked {
            self.choked = true;
            self.choked_at = now;
        }
        self.keep(UploadQueue::spend)
    }

    /// Unchokes the peer.
    pub fn unchoke(&mut self) {
        self.choked = false;
    }

    /// Drops the requests for a lost piece and returns those that are owed a REJECT.
    pub fn forget_piece(&mut self, piece: u32) -> Vec<Span> {
        self.keep(|_, span| span.piece != piece)
    }

    /// Keeps the requests for which `keep` returns true, and returns those of the others that are
    /// owed a REJECT.
    fn keep(&mut self, keep: impl Fn(&mut UploadQueue, Span) -> bool) -> Vec<Span> {
        let mut dropped = Vec::new();
        while let Some(span) = self.waiting.pop_front() {
            if self.known.remove(&span) {
                dropped.push(span);
            }
        }
        dropped.retain(|span| {
            let kept = keep(self, *span);
            if kept {
                self.waiting.push_back(*span);
                self.known.insert(*span);
            }
            !kept
        });
        if self.fast { dropped } else { Vec::new() }
    }

    /// Takes the next request to answer. It cannot be cancelled any more.
    pub fn pop(&mut self) -> Option<Span> {
        while let Some(span) = self.waiting.pop_front() {
            if self.known.remove(&span) {
                return Some(span);
            }
        }
        None
    }

    /// Returns the next request without taking it.
    pub fn peek(&mut self) -> Option<Span> {
        while let Some(span) = self.waiting.front() {
            if self.known.contains(span) {
                return Some(*span);
            }
            self.waiting.pop_front();
        }
        None
    }

    /// Takes the deferred rejects.
    pub fn take_owed(&mut self) -> Vec<Span> {
        std::mem::take(&mut self.owed)
    }

    /// Returns whether reading from the peer should pause because many requests wait.
    pub fn is_deep(&self) -> bool {
        self.waiting.len() >= DEEP
    }

    /// Returns whether reading may resume because few requests wait.
    pub fn is_shallow(&self) -> bool {
        self.waiting.len() <= SHALLOW
    }

    /// Returns the number of queued requests.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Returns whether no request is queued.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Returns whether the peer is choked.
    pub fn is_choked(&self) -> bool {
        self.choked
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const T0: Time = Time::ZERO;

    fn layout() -> Layout {
        Layout::new(10 * 65536 - 1000, 65536).unwrap()
    }

    fn block(piece: u32, n: u32) -> Span {
        Span { piece, begin: n * 16384, length: 16384 }
    }

    fn unchoked(fast: bool) -> UploadQueue {
        let mut queue = UploadQueue::new(T0, fast);
        queue.unchoke();
        queue
    }

    fn push(queue: &mut UploadQueue, span: Span) -> (Asked, Option<Offence>) {
        let mut have = Bits::full(10);
        have.set(9, true);
        have.set(5, false);
        let mut withdrawn = Bits::new(10);
        withdrawn.set(4, true);
        have.set(4, false);
        queue.push(T0, span, &layout(), (&have, &withdrawn), false)
    }

    #[test]
    fn requests_are_answered_in_order_and_once() {
        let mut queue = unchoked(true);
        for span in [block(1, 0), block(0, 3), block(1, 0)] {
            push(&mut queue, span);
        }
        assert_eq!(push(&mut queue, block(1, 0)), (Asked::Ignored, None));
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(block(1, 0)), Some(block(0, 3)), None));
        // After it was answered, a block may be requested again.
        assert_eq!(push(&mut queue, block(1, 0)), (Asked::Queued, None));
    }

    #[test]
    fn a_cancelled_request_is_not_answered() {
        let mut queue = unchoked(true);
        push(&mut queue, block(1, 0));
        push(&mut queue, block(1, 1));
        assert!(queue.cancel(block(1, 0)) && !queue.cancel(block(1, 0)));
        assert_eq!((queue.pop(), queue.len()), (Some(block(1, 1)), 0));
        assert!(!queue.cancel(block(1, 1)));
    }

    #[test]
    fn what_does_not_exist_is_refused_and_counted() {
        let mut queue = unchoked(true);
        let bad = |piece, begin, length| Span { piece, begin, length };
        for span in [
            bad(10, 0, 16384),
            bad(9, 65536 - 1000, 1),
            bad(0, 0, 0),
            bad(0, u32::MAX, u32::MAX),
            bad(0, 0, 128 * 1024 + 1),
            bad(u32::MAX, 0, 1),
        ] {
            assert_eq!(push(&mut queue, span), (Asked::Reject, Some(Offence::BadRequest)), "{span:?}");
        }
        assert_eq!(push(&mut queue, block(5, 0)), (Asked::Reject, Some(Offence::RequestForMissing)));
        assert_eq!(push(&mut unchoked(false), block(5, 0)), (Asked::Ignored, Some(Offence::RequestForMissing)));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_deep_queue_is_no_offence_and_is_read_on_once_it_is_shallow() {
        let layout = Layout::new(1 << 30, 16384).unwrap();
        let (have, none) = (Bits::full(layout.pieces()), Bits::new(layout.pieces()));
        for fast in [true, false] {
            let mut queue = unchoked(fast);
            for i in 0..3000 {
                let asked = queue.push(T0, block(i, 0), &layout, (&have, &none), false);
                assert_eq!(asked, (Asked::Queued, None));
                assert_eq!(queue.is_deep(), i + 1 >= 1000);
            }
            while !queue.is_shallow() {
                assert!(queue.pop().is_some());
            }
            assert_eq!(queue.len(), 500);
        }
    }

    #[test]
    fn asking_and_cancelling_over_and_over_takes_no_memory() {
        let mut queue = unchoked(true);
        for i in 0..10_000 {
            push(&mut queue, block(i % 4, 0));
            assert!(queue.cancel(block(i % 4, 0)));
        }
        assert!(queue.is_empty() && queue.waiting.len() <= 65 && queue.peek().is_none() && queue.pop().is_none());
    }

    #[test]
    fn an_allowed_fast_piece_is_served_twice_over_and_no_more() {
        let mut queue = UploadQueue::new(T0, true);
        queue.allow_fast([(3, 65536)]);
        let mut served = 0;
        for i in 0..100 {
            match push(&mut queue, block(3, i % 4)) {
                (Asked::Queued, None) => served += 1,
                refused => assert_eq!(refused, (Asked::Reject, None)),
            }
            queue.pop();
        }
        assert_eq!(served, 8);
        queue.unchoke();
        assert_eq!(push(&mut queue, block(3, 0)), (Asked::Queued, None));
        assert_eq!(queue.choke(T0), [block(3, 0)]);
    }

    #[test]
    fn a_piece_that_was_announced_and_given_back_may_be_asked_for() {
        let mut queue = unchoked(true);
        for _ in 0..MAX_OWED {
            // The reject is deferred; otherwise the two sides would loop.
            assert_eq!(push(&mut queue, block(4, 0)), (Asked::Ignored, None));
        }
        assert_eq!(push(&mut queue, block(4, 0)), (Asked::Reject, None));
        assert_eq!((queue.take_owed().len(), queue.take_owed().len()), (MAX_OWED, 0));
        assert_eq!(push(&mut unchoked(false), block(4, 0)), (Asked::Ignored, None));
    }

    #[test]
    fn a_choke_empties_the_queue_except_for_allowed_fast_pieces() {
        let mut queue = unchoked(true);
        queue.allow_fast([(3, 65536)]);
        for span in [block(1, 0), block(3, 0), block(2, 0)] {
            push(&mut queue, span);
        }
        assert_eq!(queue.choke(T0), [block(1, 0), block(2, 0)]);
        assert_eq!(push(&mut queue, block(3, 1)), (Asked::Queued, None));
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(block(3, 0)), Some(block(3, 1)), None));
        let mut plain = unchoked(false);
        push(&mut plain, block(1, 0));
        assert!(plain.choke(T0).is_empty() && plain.is_empty());
    }

    #[test]
    fn requests_that_crossed_with_a_choke_are_no_offence_but_later_ones_are() {
        let (layout, have) = (layout(), Bits::full(10));
        let mut queue = unchoked(true);
        queue.choke(Time::from_secs_f64(100.0));
        let mut at = |s| queue.push(Time::from_secs_f64(s), block(1, 0), &layout, (&have, &Bits::new(10)), true);
        assert_eq!(at(105.0), (Asked::Reject, None));
        assert_eq!(at(120.0), (Asked::Reject, Some(Offence::RequestWhileChoked)));
    }

    #[test]
    fn a_piece_that_is_given_back_takes_its_requests_with_it() {
        let mut queue = unchoked(true);
        for span in [block(1, 0), block(3, 0), block(1, 2)] {
            push(&mut queue, span);
        }
        assert_eq!(queue.forget_piece(1), [block(1, 0), block(1, 2)]);
        assert_eq!((queue.peek(), queue.len()), (Some(block(3, 0)), 1));
    }
}
