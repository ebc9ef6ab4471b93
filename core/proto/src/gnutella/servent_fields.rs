//! The header fields that servents add to HTTP: other sources, queues, parts of a file that is
//! still downloaded, and the tree. Requests and answers have the same.

use super::Guid;
use super::callback::MAX_QUEUE_ID_CHARS;
use super::header_fields::{DEFAULT_PORT, HeaderFields, address};
use crate::http1::number;
use crate::{FileHashes, tiger_tree};
use data_encoding::BASE32_NOPAD_NOCASE;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use std::fmt::Write;
use std::net::SocketAddr;
use std::ops::Range;
use url::{Host, Url};

/// Most other sources that are taken from one head, of each kind.
pub const MAX_HEAD_SOURCES: usize = 64;
/// Most ranges that are taken from one head.
pub const MAX_HEAD_RANGES: usize = 256;
/// Longest path of a tree, bytes.
const MAX_PATH_BYTES: usize = 512;
/// Longest wait that a servent may ask for, seconds: a day.
const MAX_WAIT_S: u64 = 86_400;

/// A source that needs a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushSource {
    /// Identifier of the servent.
    pub servent: Guid,
    /// Servents that pass a push on.
    pub proxies: Vec<SocketAddr>,
}

/// Our place in the queue of a servent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueuePlace {
    /// Identifier of the place, which the next request repeats.
    pub id: Option<String>,
    /// Number in the queue, from 1 on.
    pub position: Option<u64>,
    /// Length of the queue.
    pub length: Option<u64>,
    /// Expected wait, seconds.
    pub eta_s: Option<u64>,
    /// Time until the place is lost, seconds.
    pub lifetime_s: Option<u64>,
    /// Least time until the next request on the same connection, seconds (`X-Queue`).
    pub poll_min_s: Option<u64>,
    /// Longest time until it, seconds.
    pub poll_max_s: Option<u64>,
}

/// Where the tree of a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreePlace {
    /// Path at the same servent.
    pub path: String,
    /// Root of the tree, as the servent claims.
    pub root: Option<tiger_tree::Digest>,
}

/// The fields of one head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServentFields {
    /// Other sources (`X-Alt`).
    pub alternates: Vec<SocketAddr>,
    /// Sources that do not have the file any more (`X-Nalt`).
    pub dead: Vec<SocketAddr>,
    /// Other sources that need a push (`X-Falt`).
    pub push_alternates: Vec<PushSource>,
    /// What is there of the file, if it is not whole (`X-Available-Ranges`). Nothing may be there
    /// yet.
    pub available: Option<Vec<Range<u64>>>,
    /// Place in the queue (`X-Queued`, `X-Queue`).
    pub queue: Option<QueuePlace>,
    /// Wait until the next request, seconds, at most a day (`Retry-After`).
    pub retry_after_s: Option<u64>,
    /// Hashes of the file (`X-Gnutella-Content-URN`, `X-Content-URN`).
    pub content: FileHashes,
    /// Where the tree is (`X-Thex-URI`).
    pub tree: Option<TreePlace>,
    /// Identifier of the servent (`X-GUID`; of one that cannot be reached `X-FW-Node-Info`).
    pub servent: Option<Guid>,
    /// Servents that pass a push on (`X-Push-Proxies`, `X-Push-Proxy`).
    pub push_proxies: Vec<SocketAddr>,
    /// Address at which the sender listens (`X-Node`, `X-Host`).
    pub node: Option<SocketAddr>,
    /// Bytes of the file that the sender has downloaded (`X-Downloaded`, `X-Available`).
    pub downloaded: Option<u64>,
}

impl ServentFields {
    /// Reads the fields of a head, that of a request or an answer. Fields that are not understood
    /// are as if they were not there; `None` if there are more than any servent sends.
    pub fn parse(head: &[u8]) -> Option<ServentFields> {
        let (_, fields) = HeaderFields::parse(&head[..head.len().min(super::MAX_HEAD_BYTES)])?;
        let firewalled = fields.get("X-FW-Node-Info").and_then(push_source);
        let guid = fields.get("X-GUID").and_then(Guid::from_hex);
        let seconds = |text: &str| number(text).map(|seconds| seconds.min(MAX_WAIT_S));
        let urns = fields.items(&["X-Gnutella-Content-URN", "X-Content-URN"]).filter_map(FileHashes::from_urn);
        Some(ServentFields {
            alternates: addresses(fields.items(&["X-Alt", "X-Gnutella-Alternate-Location"])),
            dead: addresses(fields.items(&["X-Nalt"])),
            push_alternates: fields.items(&["X-Falt"]).filter_map(push_source).take(MAX_HEAD_SOURCES).collect(),
            available: fields.get("X-Available-Ranges").and_then(ranges),
            queue: queue(&fields),
            retry_after_s: fields.get("Retry-After").and_then(seconds),
            content: urns.fold(FileHashes::default(), FileHashes::or),
            tree: fields.get("X-Thex-URI").and_then(tree_place),
            servent: guid.or(firewalled.map(|source| source.servent)),
            push_proxies: addresses(fields.items(&["X-Push-Proxies", "X-Push-Proxy"])),
            node: fields.all(&["X-Node", "X-Host"]).find_map(address),
            downloaded: fields.get("X-Downloaded").or(fields.get("X-Available")).and_then(count),
        })
    }

