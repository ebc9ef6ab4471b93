//! Samples of AVI films against the packets that ffprobe reads.
#![allow(clippy::unwrap_used, missing_docs)]

#[macro_use]
mod common;

use common::catalogue::avi as films;
use common::samples::{check_samples_within, samples, seek_point};
use common::{Cut, Film};
use playswarm_media::{Sample, TrackKind};
use std::time::Duration;

samples! {
    mpeg4_and_mp3: films::mpeg4();
    h264_and_ac3: films::h264_and_ac3();
    uncompressed_sound: films::uncompressed_sound();
    pictures_alone: films::pictures_alone();
    sound_alone: films::sound_alone();
}

#[test]
fn b_frames() {
    if common::ffmpeg() {
        // FFmpeg shows nothing in the time of the first picture, which others precede.
        check_samples_within(&films::b_frames(), 0.04 + 2e-6);
    }
}

/// Reads the pictures from the start.
fn pictures(film: &Film) -> Vec<Sample> {
    let timeline = common::read(film, Cut::Exact).timeline;
    let video = timeline.tracks().iter().position(|track| track.kind == TrackKind::Video).unwrap();
    samples(film, &timeline, &[video], seek_point(film, &timeline, Duration::ZERO), Cut::Blocks)
}

#[test]
fn pictures_are_shown_in_the_order_that_other_containers_state() {
    if !common::ffmpeg() {
        return;
    }
    let picture = "-f lavfi -i testsrc2=size=160x120:rate=25:duration=8 -g 24";
    for (name, codec) in [
        ("mpeg4", "-c:v mpeg4 -q:v 8 -bf 2"),
        ("h264", "-c:v libx264 -preset veryfast -bf 2 -b_strategy 0 -x264-params b-pyramid=none"),
    ] {
        let mp4 = Film::new(&format!("ordered-{name}.mp4"), &format!("{picture} {codec}"));
        let avi = Film::of(&mp4, &format!("ordered-{name}.avi"), "-i {} -c copy");
        let [ours, stated] = [&avi, &mp4].map(pictures);
        let frames = |samples: &[Sample]| -> Vec<i64> {
            samples.iter().map(|sample| (sample.pts_ns + 1_000_000) / 40_000_000).collect()
        };
        assert_eq!(frames(&ours), frames(&stated), "{name}");
        assert!(ours.iter().zip(&ours[1..]).all(|(a, b)| a.dts_ns < b.dts_ns));
    }
}

#[test]
fn a_film_without_an_index_is_read_from_its_start() {
    if !common::ffmpeg() {
        return;
    }
    let cut = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.len() * 2 / 3);
        bytes
    };
    let whole = pictures(&films::mpeg4());
    let found = pictures(&Film::altered(&films::mpeg4(), "cut.avi", cut));
    assert!(found.len() > 150 && whole.starts_with(&found), "{} of {}", found.len(), whole.len());
}

#[test]
fn damaged_chunks_are_skipped_and_the_times_return_with_the_index() {
    if !common::ffmpeg() {
        return;
    }
    let damage = |mut bytes: Vec<u8>| {
        let third = bytes.len() / 3;
        bytes[third..third + 9000].fill(0x30);
        bytes
    };
    let whole = pictures(&films::mpeg4());
    let found = pictures(&Film::altered(&films::mpeg4(), "damaged.avi", damage));
    let same = found.iter().filter(|sample| whole.contains(sample)).count();
    assert!(found.len() + 20 > whole.len() && same > 300, "{same} of {} of {}", found.len(), whole.len());
    assert_eq!(found.last(), whole.last());
}

#[test]
fn an_open_dml_index_tells_the_time_of_the_sound() {
    if !common::ffmpeg() {
        return;
    }
    let film = films::open_dml();
    let timeline = common::read(&film, Cut::Exact).timeline;
    let from = seek_point(&film, &timeline, Duration::from_millis(38_500));
    let found = samples(&film, &timeline, &[0, 1], from, Cut::Exact);
    let of = |track: usize| found.iter().filter(move |sample| sample.track == track);
    // Each frame is a keyframe, and the sound is interleaved with them.
    let [video, audio] = [0, 1].map(|track| of(track).next().unwrap());
    assert!((video.pts_ns - audio.pts_ns).abs() < 60_000_000, "{} {}", video.pts_ns, audio.pts_ns);
    let end = |track: usize| of(track).next_back().map(|sample| sample.pts_ns + sample.duration_ns).unwrap();
    assert!((end(0) - end(1)).abs() < 100_000_000, "{} {}", end(0), end(1));
}
