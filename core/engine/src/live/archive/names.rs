//! The names of an archive's files. Every node must choose the same, since they are part of the
//! info dictionaries.

use playswarm_media::live_ending;
use playswarm_proto::metainfo::{portable, sanitize};

/// Most bytes of a channel's name in them. Date, number and ending follow.
const MAX_NAME_BYTES: usize = 150;
/// Name of a channel without one.
const UNNAMED: &str = "channel";
const DAY_MS: u64 = 86_400_000;

/// Returns the name of a cast's folder: that of the channel, and when the cast began.
pub(super) fn folder(channel: &str, started_ms: u64) -> String {
    // A name with a leading dot is hidden.
    let visible = channel.trim_start_matches(|c: char| c == '.' || c.is_whitespace());
    let name = if visible.is_empty() { UNNAMED } else { visible };
    format!("{} {}", sanitize(&portable(name), MAX_NAME_BYTES), time(started_ms))
}

/// Returns the name of a minute's file. People count from 1.
pub(super) fn file(folder: &str, number: u32, content_type: &str) -> String {
    format!("{folder} {:04}.{}", u64::from(number) + 1, live_ending(content_type).unwrap_or("bin"))
}

/// Returns a time in UTC as `2026-11-28 14.30.00`. Some disks take no colons.
fn time(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / DAY_MS, unix_ms % DAY_MS);
    let (year, month, day) = date(days);
    let s = ms / 1000;
    format!("{year:04}-{month:02}-{day:02} {:02}.{:02}.{:02}", s / 3600, s / 60 % 60, s % 60)
}

/// Returns year, month and day of a day since 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms"). Years begin in March, so that the day of a leap year is the last one.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + era * 400 + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_channel_the_time_and_the_minute() {
        let evening = 1_800_000_000_000;
        assert_eq!(folder("Film night", evening), "Film night 2027-01-15 08.00.00");
        let folder = folder("Film night", evening);
        assert_eq!(file(&folder, 0, "video/mp2t"), "Film night 2027-01-15 08.00.00 0001.ts");
        assert_eq!(file(&folder, 99_999, "audio/x"), "Film night 2027-01-15 08.00.00 100000.bin");
        assert_eq!(file(&folder, 1, "Video/WebM; codecs=vp8"), "Film night 2027-01-15 08.00.00 0002.webm");
        for (days, is) in [(0, (1970, 1, 1)), (11_016, (2000, 2, 29)), (20_000, (2024, 10, 4)), (47_540, (2100, 2, 28))]
        {
            assert_eq!(date(days), is);
        }
    }

    #[test]
    fn a_name_from_the_network_stays_one_plain_component() {
        for name in
            ["../../etc/passwd", "...", "", " .ssh", "a\u{0}b\n", "CON", "a:b?c", &"x".repeat(255), &"ä".repeat(127)]
        {
            let file = file(&folder(name, u64::MAX), u32::MAX, "video/x-matroska");
            assert!(!file.contains(['/', '\0', '\n', ':', '?']) && !file.starts_with('.'), "{file}");
            assert!(file.len() <= 200, "{file}");
            assert_eq!(sanitize(&portable(&file), 255), file, "no node would change it");
        }
    }
}
