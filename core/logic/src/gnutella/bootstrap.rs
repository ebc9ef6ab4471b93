//! When to ask which host cache: only without an ultrapeer, and each seldom.

use crate::Time;
use std::time::Duration;

/// Time without an ultrapeer after which host caches are asked by UDP. Without any host to try, one
/// is asked at once.
const UDP_AFTER: Duration = Duration::from_secs(3);
/// Time without an ultrapeer after which host caches are asked by HTTP, the last resort. Where there is
/// nothing else, one is asked at once.
const WEB_AFTER: Duration = Duration::from_secs(20);
/// Time between two caches.
const UDP_SPACING: Duration = Duration::from_secs(2);
const WEB_SPACING: Duration = Duration::from_secs(10);
/// Time until a cache is asked again that has not answered. It doubles each time, up to [`EACH`].
const RETRY: Duration = Duration::from_secs(30);
/// Most doublings of [`RETRY`] that matter.
const MAX_DOUBLINGS: u32 = 7;
/// Time after an answer until a cache is asked again.
const EACH: Duration = Duration::from_secs(60 * 60);

/// A cache.
#[derive(Clone, Debug, Default)]
struct Cache {
    /// Earliest time of the next question.
    due: Time,
    /// Questions since the last answer.
    unanswered: u32,
}

/// Caches of one kind.
#[derive(Clone, Debug)]
struct Caches {
    caches: Vec<Cache>,
    next: Time,
    after: Duration,
    spacing: Duration,
}

impl Caches {
    fn new(count: usize, after: Duration, spacing: Duration) -> Caches {
        Caches { caches: vec![Cache::default(); count], next: Time::ZERO, after, spacing }
    }

    /// Returns when the next cache is asked, and which.
    fn next(&self, since: Time) -> Option<(Time, usize)> {
        let (due, cache) = self.caches.iter().enumerate().map(|(at, cache)| (cache.due, at)).min()?;
        Some((due.max(self.next).max(since + self.after), cache))
    }

    fn take(&mut self, now: Time, since: Time) -> Option<usize> {
        let at = self.next(since).filter(|(due, _)| *due <= now)?.1;
        let cache = &mut self.caches[at];
        cache.due = now + (RETRY * (1 << cache.unanswered.min(MAX_DOUBLINGS))).min(EACH);
        cache.unanswered = cache.unanswered.saturating_add(1);
        self.next = now + self.spacing;
        Some(at)
    }

    fn answered(&mut self, now: Time, at: usize) {
        if let Some(cache) = self.caches.get_mut(at) {
            *cache = Cache { due: now + EACH, unanswered: 0 };
        }
    }
}

/// A question to a host cache, and the index of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// To look it up and ping it by UDP.
    Udp(usize),
    /// To fetch its list by HTTP.
    Web(usize),
}

/// The plan.
#[derive(Clone, Debug)]
pub(super) struct Bootstrap {
    udp: Caches,
    web: Caches,
}

impl Bootstrap {
    /// Creates the plan for this many caches.
    pub(super) fn new(udp: usize, web: usize) -> Bootstrap {
        Bootstrap { udp: Caches::new(udp, UDP_AFTER, UDP_SPACING), web: Caches::new(web, WEB_AFTER, WEB_SPACING) }
    }

    /// Takes the next question that is due. `since` is when the last ultrapeer was lost.
    pub(super) fn take(&mut self, now: Time, since: Time, has_hosts: bool) -> Option<Ask> {
        self.udp.after = if has_hosts { UDP_AFTER } else { Duration::ZERO };
        let is_last = has_hosts || !self.udp.caches.is_empty();
        self.web.after = if is_last { WEB_AFTER } else { Duration::ZERO };
        self.udp.take(now, since).map(Ask::Udp).or_else(|| self.web.take(now, since).map(Ask::Web))
    }

    /// Notes that a cache has answered a question.
    pub(super) fn answered(&mut self, now: Time, ask: Ask) {
        match ask {
            Ask::Udp(cache) => self.udp.answered(now, cache),
            Ask::Web(cache) => self.web.answered(now, cache),
        }
    }

    /// Returns when the next question is due.
    pub(super) fn next_timeout(&self, since: Time) -> Time {
        let next = |caches: &Caches| caches.next(since).map_or(Time::NEVER, |(at, _)| at);
        next(&self.udp).min(next(&self.web))
    }
}
