//! Describes a torrent as text for people and as JSON for scripts.

use super::sparkline::sparkline;
use crate::units::{bit_rate, bytes};
use playswarm::metainfo::{ChooseFile, Sidecars, Tracker, content_type, is_playable};
use playswarm::printable::{self, line};
use playswarm::status::TrackerStatus;
use playswarm::{Accuracy, Metainfo, NamedFile, Timeline, Track};
use playswarm_serve::{clock_time, natural_order, timeline_json};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// Width of the bit-rate curve in characters.
const CURVE_CELLS: usize = 60;
/// Number of points of the bit-rate curve in JSON.
const CURVE_BUCKETS: usize = 100;

/// A torrent, the selected file, and the known timelines.
pub(super) struct Described {
    torrent: Arc<Metainfo>,
    file: Option<usize>,
    timelines: BTreeMap<usize, Arc<Timeline>>,
    /// The reason why the time information of the selected file is unknown although it was
    /// requested.
    lacks: Option<String>,
    /// The trackers' responses, if they were contacted.
    asked: Vec<TrackerStatus>,
}

impl Described {
    pub(super) fn without_time(torrent: Arc<Metainfo>, file: Option<usize>) -> Described {
        Described { torrent, file, timelines: BTreeMap::new(), lacks: None, asked: Vec::new() }
    }

    pub(super) fn new(
        torrent: Arc<Metainfo>,
        file: Option<usize>,
        known: impl Fn(usize) -> Option<Arc<Timeline>>,
    ) -> Described {
        let timelines = (0..torrent.files.len()).filter_map(|file| Some((file, known(file)?))).collect();
        Described { torrent, file, timelines, lacks: None, asked: Vec::new() }
    }

    pub(super) fn lacking(self, lacks: Option<String>) -> Described {
        Described { lacks, ..self }
    }

    pub(super) fn lacks(&self) -> Option<&str> {
        self.lacks.as_deref()
    }

    pub(super) fn with_trackers(self, asked: Vec<TrackerStatus>) -> Described {
        Described { asked, ..self }
    }

    /// Returns the selected file and its time information.
    fn shown(&self) -> Option<(usize, &Arc<Timeline>)> {
        self.file.and_then(|file| Some((file, self.timelines.get(&file)?)))
    }

    fn duration_s(&self, file: usize) -> Option<f64> {
        self.timelines.get(&file).filter(|t| t.knows_duration()).map(|t| t.duration().as_secs_f64())
    }

    pub(super) fn text(&self) -> String {
        let torrent = &self.torrent;
        let mut out = String::new();
        let files = natural_order(torrent);
        let _ = writeln!(out, "name       {}", line(&torrent.name));
        match &torrent.named {
            None => {
                let _ = writeln!(out, "info-hash  {}", torrent.info_hash);
            }
            Some(named) => {
                let _ = writeln!(out, "hash       {}", named.urn().unwrap_or_else(|| "those of its pieces".into()));
                let _ = writeln!(out, "proof      {}", torrent.proof.kind());
            }
        }
        let _ = writeln!(out, "size       {} ({} bytes)", bytes(torrent.total_bytes()), torrent.total_bytes());
        let _ = writeln!(out, "pieces     {} of {}", torrent.pieces(), bytes(torrent.piece_bytes().into()));
        if torrent.named.is_none() {
            let _ = writeln!(out, "private    {}", if torrent.private { "yes" } else { "no" });
        }
        let asked = self.asked.iter().map(|tracker| format!("{} ({tracker})", tracker.url));
        let named = torrent.trackers.iter().filter(|_| self.asked.is_empty()).map(Tracker::shown);
        for (i, tracker) in asked.chain(named).enumerate() {
            let _ = writeln!(out, "{:<10} {tracker}", if i == 0 { "trackers" } else { "" });
        }
        if let Some((file, timeline)) = self.shown() {
            let _ = writeln!(out, "file       {file}: {}", line(&torrent.files[file].name));
            push_time(&mut out, timeline);
        }
        if self.file.is_none()
            && let Err(why) = torrent.default_file()
        {
            let _ = writeln!(out, "file       none: {why}");
        }
        let _ = writeln!(out, "files      {} (* can be played)", files.len());
        let width = torrent.files.len().saturating_sub(1).to_string().len().max(3);
        let timed = files.iter().any(|file| self.duration_s(*file).is_some());
        for i in files {
            let file = &torrent.files[i];
            let mark = if is_playable(&file.name) { '*' } else { ' ' };
            let duration = self.duration_s(i).map(clock_time).unwrap_or_default();
            let duration = if timed { format!("{duration:>8}  ") } else { String::new() };
            let _ = writeln!(
                out,
                "{i:>width$} {mark} {:>11}  {duration}{}",
                bytes(file.length).to_string(),
                line(&file.name)
            );
        }
        out
    }

