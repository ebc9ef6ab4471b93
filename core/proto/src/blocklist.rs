//! Lists of IP addresses that the user does not want to reach, in the two formats in use: P2P text
//! (`name:1.2.3.0-1.2.3.255`, of PeerGuardian) and DAT (`001.002.003.000 - 001.002.003.255 , 000 ,
//! name`, of eMule's `ipfilter.dat`).
//!
//! Such lists are collections of others, so a line that cannot be read is counted and left out.

use crate::address_class::plain;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest list in bytes, unpacked. The longest in use have 30 MB.
pub const MAX_BLOCKLIST_BYTES: usize = 128 << 20;
/// Most ranges of a list: 4 times those of the longest in use. 8 bytes each for IPv4.
const MAX_RANGES: usize = 2_000_000;
/// Longest line in bytes.
const MAX_LINE_BYTES: usize = 1024;
/// Access level of a DAT line from which on its range is allowed, as in eMule.
const ALLOWED_FROM: u32 = 128;

/// A set of blocked addresses.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Blocklist {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    broken: usize,
}

/// The reason why a list cannot be used, as the end of a sentence about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBlocklist {
    /// No line could be read.
    #[error(
        "it has no range of addresses; give a list in P2P text format (name:1.2.3.0-1.2.3.255) or in eMule's DAT format"
    )]
    Empty,
    /// It has more than 2,000,000 ranges.
    #[error("it has more than {MAX_RANGES} ranges; give a shorter list")]
    TooLong,
}

impl Blocklist {
    /// Parses a list. Both formats may be mixed.
    ///
    /// # Errors
    ///
    /// Returns an error for a list without a readable line, and for one with too many.
    pub fn parse(text: &[u8]) -> Result<Blocklist, BadBlocklist> {
        let mut list = Blocklist::default();
        let mut is_any = false;
        for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") || line.starts_with(b"//") {
                continue;
            }
            match (line.len() <= MAX_LINE_BYTES).then(|| parse_line(&String::from_utf8_lossy(line))).flatten() {
                Some(Line::Blocked(first, last)) => {
                    is_any = true;
                    list.push(first, last);
                }
                Some(Line::Allowed) => is_any = true,
                None => list.broken += 1,
            }
            if list.v4.len() + list.v6.len() > MAX_RANGES {
                return Err(BadBlocklist::TooLong);
            }
        }
        if !is_any {
            return Err(BadBlocklist::Empty);
        }
        list.v4 = merged(list.v4, |n| n.checked_add(1));
        list.v6 = merged(list.v6, |n| n.checked_add(1));
        Ok(list)
    }

    fn push(&mut self, first: IpAddr, last: IpAddr) {
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => self.v4.push((first.into(), last.into())),
            (IpAddr::V6(first), IpAddr::V6(last)) => self.v6.push((first.into(), last.into())),
            _ => {}
        }
    }

    /// Returns whether an address is blocked. An IPv6 address that leads to an IPv4 address is
    /// blocked with the latter too.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let is_v6 = |ip: Ipv6Addr| holds(&self.v6, ip.into());
        match (ip, plain(ip)) {
            (IpAddr::V6(v6), IpAddr::V4(v4)) => is_v6(v6) || holds(&self.v4, v4.into()),
            (IpAddr::V6(v6), _) => is_v6(v6),
            (IpAddr::V4(v4), _) => holds(&self.v4, v4.into()),
        }
    }

    /// Returns the number of ranges, after those that touch were merged.
    pub fn ranges(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Returns the number of lines that could not be read.
    pub fn broken_lines(&self) -> usize {
        self.broken
    }
}

impl fmt::Debug for Blocklist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocklist").field("ranges", &self.ranges()).field("broken", &self.broken).finish()
    }
}

/// Writes the list in DAT format.
impl fmt::Display for Blocklist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v4 = self.v4.iter().map(|(a, b)| (IpAddr::V4(Ipv4Addr::from(*a)), IpAddr::V4(Ipv4Addr::from(*b))));
        let v6 = self.v6.iter().map(|(a, b)| (IpAddr::V6(Ipv6Addr::from(*a)), IpAddr::V6(Ipv6Addr::from(*b))));
        v4.chain(v6).try_for_each(|(first, last)| writeln!(f, "{first} - {last} , 000 , blocked"))
    }
}

/// A readable line.
enum Line {
    Blocked(IpAddr, IpAddr),
    Allowed,
}

fn parse_line(line: &str) -> Option<Line> {
    parse_dat(line).or_else(|| parse_p2p(line))
}

fn parse_dat(line: &str) -> Option<Line> {
    let mut fields = line.splitn(3, ',');
    let (first, last) = fields.next()?.split_once('-')?;
    let level: u32 = fields.next()?.trim().parse().ok()?;
    let (first, last) = ordered(address(first)?, address(last)?)?;
    Some(if level < ALLOWED_FROM { Line::Blocked(first, last) } else { Line::Allowed })
}

fn parse_p2p(line: &str) -> Option<Line> {
    let (named, last) = line.rsplit_once('-')?;
    let last = address(last)?;
    // The name may have colons, and so has an IPv6 address. Of the possible beginnings the last
    // address counts: it blocks least.
    let starts = named.match_indices(':').map(|(at, _)| at + 1).chain([0]);
    let firsts = starts.filter_map(|at| ordered(address(&named[at..])?, last)).map(|(first, _)| first);
    firsts.max().map(|first| Line::Blocked(first, last))
}

