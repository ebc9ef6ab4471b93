//! Samples of Matroska and WebM films against the packets that ffprobe reads.
#![allow(clippy::unwrap_used, missing_docs)]

#[macro_use]
mod common;

use common::catalogue::matroska as films;

samples! {
    a_film_with_cues_at_the_end: films::cues_at_the_end();
    a_film_with_cues_in_front: films::cues_in_front();
    a_film_with_cues_in_reserved_space: films::cues_in_reserved_space();
    clusters_of_unknown_size: films::live();
    small_clusters: films::unseekable();
    vp9: films::vp9();
    av1: films::av1();
    hevc: films::hevc();
    a_variable_frame_rate: films::variable_frame_rate();
    several_languages_and_subtitles: films::subtitles();
    sound_alone: films::audio_only();
    a_clock_that_begins_late: films::late_start();
    times_rounded_to_milliseconds: films::coarse_times();
    twenty_five_hours: films::a_day_and_an_hour();
}
