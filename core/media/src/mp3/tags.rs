//! The tags around the audio of an MP3: ID3v2 before it, ID3v1 and APE after it. Their sizes are
//! needed; their text is read only as far as it is available.

use crate::comments::tidy;
use crate::timeline::Track;

/// Length of an ID3v2 header in bytes. Only the header is needed of a tag with megabytes of cover
/// art.
pub(crate) const ID3_HEADER_BYTES: u64 = 10;

/// Most frames of a tag that are read. The later ones are pictures and players' notes.
const MAX_FRAMES: usize = 64;

/// Decodes four bytes of seven bits each.
fn synchsafe(bytes: [u8; 4]) -> u64 {
    bytes.iter().fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f))
}

/// Returns the total size of the ID3v2 tag that begins with these ten bytes.
pub(crate) fn id3_bytes(header: &[u8]) -> Option<u64> {
    let &[b'I', b'D', b'3', version, _, flags, a, b, c, d] = header.first_chunk::<10>()? else { return None };
    if version == 0xff || (a | b | c | d) & 0x80 != 0 {
        return None;
    }
    let footer = if flags & 0x10 != 0 { ID3_HEADER_BYTES } else { 0 };
    Some(ID3_HEADER_BYTES + synchsafe([a, b, c, d]) + footer)
}

/// Reads title and language from the available bytes of an ID3v2.3 or 2.4 tag.
pub(crate) fn read_id3(tag: &[u8], track: &mut Track) {
    let (Some(&version), Some(&flags)) = (tag.get(3), tag.get(5)) else { return };
    // Extended headers and unsynchronised bytes are rare; decoding them for a title is not
    // worthwhile.
    if !matches!(version, 3 | 4) || flags & 0xc0 != 0 {
        return;
    }
    let mut rest = tag.get(ID3_HEADER_BYTES as usize..).unwrap_or_default();
    for _ in 0..MAX_FRAMES {
        let Some((header, after)) = rest.split_first_chunk::<10>() else { return };
        let &[a, b, c, d, e, f, g, h, _, _] = header;
        let size = if version == 4 { synchsafe([e, f, g, h]) } else { u64::from(u32::from_be_bytes([e, f, g, h])) };
        let Some((body, after)) = usize::try_from(size).ok().and_then(|size| after.split_at_checked(size)) else {
            return;
        };
        rest = after;
        match &[a, b, c, d] {
            b"TIT2" if track.title.is_none() => track.title = text(body),
            b"TLAN" if track.language.is_none() => track.language = text(body),
            [0, ..] => return,
            _ => {}
        }
    }
}

/// Returns the first string of a text frame, in any of ID3's four encodings.
fn text(body: &[u8]) -> Option<String> {
    let (encoding, bytes) = body.split_first()?;
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|p| unit([p[0], p[1]])).take_while(|u| *u != 0).collect();
        String::from_utf16_lossy(&units)
    };
    let until_zero = || bytes.split(|b| *b == 0).next().unwrap_or_default();
    let string = match (encoding, bytes) {
        (0, _) => until_zero().iter().map(|b| char::from(*b)).collect(),
        (1, [0xff, 0xfe, rest @ ..]) => utf16(rest, u16::from_le_bytes),
        (1, [0xfe, 0xff, rest @ ..]) => utf16(rest, u16::from_be_bytes),
        (2, _) => utf16(bytes, u16::from_be_bytes),
        (3, _) => String::from_utf8_lossy(until_zero()).into_owned(),
        _ => return None,
    };
    tidy(&string)
}

/// Returns the offset at which the audio ends, given the last bytes of the file.
pub(crate) fn sound_end(size: u64, tail: &[u8]) -> u64 {
    const ID3V1_BYTES: usize = 128;
    const APE_FOOTER_BYTES: usize = 32;
    let mut end = tail.len();
    let last = |end: usize, bytes: usize| tail.get(end.checked_sub(bytes)?..end);
    if last(end, ID3V1_BYTES).is_some_and(|tag| tag.starts_with(b"TAG")) {
        end -= ID3V1_BYTES;
    }
    let mut after = (tail.len() - end) as u64;
    if let Some(footer) = last(end, APE_FOOTER_BYTES)
        && footer.starts_with(b"APETAGEX")
        && let (Some(size), Some(flags)) = (footer[12..].first_chunk::<4>(), footer[20..].first_chunk::<4>())
    {
        // The size counts the footer and the items. Bit 31 of the flags indicates a header as well.
        let header = if u32::from_le_bytes(*flags) >> 31 == 1 { APE_FOOTER_BYTES as u64 } else { 0 };
        after += u64::from(u32::from_le_bytes(*size)) + header;
    }
    // A tag as large as the file is invalid.
    size.checked_sub(after).filter(|end| *end > 0).unwrap_or(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_seven_bits_a_byte_and_footers_are_counted() {
        assert_eq!(id3_bytes(&[b'I', b'D', b'3', 4, 0, 0, 0, 0, 2, 1]), Some(10 + 257));
        assert_eq!(id3_bytes(&[b'I', b'D', b'3', 4, 0, 0x10, 0, 0, 2, 1]), Some(20 + 257));
        assert_eq!(id3_bytes(&[b'I', b'D', b'3', 4, 0, 0, 0, 0, 2, 0x80]), None);
        assert_eq!(id3_bytes(b"ID3\x04"), None);
    }

    #[test]
    fn titles_are_read_in_each_encoding() {
        for (encoded, title) in [
            (&b"\0Caf\xe9\0more"[..], "Café"),
            (b"\x01\xff\xfeH\0i\0\0\0", "Hi"),
            (b"\x01\xfe\xff\0H\0i", "Hi"),
            (b"\x02\0H\0i", "Hi"),
            (b"\x03H\xc3\xa9", "Hé"),
        ] {
            let mut tag = b"ID3\x03\0\0\0\0\0\x7f".to_vec();
            tag.extend_from_slice(b"TLAN\0\0\0\x04\0\0\0eng");
            tag.extend_from_slice(b"TIT2\0\0\0");
            tag.extend_from_slice(&[encoded.len() as u8, 0, 0]);
            tag.extend_from_slice(encoded);
            let mut track = Track::default();
            read_id3(&tag, &mut track);
            assert_eq!((track.title.as_deref(), track.language.as_deref()), (Some(title), Some("eng")));
        }
    }

    #[test]
    fn tags_after_the_sound_are_taken_off_unless_they_claim_the_whole_file() {
        let mut tail = vec![0; 300];
        tail[100..108].copy_from_slice(b"APETAGEX");
        tail[112..116].copy_from_slice(&60u32.to_le_bytes());
        tail.truncate(132);
        tail.extend_from_slice(b"TAG");
        tail.resize(132 + 128, b' ');
        assert_eq!(sound_end(5000, &tail), 5000 - 128 - 60);
        tail[112..116].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(sound_end(5000, &tail), 5000);
        assert_eq!(sound_end(5000, &[]), 5000);
    }
}