    /// Returns the fields as lines of a head. Waits are left to the caller's status.
    pub fn to_lines(&self) -> String {
        let mut out = String::new();
        let mut line = |name: &str, value: String| {
            if !value.is_empty() {
                // Writing to a text cannot fail.
                let _ = write!(out, "{name}: {value}\r\n");
            }
        };
        let list = |addresses: &[SocketAddr]| {
            let texts = addresses.iter().take(MAX_HEAD_SOURCES).map(short_address);
            texts.collect::<Vec<_>>().join(", ")
        };
        line("X-Node", self.node.map(|node| node.to_string()).unwrap_or_default());
        line("X-GUID", self.servent.map(|servent| servent.to_string()).unwrap_or_default());
        line("X-Downloaded", self.downloaded.map(|bytes| bytes.to_string()).unwrap_or_default());
        line("X-Queued", self.queue.as_ref().map(QueuePlace::to_text).unwrap_or_default());
        line("Retry-After", self.retry_after_s.map(|seconds| seconds.to_string()).unwrap_or_default());
        line("X-Gnutella-Content-URN", self.content.urn().unwrap_or_default());
        line("X-Thex-URI", self.tree.as_ref().map(TreePlace::to_text).unwrap_or_default());
        if let Some(ranges) = &self.available {
            let pairs = ranges.iter().filter(|range| !range.is_empty()).take(MAX_HEAD_RANGES);
            let pairs: Vec<String> = pairs.map(|range| format!("{}-{}", range.start, range.end - 1)).collect();
            line("X-Available-Ranges", format!("bytes {}", pairs.join(",")).trim_end().to_owned());
        }
        line("X-Push-Proxies", list(&self.push_proxies));
        line("X-Alt", list(&self.alternates));
        line("X-Nalt", list(&self.dead));
        let push_alternates = self.push_alternates.iter().take(MAX_HEAD_SOURCES).map(PushSource::to_text);
        line("X-Falt", push_alternates.collect::<Vec<_>>().join(", "));
        out
    }
}

