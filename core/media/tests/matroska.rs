//! Matroska and WebM films made by FFmpeg, compared with ffprobe.
#![allow(clippy::unwrap_used, missing_docs)]

#[macro_use]
mod common;

use common::catalogue::matroska;
use common::{Cut, Truth, check_landings, read};
use playswarm_media::Locate;
use std::time::Duration;

films! {
    a_film_with_its_cues_at_the_end: matroska::cues_at_the_end();
    a_film_with_its_cues_in_front: matroska::cues_in_front();
    a_film_with_its_cues_in_reserved_space: matroska::cues_in_reserved_space();
    a_live_film_of_unknown_sizes: matroska::live();
    a_film_written_to_a_pipe: matroska::unseekable();
    a_webm_film_with_vp9_and_opus: matroska::vp9();
    a_webm_film_with_av1: matroska::av1();
    a_film_with_hevc: matroska::hevc();
    a_film_of_variable_frame_rate: matroska::variable_frame_rate();
    a_film_with_subtitles: matroska::subtitles();
    a_film_of_sound_alone: matroska::audio_only();
    a_film_of_25_hours: matroska::a_day_and_an_hour();
    a_film_of_30_frames_a_second: matroska::coarse_times();
}

#[test]
fn a_film_whose_clock_begins_late_lasts_from_there() {
    if !common::ffmpeg() {
        return;
    }
    // FFmpeg counts the duration from timestamp zero, so a film of 16 s has 116 s.
    let film = matroska::late_start();
    let truth = Truth { duration: 16.0, ..Truth::of(&film.path()) };
    let read = read(&film, Cut::Exact);
    common::compare(&film, &truth, &read).assert_right();
    assert_eq!(read.timeline.origin_us(), 100_000_000);
    check_landings(&film, &truth, &read.timeline);
}

#[test]
fn the_start_of_a_film_whose_sound_begins_first_is_found_in_one_read() {
    if !common::ffmpeg() {
        return;
    }
    let film = matroska::cues_at_the_end();
    let timeline = read(&film, Cut::Exact).timeline;
    assert!(!timeline.keyframes()[0].time.is_zero(), "the sound begins with the decoder's priming");
    let mut locate = Locate::new(&timeline, Duration::ZERO);
    let (bytes, mut reads) = (std::fs::read(film.path()).unwrap(), 0);
    while let Some(range) = locate.needed().first().cloned() {
        locate.feed(range.start, &bytes[range.start as usize..range.end as usize]);
        reads += 1;
    }
    assert_eq!(locate.seek_point().unwrap().time, timeline.keyframes()[0].time);
    assert!(reads <= 2, "{reads} reads");
}

#[test]
fn tracks_say_what_ffprobe_says() {
    if !common::ffmpeg() {
        return;
    }
    for film in matroska::all() {
        let truth = Truth::of(&film.path());
        let timeline = read(&film, Cut::Exact).timeline;
        assert_eq!(timeline.tracks().len(), truth.tracks.len(), "{}", film.name);
        for (ours, theirs) in timeline.tracks().iter().zip(&truth.tracks) {
            let kind = format!("{:?}", ours.kind).to_lowercase();
            assert_eq!((&kind, &ours.codec), (&theirs.kind, &theirs.codec), "{}", film.name);
            assert_eq!((&ours.title, ours.resolution, ours.audio), (&theirs.title, theirs.resolution, theirs.audio));
            assert_eq!(ours.language, theirs.language, "{}: {theirs:?}", film.name);
        }
    }
}

#[test]
fn mutated_films_neither_panic_nor_hang_nor_grow() {
    common::mutate::run("media_matroska", playswarm_media::Container::Matroska, 12_500);
}
