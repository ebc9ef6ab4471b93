//! HLS (RFC 8216) from the back buffer: a playlist of the last segments, which are runs of the stream
//! from one place to begin to another. Nothing is stored for it.

use playswarm::live::Part;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::ops::Range;

/// Segments in a playlist. With three of them behind the newest, where players begin, some are left
/// for those that are slow.
const SEGMENTS: usize = 6;
/// Shortest segment in milliseconds. Requests would otherwise outnumber the pictures.
const SHORTEST_MS: u64 = 1000;

/// What a container is in HLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Ending of the segments.
    pub(super) ending: &'static str,
    /// Whether the init bytes are a file of their own, as with fragmented MP4. Those of MPEG-TS are
    /// in front of each segment.
    pub(super) map: bool,
}

/// Returns what the containers that HLS knows are in it.
pub(super) fn kind(ending: Option<&str>) -> Option<Kind> {
    match ending? {
        "ts" => Some(Kind { ending: "ts", map: false }),
        "mp4" => Some(Kind { ending: "m4s", map: true }),
        "mp3" => Some(Kind { ending: "mp3", map: false }),
        "aac" => Some(Kind { ending: "aac", map: false }),
        _ => None,
    }
}

#[derive(Clone, Debug)]
struct Segment {
    groups: Range<u64>,
    times_ms: Range<u64>,
    init: bytes::Bytes,
    /// Whether something is missing in front of it, or its init bytes are others.
    discontinuity: bool,
}

impl Segment {
    fn of(part: &Part) -> Segment {
        let (groups, times_ms) = (part.groups.clone(), part.times_ms.clone());
        Segment { groups, times_ms, init: part.init.clone(), discontinuity: false }
    }

    fn ms(&self) -> u64 {
        self.times_ms.end.saturating_sub(self.times_ms.start)
    }

    fn seconds(&self) -> f64 {
        self.ms() as f64 / 1000.0
    }
}

/// The segments of a channel. Those of two looks at the stream agree, and keep their numbers.
#[derive(Debug, Default)]
pub(super) struct Segments {
    known: VecDeque<Segment>,
    /// Segments and discontinuities that came before the known ones.
    gone: u64,
    gone_discontinuities: u64,
    /// The longest segment so far in seconds, rounded up. It must not fall (section 6.2.1).
    target_s: u64,
}

impl Segments {
    /// Takes what the node holds now.
    pub(super) fn update(&mut self, parts: &[Part]) {
        let mut open: Option<Segment> = None;
        let after = self.known.back().map_or(0, |last| last.groups.end);
        for part in parts.iter().filter(|part| part.groups.start >= after) {
            let (mut next, mut follows) = (Segment::of(part), part.follows);
            match open.take() {
                Some(segment) if follows && segment.init == next.init => {
                    next.groups.start = segment.groups.start;
                    next.times_ms.start = segment.times_ms.start;
                    next.discontinuity = segment.discontinuity;
                }
                // The part before was too short, and has no successor.
                open => {
                    let last = open.as_ref().or(self.known.back());
                    follows &= last.is_none_or(|last| last.groups.end == next.groups.start);
                    next.discontinuity = last.is_some_and(|last| !follows || last.init != next.init);
                    if let Some(short) = open {
                        self.add(short);
                    }
                }
            }
            if next.ms() >= SHORTEST_MS { self.add(next) } else { open = Some(next) }
        }
    }

    fn add(&mut self, segment: Segment) {
        self.target_s = self.target_s.max(segment.seconds().ceil() as u64).max(1);
        self.known.push_back(segment);
        while self.known.len() > SEGMENTS {
            let first = self.known.pop_front();
            self.gone += 1;
            self.gone_discontinuities += u64::from(first.is_some_and(|first| first.discontinuity));
        }
    }

