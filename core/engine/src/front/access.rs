//! Who may ask: the `Host` header against DNS rebinding, `Origin` and fetch metadata against other sites' pages, and the
//! optional bearer token (RFC 6750). Pure: headers in, a refusal or a grant out.

use super::HttpConfig;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, ORIGIN, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use std::net::{IpAddr, SocketAddr};
use subtle::ConstantTimeEq;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The rules of one server.
pub(crate) struct Access {
    listen: IpAddr,
    token: Option<String>,
    /// Lower case, without a port.
    hosts: Vec<String>,
    /// Lower case: `scheme://host[:port]`.
    origins: Vec<String>,
}

/// Why a request is not answered: the status and a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) StatusCode, pub(crate) &'static str);

/// What a granted request brought along.
#[derive(Clone, Debug, Default)]
pub(crate) struct Granted {
    /// Where the client believes us to be: the checked `Host`, if it sent one.
    pub(crate) authority: Option<String>,
    /// The origin of another site that is allowed to read the answer.
    pub(crate) cors: Option<HeaderValue>,
}

impl Access {
    pub(crate) fn new(config: &HttpConfig, listen: SocketAddr) -> Access {
        let lower =
            |list: &[String]| list.iter().map(|s| s.trim_end_matches(['.', '/']).to_ascii_lowercase()).collect();
        Access {
            listen: listen.ip(),
            token: config.token.clone(),
            hosts: lower(&config.allow_hosts),
            origins: lower(&config.allow_origins),
        }
    }

    /// Grants or refuses a request by its head.
    pub(crate) fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Granted, Refusal> {
        let authority = self.check_host(uri, headers)?;
        let cors = self.check_origin(authority.as_deref(), headers)?;
        if cors.is_none() {
            check_fetch_metadata(headers)?;
        }
        // A preflight cannot carry a token; it tells nothing but what is allowed.
        if !(method == Method::OPTIONS && cors.is_some()) {
            self.check_token(uri, headers)?;
        }
        let body = headers.get(CONTENT_LENGTH).is_some_and(|v| v.as_bytes() != b"0")
            || headers.contains_key(TRANSFER_ENCODING);
        if body {
            return Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, "requests with a body are not taken"));
        }
        Ok(Granted { authority, cors })
    }

    /// A page of another site can make its own name point to us (DNS rebinding), but it cannot change the Host that the
    /// browser then sends: so only names that are ours are served.
    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
        let bad = Refusal(StatusCode::BAD_REQUEST, "exactly one Host header is needed");
        let mut hosts = headers.get_all(HOST).iter();
        let header = match (hosts.next(), hosts.next()) {
            (Some(host), None) => Some(host.to_str().map_err(|_| bad)?),
            (None, _) => None,
            _ => return Err(bad),
        };
        // An absolute URI (a client that takes us for a proxy) names a host as well; both are checked.
        let in_uri = uri.authority().map(|a| a.as_str());
        for authority in [in_uri, header].into_iter().flatten() {
            if !self.is_ours(authority) {
                return Err(Refusal(
                    StatusCode::FORBIDDEN,
                    "this Host is not served here (protection against DNS rebinding); allow it with allow_hosts or open the printed address",
                ));
            }
        }
        Ok(in_uri.or(header).map(str::to_owned))
    }

    fn is_ours(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<http::uri::Authority>() else { return false };
        // `user@host` has no place in a Host header.
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
        if host == "localhost" || self.hosts.contains(&host) {
            return true;
        }
        let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() else { return false };
        // An address cannot be rebound. On loopback only loopback's own make sense; on a network any may be this machine's.
        if self.listen.is_loopback() { ip == self.listen || ip.is_loopback() } else { true }
    }

    /// Other sites' scripts are refused, `null` (sandboxes, files) too, unless they were allowed by name.
    fn check_origin(&self, authority: Option<&str>, headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
        let Some(value) = headers.get(ORIGIN) else { return Ok(None) };
        let origin = value.to_str().unwrap_or("").to_ascii_lowercase();
        let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        if own.is_some() && own == authority.map(str::to_ascii_lowercase).as_deref() {
            return Ok(None);
        }
        if self.origins.contains(&origin) {
            return Ok(Some(value.clone()));
        }
        Err(Refusal(
            StatusCode::FORBIDDEN,
            "pages of other sites may not read this; allow an origin with allow_origins",
        ))
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
        Err(Refusal(StatusCode::UNAUTHORIZED, "a token is needed: send Authorization: Bearer or ?token="))
    }
}

