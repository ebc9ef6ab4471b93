//! Languages in the names of subtitle files: `en`, `eng`, `English`, `pt-BR`.

/// BCP 47's tag, the codes of ISO 639-2 (terminological, bibliographic), the English name, and the
/// language's own name in Latin letters if it is in use.
const LANGUAGES: &[(&str, &[&str], &str)] = &[
    ("ar", &["ara"], "Arabic"),
    ("bg", &["bul"], "Bulgarian"),
    ("bn", &["ben", "bangla"], "Bengali"),
    ("bs", &["bos"], "Bosnian"),
    ("ca", &["cat"], "Catalan"),
    ("cs", &["ces", "cze"], "Czech"),
    ("da", &["dan", "dansk"], "Danish"),
    ("de", &["deu", "ger", "deutsch"], "German"),
    ("el", &["ell", "gre"], "Greek"),
    ("en", &["eng"], "English"),
    ("es", &["spa", "espanol", "español", "castellano"], "Spanish"),
    ("et", &["est"], "Estonian"),
    ("eu", &["eus", "baq"], "Basque"),
    ("fa", &["fas", "per", "farsi"], "Persian"),
    ("fi", &["fin", "suomi"], "Finnish"),
    ("fr", &["fra", "fre", "francais", "français", "vff", "vostfr"], "French"),
    ("gl", &["glg"], "Galician"),
    ("he", &["heb"], "Hebrew"),
    ("hi", &["hin"], "Hindi"),
    ("hr", &["hrv", "scr"], "Croatian"),
    ("hu", &["hun", "magyar"], "Hungarian"),
    ("hy", &["hye", "arm"], "Armenian"),
    ("id", &["ind"], "Indonesian"),
    ("is", &["isl", "ice"], "Icelandic"),
    ("it", &["ita", "italiano"], "Italian"),
    ("ja", &["jpn", "jap"], "Japanese"),
    ("ka", &["kat", "geo"], "Georgian"),
    ("kk", &["kaz"], "Kazakh"),
    ("ko", &["kor"], "Korean"),
    ("la", &["lat"], "Latin"),
    ("lt", &["lit"], "Lithuanian"),
    ("lv", &["lav"], "Latvian"),
    ("mk", &["mkd", "mac"], "Macedonian"),
    ("ml", &["mal"], "Malayalam"),
    ("ms", &["msa", "may"], "Malay"),
    ("nl", &["nld", "dut", "nederlands"], "Dutch"),
    ("no", &["nor", "nob", "nno", "nb", "nn", "norsk"], "Norwegian"),
    ("pl", &["pol", "polski"], "Polish"),
    ("pt", &["por", "portugues", "português"], "Portuguese"),
    ("ro", &["ron", "rum"], "Romanian"),
    ("ru", &["rus"], "Russian"),
    ("sk", &["slk", "slo"], "Slovak"),
    ("sl", &["slv"], "Slovenian"),
    ("sq", &["sqi", "alb"], "Albanian"),
    ("sr", &["srp", "scc"], "Serbian"),
    ("sv", &["swe", "svenska"], "Swedish"),
    ("ta", &["tam"], "Tamil"),
    ("te", &["tel"], "Telugu"),
    ("th", &["tha"], "Thai"),
    ("tr", &["tur", "turkce", "türkçe"], "Turkish"),
    ("uk", &["ukr"], "Ukrainian"),
    ("ur", &["urd"], "Urdu"),
    ("vi", &["vie"], "Vietnamese"),
    ("zh", &["zho", "chi", "chs", "cht", "mandarin"], "Chinese"),
];

/// The properties of a subtitle according to a label in its file's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Label {
    /// Language as a BCP 47 tag.
    pub(super) language: Option<String>,
    /// English name of the language.
    pub(super) language_name: Option<&'static str>,
    pub(super) forced: bool,
    pub(super) hearing_impaired: bool,
}

