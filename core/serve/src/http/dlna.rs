//! Headers for televisions: DLNA's (DLNA Guidelines, part 1-1, section 7.5) and Samsung's.

use super::library::Library;
use super::links::Links;
use super::{App, put};
use http::{HeaderMap, HeaderName, HeaderValue};
use playswarm::Timeline;
use playswarm::metainfo::{content_type, is_playable};
use playswarm_media::Container;

const WANTS_FEATURES: HeaderName = HeaderName::from_static("getcontentfeatures.dlna.org");
const FEATURES: HeaderName = HeaderName::from_static("contentfeatures.dlna.org");
const TRANSFER_MODE: HeaderName = HeaderName::from_static("transfermode.dlna.org");
const CAPTION: HeaderName = HeaderName::from_static("captioninfo.sec");
const WANTS_MEDIA_INFO: HeaderName = HeaderName::from_static("getmediainfo.sec");
const MEDIA_INFO: HeaderName = HeaderName::from_static("mediainfo.sec");
/// Features of a file with seeks by time and by byte (OP=11) and no conversion. Flags: streaming
/// and background transfer, a connection may stall, version 1.5.
const BY_TIME: &str = "DLNA.ORG_OP=11;DLNA.ORG_CI=0;DLNA.ORG_FLAGS=01700000000000000000000000000000";
/// The same with seeks by byte only.
const BY_BYTE: &str = "DLNA.ORG_OP=01;DLNA.ORG_CI=0;DLNA.ORG_FLAGS=01700000000000000000000000000000";
/// The same for files without a duration: interactive and background transfer.
const STILL: &str = "DLNA.ORG_OP=01;DLNA.ORG_CI=0;DLNA.ORG_FLAGS=00f00000000000000000000000000000";

/// Whether a decoder can begin in the middle of a file of this container. Where it needs the head
/// of the file, the bytes from a time on are of no use to a player by themselves.
pub(crate) fn decodes_from_any_keyframe(container: Container) -> bool {
    matches!(container, Container::MpegTs | Container::Mp3)
}

/// Whether a seek by time is answered, by the file's timeline where that is known, else by its
/// name.
fn seeks_by_time(name: &str, timeline: Option<&Timeline>) -> bool {
    match timeline {
        Some(timeline) => timeline.knows_duration() && decodes_from_any_keyframe(timeline.container()),
        None => matches!(content_type(name), "video/mp2t" | "audio/mpeg"),
    }
}

/// Adds the headers that the request asks for, and the file's subtitle.
pub(crate) fn tell<L: Library>(app: &App<L>, file: usize, asked: &HeaderMap, links: &Links, out: &mut HeaderMap) {
    let Some(entry) = app.library.metainfo().files.get(file) else { return };
    let (playable, timeline) = (is_playable(&entry.name), app.library.known_timeline(file));
    if asked.get(&WANTS_FEATURES).is_some_and(|v| v.as_bytes() == b"1") {
        let features = match playable {
            false => STILL,
            true if seeks_by_time(&entry.name, timeline.as_deref()) => BY_TIME,
            true => BY_BYTE,
        };
        out.insert(FEATURES, HeaderValue::from_static(features));
    }
    // Renderers expect the mode of the transfer in the answer.
    if let Some(mode) = asked.get(&TRANSFER_MODE) {
        let is = |name: &str| mode.as_bytes().eq_ignore_ascii_case(name.as_bytes());
        let mode = match (is("Background"), playable) {
            (true, _) => "Background",
            (_, true) => "Streaming",
            (_, false) => "Interactive",
        };
        out.insert(TRANSFER_MODE, HeaderValue::from_static(mode));
    }
    if let Some(timeline) = timeline.filter(|t| t.knows_duration() && asked.contains_key(&WANTS_MEDIA_INFO)) {
        put(out, MEDIA_INFO, &format!("SEC_Duration={};", timeline.duration().as_millis()));
    }
    // For a television that was given a URL, this is the only way to learn of a subtitle.
    let subtitles = app.beside.subtitles(file);
    let best = subtitles.iter().min_by_key(|s| (s.format != "srt", s.forced, s.hearing_impaired));
    if let Some(subtitle) = best {
        put(out, CAPTION, &links.absolute(&app.path_of(subtitle.file)));
    }
}
