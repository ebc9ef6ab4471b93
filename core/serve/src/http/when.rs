//! Times as text: of people, players and DLNA. Pure.

use std::time::Duration;

/// Longest time: a larger number is a mistake.
const LONGEST: Duration = Duration::from_secs(1000 * 3600);

/// Reads a time: seconds (`83.5`, `83.5s`), `MM:SS` or `HH:MM:SS` with or without a fraction
/// (`1:23:45.5`), or `1h23m45s`.
///
/// `None` where the text is none of these, or beyond 1000 hours.
pub fn parse_time(text: &str) -> Option<Duration> {
    let text = text.trim();
    let seconds = if text.contains(':') { clock(text)? } else { units(text)? };
    (seconds <= LONGEST.as_secs_f64()).then(|| Duration::from_secs_f64(seconds))
}

/// Reads `1:23:45.5`. Only the first part may be 60 or more, as in `90:00`.
fn clock(text: &str) -> Option<f64> {
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 3 {
        return None;
    }
    let mut seconds = 0.0;
    for (i, part) in parts.iter().enumerate() {
        let last = i + 1 == parts.len();
        let value = number(part).filter(|_| last || !part.contains('.'))?;
        if i > 0 && value >= 60.0 {
            return None;
        }
        seconds = seconds * 60.0 + value;
    }
    Some(seconds)
}

/// Reads `1h23m45.5s`, `90m`, `83.5s` or `83.5`.
fn units(text: &str) -> Option<f64> {
    let (mut rest, mut seconds) = (text, 0.0);
    for (unit, worth) in [('h', 3600.0), ('m', 60.0)] {
        if let Some((value, after)) = rest.split_once(unit) {
            seconds += number(value)? * worth;
            rest = after;
        }
    }
    match rest.strip_suffix('s').unwrap_or(rest) {
        "" if rest.is_empty() && !text.is_empty() => Some(seconds),
        value => Some(seconds + number(value)?),
    }
}

/// Whether a text is a plain number of any size.
pub(crate) fn is_number(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit()) && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// Reads digits with at most one point, without a sign or an exponent.
fn number(text: &str) -> Option<f64> {
    let plain = text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let digits = text.bytes().any(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain && digits)
}

/// Reads the range of time that a DLNA player asks for: `npt=83.5-`, `npt=0:01:23.5-0:02:00`
/// (normal play time, RFC 2326, section 3.6).
pub(crate) fn parse_npt(header: &str) -> Option<(Duration, Option<Duration>)> {
    let (unit, range) = header.trim().split_once('=')?;
    // Bytes and the duration may follow, which are known here.
    let range = range.split_ascii_whitespace().next()?;
    let (start, end) = range.split_once('-')?;
    let end = end.split('/').next().unwrap_or(end);
    let start = parse_time(start)?;
    let end = if end.is_empty() { None } else { Some(parse_time(end)?) };
    (unit.trim().eq_ignore_ascii_case("npt") && end.is_none_or(|end| end > start)).then_some((start, end))
}

/// Returns seconds with three decimals, for headers.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// Returns a time for people: `1:23:45`, `12:34`, without fractions of a second.
pub fn clock_time(seconds: f64) -> String {
    let all = if seconds.is_finite() { seconds.max(0.0) as u64 } else { 0 };
    let (h, m, s) = (all / 3600, all / 60 % 60, all % 60);
    if h > 0 { format!("{h}:{m:02}:{s:02}") } else { format!("{m}:{s:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_as_people_write_them() {
        for (text, expected) in [
            ("0", 0.0),
            ("83.5", 83.5),
            ("83.5s", 83.5),
            (" 7 ", 7.0),
            (".5", 0.5),
            ("1:23", 83.0),
            ("90:00", 5400.0),
            ("1:23:45", 5025.0),
            ("01:23:45.250", 5025.25),
            ("1h23m45s", 5025.0),
            ("1h", 3600.0),
            ("90m", 5400.0),
            ("2m5", 125.0),
        ] {
            assert_eq!(parse_time(text), Some(Duration::from_secs_f64(expected)), "{text}");
        }
        for text in [
            "",
            ":",
            "1:",
            ":5",
            "1:60",
            "1:2:3:4",
            "1.5:00",
            "-1",
            "+1",
            "1e3",
            "inf",
            "NaN",
            "1,5",
            "5x",
            "s",
            ".",
            "1m2h",
            "3600001",
            "99999999999999999999999",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn dlna_ranges() {
        let s = Duration::from_secs_f64;
        assert_eq!(parse_npt("npt=83.5-"), Some((s(83.5), None)));
        assert_eq!(parse_npt("npt=0:01:23.500-00:02:00.000"), Some((s(83.5), Some(s(120.0)))));
        assert_eq!(parse_npt("npt=10.0-20/*"), Some((s(10.0), Some(s(20.0)))));
        for bad in ["npt=-5", "npt=5", "npt=20-10", "npt=5-5", "bytes=0-5", "", "npt=a-b", "smpte=0-"] {
            assert_eq!(parse_npt(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_for_people() {
        assert_eq!(clock_time(0.0), "0:00");
        assert_eq!(clock_time(754.9), "12:34");
        assert_eq!(clock_time(5025.0), "1:23:45");
        assert_eq!(clock_time(f64::NAN), "0:00");
    }

    proptest! {
        #[test]
        fn any_text_is_a_bounded_time_or_none(text in "[0-9:.hms -]{0,16}|\\PC{0,16}") {
            if let Some(time) = parse_time(&text) {
                prop_assert!(time <= LONGEST);
            }
            let _ = parse_npt(&format!("npt={text}"));
        }

        #[test]
        fn a_displayed_time_is_parsed_again(seconds in 0u32..3_000_000) {
            let shown = clock_time(f64::from(seconds));
            prop_assert_eq!(parse_time(&shown), Some(Duration::from_secs(seconds.into())), "{}", shown);
        }
    }
}
