//! Parsing and formatting of sizes and rates.

use playswarm::PeerAddress;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// Parses a size in bytes: `500M`, `2GiB`, `10GB`, `4096`. `K`, `M`, `G`, `T` and `KB`… are powers
/// of 1000, `KiB`… of 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number
        .parse()
        .map_err(|_| format!("'{text}' does not begin with a number; write a size such as 500M or 2GiB"))?;
    let unit = unit.trim().to_ascii_lowercase();
    let factor: u64 = match unit.as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1000_u64.pow(2),
        "g" | "gb" => 1000_u64.pow(3),
        "t" | "tb" => 1000_u64.pow(4),
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(format!("'{unit}' is not a unit; use K, M, G, T (1000) or KiB, MiB, GiB, TiB (1024)")),
    };
    let bytes = number * factor as f64;
    // Beyond 2^53 a float skips numbers, and no disk is that large.
    if bytes >= 9e15 { Err(format!("'{text}' is too large")) } else { Ok(bytes.round() as u64) }
}

/// Parses a rate in bytes per second: a size, with or without `/s`.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    let text = text.trim();
    parse_size(text.strip_suffix("/s").unwrap_or(text))
}

/// Parses a local address with a port.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.trim().parse().map_err(|_| {
        "write an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080; 0.0.0.0 stands for all addresses of this \
         machine, and port 0 for a free one"
            .to_owned()
    })
}

/// Parses the address of a DHT node.
pub(crate) fn parse_node(text: &str) -> Result<String, String> {
    text.parse::<PeerAddress>().map(|_| text.to_owned()).map_err(|e| e.to_string())
}

/// Parses a count.
pub(crate) fn parse_count(text: &str) -> Result<usize, String> {
    text.trim().parse().map_err(|_| format!("'{text}' is not a whole number, such as 80"))
}

/// Parses stripes of data and of parity: `8+1`.
pub(crate) fn parse_stripes(text: &str) -> Result<(u8, u8), String> {
    let parts = text.trim().split_once('+').and_then(|(data, parity)| Some((data.parse().ok()?, parity.parse().ok()?)));
    parts.ok_or_else(|| format!("'{text}' is no number of stripes of data and of parity, such as 8+1"))
}

/// Formats bytes for people: `12.3 MiB`.
pub(crate) struct Bytes(pub(crate) f64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = if self.0.is_finite() { self.0.max(0.0) } else { 0.0 };
        for unit in ["B", "KiB", "MiB", "GiB"] {
            // Prevents a value from being shown as 1024.0 of a smaller unit.
            if value < 1023.95 {
                let digits = usize::from(unit != "B");
                return write!(f, "{value:.digits$} {unit}");
            }
            value /= 1024.0;
        }
        write!(f, "{value:.1} TiB")
    }
}

/// Formats a bit rate for people from bytes per second: `3.2 Mbit/s`.
pub(crate) fn bit_rate(bytes_per_s: f64) -> String {
    let kilo = bytes_per_s * 8.0 / 1000.0;
    if kilo < 1000.0 { format!("{kilo:.0} kbit/s") } else { format!("{:.1} Mbit/s", kilo / 1000.0) }
}

/// Parses a time on the command line: `83.5`, `1:23:45`, `1h23m45s`.
pub(crate) fn parse_at(text: &str) -> Result<Duration, String> {
    playswarm_serve::parse_time(text).ok_or_else(|| format!("'{text}' is not a time; write 83.5, 1:23:45 or 1h23m45s"))
}

/// Parses a waiting time in seconds: 0 to a day.
pub(crate) fn parse_wait(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|s| (0.0..=86_400.0).contains(s));
    seconds.ok_or_else(|| format!("'{text}' is not a number of seconds from 0 to 86400"))
}

/// Formats bytes for people.
pub(crate) fn bytes(n: u64) -> Bytes {
    Bytes(n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, expected) in [
            ("0", 0),
            ("4096", 4096),
            ("500M", 500_000_000),
            ("10GB", 10_000_000_000),
            ("10 gb", 10_000_000_000),
            ("2GiB", 2 << 30),
            ("1.5MiB", 3 << 19),
            ("7b", 7),
            ("1T", 1_000_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(expected), "{text}");
        }
        for text in ["", "M", "-5M", "5X", "5MiBs", "1e9", "NaN", "99999999T", "1.2.3"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert_eq!(parse_rate("2M/s"), Ok(2_000_000));
        assert_eq!(parse_rate("300k"), Ok(300_000));
    }

    #[test]
    fn bit_rates_and_times() {
        assert_eq!(bit_rate(40_000.0), "320 kbit/s");
        assert_eq!(bit_rate(1_000_000.0), "8.0 Mbit/s");
        assert_eq!(parse_at("1:23:45"), Ok(Duration::from_secs(5025)));
        assert!(parse_at("later").is_err());
        assert_eq!(parse_wait("0"), Ok(0.0));
        for text in ["-1", "NaN", "inf", "x", "1e9"] {
            assert!(parse_wait(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_are_shown_with_a_unit_that_fits() {
        for (n, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (12_897_484, "12.3 MiB"),
            (3 << 40, "3.0 TiB"),
        ] {
            assert_eq!(bytes(n).to_string(), expected);
        }
        assert_eq!(Bytes(f64::NAN).to_string(), "0 B");
    }
}
