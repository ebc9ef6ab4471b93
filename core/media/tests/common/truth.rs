//! ffprobe's description of a film, with which the index is compared.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

#[derive(Debug)]
pub struct Truth {
    pub duration: f64,
    /// The first presentation timestamp of the file.
    pub start: f64,
    pub tracks: Vec<TrackTruth>,
    /// In the file's order.
    pub packets: Vec<Packet>,
}

#[derive(Debug, Default)]
pub struct TrackTruth {
    pub index: usize,
    /// `video`, `audio`, `subtitle`, …
    pub kind: String,
    pub codec: String,
    pub language: Option<String>,
    pub title: Option<String>,
    pub resolution: Option<(u32, u32)>,
    /// Channels and samples a second.
    pub audio: Option<(u32, u32)>,
    /// Whether it is a still picture, such as the cover of an album.
    pub attached: bool,
}

#[derive(Clone, Debug)]
pub struct Packet {
    pub track: usize,
    pub pts: Option<f64>,
    pub dts: Option<f64>,
    pub duration: Option<f64>,
    pub pos: Option<u64>,
    pub key: bool,
}

impl Packet {
    /// Returns the presentation time, or the decoding time if that is not known.
    pub fn time(&self) -> Option<f64> {
        self.pts.or(self.dts)
    }
}

impl Truth {
    pub fn of(path: &Path) -> Truth {
        let entries = "packet=stream_index,pts_time,dts_time,duration_time,pos,flags\
            :stream=index,codec_name,codec_type,width,height,channels,sample_rate\
            :stream_disposition=attached_pic:stream_tags=language,title:format=duration,start_time";
        let output = Command::new("ffprobe")
            .args(["-loglevel", "error", "-show_entries", entries, "-of", "compact"])
            .arg(path)
            .output()
            .unwrap();
        assert!(output.status.success(), "ffprobe cannot read {}", path.display());
        let mut truth = Truth { duration: f64::NAN, start: 0.0, tracks: Vec::new(), packets: Vec::new() };
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let fields: HashMap<&str, &str> = line.split('|').filter_map(|field| field.split_once('=')).collect();
            match line.split('|').next() {
                Some("packet") => truth.packets.push(packet(&fields)),
                Some("stream") => {
                    // The streams of a transport stream are listed by program, and then once more.
                    let track = track(&fields);
                    truth.tracks.retain(|known| known.index != track.index);
                    truth.tracks.push(track);
                }
                Some("format") => {
                    truth.duration = number(&fields, "duration").unwrap_or(f64::NAN);
                    truth.start = number(&fields, "start_time").unwrap_or(0.0);
                }
                _ => {}
            }
        }
        truth.tracks.sort_by_key(|track| track.index);
        if truth.duration.is_nan() {
            // Not stated in the file: up to the end of the last packet.
            let ends = truth.packets.iter().filter_map(|p| Some(p.time()? + p.duration.unwrap_or(0.0)));
            truth.duration = ends.fold(f64::NAN, f64::max) - truth.start;
        }
        truth
    }

    /// Returns the first video track that is not a still picture, else the first audio track.
    pub fn main(&self) -> &TrackTruth {
        let of = |kind: &str| self.tracks.iter().find(|t| t.kind == kind && !t.attached);
        of("video").or_else(|| of("audio")).unwrap()
    }

    pub fn main_packets(&self) -> impl Iterator<Item = &Packet> {
        let main = self.main().index;
        self.packets.iter().filter(move |p| p.track == main)
    }

    /// The keyframes of the main track: time and position, ascending in time.
    pub fn keyframes(&self) -> Vec<(f64, u64)> {
        let keys = self.main_packets().filter(|p| p.key);
        let mut keys: Vec<_> = keys.map(|p| (p.time().unwrap(), p.pos.unwrap())).collect();
        keys.sort_by(|a, b| a.0.total_cmp(&b.0));
        keys
    }

    /// Returns the usual duration of a frame of the main track.
    pub fn frame(&self) -> f64 {
        let mut durations: Vec<f64> = self.main_packets().filter_map(|p| p.duration).collect();
        durations.sort_by(f64::total_cmp);
        durations.get(durations.len() / 2).copied().unwrap_or(0.04)
    }

    /// Returns for each of these times, ascending, the lowest position of a packet of pictures or
    /// sound that begins then or later.
    pub fn lowest_from(&self, times: &[f64]) -> Vec<u64> {
        let plays = |track: &TrackTruth| matches!(track.kind.as_str(), "video" | "audio") && !track.attached;
        let played = |p: &&Packet| self.tracks.iter().any(|t| t.index == p.track && plays(t));
        let mut packets: Vec<(f64, u64)> =
            self.packets.iter().filter(played).filter_map(|p| Some((p.time()?, p.pos?))).collect();
        packets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut lowest = u64::MAX;
        let mut answers = Vec::new();
        for &time in times.iter().rev() {
            // ffprobe rounds to microseconds.
            while let Some((_, pos)) = packets.pop_if(|p| p.0 >= time - 2e-6) {
                lowest = lowest.min(pos);
            }
            answers.push(lowest);
        }
        answers.reverse();
        answers
    }
}

fn number(fields: &HashMap<&str, &str>, name: &str) -> Option<f64> {
    fields.get(name)?.parse().ok()
}

fn packet(fields: &HashMap<&str, &str>) -> Packet {
    Packet {
        track: fields["stream_index"].parse().unwrap(),
        pts: number(fields, "pts_time"),
        dts: number(fields, "dts_time"),
        duration: number(fields, "duration_time"),
        pos: fields.get("pos").and_then(|pos| pos.parse().ok()),
        key: fields["flags"].starts_with('K'),
    }
}

fn track(fields: &HashMap<&str, &str>) -> TrackTruth {
    let whole = |name: &str| fields.get(name)?.parse::<u32>().ok();
    let text = |name: &str| fields.get(name).map(|value| (*value).to_owned());
    TrackTruth {
        index: fields["index"].parse().unwrap(),
        kind: text("codec_type").unwrap_or_default(),
        codec: text("codec_name").unwrap_or_default(),
        language: text("tag:language").filter(|language| language != "und"),
        title: text("tag:title"),
        resolution: whole("width").zip(whole("height")).filter(|size| size.0 > 0),
        audio: whole("channels").zip(whole("sample_rate")),
        attached: fields.get("disposition:attached_pic") == Some(&"1"),
    }
}
