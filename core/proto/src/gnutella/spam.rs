//! Marks by which results are hidden, as real servents do. They say nothing about what is true:
//! only a hash does.

use super::hit::{QueryHit, Record, ServentFlag};
use super::query::media;
use super::words::words;

/// Most other sources that honest servents name.
const MAX_HONEST_ALTERNATES: usize = 16;
/// The same for LimeWire, which names fewer.
const MAX_LIMEWIRE_ALTERNATES: usize = 10;
/// Number of a file that no servent gives.
pub const NO_INDEX: u32 = u32::MAX;

/// Why a result is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SpamMark {
    /// It has no hash, so nothing could be checked.
    NoHash,
    /// Its file has no bytes.
    Empty,
    /// Its file has a number that does not exist, or that of another file in the same hit.
    Index,
    /// It names more other sources than servents do.
    Alternates,
    /// The name of the program is not made of letters and digits.
    Vendor,
    /// Its name is the query, and the servent shows no other sign of life.
    Echo,
    /// Its file is of another kind than the one that was asked for.
    Kind,
}

/// Returns why a result is hidden, or `None`. `query` is the text that was searched for, and
/// `wanted` are the kinds of [`media`] that were asked for, if any.
pub fn spam_mark(hit: &QueryHit, record: &Record, query: &str, wanted: Option<u32>) -> Option<SpamMark> {
    let vendor = hit.trailer.as_ref().map(|trailer| trailer.vendor);
    let most = if vendor == Some(*b"LIME") { MAX_LIMEWIRE_ALTERNATES } else { MAX_HONEST_ALTERNATES };
    let same_index = hit.records.iter().filter(|other| other.index == record.index).count();
    if record.hashes().is_empty() {
        Some(SpamMark::NoHash)
    } else if record.size == 0 {
        Some(SpamMark::Empty)
    } else if record.index == NO_INDEX || same_index > 1 {
        Some(SpamMark::Index)
    } else if record.claimed_alternates() > most {
        Some(SpamMark::Alternates)
    } else if vendor.is_some_and(|vendor| !vendor.iter().all(u8::is_ascii_alphanumeric)) {
        Some(SpamMark::Vendor)
    } else if wanted.is_some_and(|wanted| !is_of_kind(&record.name, wanted)) {
        Some(SpamMark::Kind)
    } else if is_echo(hit, record, query) {
        Some(SpamMark::Echo)
    } else {
        None
    }
}

/// Whether the name is no more than the words of the query, from a servent that never uploaded,
/// shows no other files and has no proxies.
fn is_echo(hit: &QueryHit, record: &Record, query: &str) -> bool {
    let lives = hit.trailer.as_ref().is_some_and(|trailer| {
        trailer.flag(ServentFlag::HasUploaded) == Some(true)
            || trailer.can_browse()
            || !trailer.push_proxies().is_empty()
    });
    let (stem, _) = record.name.rsplit_once('.').unwrap_or((&record.name, ""));
    let asked = words(query);
    !lives && !asked.is_empty() && words(stem) == asked
}

/// Whether the ending of a name is that of a wanted kind.
fn is_of_kind(name: &str, wanted: u32) -> bool {
    const VIDEO: &str = "3gp asf avi divx flv m2ts m4v mkv mov mp4 mpeg mpg mts ogm ogv ts vob webm wmv";
    const AUDIO: &str = "aac ac3 aif aiff ape dts flac m4a mka mp2 mp3 oga ogg opus wav wma";
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    let known = [(media::VIDEO, VIDEO), (media::AUDIO, AUDIO)];
    // Other kinds have endings that are not listed here.
    let is_other = wanted & !(media::VIDEO | media::AUDIO) != 0;
    is_other || known.iter().any(|(kind, list)| wanted & kind != 0 && list.split(' ').any(|known| known == ending))
}
