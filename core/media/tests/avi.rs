//! AVI films made by FFmpeg, compared with ffprobe.
#![allow(clippy::unwrap_used, missing_docs)]

#[macro_use]
mod common;

use common::catalogue::avi;
use common::{Cut, Truth, read};

films! {
    a_film_with_mpeg4_and_mp3: avi::mpeg4();
    a_film_with_h264_and_ac3: avi::h264_and_ac3();
    a_film_with_b_frames: avi::b_frames();
    a_film_with_uncompressed_sound: avi::uncompressed_sound();
    a_film_of_pictures_alone_at_30_frames_a_second: avi::pictures_alone();
    a_film_of_sound_alone: avi::sound_alone();
}

#[test]
fn tracks_say_what_ffprobe_says() {
    if !common::ffmpeg() {
        return;
    }
    for film in avi::all() {
        let truth = Truth::of(&film.path());
        let timeline = read(&film, Cut::Exact).timeline;
        assert_eq!(timeline.tracks().len(), truth.tracks.len(), "{}", film.name);
        for (ours, theirs) in timeline.tracks().iter().zip(&truth.tracks) {
            let kind = format!("{:?}", ours.kind).to_lowercase();
            assert_eq!((&kind, &ours.codec), (&theirs.kind, &theirs.codec), "{}", film.name);
            assert_eq!((ours.resolution, ours.audio), (theirs.resolution, theirs.audio), "{}", film.name);
        }
    }
}

#[test]
fn mutated_films_neither_panic_nor_hang_nor_grow() {
    common::mutate::run("media_avi", playswarm_media::Container::Avi, 12_500);
}
