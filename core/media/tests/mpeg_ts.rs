//! MPEG transport streams made by FFmpeg, compared with ffprobe.
#![allow(clippy::unwrap_used, missing_docs)]

#[macro_use]
mod common;

use common::catalogue::mpeg_ts;
use common::{Cut, Truth, locate, read};
use playswarm_media::Accuracy;
use std::time::Duration;

films! {
    a_film_with_h264_and_aac: mpeg_ts::plain();
    a_film_with_packets_of_192_bytes: mpeg_ts::blu_ray();
    a_film_with_hevc_and_ac3: mpeg_ts::hevc();
    a_film_with_mpeg2: mpeg_ts::mpeg2();
    a_film_of_pictures_that_are_cropped: mpeg_ts::cropped();
    a_film_of_fields: mpeg_ts::interlaced();
    a_film_with_a_colour_for_each_pixel: mpeg_ts::full_colour();
    a_film_of_hevc_that_is_cropped: mpeg_ts::hevc_cropped();
    a_film_of_hevc_in_layers: mpeg_ts::hevc_with_temporal_layers();
    a_film_of_mpeg2_in_fields: mpeg_ts::mpeg2_interlaced();
    a_film_whose_timestamps_wrap: mpeg_ts::wrapping();
    a_film_that_begins_shortly_before_the_wrap: mpeg_ts::starting_at_the_wrap();
    a_film_whose_sound_begins_late: mpeg_ts::sparse_sound();
    a_film_without_random_access_indicators: mpeg_ts::without_indicators();
    a_film_with_garbage_between_its_packets: mpeg_ts::with_garbage();
    a_film_whose_clock_reference_jumps: mpeg_ts::with_a_jumping_clock();
}

#[test]
fn tracks_say_what_ffprobe_says() {
    if !common::ffmpeg() {
        return;
    }
    for film in mpeg_ts::all() {
        let truth = Truth::of(&film.path());
        let timeline = read(&film, Cut::Exact).timeline;
        let ours = timeline.tracks().iter().map(|t| {
            let kind = format!("{:?}", t.kind).to_lowercase();
            (kind, t.codec.clone(), t.language.clone(), t.resolution)
        });
        let theirs = truth.tracks.iter().map(|t| (t.kind.clone(), t.codec.clone(), t.language.clone(), t.resolution));
        assert_eq!(ours.collect::<Vec<_>>(), theirs.collect::<Vec<_>>(), "{}", film.name);
    }
}

#[test]
fn a_size_that_only_the_end_tells_is_known_and_one_that_nothing_tells_is_not() {
    if !common::ffmpeg() {
        return;
    }
    for (film, expected) in [(mpeg_ts::sized_at_its_end(), Some((426, 238))), (mpeg_ts::sized_nowhere(), None)] {
        let timeline = read(&film, Cut::Exact).timeline;
        assert_eq!(timeline.tracks()[0].resolution, expected, "{}", film.name);
        assert!(!timeline.is_estimate() && !timeline.keyframes().is_empty());
    }
}

#[test]
fn a_film_whose_times_jump_back_plays_on_from_wherever_a_seek_lands() {
    if !common::ffmpeg() {
        return;
    }
    let film = mpeg_ts::twice();
    let truth = Truth::of(&film.path());
    let timeline = read(&film, Cut::Exact).timeline;
    for seconds in 0..=16 {
        let (seek_point, _) = locate(&film, &timeline, Duration::from_secs(seconds));
        let keyframe = truth.packets.iter().find(|p| p.key && p.pos == Some(seek_point.offset));
        assert!(seek_point.estimated || keyframe.is_some(), "{seek_point:?} is no keyframe");
        assert!(seek_point.until <= timeline.size());
    }
}

#[test]
fn a_film_whose_end_is_before_its_beginning_is_estimated_by_its_rate() {
    if !common::ffmpeg() {
        return;
    }
    let timeline = read(&mpeg_ts::end_before_beginning(), Cut::Exact).timeline;
    let Accuracy::Estimate { why } = timeline.accuracy() else { panic!("{:?}", timeline.accuracy()) };
    assert!(why.contains("do not follow"), "{why}");
    let seconds = timeline.duration().as_secs_f64();
    assert!((4.0..64.0).contains(&seconds), "the film is of 16 s, the estimate of {seconds}");
    assert!(timeline.bytes_per_s(Duration::ZERO).is_some());
}

#[test]
fn mutated_films_neither_panic_nor_hang_nor_grow() {
    common::mutate::run("media_mpeg_ts", playswarm_media::Container::MpegTs, 2_000);
}
