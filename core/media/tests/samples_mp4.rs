//! Samples of MP4 films against the packets that ffprobe reads.
#![allow(clippy::unwrap_used, missing_docs)]

#[macro_use]
mod common;

use common::catalogue::{mp4 as films, mp4_boxes};

samples! {
    a_film_with_its_moov_in_front: films::moov_in_front();
    a_film_with_its_moov_at_the_end: films::moov_at_the_end();
    offsets_of_64_bits: mp4_boxes::co64();
    a_film_without_b_frames_or_sound: films::no_b_frames_no_sound();
    hevc: films::hevc();
    av1: films::av1();
    vp9: films::vp9();
    keyframes_alone: films::keyframes_alone();
    several_sound_tracks: films::two_languages();
    surround_sound: films::surround();
    sound_behind_an_empty_edit: films::late_sound();
    without_edit_lists: films::without_edit_list();
    a_variable_frame_rate: films::variable_frame_rate();
    quicktime: films::mov();
    frames_of_pcm_are_grouped_within_chunks: films::mov_with_pcm();
    sound_alone: films::audio_only();
    alac: films::alac();
    sound_with_a_cover: films::audio_with_cover();
    twenty_five_hours: films::day_long();
    fragments_with_an_mfra: films::fragments_with_mfra();
    fragments_after_a_moov_with_samples: films::fragments_after_a_moov_with_samples();
    fragments_with_a_sidx: films::fragments_with_sidx();
    fragments_with_a_sidx_each: films::fragments_with_sidx_each();
    few_fragments_without_an_index: films::fragments_bare();
    fragments_shorter_than_a_gop: films::fragments_shorter_than_gops();
    fragments_of_one_track_each: films::fragments_of_one_track_each();
    fragments_of_sound: films::fragments_of_sound();
    many_fragments_with_an_mfra: films::many_fragments_with_mfra();
    many_fragments_with_a_sidx: films::many_fragments_with_sidx();
    many_fragments_without_an_index: films::many_fragments_bare();
}

#[test]
fn a_film_cut_amid_a_gop() {
    if common::ffmpeg() {
        // FFmpeg shifts such a film so that its first whole picture is at zero.
        common::samples::check_samples_within(&films::cut_at_the_start(), 0.04);
    }
}
