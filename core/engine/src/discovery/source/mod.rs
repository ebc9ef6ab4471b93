//! Sources of torrents: a torrent file, a URL, a magnet link, an info-hash. Each is resolved to a
//! torrent, or to the data needed to request the torrent from peers. A Metalink, and a link with the
//! hash of a file, is resolved to that file.
//!
//! Magnet links are parsed by playswarm-proto and not by librqbit-core. That crate ignores peers (`x.pe`), turns
//! `so=0-99999999999` into as many numbers in memory, and refuses a link for one odd field.

use super::inflate::unpacked;
use super::web::{Got, NotGot, Terms, Web};
use crate::error::{Error, Result};
use crate::metainfo::{InfoHash, MAX_TORRENT_BYTES, Metainfo, is_playable};
use crate::printable::{self, without_secrets};
use bytes::Bytes;
use playswarm_proto::metainfo::{is_web_page, parse_web_seed};
use playswarm_proto::metalink::{self, Metalink};
use playswarm_proto::{AddressClass, Magnet, NamedFile, magnet};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use url::Url;

/// Longest time to fetch a torrent file.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// Name of the namespace that every Metalink declares (RFC 5854, section 4.1).
const METALINK_MARK: &[u8] = b"urn:ietf:params:xml:ns:metalink";
/// Bytes at the start of a Metalink within which it declares its namespace.
const METALINK_FRONT_BYTES: usize = 4096;

/// A source of a torrent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Source {
    /// A `.torrent` file.
    TorrentFile(PathBuf),
    /// The bytes of a `.torrent` file.
    TorrentBytes(Bytes),
    /// A torrent that was parsed already.
    Metainfo(Arc<Metainfo>),
    /// An `http:` or `https:` URL of a `.torrent` file, or one that redirects to a magnet link.
    Url(String),
    /// A magnet link (BEP 9).
    Magnet(Magnet),
    /// A file that hashes name, from a link (`urn:bitprint:…`) or a Metalink.
    File(NamedFile),
}

impl Source {
    /// Parses text that a user typed or pasted: `magnet:?…`, an info-hash of 40 hexadecimal or 32
    /// base32 characters, `urn:sha1:…` and other hashes of a file, `http(s)://…`, `file://…`, or a path. Links may be quoted, wrapped in
    /// several lines, or escaped as a whole, as desktops and web pages do.
    ///
    /// # Errors
    ///
    /// Returns [`Error::BadSource`] for an empty text, an unusable magnet link, or an unknown
    /// scheme.
    pub fn parse(text: &str) -> Result<Source> {
        let text = &*magnet::bare(text);
        if text.is_empty() {
            return Err(bad_source(text, "it is empty; give a torrent file, a URL, a magnet link or an info-hash"));
        }
        if let Some(hash) = InfoHash::from_text(text) {
            return Ok(Source::Magnet(Magnet::new(hash)));
        }
        if matches!(text.len(), 64 | 68) && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            let why =
                "it is the info-hash of a BitTorrent v2 torrent, which is not supported; find a v1 or hybrid link";
            return Err(bad_source(text, why));
        }
        if let Some(magnet) = magnet::parse(text) {
            return match (magnet, magnet::parse_file(text)) {
                (Ok(magnet), _) => Ok(Source::Magnet(magnet)),
                (Err(_), Some(Ok(file))) => Ok(Source::File(file.into())),
                (Err(why), _) => Err(bad_source(text, why.0)),
            };
        }
        if text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:")) {
            let why = "it is neither the hash of a file (urn:sha1:…, urn:bitprint:…, urn:tree:tiger:…) nor an info-hash (urn:btih:…)";
            return Err(bad_source(text, why));
        }
        let is_file_url = text.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("file:/"));
        let Some((scheme, rest)) = text.split_once("://").or_else(|| text.split_once(':').filter(|_| is_file_url))
        else {
            return Ok(Source::TorrentFile(PathBuf::from(text)));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => match Url::parse(text) {
                Ok(url) if url.host_str().is_some() => Ok(Source::Url(url.into())),
                _ => Err(bad_source(text, "it looks like a URL but is malformed")),
            },
            "file" => {
                let url = Url::parse(text).map_err(|_| bad_source(text, "it looks like a URL but is malformed"))?;
                url.to_file_path()
                    .map(Source::TorrentFile)
                    .map_err(|()| bad_source(rest, "it is not the URL of a file on this machine"))
            }
            _ => Err(bad_source(text, "only http, https, file and magnet URLs can be opened")),
        }
    }
}

impl Source {
    /// Returns the source with mirrors that the user names. Only a file that hashes name needs them
    /// before it is open; for others see [`TorrentHandle::add_source`](crate::TorrentHandle::add_source).
    ///
    /// # Errors
    /// [`Error::BadArgument`] where one is no URL of HTTP, whatever the source is.
    pub fn with_mirrors<'a>(mut self, urls: impl IntoIterator<Item = &'a str>) -> Result<Source> {
        for url in urls {
            let url = mirror(url)?;
            if let Source::File(file) = &mut self {
                file.servers.push_mirror(url);
            }
        }
        Ok(self)
    }
}

