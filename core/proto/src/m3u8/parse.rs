//! Parsing of playlists. Tags that do not change which bytes make the stream are skipped.

use super::{
    BadPlaylist, MAX_PLAYLIST_BYTES, MAX_SEGMENTS, MAX_URI_BYTES, MAX_VARIANTS, Map, Media, Playlist, Segment, Variant,
};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Parses a playlist.
///
/// # Errors
/// The reason why a stream cannot be pulled from it.
pub fn parse(bytes: &[u8]) -> Result<Playlist, BadPlaylist> {
    if bytes.len() > MAX_PLAYLIST_BYTES {
        return Err(BadPlaylist::new(format!("the playlist has over {MAX_PLAYLIST_BYTES} bytes")));
    }
    // Titles in old encodings do not matter here.
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut lines = text.lines().map(str::trim_ascii).filter(|line| !line.is_empty());
    if lines.next().is_none_or(|line| line != "#EXTM3U") {
        return Err(BadPlaylist::new("this is not a playlist of HLS: it does not begin with #EXTM3U"));
    }
    let mut parser = Parser::default();
    for line in lines {
        match line.strip_prefix('#') {
            None => parser.address(line)?,
            Some(tag) => {
                let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
                parser.tag(name, value)?;
            }
        }
    }
    parser.finish()
}

#[derive(Default)]
struct Parser<'a> {
    media: Media,
    has_target: bool,
    variants: Vec<Variant>,
    /// Rate of the variant whose address follows, and the group of its sound.
    variant: Option<(u64, Option<&'a str>)>,
    /// The group of the sound of each variant.
    groups: Vec<Option<&'a str>>,
    /// Groups of sound that have playlists of their own.
    separate: Vec<&'a str>,
    /// What is known of the segment whose address follows.
    next: Segment,
    has_duration: bool,
    /// Length and start of its bytes; without a start they follow those of the segment before.
    range: Option<(u64, Option<u64>)>,
    map: Option<Arc<Map>>,
}

impl<'a> Parser<'a> {
    fn tag(&mut self, name: &str, value: &'a str) -> Result<(), BadPlaylist> {
        let bad = || BadPlaylist::new(format!("the playlist has a wrong #{name}"));
        match name {
            "EXT-X-STREAM-INF" => {
                let rate = attribute(value, "BANDWIDTH").and_then(|text| text.parse().ok()).ok_or_else(bad)?;
                self.variant = Some((rate, attribute(value, "AUDIO")));
            }
            "EXT-X-MEDIA" if attribute(value, "TYPE") == Some("AUDIO") && attribute(value, "URI").is_some() => {
                self.separate.extend(attribute(value, "GROUP-ID").filter(|_| self.separate.len() < MAX_VARIANTS));
            }
            "EXT-X-TARGETDURATION" => {
                let duration = seconds(value).ok_or_else(bad)?;
                self.media.target_duration_s = duration.as_secs();
                self.has_target = true;
            }
            "EXT-X-MEDIA-SEQUENCE" => {
                let number: u64 = value.parse().map_err(|_| bad())?;
                // So far from the end that segments can be counted.
                self.media.sequence = Some(number).filter(|number| number >> 63 == 0).ok_or_else(bad)?;
            }
            "EXT-X-DISCONTINUITY-SEQUENCE" => self.media.discontinuity_sequence = value.parse().map_err(|_| bad())?,
            "EXTINF" => {
                let duration = value.split(',').next().unwrap_or_default().trim_ascii();
                if duration.starts_with('-') {
                    return Err(BadPlaylist::new(
                        "this is a list of stations, not a playlist of HLS; use an address in it",
                    ));
                }
                self.next.duration = seconds(duration).ok_or_else(bad)?;
                self.has_duration = true;
            }
            "EXT-X-BYTERANGE" => self.range = Some(byte_range(value).ok_or_else(bad)?),
            "EXT-X-MAP" => {
                let uri = checked(
                    attribute(value, "URI").filter(|uri| !uri.is_empty() && !uri.contains('"')).ok_or_else(bad)?,
                )?;
                let bytes = match attribute(value, "BYTERANGE") {
                    None => None,
                    Some(text) => {
                        let (length, start) = byte_range(text).ok_or_else(bad)?;
                        Some(range(start.unwrap_or(0), length).ok_or_else(bad)?)
                    }
                };
                self.map = Some(Arc::new(Map { uri, bytes }));
            }
            "EXT-X-DISCONTINUITY" => self.next.is_discontinuous = true,
            "EXT-X-GAP" => self.next.is_gap = true,
            "EXT-X-ENDLIST" => self.media.has_ended = true,
            "EXT-X-KEY" if attribute(value, "METHOD") != Some("NONE") => {
                return Err(BadPlaylist::new("the stream is encrypted (#EXT-X-KEY), and keys are not fetched"));
            }
            "EXT-X-I-FRAMES-ONLY" => {
                return Err(BadPlaylist::new("the playlist has only keyframes; use that of the whole stream"));
            }
            "EXT-X-DEFINE" | "EXT-X-SKIP" => {
                return Err(BadPlaylist::new(format!("the playlist uses #{name}, which is not understood here")));
            }
            _ => {}
        }
        Ok(())
    }

