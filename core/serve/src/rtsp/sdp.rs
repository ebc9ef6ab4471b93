//! Descriptions of presentations (RFC 4566; RFC 2326, appendix C).

use super::payload::Format;
use super::range::npt;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

/// Returns the name of a stream in URLs.
pub(crate) fn control(stream: usize) -> String {
    format!("track{stream}")
}

/// Returns the description of a film. `name` has no line breaks.
pub(crate) fn describe(id: u64, name: &str, server: IpAddr, duration: Option<Duration>, formats: &[Format]) -> String {
    let (family, any) = if server.is_ipv4() { ("IP4", "0.0.0.0") } else { ("IP6", "::") };
    let name = if name.is_empty() { "-" } else { name };
    let mut text = format!(
        "v=0\r\no=- {id} 1 IN {family} {server}\r\ns={name}\r\nc=IN {family} {any}\r\nt=0 0\r\na=control:*\r\n"
    );
    // Players offer to seek if they know the duration.
    if let Some(duration) = duration {
        let _ = write!(text, "a=range:npt=0-{}\r\n", npt(duration));
    }
    for (n, format) in formats.iter().enumerate() {
        let Format { media, payload_type, encoding, .. } = format;
        let _ = write!(text, "m={media} 0 RTP/AVP {payload_type}\r\na=rtpmap:{payload_type} {encoding}\r\n");
        if let Some(parameters) = &format.parameters {
            let _ = write!(text, "a=fmtp:{payload_type} {parameters}\r\n");
        }
        if let Some(language) = &format.language {
            let _ = write!(text, "a=lang:{language}\r\n");
        }
        let _ = write!(text, "a=control:{}\r\n", control(n));
    }
    text
}
