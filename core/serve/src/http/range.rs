//! The `Range` header (RFC 9110, section 14) as a pure function: foreign bytes in, checked spans
//! out. [`super::deliver`] sends them.

/// Most ranges in one request. A header with more is ignored, as RFC 9110, section 14.2 allows: no
/// player requests as many, and each costs a seek.
pub(crate) const MAX_RANGES: usize = 16;

/// The bytes `[start, end)` of a file, never empty and never past its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first byte.
    pub(crate) start: u64,
    /// One past the last byte.
    pub(crate) end: u64,
}

impl Span {
    /// Returns the number of bytes, at least one.
    pub(crate) fn bytes(self) -> u64 {
        self.end - self.start
    }

    fn overlaps(self, other: Span) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// The request of a `Range` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// All of the file, because the header is malformed, in another unit or too long, and so is
    /// ignored.
    Whole,
    /// Only bytes that the file does not have (416).
    Unsatisfiable,
    /// These spans, in the order of the request. At least one, and none overlaps another.
    Spans(Vec<Span>),
}

/// One `range-spec` as it is written.
enum Spec {
    From { first: u64, last: u64 },
    Suffix(u64),
}

/// Reads the value of the header for a file of `size` bytes.
pub(crate) fn parse(header: &[u8], size: u64) -> Ranges {
    let Some(specs) = specs(header) else { return Ranges::Whole };
    // An empty file has no byte that a Content-Range could name. Its last bytes are all of it.
    if size == 0 {
        let suffix = specs.iter().any(|s| matches!(s, Spec::Suffix(n) if *n > 0));
        return if suffix { Ranges::Whole } else { Ranges::Unsatisfiable };
    }
    let mut spans: Vec<Span> = Vec::with_capacity(specs.len());
    for spec in specs {
        let mut span = match spec {
            Spec::From { first, last } if first < size => Span { start: first, end: last.min(size - 1) + 1 },
            Spec::Suffix(n) if n > 0 => Span { start: size.saturating_sub(n), end: size },
            _ => continue,
        };
        // Overlapping ranges become one (RFC 9110, section 15.3.7.2), in the place of the first
        // one.
        let mut place = spans.len();
        while let Some(i) = spans.iter().position(|s| s.overlaps(span)) {
            let other = spans.remove(i);
            span = Span { start: span.start.min(other.start), end: span.end.max(other.end) };
            place = place.min(i).min(spans.len());
        }
        spans.insert(place, span);
    }
    if spans.is_empty() { Ranges::Unsatisfiable } else { Ranges::Spans(spans) }
}

/// Returns the parts of the header. `None` where it must be ignored.
fn specs(header: &[u8]) -> Option<Vec<Spec>> {
    let text = std::str::from_utf8(header).ok()?;
    let (unit, set) = text.split_once('=')?;
    if !unit.trim_matches([' ', '\t']).eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut specs = Vec::new();
    for item in set.split(',') {
        let item = item.trim_matches([' ', '\t']);
        // Empty list elements must be tolerated (RFC 9110, section 5.6.1.2).
        if item.is_empty() {
            continue;
        }
        if specs.len() == MAX_RANGES {
            return None;
        }
        let (first, last) = item.split_once('-')?;
        specs.push(match (first, last) {
            ("", n) => Spec::Suffix(digits(n)?),
            (first, "") => Spec::From { first: digits(first)?, last: u64::MAX },
            (first, last) => {
                let (first, last) = (digits(first)?, digits(last)?);
                if last < first {
                    return None;
                }
                Spec::From { first, last }
            }
        });
    }
    (!specs.is_empty()).then_some(specs)
}

/// Reads digits without a sign. A number beyond 64 bits is past any end, and no error.
fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

