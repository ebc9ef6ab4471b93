//! The sources of a torrent: which one is dialled when, and what became of it.

use crate::gnutella::may_use;
use crate::torrent::{HostKey, Origin};
use crate::{Range, Time};
use playswarm_proto::AddressClass;
use playswarm_proto::gnutella::Target;
use playswarm_proto::metainfo::MAX_WEB_SEEDS;
use playswarm_proto::{FileHashes, sha1};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;
use url::Url;

/// Most sources of a torrent that links, torrents and the user name; the rest is ignored.
pub const MAX_SOURCES: usize = 2 * MAX_WEB_SEEDS;
/// Most servents of a torrent that other servents name, or that came to us; the rest is ignored.
pub const MAX_ALTERNATES: usize = 200;
/// Most servents that one servent names; the rest is ignored, so that others may name some as well.
const MAX_NAMED: usize = 40;
/// Most of those servents at one IP address, where several share it. A liar has any number of ports.
const MAX_PORTS: usize = 4;
/// Most lanes of a torrent, without those that are held in queues of servents. As many again may be held.
const MAX_LANES: usize = 24;
/// Most lanes to one host, as browsers open. Servers often refuse more.
const MAX_LANES_PER_HOST: usize = 4;
/// Pause between two lanes that are opened because too little comes. A lane needs it to show what it
/// delivers.
const MORE_AFTER: Duration = Duration::from_secs(1);
/// Time for which too little must come before a source gets a further lane. Two lanes on one slow line
/// crowd each other out, so that an attempt costs some of its rate.
const SHORT_FOR: Duration = Duration::from_secs(10);
/// Time in which that lane must show that more comes by it: some dozen blocks of slow servers.
const SHOWS_AFTER: Duration = Duration::from_secs(5);
/// Share of a lane's part of the rate that a further one must add. Servers that limit connections give
/// each the same; a slow line gives all of them together no more than one.
const LEAST_GROWTH: f64 = 0.5;
/// Pause before a further lane is tried after one failed while others serve. It may be that the
/// server refuses as many, for as long as other clients use it.
const FEWER_FOR: Duration = Duration::from_secs(60);
/// Pause after the first failure. Each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Pause after a servent failed that another one named: strangers could name a victim.
const STRANGER_PAUSE: Duration = Duration::from_secs(600);

/// Tuning of the sources over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Number of sources that are connected before any need is known. The others are standbys. 4: more
    /// start a film hardly sooner, and each costs its server a connection.
    pub first: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config { first: 4 }
    }
}

impl Config {
    /// Returns the valid values of each setting.
    pub fn ranges(&self) -> Vec<Range> {
        vec![Range::new("first", self.first as f64, 1.0, MAX_LANES as f64)]
    }
}

/// Returns the pause after a failure that follows so many others.
pub fn pause_after(failures: u32) -> Duration {
    (FIRST_PAUSE * 2u32.saturating_pow(failures.min(10))).min(LONGEST_PAUSE)
}

/// A source, numbered by the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceKey(pub usize);

/// The state of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is not needed so far.
    Standby,
    /// It is being dialled.
    Dialling,
    /// It is connected.
    Serving,
    /// It failed or is busy, and is tried again later.
    Waiting,
    /// It is of no use, and is not tried again.
    Refused,
}

impl State {
    /// Returns the name that the status shows.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Standby => "standby",
            State::Dialling => "dialling",
            State::Serving => "serving",
            State::Waiting => "waiting",
            State::Refused => "refused",
        }
    }
}

/// The reason for which a lane ended, or a dial failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing is wrong: it was not needed any more.
    Idle,
    /// The torrent does not want the host for now.
    Unwanted,
    /// It failed. Another attempt may succeed.
    Failed(String),
    /// It is busy, for as long as it says.
    Busy(String, Option<Duration>),
    /// It makes us wait for this time, as servents with a queue do. It is not a failure.
    Held(String, Duration),
    /// It is of no use.
    Useless(String),
}

/// A source.
#[derive(Clone, Debug)]
pub struct Entry {
    /// URL of a file, or of the folder that has the torrent's files.
    pub url: Url,
    /// Class of the address that named the URL.
    pub named_by: AddressClass,
    /// How it came to be known: [`Origin::WebSeed`], [`Origin::Mirror`],
    /// [`Origin::Servent`] or [`Origin::Alternate`].
    pub origin: Origin,
    /// The host.
    pub host: HostKey,
    /// The last failure, as a sentence.
    pub error: Option<String>,
    /// Time before which it is not dialled.
    pub not_before: Time,
    is_refused: bool,
    lanes: usize,
    dialling: usize,
    /// Time before which no further lane is dialled.
    no_more_before: Time,
    /// Bytes of the file that came from it.
    bytes: u64,
    /// Time since which its rate is judged, and the bytes that had come by then: a lane joined, or
    /// enough came until then.
    judged: (Time, u64),
    /// Rate before the last lane joined, in bytes per second. 0 once a lane left: the others did not join
    /// at that rate.
    before: f64,
    failures: u32,
    /// Whether it is a servent of Gnutella, which takes one connection.
    is_servent: bool,
    /// Whether its lane is held in the servent's queue.
    is_held: bool,
    /// Number of servents that it named and that were added.
    named: usize,
}

