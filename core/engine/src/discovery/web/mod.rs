//! HTTP requests to hosts that untrusted sources name: trackers, torrent files, and their
//! redirects.
//!
//! Names are resolved here, the addresses are checked ([`AddressClass::may_name`]), and the
//! connection goes only to an address that passed: no second lookup can redirect it. Each redirect
//! is checked against the host that sent it. No source on the Internet can therefore make us
//! contact a service of this machine or its networks. The exception is a local tracker in a torrent
//! that the user opened: it is contacted, only at `/announce`.
//!
//! Several addresses of a name are tried in parallel, so that a dead one costs only a moment. For a
//! request through the user's HTTP proxy, the proxy resolves the name.

mod rules;

use rules::of_other_service;
pub(crate) use rules::{permissions, permitted};

use super::{inflate, source};
use crate::network::{Network, certificate_trouble, is_here, is_near};
use crate::printable;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use hyper_util::client::proxy::matcher::Matcher;
use playswarm_proto::AddressClass;
use playswarm_proto::address_class::{is_local_name, is_web_port};
use playswarm_proto::gnutella::Target;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_ENCODING, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use url::{Host, Url};

/// Most redirects followed.
pub(crate) const MAX_REDIRECTS: usize = 5;
/// Longest duration of a name lookup.
const LOOKUP: Duration = Duration::from_secs(10);
/// Silence of one address after which the next is tried too.
const STAGGER: Duration = Duration::from_secs(1);
/// Longest attempt to connect to one address.
const CONNECT: Duration = Duration::from_secs(10);
/// Most addresses tried for one name.
const MAX_ADDRESSES: usize = 8;
/// Most header fields of an answer. Some trackers behind proxies send more than hyper's 100.
const MAX_HEADERS: usize = 1000;
/// Required prefix of a local tracker's path.
const ANNOUNCE: &str = "/announce";

/// Whether this machine was found to have no CA certificates.
static NO_CERTIFICATES: AtomicBool = AtomicBool::new(false);

tokio::task_local! {
    /// The only address to which this request may connect, and its host.
    static PINNED: (String, SocketAddr);
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// The permissions and limits of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Class of the address that named the URL; [`AddressClass::Loopback`] for the user.
    pub(crate) named_by: AddressClass,
    /// Whether hosts of local networks are contacted only at [`ANNOUNCE`].
    pub(crate) announce_only: bool,
    /// The only address family to use, if set.
    pub(crate) family: Option<Family>,
    /// Longest duration of the whole request.
    pub(crate) timeout: Duration,
    /// Longest body.
    pub(crate) max_bytes: usize,
}

/// An answer to a request.
#[derive(Debug)]
pub(crate) enum Got {
    /// A decompressed body, with any status.
    Body {
        status: StatusCode,
        /// Requested pause before the next request (RFC 9110; only its form in seconds).
        retry_after: Option<Duration>,
        body: Bytes,
        /// Class of the address that sent it.
        from: AddressClass,
    },
    /// A redirect to a URL of another scheme than HTTP.
    Elsewhere {
        url: String,
        /// Class of the address that named it.
        from: AddressClass,
    },
}

/// A header of a request.
pub(crate) type Header = (HeaderName, HeaderValue);

/// An answer whose body is still to be read.
pub(crate) enum Opened {
    /// A response that is no redirect, with any status.
    Response {
        /// The URL that gave it, after all redirects.
        url: Url,
        response: Response,
        /// Class of the address that sent it.
        from: AddressClass,
    },
    /// As [`Got::Elsewhere`].
    Elsewhere { url: String, from: AddressClass },
}

/// The reason why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotGot {
    /// The host has no address of the family.
    NoSuchFamily,
    /// An error sentence without secrets.
    Failed(String),
}

impl From<String> for NotGot {
    fn from(why: String) -> NotGot {
        NotGot::Failed(why)
    }
}

/// The HTTP clients of a session. Each is created on first use.
pub(crate) struct Web {
    network: Arc<Network>,
    /// Clients, indexed by use of `https` and by [`Way`].
    clients: [[OnceLock<Client>; 4]; 2],
    /// The proxies of the environment.
    proxies: Matcher,
}

