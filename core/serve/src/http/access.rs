//! Which requests are answered: checks of the `Host` header against DNS rebinding, of `Origin` and
//! fetch metadata against pages of other sites, and of the optional bearer token (RFC 6750). Pure:
//! headers in, a refusal or a grant out.

use super::HttpConfig;
use super::config::{Remedies, parse_origin};
use super::links::{Forwarded, Links};
use crate::hosts::{Hosts, host_of};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, ORIGIN, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use subtle::ConstantTimeEq;
use url::Host;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The access rules of one server.
pub(crate) struct Access {
    token: Option<String>,
    hosts: Hosts,
    /// The allowed origins in lower case: `scheme://host[:port]`.
    origins: Vec<String>,
    remedies: Remedies,
}

/// The status and the sentence of a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) StatusCode, pub(crate) Cow<'static, str>);

fn refusal(status: StatusCode, sentence: &'static str) -> Refusal {
    Refusal(status, sentence.into())
}

/// What a granted request says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Granted {
    /// The checked `Host`, if the client sent one.
    pub(crate) authority: Option<String>,
    /// The origin of another site that may read the answer.
    pub(crate) cors: Option<HeaderValue>,
    /// The links to our paths in the answer.
    pub(crate) links: Links,
}

impl Access {
    /// Returns the rules of a configuration. `own_names` are those of this machine, in lower case.
    pub(crate) fn new(config: &HttpConfig, own_names: BTreeSet<String>) -> Access {
        Access {
            token: config.token.clone(),
            hosts: Hosts::new(own_names, &config.allow_hosts),
            origins: config.allow_origins.iter().filter_map(|origin| parse_origin(origin).ok()).collect(),
            remedies: config.remedies.clone(),
        }
    }

    /// Grants or refuses a request by its head. `forwarded` has the headers of a trusted proxy.
    pub(crate) fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        forwarded: &Forwarded,
    ) -> Result<Granted, Refusal> {
        let authority = self.check_host(uri, headers)?;
        let known = forwarded.authority.as_deref().filter(|authority| self.hosts.is_ours(authority));
        let cors = self.check_origin(&[authority.as_deref(), known], headers)?;
        if cors.is_none() {
            check_fetch_metadata(headers)?;
        }
        // A preflight cannot carry a token, and its answer states only the permissions.
        if !(method == Method::OPTIONS && cors.is_some()) {
            self.check_token(uri, headers)?;
        }
        let body = headers.get(CONTENT_LENGTH).is_some_and(|v| v.as_bytes() != b"0")
            || headers.contains_key(TRANSFER_ENCODING);
        if body {
            return Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, "requests with a body are not accepted"));
        }
        Ok(Granted { authority, cors, links: Links::default() })
    }

    /// Checks that the request names this server. A page of another site can make its own name
    /// point here (DNS rebinding), but it cannot change the Host that the browser then sends.
    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
        let bad = || refusal(StatusCode::BAD_REQUEST, "the request must have exactly one Host header");
        let mut hosts = headers.get_all(HOST).iter();
        let header = match (hosts.next(), hosts.next()) {
            (Some(host), None) => Some(host.to_str().map_err(|_| bad())?),
            (None, _) => None,
            _ => return Err(bad()),
        };
        // An absolute URI, of a client that takes us for a proxy, names a host as well. Both are
        // checked.
        let in_uri = uri.authority().map(|a| a.as_str());
        for authority in [in_uri, header].into_iter().flatten() {
            if !self.hosts.is_ours(authority) {
                return Err(self.foreign_host(authority));
            }
        }
        Ok(in_uri.or(header).map(str::to_owned))
    }

    fn foreign_host(&self, authority: &str) -> Refusal {
        let sentence = match host_of(authority) {
            Some(Host::Domain(name)) => {
                let remedy = self.remedies.host.replace("{}", &name);
                format!(
                    "the host name {name} is not accepted, as a protection against DNS rebinding; open the printed address, or {remedy}"
                )
            }
            _ => "the Host header has no host name; open the printed address".to_owned(),
        };
        Refusal(StatusCode::FORBIDDEN, sentence.into())
    }

    /// Refuses scripts of other sites, and of `null` (sandboxes, files), unless they are allowed by
    /// name. Returns the allowed origin.
    fn check_origin(&self, own: &[Option<&str>], headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
        let Some(value) = headers.get(ORIGIN) else { return Ok(None) };
        let origin = value.to_str().unwrap_or("").to_ascii_lowercase();
        if let Some((scheme @ ("http" | "https"), site)) = origin.split_once("://") {
            let plain = |authority: &str| {
                let authority = authority.to_ascii_lowercase();
                let port = if scheme == "https" { ":443" } else { ":80" };
                authority.strip_suffix(port).map(str::to_owned).unwrap_or(authority)
            };
            if own.iter().flatten().any(|authority| plain(authority) == plain(site)) {
                return Ok(None);
            }
        }
        if self.origins.contains(&origin) {
            return Ok(Some(value.clone()));
        }
        let sentence = match parse_origin(&origin) {
            Ok(origin) => {
                let remedy = self.remedies.origin.replace("{}", &origin);
                format!("pages of other sites may not read from this server; to allow this site, {remedy}")
            }
            Err(_) => {
                "pages without an origin (local files, sandboxed frames) may not read from this server".to_owned()
            }
        };
        Err(Refusal(StatusCode::FORBIDDEN, sentence.into()))
    }

    fn check_token(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.token else { return Ok(()) };
        let same = |given: &[u8]| bool::from(given.ct_eq(token.as_bytes()));
        let bearer = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).and_then(|value| {
            let (scheme, rest) = value.split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
        });
        // Players cannot send headers, so the query may carry it.
        let mut in_query = url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes());
        if bearer.is_some_and(same) || in_query.any(|(k, v)| k == "token" && same(v.as_bytes())) {
            return Ok(());
        }
        Err(refusal(StatusCode::UNAUTHORIZED, "the request must have the token: send Authorization: Bearer or ?token="))
    }
}

