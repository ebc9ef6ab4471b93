//! A search: its query, the servents that were asked by UDP, and when it ends.

use super::api::{End, LinkKey, SearchKey, Wanted};
use super::results::Results;
use crate::Time;
use bytes::Bytes;
use playswarm_proto::gnutella::{Guid, MAX_OUR_TEXT_BYTES, Query, flag, words};
use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::time::Duration;

/// Most searches whose results are kept.
pub const MAX_SEARCHES: usize = 4;
/// Time after which servents are asked by UDP, if too little was found until then.
const GUESS_AFTER: Duration = Duration::from_millis(1500);
/// Files from which on no servent is asked by UDP.
const GUESS_BELOW: usize = 20;
/// Most servents that a search asks by UDP.
const MAX_GUESSES: usize = 100;
/// Time between two of them (GUESS 0.2): the first ones, and the later ones.
const FIRST_PACE: Duration = Duration::from_millis(200);
const LATER_PACE: Duration = Duration::from_millis(100);
/// Number of servents that are asked at the first pace.
const FIRST_GUESSES: usize = 20;
/// Most servents whose hits are claimed.
const MAX_CLAIMS: usize = 64;
/// Most words of a query.
const MAX_WORDS: usize = 6;

/// A search.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// Its number.
    pub(super) key: SearchKey,
    /// Identifier of its query on every way.
    pub(super) guid: Guid,
    /// Our address if the identifier has it. Otherwise random bytes are in its place.
    hits_to: Option<SocketAddrV4>,
    /// What it looks for.
    pub(super) wanted: Wanted,
    /// What it found.
    pub(super) results: Results,
    /// Number of results that came, as ultrapeers are told.
    pub(super) hits: u16,
    /// Ultrapeers that have its query.
    pub(super) asked: BTreeSet<LinkKey>,
    /// Servents whose hits were claimed.
    claims: BTreeSet<SocketAddrV4>,
    /// Servents that were asked by UDP.
    guesses: BTreeSet<SocketAddrV4>,
    guess_due: Time,
    ends: Time,
    had_network: bool,
    is_over: bool,
}

impl Search {
    /// Creates a search that begins now. `reachable` is our address if strangers can reach it.
    pub(super) fn new(
        now: Time,
        key: SearchKey,
        guid: Guid,
        reachable: Option<SocketAddrV4>,
        wanted: Wanted,
    ) -> Search {
        let (guid, hits_to) = (reachable.map_or(guid, |address| guid.with_address(address)), reachable);
        let (results, asked, claims, guesses) = Default::default();
        let (guess_due, ends) = (now + GUESS_AFTER, now + wanted.wait);
        let (hits, had_network, is_over) = (0, false, false);
        Search {
            key,
            guid,
            hits_to,
            wanted,
            results,
            hits,
            asked,
            claims,
            guesses,
            guess_due,
            ends,
            had_network,
            is_over,
        }
    }

    /// Whether hits may come by UDP to the address in the identifier, which is ours.
    fn takes_hits_at(&self, reachable: Option<SocketAddrV4>) -> bool {
        self.hits_to.is_some() && self.hits_to == reachable
    }

    /// Returns the query for an ultrapeer, or with the `key` of a servent for that one by UDP. It has
    /// the longest words that fit; `None` if not even one does and no hash is known. `reachable` is
    /// our address if strangers can reach it.
    pub(super) fn query(&self, reachable: Option<SocketAddrV4>, key: Option<&Bytes>) -> Option<Query> {
        let all = words(&self.wanted.words);
        let mut longest: Vec<usize> = (0..all.len()).filter(|at| all[*at].len() <= MAX_OUR_TEXT_BYTES).collect();
        longest.sort_by_key(|at| std::cmp::Reverse(all[*at].len()));
        let fewest = usize::from(self.wanted.hashes.sha1.is_none());
        (fewest..=longest.len().min(MAX_WORDS)).rev().find_map(|count| {
            let mut chosen = longest[..count].to_vec();
            chosen.sort_unstable();
            let text = chosen.iter().map(|at| all[*at].as_str()).collect::<Vec<_>>().join(" ");
            let query = self.query_for(&text, reachable, key);
            (query.text == text && query.fits()).then_some(query)
        })
    }