impl Entry {
    /// Returns the number of its lanes.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Returns its state.
    pub fn state(&self, now: Time) -> State {
        match () {
            () if self.lanes > 0 => State::Serving,
            () if self.is_refused || (self.origin == Origin::Pushed && self.dialling == 0) => State::Refused,
            () if self.dialling > 0 => State::Dialling,
            () if self.not_before > now => State::Waiting,
            () => State::Standby,
        }
    }

    /// Returns the bytes of the file that came from it.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn in_use(&self) -> usize {
        self.lanes + self.dialling
    }

    /// Returns the number of its lanes and dials that may bring bytes now.
    fn active(&self) -> usize {
        if self.is_held { 0 } else { self.in_use() }
    }

    /// Whether strangers brought it here, by naming it or by connecting to us.
    fn is_strangers(&self) -> bool {
        is_strangers(self.origin)
    }

    /// Judges its rate from now on.
    fn judge_anew(&mut self, now: Time) {
        self.judged = (now, self.bytes);
    }

    /// Returns the rate since then, in bytes per second. `None` if it is too soon to say.
    fn rate(&self, now: Time) -> Option<f64> {
        let took = now.since(self.judged.0);
        let enough = if self.lanes > 1 { SHOWS_AFTER } else { SHORT_FOR };
        (took >= enough).then(|| (self.bytes - self.judged.1) as f64 / took.as_secs_f64())
    }

    /// Whether its lanes bring more than all but the last one did. `None` if it is too soon to say.
    fn grew(&self, now: Time) -> Option<bool> {
        let others = self.lanes.saturating_sub(1) as f64;
        self.rate(now).map(|rate| others == 0.0 || rate >= self.before * (1.0 + LEAST_GROWTH / others))
    }

    /// Whether a further lane to it may be dialled: as long as each brings more.
    fn may_have_more(&self, now: Time) -> bool {
        self.lanes > 0 && self.dialling == 0 && self.no_more_before <= now && self.grew(now) == Some(true)
    }
}

/// The sources of a torrent.
#[derive(Debug, Default)]
pub struct Book {
    config: Config,
    entries: Vec<Entry>,
    /// Names of the hosts, by their keys.
    hosts: Vec<String>,
    /// Time at which a lane was last opened because too little came.
    more_at: Option<Time>,
}

impl Book {
    /// Creates a book without sources.
    pub fn new(config: Config) -> Book {
        Book { config, ..Book::default() }
    }

    /// Adds a source. `None` if it is known already, or there are [`MAX_SOURCES`] and the user did not name
    /// it as a mirror.
    pub fn add(&mut self, url: Url, named_by: AddressClass, origin: Origin) -> Option<SourceKey> {
        if self.entries.iter().any(|entry| entry.url == url) || self.is_full(&url, origin) {
            return None;
        }
        let host = self.host(&url, origin);
        let is_servent = Target::of_url(&url).is_some();
        let origin = if is_servent && origin == Origin::WebSeed { Origin::Servent } else { origin };
        self.entries.push(Entry {
            url,
            named_by,
            origin,
            host,
            error: None,
            not_before: Time::ZERO,
            is_refused: false,
            lanes: 0,
            dialling: 0,
            no_more_before: Time::ZERO,
            bytes: 0,
            judged: (Time::ZERO, 0),
            before: 0.0,
            failures: 0,
            is_servent,
            is_held: false,
            named: 0,
        });
        Some(SourceKey(self.entries.len() - 1))
    }

    /// Whether there is no place for a further source of this origin.
    fn is_full(&self, url: &Url, origin: Origin) -> bool {
        let strangers = || self.entries.iter().filter(|entry| entry.is_strangers());
        match origin {
            Origin::Mirror => false,
            _ if is_strangers(origin) => {
                let near = strangers().filter(|entry| entry.url.host() == url.host());
                strangers().count() >= MAX_ALTERNATES || near.count() >= MAX_PORTS
            }
            _ => self.entries.len() - strangers().count() >= MAX_SOURCES,
        }
    }

