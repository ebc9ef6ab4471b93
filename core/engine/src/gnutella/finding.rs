//! Sources of a file that a SHA-1 names: from the DHT, and by the words of its name.
//!
//! What the network says is a claim. A source is a URL that is asked for verified bytes, and nothing
//! more.

use super::{MOST, Service};
use crate::config::Config;
use crate::discovery::web::Web;
use crate::error::{Error, Result};
use crate::metainfo::Metainfo;
use crate::named;
use crate::session::Session;
use crate::swarm::driver::Swarm;
use playswarm_logic::gnutella::dht::{End, Found};
use playswarm_logic::gnutella::{SearchKey, Wanted};
use playswarm_proto::gnutella::{Target, words};
use playswarm_proto::sha1::Digest;
use playswarm_proto::{FileHashes, NamedFile};
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

/// Longest time to wait for further sources once one is known.
const SETTLE: Duration = Duration::from_millis(500);
/// Pause before sources are looked up again. It doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);
/// Queries for one film, and the least time between two: an ultrapeer passes each on to thousands.
const MAX_QUERIES: usize = 3;
const QUERY_PAUSE: Duration = Duration::from_secs(10 * 60);

/// Returns the metainfo of a file that hashes name. If the servers that are known do not say enough
/// and the network is on, servents that the DHT names are asked as well.
///
/// # Errors
/// Those of [`named::prepare`], and [`Error::Closed`].
pub(crate) async fn prepare(session: &Session, web: &Web, file: NamedFile, config: &Config) -> Result<Arc<Metainfo>> {
    let (url, why) = match named::prepare(file.clone(), &[], config, web).await {
        Err(Error::Fetch { url, why }) => (url, why),
        done => return done,
    };
    let sha1 = file.whole.sha1.filter(|_| session.config().gnutella.enabled);
    let Some(sha1) = sha1 else { return Err(Error::Fetch { url, why }) };
    let service = session.gnutella()?;
    let (sources, end) = first_sources(&service, sha1).await;
    if sources.is_empty() {
        let network = match end {
            None => return Err(Error::Closed),
            Some(End::NoNetwork) => "no node of the Gnutella network answered",
            Some(_) => "the Gnutella network knows no source of it",
        };
        return Err(Error::Fetch { url, why: format!("{why}; {network}") });
    }
    let urls: Vec<Url> = sources.into_iter().filter_map(|source| file_at(source, sha1)).collect();
    named::prepare(file, &urls, config, web).await
}

/// Returns the first sources that the DHT names, or why there are none: `None` if the session is closed.
async fn first_sources(service: &Arc<Service>, sha1: Digest) -> (Vec<SocketAddrV4>, Option<End>) {
    let (mut lookup, mut sources) = (service.lookup(sha1), Vec::new());
    let mut deadline: Option<Instant> = None;
    loop {
        let found = match deadline {
            None => lookup.next().await,
            Some(deadline) => timeout_at(deadline, lookup.next()).await.unwrap_or(None),
        };
        match found {
            Some(Found::Source { address: Some(address), .. }) => sources.push(address),
            Some(_) => continue,
            None => return (sources, lookup.end()),
        }
        deadline.get_or_insert_with(|| Instant::now() + SETTLE);
    }
}

/// Returns the URL at which a servent has a file.
fn file_at(servent: SocketAddrV4, sha1: Digest) -> Option<Url> {
    let mut hashes = FileHashes::default();
    hashes.sha1 = Some(sha1);
    Target::File(hashes).url(servent.into())
}

/// A film for which sources are found.
struct Film {
    service: Arc<Service>,
    swarm: Weak<Swarm>,
    sha1: Digest,
    /// Words that a query has; without any, none is sent.
    words: String,
    hashes: FileHashes,
    wait: Duration,
}

/// Finds further sources of a swarm as long as it lacks them, if the network is on and its file has a
/// SHA-1.
pub(crate) fn keep_finding(session: &Session, swarm: &Arc<Swarm>) {
    let named = swarm.content().and_then(|content| content.torrent.named.as_ref());
    let Some((named, sha1)) = named.and_then(|named| Some((named, named.whole.sha1?))) else { return };
    // It is off, or the session is being closed.
    let Ok(service) = session.gnutella() else { return };
    let mut hashes = FileHashes::default();
    (hashes.sha1, hashes.tiger) = (named.whole.sha1, named.whole.tiger);
    let words = named.name.clone().filter(|name| !words(name).is_empty()).unwrap_or_default();
    let wait = Duration::from_millis(session.config().gnutella.search_wait_ms);
    let film = Film { service, swarm: Arc::downgrade(swarm), sha1, words, hashes, wait };
    let closed = swarm.cancelled();
    tokio::spawn(async move {
        tokio::select! {
            () = closed => {}
            () = film.find() => {}
        }
    });
}

impl Film {
    async fn find(&self) {
        let (mut pause, mut queries) = (FIRST_PAUSE, 0);
        let mut next_query = Instant::now();
        loop {
            if self.lacks_sources() {
                self.look_up().await;
            }
            let may_query = !self.words.is_empty() && queries < MAX_QUERIES && next_query <= Instant::now();
            if may_query && self.lacks_sources() {
                (queries, next_query) = (queries + 1, Instant::now() + QUERY_PAUSE);
                self.query().await;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn lacks_sources(&self) -> bool {
        self.swarm.upgrade().is_some_and(|swarm| swarm.lacks_sources())
    }

    fn add(&self, source: SocketAddr) {
        if let Some(swarm) = self.swarm.upgrade() {
            swarm.add_servent(source, self.sha1);
        }
    }

    /// Takes the sources that the DHT names.
    async fn look_up(&self) {
        let mut lookup = self.service.lookup(self.sha1);
        while let Some(found) = lookup.next().await {
            if let Found::Source { address: Some(address), .. } = found {
                self.add(address.into());
            }
        }
        tracing::debug!(end = ?lookup.end(), "a lookup of sources has ended");
    }

    /// Takes the sources of hits with the film's SHA-1.
    async fn query(&self) {
        let (words, hashes) = (self.words.clone(), self.hashes);
        let wanted = Wanted { words, hashes, kind: None, wait: self.wait, most: MOST };
        let (key, mut progress) = self.service.search(wanted);
        let asked = Asked { service: &self.service, key };
        loop {
            let end = *progress.borrow_and_update();
            asked.sources(self.sha1).into_iter().for_each(|source| self.add(source));
            if end.is_some() || progress.changed().await.is_err() {
                return;
            }
        }
    }
}

/// A query, until it is dropped.
struct Asked<'a> {
    service: &'a Service,
    key: SearchKey,
}

impl Asked<'_> {
    /// Returns the servents that can be dialled of hits with this SHA-1.
    fn sources(&self, sha1: Digest) -> Vec<SocketAddr> {
        self.service.look(|leaf| {
            let hits = leaf.results(self.key).into_iter().filter(|hit| hit.hashes.sha1 == Some(sha1));
            hits.flat_map(|hit| hit.sources.iter().filter_map(|source| source.address)).collect()
        })
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.service.forget(self.key);
    }
}