impl Web {
    pub(crate) fn new(network: Arc<Network>) -> Web {
        if let Err(e) = Client::builder().build() {
            tracing::info!("no CA certificates, so no https: {e:?}");
            NO_CERTIFICATES.store(true, Ordering::Relaxed);
        }
        Web { network, clients: Default::default(), proxies: Matcher::from_system() }
    }

    /// Returns whether this machine has CA certificates.
    pub(crate) fn has_certificates(&self) -> bool {
        !NO_CERTIFICATES.load(Ordering::Relaxed)
    }

    /// Returns whether requests for this URL go through a proxy. We then cannot choose families and
    /// addresses.
    pub(crate) fn is_proxied(&self, url: &Url) -> bool {
        self.proxy(url).is_some()
    }

    /// Returns the proxy through which requests for this URL go, without credentials: the user's, or
    /// that of the environment.
    fn proxy(&self, url: &Url) -> Option<String> {
        self.network.proxy().or_else(|| self.proxy_of_environment(url))
    }

    fn proxy_of_environment(&self, url: &Url) -> Option<String> {
        let uri = self.environment(url)?;
        // Not the user and password in front.
        let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{}{port} of the environment", uri.host().unwrap_or_default()))
    }

    /// Returns the proxy of the environment for this URL.
    fn environment(&self, url: &Url) -> Option<http::Uri> {
        Some(self.proxies.intercept(&url.as_str().parse().ok()?)?.uri().clone())
    }

    /// Returns a reason that names the proxy if this URL goes through one: the
    /// server may be well, and the user may have forgotten the proxy.
    fn via(&self, url: &Url, why: String) -> String {
        match self.proxy(url) {
            Some(proxy) => format!("{why} (asked through the proxy {proxy})"),
            None => why,
        }
    }

    /// Fetches an `http` or `https` URL. An error page is an answer too.
    ///
    /// # Errors
    ///
    /// Returns the reason why no answer came, or why the request was not sent.
    pub(crate) async fn get(&self, url: Url, terms: Terms) -> Result<Got, NotGot> {
        let late = self.via(&url, "no answer in time".into());
        match tokio::time::timeout(terms.timeout, self.whole(url, terms)).await {
            Ok(done) => done,
            Err(_) => Err(NotGot::Failed(late)),
        }
    }