impl From<&Metainfo> for Source {
    fn from(torrent: &Metainfo) -> Source {
        Source::Metainfo(Arc::new(torrent.clone()))
    }
}
impl From<&Path> for Source {
    fn from(path: &Path) -> Source {
        Source::TorrentFile(path.to_owned())
    }
}

/// Parses the URL of a mirror.
///
/// # Errors
/// [`Error::BadArgument`], without secrets, where it is no URL of HTTP.
pub(crate) fn mirror(text: &str) -> Result<Url> {
    parse_web_seed(text).ok_or_else(|| {
        // In other texts, a password would not be recognised.
        let is_url = Url::parse(text).is_ok_and(|url| url.has_host());
        let shown = if is_url { format!("the mirror {}", without_secrets(text)) } else { "a mirror".to_owned() };
        let why = "is no http or https URL; give one such as https://host.example/film.mkv";
        Error::BadArgument(format!("{} {why}", printable::line(&shown)))
    })
}

fn bad_source(given: &str, why: impl Into<String>) -> Error {
    const SHOWN: usize = 80;
    Error::BadSource { given: printable::line_within(given, SHOWN).into_owned(), why: why.into() }
}

/// A resolved source.
#[derive(Debug)]
pub(crate) enum Resolved {
    /// The metainfo is known.
    Metainfo(Arc<Metainfo>),
    /// The info dictionary must be requested from peers.
    Magnet(Magnet),
    /// Servers are asked for the length and the tree of the file.
    File(NamedFile),
}

impl Resolved {
    /// Returns the same as named by an address of this class.
    fn named_by(self, class: AddressClass) -> Resolved {
        match self {
            Resolved::Magnet(magnet) => Resolved::Magnet(magnet.named_by(class)),
            Resolved::File(file) => Resolved::File(file.named_by(class)),
            Resolved::Metainfo(torrent) => {
                let mut torrent = Arc::unwrap_or_clone(torrent);
                torrent.trackers = torrent.trackers.named_by(class);
                torrent.web_seeds = torrent.web_seeds.named_by(class);
                Resolved::Metainfo(Arc::new(torrent))
            }
        }
    }
}

/// Reads or fetches the torrent, unless it must be requested from peers.
///
/// # Errors
///
/// Returns [`Error::Storage`], [`Error::Fetch`] or [`Error::BadTorrent`].
pub(crate) async fn resolve(source: Source, web: &Web) -> Result<Resolved> {
    match source {
        Source::TorrentBytes(bytes) => read_off_thread(bytes).await,
        Source::TorrentFile(path) => read_off_thread(read_limited(&path).await?).await,
        Source::Metainfo(torrent) => Ok(Resolved::Metainfo(torrent)),
        Source::Url(url) => match fetch(&url, web).await? {
            (Fetched::Link(link), from) => Ok(link.named_by(from)),
            (Fetched::Body(body), from) => match read_off_thread(body).await {
                Ok(resolved) => Ok(resolved.named_by(from)),
                Err(Error::BadTorrent(why)) => {
                    Err(Error::BadTorrent(format!("{why} (fetched from {})", without_secrets(&url))))
                }
                Err(e) => Err(e),
            },
        },
        Source::Magnet(magnet) => Ok(Resolved::Magnet(magnet)),
        Source::File(file) => Ok(Resolved::File(file)),
    }
}

/// Returns the target of a link that needs nothing else; `None` for other sources.
fn of_link(text: &str) -> Result<Option<Resolved>> {
    Ok(match Source::parse(text)? {
        Source::Magnet(magnet) => Some(Resolved::Magnet(magnet)),
        Source::File(file) => Some(Resolved::File(file)),
        _ => None,
    })
}

/// Returns the file to play of a Metalink: the largest that is playable by its name, or the largest.
fn read_metalink(bytes: &[u8]) -> Result<NamedFile> {
    let bad = |why: String| Error::BadTorrent(format!("{why} (a Metalink)"));
    let metalink = Metalink::from_bytes(bytes).map_err(|why| bad(why.0))?;
    let rank = |file: &metalink::File| (is_playable(&file.name), file.length);
    let file = metalink.files.into_iter().max_by_key(rank).ok_or_else(|| bad("it lists no file".into()))?;
    let torrent = file.torrents.first().map(|torrent| without_secrets(torrent.url.as_str()));
    let file = NamedFile::from(file);
    match (file.is_nameless(), torrent) {
        (false, _) => Ok(file),
        (true, Some(url)) => Err(bad(format!("it has no hash of the file; open the torrent that it names, {url}"))),
        (true, None) => Err(bad("it has no hash of the file, so nothing proves its bytes".into())),
    }
}

