//! Transport streams of our muxer, as FFmpeg reads them.
#![allow(clippy::unwrap_used, missing_docs)]

#[macro_use]
mod common;

use common::catalogue::{matroska, mp4};
use common::samples::{Packet, samples, seek_point, streams};
use common::{Cut, Film, read};
use playswarm_media::mux::TsMuxer;
use playswarm_media::{Sample, Timeline, TrackKind};
use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Reads the samples of a film from a time on.
fn from(film: &Film, timeline: &Arc<Timeline>, time: Duration) -> Vec<Sample> {
    let tracks: Vec<usize> = (0..timeline.tracks().len()).collect();
    samples(film, timeline, &tracks, seek_point(film, timeline, time), Cut::Exact)
}

/// Reads the samples of the tracks that transport streams carry, and muxes them.
fn muxed(film: &Film) -> (Arc<Timeline>, Vec<Sample>, Film) {
    let timeline = read(film, Cut::Exact).timeline;
    let samples = from(film, &timeline, Duration::ZERO);
    let tracks: Vec<usize> = (0..timeline.tracks().len()).collect();
    let mut muxer = TsMuxer::new(&timeline, &tracks).unwrap();
    let mut stream = Vec::new();
    samples.iter().for_each(|sample| muxer.write(sample, &mut stream));
    muxer.flush(&mut stream);
    check_packets(&stream, 0);
    let stem = film.name.rsplit_once('.').unwrap().0;
    (timeline, samples, Film::built(&format!("{stem}.muxed.ts"), stream))
}

/// Converts to ticks of 1/90000 s, modulo the 33 bits of a timestamp.
fn ticks(ns: i64) -> i64 {
    (ns as f64 * 9e-5).round() as i64
}

fn packet_ticks(time: f64) -> i64 {
    (time * 90_000.0).round() as i64
}

/// Checks for whole packets, counters without gaps, tables ten times per second, and a clock
/// reference every 40 ms. The clock runs backwards only at a jump.
fn check_packets(stream: &[u8], jumps: usize) {
    assert_eq!(stream.len() % 188, 0);
    let mut counters: HashMap<u16, u8> = HashMap::new();
    let (mut clock, mut jumped, mut tables) = (None::<u64>, 0, 0);
    let mut since_tables = 0;
    for packet in stream.chunks(188) {
        assert_eq!(packet[0], 0x47);
        let pid = u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff;
        if pid == 0x1fff {
            continue;
        }
        let (field, payload) = (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0);
        if let Some(last) = counters.get(&pid) {
            assert_eq!(packet[3] & 0x0f, (last + u8::from(payload)) & 0x0f, "of PID {pid}");
        }
        counters.insert(pid, packet[3] & 0x0f);
        tables += usize::from(pid == 0);
        since_tables = if pid == 0 { 0 } else { since_tables + 1 };
        let flags = if field && packet[4] > 0 { packet[5] } else { 0 };
        if flags & 0x10 != 0 {
            let bytes = packet[6..12].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
            let now = bytes >> 15;
            if flags & 0x80 != 0 {
                jumped += 1;
            } else if let Some(last) = clock {
                assert!(now.wrapping_sub(last) & ((1 << 33) - 1) <= 3600, "the clock goes from {last} to {now}");
            }
            clock = Some(now);
        }
    }
    assert_eq!((jumped, clock.is_some(), tables > 0), (jumps, true, true));
}

