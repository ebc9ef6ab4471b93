//! Compares samples with the packets that ffprobe reads, by their hashes.

use super::reader::{Cut, Source};
use super::{Film, read};
use md5::{Digest as _, Md5};
use playswarm_media::{Container, End, Locate, Sample, Samples, SeekPoint, Timeline, TrackKind};
use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Most bytes that a reader may hold, in addition to those fed in one round.
const MAX_HELD: usize = 6 << 20;

/// A packet as ffprobe reads it.
#[derive(Clone, Debug)]
pub struct Packet {
    pub pts: Option<f64>,
    pub dts: Option<f64>,
    pub duration: Option<f64>,
    pub key: bool,
    /// Decoded but not shown.
    pub discard: bool,
    pub size: usize,
    pub md5: String,
}

/// The packets of a stream, and the hash of its decoder's configuration.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    pub kind: String,
    pub codec: String,
    pub extradata_md5: Option<String>,
    pub packets: Vec<Packet>,
}

/// Reads the streams of a film with ffprobe.
pub fn streams(film: &Film) -> Vec<Stream> {
    let entries = "packet=stream_index,pts_time,dts_time,duration_time,flags,size,data_hash\
        :stream=index,codec_type,codec_name,extradata_hash";
    let output = Command::new("ffprobe")
        .args(["-loglevel", "error", "-show_data_hash", "md5", "-show_entries", entries, "-of", "compact"])
        .arg(film.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    let mut streams: Vec<Stream> = Vec::new();
    // Side data breaks a line.
    for line in String::from_utf8_lossy(&output.stdout).replace("\n|", "|").lines() {
        let fields: HashMap<&str, &str> = line.split('|').filter_map(|field| field.split_once('=')).collect();
        let number = |name: &str| fields.get(name)?.parse::<f64>().ok();
        let hash = |name: &str| fields.get(name).map(|hash| hash.trim_start_matches("MD5:").to_owned());
        let Some(index) = number("stream_index").or(number("index")) else { continue };
        if streams.len() <= index as usize {
            streams.resize(index as usize + 1, Stream::default());
        }
        let stream = &mut streams[index as usize];
        if line.starts_with("packet") {
            stream.packets.push(Packet {
                pts: number("pts_time"),
                dts: number("dts_time"),
                duration: number("duration_time"),
                key: fields["flags"].contains('K'),
                discard: fields["flags"].contains('D'),
                size: fields["size"].parse().unwrap(),
                md5: hash("data_hash").unwrap_or_default(),
            });
        } else if line.starts_with("stream") {
            stream.kind = fields["codec_type"].to_owned();
            stream.codec = fields.get("codec_name").map(|name| (*name).to_owned()).unwrap_or_default();
            stream.extradata_md5 = hash("extradata_hash");
        }
    }
    streams
}

pub fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The read position for a time.
pub fn seek_point(film: &Film, timeline: &Arc<Timeline>, time: Duration) -> SeekPoint {
    match Locate::new(timeline, time).seek_point() {
        Some(point) => point,
        None => super::locate(film, timeline, time).0,
    }
}

/// Reads all samples of some tracks from a position on, each by its track.
pub fn samples(film: &Film, timeline: &Arc<Timeline>, tracks: &[usize], from: SeekPoint, cut: Cut) -> Vec<Sample> {
    let mut source = Source::open(&film.path(), cut);
    let mut samples = Samples::new(timeline, tracks, from).expect("samples of this container can be read");
    let mut read = Vec::new();
    let largest = |read: &[Sample]| read.iter().map(|sample: &Sample| sample.data.len()).max().unwrap_or(0);
    loop {
        while let Some(sample) = samples.next() {
            read.push(sample);
        }
        if let Some(end) = samples.end() {
            assert_eq!(*end, End::Through, "{}", film.name);
            assert_eq!(samples.needed(), [], "{} is through, but more is needed", film.name);
            return read;
        }
        let needed = samples.needed();
        assert!(!needed.is_empty(), "{}: no sample, but nothing more is needed", film.name);
        let pieces = source.pieces(&needed);
        let fed: usize = pieces.iter().map(|(_, bytes)| bytes.len()).sum();
        for (offset, bytes) in pieces {
            samples.feed(offset, &bytes);
        }
        let held = samples.held_bytes();
        assert!(held <= MAX_HELD.max(fed + 2 * largest(&read)), "{} holds {held} bytes, fed {fed}", film.name);
    }
}

/// The differences between the samples of a stream and its packets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    pub ours: usize,
    pub theirs: usize,
    pub pts: usize,
    pub dts: usize,
    pub keys: usize,
    pub data: usize,
    pub durations: usize,
    pub first: Option<String>,
}

