//! Sources over HTTP of a torrent: web seeds and mirrors (BEP 19), and servents of Gnutella.
//!
//! `playswarm_logic::sources` decides. Here are the task that dials when the book says so, the
//! connections (`dial`), and the tasks that turn requests of the torrent into those of HTTP
//! (`lane`; what the answers mean is in `answers`, and in `servent` for those of servents). `metainfo` fetches the torrent file of a link.

mod answers;
mod dial;
mod lane;
mod metainfo;
mod servent;

use crate::metainfo::{Metainfo, WebSeeds};
use crate::status::SourceStatus;
use crate::swarm::driver::Swarm;
use crate::swarm::pushes::{Expected, Given};
use lane::Lane;
use parking_lot::Mutex;
use playswarm_logic::sources::{Book, Config, Entry, Site, SourceKey, State};
use playswarm_logic::torrent::{Disconnect, HostKey, Input, Origin, Torrent};
use playswarm_logic::{PeerKey, Time};
use playswarm_proto::gnutella::{Guid, ServentFields};
use playswarm_proto::{AddressClass, printable, sha1};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use url::Url;

/// Time between two looks whether more comes than is read.
const LOOK: Duration = Duration::from_millis(250);
/// Sources below which a film lacks some: GnuStream plays from as many, and has others on standby.
const FEW_SOURCES: usize = 4;

/// The sources of a torrent. They are dialled once its content is known.
#[derive(Default)]
pub(super) struct Sources {
    book: Mutex<Book>,
    known: Mutex<BTreeMap<SourceKey, Arc<Known>>>,
    /// Connections that servents made to us, until a lane takes them.
    given: Mutex<BTreeMap<SourceKey, Given>>,
    /// Wakes the task that dials.
    changed: Notify,
}

/// A source, as its lanes share it.
pub(super) struct Known {
    key: SourceKey,
    host: HostKey,
    site: Mutex<Site>,
    lanes: Mutex<Vec<PeerKey>>,
    answered: dial::Answered,
    /// A wait that a servent asked for, until it gives something.
    waiting: Mutex<Option<servent::Waiting>>,
}

impl Sources {
    pub(super) fn new(config: &Config) -> Sources {
        Sources { book: Mutex::new(Book::new(config.clone())), ..Sources::default() }
    }

    /// Returns how a source came to be known.
    fn origin(&self, key: SourceKey) -> Origin {
        self.book.lock().get(key).map_or(Origin::WebSeed, |entry| entry.origin)
    }

    /// Returns whether the user typed the server of a URL of a source.
    fn is_typed(&self, known: &Known, url: &Url) -> bool {
        let is_mirror = self.origin(known.key) == Origin::Mirror;
        is_mirror && dial::is_same_server(known.site.lock().url(), url)
    }

    /// Adds the URL of a web seed.
    fn add(&self, url: Url, named_by: AddressClass) {
        self.book.lock().add(url, named_by, Origin::WebSeed);
        self.changed.notify_one();
    }

    /// Adds the URL of a mirror. A source that is known becomes one.
    pub(super) fn add_mirror(&self, url: Url) {
        let mut book = self.book.lock();
        match book.make_mirror(&url) {
            Some(key) => self.known.lock().get(&key).iter().for_each(|known| known.site.lock().make_mirror()),
            None => {
                book.add(url, AddressClass::Loopback, Origin::Mirror);
            }
        }
        drop(book);
        self.changed.notify_one();
    }

    /// Adds the servents that a servent at an address of this class names.
    fn learn(&self, known: &Known, fields: &ServentFields, class: AddressClass) {
        if self.book.lock().add_alternates(known.key, &fields.alternates, class) {
            self.changed.notify_one();
        }
    }

    /// Adds the web seeds of a torrent or a link, and the mirrors among them.
    pub(super) fn add_all(&self, seeds: &WebSeeds) {
        for seed in seeds {
            match seed.is_mirror {
                true => self.add_mirror(seed.url.clone()),
                false => self.add(seed.url.clone(), seed.named_by),
            }
        }
    }

