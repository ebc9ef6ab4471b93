//! Converts subtitles to WebVTT, which browsers show with a `<video>`: SubRip (SRT) here, ASS and SAMI
//! in [`super::timed_text`]. Pure: foreign bytes in,
//! text out, in time and memory linear in the file's length.

use super::charset::decode;
use super::timed_text;
use std::fmt::Write as _;

/// Returns a SubRip, ASS or SAMI file as WebVTT, and a WebVTT file as it is, all as UTF-8. `None` where there
/// is not one cue.
///
/// `language` is a BCP 47 tag, where the file's name tells it. Positions and styles that WebVTT
/// does not have are left out.
pub(crate) fn to_webvtt(bytes: &[u8], language: Option<&str>) -> Option<String> {
    let text = decode(bytes, language);
    let text =
        if text.contains('\r') { text.replace("\r\r\n", "\n").replace("\r\n", "\n").replace('\r', "\n") } else { text };
    let text = text.trim_start_matches(is_blank);
    if text.strip_prefix("WEBVTT").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n'])) {
        return Some(text.to_owned());
    }
    if is_timed_text(text) {
        return timed_text::convert(text);
    }
    let mut cues = Cues { out: String::with_capacity(text.len() + text.len() / 8 + 16), held: None, count: 0 };
    cues.out.push_str("WEBVTT\n");
    text.split('\n').for_each(|line| cues.take(line));
    cues.flush();
    (cues.count > 0).then_some(cues.out)
}

/// Whether a text is ASS or SAMI, by its beginning: files often have the wrong ending.
fn is_timed_text(text: &str) -> bool {
    let begins = |mark: &str| text.get(..mark.len()).is_some_and(|head| head.eq_ignore_ascii_case(mark));
    begins("[Script Info]") || begins("<SAMI")
}

/// Writes cues line by line.
struct Cues<'a> {
    out: String,
    /// The last line of text. It is the number of the next cue if that begins right after it.
    held: Option<&'a str>,
    count: usize,
}

impl<'a> Cues<'a> {
    fn take(&mut self, line: &'a str) {
        if let Some((start, end)) = cue_times(line) {
            self.held = self.held.filter(|held| !is_number(held));
            self.flush();
            push_cue_times(&mut self.out, start, end);
            self.count += 1;
        } else if line.trim_matches(is_blank).is_empty() {
            // A blank line within a text does not end it, and a number before it belongs to no cue.
            self.flush();
        } else if self.count > 0 {
            self.flush();
            self.held = Some(line);
        }
    }

    fn flush(&mut self) {
        if let Some(line) = self.held.take() {
            push_text(&mut self.out, line.trim_matches('\u{feff}'));
            // A tag on a line by itself leaves an empty line, which would end the cue.
            if !self.out.ends_with('\n') {
                self.out.push('\n');
            }
        }
    }
}

/// Whether a character is white space, or an invisible mark of Unicode.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\0')
}

fn is_number(line: &str) -> bool {
    line.trim_matches(is_blank).bytes().all(|b| b.is_ascii_digit())
}

/// Reads start and end of `00:01:02,500 --> 00:01:04,000 X1:…` in milliseconds.
fn cue_times(line: &str) -> Option<(u64, u64)> {
    let (start, rest) = line.split_once(['>', '→'])?;
    let arrow = &line[start.len()..line.len() - rest.len()];
    let bare = start.trim_end_matches(|c: char| is_blank(c) || matches!(c, '-' | '–' | '—'));
    if arrow == ">" && !start[bare.len()..].contains(['-', '–', '—']) {
        return None;
    }
    let (start, after) = stamp(bare)?;
    let (end, _) = stamp(rest)?;
    after.trim_matches(is_blank).is_empty().then_some((start, end))
}

