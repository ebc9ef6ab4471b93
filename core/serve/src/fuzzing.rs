//! Entry points for the fuzz targets: one function for each parser of foreign bytes. No part of the
//! public interface.

use crate::http::links::{Forwarded, Links};
use crate::http::paths::{self, Depth};
use crate::http::request_line;
use crate::{parse_host, parse_origin};
use http::{HeaderMap, HeaderName, HeaderValue};

/// A `Range` header of any bytes for a file of any size (the first eight bytes).
pub fn http_range(data: &[u8]) {
    if let Some((size, header)) = data.split_first_chunk::<8>() {
        crate::http::range::check_invariants(header, u64::from_le_bytes(*size));
    }
}

/// The parts of a request's head that our own parsers read: target, path, Host, Origin, headers of
/// proxies.
pub fn http_head(data: &[u8]) {
    let mut repaired = data.to_vec();
    request_line::Repair::default().bytes(&mut repaired);
    assert_eq!(repaired.len(), data.len());
    let text = String::from_utf8_lossy(&repaired);
    let straight = paths::straight(&text);
    assert_eq!(paths::straight(&straight), straight);
    for read in [parse_host(&text), parse_origin(&text)].into_iter().flatten() {
        assert!(!read.is_empty() && !read.contains(char::is_whitespace), "{read:?}");
    }
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    for name in ["forwarded", "x-forwarded-host", "x-forwarded-prefix", "x-forwarded-proto", "x-forwarded-port"] {
        let headers = HeaderMap::from_iter([(HeaderName::from_static(name), value.clone())]);
        let links = Links::new(Depth(1), "localhost", &Forwarded::of(&headers));
        let (relative, absolute) = (links.to("/status"), links.absolute("/status"));
        assert!(!relative.starts_with("//") && !relative.contains(['"', '<', '\\', ' ']), "{relative}");
        assert!(url::Url::parse(&absolute).is_ok_and(|url| url.path().ends_with("/status")), "{absolute}");
    }
}

/// A subtitle file of any encoding, without and with a language.
pub fn subtitle(data: &[u8]) {
    for language in [None, Some("ru"), Some("en")] {
        let _ = crate::http::vtt::to_webvtt(data, language);
    }
}

/// What a client of the RTSP server sends, as a whole and byte by byte.
pub fn rtsp(data: &[u8]) {
    crate::rtsp::check_invariants(data);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_fuzz_targets_hold_for_samples_with_changes(
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        ) {
            for (sample, target) in [
                (&b"/stream//0.mkv/Am%E9lie.mkv"[..], super::http_head as fn(&[u8])),
                (b"for=1.2.3.4;proto=https;host=\"films.example:8443\"", super::http_head),
                (b"GET /stream/0/My Film.mkv HTTP/1.1\r\nHost: a\r\n\r\n", super::http_head),
                (b"\0\0\x01\0\0\0\0\0bytes=0-9,-5,100-", super::http_range),
                (b"1\n00:00:01,000 --> 00:00:02,500\n<i>Hello</i>\n", super::subtitle),
                (b"$\x01\0\x04\x80\xc9\0\0SETUP rtsp://h/~t/ts/0/a/track1 RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP;client_port=5000-5001\r\nRange: npt=1:0:0.5-\r\n\r\n", super::rtsp),
            ] {
                let mut bytes = sample.to_vec();
                for (at, byte) in &changes {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
                target(&bytes);
            }
        }
    }
}
