//! Odd forms in which real trackers give a right response.

use super::{COMPACT, WARNING};
use crate::bencode::{Ben, dict};

/// A form of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // as the names say
pub enum Form {
    Plain,
    Gzip,
    GzipWithoutHeader,
    XGzip,
    Deflate,
    DeflateWithoutZlib,
    DeflateWithoutHeader,
    ByteOrderMark,
    BlankLine,
    LineBehind,
    ScriptWarning,
    ManyHeaders,
    Numbers,
    Chunked,
    Http10,
    WithoutLength,
    LineFeeds,
    Icy,
    Dictionaries,
    Warned,
    CutOff,
}

impl Form {
    /// All forms except the plain one.
    pub const ODD: [Form; 20] = [
        Form::Gzip,
        Form::GzipWithoutHeader,
        Form::XGzip,
        Form::Deflate,
        Form::DeflateWithoutZlib,
        Form::DeflateWithoutHeader,
        Form::ByteOrderMark,
        Form::BlankLine,
        Form::LineBehind,
        Form::ScriptWarning,
        Form::ManyHeaders,
        Form::Numbers,
        Form::Chunked,
        Form::Http10,
        Form::WithoutLength,
        Form::LineFeeds,
        Form::Icy,
        Form::Dictionaries,
        Form::Warned,
        Form::CutOff,
    ];
}

/// Returns the bencoded response with these peers (compact).
pub(super) fn body(form: Form, peers: Vec<u8>) -> Vec<u8> {
    let interval = if form == Form::Numbers { Ben::from("1800") } else { Ben::Int(1800) };
    let listed = peers.chunks_exact(COMPACT).map(|p| {
        let ip = format!("{}.{}.{}.{}", p[0], p[1], p[2], p[3]);
        let port = i64::from(u16::from_be_bytes([p[4], p[5]]));
        dict([("ip", Ben::from(ip.as_str())), ("peer id", "-XX0000-abcdefghijkl".into()), ("port", Ben::Int(port))])
    });
    let named = if form == Form::Dictionaries { listed.collect::<Vec<_>>().into() } else { peers.into() };
    match form {
        Form::Warned => dict([("interval", interval), ("peers", named), ("warning message", WARNING.into())]).encode(),
        _ => dict([("interval", interval), ("peers", named)]).encode(),
    }
}

/// Returns the HTTP response for a body.
pub(super) fn respond(form: Form, status: &str, body: &[u8]) -> Vec<u8> {
    let (mut fields, mut body) = (String::new(), body.to_vec());
    match form {
        Form::Gzip | Form::XGzip | Form::GzipWithoutHeader => body = gzip(&body),
        Form::Deflate | Form::DeflateWithoutHeader => body = zlib(&body),
        Form::DeflateWithoutZlib => body = stored(&body),
        Form::ByteOrderMark => body.splice(..0, *b"\xef\xbb\xbf").for_each(drop),
        Form::BlankLine => body.splice(..0, *b"\r\n").for_each(drop),
        Form::LineBehind => body.extend(b"\r\n"),
        Form::ScriptWarning => {
            body.splice(..0, *b"<br />\n<b>Warning</b>: mysql in d2.php on line 3<br />\n").for_each(drop);
        }
        Form::CutOff => body.truncate(body.len() - 1),
        _ => {}
    }
    match form {
        Form::Gzip => fields += "Content-Encoding: gzip\r\n",
        Form::XGzip => fields += "Content-Encoding: x-gzip\r\n",
        Form::Deflate | Form::DeflateWithoutZlib => fields += "Content-Encoding: deflate\r\n",
        Form::ManyHeaders => (0..120).for_each(|n| fields += &format!("X-Header-{n}: value\r\n")),
        _ => {}
    }
    let length = format!("Content-Length: {}\r\n", body.len());
    let head = match form {
        Form::Http10 => format!("HTTP/1.0 {status}\r\n\r\n"),
        Form::WithoutLength => format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n"),
        Form::LineFeeds => format!("HTTP/1.1 {status}\nContent-Length: {}\n\n", body.len()),
        Form::Icy => format!("ICY {status}\r\n{length}\r\n"),
        Form::Chunked => format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len()),
        _ => format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n{fields}{length}Connection: close\r\n\r\n"),
    };
    if form == Form::Chunked {
        body.extend(b"\r\n0\r\n\r\n");
    }
    [head.into_bytes(), body].concat()
}

/// Encodes bytes as stored deflate blocks (RFC 1951).
fn stored(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("answers of tests are short");
    [&[1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), bytes].concat()
}

/// Encodes bytes in zlib's format (RFC 1950).
fn zlib(bytes: &[u8]) -> Vec<u8> {
    let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (a + b) % 65_521)
    });
    [&[0x78, 0x01][..], &stored(bytes), &(b << 16 | a).to_be_bytes()].concat()
}

/// Encodes bytes in gzip's format (RFC 1952).
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let crc = !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    });
    let length = bytes.len() as u32;
    [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255][..], &stored(bytes), &crc.to_le_bytes(), &length.to_le_bytes()].concat()
}
