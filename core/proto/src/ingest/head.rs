//! The head of a request that pushes a stream, or that names what is playing.

use super::Refusal;
use crate::charset;
use crate::http1::{Fields, Framing, shortened};
use data_encoding::BASE64;
use percent_encoding::percent_decode_str;
use std::fmt;

/// Longest head of a request, bytes.
pub const MAX_HEAD_BYTES: usize = 16 << 10;
/// Most header fields. Encoders send about ten.
const MAX_HEADERS: usize = 64;
/// Path of Icecast's interface for titles.
const METADATA_PATH: &str = "/admin/metadata";

/// Answer to other protocols.
const NOT_HTTP: &str = "this is not a request of HTTP or Icecast";

/// What a client shows to prove that it may push.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name of the user, which Basic authentication has (RFC 7617).
    pub user: Option<String>,
    /// Password or token. Compare it in constant time.
    pub secret: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A stream that a client wants to push.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Push {
    /// How the stream ends. By a length of 0, libshout asks whether it may push.
    pub framing: Framing,
    /// Media type (`Content-Type`) in lower case, without its parameters.
    pub content_type: Option<String>,
    /// Position of the first byte in the stream (`Content-Range`). GStreamer's `souphttpclientsink`
    /// pushes one stream as many requests and says so.
    pub offset: Option<u64>,
    /// Name of the stream (`ice-name`, `icy-name`).
    pub name: Option<String>,
    /// Description of the stream (`ice-description`).
    pub description: Option<String>,
    /// Genre of the stream (`ice-genre`, `icy-genre`).
    pub genre: Option<String>,
    /// Web page of the stream (`ice-url`, `icy-url`).
    pub url: Option<String>,
    /// Whether the method is SOURCE, which is answered before the body.
    pub(crate) is_source: bool,
}

/// The title of what is playing (Icecast's `mode=updinfo`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Path to which the stream is pushed. `None` if the client does not say it.
    pub mount: Option<String>,
    /// The title, usually `ARTIST - TITLE`.
    pub title: String,
}

/// What a client requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To push a stream.
    Push(Push),
    /// To change the title of a stream.
    Metadata(Metadata),
    /// To be told which methods there are. [`super::Session`] answers it.
    Options,
}

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Path without the query, percent-decoded. It begins with a slash.
    pub path: String,
    /// What the client shows of a password or token.
    pub credentials: Option<Credentials>,
    /// Name and port of the server (`Host`), as the client knows it.
    pub host: Option<String>,
    /// Whether a web page sent it: it has an origin or fetch metadata. No encoder sends these.
    pub is_from_page: bool,
    /// What it requests.
    pub kind: Kind,
    /// Version of HTTP in the status lines of answers.
    pub(crate) version: &'static str,
    pub(crate) expects_continue: bool,
    pub(crate) keep_alive: bool,
}

/// Parses the head at the start of a connection's bytes. Returns it with its length; `None` if more
/// bytes are needed.
///
/// # Errors
/// The refusal of a request that is not one for pushing, or whose head is too long.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Refusal> {
    let long = || Refusal::new(431, format!("the head of the request has over {MAX_HEAD_BYTES} bytes"));
    let mut head = bytes[..bytes.len().min(MAX_HEAD_BYTES)].to_vec();
    if !head.contains(&b'\n') {
        // Without its version, a request of ICE/1.0 is none for httparse.
        return match head.first() {
            Some(first) if !first.is_ascii_uppercase() => Err(Refusal::bad(NOT_HTTP)),
            _ if head.len() == MAX_HEAD_BYTES => Err(long()),
            _ => Ok(None),
        };
    }
    let is_ice = to_http(&mut head);
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut fields);
    let length = match parsed.parse(&head) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if head.len() < MAX_HEAD_BYTES => return Ok(None),
        Ok(httparse::Status::Partial) => return Err(long()),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Refusal::new(431, format!("the request has over {MAX_HEADERS} header fields")));
        }
        Err(httparse::Error::Version) => {
            return Err(Refusal::new(505, "only HTTP/1.0, HTTP/1.1 and ICE/1.0 are understood here"));
        }
        Err(_) => return Err(Refusal::bad(NOT_HTTP)),
    };
    // ICE/1.0 has grown a byte.
    let consumed = length - usize::from(is_ice);
    let (method, target) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
    let is_1_1 = parsed.version == Some(1);
    let fields = Fields(parsed.headers);
    let Some(form) = form(method, target, &fields, &bytes[consumed..])? else { return Ok(None) };
    let request = request(method, target, is_1_1, &fields, &String::from_utf8_lossy(form))?;
    Ok(Some((request, consumed + form.len())))
}

/// Returns the body of a request for a new title. libshout sends the parameters there. Empty for
/// other requests; `None` if more bytes are needed.
fn form<'a>(method: &str, target: &str, fields: &Fields<'_>, rest: &'a [u8]) -> Result<Option<&'a [u8]>, Refusal> {
    if method != "POST" || split_target(target).0 != METADATA_PATH {
        return Ok(Some(&[]));
    }
    match fields.length()?.unwrap_or(0) {
        length if length > MAX_HEAD_BYTES as u64 => Err(Refusal::new(413, "the parameters of the title are too long")),
        length => Ok(rest.get(..length as usize)),
    }
}

/// Replaces the version `ICE/1.0`, which old clients of Icecast send, by that of HTTP/1.0, which it
/// equals. Returns whether it was there.
fn to_http(head: &mut Vec<u8>) -> bool {
    const ICE: &[u8] = b" ICE/1.0";
    let Some(end) = head.iter().position(|b| *b == b'\n') else { return false };
    let line = head[..end].trim_ascii_end();
    let Some(start) = line.len().checked_sub(ICE.len()) else { return false };
    let is_ice = line.ends_with(ICE);
    if is_ice {
        head.splice(start..start + ICE.len(), b" HTTP/1.0".iter().copied());
    }
    is_ice
}

