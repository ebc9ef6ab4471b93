//! The opening of a file that hashes name: finds its length and its tree, and makes the metainfo.
//!
//! Web servers are asked for both. What they say is checked as far as the named hashes reach, and
//! the rest is settled by the bytes: a wrong length or a false tree fails its hash.

mod probe;
#[cfg(test)]
mod tests;

use crate::config::Config;
use crate::discovery::web::Web;
use crate::error::{Error, Result};
use crate::metainfo::{InfoHash, Metainfo};
use crate::store::load_saved_tree;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use playswarm_proto::named_file::Tree;
use playswarm_proto::tiger_tree::{self, Digest, Level, Transfer};
use playswarm_proto::{AddressClass, NamedFile};
use probe::{Found, Said, probe};
use std::cmp::Reverse;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Most servers that are asked about a file. More only repeat what the first ones say.
const MAX_ASKED: usize = 16;
/// Most characters of a name in a message: a bitprint has 85.
const MAX_LABEL: usize = 100;
/// Longest time to wait for further servers once the length is known.
const SETTLE: Duration = Duration::from_secs(5);

/// Returns the metainfo of a file that hashes name. `found` are URLs that strangers say have it.
///
/// # Errors
///
/// [`Error::Fetch`] if no server can be asked, or none says its length. [`Error::BadTorrent`] if
/// it cannot have the length that it is said to have.
pub(crate) async fn prepare(mut file: NamedFile, found: &[Url], config: &Config, web: &Web) -> Result<Arc<Metainfo>> {
    file.servers.retain(|server| config.web_seeds || server.is_mirror);
    found.iter().for_each(|url| file.servers.push(url.clone(), AddressClass::Global));
    let metainfo = match saved_tree(&file, config.dir.clone()).await {
        Some(tree) => file.metainfo(tree.file_bytes(), Tree::Proven(tree))?,
        None => match (file.length, file.wants_tree()) {
            (Some(length), false) => file.metainfo(length, Tree::Unknown)?,
            _ if file.servers.is_empty() && !config.web_seeds => {
                let why = "web servers that links name are not used (the setting web_seeds); name a mirror";
                return Err(refusal(&file.label(), why));
            }
            _ => Search::of(file, config.accept_tree).run(web).await?,
        },
    };
    Ok(Arc::new(metainfo))
}

/// Checks that a file has room as a whole, if only its whole proves it.
///
/// # Errors
///
/// [`Error::Fetch`].
pub(crate) fn check_room(file: &Metainfo, config: &Config) -> Result<()> {
    let (limit, bytes) = (config.storage_limit_bytes(), file.total_bytes());
    if file.proof.is_by_piece() || limit == 0 || limit >= bytes {
        return Ok(());
    }
    Err(refusal(
        &file.name,
        format!(
            "its hash can be checked only when all {bytes} bytes are here, and the storage limit is {limit} bytes; raise it, \
             or take a link with a tiger tree (urn:bitprint:…)"
        ),
    ))
}

fn refusal(name: &str, why: impl Into<String>) -> Error {
    Error::Fetch { url: crate::printable::line_within(name, MAX_LABEL).into_owned(), why: why.into() }
}

/// Returns the tree that was saved when the file was last open. It has the named root, or was proven
/// by the whole file. One for another length than the link says is not used.
async fn saved_tree(file: &NamedFile, dir: PathBuf) -> Option<Level> {
    let id: InfoHash = file.id();
    let saved = file.wants_tree().then(|| tokio::task::spawn_blocking(move || load_saved_tree(&dir, &id)))?;
    let tree = saved.await.ok()??;
    let fits = file.whole.tiger.is_none_or(|root| root == tree.root())
        && file.length.is_none_or(|length| length == tree.file_bytes());
    fits.then_some(tree)
}

/// The tree of a file as a server sends it.
struct Claim {
    transfer: Transfer,
    bytes: Bytes,
    root: Digest,
}

/// The questions about one file, and the answers so far.
struct Search {
    file: NamedFile,
    /// Whether a tree is accepted that nothing binds to the named hash.
    accept_tree: bool,
    /// Number of servers that are asked.
    asked: usize,
    /// Lengths that the servers say, the first ones first.
    said: Vec<Said>,
    claims: Vec<Claim>,
    /// URLs that gave a tree, and so not the file.
    trees: Vec<Url>,
    failures: Vec<String>,
}

impl Search {
    fn of(file: NamedFile, accept_tree: bool) -> Search {
        let asked = file.servers.len().min(MAX_ASKED);
        let (said, claims, trees, failures) = Default::default();
        Search { file, accept_tree, asked, said, claims, trees, failures }
    }

