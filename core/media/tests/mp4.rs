//! MP4 and MOV films, compared with ffprobe.
#![allow(clippy::unwrap_used, missing_docs)]

#[macro_use]
mod common;

use common::catalogue::{mp4 as films, mp4_boxes};
use common::{Cut, Film, Read, Truth, check, check_landings, compare, read};
use playswarm_media::{Accuracy, Container, Indexer, TrackKind};
use std::sync::Arc;
use std::time::Duration;

films! {
    a_film_with_its_moov_in_front_is_exact: films::moov_in_front();
    a_film_with_its_moov_at_the_end_is_exact: films::moov_at_the_end();
    offsets_of_64_bits_are_exact: mp4_boxes::co64();
    a_film_without_b_frames_or_sound_is_exact: films::no_b_frames_no_sound();
    hevc_is_exact: films::hevc();
    av1_is_exact: films::av1();
    vp9_is_exact: films::vp9();
    without_a_table_of_keyframes_every_picture_is_one: films::keyframes_alone();
    several_sound_tracks_are_exact: films::two_languages();
    surround_sound_is_exact: films::surround();
    sound_behind_an_empty_edit_is_exact: films::late_sound();
    a_film_without_edit_lists_begins_with_its_first_timestamp: films::without_edit_list();
    a_variable_frame_rate_is_exact: films::variable_frame_rate();
    quicktime_is_exact: films::mov();
    quicktime_with_pcm_is_exact: films::mov_with_pcm();
    sound_alone_is_exact: films::audio_only();
    alac_is_exact: films::alac();
    a_cover_is_no_film: films::audio_with_cover();
    twenty_five_hours_are_exact: films::day_long();
    fragments_with_an_mfra_are_found: films::fragments_with_mfra();
    fragments_after_a_moov_with_samples_are_found: films::fragments_after_a_moov_with_samples();
    fragments_with_a_sidx_are_found: films::fragments_with_sidx();
    fragments_with_a_sidx_each_are_found: films::fragments_with_sidx_each();
    few_fragments_without_an_index_are_exact: films::fragments_bare();
    fragments_shorter_than_a_gop_are_exact: films::fragments_shorter_than_gops();
    fragments_of_one_track_each_are_exact: films::fragments_of_one_track_each();
    fragments_of_sound_are_exact: films::fragments_of_sound();
    many_fragments_with_an_mfra_are_found: films::many_fragments_with_mfra();
    many_fragments_with_a_sidx_are_found: films::many_fragments_with_sidx();
    many_fragments_without_an_index_are_found_by_bisection: films::many_fragments_bare();
}

#[test]
fn a_film_cut_amid_a_gop_is_right_to_a_frame() {
    if !common::ffmpeg() {
        return;
    }
    // FFmpeg shifts such a film so that its first whole picture is at zero. The edit list itself
    // begins up to a frame later.
    let film = films::cut_at_the_start();
    let truth = Truth::of(&film.path());
    let row = compare(&film, &truth, &read(&film, Cut::Exact));
    assert_eq!((row.keyframes, row.offsets_wrong, row.from_wrong), (row.keyframes_true, 0, 0), "{row:#?}");
    assert!(row.max_time_error_s <= row.frame_s && row.duration_error_s.abs() <= row.frame_s, "{row:#?}");
}

#[test]
fn tracks_are_described_as_by_ffprobe() {
    if !common::ffmpeg() {
        return;
    }
    for film in [
        films::moov_in_front(),
        films::hevc(),
        films::av1(),
        films::vp9(),
        films::keyframes_alone(),
        films::two_languages(),
        films::surround(),
        films::mov(),
        films::mov_with_pcm(),
        films::alac(),
        films::fragments_with_mfra(),
    ] {
        let truth = Truth::of(&film.path());
        let timeline = read(&film, Cut::Exact).timeline;
        assert_eq!(timeline.container(), Container::Mp4);
        assert_eq!(timeline.tracks().len(), truth.tracks.len(), "{}", film.name);
        for (ours, theirs) in timeline.tracks().iter().zip(&truth.tracks) {
            let kind = match ours.kind {
                TrackKind::Video => "video",
                TrackKind::Audio => "audio",
                TrackKind::Subtitle => "subtitle",
                _ => "data",
            };
            assert_eq!(kind, theirs.kind, "{}", film.name);
            assert_eq!(ours.codec, theirs.codec, "{}", film.name);
            assert_eq!(ours.language, theirs.language, "{}", film.name);
            assert_eq!(ours.resolution, theirs.resolution, "{}", film.name);
            // For mono MP3, FFmpeg writes two channels into the header, and ffprobe reads the
            // frames.
            assert!(ours.codec == "mp3" || ours.audio == theirs.audio, "{}: {ours:?} {theirs:?}", film.name);
        }
    }
}

