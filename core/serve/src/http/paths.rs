//! Normalizes paths of clients to those that the router knows. Pure.
//!
//! In `/stream/N/name` the number decides. Players, proxies and people cut the name, change it, or
//! encode it in other ways than UTF-8, so it is removed, and so are surplus slashes.

use super::names::percent;
use http::Request;
use http::uri::{PathAndQuery, Uri};
use percent_encoding::percent_decode_str;

/// The depth of the path that the client asked for, where its relative links begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Depth(pub(crate) usize);

/// Normalizes the path of a request, and stores its [`Depth`] as an extension.
pub(crate) fn straighten<B>(request: &mut Request<B>) {
    let path = request.uri().path();
    let depth = Depth(path.matches('/').count().saturating_sub(1));
    let straight = straight(path);
    if straight != path {
        let query = request.uri().query().map(|q| format!("?{q}")).unwrap_or_default();
        // A text that is no URI is no path of ours either.
        if let Ok(path) = format!("{straight}{query}").parse::<PathAndQuery>() {
            let mut parts = request.uri().clone().into_parts();
            parts.path_and_query = Some(path);
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
    }
    request.extensions_mut().insert(depth);
}

/// Returns a path with one slash between segments, none at the end, and percent-encoded in one way.
/// Of a stream's path, only the number is left.
pub(crate) fn straight(path: &str) -> String {
    if !path.starts_with('/') {
        return path.to_owned();
    }
    let mut segments: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(decode).collect();
    if segments.first().is_some_and(|s| s == "stream") {
        segments.truncate(2);
        // `0.mkv` for `0/film.mkv`, for players that look at the ending.
        if let Some((number, _)) = segments.get(1).and_then(|s| s.split_once('.')).filter(|(n, _)| !n.is_empty()) {
            segments[1] = number.to_owned();
        }
    }
    let mut straight = String::with_capacity(path.len());
    for segment in &segments {
        straight.push('/');
        straight.push_str(&percent(segment));
    }
    if straight.is_empty() { "/".to_owned() } else { straight }
}

/// Percent-decodes a segment. Bytes that are no UTF-8 become U+FFFD, which no path of ours has.
fn decode(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_streams_number_decides_and_slashes_do_not_count() {
        for (path, expected) in [
            ("/stream/0/film.mkv", "/stream/0"),
            ("/stream/0/Am%E9lie.mkv", "/stream/0"),
            ("/stream/0/", "/stream/0"),
            ("/stream/0", "/stream/0"),
            ("//stream///0//AC/DC%2FLive.mkv", "/stream/0"),
            ("/stream/0/..%2f..%2fetc", "/stream/0"),
            ("/stream/12.mkv", "/stream/12"),
            ("/stream/12.", "/stream/12"),
            ("/stream/.5", "/stream/.5"),
            ("/stream/%30/100%", "/stream/0"),
            ("/stream/%E9/x", "/stream/%EF%BF%BD"),
            ("/str%65am/7/x", "/stream/7"),
            ("/stream", "/stream"),
            ("/status/", "/status"),
            ("//status//events", "/status/events"),
            ("/subtitles/1.vtt", "/subtitles/1.vtt"),
            ("/playlist.m3u8/", "/playlist.m3u8"),
            ("//", "/"),
            ("/", "/"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(straight(path), expected, "{path}");
        }
    }

    #[test]
    fn the_query_and_the_depth_stay() {
        let ask = |uri: &str| {
            let mut request = Request::builder().uri(uri).body(()).unwrap();
            straighten(&mut request);
            (request.uri().to_string(), request.extensions().get::<Depth>().unwrap().0)
        };
        assert_eq!(ask("/stream/0/a/b?t=1&token=x%2F"), ("/stream/0?t=1&token=x%2F".into(), 3));
        assert_eq!(ask("http://localhost:1//status/"), ("http://localhost:1/status".into(), 2));
        assert_eq!(ask("/"), ("/".into(), 0));
    }

    proptest! {
        #[test]
        fn any_path_becomes_one_that_stays_as_it_is(path in "/[ -~]{0,40}") {
            let once = straight(&path);
            prop_assert!(once.starts_with('/') && !once.contains("//"));
            // What is decoded may hold a percent sign of its own; it is encoded again, and so
            // stays.
            prop_assert_eq!(straight(&once), once.clone());
        }
    }
}
