//! Links to channels: `playswarm:KEY?at=HOST:PORT&name=NAME`, and the same as a magnet link,
//! `magnet:?xt=urn:psl:KEY&x.pe=HOST:PORT&dn=NAME`.

use super::ChannelKey;
use crate::PeerAddress;
use crate::magnet::magnet_query;
use std::fmt;
use url::form_urlencoded;

/// Longest link, bytes.
pub const MAX_LINK_BYTES: usize = 8 << 10;
/// Most addresses kept.
const MAX_ADDRESSES: usize = 50;
/// Longest name kept, bytes.
const MAX_NAME_BYTES: usize = super::MAX_TEXT_BYTES;
/// Scheme of a link.
const SCHEME: &str = "playswarm:";
/// Prefix of the key in a magnet link.
const URN: &str = "urn:psl:";

/// The reason why a link to a channel cannot be used, as the end of a sentence about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadLink(pub String);

/// A link to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelLink {
    /// The channel.
    pub key: ChannelKey,
    /// Addresses of nodes that have the channel, the source's first (`at`, in magnet links `x.pe`).
    pub at: Vec<PeerAddress>,
    /// Name of the channel according to the link (`name`, in magnet links `dn`).
    pub name: Option<String>,
}

impl ChannelLink {
    /// Creates a link to this channel without further fields.
    pub fn new(key: ChannelKey) -> ChannelLink {
        ChannelLink { key, at: Vec::new(), name: None }
    }

    /// Returns the link as a magnet link, which desktops and browsers hand to a torrent client.
    pub fn to_magnet(&self) -> String {
        let mut link = format!("magnet:?xt={URN}{}", self.key);
        self.at.iter().for_each(|address| link.push_str(&format!("&x.pe={}", encoded(&address.to_string()))));
        self.name.iter().for_each(|name| link.push_str(&format!("&dn={}", encoded(name))));
        link
    }
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

impl fmt::Display for ChannelLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.key)?;
        let addresses = self.at.iter().map(|address| ("at", encoded(&address.to_string())));
        let fields = addresses.chain(self.name.iter().map(|name| ("name", encoded(name))));
        for (n, (key, value)) in fields.enumerate() {
            write!(f, "{}{key}={value}", if n == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

/// Parses a link to a channel in either form; `None` if the text is neither.
pub fn parse(text: &str) -> Option<Result<ChannelLink, BadLink>> {
    let text = text.trim();
    let is_ours = text.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME));
    let magnet = if is_ours { None } else { magnet_query(text).filter(|query| has_urn(query)) };
    if !is_ours && magnet.is_none() {
        return None;
    }
    if text.len() > MAX_LINK_BYTES {
        return Some(Err(BadLink(format!("a link to a channel has at most {MAX_LINK_BYTES} bytes"))));
    }
    Some(match magnet {
        Some(query) => read(None, &query),
        None => {
            // Browsers and desktops write `playswarm://KEY/` at times.
            let rest = text[SCHEME.len()..].trim_start_matches('/');
            let (key, query) = rest.split_once('?').unwrap_or((rest, ""));
            read(Some(key.trim_end_matches('/')), query)
        }
    })
}

fn urn(value: &str) -> Option<&str> {
    value.get(..URN.len()).is_some_and(|start| start.eq_ignore_ascii_case(URN)).then(|| &value[URN.len()..])
}

fn has_urn(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(key, value)| key.eq_ignore_ascii_case("xt") && urn(&value).is_some())
}

/// Reads the fields of both forms. Unknown fields and unusable addresses are skipped.
fn read(key: Option<&str>, query: &str) -> Result<ChannelLink, BadLink> {
    let (mut key, mut at, mut name) = (key.map(str::to_owned), Vec::new(), None);
    for (field, value) in form_urlencoded::parse(query.as_bytes()) {
        match (&*field.to_ascii_lowercase(), value.trim()) {
            ("xt", value) if key.is_none() => key = urn(value).map(str::to_owned),
            ("at" | "x.pe", value) if at.len() < MAX_ADDRESSES => {
                at.extend(value.parse::<PeerAddress>().ok().filter(|address| !at.contains(address)));
            }
            ("name" | "dn", value) if (1..=MAX_NAME_BYTES).contains(&value.len()) => name = Some(value.to_owned()),
            _ => {}
        }
    }
    let key = key.unwrap_or_default().parse().map_err(BadLink)?;
    Ok(ChannelLink { key, at, name })
}
