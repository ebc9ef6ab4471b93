//! The `Range` header: normal play time (RFC 2326, sections 3.6 and 12.29).

use std::time::Duration;

/// Part of a film that a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// The start; `None` stands for the current position.
    pub(crate) start: Option<Duration>,
    pub(crate) end: Option<Duration>,
}

impl Range {
    /// Parses a header. `None` for other units of time.
    pub(crate) fn parse(value: &str) -> Option<Range> {
        let value = value.split(';').next()?.trim();
        let (unit, range) = value.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("npt") {
            return None;
        }
        let (start, end) = range.trim().split_once('-')?;
        let start = match start.trim() {
            // The start of a stored film is the current position of a new session.
            "now" => None,
            text => Some(time(text)?),
        };
        let end = match end.trim() {
            "" => None,
            text => Some(time(text)?),
        };
        Some(Range { start, end })
    }

    /// Whether it can be played in this direction.
    pub(crate) fn runs(&self, backward: bool) -> bool {
        let (Some(start), Some(end)) = (self.start, self.end) else { return true };
        if backward { end <= start } else { start <= end }
    }
}

/// Parses seconds or hours, minutes and seconds, with a fraction.
fn time(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let parts = whole.split(':').map(number).collect::<Option<Vec<u64>>>()?;
    let seconds = match parts[..] {
        [seconds] => seconds,
        [minutes, seconds] => minutes.checked_mul(60)?.checked_add(seconds)?,
        [hours, minutes, seconds] => {
            hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?.checked_add(seconds)?
        }
        _ => return None,
    };
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9).fold(0, |n, b| n * 10 + u32::from(b - b'0'));
    Some(Duration::new(seconds, nanos))
}

/// Formats a time in seconds, to the microsecond, in which FFmpeg reads it.
pub(crate) fn npt(time: Duration) -> String {
    let micros = (time.as_nanos() + 500) / 1000;
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_of_real_clients_are_understood() {
        let range = |start, end| Some(Range { start, end });
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(Range::parse("npt=0.000-"), range(ms(0), None));
        assert_eq!(Range::parse("npt=20.5-60"), range(ms(20_500), ms(60_000)));
        assert_eq!(Range::parse("npt = 1:02:03.25- ;time=19970123T143720Z"), range(ms(3_723_250), None));
        assert_eq!(Range::parse("npt=now-"), range(None, None));
        let [forward, backward, open] = ["npt=4-5", "npt=5-4", "npt=5-"].map(|text| Range::parse(text).unwrap());
        assert!(forward.runs(false) && !forward.runs(true) && !backward.runs(false) && backward.runs(true));
        assert!(open.runs(false) && open.runs(true));
    }

    #[test]
    fn other_units_are_not() {
        let wrong = ["clock=19961108T142300Z-", "smpte=0:10:20-", "npt=x-", "npt=5", "npt=-5", "npt=1:2:3:4-"];
        for text in wrong {
            assert_eq!(Range::parse(text), None, "{text}");
        }
        assert_eq!(Range::parse(&format!("npt={}:0:0-", u64::MAX)), None);
    }

    #[test]
    fn times_are_written_to_the_microsecond() {
        assert_eq!(npt(Duration::from_nanos(8_341_666_666)), "8.341667");
        assert_eq!(npt(Duration::ZERO), "0.000000");
    }
}
