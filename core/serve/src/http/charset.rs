//! Detects the character encoding of a text file that does not name it: subtitles come in many old
//! encodings. Pure.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, IBM866, ISO_2022_JP, ISO_8859_2, ISO_8859_4, ISO_8859_5, ISO_8859_6,
    ISO_8859_7, ISO_8859_8, ISO_8859_13, ISO_8859_15, ISO_8859_16, KOI8_R, KOI8_U, MACINTOSH, SHIFT_JIS, UTF_8,
    UTF_16BE, UTF_16LE, WINDOWS_874, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252, WINDOWS_1253, WINDOWS_1254,
    WINDOWS_1255, WINDOWS_1256, WINDOWS_1257, WINDOWS_1258,
};

/// A group of languages: their BCP 47 tags with the top-level domain that the detector knows them
/// by, and the encodings of their texts, the usual one first.
type Group = (&'static [(&'static str, &'static str)], &'static [&'static Encoding]);

const GROUPS: &[Group] = &[
    (&[("ru", "ru")], &[WINDOWS_1251, KOI8_R, IBM866, ISO_8859_5]),
    (&[("uk", "ua")], &[WINDOWS_1251, KOI8_U, KOI8_R, IBM866, ISO_8859_5]),
    (&[("bg", "bg"), ("mk", "mk"), ("kk", "kz"), ("be", "by")], &[WINDOWS_1251, IBM866, ISO_8859_5, KOI8_R]),
    (&[("sr", "rs"), ("bs", "ba")], &[WINDOWS_1250, WINDOWS_1251, ISO_8859_2, ISO_8859_5]),
    (&[("cs", "cz"), ("sk", "sk"), ("pl", "pl"), ("hu", "hu")], &[WINDOWS_1250, ISO_8859_2]),
    (&[("sl", "si"), ("hr", "hr"), ("sq", "al")], &[WINDOWS_1250, ISO_8859_2]),
    (&[("ro", "ro")], &[WINDOWS_1250, ISO_8859_2, ISO_8859_16]),
    (&[("el", "gr")], &[WINDOWS_1253, ISO_8859_7]),
    (&[("tr", "tr"), ("az", "az")], &[WINDOWS_1254]),
    (&[("he", "il")], &[WINDOWS_1255, ISO_8859_8]),
    (&[("ar", "sa"), ("fa", "ir"), ("ur", "pk")], &[WINDOWS_1256, ISO_8859_6]),
    (&[("lt", "lt"), ("lv", "lv"), ("et", "ee")], &[WINDOWS_1257, ISO_8859_13, ISO_8859_4]),
    (&[("vi", "vn")], &[WINDOWS_1258]),
    (&[("th", "th")], &[WINDOWS_874]),
    (&[("ja", "jp")], &[SHIFT_JIS, EUC_JP, ISO_2022_JP]),
    (&[("zh-Hant", "tw"), ("zh-TW", "tw"), ("zh-HK", "hk")], &[BIG5, GBK, GB18030]),
    (&[("zh", "cn")], &[GBK, GB18030, BIG5]),
    (&[("ko", "kr")], &[EUC_KR]),
    (&[("de", "de"), ("fr", "fr"), ("es", "es"), ("it", "it"), ("pt", "pt"), ("nl", "nl"), ("en", "com")], WESTERN),
    (&[("sv", "se"), ("da", "dk"), ("no", "no"), ("fi", "fi"), ("is", "is"), ("ca", "es"), ("id", "id")], WESTERN),
    (&[("gl", "es"), ("eu", "es"), ("ms", "my"), ("la", "it")], WESTERN),
];
const WESTERN: &[&Encoding] = &[WINDOWS_1252, ISO_8859_15];

/// Largest share of bytes beyond ASCII in a text of a Western language, in percent. French and
/// Swedish have about six. A text with more is in another language than its name says, as bilingual
/// subtitles are.
const MOST_WESTERN: usize = 15;

/// Bytes that are checked for UTF-16 without a mark.
const LOOK: usize = 4096;
/// Start of a two-byte character set in ISO-2022-JP, whose bytes are all ASCII.
const JIS: &str = "\x1b$";
/// Least valid characters beyond ASCII for each damaged one in a text that still counts as UTF-8.
const DAMAGE: usize = 4;

/// Returns the text of a file. `language` is a BCP 47 tag, where the file's name tells it: of
/// several encodings that fit a short text, that of its language is taken.
pub(crate) fn decode(bytes: &[u8], language: Option<&str>) -> String {
    if let Some(text) = utf32(bytes) {
        return text;
    }
    let (bytes, marked) = match Encoding::for_bom(bytes) {
        Some((encoding, mark)) => (&bytes[mark..], Some(encoding)),
        None => (bytes, None),
    };
    if let Ok(text) = std::str::from_utf8(bytes) {
        // UTF-16 of ASCII is UTF-8 as well, with a NUL for every other character.
        if !text.as_bytes()[..text.len().min(LOOK)].contains(&0) && !text.contains(JIS) {
            return text.to_owned();
        }
    }
    // Editors and scripts put marks in front of texts in another encoding: a mark counts where the text does not deny it.
    if let Some(encoding) = marked.filter(|encoding| *encoding != UTF_8) {
        return encoding.decode_without_bom_handling(bytes).0.into_owned();
    }
    let encoding = unmarked_utf16(bytes).unwrap_or_else(|| legacy(bytes, language));
    let text = encoding.decode_without_bom_handling(bytes).0.into_owned();
    if WESTERN.contains(&encoding) { western(bytes, text) } else { text }
}

/// Returns a text of a Western language, which may be that of DOS or of an old Mac. `text` is what
/// it is in the encoding of Windows or of ISO 8859.
fn western(bytes: &[u8], text: String) -> String {
    let table: Vec<char> = DOS.chars().collect();
    let of_dos = |b: &u8| if b.is_ascii() { char::from(*b) } else { table[usize::from(b & 0x7f)] };
    let dos = bytes.iter().map(of_dos).collect();
    let mac = MACINTOSH.decode_without_bom_handling(bytes).0.into_owned();
    // `max_by_key` takes the last of equals.
    [mac, dos, text].into_iter().max_by_key(|text| western_score(text)).unwrap_or_default()
}

/// Returns how much a text looks like words of a Western language: small letters beyond ASCII, no
/// capital behind a small letter, and other characters only where words and sentences have them.
fn western_score(text: &str) -> i64 {
    let is_letter = |c: char| matches!(c, '\u{c0}'..='\u{ff}' | 'œ' | 'Œ') && c.is_alphabetic();
    let (mut score, mut before) = (0, ' ');
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let after = chars.peek().copied().unwrap_or(' ');
        let within = before.is_alphabetic() && after.is_alphabetic();
        score += match c {
            _ if c.is_uppercase() && before.is_lowercase() && !(c.is_ascii() && before.is_ascii()) => -4,
            c if c.is_ascii() => 0,
            c if is_letter(c) => 1,
            '’' | '–' | '—' => 1,
            '“' | '”' | '„' | '‘' | '‚' | '«' | '»' | '‹' | '›' | '…' | '¿' | '¡' if !within => 1,
            'š' | 'ž' => 0,
            '°' | '\u{a0}' if !within => 0,
            _ if within => -4,
            _ => -2,
        };
        before = c;
    }
    score
}

/// Characters 0x80 to 0xff of code page 850. Code page 437 has the same letters, but fewer.
const DOS: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐└┴┬├─┼ãÃ╚╔╩╦╠═╬¤\
    ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{ad}±‗¾¶§÷¸°¨·¹³²■\u{a0}";

/// Returns the text of UTF-32 with its mark, or without it where every character of the beginning
/// is one: three of four bytes would be zero in no other text.
fn utf32(bytes: &[u8]) -> Option<String> {
    let little = |four: &[u8]| four.try_into().map_or(u32::MAX, u32::from_le_bytes);
    let big = |four: &[u8]| four.try_into().map_or(u32::MAX, u32::from_be_bytes);
    let fits = |read: fn(&[u8]) -> u32| {
        let mut head = bytes[..bytes.len().min(LOOK)].chunks_exact(4).map(read);
        let marked = bytes.len() >= 4 && read(&bytes[..4]) == 0xfeff;
        (marked || bytes.len() >= 8) && head.all(|c| c != 0 && char::from_u32(c).is_some())
    };
    let read = [little as fn(&[u8]) -> u32, big].into_iter().find(|read| fits(*read))?;
    let characters = bytes.chunks(4).map(|four| char::from_u32(read(four)).unwrap_or(char::REPLACEMENT_CHARACTER));
    Some(characters.skip_while(|c| *c == '\u{feff}').collect())
}

/// Detects UTF-16 without a mark: each line break, blank and digit has a zero in the same half.
fn unmarked_utf16(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = &bytes[..bytes.len().min(LOOK)];
    let zeros = |half: usize| head.chunks_exact(2).filter(|pair| pair[half] == 0).count();
    let (first, second, pairs) = (zeros(0), zeros(1), head.len() / 2);
    match (first > pairs / 10, second > pairs / 10) {
        (true, false) => Some(UTF_16BE),
        (false, true) => Some(UTF_16LE),
        _ => None,
    }
}

fn legacy(bytes: &[u8], language: Option<&str>) -> &'static Encoding {
    let (mut valid, mut damaged) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        valid += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        damaged += usize::from(!chunk.invalid().is_empty());
    }
    if valid > DAMAGE * damaged || (damaged == 0 && !bytes.contains(&JIS.as_bytes()[0])) {
        return UTF_8;
    }
    let group = language.and_then(group);
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(bytes, true);
    let guess = detector.guess(group.map(|(domain, _)| domain.as_bytes()), Utf8Detection::Deny);
    let Some((_, encodings)) = group else { return guess };
    if CYRILLIC.contains(&guess) && encodings[0] == WINDOWS_1251 {
        // `max_by_key` takes the last of equals, so the guess comes last.
        let candidates = CYRILLIC.iter().copied().filter(|e| encodings.contains(e)).chain([guess]);
        return candidates.max_by_key(|encoding| cyrillic_score(encoding, bytes)).unwrap_or(guess);
    }
    if encodings.contains(&guess) || (encodings == WESTERN && !is_western(bytes)) {
        return guess;
    }
    let fits =
        |encoding: &&&'static Encoding| encoding.decode_without_bom_handling_and_without_replacement(bytes).is_some();
    encodings.iter().find(fits).copied().unwrap_or(guess)
}

