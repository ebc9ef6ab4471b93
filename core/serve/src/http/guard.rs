//! What happens to every request before its handler, and to every answer after it.
//! [`super::access`] decides.

use super::access::{Access, Granted, Refusal, is_trusted_proxy};
use super::answer;
use super::connection::Ends;
use super::links::{Forwarded, Links};
use super::paths::Depth;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::IntoResponse;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use std::net::SocketAddr;
use std::sync::Arc;

/// The headers of an answer that pages of allowed sites may read.
const EXPOSED: &str = "Accept-Ranges, Content-Length, Content-Range, ETag, Retry-After, Playswarm-Time, Playswarm-Keyframe, \
                       Playswarm-Estimated, Playswarm-Duration, TimeSeekRange.dlna.org";

/// What the check of a request needs of its server.
pub(crate) struct Gate {
    pub(crate) access: Access,
    /// The address that the server listens on.
    pub(crate) addr: SocketAddr,
}

/// Checks a request before its handler, and adds the headers that every answer has.
pub(crate) async fn guard(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response<Body> {
    // Without the query, which may hold the token.
    tracing::debug!(method = %request.method(), path = request.uri().path(), range = ?request.headers().get(header::RANGE), "http request");
    let ends = request.extensions().get::<Ends>().copied();
    let trusted = ends.is_some_and(|ends| is_trusted_proxy(ends.peer.ip()));
    let forwarded = if trusted { Forwarded::of(request.headers()) } else { Forwarded::default() };
    let checked = gate.access.check(request.method(), request.uri(), request.headers(), &forwarded);
    let mut response = match checked {
        Err(refusal) => refused(refusal),
        Ok(granted) => {
            let depth = request.extensions().get::<Depth>().copied().unwrap_or_default();
            // A client that sends no Host connected to the address at our end.
            let found = || ends.map_or(gate.addr, |ends| ends.local).to_string();
            let authority = granted.authority.clone().unwrap_or_else(found);
            let links = Links::new(depth, &authority, &forwarded);
            granted_answer(Granted { links, ..granted }, request, next).await
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin, Accept"));
    if !headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers
            .insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Refuses a request and closes its connection, so that it takes no place.
fn refused(Refusal(status, why): Refusal) -> Response<Body> {
    tracing::debug!(%status, %why, "http request refused");
    let mut response = answer(status, &why);
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

async fn granted_answer(granted: Granted, mut request: Request, next: Next) -> Response<Body> {
    if request.method() == Method::OPTIONS {
        return options(granted.cors, request.headers());
    }
    let cors = granted.cors.clone();
    request.extensions_mut().insert(granted);
    let mut response = next.run(request).await;
    if let Some(origin) = cors {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
    response
}

/// Answers OPTIONS. A page of an allowed site also gets the headers of CORS, and those of Private
/// Network Access (now called Local Network Access) where it comes from the public network and asks
/// for a private one.
fn options(cors: Option<HeaderValue>, asked: &HeaderMap) -> Response<Body> {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    let Some(origin) = cors else { return response };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Authorization, Range, If-Range, If-Match, If-None-Match, TimeSeekRange.dlna.org"),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    for (wanted, allowed) in [
        ("access-control-request-private-network", "access-control-allow-private-network"),
        ("access-control-request-local-network", "access-control-allow-local-network"),
    ] {
        if asked.get(wanted).is_some_and(|v| v.as_bytes() == b"true") {
            headers.insert(HeaderName::from_static(allowed), HeaderValue::from_static("true"));
        }
    }
    response
}
