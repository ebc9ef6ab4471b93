//! The words of a text, by which files are found: each servent must cut names and queries alike.
//! The rules are those of gtk-gnutella (`utf8_canonize`).

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;

/// First character of the blocks of East Asian writing, where one character may be a word.
const EAST_ASIA: char = '\u{2e80}';

/// Returns the words of a text: in lower case, without accents, composed (NFC), and of more than one
/// letter or digit.
pub fn words(text: &str) -> Vec<String> {
    let folded: String = text.chars().flat_map(folded).collect();
    let plain = DecomposingNormalizerBorrowed::new_nfkd().normalize(&folded);
    let plain: String = plain.chars().filter_map(filtered).collect();
    let plain = ComposingNormalizerBorrowed::new_nfc().normalize(&plain);
    plain.split(' ').flat_map(by_block).filter(|word| is_word(word)).map(str::to_owned).collect()
}

/// Returns a character without its case.
fn folded(c: char) -> impl Iterator<Item = char> {
    let (c, double) = match c {
        'ß' | 'ẞ' => ('s', Some('s')),
        'ς' => ('σ', None),
        c => (c, None),
    };
    c.to_lowercase().chain(double)
}

/// Returns a character of a word, a blank for one between words, or `None` for one without effect.
fn filtered(c: char) -> Option<char> {
    use GeneralCategory as G;
    match CodePointMapData::<GeneralCategory>::new().get(c) {
        G::LowercaseLetter | G::OtherLetter | G::ModifierLetter | G::DecimalNumber | G::Unassigned => Some(c),
        G::NonspacingMark => is_essential(c).then_some(c),
        _ => Some(' '),
    }
}

/// Whether a mark is kept, because other letters arise without it.
fn is_essential(mark: char) -> bool {
    matches!(
        mark,
        // Voiced sounds of Japanese.
        '\u{3099}' | '\u{309a}'
        // Viramas.
        | '\u{94d}' | '\u{9cd}' | '\u{a4d}' | '\u{acd}' | '\u{b4d}' | '\u{bcd}' | '\u{c4d}' | '\u{ccd}'
        | '\u{dca}' | '\u{e3a}' | '\u{f84}' | '\u{1039}' | '\u{1714}' | '\u{1734}'
        // Nuktas.
        | '\u{93c}' | '\u{9bc}' | '\u{a3c}' | '\u{abc}' | '\u{b3c}' | '\u{cbc}' | '\u{1037}'
        // Vowels and signs of Tibetan, Lao, Limbu and Mongolian; accents of Devanagari and Greek.
        | '\u{f18}' | '\u{f19}' | '\u{f35}' | '\u{f37}' | '\u{f39}' | '\u{f71}' | '\u{f72}' | '\u{f74}'
        | '\u{f7a}'..='\u{f7d}' | '\u{f80}' | '\u{f82}' | '\u{f83}' | '\u{f86}' | '\u{f87}' | '\u{fc6}'
        | '\u{eb8}' | '\u{eb9}' | '\u{1939}'..='\u{193b}' | '\u{18a9}' | '\u{951}' | '\u{952}' | '\u{345}'
    )
}

/// Cuts a text where the writing changes: names in Chinese and Japanese have no blanks.
fn by_block(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = block(rest.chars().next()?);
        let end = rest.char_indices().find(|(_, c)| block(*c) != first).map_or(rest.len(), |(at, _)| at);
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

/// Returns the block of a letter. Latin letters and digits are one.
fn block(c: char) -> u8 {
    match c {
        '\u{370}'..='\u{3ff}' => 1,
        '\u{400}'..='\u{4ff}' => 2,
        '\u{590}'..='\u{5ff}' => 3,
        '\u{600}'..='\u{6ff}' => 4,
        '\u{900}'..='\u{97f}' => 5,
        '\u{e00}'..='\u{e7f}' => 6,
        '\u{3040}'..='\u{309f}' => 7,
        '\u{30a0}'..='\u{30ff}' => 8,
        '\u{3400}'..='\u{4dbf}' => 9,
        '\u{4e00}'..='\u{9fff}' => 10,
        '\u{ac00}'..='\u{d7af}' => 11,
        _ => 0,
    }
}

/// Whether a text is long enough to be a word.
fn is_word(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first >= EAST_ASIA || chars.next().is_some())
}