/// Encodings of Cyrillic, which have the same letters at different places.
const CYRILLIC: &[&Encoding] = &[ISO_8859_5, IBM866, KOI8_U, KOI8_R, WINDOWS_1251];

/// Returns how much a text looks like words: small letters, none before a capital, and no other
/// characters.
fn cyrillic_score(encoding: &'static Encoding, bytes: &[u8]) -> i64 {
    let text = encoding.decode_without_bom_handling(bytes).0;
    let is_letter = |c: char| ('\u{400}'..='\u{4ff}').contains(&c);
    let (mut score, mut small) = (0, false);
    for c in text.chars() {
        score += match c {
            c if c.is_ascii() => 0,
            c if is_letter(c) && c.is_lowercase() => 1,
            c if is_letter(c) => -4 * i64::from(small),
            _ => -2,
        };
        small = is_letter(c) && c.is_lowercase();
    }
    score
}

fn is_western(bytes: &[u8]) -> bool {
    bytes.iter().filter(|b| !b.is_ascii()).count() * 100 <= bytes.len() * MOST_WESTERN
}

/// Returns the detector's hint for a language and its encodings, by the whole tag, else by the
/// language without its region.
fn group(language: &str) -> Option<(&'static str, &'static [&'static Encoding])> {
    let find = |wanted: &str| {
        GROUPS.iter().find_map(|(languages, encodings)| {
            let (_, domain) = languages.iter().find(|(tag, _)| tag.eq_ignore_ascii_case(wanted))?;
            Some((*domain, *encodings))
        })
    };
    find(language).or_else(|| find(language.split('-').next()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// A subtitle of a few cues, as short as the first minute of a film.
    fn file(text: &str) -> String {
        format!("1\r\n00:00:01,000 --> 00:00:02,000\r\n{text}\r\n\r\n")
    }

    /// A greeting: encoding_rs does not write this encoding.
    const ISO_2022_JP_TEXT: &[u8] = b"\x1b$B$3$s$K$A$O\x1b(B";

    const SAMPLES: &[(&str, &Encoding, &str)] = &[
        ("cs", WINDOWS_1250, "Příliš žluťoučký kůň úpěl ďábelské ódy."),
        ("pl", WINDOWS_1250, "Zażółć gęślą jaźń, powiedział."),
        ("pl", ISO_8859_2, "Zażółć gęślą jaźń, powiedział. Ślązak ścigał źrebię w świąteczną noc."),
        ("hu", WINDOWS_1250, "Árvíztűrő tükörfúrógép. Jó estét kívánok, hölgyem!"),
        ("ru", WINDOWS_1251, "Съешь ещё этих мягких французских булок."),
        ("ru", KOI8_R, "Съешь же этих мягких французских булок, да выпей чаю."),
        ("ru", IBM866, "Съешь же этих мягких французских булок, да выпей чаю."),
        ("uk", WINDOWS_1251, "Щебетанням їжак утішає ґави."),
        ("el", WINDOWS_1253, "Καλημέρα, τι κάνεις; Πού είναι ο αδελφός μου;"),
        ("tr", WINDOWS_1254, "Günaydın, şoför. Çocuğu gördün mü? İyi."),
        ("he", WINDOWS_1255, "שלום לך, מה שלומך היום?"),
        ("ar", WINDOWS_1256, "صباح الخير، كيف حالك اليوم؟"),
        ("lt", WINDOWS_1257, "Labas rytas, ąžuolas žydi čia."),
        ("th", WINDOWS_874, "สวัสดีครับ วันนี้เป็นอย่างไรบ้าง"),
        ("ja", SHIFT_JIS, "おはようございます。元気ですか。"),
        ("ja", EUC_JP, "おはようございます。元気ですか。"),
        ("zh", GBK, "你好,今天天气怎么样?"),
        ("zh-Hant", BIG5, "你好,今天天氣怎麼樣?"),
        ("ko", EUC_KR, "안녕하세요. 오늘 날씨가 어때요?"),
        ("fr", WINDOWS_1252, "Où est l’hôtel ? Ça va très bien, merci."),
        ("de", WINDOWS_1252, "Schöne Grüße aus Köln, mein Fräulein."),
    ];

    #[test]
    fn a_text_in_the_encoding_of_its_language_is_read() {
        for (language, encoding, text) in SAMPLES {
            let (bytes, _, lossy) = encoding.encode(text);
            assert!(!lossy, "{text}");
            let bytes = [file("").as_bytes(), &bytes].concat();
            assert_eq!(decode(&bytes, Some(language)), file("") + text, "{language} {}", encoding.name());
        }
    }

    #[test]
    fn a_long_text_is_read_without_its_language() {
        for (language, encoding, text) in SAMPLES {
            // Polish of one sentence is as likely in another encoding; detection needs a page of
            // it.
            if matches!((*language, *encoding), ("lt" | "hu", _)) {
                continue;
            }
            let text = file(&text.repeat(30));
            assert_eq!(decode(&encoding.encode(&text).0, None), text, "{language} {}", encoding.name());
        }
    }

    #[test]
    fn a_wrong_language_does_not_beat_what_the_bytes_say() {
        let chinese = file(&"你好,今天天气怎么样?\r\nHow are you?\r\n".repeat(20));
        assert_eq!(
            decode(&GBK.encode(&chinese).0, Some("en")),
            chinese,
            "bilingual subtitles are often called English"
        );
        let jis = [file("").as_bytes(), ISO_2022_JP_TEXT].concat();
        assert_eq!(decode(&jis, None), file("") + "こんにちは");
        let japanese = file(&"おはようございます。元気ですか。".repeat(20));
        assert_eq!(decode(&SHIFT_JIS.encode(&japanese).0, Some("xx")), japanese);
    }

    #[test]
    fn unicode_is_read_with_and_without_its_mark_and_with_a_damaged_byte() {
        let text = file("naïve 你好");
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let marked = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
        let wide_le: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        let wide_be: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
        for bytes in [
            wide_le.clone(),
            wide_be.clone(),
            marked(&[0xff, 0xfe, 0, 0], &wide_le),
            marked(&[0, 0, 0xfe, 0xff], &wide_be),
            le.clone(),
            be.clone(),
            marked(&[0xff, 0xfe], &le),
            marked(&[0xfe, 0xff], &be),
            marked(&[0xef, 0xbb, 0xbf], text.as_bytes()),
            marked(&[0xef, 0xbb, 0xbf], &le),
            marked(&[0xff, 0xfe], text.as_bytes()),
            text.clone().into_bytes(),
        ] {
            assert_eq!(decode(&bytes, Some("ru")), text);
        }
        let russian = file("Съешь ещё этих мягких французских булок.");
        let bytes = marked(&[0xef, 0xbb, 0xbf], &WINDOWS_1251.encode(&russian).0);
        assert_eq!(decode(&bytes, Some("ru")), russian, "a mark in front of another encoding");
        let damaged = [text.repeat(5).as_bytes(), b"\xff"].concat();
        assert_eq!(decode(&damaged, Some("ru")), text.repeat(5) + "\u{fffd}");
        assert_eq!(decode(b"", None), "");
        assert_eq!(decode(&marked(&wide_le, b"\xff"), None), text.clone() + "\u{fffd}", "cut within a character");
        // A mark of UTF-16 before a character that is none of UTF-32.
        assert_eq!(decode(b"\xff\xfea\0b\0", None), "ab");
        assert_eq!(decode(b"\xff\xfe\0\0a\0b\0", None), "\0ab");
    }

    #[test]
    fn texts_of_dos_and_of_old_macs_are_read_by_their_language() {
        // The same letters in code pages 437 and 850, and in Mac OS Roman.
        let german = file("Schöne Grüße aus Köln, mein Fräulein. Äpfel und Öl für Übermütige.");
        let french = file("Où est l'hôtel ? Ça va très bien, merci. À bientôt, garçon.");
        let dos = |text: &str| -> Vec<u8> { text.chars().map(|c| byte_of(c, DOS)).collect() };
        let mac = |text: &str| -> Vec<u8> {
            let table: String =
                (0x80..=0xff).map(|b| MACINTOSH.decode_without_bom_handling(&[b]).0.into_owned()).collect();
            text.chars().map(|c| byte_of(c, &table)).collect()
        };
        for (language, text) in [("de", &german), ("fr", &french)] {
            assert_eq!(decode(&dos(text), Some(language)), *text, "DOS");
            assert_eq!(decode(&mac(text), Some(language)), *text, "Mac");
            let windows = WINDOWS_1252.encode(text).0;
            assert_eq!(decode(&windows, Some(language)), *text, "Windows");
        }
        let quoted = file("« Ça va ? » — “Très bien…” ‘Où ?’ – l’été");
        assert_eq!(decode(&WINDOWS_1252.encode(&quoted).0, Some("fr")), quoted, "marks of Windows are no letters");
    }

    fn byte_of(c: char, table: &str) -> u8 {
        let at = table.chars().position(|other| other == c).filter(|_| !c.is_ascii());
        at.map_or_else(|| u8::try_from(u32::from(c)).unwrap(), |at| 0x80 + u8::try_from(at).unwrap())
    }

    proptest! {
        #[test]
        fn any_bytes_are_some_text(bytes in proptest::collection::vec(any::<u8>(), 0..200), language in "[a-zA-Z-]{0,7}") {
            let _ = decode(&bytes, Some(&language));
        }
    }
}
