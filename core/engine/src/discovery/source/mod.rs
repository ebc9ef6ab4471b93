//! Sources of torrents: a torrent file, a URL, a magnet link, an info-hash. Each is resolved to a
//! torrent, or to the data needed to request the torrent from peers.
//!
//! Magnet links are parsed by playswarm-proto and not by librqbit-core. That crate ignores peers (`x.pe`), turns
//! `so=0-99999999999` into as many numbers in memory, and refuses a link for one odd field.

use super::inflate::unpacked;
use super::web::{Got, NotGot, Terms, Web};
use crate::error::{Error, Result};
use crate::metainfo::{InfoHash, MAX_TORRENT_BYTES, Metainfo};
use crate::printable::{self, without_secrets};
use bytes::Bytes;
use playswarm_proto::metainfo::is_web_page;
use playswarm_proto::{AddressClass, Magnet, magnet};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Longest time to fetch a torrent file.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

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
}

impl Source {
    /// Parses text that a user typed or pasted: `magnet:?…`, an info-hash of 40 hexadecimal or 32
    /// base32 characters, `http(s)://…`, `file://…`, or a path. Links may be quoted, wrapped in
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
            return magnet.map(Source::Magnet).map_err(|why| bad_source(text, why.0));
        }
        let is_file_url = text.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("file:/"));
        let Some((scheme, rest)) = text.split_once("://").or_else(|| text.split_once(':').filter(|_| is_file_url))
        else {
            return Ok(Source::TorrentFile(PathBuf::from(text)));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => match url::Url::parse(text) {
                Ok(url) if url.host_str().is_some() => Ok(Source::Url(url.into())),
                _ => Err(bad_source(text, "it looks like a URL but is malformed")),
            },
            "file" => {
                let url =
                    url::Url::parse(text).map_err(|_| bad_source(text, "it looks like a URL but is malformed"))?;
                url.to_file_path()
                    .map(Source::TorrentFile)
                    .map_err(|()| bad_source(rest, "it is not the URL of a file on this machine"))
            }
            _ => Err(bad_source(text, "only http, https, file and magnet URLs can be opened")),
        }
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
            (Fetched::Magnet(magnet), from) => Ok(Resolved::Magnet(magnet.named_by(from))),
            (Fetched::Body(body), from) => match read_off_thread(body).await {
                Ok(Resolved::Magnet(magnet)) => Ok(Resolved::Magnet(magnet.named_by(from))),
                Ok(Resolved::Metainfo(torrent)) => {
                    let mut torrent = Arc::unwrap_or_clone(torrent);
                    torrent.trackers = torrent.trackers.named_by(from);
                    Ok(Resolved::Metainfo(Arc::new(torrent)))
                }
                Err(Error::BadTorrent(why)) => {
                    Err(Error::BadTorrent(format!("{why} (fetched from {})", without_secrets(&url))))
                }
                Err(e) => Err(e),
            },
        },
        Source::Magnet(magnet) => Ok(Resolved::Magnet(magnet)),
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
    if bytes.first() != Some(&b'd')
        && let Ok(text) = std::str::from_utf8(&bytes)
        && let Ok(Source::Magnet(magnet)) = Source::parse(text)
    {
        return Ok(Resolved::Magnet(magnet));
    }
    Ok(Resolved::Metainfo(Arc::new(Metainfo::from_bytes(&bytes)?)))
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
    Magnet(Magnet),
}

async fn fetch(url: &str, web: &Web) -> Result<(Fetched, AddressClass)> {
    let fail = |why: String| Error::Fetch { url: without_secrets(url), why };
    let parsed = url::Url::parse(url).map_err(|e| fail(e.to_string()))?;
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
            return match Source::parse(&location) {
                Ok(Source::Magnet(magnet)) => Ok((Fetched::Magnet(magnet), from)),
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
    if is_web_page(&body) {
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
