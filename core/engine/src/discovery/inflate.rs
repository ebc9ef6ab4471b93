//! Decompresses gzip and deflate, which some servers send without a request for it.

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::io::Read;

/// Decompresses the body of an HTTP answer, or a file, to at most `max_bytes`. Uncompressed data is
/// returned unchanged. gzip is detected by its first bytes, whatever the header says; deflate only
/// by the header `Content-Encoding`.
///
/// # Errors
///
/// Returns the end of a sentence about the body.
pub(crate) fn unpacked(body: Bytes, encoding: Option<&str>, max_bytes: usize) -> Result<Bytes, String> {
    let encoding = encoding.unwrap_or_default().trim().to_ascii_lowercase();
    if body.starts_with(&[0x1f, 0x8b]) {
        return read(MultiGzDecoder::new(&body[..]), max_bytes);
    }
    // zlib's format is detected by its first two bytes, which do not occur at the start of text.
    let is_zlib = body.len() > 2 && body[0] == 0x78 && u16::from_be_bytes([body[0], body[1]]).is_multiple_of(31);
    if is_zlib && let Ok(plain) = read(ZlibDecoder::new(&body[..]), max_bytes) {
        return Ok(plain);
    }
    match encoding.as_str() {
        // RFC 9110 means zlib's format; some servers send the bare stream.
        "deflate" => read(ZlibDecoder::new(&body[..]), max_bytes)
            .or_else(|e| read(DeflateDecoder::new(&body[..]), max_bytes).map_err(|_| e))
            // Some servers declare compression and send plain data.
            .or_else(|e| if is_plain(&body) { Ok(body) } else { Err(e) }),
        "" | "identity" | "gzip" | "x-gzip" => Ok(body),
        _ if is_plain(&body) => Ok(body),
        other => Err(format!("it is compressed with '{other}', which is not supported")),
    }
}

/// Returns whether the body looks like bencoding or text.
fn is_plain(body: &[u8]) -> bool {
    body.first().is_none_or(|b| matches!(b, b'd' | b'<' | b'm' | b'M') || b.is_ascii_whitespace())
}

fn read(reader: impl Read, max_bytes: usize) -> Result<Bytes, String> {
    let mut out = Vec::new();
    reader.take(max_bytes as u64 + 1).read_to_end(&mut out).map_err(|e| format!("it cannot be decompressed: {e}"))?;
    if out.len() > max_bytes {
        return Err(format!("it is larger than {max_bytes} bytes when decompressed"));
    }
    Ok(out.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::read::{DeflateEncoder, GzEncoder, ZlibEncoder};

    const PLAIN: &[u8] = b"d8:intervali1800ee";

    fn packed(mut encoder: impl Read) -> Bytes {
        let mut out = Vec::new();
        encoder.read_to_end(&mut out).unwrap();
        out.into()
    }

    #[test]
    fn each_way_to_pack_a_body_is_unpacked() {
        let fast = Compression::fast();
        for (body, encoding) in [
            (Bytes::from_static(PLAIN), None),
            (Bytes::from_static(PLAIN), Some("gzip")),
            (Bytes::from_static(PLAIN), Some("deflate")),
            (Bytes::from_static(PLAIN), Some("br")),
            (packed(GzEncoder::new(PLAIN, fast)), Some("gzip")),
            (packed(GzEncoder::new(PLAIN, fast)), None),
            (packed(ZlibEncoder::new(PLAIN, fast)), Some("deflate")),
            (packed(ZlibEncoder::new(PLAIN, fast)), None),
            (packed(DeflateEncoder::new(PLAIN, fast)), Some("Deflate ")),
        ] {
            assert_eq!(unpacked(body, encoding, 100).unwrap(), PLAIN, "{encoding:?}");
        }
    }

    #[test]
    fn what_grows_beyond_the_limit_or_is_damaged_is_refused() {
        let bomb = packed(GzEncoder::new(&vec![0u8; 1 << 20][..], Compression::best()));
        assert!(unpacked(bomb.clone(), None, 1 << 19).unwrap_err().contains("larger"));
        assert!(unpacked(bomb.slice(..20), None, 1 << 20).unwrap_err().contains("decompressed"));
        assert!(unpacked(Bytes::from_static(&[1, 2, 3]), Some("br"), 100).unwrap_err().contains("br"));
    }
}
