//! URLs of this server: `rtsp://HOST/[~TOKEN/][ts/]FILE/NAME[/trackN]`.
//!
//! No query is used: GStreamer and FFmpeg put the names of streams before and after it. Names are
//! plain and in lower case, since VLC changes them so.

use std::borrow::Cow;
use subtle::ConstantTimeEq;

/// Longest name of a file in a URL.
const MAX_NAME: usize = 60;

/// What a URL names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// The URL without the name of a stream and without a slash at its end.
    pub(crate) base: &'a str,
    pub(crate) token: Option<&'a str>,
    /// Whether a transport stream is asked for.
    pub(crate) transport_stream: bool,
    pub(crate) file: usize,
    pub(crate) stream: Option<usize>,
}

impl<'a> Target<'a> {
    /// Parses a URL. `None` if it names no file.
    pub(crate) fn parse(url: &'a str) -> Option<Target<'a>> {
        let url = url.trim_end_matches('/');
        let is_rtsp = url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("rtsp://"));
        let (_, path) = url.get(7..).filter(|_| is_rtsp)?.split_once('/')?;
        let mut parts = path.split('/').peekable();
        let token = parts.next_if(|part| part.starts_with('~')).map(|part| &part[1..]);
        let transport_stream = parts.next_if(|part| part.eq_ignore_ascii_case("ts")).is_some();
        let number = parts.next()?;
        let file = number.bytes().all(|b| b.is_ascii_digit()).then(|| number.parse().ok()).flatten()?;
        let last = parts.last().unwrap_or_default();
        let stream = last.get(..5).filter(|name| name.eq_ignore_ascii_case("track"));
        let stream = stream.and_then(|_| last[5..].parse().ok());
        let base = if stream.is_some() { &url[..url.len() - last.len() - 1] } else { url };
        Some(Target { base, token, transport_stream, file, stream })
    }
}

/// Returns a URL as it may be logged.
pub(crate) fn without_token(url: &str) -> Cow<'_, str> {
    match url.split_once("/~") {
        None => url.into(),
        Some((host, rest)) => {
            let after = rest.split_once('/').map(|(_, after)| after).unwrap_or_default();
            format!("{host}/~…/{after}").into()
        }
    }
}

/// Returns the path of a file.
pub(crate) fn path(file: usize, name: &str, token: Option<&str>) -> String {
    let token = token.map(|token| format!("~{token}/")).unwrap_or_default();
    // The end has the file's type, so a long name loses its beginning.
    let plain: Vec<char> = name.chars().map(|c| c.to_ascii_lowercase()).map(plain).collect();
    let name: String = plain[plain.len().saturating_sub(MAX_NAME)..].iter().collect();
    format!("/{token}{file}/{name}")
}

fn plain(c: char) -> char {
    if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }
}

/// Whether two secrets are equal but for upper and lower case, in a time that does not depend on
/// where they differ.
pub(crate) fn same_secret(given: &str, secret: &str) -> bool {
    given.to_ascii_lowercase().as_bytes().ct_eq(secret.to_ascii_lowercase().as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_clients_name_files_and_streams() {
        let target =
            |base, token, transport_stream, file, stream| Some(Target { base, token, transport_stream, file, stream });
        let plain = target("rtsp://h:1/0/a.mkv", None, false, 0, None);
        assert_eq!(Target::parse("rtsp://h:1/0/a.mkv"), plain);
        assert_eq!(Target::parse("rtsp://h:1/0/a.mkv/"), plain);
        assert_eq!(Target::parse("RTSP://h/3/a.mkv"), target("RTSP://h/3/a.mkv", None, false, 3, None));
        let all = "rtsp://[::1]:8554/~s3/ts/12/a.mkv/track1";
        let base = "rtsp://[::1]:8554/~s3/ts/12/a.mkv";
        assert_eq!(Target::parse(all), target(base, Some("s3"), true, 12, Some(1)));
        assert_eq!(Target::parse("rtsp://h/0"), target("rtsp://h/0", None, false, 0, None));
        for url in
            ["*", "rtsp://h", "rtsp://h/stream=0", "rtsp://h/-1/a", "http://h/0/a", "rtsp://h/~t", "rtsp\u{e9}://"]
        {
            assert_eq!(Target::parse(url), None, "{url}");
        }
    }

    #[test]
    fn names_in_urls_are_plain_and_short() {
        assert_eq!(path(2, "Amélie & Co.MKV", Some("x")), "/~x/2/am_lie___co.mkv");
        assert_eq!(path(2, &"a".repeat(300), None).len(), 3 + MAX_NAME);
    }

    #[test]
    fn a_logged_url_has_no_token() {
        assert_eq!(without_token("rtsp://h:1/~s3cret/0/a/track1"), "rtsp://h:1/~…/0/a/track1");
        assert_eq!(without_token("rtsp://h:1/~s3cret"), "rtsp://h:1/~…/");
        assert_eq!(without_token("rtsp://h:1/0/a~b"), "rtsp://h:1/0/a~b");
    }

    #[test]
    fn secrets_are_compared_without_case() {
        assert!(same_secret("abC", "ABc") && !same_secret("ab", "abc") && !same_secret("abd", "abc"));
    }
}