/// Parses a label such as `en`, `eng.forced`, `2_English`, `pt-BR`, `en.hi`. It reads from the end,
/// where such labels are, up to the first unknown word.
pub(super) fn read_label(label: &str) -> Label {
    let mut found = Label::default();
    let mut region: Option<String> = None;
    let mut words: Vec<&str> = label.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    while let Some(word) = words.pop() {
        let lower = word.to_lowercase();
        match lower.as_str() {
            "forced" => found.forced = true,
            "sdh" | "cc" => found.hearing_impaired = true,
            // Hearing impaired beside a language, Hindi without one.
            "hi" if words.last().is_some_and(|w| language(w).is_some()) => found.hearing_impaired = true,
            "full" | "sub" | "subs" | "default" | "latin" | "american" | "european" | "simplified" | "traditional" => {}
            // A region by name, as in `Brazilian.Portuguese`.
            "brazilian" => region = Some("BR".into()),
            _ if word.bytes().all(|b| b.is_ascii_digit()) => {}
            _ => match language(word) {
                Some((tag, name)) => {
                    found.language = Some(tag.to_owned());
                    found.language_name = Some(name);
                    if tag == "pt" && words.last().is_some_and(|w| w.eq_ignore_ascii_case("brazilian")) {
                        region = Some("BR".into());
                    }
                    break;
                }
                None if words.last().is_some_and(|w| language(w).is_some()) => match read_region(&lower) {
                    Some(found) => region = Some(found),
                    None => break,
                },
                None => break,
            },
        }
    }
    if let (Some(language), Some(region)) = (&mut found.language, region) {
        language.push('-');
        language.push_str(&region);
    }
    found
}

/// Reads `BR` of `pt-br`, `Hans` of `zh-hans`.
fn read_region(lower: &str) -> Option<String> {
    match lower {
        "hans" => Some("Hans".into()),
        "hant" => Some("Hant".into()),
        _ => (lower.len() == 2 && lower.bytes().all(|b| b.is_ascii_lowercase())).then(|| lower.to_uppercase()),
    }
}

fn language(word: &str) -> Option<(&'static str, &'static str)> {
    let lower = word.to_lowercase();
    let is = |l: &&(&str, &[&str], &str)| l.0 == lower || l.1.contains(&lower.as_str()) || l.2.to_lowercase() == lower;
    LANGUAGES.iter().find(is).map(|(tag, _, name)| (*tag, *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_as_people_write_them() {
        for (label, language, forced, hearing_impaired) in [
            ("en", Some("en"), false, false),
            ("eng.forced", Some("en"), true, false),
            ("2_English", Some("en"), false, false),
            ("English.SDH", Some("en"), false, true),
            ("en.hi", Some("en"), false, true),
            ("hi", Some("hi"), false, false),
            ("ger", Some("de"), false, false),
            ("Deutsch", Some("de"), false, false),
            ("pt-BR", Some("pt-BR"), false, false),
            (".pt-br", Some("pt-BR"), false, false),
            ("Brazilian.Portuguese", Some("pt-BR"), false, false),
            ("zh-hans", Some("zh-Hans"), false, false),
            ("forced", None, true, false),
            ("The.English.Patient", None, false, false),
            ("12_fre", Some("fr"), false, false),
            ("", None, false, false),
            ("...", None, false, false),
        ] {
            let found = read_label(label);
            assert_eq!(
                (found.language.as_deref(), found.forced, found.hearing_impaired),
                (language, forced, hearing_impaired),
                "{label}"
            );
        }
    }

    #[test]
    fn no_code_stands_for_two_languages() {
        let mut seen = std::collections::BTreeSet::new();
        for (tag, codes, name) in LANGUAGES {
            assert!(seen.insert((*tag).to_owned()) && seen.insert(name.to_lowercase()), "{tag}");
            assert!(codes.iter().all(|code| seen.insert((*code).to_owned())), "{tag}");
        }
    }
}