impl QueuePlace {
    fn to_text(&self) -> String {
        let number = |name: &str, value: Option<u64>| value.map(|value| format!("{name}={value}"));
        let id = self.id.as_ref().map(|id| format!("ID={id}"));
        let parts = [
            number("position", self.position),
            id,
            number("lifetime", self.lifetime_s),
            number("length", self.length),
            number("ETA", self.eta_s),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

impl TreePlace {
    fn to_text(&self) -> String {
        let root = self.root.map(|root| format!(";{}", data_encoding::BASE32_NOPAD.encode(&root))).unwrap_or_default();
        format!("{}{root}", self.path)
    }
}

impl PushSource {
    fn to_text(&self) -> String {
        let proxies = self.proxies.iter().take(super::MAX_PUSH_PROXIES).map(|proxy| format!(";{proxy}"));
        format!("{}{}", self.servent, proxies.collect::<String>())
    }
}

fn short_address(address: &SocketAddr) -> String {
    let text = address.to_string();
    match address {
        SocketAddr::V4(v4) if v4.port() == DEFAULT_PORT => v4.ip().to_string(),
        _ => text,
    }
}

/// Reads a list of addresses. Items of another form, as `tls=…` and the URLs of old servents, are
/// skipped.
fn addresses<'a>(items: impl Iterator<Item = &'a str>) -> Vec<SocketAddr> {
    let address = |item: &str| address(item.split_ascii_whitespace().next()?);
    items.filter_map(address).take(MAX_HEAD_SOURCES).collect()
}

/// Parses `guid;proxy;proxy`, among which other parts may be.
fn push_source(text: &str) -> Option<PushSource> {
    let mut parts = text.split(';').map(str::trim);
    let servent = Guid::from_hex(parts.next()?)?;
    Some(PushSource { servent, proxies: parts.filter_map(address).take(super::MAX_PUSH_PROXIES).collect() })
}

/// Parses `bytes 0-9,20-29`, or `bytes` alone. Ranges that are none are skipped.
fn ranges(text: &str) -> Option<Vec<Range<u64>>> {
    let list = text.strip_prefix("bytes")?.trim_start_matches(['=', ' ']);
    let range = |text: &str| {
        let (first, last) = text.trim().split_once('-')?;
        let range = number(first.trim())?..number(last.trim())?.checked_add(1)?;
        (!range.is_empty()).then_some(range)
    };
    Some(list.split(',').filter_map(range).take(MAX_HEAD_RANGES).collect())
}

/// Parses `bytes N` or `N`.
fn count(text: &str) -> Option<u64> {
    number(text.strip_prefix("bytes").unwrap_or(text).trim())
}

/// Parses `path;root`. The path must be one at the same servent.
fn tree_place(text: &str) -> Option<TreePlace> {
    let (path, root) = text.split_once(';').map_or((text, None), |(path, root)| (path, Some(root)));
    let is_path = path.starts_with('/')
        && !path.starts_with("//")
        && path.len() <= MAX_PATH_BYTES
        && path.bytes().all(|b| b.is_ascii_graphic());
    let root = root.and_then(|root| BASE32_NOPAD_NOCASE.decode(root.trim().as_bytes()).ok()?.try_into().ok());
    is_path.then(|| TreePlace { path: path.to_owned(), root })
}

/// Reads the place in a queue, of either form.
fn queue(fields: &HeaderFields) -> Option<QueuePlace> {
    let text = fields.get("X-Queued").or_else(|| fields.get("X-Queue").filter(|text| text.contains('=')))?;
    let mut place = QueuePlace::default();
    for (name, value) in text.split([';', ',']).filter_map(|part| part.split_once('=')) {
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        let seconds = number(value).map(|seconds| seconds.min(MAX_WAIT_S));
        match name.as_str() {
            "id" => {
                let is_id = (1..=MAX_QUEUE_ID_CHARS).contains(&value.len());
                place.id = (is_id && value.bytes().all(|b| b.is_ascii_alphanumeric())).then(|| value.to_owned());
            }
            "position" => place.position = number(value),
            "length" => place.length = number(value),
            // Some expect a wait of many days.
            "eta" => place.eta_s = number(value),
            "lifetime" => place.lifetime_s = seconds,
            "pollmin" => place.poll_min_s = seconds,
            "pollmax" => place.poll_max_s = seconds,
            _ => {}
        }
    }
    Some(place)
}

/// What a path at a servent means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The file with these hashes (N2R).
    File(FileHashes),
    /// The tree of the file with these hashes (N2X).
    Tree(FileHashes),
    /// A file by its number and name, at servents that know no hashes.
    Index {
        /// Number of the file.
        index: u32,
        /// Name of the file.
        name: String,
    },
}

const N2R: &str = "/uri-res/N2R?";
const N2X: &str = "/uri-res/N2X?";
const GET: &str = "/get/";
/// Characters that are escaped in a name.
const ESCAPED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'/').add(b'<').add(b'>').add(b'?').add(b'`');

impl Target {
    /// Parses the path of a request. `None` if it is another one.
    pub fn parse(path: &str) -> Option<Target> {
        let after = |prefix: &str| {
            let head = path.get(..prefix.len())?;
            head.eq_ignore_ascii_case(prefix).then(|| &path[prefix.len()..])
        };
        if let Some(urn) = after(N2R) {
            return FileHashes::from_urn(urn).map(Target::File);
        }
        if let Some(urn) = after(N2X) {
            return FileHashes::from_urn(urn).map(Target::Tree);
        }
        let (index, name) = after(GET)?.split_once('/')?;
        let name = percent_decode_str(name).decode_utf8().ok()?.into_owned();
        Some(Target::Index { index: number(index).and_then(|index| u32::try_from(index).ok())?, name })
    }

    /// Returns what a URL means if it leads to a servent: they are known by addresses, not by names, and
    /// give files by their hashes. `None` for other URLs.
    pub fn of_url(url: &Url) -> Option<Target> {
        let is_address = matches!(url.host()?, Host::Ipv4(_) | Host::Ipv6(_));
        let path = format!("{}?{}", url.path(), url.query()?);
        (url.scheme() == "http" && is_address).then(|| Target::parse(&path)).flatten()
    }

    /// Returns the URL at a servent; `None` as for [`Target::path`].
    pub fn url(&self, servent: SocketAddr) -> Option<Url> {
        Url::parse(&format!("http://{servent}{}", self.path()?)).ok()
    }

    /// Returns the path of a request. Files are named by their SHA-1, which all servents know;
    /// `None` if it is not known.
    pub fn path(&self) -> Option<String> {
        let urn = |hashes: &FileHashes| {
            hashes.sha1?;
            FileHashes { tiger: None, ..*hashes }.urn()
        };
        Some(match self {
            Target::File(hashes) => format!("{N2R}{}", urn(hashes)?),
            Target::Tree(hashes) => format!("{N2X}{}", urn(hashes)?),
            Target::Index { index, name } => format!("{GET}{index}/{}", utf8_percent_encode(name, ESCAPED)),
        })
    }
}