/// Checks what must hold for any header and size. For the property test and the fuzz target.
pub(crate) fn check_invariants(header: &[u8], size: u64) {
    if let Ranges::Spans(spans) = parse(header, size) {
        assert!(!spans.is_empty() && spans.len() <= MAX_RANGES);
        for (i, a) in spans.iter().enumerate() {
            assert!(a.start < a.end && a.end <= size);
            assert!(spans[i + 1..].iter().all(|b| !a.overlaps(*b)));
        }
        assert!(spans.iter().map(|s| s.bytes()).sum::<u64>() <= size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spans(list: &[(u64, u64)]) -> Ranges {
        Ranges::Spans(list.iter().map(|&(start, end)| Span { start, end }).collect())
    }

    #[test]
    fn ranges_as_players_and_attackers_write_them() {
        for (header, size, expected) in [
            ("bytes=0-1", 1000, spans(&[(0, 2)])),
            ("bytes=0-", 1000, spans(&[(0, 1000)])),
            ("bytes=999-", 1000, spans(&[(999, 1000)])),
            ("bytes=-500", 1000, spans(&[(500, 1000)])),
            ("bytes=-5000", 1000, spans(&[(0, 1000)])),
            ("bytes=900-5000", 1000, spans(&[(900, 1000)])),
            ("bytes=5-18446744073709551615", 1000, spans(&[(5, 1000)])),
            ("bytes=5-99999999999999999999999", 1000, spans(&[(5, 1000)])),
            ("BYTES=0-0", 1000, spans(&[(0, 1)])),
            ("bytes= 0-0 ,\t2-2", 1000, spans(&[(0, 1), (2, 3)])),
            ("bytes=,0-0,,", 1000, spans(&[(0, 1)])),
            ("bytes=10-19,0-4", 1000, spans(&[(10, 20), (0, 5)])),
            ("bytes=0-9,10-19", 1000, spans(&[(0, 10), (10, 20)])),
            ("bytes=0-9,5-19", 1000, spans(&[(0, 20)])),
            ("bytes=0-9,20-29,40-49,5-44", 1000, spans(&[(0, 50)])),
            ("bytes=40-49,0-9,45-60", 1000, spans(&[(40, 61), (0, 10)])),
            ("bytes=0-0,-1", 1000, spans(&[(0, 1), (999, 1000)])),
            ("bytes=0-0,1000-", 1000, spans(&[(0, 1)])),
            ("bytes=1000-", 1000, Ranges::Unsatisfiable),
            ("bytes=99999999999999999999999-", 1000, Ranges::Unsatisfiable),
            ("bytes=-0", 1000, Ranges::Unsatisfiable),
            ("bytes=0-0", 0, Ranges::Unsatisfiable),
            ("bytes=0-", 0, Ranges::Unsatisfiable),
            ("bytes=-1", 0, Ranges::Whole),
            ("bytes=9-3", 1000, Ranges::Whole),
            ("bytes=0-1,9-3", 1000, Ranges::Whole),
            ("bytes=", 1000, Ranges::Whole),
            ("bytes=-", 1000, Ranges::Whole),
            ("bytes=,", 1000, Ranges::Whole),
            ("bytes=+1-2", 1000, Ranges::Whole),
            ("bytes=1-2-3", 1000, Ranges::Whole),
            ("bytes=a-b", 1000, Ranges::Whole),
            ("bytes 0-1", 1000, Ranges::Whole),
            ("seconds=0-1", 1000, Ranges::Whole),
            ("", 1000, Ranges::Whole),
        ] {
            assert_eq!(parse(header.as_bytes(), size), expected, "{header:?} of {size}");
        }
    }

    #[test]
    fn sixteen_ranges_are_served_and_seventeen_ignored() {
        let many = |n: u64| (0..n).map(|i| format!("{}-{}", i * 10, i * 10)).collect::<Vec<_>>().join(",");
        assert!(matches!(parse(format!("bytes={}", many(16)).as_bytes(), 1000), Ranges::Spans(s) if s.len() == 16));
        assert_eq!(parse(format!("bytes={}", many(17)).as_bytes(), 1000), Ranges::Whole);
    }

    proptest! {
        #[test]
        fn any_bytes_give_sound_spans(header in proptest::collection::vec(any::<u8>(), 0..80), size: u64) {
            check_invariants(&header, size);
        }

        #[test]
        fn any_list_of_numbers_gives_just_the_bytes_that_it_names(
            list in proptest::collection::vec((0u64..80, proptest::option::of(0u64..80)), 1..10),
            size in 1u64..70,
        ) {
            let text: Vec<String> = list.iter().map(|(a, b)| match b {
                Some(n) => format!("{a}-{}", a + n),
                None if a % 2 == 0 => format!("{a}-"),
                None => format!("-{a}"),
            }).collect();
            let header = format!("bytes={}", text.join(","));
            check_invariants(header.as_bytes(), size);
            let named = |byte: u64| list.iter().any(|(a, b)| match b {
                Some(n) => byte >= *a && byte <= a + n,
                None if a % 2 == 0 => byte >= *a,
                None => byte + a >= size,
            });
            let found = parse(header.as_bytes(), size);
            for byte in 0..size {
                let sent = matches!(&found, Ranges::Spans(s) if s.iter().any(|s| s.start <= byte && byte < s.end));
                prop_assert_eq!(sent, named(byte), "byte {} of {:?}", byte, header);
            }
        }
    }
}
