//! What an archive may send and fetch: the stream goes first in both directions.

use crate::config::Config;
use crate::live::ASSUMED_BYTES_PER_S;
use std::time::Duration;

/// Share of a stated upload that the trees of a channel leave: they give nine tenths.
const SHARE: u64 = 10;
/// Upload to begin with where no limit is stated, bytes per second.
const FIRST: f64 = 100_000.0;
/// Least upload, bytes per second.
const LEAST: f64 = 20_000.0;
/// Most upload that is found, bytes per second: ten times what a gigabit carries.
const MOST: f64 = 1.25e9;
/// Growth with each look, before the line was full for the first time and after: a quarter and a
/// fiftieth a second.
const GROWTH: (f64, f64) = (1.06, 1.005);
/// How long packets of the stream may wait for the line. Their reserve is a margin of a second.
const WAITS: Duration = Duration::from_millis(50);

/// The upload that a line has left, as far as it is known. It grows until packets of the stream wait.
#[derive(Debug)]
pub(super) struct Share {
    bytes_per_s: f64,
    was_full: bool,
}

impl Share {
    /// Time between two looks.
    pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);

    pub(super) fn new() -> Share {
        Share { bytes_per_s: FIRST, was_full: false }
    }

    /// Returns the upload in bytes per second, after packets of the stream have waited this long.
    pub(super) fn look(&mut self, waited: Duration) -> u64 {
        let is_full = waited >= WAITS;
        self.was_full |= is_full;
        let factor = match (is_full, self.was_full) {
            (true, _) => 0.5,
            (false, true) => GROWTH.1,
            (false, false) => GROWTH.0,
        };
        self.bytes_per_s = (self.bytes_per_s * factor).clamp(LEAST, MOST);
        self.bytes_per_s as u64
    }
}

/// Returns the limits of an archive's torrents on download and upload, bytes per second; 0 for none.
/// `left` is what a line without a limit has left while the node feeds others, `rate` that of the
/// stream while it arrives.
pub(super) fn limits(config: &Config, left: Option<u64>, rate: Option<u64>) -> (u64, u64) {
    let up = match (config.upload_bytes_per_s, left) {
        (0, left) => left.unwrap_or(0),
        (limit, Some(_)) => (limit / SHARE).max(1),
        (limit, None) => limit,
    };
    let rate = rate.map(|rate| if rate == 0 { ASSUMED_BYTES_PER_S.into() } else { rate });
    let down = match (config.download_bytes_per_s, rate) {
        (0, rate) => rate.unwrap_or(0),
        (limit, rate) => rate.map_or(limit, |rate| rate.min(limit)),
    };
    (down, up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_uses_what_the_stream_leaves() {
        let mut config = Config::default();
        assert_eq!(limits(&config, None, None), (0, 0));
        assert_eq!(limits(&config, Some(70_000), Some(100_000)), (100_000, 70_000));
        (config.upload_bytes_per_s, config.download_bytes_per_s) = (200_000, 80_000);
        assert_eq!(limits(&config, None, None), (80_000, 200_000));
        assert_eq!(limits(&config, Some(70_000), Some(100_000)), (80_000, 20_000));
        assert_eq!(limits(&config, Some(70_000), Some(0)), (80_000, 20_000));
    }

    #[test]
    fn it_grows_until_the_stream_waits_and_then_slowly() {
        let mut share = Share::new();
        let mut after = |looks: usize, waited_ms: u64| {
            (0..looks).map(|_| share.look(Duration::from_millis(waited_ms))).last().unwrap_or_default()
        };
        let fast = after(40, 0);
        assert!((900_000..1_200_000).contains(&fast), "{fast} in ten seconds");
        let full = after(1, 60);
        assert_eq!(full, fast / 2);
        let slow = after(40, 10);
        assert!((full..full * 5 / 4).contains(&slow), "{slow} after {full}");
        assert_eq!(after(40, 60), LEAST as u64);
        assert_eq!(Share { bytes_per_s: MOST, was_full: false }.look(Duration::ZERO), MOST as u64);
    }
}