/// Refuses embedding by pages of other sites: `<video src>` sends no Origin, but fetch metadata.
/// Following a link is allowed, because the page with the link sees nothing of the answer.
fn check_fetch_metadata(headers: &HeaderMap) -> Result<(), Refusal> {
    let is = |name, value: &str| headers.get(name).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(value.as_bytes()));
    let followed_link = is(SEC_FETCH_MODE, "navigate") && is(SEC_FETCH_DEST, "document");
    if is(SEC_FETCH_SITE, "cross-site") && !followed_link {
        return Err(refusal(StatusCode::FORBIDDEN, "pages of other sites may not embed this resource"));
    }
    Ok(())
}

/// Whether a text can be the host and port of a URL.
pub(crate) fn is_authority(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b)) && host_of(text).is_some()
}

/// Whether the headers of a proxy at an address are used: a proxy on this machine was set up by its
/// user.
pub(crate) fn is_trusted_proxy(peer: IpAddr) -> bool {
    peer.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ask(access: &Access, uri: &str, headers: &[(&'static str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        match access.check(&Method::GET, &uri.parse().unwrap(), &map, &Forwarded::of(&map)) {
            Ok(_) => 200,
            Err(refusal) => refusal.0.as_u16(),
        }
    }

    fn access(config: &HttpConfig) -> Access {
        Access::new(config, BTreeSet::from(["box".to_owned(), "box.local".to_owned()]))
    }

    #[test]
    fn only_our_own_names_and_addresses_are_served() {
        let a = access(&HttpConfig { allow_hosts: vec!["TV.lan.".into()], ..HttpConfig::default() });
        for (host, expected) in [
            ("127.0.0.1", 200),
            ("127.0.0.1:8080", 200),
            ("127.0.0.1.:8080", 200),
            ("localhost:1", 200),
            ("LOCALHOST", 200),
            ("localhost.:5", 200),
            ("Films.localhost:5", 200),
            ("a.b.localhost.", 200),
            ("BOX:5", 200),
            ("box.local.:5", 200),
            ("[::1]:5", 200),
            ("[fe80::1%25eth0]:5", 200),
            ("[fe80::1%eth0]", 200),
            ("tv.lan:5", 200),
            // An address cannot be rebound; behind a proxy or a tunnel it need not be one of ours.
            ("192.168.1.2:5", 200),
            ("evil.example", 403),
            ("other.local", 403),
            ("sub.box.local", 403),
            ("localhost.evil.example", 403),
            ("box.local.evil.example", 403),
            ("127.0.0.1.evil.example", 403),
            ("evillocalhost", 403),
            ("localhost@evil.example", 403),
            ("evil.example@localhost", 403),
            ("localhost:evil", 403),
            ("localhost:65536", 403),
            ("localhost:", 200),
            ("localhost:80:80", 403),
            ("localhost..", 403),
            ("[::1", 403),
            ("::1", 403),
            ("", 403),
            (":80", 403),
            ("a b", 403),
        ] {
            assert_eq!(ask(&a, "/", &[("host", host)]), expected, "{host:?}");
        }
        assert_eq!(ask(&a, "/", &[]), 200, "HTTP/1.0 knows no Host; every browser sends one");
        assert_eq!(ask(&a, "/", &[("host", "localhost"), ("host", "evil.example")]), 400);
        assert_eq!(ask(&a, "http://evil.example/", &[("host", "localhost")]), 403);
        assert_eq!(ask(&a, "http://localhost/", &[("host", "evil.example")]), 403);
    }

    #[test]
    fn a_refused_name_or_origin_comes_with_the_way_to_allow_it() {
        let sentence = |config: &HttpConfig, headers: &[(&'static str, &str)]| {
            let mut map = HeaderMap::new();
            headers.iter().for_each(|(name, value)| _ = map.append(*name, value.parse().unwrap()));
            access(config).check(&Method::GET, &"/".parse().unwrap(), &map, &Forwarded::default()).unwrap_err().1
        };
        let library = HttpConfig::default();
        let host = ("host", "Films.Example:8080");
        assert!(sentence(&library, &[host]).ends_with("or add films.example to the setting allow_hosts"));
        let origin = [("host", "localhost"), ("origin", "https://App.example")];
        assert!(sentence(&library, &origin).ends_with("add https://app.example to the setting allow_origins"));
        assert!(sentence(&library, &[("host", "localhost"), ("origin", "null")]).contains("without an origin"));
        let program = Remedies { host: "start it with --allow-host {}".into(), origin: String::new() };
        let program = HttpConfig { remedies: program, ..HttpConfig::default() };
        assert!(sentence(&program, &[host]).ends_with("or start it with --allow-host films.example"));
    }

    #[test]
    fn a_page_that_came_through_a_proxy_is_our_own_by_the_proxys_name() {
        let a = access(&HttpConfig { allow_hosts: vec!["films.example".into()], ..HttpConfig::default() });
        let through = |forwarded: &'static str, origin: &'static str| {
            ask(&a, "/", &[("host", "127.0.0.1:80"), ("x-forwarded-host", forwarded), ("origin", origin)])
        };
        assert_eq!(through("films.example", "https://films.example"), 200);
        assert_eq!(through("films.example:8443", "https://films.example:8443"), 200);
        assert_eq!(through("films.example", "https://films.example:443"), 200);
        assert_eq!(through("films.example", "https://evil.example"), 403);
        assert_eq!(through("evil.example", "https://evil.example"), 403, "a proxy's word allows no name");
        assert_eq!(ask(&a, "/", &[("host", "films.example"), ("origin", "https://films.example")]), 200);
    }

    #[test]
    fn pages_of_other_sites_are_refused_unless_allowed() {
        let a = access(&HttpConfig { allow_origins: vec!["https://App.example/".into()], ..HttpConfig::default() });
        let host = ("host", "127.0.0.1:80");
        for (origin, expected) in [
            ("http://127.0.0.1:80", 200),
            ("http://127.0.0.1:81", 403),
            ("http://localhost:80", 403),
            ("https://app.example", 200),
            ("https://evil.example", 403),
            ("null", 403),
            ("", 403),
        ] {
            assert_eq!(ask(&a, "/", &[host, ("origin", origin)]), expected, "{origin}");
        }
        assert_eq!(
            ask(
                &a,
                "/",
                &[host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "video")]
            ),
            403
        );
        assert_eq!(
            ask(
                &a,
                "/",
                &[host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")]
            ),
            403
        );
        assert_eq!(
            ask(
                &a,
                "/",
                &[
                    host,
                    ("sec-fetch-site", "cross-site"),
                    ("sec-fetch-mode", "navigate"),
                    ("sec-fetch-dest", "document")
                ]
            ),
            200
        );
        assert_eq!(ask(&a, "/", &[host, ("sec-fetch-site", "same-origin")]), 200);
        assert_eq!(ask(&a, "/", &[host, ("sec-fetch-site", "cross-site"), ("origin", "https://app.example")]), 200);
    }

    #[test]
    fn with_a_token_only_requests_that_have_it_are_served() {
        let a = access(&HttpConfig { token: Some("s3cret+/".into()), ..HttpConfig::default() });
        assert_eq!(ask(&a, "/", &[]), 401);
        assert_eq!(ask(&a, "/?token=s3cret", &[]), 401);
        assert_eq!(ask(&a, "/?token=s3cret%2B%2F", &[]), 200);
        assert_eq!(ask(&a, "/?x=1&token=s3cret%2b/", &[]), 200);
        assert_eq!(ask(&a, "/", &[("authorization", "Bearer s3cret+/")]), 200);
        assert_eq!(ask(&a, "/", &[("authorization", "bearer s3cret+/")]), 200);
        assert_eq!(ask(&a, "/", &[("authorization", "Basic s3cret+/")]), 401);
        assert_eq!(ask(&a, "/", &[("authorization", "Bearer ")]), 401);
    }

    #[test]
    fn a_request_with_a_body_is_refused() {
        let a = access(&HttpConfig::default());
        assert_eq!(ask(&a, "/", &[("content-length", "5")]), 413);
        assert_eq!(ask(&a, "/", &[("transfer-encoding", "chunked")]), 413);
        assert_eq!(ask(&a, "/", &[("content-length", "0")]), 200);
    }
}