    /// Returns the next source to be dialled.
    fn next(&self, torrent: &Arc<Metainfo>, now: Time, is_short: bool) -> Option<Arc<Known>> {
        let mut book = self.book.lock();
        let key = book.next(now, is_short)?;
        self.known(torrent, key, book.get(key)?)
    }

    /// Returns a source, as its lanes share it.
    fn known(&self, torrent: &Arc<Metainfo>, key: SourceKey, entry: &Entry) -> Option<Arc<Known>> {
        let site = || Site::new(torrent.clone(), entry.url.clone(), entry.named_by);
        let known = || Known {
            key,
            host: entry.host,
            site: Mutex::new(site()),
            lanes: Mutex::default(),
            answered: dial::Answered::default(),
            waiting: Mutex::default(),
        };
        Some(self.known.lock().entry(key).or_insert_with(|| Arc::new(known())).clone())
    }

    /// Returns the status of all sources.
    pub(super) fn status(&self, torrent: &Torrent, now: Time) -> Vec<SourceStatus> {
        let (book, known) = (self.book.lock(), self.known.lock());
        let rate = |key: &PeerKey| torrent.picker().and_then(|picker| picker.peer(*key)?.rate_bytes_per_s);
        book.entries()
            .map(|(key, entry)| {
                let known = known.get(&key);
                // The sum of no numbers would be -0.
                let rates =
                    known.map(|known| known.lanes.lock().iter().filter_map(rate).fold(0.0, |all, one| all + one));
                let is_banned = torrent.is_host_banned(now, entry.host);
                let waiting = known.map(|known| known.waiting.lock());
                let waiting = waiting.as_deref().and_then(Option::as_ref);
                let place = waiting.and_then(|waiting| waiting.place.as_ref());
                let state = match entry.state(now) {
                    _ if is_banned => "banned",
                    State::Serving | State::Waiting | State::Standby if place.is_some() => "queued",
                    state => state.as_str(),
                };
                let here = waiting.map(|waiting| waiting.until.saturating_duration_since(Instant::now()));
                let pause = match state {
                    "queued" => here,
                    "waiting" => Some(entry.not_before.since(now)),
                    _ => None,
                };
                SourceStatus {
                    url: printable::line(&printable::without_secrets(entry.url.as_str())).into_owned(),
                    origin: entry.origin.as_str(),
                    state,
                    message: entry.error.clone(),
                    lanes: entry.lanes(),
                    rate_bytes_per_s: rates.unwrap_or_default(),
                    downloaded_bytes: entry.bytes(),
                    retry_s: pause.map(|pause| pause.as_secs_f64()),
                    queue_position: place.and_then(|place| place.position),
                    queue_length: place.and_then(|place| place.length),
                    queue_eta_s: place.and_then(|place| place.eta_s),
                }
            })
            .collect()
    }
}

impl Swarm {
    /// Adds a source that the user names.
    pub(crate) fn add_source(&self, url: Url) {
        self.sources.add_mirror(url);
    }

    /// Adds a servent that strangers say has the torrent's only file.
    pub(crate) fn add_servent(&self, servent: SocketAddr, sha1: sha1::Digest) {
        self.sources.book.lock().add_servent(servent, sha1, AddressClass::Global);
        self.sources.changed.notify_one();
    }

    /// Whether the torrent is worth a search for sources: it is not complete, and has few that may be
    /// of use, or less comes than is read.
    pub(crate) fn lacks_sources(&self) -> bool {
        let (is_complete, is_short) =
            self.look(|torrent, _| (torrent.is_complete(), torrent.picker().is_some_and(|picker| picker.is_short())));
        let (book, now) = (self.sources.book.lock(), self.now());
        let usable = book.entries().filter(|(_, entry)| entry.state(now) != State::Refused).count();
        !is_complete && self.wrong.get().is_none() && (is_short || usable < FEW_SOURCES)
    }