    /// Adds a servent that is said to have the file with this hash. `named_by` is the class of the address
    /// that named it. `None` as for [`Book::add`], or if such a source must not name it.
    pub fn add_servent(
        &mut self,
        servent: SocketAddr,
        sha1: sha1::Digest,
        named_by: AddressClass,
    ) -> Option<SourceKey> {
        let url = file_at(servent, sha1).filter(|_| may_use(servent, named_by, None))?;
        self.add(url, named_by, Origin::Servent)
    }

    /// Adds a servent that came to us, and counts it as being dialled. It cannot be dialled again. One that
    /// comes from the same IP address as one before takes the place of that one.
    pub fn add_pushed(&mut self, servent: SocketAddr, sha1: sha1::Digest) -> Option<SourceKey> {
        let url = file_at(servent, sha1)?;
        let is_same = |entry: &Entry| entry.origin == Origin::Pushed && entry.url.host() == url.host();
        let key = match self.entries.iter().position(|entry| is_same(entry) && entry.in_use() == 0) {
            Some(at) => SourceKey(at),
            None => self.add(url.clone(), AddressClass::of(servent.ip()), Origin::Pushed)?,
        };
        let entry = &mut self.entries[key.0];
        (entry.url, entry.dialling, entry.is_refused) = (url, 1, false);
        Some(key)
    }

    /// Adds the servents that a source names as having the same file. `named_by` is the class of the
    /// source's address. Returns whether any of them is new.
    pub fn add_alternates(&mut self, key: SourceKey, named: &[SocketAddr], named_by: AddressClass) -> bool {
        let Some(target) = self.get(key).and_then(|entry| Target::of_url(&entry.url)) else { return false };
        let free = MAX_NAMED.saturating_sub(self.entries[key.0].named);
        let usable = named.iter().filter(|addr| may_use(**addr, named_by, None));
        let urls = usable.filter_map(|addr| target.url(*addr));
        let added = urls.filter_map(|url| self.add(url, named_by, Origin::Alternate)).take(free).count();
        self.entries[key.0].named += added;
        added > 0
    }

    /// Makes a known source a mirror, as the user names it. It is tried again, whatever it did before.
    /// `None` if it is not known.
    pub fn make_mirror(&mut self, url: &Url) -> Option<SourceKey> {
        let at = self.entries.iter().position(|entry| entry.url == *url)?;
        let entry = &mut self.entries[at];
        (entry.origin, entry.named_by) = (Origin::Mirror, AddressClass::Loopback);
        (entry.is_refused, entry.not_before, entry.failures, entry.error) = (false, Time::ZERO, 0, None);
        Some(SourceKey(at))
    }