/// Reads the time at the start of a text, in milliseconds: `1:02:03,5`, `02:03.500`, `0:1:2`, `01:
/// 02: 03, 500`, `01:02:03:500`. Returns it with the rest of the text.
fn stamp(text: &str) -> Option<(u64, &str)> {
    const SIGNS: [char; 6] = [':', ',', '.', ';', '：', '，'];
    let mut rest = text.trim_start_matches(is_blank);
    let before_zero = rest.starts_with('-');
    rest = rest.strip_prefix('-').unwrap_or(rest);
    let (mut fields, mut signs) = (Vec::with_capacity(4), Vec::with_capacity(4));
    while fields.len() < 4 {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        // No digits after a sign, or more than any time has.
        if !(1..=9).contains(&end) {
            break;
        }
        let (digits, after) = rest.split_at(end);
        fields.push(digits);
        rest = after;
        let next = after.trim_start_matches(is_blank);
        if let Some(sign) = next.chars().next().filter(|c| SIGNS.contains(c)) {
            signs.push(if sign == '：' { ':' } else { sign });
            rest = next[sign.len_utf8()..].trim_start_matches(is_blank);
        } else if next.len() < after.len() && fields.len() > 1 && signs.iter().all(|s| *s == ':') && is_thousandth(next)
        {
            signs.push(',');
            rest = next;
        } else {
            break;
        }
    }
    let clock = match (fields.len(), signs.as_slice()) {
        (4, _) => 3,
        (3, [a, b, ..]) if a == b || *b == ':' => 3,
        (3, _) => 2,
        (2, [':', ..]) => 2,
        (2, _) => 1,
        _ => return None,
    };
    let number = |digits: &&str| digits.parse::<u64>().ok();
    let seconds = fields[..clock].iter().try_fold(0u64, |sum, field| Some(sum * 60 + number(field)?))?;
    let fraction = fields.get(clock).map_or(0, |digits| {
        let digits = &digits[..digits.len().min(3)];
        number(&digits).unwrap_or(0) * [100, 10, 1][digits.len() - 1]
    });
    Some((if before_zero { 0 } else { seconds * 1000 + fraction }, rest))
}

/// Whether a text begins with exactly three digits.
fn is_thousandth(text: &str) -> bool {
    text.bytes().take_while(u8::is_ascii_digit).count() == 3
}

/// Writes the blank line and the times in front of a cue.
pub(super) fn push_cue_times(out: &mut String, start: u64, end: u64) {
    out.push('\n');
    push_stamp(out, start);
    out.push_str(" --> ");
    push_stamp(out, end);
    out.push('\n');
}

fn push_stamp(out: &mut String, ms: u64) {
    let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let _ = write!(out, "{h:02}:{m:02}:{s:02}.{:03}", ms % 1000);
}

/// Entities in subtitles, and their WebVTT.
const ENTITIES: &[(&str, &str)] = &[
    ("&amp;", "&amp;"),
    ("&lt;", "&lt;"),
    ("&gt;", "&gt;"),
    ("&nbsp;", "&nbsp;"),
    ("&lrm;", "&lrm;"),
    ("&rlm;", "&rlm;"),
    ("&quot;", "\""),
    ("&apos;", "'"),
    ("&#39;", "'"),
];

/// Writes a line of a cue. Tags of WebVTT stay, others are removed, and no text can begin a cue.
pub(super) fn push_text(out: &mut String, line: &str) {
    let mut rest = line;
    while let Some(at) = rest.find(['<', '{', '&', '>']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let skipped = match rest.as_bytes()[0] {
            b'<' => match tag(rest) {
                Some(tag) => push_tag(out, tag),
                None => push(out, "&lt;"),
            },
            // To the next brace only, as with tags: a scan to the end for each brace would be
            // quadratic.
            b'{' if rest.starts_with("{\\") => match rest[1..].find(['{', '}']) {
                Some(end) if rest.as_bytes()[1 + end] == b'}' => end + 2,
                _ => push(out, "{"),
            },
            b'&' => match ENTITIES.iter().find(|(entity, _)| rest.starts_with(entity)) {
                Some((entity, text)) => {
                    out.push_str(text);
                    entity.len()
                }
                None => push(out, "&amp;"),
            },
            b'>' if out.ends_with("--") => push(out, "&gt;"),
            other => push(out, char::from(other).encode_utf8(&mut [0; 4])),
        };
        rest = &rest[skipped..];
    }
    out.push_str(rest);
}

/// Writes the text for one byte of the line. Returns the byte's length.
fn push(out: &mut String, text: &str) -> usize {
    out.push_str(text);
    1
}

/// Returns the tag at the start of a text without its brackets. It ends before another begins, so
/// that all tags together are scanned once.
fn tag(text: &str) -> Option<&str> {
    let inner = &text[1..];
    let end = inner.find(['<', '>'])?;
    let is_name = inner.starts_with(|c: char| c == '/' || c.is_ascii_alphabetic());
    (is_name && inner.as_bytes()[end] == b'>').then(|| &inner[..end])
}

