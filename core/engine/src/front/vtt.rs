//! SubRip (SRT) into WebVTT, which browsers show beside a `<video>`. Pure: bytes of a stranger's file in, text out.

/// Turns a SubRip file into WebVTT; a WebVTT file comes out as it is, as UTF-8. `None` where not one cue is found.
///
/// Text is UTF-8, UTF-16 with its mark, or else taken for Windows-1252. Positions and styles that WebVTT has no words for are left out.
pub(crate) fn to_webvtt(bytes: &[u8]) -> Option<String> {
    let text = decode(bytes).replace("\r\n", "\n").replace('\r', "\n");
    if text.starts_with("WEBVTT") {
        return Some(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str("WEBVTT\n");
    let mut lines = text.lines().peekable();
    let mut cues = 0;
    while let Some(line) = lines.next() {
        // Numbers, and whatever else stands between cues, say nothing.
        let Some(times) = cue_times(line) else { continue };
        out.push('\n');
        out.push_str(&times);
        out.push('\n');
        while let Some(text) = lines.next_if(|line| !line.trim().is_empty() && cue_times(line).is_none()) {
            // A cue that begins right after another without an empty line has its number there.
            let number = text.trim().bytes().all(|b| b.is_ascii_digit());
            if number && lines.peek().is_some_and(|next| cue_times(next).is_some()) {
                break;
            }
            push_text(&mut out, text);
            out.push('\n');
        }
        cues += 1;
    }
    (cues > 0).then_some(out)
}

/// `00:01:02,500 --> 00:01:04,000 X1:…` as WebVTT writes it.
fn cue_times(line: &str) -> Option<String> {
    let (start, rest) = line.split_once("-->")?;
    let end = rest.split_whitespace().next()?;
    Some(format!("{} --> {}", stamp(start.trim())?, stamp(end)?))
}

/// `1:02:03,5` as `01:02:03.500`.
fn stamp(text: &str) -> Option<String> {
    let (clock, fraction) = text.split_once([',', '.']).unwrap_or((text, "0"));
    let number = |digits: &str| digits.parse::<u32>().ok().filter(|_| (1..=4).contains(&digits.len()));
    let mut parts = clock.split(':').map(number);
    let (h, m, s) = (parts.next()??, parts.next()??, parts.next()??);
    let digits = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
    (parts.next().is_none() && m < 60 && s < 60 && digits)
        .then(|| format!("{h:02}:{m:02}:{s:02}.{:0<3}", fraction.get(..3).unwrap_or(fraction)))
}

/// A line of a cue: tags that WebVTT has stay, others go, and nothing can begin a cue.
fn push_text(out: &mut String, line: &str) {
    let mut rest = line;
    while let Some(at) = rest.find(['<', '{', '&', '-']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let tag = rest.strip_prefix('<').and_then(|r| r.split_once('>')).map(|(tag, _)| tag);
        let is_tag = |tag: &&str| tag.starts_with(|c: char| c == '/' || c.is_ascii_alphabetic()) && !tag.contains('<');
        let skipped = if let Some(tag) = tag.filter(is_tag) {
            if matches!(tag.to_ascii_lowercase().as_str(), "b" | "i" | "u" | "/b" | "/i" | "/u") {
                out.push_str(&rest[..tag.len() + 2].to_ascii_lowercase());
            }
            tag.len() + 2
        } else if rest.starts_with("{\\") && rest.contains('}') {
            rest.find('}').map_or(1, |end| end + 1)
        } else if rest.starts_with("-->") {
            out.push_str("--&gt;");
            3
        } else {
            // Every one of the four is a byte.
            out.push_str(match &rest[..1] {
                "<" => "&lt;",
                "&" => "&amp;",
                other => other,
            });
            1
        };
        rest = &rest[skipped..];
    }
    out.push_str(rest);
}

fn decode(bytes: &[u8]) -> String {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|b| windows_1252(*b)).collect(),
        },
    }
}

/// The WHATWG's table of windows-1252: Latin-1 but for 0x80 to 0x9f.
fn windows_1252(byte: u8) -> char {
    const UPPER: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    if (0x80..0xa0).contains(&byte) { UPPER[usize::from(byte - 0x80)] } else { char::from(byte) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cues_get_webvtts_times_and_lose_what_it_cannot_say() {
        let srt = "\u{feff}1\r\n00:00:01,500 --> 00:00:04,000 X1:5 X2:6\r\n<i>Hello</i>, <font color=\"red\">you</font>\r\n{\\an8}a < b & c --> d\r\n\r\n\
                   2\r\n1:02:03,5 --> 1:02:04,25\r\n- yes\r\n3\r\n00:00:07,000 --> 00:00:08,000\r\n12\r\n";
        let expected = "WEBVTT\n\n00:00:01.500 --> 00:00:04.000\n<i>Hello</i>, you\na &lt; b &amp; c --&gt; d\n\
                        \n01:02:03.500 --> 01:02:04.250\n- yes\n\n00:00:07.000 --> 00:00:08.000\n12\n";
        assert_eq!(to_webvtt(srt.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn old_encodings_are_read() {
        let cue = |word: &str| format!("1\n00:00:01,000 --> 00:00:02,000\n{word}\n");
        let expected = |word: &str| format!("WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n{word}\n");
        let utf16: Vec<u8> =
            [0xfeff].into_iter().chain(cue("naïve").encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(to_webvtt(&utf16).unwrap(), expected("naïve"));
        let mut old = cue("").into_bytes();
        old.pop();
        old.extend_from_slice(b"na\xefve \x80\n");
        assert_eq!(to_webvtt(&old).unwrap(), expected("naïve €"));
    }

    #[test]
    fn what_has_no_cue_is_none_and_webvtt_stays() {
        assert_eq!(to_webvtt(b"no subtitle at all"), None);
        assert_eq!(to_webvtt(b""), None);
        assert_eq!(
            to_webvtt(b"WEBVTT\r\n\r\n00:01.000 --> 00:02.000\r\nx\r\n").unwrap(),
            "WEBVTT\n\n00:01.000 --> 00:02.000\nx\n"
        );
    }

    proptest! {
        #[test]
        fn no_text_of_a_cue_begins_another(words in proptest::collection::vec("[-><{}&\\\\a1: ,é]{0,12}", 1..6)) {
            let srt = format!("1\n00:00:01,000 --> 00:00:02,000\n{}\n", words.join("\n"));
            let vtt = to_webvtt(srt.as_bytes()).unwrap();
            for line in vtt.lines().filter(|line| line.contains("-->")) {
                prop_assert!(cue_times(line).is_some(), "{}", line);
            }
            let _ = to_webvtt(words.join("\n").as_bytes());
        }
    }
}