#[test]
fn a_track_has_its_title() {
    if !common::ffmpeg() {
        return;
    }
    let timeline = read(&films::two_languages(), Cut::Exact).timeline;
    let titles: Vec<_> = timeline.tracks().iter().map(|track| track.title.as_deref()).collect();
    assert_eq!(titles, [None, None, Some("Commentary")]);
}

#[test]
fn without_an_index_of_fragments_a_search_touches_little() {
    if !common::ffmpeg() {
        return;
    }
    let film = films::many_fragments_bare();
    let truth = Truth::of(&film.path());
    let read = read(&film, Cut::Blocks);
    assert_eq!(*read.timeline.accuracy(), Accuracy::Sparse);
    let touched = check_landings(&film, &truth, &read.timeline);
    assert!(touched < 1 << 20, "a search touched {touched} bytes");
}

#[test]
fn offsets_past_four_gigabytes_are_exact() {
    if !common::ffmpeg() {
        return;
    }
    let film = films::moov_at_the_end();
    let (before, after) = mp4_boxes::past_four_gigabytes();
    let (moved, end) = (mp4_boxes::HOLE, film.bytes().len() as u64);
    let mut truth = Truth::of(&film.path());
    for packet in &mut truth.packets {
        packet.pos = packet.pos.map(|pos| pos + moved);
    }
    let size = before.len() as u64 - 16 + moved + after.len() as u64;
    let mut indexer = Indexer::new("film.mp4", size);
    let (mut touched, mut rounds) = (0, 0);
    while indexer.timeline().is_none() {
        rounds += 1;
        for range in indexer.needed() {
            let byte = |at: u64| match at.checked_sub(size - after.len() as u64) {
                Some(into) => after[into as usize],
                None => before.get(at as usize).copied().unwrap_or_default(),
            };
            touched += range.end - range.start;
            indexer.feed(range.start, &range.map(byte).collect::<Vec<_>>());
        }
    }
    let timeline = Arc::clone(indexer.timeline().unwrap());
    assert!(timeline.keyframes().iter().all(|keyframe| keyframe.from > moved) && size > end + moved);
    let row = compare(&film, &truth, &Read { timeline, touched, rounds, held: 0, parse: Duration::ZERO });
    row.assert_right();
    assert!(row.accuracy == Accuracy::Exact && row.rounds <= 3, "{row:#?}");
}

/// Checks that its indexes are read and are right. ffprobe cannot read such a film, but the same
/// film without them.
fn check_indexes([film, without]: [Film; 2], most_touched: u64) {
    let truth = Truth::of(&without.path());
    for cut in [Cut::Exact, Cut::Blocks] {
        let read = read(&film, cut);
        let row = compare(&film, &truth, &read);
        row.assert_right();
        // Without an index, all of a few fragments would be known, or hardly any of many.
        assert_eq!((&row.accuracy, row.keyframes), (&Accuracy::Sparse, row.keyframes_true), "{row:#?}");
        assert!(row.rounds <= 5 && row.touched <= most_touched, "{row:#?}");
        println!("{row}");
        check_landings(&film, &truth, &read.timeline);
    }
}

#[test]
fn indexes_of_indexes_among_the_fragments_are_found() {
    if common::ffmpeg() {
        // Of 8.9 MB: the blocks of twelve indexes, and the beginning.
        check_indexes(mp4_boxes::indexes_among_fragments(), 16 * 2 * (16 << 10));
    }
}

#[test]
fn indexes_of_indexes_in_front_are_found() {
    if common::ffmpeg() {
        // The ranges that are requested at once, before the structure of the film is known.
        check_indexes(mp4_boxes::indexes_in_front(), 6 * (16 << 10));
    }
}

#[test]
fn a_film_with_an_index_is_read_in_few_rounds() {
    if !common::ffmpeg() {
        return;
    }
    for film in [films::moov_in_front(), films::moov_at_the_end(), films::many_fragments_with_mfra()] {
        let row = check(&film);
        assert!(row.rounds <= 2, "{row:#?}");
    }
}

#[test]
fn mutated_heads_and_tails_of_mp4_neither_panic_nor_hang_nor_grow() {
    common::mutate::run("media_mp4", Container::Mp4, 100_000);
}
