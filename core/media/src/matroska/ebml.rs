//! EBML (RFC 8794) as far as Matroska's index needs it: element headers, and the numbers and text
//! within small elements.

/// The head of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) id: u32,
    /// Length of the content in bytes. `None` if it is unknown and ends by its own structure.
    pub(crate) size: Option<u64>,
    /// Length of id and size in bytes.
    pub(crate) len: u64,
}

/// Length in bytes of the longest header: an id of 4 bytes and a size of 8.
pub(crate) const MAX_HEADER: u64 = 12;

/// Parses the header at the start of `bytes`; `None` if there is no valid one.
pub(crate) fn header(bytes: &[u8]) -> Option<Header> {
    let id_len = bytes.first()?.leading_zeros() as usize + 1;
    if id_len > 4 {
        return None;
    }
    let id = bytes.get(..id_len)?.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
    let (size, size_len) = vint(&bytes[id_len..])?;
    // A size with all bits set is unknown.
    let size = (size != (1 << (7 * size_len)) - 1).then_some(size);
    Some(Header { id, size, len: (id_len + size_len) as u64 })
}

/// Decodes a number of variable length. Returns it with its length in bytes.
pub(crate) fn vint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let len = first.leading_zeros() as usize + 1;
    if len > 8 {
        return None;
    }
    let rest = bytes.get(1..len)?;
    let first = u64::from(first) & ((1 << (8 - len)) - 1);
    Some((rest.iter().fold(first, |value, byte| value << 8 | u64::from(*byte)), len))
}

/// Iterates over the elements within a content, in order, up to the first that does not fit.
pub(crate) fn children(content: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let header = header(rest)?;
        let start = usize::try_from(header.len).ok()?;
        let end = start.checked_add(usize::try_from(header.size?).ok()?)?;
        let content = rest.get(start..end)?;
        rest = &rest[end..];
        Some((header.id, content))
    })
}

/// Returns the content of the first child with an id.
pub(crate) fn child(content: &[u8], id: u32) -> Option<&[u8]> {
    children(content).find(|(found, _)| *found == id).map(|(_, content)| content)
}

/// Decodes an unsigned integer of up to 8 bytes.
pub(crate) fn uint(content: &[u8]) -> Option<u64> {
    (content.len() <= 8).then(|| content.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// Decodes a float of 4 or 8 bytes.
pub(crate) fn float(content: &[u8]) -> Option<f64> {
    let value = match content.len() {
        4 => f64::from(f32::from_be_bytes(content.try_into().ok()?)),
        8 => f64::from_be_bytes(content.try_into().ok()?),
        _ => return None,
    };
    value.is_finite().then_some(value)
}

/// Decodes text, which may be padded with zeros. Invalid UTF-8 is replaced. Longer text is cut at
/// [`MAX_TEXT`] bytes.
pub(crate) fn text(content: &[u8]) -> Option<String> {
    let end = content.iter().position(|byte| *byte == 0).unwrap_or(content.len()).min(MAX_TEXT);
    (end > 0).then(|| String::from_utf8_lossy(&content[..end]).into_owned())
}

/// Longest text in bytes.
const MAX_TEXT: usize = 512;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_with_ids_and_sizes_of_any_length() {
        assert_eq!(header(&[0xa3, 0x81]), Some(Header { id: 0xa3, size: Some(1), len: 2 }));
        assert_eq!(
            header(&[0x1f, 0x43, 0xb6, 0x75, 0x01, 0, 0, 0, 0, 0, 1, 0]),
            Some(Header { id: 0x1f43_b675, size: Some(256), len: 12 })
        );
        assert_eq!(header(&[0x1f, 0x43, 0xb6, 0x75, 0xff]).unwrap().size, None);
        assert_eq!(header(&[0x18, 0x53, 0x80, 0x67, 0x01, 255, 255, 255, 255, 255, 255, 255]).unwrap().size, None);
        let largest = header(&[0xec, 0x01, 255, 255, 255, 255, 255, 255, 254]).unwrap();
        assert_eq!(largest.size, Some((1 << 56) - 2));
    }

    #[test]
    fn bytes_that_are_no_header_give_none() {
        assert_eq!(header(&[]), None);
        assert_eq!(header(&[0x08, 0, 0, 0, 0, 0x81]), None);
        assert_eq!(header(&[0xa3]), None);
        assert_eq!(header(&[0xa3, 0x00, 1, 2, 3, 4, 5, 6, 7]), None);
        assert_eq!(header(&[0x1f, 0x43]), None);
    }

    #[test]
    fn children_end_at_the_first_that_does_not_fit() {
        let content = [0x80, 0x81, 7, 0x81, 0x80, 0x82, 0x85, 1];
        let found: Vec<_> = children(&content).collect();
        assert_eq!(found, [(0x80, &[7u8][..]), (0x81, &[][..])]);
        assert_eq!(child(&content, 0x81), Some(&[][..]));
    }

    #[test]
    fn numbers_and_text_are_read_as_the_standard_has_them() {
        assert_eq!(uint(&[1, 0]), Some(256));
        assert_eq!(uint(&[0; 9]), None);
        assert_eq!(float(&1.5f32.to_be_bytes()), Some(1.5));
        assert_eq!(float(&f64::NAN.to_be_bytes()), None);
        assert_eq!(text(b"eng\0\0"), Some("eng".into()));
        assert_eq!(text(b""), None);
    }
}