    pub(super) fn json(&self) -> String {
        let torrent = &self.torrent;
        let beside = Sidecars::new(torrent);
        let files: Vec<_> = natural_order(torrent)
            .into_iter()
            .map(|i| {
                let file = &torrent.files[i];
                json!({
                    "index": i,
                    "name": file.name,
                    "path": file.path,
                    "length": file.length,
                    "content_type": content_type(&file.name),
                    "playable": is_playable(&file.name),
                    "duration_s": self.duration_s(i),
                    "subtitles": beside.subtitles(i).iter().map(|s| s.file).collect::<Vec<_>>(),
                    "artwork": beside.artwork(i),
                })
            })
            .collect();
        let all = json!({
            "name": torrent.name,
            "info_hash": torrent.info_hash.to_string(),
            "urn": torrent.named.as_ref().and_then(NamedFile::urn),
            "proof": torrent.proof.kind(),
            "total_bytes": torrent.total_bytes(),
            "piece_bytes": torrent.piece_bytes(),
            "pieces": torrent.pieces(),
            "private": torrent.private,
            "trackers": torrent.trackers.urls().collect::<Vec<_>>(),
            "tracker_states": self.asked,
            "files": files,
            "file": self.file,
            "lacks": self.lacks,
            "timeline": self.shown().map(|(file, timeline)| timeline_json(file, timeline, CURVE_BUCKETS)),
        });
        printable::json(&format!("{all:#}")).into_owned()
    }
}

fn push_time(out: &mut String, timeline: &Timeline) {
    let _ = writeln!(out, "container  {}", timeline.container().name());
    let how = match timeline.accuracy() {
        Accuracy::Exact => "every keyframe is known".to_owned(),
        Accuracy::Sparse => "a seek looks for its keyframe".to_owned(),
        Accuracy::Estimate { why } => format!("seeks are estimates: {}", line(why)),
        _ => "seeks are estimates".to_owned(),
    };
    let duration =
        if timeline.knows_duration() { clock_time(timeline.duration().as_secs_f64()) } else { "not known".into() };
    let _ = writeln!(out, "duration   {duration} ({how})");
    for (i, track) in timeline.tracks().iter().enumerate() {
        let _ = writeln!(out, "{:<10} {}", if i == 0 { "tracks" } else { "" }, track_line(track));
    }
    if let Some((median, longest)) = timeline.keyframe_spacing() {
        let (median, longest) = (median.as_secs_f64(), longest.as_secs_f64());
        let known = timeline.keyframes().len();
        let _ = writeln!(out, "keyframes  {known} known, median {median:.1} s apart, at most {longest:.1} s");
    }
    let curve = timeline.bitrate_curve(CURVE_CELLS);
    if !curve.is_empty() {
        let mean = timeline.size() as f64 / timeline.duration().as_secs_f64();
        let most = curve.iter().copied().fold(0.0, f64::max);
        let _ = writeln!(out, "bit rate   {} on average, {} at most", bit_rate(mean), bit_rate(most));
        let _ = writeln!(out, "           {}", sparkline(&curve));
    }
}

/// Formats a track: `video h264 1920x1080`, `audio aac eng 2 channels 48000 Hz "Commentary"`.
fn track_line(track: &Track) -> String {
    let kind = format!("{:?}", track.kind).to_lowercase();
    let mut words = vec![kind, track.codec.clone()];
    words.extend(track.language.clone());
    words.extend(track.resolution.map(|(width, height)| format!("{width}x{height}")));
    words.extend(track.audio.map(|(channels, rate)| format!("{channels} channels {rate} Hz")));
    words.extend(track.title.as_ref().map(|title| format!("\"{title}\"")));
    words.retain(|word| !word.is_empty());
    line(&words.join(" ")).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use playswarm::TrackKind;

    #[test]
    fn what_others_wrote_moves_no_cursor_and_forges_no_line() {
        let evil = "\u{1b}[2Jx\u{202e}\r\ninfo-hash  0\u{9b}1m";
        let info = b"d6:lengthi1e4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
        let trackers = vec![format!("http://x/{evil}")];
        let mut torrent = Metainfo::from_info(bytes::Bytes::from_static(info), trackers).unwrap();
        torrent.name = evil.into();
        torrent.files[0].path = evil.into();
        torrent.files[0].name = evil.into();
        let described = Described::without_time(Arc::new(torrent), Some(0));
        let text = described.text();
        assert!(text.chars().all(|c| c == '\n' || printable::is_printable(c)), "{text:?}");
        assert_eq!(text.matches("\ninfo-hash").count(), 1, "{text}");
        let shown = described.json();
        assert!(shown.chars().all(|c| c == '\n' || printable::is_printable(c)), "{shown:?}");
        let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(read["name"], evil, "a program reads what stands there");
        let mut track = Track::default();
        track.codec = evil.into();
        track.language = Some(evil.into());
        track.title = Some(evil.into());
        assert!(track_line(&track).chars().all(printable::is_printable));
    }

    #[test]
    fn a_track_is_described_in_a_line() {
        let mut track = Track::default();
        track.kind = TrackKind::Audio;
        track.codec = "aac".into();
        track.language = Some("eng".into());
        track.title = Some("with\ncomments".into());
        track.audio = Some((2, 48_000));
        assert_eq!(track_line(&track), "audio aac eng 2 channels 48000 Hz \"with comments\"");
        track = Track::default();
        track.kind = TrackKind::Video;
        track.codec = "h264".into();
        track.resolution = Some((1920, 1080));
        assert_eq!(track_line(&track), "video h264 1920x1080");
    }
}