/// Parses a torrent on a thread for blocking work. One of 100,000 files takes a while and must not
/// delay packets.
async fn read_off_thread(bytes: Bytes) -> Result<Resolved> {
    if bytes.is_empty() {
        return Err(Error::BadTorrent("it is empty".to_owned()));
    }
    tokio::task::spawn_blocking(move || read(bytes)).await.map_err(|_| Error::Closed)?
}

/// Parses the content of a torrent file, which may be compressed, or a magnet link in place of one
/// (`.magnet` files).
fn read(bytes: Bytes) -> Result<Resolved> {
    let bytes = unpacked(bytes, None, MAX_TORRENT_BYTES).map_err(Error::BadTorrent)?;
    if is_metalink(&bytes) {
        return read_metalink(&bytes).map(Resolved::File);
    }
    if bytes.first() != Some(&b'd')
        && let Ok(text) = std::str::from_utf8(&bytes)
        && let Ok(Some(link)) = of_link(text)
    {
        return Ok(link);
    }
    Ok(Resolved::Metainfo(Arc::new(Metainfo::from_bytes(&bytes)?)))
}

/// Whether a body is a Metalink rather than a web page.
fn is_metalink(bytes: &[u8]) -> bool {
    let front = &bytes[..bytes.len().min(METALINK_FRONT_BYTES)];
    is_web_page(bytes) && front.windows(METALINK_MARK.len()).any(|part| part == METALINK_MARK)
}

async fn read_limited(path: &Path) -> Result<Bytes> {
    let storage = |source| Error::Storage { doing: "read", path: path.to_owned(), source };
    let meta = tokio::fs::metadata(path).await.map_err(storage)?;
    let mut bytes = Vec::new();
    let most = MAX_TORRENT_BYTES as u64 + 1;
    if meta.is_file() {
        let file = tokio::fs::File::open(path).await.map_err(storage)?;
        file.take(most).read_to_end(&mut bytes).await.map_err(storage)?;
    } else if meta.file_type().is_fifo() {
        // The file that a shell passes for `<(…)`. It is opened in a way that neither this nor a read
        // blocks a thread.
        let pipe = tokio::net::unix::pipe::OpenOptions::new().open_receiver(path).map_err(storage)?;
        pipe.take(most).read_to_end(&mut bytes).await.map_err(storage)?;
    } else {
        let what = if meta.is_dir() { "it is a folder, not a torrent file" } else { "it is not a plain file" };
        return Err(bad_source(&path.to_string_lossy(), what));
    }
    if bytes.is_empty() {
        return Err(bad_source(&path.to_string_lossy(), "it is empty; fetch it again"));
    }
    Ok(bytes.into())
}

/// The result of fetching a URL.
enum Fetched {
    Body(Bytes),
    Link(Resolved),
}

async fn fetch(url: &str, web: &Web) -> Result<(Fetched, AddressClass)> {
    let fail = |why: String| Error::Fetch { url: without_secrets(url), why };
    let parsed = Url::parse(url).map_err(|e| fail(e.to_string()))?;
    // The user's own URL may lead to any address; its redirects may not.
    let terms = Terms {
        named_by: AddressClass::Loopback,
        announce_only: false,
        family: None,
        timeout: FETCH_TIMEOUT,
        max_bytes: MAX_TORRENT_BYTES,
    };
    let (status, body, from) = match web.get(parsed, terms).await {
        Ok(Got::Body { status, body, from, .. }) => (status, body, from),
        // Indexers (Jackett, Prowlarr) answer with a redirect to a magnet link. No other scheme is
        // followed, in particular not `file:`.
        Ok(Got::Elsewhere { url: location, from }) => {
            return match of_link(&location) {
                Ok(Some(link)) => Ok((Fetched::Link(link), from)),
                Err(e) if magnet::parse(&location).is_some() => Err(fail(e.to_string())),
                _ => Err(fail("the server redirected to a URL that cannot be opened".into())),
            };
        }
        Err(NotGot::Failed(why)) => return Err(fail(why)),
        Err(NotGot::NoSuchFamily) => return Err(fail("its host name has no address".into())),
    };
    if !status.is_success() {
        return Err(fail(format!("the server answered {status}")));
    }
    if body.is_empty() {
        return Err(fail("the server's answer is empty".into()));
    }
    // Servers send torrents with any type (text/html too), so the content decides.
    if is_web_page(&body) && !is_metalink(&body) {
        return Err(fail(
            "the server gave a web page instead of a torrent file; give the link of the torrent file or the magnet link on \
             that page, and log in first where the site asks for it"
                .into(),
        ));
    }
    Ok((Fetched::Body(body), from))
}

/// Returns whether the text is a magnet link, in any spelling, usable or not.
pub(crate) fn is_magnet(text: &str) -> bool {
    magnet::parse(text).is_some()
}

#[cfg(test)]
mod tests;