fn request(method: &str, target: &str, is_1_1: bool, fields: &Fields<'_>, form: &str) -> Result<Request, Refusal> {
    let (path, query) = split_target(target);
    let query = query.unwrap_or_default();
    let expects_continue = match fields.text(&["expect"]) {
        None => false,
        Some(text) if text.eq_ignore_ascii_case("100-continue") => true,
        Some(_) => return Err(Refusal::new(417, "only 100-continue can be expected here")),
    };
    let keep_alive = fields.keep_alive(is_1_1);
    let kind = match method {
        "OPTIONS" => Kind::Options,
        "GET" | "POST" if path == METADATA_PATH => {
            Kind::Metadata(metadata(if form.is_empty() { query } else { form })?)
        }
        "PUT" | "POST" | "SOURCE" => Kind::Push(push(fields, method == "SOURCE", expects_continue || !keep_alive)?),
        _ => {
            return Err(Refusal::new(
                405,
                "this address takes a stream by PUT, POST or SOURCE; the address for players is another",
            ));
        }
    };
    // Icecast's clients expect the old version, whatever they say themselves.
    let version = if is_1_1 && method != "SOURCE" { "HTTP/1.1" } else { "HTTP/1.0" };
    let credentials = credentials(fields, query);
    if fields.all("host").count() > 1 {
        return Err(Refusal::bad("the request has more than one Host"));
    }
    let host = fields.text(&["host"]);
    let is_from_page = ["origin", "sec-fetch-site"].iter().any(|name| fields.all(name).next().is_some());
    Ok(Request { path, credentials, host, is_from_page, kind, version, expects_continue, keep_alive })
}

/// Returns the decoded path and the query of a request's target.
fn split_target(target: &str) -> (String, Option<&str>) {
    // A client that takes us for a proxy sends a whole URL.
    let target = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => rest.find(['/', '?']).map_or("/", |at| &rest[at..]),
        _ => target,
    };
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let path = percent_decode_str(path.trim_start_matches('/')).decode_utf8_lossy();
    (format!("/{path}"), query)
}

fn credentials(fields: &Fields<'_>, query: &str) -> Option<Credentials> {
    let shown = fields.all("authorization").next().and_then(|value| std::str::from_utf8(value).ok());
    let Some((scheme, value)) = shown.and_then(|value| value.trim().split_once(' ')) else {
        let token = parameter(query, "token")?;
        return Some(Credentials { user: None, secret: String::from_utf8_lossy(&token).into_owned() });
    };
    if scheme.eq_ignore_ascii_case("Bearer") {
        return Some(Credentials { user: None, secret: value.trim().to_owned() });
    }
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = BASE64.decode(value.trim().as_bytes()).ok()?;
    let decoded = String::from_utf8_lossy(&decoded);
    let (user, secret) = decoded.split_once(':')?;
    Some(Credentials { user: Some(user.to_owned()), secret: secret.to_owned() })
}

/// Reads what is pushed. `may_be_raw` says whether a body without length or chunks ends with the
/// connection: the client closes it, or it expects an answer before its body.
fn push(fields: &Fields<'_>, is_source: bool, may_be_raw: bool) -> Result<Push, Refusal> {
    let stated = fields.framing()?;
    if fields.text(&["content-encoding"]).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(Refusal::unsupported("the stream is compressed (Content-Encoding); send it as it is"));
    }
    let framing = match stated {
        Some(Framing::Chunked) => Framing::Chunked,
        // Icecast ignores a length here, and so do its clients.
        _ if is_source => Framing::Raw,
        Some(framing) => framing,
        None if may_be_raw => Framing::Raw,
        None => {
            return Err(Refusal::new(411, "the request says neither how long its body is nor that it has chunks"));
        }
    };
    let range = fields.text(&["content-range"]);
    let offset = range.and_then(|text| text.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok());
    Ok(Push {
        framing,
        content_type: fields.media_type(),
        offset,
        name: fields.text(&["ice-name", "icy-name"]),
        description: fields.text(&["ice-description", "icy-description"]),
        genre: fields.text(&["ice-genre", "icy-genre"]),
        url: fields.text(&["ice-url", "icy-url"]),
        is_source,
    })
}

fn metadata(query: &str) -> Result<Metadata, Refusal> {
    if parameter(query, "mode").as_deref() != Some(b"updinfo") {
        return Err(Refusal::bad("the only mode understood here is updinfo"));
    }
    let label = parameter(query, "charset").and_then(|label| charset::by_label(&String::from_utf8_lossy(&label)));
    let text = |name: &str| {
        let bytes = parameter(query, name)?;
        let text = match label {
            Some(encoding) => encoding.decode_without_bom_handling(&bytes).0,
            None => charset::likely_text(&bytes),
        };
        Some(shortened(&text)).filter(|text| !text.is_empty())
    };
    let title = match (text("song"), text("artist"), text("title")) {
        (Some(song), _, _) => song,
        (None, Some(artist), Some(title)) => shortened(&format!("{artist} - {title}")),
        (None, artist, title) => title.or(artist).unwrap_or_default(),
    };
    Ok(Metadata { mount: text("mount"), title })
}

/// Returns the first parameter of a query with this name, decoded.
fn parameter(query: &str, name: &str) -> Option<Vec<u8>> {
    let value = query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))?.1;
    Some(percent_decode_str(&value.replace('+', " ")).collect())
}