    fn address(&mut self, uri: &str) -> Result<(), BadPlaylist> {
        let uri = checked(uri)?;
        if let Some((bits_per_s, group)) = self.variant.take() {
            if self.variants.len() == MAX_VARIANTS {
                return Err(BadPlaylist::new(format!("the playlist has over {MAX_VARIANTS} variants")));
            }
            self.variants.push(Variant { uri, bits_per_s, has_separate_audio: false });
            self.groups.push(group);
            return Ok(());
        }
        if !std::mem::take(&mut self.has_duration) {
            return Err(BadPlaylist::new("the playlist has a segment without a duration (#EXTINF)"));
        }
        if self.media.segments.len() == MAX_SEGMENTS {
            return Err(BadPlaylist::new(format!("the playlist has over {MAX_SEGMENTS} segments")));
        }
        let mut segment = std::mem::take(&mut self.next);
        if let Some((length, start)) = self.range.take() {
            let before = self.media.segments.last().filter(|before| before.uri == uri);
            let start = start.or_else(|| Some(before?.bytes.as_ref()?.end));
            let bytes = start.and_then(|start| range(start, length));
            segment.bytes = Some(bytes.ok_or_else(|| BadPlaylist::new("the playlist has a wrong #EXT-X-BYTERANGE"))?);
        }
        (segment.uri, segment.map) = (uri, self.map.clone());
        self.media.segments.push(segment);
        Ok(())
    }

    fn finish(mut self) -> Result<Playlist, BadPlaylist> {
        if !self.variants.is_empty() {
            for (variant, group) in self.variants.iter_mut().zip(&self.groups) {
                variant.has_separate_audio = group.is_some_and(|group| self.separate.contains(&group));
            }
            return Ok(Playlist::Master(self.variants));
        }
        if !self.has_target {
            let longest = self.media.segments.iter().map(|segment| segment.duration).max();
            let longest = longest.ok_or_else(|| BadPlaylist::new("the playlist has neither segments nor variants"))?;
            self.media.target_duration_s = longest.as_secs() + u64::from(longest.subsec_nanos() > 0);
        }
        Ok(Playlist::Media(self.media))
    }
}

fn checked(uri: &str) -> Result<String, BadPlaylist> {
    if uri.len() > MAX_URI_BYTES {
        return Err(BadPlaylist::new(format!("the playlist has an address of over {MAX_URI_BYTES} bytes")));
    }
    Ok(uri.to_owned())
}

/// Returns an attribute of a list, without quotes. A value in quotes may have commas.
fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    while let Some((key, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        if key.trim_ascii() == name {
            return Some(value);
        }
        rest = after.trim_ascii_start().trim_start_matches(',');
    }
    None
}

/// Parses a decimal number of seconds, exact to the nanosecond.
fn seconds(text: &str) -> Option<Duration> {
    const DIGITS: usize = 9;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > DIGITS || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(DIGITS)];
    let nanos = format!("{fraction:0<DIGITS$}").parse().ok()?;
    Some(Duration::new(whole.parse().ok()?, nanos))
}

/// Parses `LENGTH[@START]`.
fn byte_range(text: &str) -> Option<(u64, Option<u64>)> {
    match text.split_once('@') {
        Some((length, start)) => Some((length.parse().ok()?, Some(start.parse().ok()?))),
        None => Some((text.parse().ok()?, None)),
    }
}

fn range(start: u64, length: u64) -> Option<Range<u64>> {
    Some(start..start.checked_add(length)?)
}