/// Compares samples with packets one by one. Times may differ by a tolerance in seconds.
pub fn difference(samples: &[&Sample], packets: &[Packet], origin: f64, tolerance: f64) -> Difference {
    let mut found = Difference { ours: samples.len(), theirs: packets.len(), ..Difference::default() };
    for (i, (sample, packet)) in samples.iter().zip(packets).enumerate() {
        let wrong = |ours: i64, theirs: Option<f64>, origin: f64| {
            theirs.is_some_and(|theirs| (ours as f64 / 1e9 + origin - theirs).abs() > tolerance)
        };
        let pts = wrong(sample.pts_ns, packet.pts, origin);
        let dts = wrong(sample.dts_ns, packet.dts, origin);
        let key = sample.key != packet.key;
        let data = sample.data.len() != packet.size || md5(&sample.data) != packet.md5;
        found.pts += usize::from(pts);
        found.dts += usize::from(dts);
        found.keys += usize::from(key);
        found.data += usize::from(data);
        found.durations += usize::from(wrong(sample.duration_ns, packet.duration, 0.0));
        if (pts || dts || key || data) && found.first.is_none() {
            let Sample { pts_ns, dts_ns, key, offset, data, .. } = sample;
            let ours = format!("pts {pts_ns} dts {dts_ns} key {key} offset {offset} size {}", data.len());
            found.first = Some(format!("sample {i}: {ours}, origin {origin}; {packet:?}"));
        }
    }
    found
}

/// The comparison of one stream of a film.
#[derive(Debug)]
pub struct Compared {
    pub stream: Stream,
    pub difference: Difference,
    /// The hash of our codec configuration, if there is one.
    pub config_md5: Option<String>,
}

/// Reads all samples of a film from its start, and returns each stream with what differs. Times may
/// differ by a tolerance in seconds. Then reads from other positions, which must give the same
/// samples.
pub fn compare_samples(film: &Film, tolerance: f64) -> Vec<Compared> {
    let timeline = read(film, Cut::Exact).timeline;
    let tracks: Vec<usize> = (0..timeline.tracks().len()).collect();
    let start = seek_point(film, &timeline, Duration::ZERO);
    let all = samples(film, &timeline, &tracks, start, Cut::Exact);
    assert_eq!(all, samples(film, &timeline, &tracks, start, Cut::Blocks), "{}", film.name);
    for part in [0.3, 0.71, 0.99] {
        check_from(film, &timeline, &all, timeline.duration().mul_f64(part));
    }
    let origin = timeline.origin_us() as f64 / 1e6;
    // ffprobe lists covers as separate streams.
    let streams = streams(film).into_iter().zip(timeline.setups()).enumerate();
    let compared = streams.map(|(index, (stream, setup))| {
        let ours: Vec<&Sample> = all.iter().filter(|sample| sample.track == index).collect();
        let difference = difference(&ours, &stream.packets, origin, tolerance);
        let config_md5 = (!setup.config.is_empty()).then(|| md5(&setup.config));
        Compared { stream, difference, config_md5 }
    });
    compared.collect()
}