    /// Returns the playlist. `None` while there is no segment. `query` is appended to each link.
    pub(super) fn playlist(&self, kind: Kind, query: &str, ended: bool) -> Option<String> {
        self.known.front()?;
        let version = if kind.map { 7 } else { 3 };
        let mut list = format!(
            "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{}\n",
            self.target_s, self.gone
        );
        if self.gone_discontinuities > 0 {
            let _ = writeln!(list, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", self.gone_discontinuities);
        }
        let mut init = None;
        for (number, segment) in (self.gone..).zip(&self.known) {
            if segment.discontinuity {
                list.push_str("#EXT-X-DISCONTINUITY\n");
            }
            if kind.map && init != Some(&segment.init) {
                let _ = writeln!(list, "#EXT-X-MAP:URI=\"live/init-{number}.mp4{query}\"");
                init = Some(&segment.init);
            }
            let _ = writeln!(list, "#EXTINF:{:.3},\nlive/{number}.{}{query}", segment.seconds(), kind.ending);
        }
        if ended {
            list.push_str("#EXT-X-ENDLIST\n");
        }
        Some(list)
    }

    /// Returns the groups of a segment and its init bytes.
    pub(super) fn segment(&self, number: u64) -> Option<(Range<u64>, bytes::Bytes)> {
        let at = usize::try_from(number.checked_sub(self.gone)?).ok()?;
        self.known.get(at).map(|segment| (segment.groups.clone(), segment.init.clone()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TS: Kind = Kind { ending: "ts", map: false };

    /// Parts with these beginnings in milliseconds; a negative one follows a loss.
    fn parts(from: u64, beginnings: &[i64]) -> Vec<Part> {
        let each = beginnings.windows(2).zip(from..);
        let part = |(pair, number): (&[i64], u64)| {
            let mut part = Part::default();
            (part.groups, part.follows) = (number * 10..(number + 1) * 10, pair[0] >= 0);
            part.times_ms = pair[0].unsigned_abs()..pair[1].unsigned_abs();
            part.init = bytes::Bytes::from_static(b"i");
            part
        };
        each.map(part).collect()
    }

    #[test]
    fn short_parts_are_joined_and_long_ones_stay() {
        let mut segments = Segments::default();
        segments.update(&parts(0, &[0, 500, 1000, 3000, 3400]));
        let list = segments.playlist(TS, "?token=t", false).unwrap();
        let expected = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n\
                        #EXTINF:1.000,\nlive/0.ts?token=t\n#EXTINF:2.000,\nlive/1.ts?token=t\n";
        assert_eq!(list, expected, "the last part is too short and may still grow");
        assert_eq!(segments.segment(0).unwrap().0, 0..20);
        assert_eq!(segments.segment(1).unwrap().0, 20..30);
        assert!(segments.segment(2).is_none());
    }

    #[test]
    fn segments_keep_their_numbers_while_the_window_moves() {
        let mut segments = Segments::default();
        let all: Vec<i64> = (0..20).map(|n| n * 2000).collect();
        for upto in 2..all.len() {
            // The node holds fewer and fewer of the old ones.
            let from = upto.saturating_sub(9);
            segments.update(&parts(from as u64, &all[from..=upto]));
        }
        let list = segments.playlist(TS, "", false).unwrap();
        assert!(list.contains("#EXT-X-MEDIA-SEQUENCE:13\n") && list.ends_with("live/18.ts\n"), "{list}");
        assert!(!list.contains("DISCONTINUITY"), "{list}");
        assert_eq!(segments.segment(18).unwrap().0, 180..190);
        assert!(segments.segment(12).is_none());
    }

    #[test]
    fn losses_and_new_init_bytes_are_discontinuities() {
        let mut segments = Segments::default();
        let mut held = parts(0, &[0, 2000, -4000, 6000, 8000]);
        held[3].init = bytes::Bytes::from_static(b"other");
        segments.update(&held);
        let fmp4 = Kind { ending: "m4s", map: true };
        let list = segments.playlist(fmp4, "", true).unwrap();
        let lines: Vec<&str> = list.lines().filter(|line| !line.starts_with("#EXTINF")).skip(4).collect();
        let expected = [
            "#EXT-X-MAP:URI=\"live/init-0.mp4\"",
            "live/0.m4s",
            "live/1.m4s",
            "#EXT-X-DISCONTINUITY",
            "live/2.m4s",
            "#EXT-X-DISCONTINUITY",
            "#EXT-X-MAP:URI=\"live/init-3.mp4\"",
            "live/3.m4s",
            "#EXT-X-ENDLIST",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn nobody_asked_for_a_while() {
        let mut segments = Segments::default();
        segments.update(&parts(0, &[0, 2000, 4000]));
        segments.update(&parts(50, &[100_000, 102_000]));
        let list = segments.playlist(TS, "", false).unwrap();
        assert!(list.ends_with("#EXT-X-DISCONTINUITY\n#EXTINF:2.000,\nlive/2.ts\n"), "{list}");
    }
}