/// Writes a tag, if WebVTT has it. Returns its length with its brackets.
fn push_tag(out: &mut String, tag: &str) -> usize {
    let name = tag.trim_end_matches(['/', ' ']);
    if ["b", "i", "u", "/b", "/i", "/u"].iter().any(|kept| name.eq_ignore_ascii_case(kept)) {
        let _ = write!(out, "<{}>", name.to_ascii_lowercase());
    } else if name.eq_ignore_ascii_case("br") && !out.ends_with('\n') {
        out.push('\n');
    }
    tag.len() + 2
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::time::Instant;

    fn vtt(srt: &str) -> String {
        to_webvtt(srt.as_bytes(), None).unwrap()
    }

    #[test]
    fn cues_get_webvtts_times_and_lose_what_it_cannot_say() {
        let srt = "\u{feff}1\r\n00:00:01,500 --> 00:00:04,000 X1:5 X2:6\r\n<i>Hello</i>, <font color=\"red\">you</font>\r\n{\\an8}a < b & c --> d\r\n\r\n\
                   2\r\n1:02:03,5 --> 1:02:04,25\r\n- yes\r\n3\r\n00:00:07,000 --> 00:00:08,000\r\n12\r\n";
        let expected = "WEBVTT\n\n00:00:01.500 --> 00:00:04.000\n<i>Hello</i>, you\na &lt; b &amp; c --&gt; d\n\
                        \n01:02:03.500 --> 01:02:04.250\n- yes\n\n00:00:07.000 --> 00:00:08.000\n12\n";
        assert_eq!(vtt(srt), expected);
    }

    #[test]
    fn times_are_read_as_people_and_programs_write_them() {
        for (line, start, end) in [
            ("00:00:01,500 --> 00:00:04,000", 1500, 4000),
            ("00:01,500 --> 00:04,000", 1500, 4000),
            ("0:0:1,5 --> 0:0:4,0", 1500, 4000),
            ("1:1.5-->1:4.25", 61_500, 64_250),
            ("00: 00: 01, 500 --> 00: 00: 04, 000", 1500, 4000),
            ("00:00:01 ,500 --> 00:00:04 ,000", 1500, 4000),
            ("00:00:01 500 --> 00:00:04 000", 1500, 4000),
            ("00:00:01:500 --> 00:00:04:000", 1500, 4000),
            ("00:00:01.500 -> 00:00:04.000", 1500, 4000),
            ("00:00:01,500 - -> 00:00:04,000 align:left", 1500, 4000),
            ("00:00:01,500 → 00:00:04,000", 1500, 4000),
            ("00：00：01，500 --> 00：00：04，000", 1500, 4000),
            ("\u{200e}00:00:01,500\u{a0}-->\t00:00:04,000\u{feff}", 1500, 4000),
            ("00:00:01 --> 00:00:04", 1000, 4000),
            ("01:15 --> 02:00", 75_000, 120_000),
            ("00.00.01,500 --> 00.00.04,000", 1500, 4000),
            ("12,5 --> 14,25", 12_500, 14_250),
            ("-0:00:01,500 --> 00:00:04,000", 0, 4000),
            ("00:75:10,000 --> 00:75:11,0009", 4_510_000, 4_511_000),
            ("100:00:00,000 --> 100:00:01,000", 360_000_000, 360_001_000),
        ] {
            assert_eq!(cue_times(line), Some((start, end)), "{line}");
        }
        for line in
            ["", "-->", "1 --> 2", "a --> b", "12", "00:00:01,500", "<i>1:2</i>", "at 1:00 --> 2:00", "1:00 > 2:00"]
        {
            assert_eq!(cue_times(line), None, "{line}");
        }
    }

    #[test]
    fn cues_are_separated_whatever_lines_are_between_them() {
        let expected = "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\na\nb\n\n00:00:03.000 --> 00:00:04.000\nc\n";
        let times = ["00:00:01,000 --> 00:00:02,000", "00:00:03,000 --> 00:00:04,000"];
        for (kind, srt) in [
            ("no empty line", format!("1\n{}\na\nb\n2\n{}\nc", times[0], times[1])),
            ("an empty line in the text", format!("1\n{}\n\na\n\nb\n\n2\n{}\nc\n\n\n", times[0], times[1])),
            ("no numbers", format!("{}\na\nb\n\n{}\nc\n", times[0], times[1])),
            ("carriage returns alone", format!("1\r{}\ra\rb\r\r2\r{}\rc\r", times[0], times[1])),
            (
                "doubled line ends",
                format!("1\r\r\n{}\r\r\na\r\r\nb\r\r\n\r\r\n2\r\r\n{}\r\r\nc\r\r\n", times[0], times[1]),
            ),
            ("marks of joined files", format!("1\n{}\na\nb\n\n\u{feff}2\n{}\n\u{feff}c\n", times[0], times[1])),
        ] {
            assert_eq!(vtt(&srt), expected, "{kind}");
        }
    }

    #[test]
    fn tags_and_entities_become_what_webvtt_has() {
        let cue = |text: &str| vtt(&format!("1\n00:00:01,000 --> 00:00:02,000\n{text}\n"));
        let expected = |text: &str| format!("WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n{text}\n");
        for (text, shown) in [
            ("<B>a</B><br>b<br/><br />c", "<b>a</b>\nb\nc"),
            ("<font color=red>\na\n</font>\nb", "a\nb"),
            ("&lt;3 &amp; &nbsp;&quot;x&quot; &copy;", "&lt;3 &amp; &nbsp;\"x\" &amp;copy;"),
            ("--<font>> 00:00:01.000", "--&gt; 00:00:01.000"),
            ("a <<b>b</b> 1<2 >3", "a &lt;<b>b</b> 1&lt;2 >3"),
            ("{\\an8}{\\i1}a{b} {\\x {\\y}", "a{b} {\\x "),
        ] {
            assert_eq!(cue(text), expected(shown), "{text}");
        }
    }

    #[test]
    fn a_file_made_to_be_slow_is_as_quick_as_another() {
        let head = "1\n00:00:01,000 --> 00:00:02,000\n";
        for part in ["<", "<a", "{\\", "&", "<>", "-->", "<b", "\n", "1\n", "1:", "00:00:01,000 --> ", "\r", "\u{e9}<"]
        {
            let srt = head.to_owned() + &part.repeat((1 << 20) / part.len());
            let begun = Instant::now();
            let _ = to_webvtt(srt.as_bytes(), None);
            // A quadratic loop takes minutes; a linear one, without any optimisation and on a busy
            // machine, seconds.
            assert!(begun.elapsed().as_secs() < 20, "{part:?}: {:?}", begun.elapsed());
        }
    }

    #[test]
    fn old_encodings_are_read_by_the_language_of_the_name() {
        let cue = |word: &str| format!("1\n00:00:01,000 --> 00:00:02,000\n{word}\n");
        let expected = |word: &str| format!("WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n{word}\n");
        let utf16: Vec<u8> =
            [0xfeff].into_iter().chain(cue("naïve").encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(to_webvtt(&utf16, None).unwrap(), expected("naïve"));
        let cyrillic = encoding_rs::WINDOWS_1251.encode(&cue("Привет, мир")).0.into_owned();
        assert_eq!(to_webvtt(&cyrillic, Some("ru")).unwrap(), expected("Привет, мир"));
    }

    #[test]
    fn what_has_no_cue_is_none_and_webvtt_stays() {
        assert_eq!(to_webvtt(b"no subtitle at all", None), None);
        assert_eq!(to_webvtt(b"", None), None);
        assert_eq!(to_webvtt(b"WEBVTTX\n\n", None), None);
        assert_eq!(
            to_webvtt(b"\n\nWEBVTT\r\n\r\n00:01.000 --> 00:02.000\r\nx\r\n", None).unwrap(),
            "WEBVTT\n\n00:01.000 --> 00:02.000\nx\n"
        );
    }

    proptest! {
        #[test]
        fn no_text_of_a_cue_begins_another(words in proptest::collection::vec("[-><{}&\\\\a1: ,é]{0,12}", 1..6)) {
            let srt = format!("1\n00:00:01,000 --> 00:00:02,000\n{}\n", words.join("\n"));
            let vtt = vtt(&srt);
            for line in vtt.lines().filter(|line| line.contains("-->")) {
                prop_assert!(cue_times(line).is_some(), "{}", line);
            }
            let _ = to_webvtt(words.join("\n").as_bytes(), None);
        }
    }
}
