//! The head of a request that pushes a stream, or that names what is playing.

use super::Refusal;
use crate::{charset, printable};
use data_encoding::BASE64;
use percent_encoding::percent_decode_str;
use std::fmt;

/// Longest head of a request, bytes.
pub const MAX_HEAD_BYTES: usize = 16 << 10;
/// Longest text that is kept of a header field or a parameter, bytes. Longer ones are cut.
pub const MAX_TEXT_BYTES: usize = 255;
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

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After this number of bytes.
    Length(u64),
    /// With a chunk of no bytes.
    Chunked,
    /// With the connection.
    Raw,
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
    /// What it requests.
    pub kind: Kind,
    /// Version of HTTP in the status lines of answers.
    pub(crate) version: &'static str,
    pub(crate) expects_continue: bool,
    pub(crate) keep_alive: bool,
}

/// The fields of a head as httparse returns them.
struct Fields<'a>(&'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// Returns the first field with one of these names, as text.
    fn text(&self, names: &[&'static str]) -> Option<String> {
        let value = names.iter().find_map(|name| self.all(name).next())?;
        Some(shortened(&charset::likely_text(value))).filter(|text| !text.is_empty())
    }

    /// Whether a field with a list of words has this word.
    fn has_word(&self, name: &'static str, word: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(|b| *b == b','))
            .any(|w| w.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    }
}

/// Returns the text without white space around it, and cut to the longest one kept.
fn shortened(text: &str) -> String {
    printable::prefix(text.trim(), MAX_TEXT_BYTES).to_owned()
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
    let request = request(method, target, is_1_1, &Fields(parsed.headers))?;
    Ok(Some((request, consumed)))
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

fn request(method: &str, target: &str, is_1_1: bool, fields: &Fields<'_>) -> Result<Request, Refusal> {
    let (path, query) = split_target(target);
    let query = query.unwrap_or_default();
    let expects_continue = match fields.text(&["expect"]) {
        None => false,
        Some(text) if text.eq_ignore_ascii_case("100-continue") => true,
        Some(_) => return Err(Refusal::new(417, "only 100-continue can be expected here")),
    };
    let keep_alive = match is_1_1 {
        true => !fields.has_word("connection", "close"),
        false => fields.has_word("connection", "keep-alive"),
    };
    let kind = match method {
        "OPTIONS" => Kind::Options,
        "GET" | "POST" if path == METADATA_PATH => Kind::Metadata(metadata(query)?),
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
    Ok(Request { path, credentials, kind, version, expects_continue, keep_alive })
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
    let is_chunked = match fields.text(&["transfer-encoding"]) {
        None => false,
        Some(coding) if coding.eq_ignore_ascii_case("chunked") => true,
        Some(coding) if coding.eq_ignore_ascii_case("identity") => false,
        Some(_) => return Err(Refusal::new(501, "the only transfer encoding understood here is chunked")),
    };
    if fields.text(&["content-encoding"]).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(Refusal::unsupported("the stream is compressed (Content-Encoding); send it as it is"));
    }
    let framing = match (is_chunked, length(fields)?) {
        (true, Some(_)) => return Err(Refusal::bad("a body has either a length or chunks, not both")),
        (true, None) => Framing::Chunked,
        // Icecast ignores a length here, and so do its clients.
        (false, _) if is_source => Framing::Raw,
        (false, Some(length)) => Framing::Length(length),
        (false, None) if may_be_raw => Framing::Raw,
        (false, None) => {
            return Err(Refusal::new(411, "the request says neither how long its body is nor that it has chunks"));
        }
    };
    let content_type = fields.text(&["content-type"]).map(|text| {
        let essence = text.split(';').next().unwrap_or_default();
        essence.trim().to_ascii_lowercase()
    });
    let range = fields.text(&["content-range"]);
    let offset = range.and_then(|text| text.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok());
    Ok(Push {
        framing,
        content_type: content_type.filter(|text| !text.is_empty()),
        offset,
        name: fields.text(&["ice-name", "icy-name"]),
        description: fields.text(&["ice-description", "icy-description"]),
        genre: fields.text(&["ice-genre", "icy-genre"]),
        url: fields.text(&["ice-url", "icy-url"]),
        is_source,
    })
}

fn length(fields: &Fields<'_>) -> Result<Option<u64>, Refusal> {
    let bad = || Refusal::bad("the length of the body (Content-Length) is not one number");
    let mut found = None;
    for value in fields.all("content-length") {
        let digits = std::str::from_utf8(value.trim_ascii()).map_err(|_| bad())?;
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        let length = digits.parse().map_err(|_| bad())?;
        if found.replace(length).is_some_and(|before| before != length) {
            return Err(bad());
        }
    }
    Ok(found)
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