    /// Returns the key of a URL's host. Servers at different ports are different hosts, but a servent that
    /// comes to us comes from another port each time.
    fn host(&mut self, url: &Url, origin: Origin) -> HostKey {
        let name = url.host_str().unwrap_or_default();
        let name = match origin {
            Origin::Pushed => name.to_owned(),
            _ => format!("{name}:{}", url.port_or_known_default().unwrap_or_default()),
        };
        let at = self.hosts.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.hosts.push(name);
            self.hosts.len() - 1
        });
        HostKey(at as u32)
    }

    /// Returns a source.
    pub fn get(&self, key: SourceKey) -> Option<&Entry> {
        self.entries.get(key.0)
    }

    /// Returns all sources, in the order in which they were added.
    pub fn entries(&self) -> impl Iterator<Item = (SourceKey, &Entry)> {
        self.entries.iter().enumerate().map(|(at, entry)| (SourceKey(at), entry))
    }

    /// Returns the next source to be dialled now, and counts it as being dialled. `is_short` says
    /// that less comes than is read.
    pub fn next(&mut self, now: Time, is_short: bool) -> Option<SourceKey> {
        if !is_short {
            self.entries.iter_mut().for_each(|entry| entry.judge_anew(now));
        }
        let lanes = |count: fn(&Entry) -> usize| self.entries.iter().map(count).sum::<usize>();
        if lanes(Entry::active) >= MAX_LANES || lanes(Entry::in_use) >= 2 * MAX_LANES {
            return None;
        }
        let used = self.entries.iter().filter(|entry| entry.active() > 0).count();
        let may_dial_more = is_short && self.more_at.is_none_or(|at| now.since(at) >= MORE_AFTER);
        if used >= self.config.first && !may_dial_more {
            return None;
        }
        let standby = self.indices(now).filter(|at| self.entries[*at].in_use() == 0);
        // Hosts without a lane first, and those that failed least.
        let standby = standby.min_by_key(|at| (self.lanes_to(self.entries[*at].host), self.entries[*at].failures, *at));
        let further = || {
            let may = |at: &usize| !self.entries[*at].is_servent && self.entries[*at].may_have_more(now);
            self.indices(now).filter(may).min_by_key(|at| (self.entries[*at].lanes, *at))
        };
        let at = standby.or_else(|| may_dial_more.then(further).flatten())?;
        if is_short {
            self.more_at = Some(now);
        }
        self.entries[at].dialling += 1;
        Some(SourceKey(at))
    }

    /// Returns the next source that does not deliver more by its last lane. One of its lanes is then to
    /// be closed.
    pub fn surplus(&mut self, now: Time) -> Option<SourceKey> {
        let at = self.entries.iter().position(|entry| entry.lanes > 1 && entry.grew(now) == Some(false))?;
        self.entries[at].judge_anew(now);
        self.entries[at].no_more_before = now + LONGEST_PAUSE;
        Some(SourceKey(at))
    }

    /// Returns the sources that may be dialled.
    fn indices(&self, now: Time) -> impl Iterator<Item = usize> + '_ {
        let may = move |entry: &Entry| !entry.is_refused && entry.not_before <= now && entry.origin != Origin::Pushed;
        let all = self.entries.iter().enumerate().filter(move |(_, entry)| may(entry));
        let most = |entry: &Entry| if entry.is_servent { 1 } else { MAX_LANES_PER_HOST };
        all.filter(move |(_, entry)| self.lanes_to(entry.host) < most(entry)).map(|(at, _)| at)
    }

    fn lanes_to(&self, host: HostKey) -> usize {
        self.entries.iter().filter(|entry| entry.host == host).map(Entry::in_use).sum()
    }

    /// Notes that a dial led to a lane.
    pub fn joined(&mut self, now: Time, key: SourceKey) {
        if let Some(entry) = self.entries.get_mut(key.0) {
            entry.before = entry.rate(now).unwrap_or(entry.before);
            entry.judge_anew(now);
            entry.dialling = entry.dialling.saturating_sub(1);
            entry.lanes += 1;
        }
    }

    /// Notes whether a servent holds its lane in a queue. Such a lane counts as none that brings bytes.
    pub fn holds(&mut self, key: SourceKey, is_held: bool) {
        if let Some(entry) = self.entries.get_mut(key.0) {
            entry.is_held = is_held;
        }
    }

    /// Notes that a source delivered. Earlier failures no longer count.
    pub fn served(&mut self, key: SourceKey, bytes: u64) {
        if let Some(entry) = self.entries.get_mut(key.0) {
            entry.failures = 0;
            entry.bytes += bytes;
        }
    }

    /// Notes that a source lacks a file, or has another one.
    pub fn lacks(&mut self, key: SourceKey, why: String) {
        if let Some(entry) = self.entries.get_mut(key.0) {
            entry.error = Some(why);
        }
    }

    /// Notes the end of a lane (`was_lane`), or of a dial that led to none.
    pub fn left(&mut self, now: Time, key: SourceKey, was_lane: bool, end: End) {
        let Some(entry) = self.entries.get_mut(key.0) else { return };
        let count = if was_lane { &mut entry.lanes } else { &mut entry.dialling };
        *count = count.saturating_sub(1);
        if was_lane {
            entry.is_held = false;
            entry.before = 0.0;
            entry.judge_anew(now);
        }
        let (why, pause) = match end {
            End::Idle => return,
            End::Held(why, pause) => {
                entry.error = Some(why);
                entry.not_before = now + pause.max(FIRST_PAUSE);
                return;
            }
            End::Unwanted => ("it sent wrong data".to_owned(), Some(LONGEST_PAUSE)),
            End::Failed(why) => (why, None),
            End::Busy(why, pause) => (why, pause),
            End::Useless(why) => {
                entry.is_refused = true;
                (why, None)
            }
        };
        if entry.lanes > 0 && !entry.is_refused {
            // It serves over fewer connections.
            entry.no_more_before = entry.no_more_before.max(now + pause.unwrap_or(Duration::ZERO).max(FEWER_FOR));
            return;
        }
        entry.error = Some(why);
        let least = if entry.origin == Origin::Alternate { STRANGER_PAUSE } else { Duration::ZERO };
        entry.not_before = now + pause.unwrap_or(least).max(pause_after(entry.failures)).max(least);
        entry.failures += 1;
    }
}

fn is_strangers(origin: Origin) -> bool {
    matches!(origin, Origin::Alternate | Origin::Pushed)
}

/// Returns the URL of the file with this hash at a servent.
fn file_at(servent: SocketAddr, sha1: sha1::Digest) -> Option<Url> {
    let mut hashes = FileHashes::default();
    hashes.sha1 = Some(sha1);
    Target::File(hashes).url(servent)
}
