//! Converts Advanced SubStation Alpha (ASS, SSA) and SAMI to WebVTT. Pure: text in, text out, in time
//! linear in its length, apart from a sort of the cues.
//!
//! Only times and words are kept: positions, fonts and drawings have no place in a cue.

use super::vtt::{push_cue_times, push_text};

/// Time in milliseconds for which the last cue of SAMI is shown, as nothing ends it.
const LAST_SHOWN_MS: u64 = 5000;
/// Fields of an event before its text where no `Format` line says so (SSA and ASS alike).
const EVENT_FIELDS: usize = 9;

/// A cue: start and end in milliseconds, and its text as WebVTT writes it.
struct Cue {
    start: u64,
    end: u64,
    text: String,
}

/// Returns the text as WebVTT if it is ASS or SAMI with at least one cue.
pub(crate) fn convert(text: &str) -> Option<String> {
    let mut cues = if is_ass(text) { ass(text) } else { sami(text) };
    cues.retain(|cue| !cue.text.is_empty());
    // Scripts list their events in any order, and often once for each layer.
    cues.sort_by_key(|cue| cue.start);
    cues.dedup_by(|b, a| (a.start, a.end, &a.text) == (b.start, b.end, &b.text));
    let mut out = String::from("WEBVTT\n");
    for cue in &cues {
        push_cue_times(&mut out, cue.start, cue.end);
        out.push_str(&cue.text);
        out.push('\n');
    }
    (!cues.is_empty()).then_some(out)
}

fn is_ass(text: &str) -> bool {
    text.lines().any(|line| line.trim().eq_ignore_ascii_case("[Events]"))
}

/// Reads the dialogue lines of a script.
fn ass(text: &str) -> Vec<Cue> {
    let (mut start_at, mut end_at, mut fields) = (1, 2, EVENT_FIELDS);
    let mut cues = Vec::new();
    for line in text.lines() {
        let Some((kind, rest)) = line.split_once(':') else { continue };
        match kind.trim() {
            // Styles have a `Format` line, too, without times.
            "Format" => {
                let names: Vec<&str> = rest.split(',').map(str::trim).collect();
                let at = |wanted: &str| names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
                if let (Some(start), Some(end)) = (at("Start"), at("End")) {
                    (start_at, end_at, fields) = (start, end, names.len() - 1);
                }
            }
            "Dialogue" => {
                let parts: Vec<&str> = rest.splitn(fields + 1, ',').collect();
                let time = |at: usize| parts.get(at).and_then(|part| ass_time(part.trim()));
                if let (Some(start), Some(end), Some(words)) = (time(start_at), time(end_at), parts.get(fields)) {
                    cues.push(Cue { start, end, text: ass_text(words) });
                }
            }
            _ => {}
        }
    }
    cues
}

/// Reads `H:MM:SS.cc` in milliseconds.
fn ass_time(text: &str) -> Option<u64> {
    let mut parts = text.splitn(3, ':');
    let mut number = || parts.next()?.trim().parse::<u64>().ok();
    let (hours, minutes) = (number()?, number()?);
    let seconds: f64 = parts.next()?.parse().ok().filter(|s| (0.0..60.0).contains(s))?;
    hours
        .checked_mul(3600)?
        .checked_add(minutes.checked_mul(60)?)?
        .checked_mul(1000)?
        .checked_add((seconds * 1000.0).round() as u64)
}

/// Returns the words of an event, without overrides and comments in braces. A drawing has none.
fn ass_text(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        words.push_str(before);
        let Some((inner, behind)) = after.split_once('}') else {
            // No brace closes any more.
            rest = after;
            break;
        };
        // `\p1` begins a drawing; `\pos` and `\pbo` do not.
        if inner
            .split('\\')
            .any(|tag| tag.strip_prefix('p').is_some_and(|n| n.starts_with(|c: char| ('1'..='9').contains(&c))))
        {
            return String::new();
        }
        rest = behind;
    }
    words.push_str(rest);
    let words = words.replace("\\n", "\n").replace("\\N", "\n").replace("\\h", "\u{a0}");
    let mut shown = String::with_capacity(words.len());
    for line in words.split('\n').map(str::trim).filter(|line| !line.is_empty()) {
        if !shown.is_empty() && !shown.ends_with('\n') {
            shown.push('\n');
        }
        push_text(&mut shown, line);
    }
    shown.trim().to_owned()
}