/// Reads from a time on, and compares with the samples of the whole film.
fn check_from(film: &Film, timeline: &Arc<Timeline>, all: &[Sample], time: Duration) {
    let from = seek_point(film, timeline, time);
    let tracks: Vec<usize> = (0..timeline.tracks().len()).collect();
    let read = samples(film, timeline, &tracks, from, Cut::Blocks);
    let from_ns = from.time.as_nanos() as i64;
    let rounding = 500_000;
    for (index, track) in timeline.tracks().iter().enumerate() {
        let of = |samples: &[Sample]| -> Vec<Sample> {
            samples.iter().filter(|sample| sample.track == index).cloned().collect()
        };
        let (mut ours, all) = (of(&read), of(all));
        assert!(ours.is_sorted_by_key(|sample| sample.dts_ns), "{} from {time:?}: track {index}", film.name);
        let first = match track.kind {
            TrackKind::Video => all
                .iter()
                .position(|sample| sample.key && (sample.pts_ns + rounding >= from_ns || sample.offset == from.offset)),
            _ => all.iter().position(|sample| sample.pts_ns + sample.duration_ns.max(1) > from_ns),
        };
        if from.estimated {
            // The times are as approximate as the position, but the samples follow from the
            // position.
            let data = |samples: &[Sample]| samples.iter().map(|sample| md5(&sample.data)).collect::<Vec<_>>();
            assert!(!ours.is_empty() && data(&all).ends_with(&data(&ours)), "{} from {time:?}", film.name);
            continue;
        }
        let mut expected = first.map_or(Vec::new(), |first| all[first..].to_vec());
        if track.kind == TrackKind::Video {
            let pts = expected.first().map_or(0, |first| first.pts_ns);
            expected.retain(|sample| sample.pts_ns >= pts);
        }
        if timeline.container() != Container::Mp4 {
            // The start of the first pictures is guessed where the file does not state it.
            ours.iter_mut().chain(&mut expected).for_each(|sample| sample.dts_ns = 0);
        }
        if let (Container::MpegTs, Some(a), Some(b)) = (timeline.container(), ours.first_mut(), expected.first_mut()) {
            // A zero byte before its start code belongs to the previous picture, which is not read.
            for data in [&mut a.data, &mut b.data] {
                data.drain(..data.iter().position(|byte| *byte != 0).unwrap_or_default());
            }
        }
        if track.kind == TrackKind::Subtitle {
            // A subtitle that lasts into the start may be far before it.
            expected.drain(..expected.len().saturating_sub(ours.len()));
        }
        let brief = |samples: &[Sample]| samples.first().map(|first| (first.pts_ns, first.offset, samples.len()));
        assert_eq!(brief(&ours), brief(&expected), "{} from {time:?}: track {index}, {from:?}", film.name);
        assert!(ours == expected, "{} from {time:?}: track {index} differs", film.name);
    }
}

/// Compares the samples of a film with ffprobe's packets. All must agree, except that times may
/// differ by a tolerance in seconds.
pub fn check_samples_within(film: &Film, tolerance: f64) {
    let compared = compare_samples(film, tolerance);
    assert!(!compared.is_empty());
    for (index, Compared { stream, difference, config_md5 }) in compared.into_iter().enumerate() {
        println!("{} {index} {}: {difference:?}", film.name, stream.codec);
        let count = stream.packets.len();
        let right = Difference { ours: count, theirs: count, ..Difference::default() };
        assert_eq!(Difference { durations: 0, ..difference }, right, "{} {index} {}", film.name, stream.codec);
        if config_md5.is_some() {
            assert_eq!(config_md5, stream.extradata_md5, "configuration: {} {index} {}", film.name, stream.codec);
        }
    }
}

/// The same; ffprobe prints microseconds.
pub fn check_samples(film: &Film) {
    check_samples_within(film, 2e-6);
}