/// What browsers say about where a request comes from: `<video src>` of another site sends no Origin, but this.
/// Following a link to us is allowed: the site that has the link sees nothing of the answer.
fn check_fetch_metadata(headers: &HeaderMap) -> Result<(), Refusal> {
    let is = |name, value: &str| headers.get(name).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(value.as_bytes()));
    let followed_link = is(SEC_FETCH_MODE, "navigate") && is(SEC_FETCH_DEST, "document");
    if is(SEC_FETCH_SITE, "cross-site") && !followed_link {
        return Err(Refusal(StatusCode::FORBIDDEN, "pages of other sites may not embed this"));
    }
    Ok(())
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
        match access.check(&Method::GET, &uri.parse().unwrap(), &map) {
            Ok(_) => 200,
            Err(refusal) => refusal.0.as_u16(),
        }
    }

    fn access(listen: &str, config: &HttpConfig) -> Access {
        Access::new(config, listen.parse().unwrap())
    }

    #[test]
    fn on_loopback_only_our_own_names_are_served() {
        let a = access("127.0.0.1:80", &HttpConfig { allow_hosts: vec!["TV.lan.".into()], ..HttpConfig::default() });
        for (host, expected) in [
            ("127.0.0.1", 200),
            ("127.0.0.1:8080", 200),
            ("localhost:1", 200),
            ("LOCALHOST", 200),
            ("localhost.:5", 200),
            ("[::1]:5", 200),
            ("tv.lan:5", 200),
            ("evil.example", 403),
            ("localhost.evil.example", 403),
            ("127.0.0.1.evil.example", 403),
            ("192.168.1.2:5", 403),
            ("localhost@evil.example", 403),
            ("evil.example@localhost", 403),
            ("", 403),
            ("a b", 403),
        ] {
            assert_eq!(ask(&a, "/", &[("host", host)]), expected, "{host:?}");
        }
        assert_eq!(ask(&a, "/", &[]), 200, "HTTP/1.0 knows no Host; every browser sends one");
        assert_eq!(ask(&a, "/", &[("host", "localhost"), ("host", "evil.example")]), 400);
        assert_eq!(ask(&a, "http://evil.example/", &[("host", "localhost")]), 403);
    }

    #[test]
    fn on_a_network_any_address_but_no_foreign_name_is_served() {
        let a = access("0.0.0.0:80", &HttpConfig::default());
        assert_eq!(ask(&a, "/", &[("host", "192.168.1.2:5")]), 200);
        assert_eq!(ask(&a, "/", &[("host", "[fe80::1]:5")]), 200);
        assert_eq!(ask(&a, "/", &[("host", "evil.example")]), 403);
    }

    #[test]
    fn pages_of_other_sites_are_refused_unless_allowed() {
        let a = access(
            "127.0.0.1:80",
            &HttpConfig { allow_origins: vec!["https://App.example/".into()], ..HttpConfig::default() },
        );
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
    fn with_a_token_only_those_who_have_it_are_served() {
        let a = access("127.0.0.1:80", &HttpConfig { token: Some("s3cret+/".into()), ..HttpConfig::default() });
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
        let a = access("127.0.0.1:80", &HttpConfig::default());
        assert_eq!(ask(&a, "/", &[("content-length", "5")]), 413);
        assert_eq!(ask(&a, "/", &[("transfer-encoding", "chunked")]), 413);
        assert_eq!(ask(&a, "/", &[("content-length", "0")]), 200);
    }
}