/// A paragraph of SAMI: when it begins, its class, and its words. Without words it ends the one
/// before.
struct Paragraph<'a> {
    start: u64,
    class: &'a str,
    words: &'a str,
}

/// Reads the paragraphs of one language. A file often has several, each as a class of its own: the
/// one with the most paragraphs counts.
fn sami(text: &str) -> Vec<Cue> {
    let mut paragraphs = Vec::new();
    for (tag, body) in elements(text, "sync") {
        let Some(start) = attribute(tag, "start").and_then(|start| start.parse().ok()) else { continue };
        let bare = elements(body, "p").next().is_none();
        paragraphs.extend(bare.then_some(Paragraph { start, class: "", words: body }));
        paragraphs.extend(elements(body, "p").map(|(tag, words)| Paragraph {
            start,
            class: attribute(tag, "class").unwrap_or_default(),
            words,
        }));
    }
    let mut classes: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    for paragraph in &paragraphs {
        *classes.entry(paragraph.class.to_ascii_lowercase()).or_default() += 1;
    }
    let Some((class, _)) = classes.into_iter().max_by_key(|(_, count)| *count) else { return Vec::new() };
    paragraphs.retain(|paragraph| paragraph.class.eq_ignore_ascii_case(&class));
    paragraphs.sort_by_key(|paragraph| paragraph.start);
    let ends = paragraphs.iter().skip(1).map(|next| next.start).map(Some).chain([None]).collect::<Vec<_>>();
    paragraphs
        .iter()
        .zip(ends)
        .map(|(Paragraph { start, words, .. }, end)| Cue {
            start: *start,
            end: end.unwrap_or_else(|| start.saturating_add(LAST_SHOWN_MS)),
            text: sami_text(words),
        })
        .collect()
}

/// Returns the words of a paragraph, whose line breaks are tags; none if it is blank.
fn sami_text(words: &str) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown = String::new();
    push_text(&mut shown, &line);
    let blank = shown.replace("&nbsp;", " ").trim().is_empty();
    if blank { String::new() } else { shown.trim().to_owned() }
}

/// Returns the elements of this name, which nothing closes: the attributes of each, and what stands
/// up to the next one.
fn elements<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let begins = move |at: usize| {
        let after = text.get(at + 1..at + 1 + name.len()).filter(|tag| tag.eq_ignore_ascii_case(name));
        after.is_some() && text[at + 1 + name.len()..].starts_with(|c: char| c == '>' || c.is_whitespace())
    };
    let mut starts = text.match_indices('<').map(|(at, _)| at).filter(move |at| begins(*at)).peekable();
    std::iter::from_fn(move || {
        let start = starts.next()?;
        let end = starts.peek().copied().unwrap_or(text.len());
        let element = &text[start + 1 + name.len()..end];
        Some(element.split_once('>').unwrap_or((element, "")))
    })
}