/// Returns the hashes of the decoded frames of a stream, except those that a container leaves out.
fn frames(film: &Film, kind: char, index: usize) -> Vec<String> {
    let map = format!("0:{kind}:{index}");
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-copyts", "-flags2", "skip_manual"])
        .args(if film.name.ends_with(".mp4") || film.name.ends_with(".m4a") {
            &["-ignore_editlist", "1"][..]
        } else {
            &[]
        })
        .arg("-i")
        .arg(film.path())
        .args(["-map", &map, "-vsync", "passthrough", "-f", "framemd5", "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", film.name);
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.lines().filter(|l| !l.starts_with('#')).map(|l| l.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

/// Compares the packets of a muxed stream with samples: times in ticks, keys and number.
fn compare_times(name: &str, ours: &[&Sample], packets: &[Packet]) {
    assert_eq!(ours.len(), packets.len(), "{name}");
    for (i, (sample, packet)) in ours.iter().zip(packets).enumerate() {
        assert_eq!(packet.pts.map(packet_ticks), Some(ticks(sample.pts_ns)), "{name}: pts of {i}");
        assert_eq!(packet.dts.map(packet_ticks), Some(ticks(sample.dts_ns)), "{name}: dts of {i}");
        assert_eq!(packet.key, sample.key, "{name}: key of {i}");
    }
}

/// Muxes a film, and compares the packets and decoded frames that FFmpeg finds in it.
fn check(film: &Film) {
    let (timeline, samples, ts) = muxed(film);
    let found = streams(&ts);
    let mut counts: HashMap<char, usize> = HashMap::new();
    let carried = timeline.tracks().iter().zip(timeline.setups()).enumerate();
    let carried: Vec<usize> =
        carried.filter(|(_, (track, setup))| TsMuxer::carries(track, setup)).map(|(i, _)| i).collect();
    assert_eq!(found.len(), carried.len(), "{}", ts.name);
    for (n, &index) in carried.iter().enumerate() {
        let track = &timeline.tracks()[index];
        let ours: Vec<&Sample> = samples.iter().filter(|sample| sample.track == index).collect();
        assert_eq!(found[n].codec, track.codec, "{}", ts.name);
        compare_times(&format!("{} {n}", ts.name), &ours, &found[n].packets);
        let kind = if track.kind == TrackKind::Video { 'v' } else { 'a' };
        let of = |kind: TrackKind| timeline.tracks()[..index].iter().filter(|track| track.kind == kind).count();
        let count = counts.entry(kind).or_default();
        let (theirs, ours) = (frames(film, kind, of(track.kind)), frames(&ts, kind, *count));
        *count += 1;
        assert_eq!(theirs.len(), ours.len(), "{} {n}", ts.name);
        assert!(theirs == ours, "{} {n}: decoded frames differ", ts.name);
    }
}

macro_rules! muxes {
    ($($test:ident: $film:expr;)*) => {$(
        #[test]
        fn $test() {
            if common::ffmpeg() {
                check(&$film);
            }
        }
    )*};
}

muxes! {
    h264_and_aac_of_mp4: mp4::moov_in_front();
    h264_and_aac_of_matroska: matroska::cues_at_the_end();
    hevc_of_mp4: mp4::hevc();
    hevc_of_matroska: matroska::hevc();
    a_variable_frame_rate: mp4::variable_frame_rate();
    several_languages_with_ac3: mp4::two_languages();
    surround_sound_in_eac3: mp4::surround();
    mp3_of_matroska: matroska::subtitles();
    sound_alone: mp4::audio_only();
    opus_alone: matroska::audio_only();
}

#[test]
fn after_a_jump_pictures_and_times_are_right_at_once() {
    if !common::ffmpeg() {
        return;
    }
    let film = mp4::moov_in_front();
    let timeline = read(&film, Cut::Exact).timeline;
    let mut muxer = TsMuxer::new(&timeline, &[0, 1]).unwrap();
    let (mut stream, mut written) = (Vec::new(), Vec::new());
    for (n, (time, count)) in [(0, 40), (12, 60), (4, 70)].into_iter().enumerate() {
        if n > 0 {
            muxer.flush(&mut stream);
            muxer.idle(3, &mut stream);
            muxer.restart();
        }
        for sample in from(&film, &timeline, Duration::from_secs(time)).into_iter().take(count) {
            muxer.write(&sample, &mut stream);
            written.push(sample);
        }
    }
    muxer.flush(&mut stream);
    check_packets(&stream, 2);
    let ts = Film::built("jumps.ts", stream);
    let pictures: Vec<&Sample> = written.iter().filter(|sample| sample.track == 0).collect();
    compare_times("jumps", &pictures, &streams(&ts)[0].packets);
    // Nothing is damaged, and the pictures are those of the film.
    let all = frames(&film, 'v', 0);
    let shown = frames(&ts, 'v', 0);
    assert_eq!(shown.len(), pictures.len());
    let frame = |ns: i64| (ns / 40_000_000) as usize;
    let mut expected = Vec::new();
    let jump = |a: &&Sample, b: &&Sample| b.key && (b.pts_ns - a.pts_ns).abs() > 1_000_000_000;
    for part in pictures.chunk_by(|a, b| !jump(a, b)) {
        let mut times: Vec<i64> = part.iter().map(|sample| sample.pts_ns).collect();
        times.sort_unstable();
        expected.extend(times.into_iter().map(|ns| all[frame(ns)].clone()));
    }
    assert!(shown == expected, "other pictures are shown");
}