    async fn whole(&self, url: Url, terms: Terms) -> Result<Got, NotGot> {
        let (response, from) = match self.follow(url, terms, None).await? {
            Opened::Response { response, from, .. } => (response, from),
            Opened::Elsewhere { url, from } => return Ok(Got::Elsewhere { url, from }),
        };
        let (status, asked) = (response.status(), response.headers().get(RETRY_AFTER));
        let seconds = asked.and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse().ok());
        let retry_after = seconds.map(Duration::from_secs);
        Ok(Got::Body { status, retry_after, body: read(response, terms.max_bytes).await?, from })
    }

    /// Opens an `http` or `https` URL, whose body may have no end. `header` is a further
    /// header of the request, such as the range of bytes. [`Terms::timeout`] bounds the wait for the head of the answer.
    ///
    /// # Errors
    ///
    /// As those of [`Web::get`].
    pub(crate) async fn open(&self, url: Url, terms: Terms, header: Option<Header>) -> Result<Opened, NotGot> {
        let late = self.via(&url, "no answer in time".into());
        match tokio::time::timeout(terms.timeout, self.follow(url, terms, header)).await {
            Ok(done) => done,
            Err(_) => Err(NotGot::Failed(late)),
        }
    }

    async fn follow(&self, mut url: Url, mut terms: Terms, header: Option<Header>) -> Result<Opened, NotGot> {
        for _ in 0..=MAX_REDIRECTS {
            let (response, from) = self.one(&url, &terms, header.as_ref()).await?;
            let location = response.headers().get(LOCATION).filter(|_| is_redirect(response.status()));
            let Some(location) = location else {
                return Ok(Opened::Response { url, response, from });
            };
            // Not always ASCII, against the specification.
            let location = String::from_utf8_lossy(location.as_bytes()).trim().to_owned();
            // Checked before parsing as a URL: `magnet%3A%3Fxt=` would become a path.
            if source::is_magnet(&location) {
                return Ok(Opened::Elsewhere { url: location, from });
            }
            url = url.join(&location).map_err(|_| "it redirects to a malformed URL".to_owned())?;
            if !matches!(url.scheme(), "http" | "https") {
                // Unchanged, as a link's rules for escapes are not those of URLs.
                return Ok(Opened::Elsewhere { url: location, from });
            }
            // A local host that redirects to itself or a neighbour was reached with permission.
            terms = Terms { named_by: from, announce_only: false, ..terms };
        }
        Err(NotGot::Failed(format!("it was redirected more than {MAX_REDIRECTS} times")))
    }

    /// Sends one request. Returns the response and the class of the address that answered.
    async fn one(&self, url: &Url, terms: &Terms, header: Option<&Header>) -> Result<(Response, AddressClass), NotGot> {
        let secure = url.scheme() == "https";
        let request = |client: &Client| match header {
            // A request for bytes would take a place in the queue of a servent.
            Some((name, value)) if Target::of_url(url).is_some() => client.head(url.clone()).header(name, value),
            Some((name, value)) => client.get(url.clone()).header(name, value),
            None => client.get(url.clone()),
        };
        let way = self.way(url, terms).await?;
        if let (Some(_), Some(ip), Some(port)) = (Target::of_url(url), literal(url), url.port_or_known_default()) {
            let many = |wait: Duration| format!("the servent was asked often; try again in {} s", wait.as_secs());
            self.network.permit_servent(SocketAddr::new(ip, port)).map_err(many)?;
        }
        match way {
            None => {
                let is_near = self.environment(url).is_some_and(|uri| is_near(uri.host().unwrap_or_default()));
                let way = if is_near { Way::NearProxy } else { Way::Proxy };
                let sent = request(self.client(secure, way)?).send().await;
                let response = sent.map_err(|e| self.via(url, why(&e)))?;
                // The address behind a name is not known here.
                let class = literal(url).map_or(AddressClass::Global, AddressClass::of);
                Ok((response, class))
            }
            Some(addresses) => {
                let host = url.host_str().unwrap_or_default();
                let ask = |addr: SocketAddr| {
                    let way = if is_here(addr.ip()) { Way::Near } else { Way::Direct };
                    let asking = self
                        .client(secure, way)
                        .map(|client| PINNED.scope((host.to_owned(), addr), request(client).send()));
                    async move { asking?.await.map(|r| (r, AddressClass::of(addr.ip()))).map_err(|e| why(&e)) }
                };
                Ok(race(addresses, ask).await?)
            }
        }
    }

    /// Returns the addresses that may be contacted; `None` if the request goes to the proxy.
    async fn way(&self, url: &Url, terms: &Terms) -> Result<Option<Vec<SocketAddr>>, NotGot> {
        let port = url.port_or_known_default().ok_or("its URL has no port".to_owned())?;
        let is_users = terms.named_by == AddressClass::Loopback && !terms.announce_only;
        if !is_users && !is_web_port(port) {
            return Err(of_other_service(port).into());
        }
        let proxied = self.is_proxied(url);
        if proxied && literal(url).is_none() {
            // The proxy resolves the name: it may know names that we do not.
            return match url.host_str() {
                Some(name) if is_local_name(name) && terms.named_by != AddressClass::Loopback => {
                    Err("its name is one of a local network, which sources from outside must not name"
                        .to_owned()
                        .into())
                }
                _ => Ok(None),
            };
        }
        let addresses = permitted(&addresses(url, port, &self.network).await?, terms, url.path(), &self.network)?;
        Ok((!proxied).then_some(addresses))
    }

    fn client(&self, secure: bool, way: Way) -> Result<&Client, String> {
        let slot = &self.clients[usize::from(secure)][way as usize];
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let mut builder = Client::builder()
            .user_agent(concat!("playswarm/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            // A reused connection would lead to an address that was permitted for another request.
            .pool_max_idle_per_host(0)
            .http1_max_headers(MAX_HEADERS)
            .http1_ignore_invalid_headers_in_responses(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http09_responses();
        if matches!(way, Way::Direct | Way::Near) {
            builder = builder.no_proxy().dns_resolver(Pinned);
        }
        if !secure || NO_CERTIFICATES.load(Ordering::Relaxed) {
            // Without certificates no https server is trusted; everything else works.
            builder = builder.tls_certs_only([]);
        }
        let builder = self.network.client(builder, matches!(way, Way::Near | Way::NearProxy)).map_err(|e| why(&e))?;
        let client = builder.build().map_err(|e| why(&e))?;
        Ok(slot.get_or_init(|| client))
    }
}

/// The way that the requests of a client take.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From the chosen interface.
    Direct,
    /// To this machine.
    Near,
    /// Through a proxy.
    Proxy,
    /// Through a proxy of the environment on this machine.
    NearProxy,
}

/// A resolver that returns only the address chosen for the present request.
struct Pinned;

impl Resolve for Pinned {
    fn resolve(&self, name: Name) -> Resolving {
        let pinned = PINNED.try_with(|(host, addr)| host.eq_ignore_ascii_case(name.as_str()).then_some(*addr));
        let answer: Result<Addrs, Box<dyn std::error::Error + Send + Sync>> = match pinned.ok().flatten() {
            Some(addr) => Ok(Box::new(std::iter::once(addr))),
            None => Err("the host has no usable address".into()),
        };
        Box::pin(std::future::ready(answer))
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Returns the host of a URL if it is an address.
pub(crate) fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(ip.into()),
        // In a URL of another scheme, a literal address is parsed as a name.
        Host::Domain(name) => name.parse().ok(),
    }
}

/// Returns all addresses of a URL's host.
pub(crate) async fn addresses(url: &Url, port: u16, network: &Network) -> Result<Vec<SocketAddr>, String> {
    if let Some(ip) = literal(url) {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let name = url.host_str().ok_or("its URL has no host")?;
    match tokio::time::timeout(LOOKUP, network.lookup(name, port)).await {
        Ok(Ok(found)) => Ok(found.into_iter().take(64).collect()),
        Ok(Err(e)) => Err(format!("its host name could not be resolved: {e}")),
        Err(_) => Err("its host name could not be resolved in time".into()),
    }
}

/// Tries the addresses in parallel, each as soon as the previous one fails or is silent for a
/// while. The first answer counts.
pub(crate) async fn race<T, F: Future<Output = Result<T, String>>>(
    addresses: Vec<SocketAddr>,
    ask: impl Fn(SocketAddr) -> F,
) -> Result<T, String> {
    crate::race::race(addresses, STAGGER, ask).await.ok_or("its host name has no address")?
}

/// Returns the decompressed body of a response, no longer than `max_bytes`.
pub(crate) async fn read(response: Response, max_bytes: usize) -> Result<Bytes, String> {
    let too_large = || format!("the answer is larger than {max_bytes} bytes");
    if response.content_length().is_some_and(|length| length > max_bytes as u64) {
        return Err(too_large());
    }
    let encoding = response.headers().get(CONTENT_ENCODING).and_then(|e| e.to_str().ok()).map(str::to_owned);
    let mut stream = response.bytes_stream();
    let mut body = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|e| why(&e))?;
        if body.len() + chunk.len() > max_bytes {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    inflate::unpacked(body.freeze(), encoding.as_deref(), max_bytes)
}

/// Returns the body of a response as it was sent, or its first `max_bytes`.
pub(crate) async fn read_start(response: Response, max_bytes: usize) -> Result<Bytes, String> {
    let mut stream = response.bytes_stream();
    let mut body = BytesMut::new();
    while body.len() < max_bytes
        && let Some(chunk) = stream.next().await
    {
        body.extend_from_slice(&chunk.map_err(|e| why(&e))?);
    }
    body.truncate(max_bytes);
    Ok(body.freeze())
}

/// Returns a short description of an HTTP error. It omits the URL, which may hold a passkey.
pub(crate) fn why(e: &reqwest::Error) -> String {
    if e.is_timeout() {
        return "no answer in time".into();
    }
    // The innermost cause is the informative one ("Connection refused").
    let mut cause: &dyn std::error::Error = e;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if std::ptr::addr_eq(cause, e) {
        return "the request failed".into();
    }
    let cause = cause.to_string();
    let has_certificates = !NO_CERTIFICATES.load(Ordering::Relaxed);
    certificate_trouble(&cause, has_certificates).unwrap_or_else(|| printable::line(&cause).into_owned())
}

#[cfg(test)]
mod tests;
