//! FOR THE MERGE: these belong to `crate::torrent` (discovery: `content_type`, `is_playable`, `natural_cmp`,
//! `Torrent::to_torrent_bytes`). When they are there, delete this file and change its two uses (`front/mod.rs`, `listing.rs`).

use crate::Torrent;
use std::cmp::Ordering;

/// The MIME type of a file by its name's ending.
pub(crate) fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or("").to_ascii_lowercase().as_str() {
        "mp4" | "m4v" => "video/mp4",
        "mkv" => "video/x-matroska",
        "webm" => "video/webm",
        "mov" => "video/quicktime",
        "avi" => "video/x-msvideo",
        "ts" | "m2ts" => "video/mp2t",
        "mpg" | "mpeg" => "video/mpeg",
        "ogv" | "ogg" => "video/ogg",
        "mp3" => "audio/mpeg",
        "m4a" => "audio/mp4",
        "flac" => "audio/flac",
        "opus" => "audio/ogg",
        "wav" => "audio/wav",
        "vtt" => "text/vtt",
        "srt" => "application/x-subrip",
        _ => "application/octet-stream",
    }
}

/// Whether players can play it.
pub(crate) fn is_playable(name: &str) -> bool {
    let kind = content_type(name);
    kind.starts_with("video/") || kind.starts_with("audio/")
}

/// The torrent file: bencode (BEP 3, BEP 12) by hand, three keys and the info dictionary just as it was hashed.
pub(crate) fn torrent_bytes(torrent: &Torrent) -> Vec<u8> {
    let mut out = Vec::with_capacity(torrent.info.len() + 512);
    let text = |out: &mut Vec<u8>, s: &str| {
        out.extend_from_slice(s.len().to_string().as_bytes());
        out.push(b':');
        out.extend_from_slice(s.as_bytes());
    };
    out.push(b'd');
    if let Some(first) = torrent.trackers.first() {
        text(&mut out, "announce");
        text(&mut out, first);
        text(&mut out, "announce-list");
        out.push(b'l');
        for tracker in &torrent.trackers {
            out.push(b'l');
            text(&mut out, tracker);
            out.push(b'e');
        }
        out.push(b'e');
    }
    text(&mut out, "info");
    out.extend_from_slice(&torrent.info);
    out.push(b'e');
    out
}

/// Compares as people do: runs of digits by their value, letters without regard to case.
pub(crate) fn natural_cmp(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a.chars().peekable(), b.chars().peekable());
    loop {
        match (x.peek().copied(), y.peek().copied()) {
            (None, None) => return a.cmp(b),
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(c), Some(d)) if c.is_ascii_digit() && d.is_ascii_digit() => {
                let (m, n) = (number(&mut x), number(&mut y));
                // Without leading zeros the longer number is the larger one, whatever its size.
                match m.len().cmp(&n.len()).then_with(|| m.cmp(&n)) {
                    Ordering::Equal => {}
                    other => return other,
                }
            }
            // A folder's files stay together: its separator sorts before anything else.
            (Some(c), Some(d)) => match rank(c).cmp(&rank(d)) {
                Ordering::Equal => {
                    x.next();
                    y.next();
                }
                other => return other,
            },
        }
    }
}

fn rank(c: char) -> (bool, char) {
    (c != '/', c.to_lowercase().next().unwrap_or(c))
}

fn number(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut digits = String::new();
    while let Some(c) = chars.next_if(char::is_ascii_digit) {
        if !(digits.is_empty() && c == '0') {
            digits.push(c);
        }
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn episodes_sort_by_their_numbers() {
        let mut names = ["s1/e10.mkv", "s1/e2.mkv", "S1/E1.mkv", "s10/e1.mkv", "s2/e1.mkv", "s1 extra.mkv"];
        names.sort_by(|a, b| natural_cmp(a, b));
        assert_eq!(names, ["S1/E1.mkv", "s1/e2.mkv", "s1/e10.mkv", "s1 extra.mkv", "s2/e1.mkv", "s10/e1.mkv"]);
    }
}