    /// Returns the query for a text.
    fn query_for(&self, text: &str, reachable: Option<SocketAddrV4>, key: Option<&Bytes>) -> Query {
        let query = Query::new(text, &self.wanted.hashes).with_partial_files();
        let query = self.wanted.media().into_iter().fold(query, Query::of_media);
        // Two servents that cannot be reached cannot connect to each other.
        let query = if reachable.is_some() { query } else { query.with_flags(flag::FIREWALLED) };
        match key {
            Some(key) => query.with_key(key),
            None if self.takes_hits_at(reachable) => query.with_flags(flag::LEAF_GUIDED).out_of_band(),
            None => query.with_flags(flag::LEAF_GUIDED),
        }
    }

    /// Whether the search goes on.
    pub(super) fn is_active(&self) -> bool {
        !self.is_over
    }

    /// Notes that there is an ultrapeer, and whether it has the query.
    pub(super) fn asked(&mut self, link: LinkKey, has_query: bool) {
        self.had_network = true;
        if has_query {
            self.asked.insert(link);
        }
    }

    /// Ends the search if it is time. Returns why.
    pub(super) fn end(&mut self, now: Time) -> Option<End> {
        let end = match () {
            () if self.is_over => return None,
            () if self.results.shown() >= self.wanted.most => End::Enough,
            () if now < self.ends => return None,
            () if self.had_network => End::TimeIsOver,
            () => End::NoNetwork,
        };
        self.is_over = true;
        Some(end)
    }

    /// Notes that a servent's hits are claimed. Returns whether they may be.
    pub(super) fn claim(&mut self, servent: SocketAddrV4) -> bool {
        self.is_active() && self.claims.len() < MAX_CLAIMS && self.claims.insert(servent)
    }

    /// Whether a servent's hits were claimed.
    pub(super) fn has_claimed(&self, servent: SocketAddrV4) -> bool {
        self.claims.contains(&servent)
    }

    /// Whether a servent was asked by UDP.
    pub(super) fn has_guessed(&self, servent: SocketAddrV4) -> bool {
        self.guesses.contains(&servent)
    }

    /// Whether another servent is to be asked by UDP now.
    pub(super) fn wants_guess(&self, now: Time) -> bool {
        self.is_active()
            && now >= self.guess_due
            && self.guesses.len() < MAX_GUESSES
            && self.results.shown() < GUESS_BELOW
    }

    /// Notes that it was a servent's turn, and whether it got the query. It may have been asked for its
    /// key, or too many datagrams were sent.
    pub(super) fn guessed(&mut self, now: Time, servent: SocketAddrV4, has_query: bool) {
        if has_query {
            self.had_network = true;
            self.guesses.insert(servent);
        }
        let pace = if self.guesses.len() < FIRST_GUESSES { FIRST_PACE } else { LATER_PACE };
        self.guess_due = now + pace;
    }

    /// Lets the next servent be asked when one becomes known.
    pub(super) fn pause_guesses(&mut self) {
        self.guess_due = Time::NEVER;
    }

    /// Lets the search ask by UDP again, because a servent or its key has become known.
    pub(super) fn resume_guesses(&mut self, now: Time) {
        if self.guess_due == Time::NEVER {
            self.guess_due = now + FIRST_PACE;
        }
    }

    /// Returns when the search has something to do.
    pub(super) fn next_timeout(&self) -> Time {
        let may_guess = self.guesses.len() < MAX_GUESSES && self.results.shown() < GUESS_BELOW;
        let guess = if may_guess { self.guess_due } else { Time::NEVER };
        if self.is_over { Time::NEVER } else { guess.min(self.ends) }
    }
}