/// Returns an attribute's value, with or without quotes.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_whitespace().find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim_matches(['"', '\'']))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const SCRIPT: &str = "[Script Info]\nTitle: x\n\n[V4+ Styles]\nFormat: Name, Fontname\nStyle: Default,Arial\n\n\
        [Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n\
        Dialogue: 0,0:00:05.50,0:00:07.00,Default,,0,0,0,,{\\i1}Second{\\i0}, with a comma\\Nand a line\n\
        Comment: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,not shown\n\
        Dialogue: 0,0:00:01.00,0:00:02.25,Default,,0,0,0,,First {a comment}& <b>\n\
        Dialogue: 1,0:00:01.00,0:00:02.25,Default,,0,0,0,,First {a comment}& <b>\n\
        Dialogue: 0,1:00:00.00,1:00:01.00,Sign,,0,0,0,,{\\p1}m 0 0 l 100 0 100 100{\\p0}\n\
        Dialogue: 0,1:02:03.04,1:02:04.00,Default,,0,0,0,,{\\pos(1,2)}A\\N\\N\\hB\n\
        Dialogue: 0,nonsense,1:02:04.00,Default,,0,0,0,,x\n";

    #[test]
    fn a_script_becomes_cues_in_their_order_without_its_looks() {
        assert_eq!(
            convert(SCRIPT).unwrap(),
            "WEBVTT\n\n00:00:01.000 --> 00:00:02.250\nFirst &amp; <b>\n\n00:00:05.500 --> 00:00:07.000\n\
             Second, with a comma\nand a line\n\n01:02:03.040 --> 01:02:04.000\nA\nB\n"
        );
        let old = "[Events]\nDialogue: Marked=0,0:00:01.00,0:00:02.00,Default,NTP,0000,0000,0000,,Old\n";
        assert_eq!(convert(old).unwrap(), "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nOld\n");
        let swapped = "[Events]\nFormat: End, Start, Text\nDialogue: 0:00:02.00,0:00:01.00,a, b\n";
        assert_eq!(convert(swapped).unwrap(), "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\na, b\n");
        assert_eq!(convert("[Events]\nDialogue: 0,0:00:01.00\n"), None);
    }

    const SAMI: &str = "<SAMI>\n<HEAD><STYLE TYPE=\"text/css\">\n<!--\nP { font-size: 20pt }\n-->\n</STYLE></HEAD>\n<BODY>\n\
        <SYNC Start=1000><P Class=ENCC>One<br>two <i>three</i>\n<P Class=KRCC>hana\n\
        <SYNC Start=\"2500\"><P Class='KRCC'>&nbsp;\n\
        <sync start=3000 ><p class=krcc><font color=\"red\">dul</font>\n& set\n\
        <SYNC Start=4000><P Class=KRCC>net</BODY>\n</SAMI>\n";

    #[test]
    fn sami_becomes_the_cues_of_the_language_that_has_the_most() {
        assert_eq!(
            convert(SAMI).unwrap(),
            "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nhana\n\n00:00:03.000 --> 00:00:04.000\ndul &amp; set\n\n\
             00:00:04.000 --> 00:00:09.000\nnet\n"
        );
        let one = SAMI.replace("KRCC", "X").replace("krcc", "X").replace("ENCC", "X");
        assert!(convert(&one).unwrap().contains("One\ntwo <i>three</i>\n"), "{:?}", convert(&one));
        assert_eq!(convert("<SAMI><SYNC Start=5>bare").unwrap(), "WEBVTT\n\n00:00:00.005 --> 00:00:05.005\nbare\n");
        assert_eq!(convert("<SAMI><BODY></BODY></SAMI>"), None);
        assert_eq!(convert("<syncopation start=1><p>x"), None);
    }

    #[test]
    fn scripts_made_to_be_slow_are_as_quick_as_others() {
        for part in [
            "{",
            "{\\p",
            "}",
            "<",
            "<sync ",
            "<sync start=1>",
            "<p>",
            "<sync start=1><p class=a>",
            "Dialogue: ",
            "\\N",
            ",",
            "=",
        ] {
            for head in ["[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,,,,,,,", "<sync start=1><p>"] {
                let text = head.to_owned() + &part.repeat((1 << 20) / part.len());
                let begun = std::time::Instant::now();
                let _ = convert(&text);
                assert!(begun.elapsed().as_secs() < 20, "{part:?}: {:?}", begun.elapsed());
            }
        }
    }

    proptest! {
        #[test]
        fn no_words_begin_another_cue(words in proptest::collection::vec("[-><{}&\\\\a1: ,é=]{0,12}", 1..6)) {
            let words = words.join("\\N");
            for text in [
                format!("[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,,,,,,,{words}\n"),
                format!("<SAMI><SYNC Start=1><P Class=x>{words}"),
            ] {
                let vtt = convert(&text).unwrap_or_default();
                prop_assert!(vtt.matches("-->").count() <= 1, "{}", vtt);
                prop_assert!(!vtt.trim_end().get(8..).is_some_and(|cue| cue.contains("\n\n")), "{}", vtt);
            }
        }
    }
}
