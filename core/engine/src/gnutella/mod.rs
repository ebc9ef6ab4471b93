//! The Gnutella network: searches for files by words.
//!
//! [`Session::search`] finds files that servents share. [`Hit::magnet`] is the link with which one is
//! opened. What servents say of a file is not believed: its bytes are checked against the hash in the
//! link. docs/GNUTELLA.md says what strangers see of a search.
//!
//! [`Service`] owns the leaf ([`playswarm_logic::gnutella`]) and the DHT; `link` is a connection to an
//! ultrapeer, `hosts` are the ways to ultrapeers, `lookup` finds the sources of a SHA-1, and
//! `finding` passes them on to films.

mod finding;
mod hit;
mod hosts;
mod link;
mod lookup;
mod service;
mod settings;

pub(crate) use finding::{keep_finding, prepare};
pub use hit::{Hit, HitSource};
pub use playswarm_logic::gnutella::Kind;
pub(crate) use service::Service;
pub use settings::GnutellaConfig;

use crate::config::Config;
use crate::discovery;
use crate::error::{Error, Result};
use crate::session::Session;
use parking_lot::Mutex;
use playswarm_logic::gnutella::{End, SearchKey, Wanted};
use playswarm_proto::FileHashes;
use playswarm_proto::gnutella::words;
use service::Progress;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Files after which a search ends by itself.
const MOST: usize = 50;

/// The leaf of a session, once it was needed.
#[derive(Default)]
pub(crate) struct Gnutella(Mutex<Option<Arc<Service>>>);

impl Gnutella {
    /// Returns the leaf, which begins with the first call.
    ///
    /// # Errors
    /// [`Error::BadConfig`] if the network is off.
    pub(crate) fn service(&self, config: &Config, discovery: &Arc<discovery::Shared>) -> Result<Arc<Service>> {
        if !config.gnutella.enabled {
            let why = "it is off, and strangers see what is searched for; turn it on to use the Gnutella network";
            return Err(Error::BadConfig { name: "gnutella.enabled".to_owned(), why: why.to_owned() });
        }
        let mut slot = self.0.lock();
        match &*slot {
            Some(service) => Ok(service.clone()),
            None => Ok(slot.insert(Service::start(config, discovery)?).clone()),
        }
    }

    /// Leaves the network, if the leaf ever began.
    pub(crate) fn close(&self) {
        if let Some(service) = &*self.0.lock() {
            service.close();
        }
    }
}

impl Drop for Gnutella {
    fn drop(&mut self) {
        self.close();
    }
}

/// What is searched for. Start from [`Query::new`] and set fields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Query {
    /// Words that the file's name has. The six longest are sent.
    pub words: String,
    /// Kind of the file; `None` for any.
    pub kind: Option<Kind>,
    /// Longest duration of the search; `None` for [`GnutellaConfig::search_wait_ms`].
    pub wait: Option<Duration>,
    /// Number of files after which it ends, 50 by default. Hidden ones do not count.
    pub most: usize,
}

impl Query {
    /// Returns a query for words.
    pub fn new(words: impl Into<String>) -> Query {
        Query { words: words.into(), kind: None, wait: None, most: MOST }
    }
}

impl Session {
    /// Searches for files in the Gnutella network. The session connects to it with the first search,
    /// and stays connected. Of four searches at most the results are kept: a fifth one ends the
    /// oldest.
    ///
    /// ```no_run
    /// # async fn example(session: playswarm::Session) -> playswarm::Result<()> {
    /// use playswarm::gnutella::Query;
    ///
    /// let search = session.search(Query::new("big buck bunny"))?;
    /// while let Some(hit) = search.next().await? {
    ///     println!("{} ({} bytes)", hit.name, hit.size_bytes);
    ///     if let Some(source) = hit.source() {
    ///         let media = session.open(source).await?;
    /// #       let _ = media;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::BadConfig`] if the network is off ([`GnutellaConfig::enabled`]),
    /// [`Error::BadArgument`] for a query without a word, [`Error::Closed`].
    pub fn search(&self, query: Query) -> Result<Search> {
        if words(&query.words).is_empty() {
            let why = "the query has no word of two letters or digits, and files are found by words; add one";
            return Err(Error::BadArgument(why.to_owned()));
        }
        let service = self.gnutella()?;
        let wait = query.wait.unwrap_or(Duration::from_millis(self.config().gnutella.search_wait_ms));
        let (hashes, most) = (FileHashes::default(), query.most.max(1));
        let (key, progress) = service.search(Wanted { words: query.words, hashes, kind: query.kind, wait, most });
        Ok(Search { service, key, progress, wait, given: Mutex::default(), _session: self.clone() })
    }
}

/// A search that goes on, or has ended. Dropping it ends it.
pub struct Search {
    service: Arc<Service>,
    key: SearchKey,
    progress: Progress,
    wait: Duration,
    given: Mutex<Given>,
    /// Its network.
    _session: Session,
}

/// The files of a search that were returned, and those that are returned next.
#[derive(Default)]
struct Given {
    before: HashSet<String>,
    ready: VecDeque<Hit>,
}

impl Search {
    /// Waits for the next file. Each is returned once, as soon as it is found, and hidden ones are not.
    /// `None` once the search has ended. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Error::NoServent`] if there was no network in all the time, [`Error::Closed`].
    pub async fn next(&self) -> Result<Option<Hit>> {
        let mut progress = self.progress.clone();
        loop {
            // Read before the results, so that none of them is missed.
            let end = *progress.borrow_and_update();
            if let Some(hit) = self.take_next() {
                return Ok(Some(hit));
            }
            match end {
                Some(End::NoNetwork) => {
                    return Err(Error::NoServent { waited: self.wait, tried: self.service.dials() });
                }
                Some(_) => return Ok(None),
                None => {}
            }
            // A search that begins while the session closes is not ended by anyone.
            tokio::select! {
                changed = progress.changed() => changed.map_err(|_| Error::Closed)?,
                () = self.service.closed() => return Err(Error::Closed),
            }
        }
    }

    /// Takes the next file that is shown and was not returned before.
    fn take_next(&self) -> Option<Hit> {
        let mut given = self.given.lock();
        if given.ready.is_empty() {
            let mut new = self.hits();
            new.retain(|hit| hit.hidden.is_none() && given.before.insert(hit.identity()));
            given.ready = new.into();
        }
        given.ready.pop_front()
    }

    /// Returns all files so far with all their sources, those of the most networks first. Those that
    /// look like spam say why ([`Hit::hidden`]).
    pub fn hits(&self) -> Vec<Hit> {
        self.service.look(|leaf| leaf.results(self.key).into_iter().map(Hit::of).collect())
    }

    /// Returns the number of ultrapeers to which the session is connected.
    pub fn ultrapeers(&self) -> usize {
        self.service.look(|leaf| leaf.ultrapeers().len())
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.service.forget(self.key);
    }
}