    /// Awaits that a servent connects to us, and takes the torrent's only file from it. Call it before
    /// the push is sent. Returns false if none is to be sent.
    pub(crate) fn expect_push(&self, servent: Guid, sha1: sha1::Digest) -> bool {
        let expected = self.transport.pushes.expect(servent);
        let is_new = expected.is_some();
        if let Some(expected) = expected {
            self.spawn_with((expected, sha1), Swarm::take_push);
        }
        is_new
    }

    async fn take_push(self: Arc<Self>, (mut expected, sha1): (Expected, sha1::Digest)) {
        let cancel = self.cancel.clone();
        let given = tokio::select! {
            () = cancel.cancelled() => None,
            given = expected.connection() => given,
        };
        let (Some(given), Some(content)) = (given, self.content()) else { return };
        let known = {
            let mut book = self.sources.book.lock();
            let Some(key) = book.add_pushed(given.remote, sha1) else { return };
            // That of an earlier connection, if it came before.
            self.sources.known.lock().remove(&key);
            self.sources.given.lock().insert(key, given);
            book.get(key).and_then(|entry| self.sources.known(&content.torrent, key, entry))
        };
        if let Some(known) = known {
            self.run_lane(known).await;
        }
    }

    /// Dials sources until the swarm is closed.
    pub(super) async fn keep_sources(self: Arc<Self>) {
        let (weak, cancel) = (Arc::downgrade(&self), self.cancel.clone());
        drop(self);
        loop {
            let Some(swarm) = weak.upgrade() else { return };
            swarm.dial_sources();
            tokio::select! {
                () = cancel.cancelled() => return,
                () = swarm.sources.changed.notified() => {}
                () = tokio::time::sleep(LOOK), if swarm.has_sources() => {}
            }
        }
    }

    fn has_sources(&self) -> bool {
        self.sources.book.lock().entries().next().is_some()
    }

    fn dial_sources(&self) {
        let Some(content) = self.content().filter(|_| self.wrong.get().is_none()) else { return };
        let (is_complete, is_short) =
            self.look(|torrent, _| (torrent.is_complete(), torrent.picker().is_some_and(|picker| picker.is_short())));
        if is_complete {
            return;
        }
        // The book is free before the door is entered.
        let surplus = self.sources.book.lock().surplus(self.now());
        surplus.into_iter().for_each(|key| self.close_slowest_lane(key));
        while let Some(known) = self.sources.next(&content.torrent, self.now(), is_short) {
            self.spawn_with(known, Swarm::run_lane);
        }
    }

    /// Closes the lane of a source that delivers least.
    fn close_slowest_lane(&self, key: SourceKey) {
        let lanes = self.sources.known.lock().get(&key).map(|known| known.lanes.lock().clone()).unwrap_or_default();
        let slowest = self.look(|torrent, _| {
            let figures = |lane: &PeerKey| torrent.picker()?.peer(*lane).filter(|figures| !figures.snubbed);
            let rate = |lane: &PeerKey| figures(lane).and_then(|figures| figures.rate_bytes_per_s).unwrap_or(0.0);
            lanes.into_iter().min_by(|one, other| rate(one).total_cmp(&rate(other)))
        });
        if let Some(lane) = slowest {
            let why = "the server delivers no more by it".to_owned();
            self.tell(Input::Disconnected(lane, Disconnect::Closed(why)));
        }
    }

    /// Opens a lane to a source, and serves it until it ends.
    async fn run_lane(self: Arc<Self>, known: Arc<Known>) {
        let cancel = self.cancel.clone();
        let joined = tokio::select! {
            () = cancel.cancelled() => return,
            joined = Lane::open(self.clone(), known.clone()) => joined,
        };
        let (was_lane, end) = match joined {
            Ok(lane) => (true, lane.run().await),
            Err(end) => (false, end),
        };
        let end = known.obeyed(end);
        let url = printable::without_secrets(known.site.lock().url().as_str());
        tracing::debug!(url, was_lane, ?end, "a lane ended");
        self.sources.book.lock().left(self.now(), known.key, was_lane, end);
        self.sources.changed.notify_one();
    }
}