/// Returns both addresses if they are a range of one family.
fn ordered(first: IpAddr, last: IpAddr) -> Option<(IpAddr, IpAddr)> {
    (first.is_ipv4() == last.is_ipv4() && first <= last).then_some((first, last))
}

/// Parses an address. Those of DAT files have leading zeros, which are no octal numbers.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next().filter(|part| matches!(part.len(), 1..=3))?;
        *octet = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten()?;
    }
    parts.next().is_none().then_some(IpAddr::V4(octets.into()))
}

/// Returns the ranges in order, with those joined that overlap or touch.
fn merged<N: Ord + Copy>(mut ranges: Vec<(N, N)>, next: impl Fn(N) -> Option<N>) -> Vec<(N, N)> {
    ranges.sort_unstable();
    let mut all: Vec<(N, N)> = Vec::new();
    for (first, last) in ranges {
        match all.last_mut() {
            // Nothing follows the highest address, so it touches all.
            Some((_, end)) if next(*end).is_none_or(|next| first <= next) => *end = last.max(*end),
            _ => all.push((first, last)),
        }
    }
    all
}

fn holds<N: Ord + Copy>(ranges: &[(N, N)], address: N) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after.checked_sub(1).is_some_and(|at| address <= ranges[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Blocklist {
        Blocklist::parse(text.as_bytes()).unwrap()
    }

    fn blocks(list: &Blocklist, ip: &str) -> bool {
        list.contains(ip.parse().unwrap())
    }

    #[test]
    fn both_formats_block_from_the_first_to_the_last_address() {
        for text in [
            "some name:1.2.3.4-1.2.3.9",
            "x-y, 5, z:1.2.3.4-1.2.3.9",
            "a: name, with - all:of it:1.2.3.4-1.2.3.9\r\n",
            "1.2.3.4-1.2.3.9",
            "001.002.003.004 - 001.002.003.009 , 000 , a name",
            "1.2.3.4 - 1.2.3.9,127,x",
            "# a comment\n\n\tname:1.2.3.4-1.2.3.6\nname:1.2.3.7-1.2.3.9\nname:1.2.3.5-1.2.3.5",
        ] {
            let list = list(text);
            assert_eq!((list.ranges(), list.broken_lines()), (1, 0), "{text}");
            for (ip, blocked) in [("1.2.3.3", false), ("1.2.3.4", true), ("1.2.3.9", true), ("1.2.3.10", false)] {
                assert_eq!(blocks(&list, ip), blocked, "{ip} in {text}");
            }
            assert!(blocks(&list, "::ffff:1.2.3.4") && blocks(&list, "2002:102:304::1"), "by its IPv6 forms");
            assert!(!blocks(&list, "2001:db8::1"));
        }
    }

    #[test]
    fn leading_zeros_are_decimal_and_ends_of_the_space_can_be_blocked() {
        let list =
            list("010.000.000.010 - 010.000.000.010 , 0 , ten\nx:255.255.255.255-255.255.255.255\nx:0.0.0.0-0.0.0.0");
        assert!(blocks(&list, "10.0.0.10") && !blocks(&list, "10.0.0.8"));
        assert!(blocks(&list, "255.255.255.255") && blocks(&list, "0.0.0.0") && !blocks(&list, "0.0.0.1"));
    }

    #[test]
    fn ipv6_ranges_are_read_and_a_name_of_hexadecimal_digits_widens_none() {
        for text in ["ad:2001:db8::-2001:db8::ff", "x:2001:db8::-2001:db8::ff", "2001:db8:: - 2001:db8::ff , 5 , x"] {
            let list = list(text);
            assert!(blocks(&list, "2001:db8::") && blocks(&list, "2001:db8::ff"), "{text}");
            assert!(!blocks(&list, "2001:db8::100") && !blocks(&list, "2001:db7::1"), "{text}");
        }
    }

    #[test]
    fn allowed_ranges_of_a_dat_file_are_not_blocked() {
        let list = list("1.2.3.4 - 1.2.3.9 , 200 , good\n");
        assert_eq!((list.ranges(), list.broken_lines()), (0, 0));
    }

    #[test]
    fn broken_lines_are_counted_and_a_list_of_them_is_an_error() {
        let broken = "name\nname:1.2.3.4\nname:1.2.3-1.2.3.4\nname:1.2.3.9-1.2.3.4\n1.2.3.4 - 1.2.3.x , 0 , y\nx:1.2.3.4-2001:db8::";
        assert_eq!(list(&format!("{broken}\nx:1.1.1.1-1.1.1.2\n")).broken_lines(), 6);
        let long = format!("{}:1.1.1.1-1.1.1.2", "x".repeat(2000));
        for text in [broken, "", "<html>", "#", &long] {
            assert_eq!(Blocklist::parse(text.as_bytes()), Err(BadBlocklist::Empty), "{text}");
        }
        // Latin-1 in a name is no reason to lose the range.
        assert_eq!(Blocklist::parse(b"caf\xe9:1.1.1.1-1.1.1.2").unwrap().ranges(), 1);
    }

    #[test]
    fn ranges_that_overlap_or_touch_become_one() {
        let list =
            list("a:9.0.0.0-9.0.0.9\nb:1.0.0.0-1.0.0.9\nc:1.0.0.5-1.0.0.20\nd:1.0.0.21-1.0.0.30\ne:1.0.0.32-1.0.0.33");
        assert_eq!(list.ranges(), 3);
        assert!(blocks(&list, "1.0.0.30") && !blocks(&list, "1.0.0.31") && blocks(&list, "1.0.0.32"));
        assert_eq!(Blocklist::parse(list.to_string().as_bytes()), Ok(list));
    }
}
