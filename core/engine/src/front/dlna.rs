//! What televisions ask for beside the bytes: DLNA's headers (DLNA Guidelines, part 1-1, section 7.5), and Samsung's.

use super::App;
use super::library::Library;
use super::links::Links;
use crate::Timeline;
use crate::torrent::{content_type, is_playable};
use http::{HeaderMap, HeaderName, HeaderValue};
use playswarm_media::Container;

const WANTS_FEATURES: HeaderName = HeaderName::from_static("getcontentfeatures.dlna.org");
const FEATURES: HeaderName = HeaderName::from_static("contentfeatures.dlna.org");
const TRANSFER_MODE: HeaderName = HeaderName::from_static("transfermode.dlna.org");
const CAPTION: HeaderName = HeaderName::from_static("captioninfo.sec");
const WANTS_MEDIA_INFO: HeaderName = HeaderName::from_static("getmediainfo.sec");
const MEDIA_INFO: HeaderName = HeaderName::from_static("mediainfo.sec");
/// Seek by time and by byte (OP=11), nothing converted; flags: streaming and background transfer, a connection may be
/// held without reading, version 1.5.
const BY_TIME: &str = "DLNA.ORG_OP=11;DLNA.ORG_CI=0;DLNA.ORG_FLAGS=01700000000000000000000000000000";
const BY_BYTE: &str = "DLNA.ORG_OP=01;DLNA.ORG_CI=0;DLNA.ORG_FLAGS=01700000000000000000000000000000";
/// The same of what is not played in time: interactive and background transfer.
const STILL: &str = "DLNA.ORG_OP=01;DLNA.ORG_CI=0;DLNA.ORG_FLAGS=00f00000000000000000000000000000";

/// Whether a decoder can begin in the middle of such a file. Where it needs the file's head, the bytes from a time on by
/// themselves are of no use to a player.
pub(crate) fn decodes_from_any_keyframe(container: Container) -> bool {
    matches!(container, Container::MpegTs | Container::Mp3)
}

/// Whether a seek by time is answered, as far as that is known now: by the file's own time, else by its name.
fn seeks_by_time(name: &str, timeline: Option<&Timeline>) -> bool {
    match timeline {
        Some(timeline) => timeline.knows_duration() && decodes_from_any_keyframe(timeline.container()),
        None => matches!(content_type(name), "video/mp2t" | "audio/mpeg"),
    }
}

/// Answers what the request asks of the file, and names its subtitle.
pub(crate) fn tell<L: Library>(app: &App<L>, file: usize, asked: &HeaderMap, links: &Links, out: &mut HeaderMap) {
    let Some(entry) = app.library.torrent().files.get(file) else { return };
    let (playable, timeline) = (is_playable(&entry.name), app.library.known_timeline(file));
    if asked.get(&WANTS_FEATURES).is_some_and(|v| v.as_bytes() == b"1") {
        let features = match playable {
            false => STILL,
            true if seeks_by_time(&entry.name, timeline.as_deref()) => BY_TIME,
            true => BY_BYTE,
        };
        out.insert(FEATURES, HeaderValue::from_static(features));
    }
    // Renderers want the mode back in which they are served.
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
    // The only way by which a television learns of a subtitle of a URL that it was handed.
    let subtitles = app.beside.subtitles(file);
    let best = subtitles.iter().min_by_key(|s| (s.format != "srt", s.forced, s.hearing_impaired));
    if let Some(subtitle) = best {
        put(out, CAPTION, &links.absolute(&app.path_of(subtitle.file)));
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