    async fn run(mut self, web: &Web) -> Result<Metainfo> {
        if self.file.servers.is_empty() && !self.is_settled() {
            let why = "no server that has it is known; add one to the link (&as=https://…), name a mirror, or turn \
                       the Gnutella network on";
            return Err(refusal(&self.file.label(), why));
        }
        let wants_tree = self.file.wants_tree() && (self.file.whole.tiger.is_some() || self.accept_tree);
        let servers: Vec<_> = self.file.servers.iter().take(self.asked).cloned().collect();
        let mut answers: FuturesUnordered<_> =
            servers.into_iter().map(|server| probe(web, server, wants_tree)).collect();
        let mut deadline = None;
        while !self.is_settled() {
            let answer = match deadline {
                None => answers.next().await,
                Some(deadline) => tokio::time::timeout_at(deadline, answers.next()).await.unwrap_or(None),
            };
            let Some(answer) = answer else { break };
            self.take(answer);
            if self.lengths().next().is_some() {
                deadline.get_or_insert_with(|| tokio::time::Instant::now() + SETTLE);
            }
        }
        drop(answers);
        self.conclude()
    }

    /// Whether no further answer is needed.
    fn is_settled(&self) -> bool {
        match self.file.whole.tiger {
            _ if !self.file.wants_tree() => self.is_agreed(),
            // One node agrees with every short length, and the link may be wrong.
            Some(root) => self.tree(&root).is_some_and(|tree| {
                let length = tree.file_bytes();
                tree.slices() > 1 && self.votes(length) > 0 && self.file.length.is_none_or(|said| said == length)
            }),
            None => !self.accept_tree && self.is_agreed(),
        }
    }

    fn take(&mut self, answer: Found) {
        self.failures.extend(answer.failure);
        self.said.extend(answer.length);
        if let Some((url, transfer, bytes)) = answer.tree {
            if url == answer.server {
                self.trees.push(url);
            }
            let root = tiger_tree::claimed_root(transfer, &bytes);
            self.claims.extend(root.map(|root| Claim { transfer, bytes, root }));
        }
    }

    /// Returns the lengths that the link and the servers say.
    fn lengths(&self) -> impl Iterator<Item = u64> {
        self.file.length.into_iter().chain(self.said.iter().map(|said| said.bytes))
    }

    /// Returns the number of servers that say a length.
    fn votes(&self, length: u64) -> usize {
        self.said.iter().filter(|said| said.bytes == length).count()
    }

    /// Returns the number of servers that say a length with a range of the file.
    fn ranged_votes(&self, length: u64) -> usize {
        self.said.iter().filter(|said| said.bytes == length && said.is_by_range).count()
    }

    /// Whether the link says a working length, or most of the servers do with a range of the file.
    fn is_agreed(&self) -> bool {
        let length = self.working_length();
        length.is_some_and(|length| self.file.length == Some(length) || self.ranged_votes(length) * 2 > self.asked)
    }

    /// Returns the tree with this root for one of the lengths. A length that is too short takes only
    /// the upper levels of a tree, so the one with most slices counts. Other lengths near the right
    /// one, and twice of it, have the same levels. Then the link's counts if a server agrees, or the
    /// one that most servers say, and the shortest of those.
    fn tree(&self, root: &Digest) -> Option<Level> {
        let claims = self.claims.iter().filter(|claim| claim.root == *root);
        let pairs = claims.flat_map(|claim| self.lengths().map(move |length| (claim, length)));
        let trees = pairs.filter_map(|(claim, length)| {
            let level = tiger_tree::read(claim.transfer, &claim.bytes, length, root).ok()?;
            let votes = self.votes(length);
            let is_confirmed = self.file.length == Some(length) && votes > 0;
            Some(((level.slices(), is_confirmed, votes, Reverse(length)), level))
        });
        trees.max_by_key(|(rank, _)| *rank).map(|(_, level)| level)
    }

    /// Returns a length with which the hashes of pieces agree: the link's, or the one that most
    /// servers say. Servers that sent a range of the file count first, as error pages are whole.
    fn working_length(&self) -> Option<u64> {
        let works = |length: &u64| self.file.clone().metainfo(*length, Tree::Unknown).is_ok();
        let by_servers = || {
            // Of equals, `max_by_key` takes the last one.
            let lengths = self.said.iter().rev().map(|said| said.bytes).filter(works);
            lengths.max_by_key(|length| (self.ranged_votes(*length), self.votes(*length)))
        };
        self.file.length.filter(works).or_else(by_servers)
    }

    /// Makes the metainfo from the answers.
    fn conclude(mut self) -> Result<Metainfo> {
        let tree = match (self.file.whole.tiger, self.claims.first()) {
            (Some(root), _) => self.tree(&root).map(Tree::Proven),
            // Nothing tells which of two trees belongs to the hash, so that they must agree.
            (None, Some(first)) if self.accept_tree && self.claims.iter().all(|claim| claim.root == first.root) => {
                self.tree(&first.root).map(Tree::Accepted)
            }
            _ => None,
        };
        let length = match &tree {
            Some(Tree::Proven(level) | Tree::Accepted(level)) => Some(level.file_bytes()),
            _ => self.working_length().or(self.lengths().next()),
        };
        let name = self.file.label();
        let Some(length) = length else {
            let url = self.file.servers.iter().next().map(|server| server.shown()).unwrap_or(name);
            let why = self.failures.first().cloned().unwrap_or_else(|| "it did not say how long the file is".into());
            return Err(Error::Fetch { url, why });
        };
        self.file.servers.retain(|server| !self.trees.contains(&server.url));
        Ok(self.file.metainfo(length, tree.unwrap_or(Tree::Unknown))?)
    }
}
