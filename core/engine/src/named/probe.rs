//! Asks a web server for the length of a file, and for its tree.

use crate::discovery::web::{NotGot, Opened, Terms, Web, permissions, read_start};
use bytes::Bytes;
use playswarm_proto::AddressClass;
use playswarm_proto::http_range::is_page_instead;
use playswarm_proto::metainfo::WebSeed;
use playswarm_proto::tiger_tree::{MAX_THEX_BYTES, Transfer, claimed_root};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use std::time::Duration;
use url::Url;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Field by which servents name the place of a file's tree.
const THEX_URI: &str = "x-thex-uri";
/// Longest value of [`THEX_URI`], bytes.
const MAX_THEX_URI: usize = 512;
/// Endings of the names of files that have a tree, for servers that know no type for them.
const TREE_ENDINGS: [&str; 2] = [".thex", ".tigertree"];

/// A length that a server says.
pub(super) struct Said {
    /// Length of the file, bytes.
    pub(super) bytes: u64,
    /// Whether it came with a range of the file. A whole answer may be another thing.
    pub(super) is_by_range: bool,
}

/// The answers of a server.
pub(super) struct Found {
    /// The URL that was asked.
    pub(super) server: Url,
    pub(super) length: Option<Said>,
    /// A tree, and the URL that gave it.
    pub(super) tree: Option<(Url, Transfer, Bytes)>,
    /// The reason why it did not say the length, without secrets.
    pub(super) failure: Option<String>,
}

/// Asks a server.
pub(super) async fn probe(web: &Web, server: WebSeed, wants_tree: bool) -> Found {
    let mut found = Found { server: server.url.clone(), length: None, tree: None, failure: None };
    if let Err(why) = ask(web, &server, wants_tree, &mut found).await {
        found.failure = Some(match why {
            NotGot::Failed(why) => why,
            NotGot::NoSuchFamily => "its host name has no address".into(),
        });
    }
    found
}

fn terms(named_by: AddressClass) -> Terms {
    Terms { named_by, announce_only: false, family: None, timeout: TIMEOUT, max_bytes: MAX_THEX_BYTES }
}

async fn ask(web: &Web, server: &WebSeed, wants_tree: bool, found: &mut Found) -> Result<(), NotGot> {
    let named_by = permissions(&server.url, server.named_by, server.is_mirror)?;
    if ends_like_a_tree(&server.url) {
        found.tree = tree(web, server.url.clone(), named_by).await?;
        return Ok(());
    }
    let one_byte = (RANGE, HeaderValue::from_static("bytes=0-0"));
    let (url, response, from) = match web.open(server.url.clone(), terms(named_by), Some(one_byte)).await? {
        Opened::Response { url, response, from } => (url, response, from),
        Opened::Elsewhere { .. } => return Err("it redirects to a URL that is no web server's".to_owned().into()),
    };
    let headers = response.headers().clone();
    let status = response.status();
    drop(response);
    // A servent names its tree also while it makes us wait for the file.
    let place = if wants_tree { tree_at(&headers, &url) } else { None };
    if let Some(at) = place {
        // A server without a tree still has the file.
        found.tree = tree(web, at, from).await.ok().flatten();
    }
    if !status.is_success() {
        return Err(format!("the server answered {status}").into());
    }
    if transfer(&headers).is_some() {
        found.tree = tree(web, server.url.clone(), named_by).await?;
        return Ok(());
    }
    check_kind(&server.url, &headers)?;
    found.length = length(status, &headers);
    match found.length {
        Some(_) => Ok(()),
        None => Err("the server does not say how long the file is".to_owned().into()),
    }
}

fn ends_like_a_tree(url: &Url) -> bool {
    let path = url.path().to_ascii_lowercase();
    TREE_ENDINGS.iter().any(|ending| path.ends_with(ending))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Returns how an answer transfers a tree; `None` if it is none.
fn transfer(headers: &HeaderMap) -> Option<Transfer> {
    let kind = text(headers, CONTENT_TYPE.as_str())?.split(';').next()?.trim().to_ascii_lowercase();
    Transfer::of_media_type(&kind)
}

/// Checks that an answer can be the file.
///
/// # Errors
/// The reason why it cannot: it is a web page, or compressed. Its length is then not the file's.
fn check_kind(asked: &Url, headers: &HeaderMap) -> Result<(), NotGot> {
    if text(headers, CONTENT_ENCODING.as_str()).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err("the server compresses the file, so it does not say its length".to_owned().into());
    }
    let kind = text(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if is_page_instead(&kind, asked) {
        return Err("the server sent a web page in place of the file; open the URL in a browser".to_owned().into());
    }
    Ok(())
}

/// Returns the length of the file: behind the slash of the range, or that of the whole answer.
fn length(status: StatusCode, headers: &HeaderMap) -> Option<Said> {
    let is_by_range = status == StatusCode::PARTIAL_CONTENT;
    let said = if is_by_range {
        text(headers, CONTENT_RANGE.as_str())?.rsplit('/').next()?
    } else {
        text(headers, CONTENT_LENGTH.as_str())?
    };
    Some(Said { bytes: said.trim().parse().ok()?, is_by_range })
}

/// Returns the URL of the tree that a server names. It is a path on the same server.
fn tree_at(headers: &HeaderMap, url: &Url) -> Option<Url> {
    let value = text(headers, THEX_URI)?.trim();
    let path = value.rsplit_once(';').map_or(value, |(path, _root)| path);
    let is_path = path.starts_with('/') && !path.starts_with("//") && path.len() <= MAX_THEX_URI;
    let at = is_path.then(|| url.join(path).ok()).flatten()?;
    (at.origin() == url.origin()).then_some(at)
}

/// Fetches a tree. `None` if the answer is not one.
async fn tree(web: &Web, url: Url, named_by: AddressClass) -> Result<Option<(Url, Transfer, Bytes)>, NotGot> {
    let work = async {
        let opened = web.open(url.clone(), terms(named_by), None).await?;
        let Opened::Response { response, .. } = opened else { return Ok(None) };
        if !response.status().is_success() {
            return Err(NotGot::from(format!("the server answered {} for the tree", response.status())));
        }
        let named = transfer(response.headers());
        let bytes = read_start(response, MAX_THEX_BYTES).await?;
        let is_dime = || claimed_root(Transfer::Dime, &bytes).is_some();
        let transfer = named.unwrap_or_else(|| if is_dime() { Transfer::Dime } else { Transfer::Raw });
        Ok(Some((url, transfer, bytes)))
    };
    tokio::time::timeout(TIMEOUT, work).await.unwrap_or_else(|_| Err("no answer in time".to_owned().into()))
}
