//! Samples of Ogg files against the packets that ffprobe reads.
#![allow(clippy::unwrap_used, missing_docs)]

#[macro_use]
mod common;

use common::catalogue::audio as films;
use common::samples::{check_samples_within, samples, seek_point};
use common::{Cut, Film};
use playswarm_media::{Sample, Samples, Timeline};
use std::sync::Arc;
use std::time::Duration;

samples! {
    opus: films::opus();
    speex: films::speex();
    flac: films::ogg_flac();
    theora_beside_vorbis: films::theora();
    theora_of_many_pages: films::theora_of_a_minute();
    another_rate: films::second_link();
    one_page: films::short_vorbis();
    surround_sound: films::surround_opus();
}

#[test]
fn vorbis_of_long_and_short_blocks() {
    if common::ffmpeg() {
        // A short block after a long one completes a quarter of both. FFmpeg states the time of the
        // last quarter of the short one.
        check_samples_within(&films::vorbis(), 448.0 / 44_100.0);
    }
}

#[test]
fn a_setup_header_behind_a_cover_is_read_without_the_cover() {
    if !common::ffmpeg() {
        return;
    }
    let (film, bare) = (films::vorbis_with_cover(), films::short_vorbis());
    let [read, expected] = [&film, &bare].map(|film| common::read(film, Cut::Blocks));
    assert!(read.touched * 3 <= film.bytes().len() as u64 * 2, "{} of {}", read.touched, film.bytes().len());
    let [ours, expected] = [&read, &expected].map(|read| read.timeline.setups()[0].vorbis_headers().unwrap());
    assert_eq!((ours[0], ours[1], ours[2]), (expected[0], &b"\x03vorbis\0\0\0\0\0\0\0\0\x01"[..], expected[2]));
    let [ours, expected] = [&film, &bare].map(|film| from(film, Duration::ZERO).1);
    assert!(ours.iter().map(|s| (s.pts_ns, &s.data)).eq(expected.iter().map(|s| (s.pts_ns, &s.data))));
}

/// Reads the only track from a time on.
fn from(film: &Film, time: Duration) -> (Arc<Timeline>, Vec<Sample>) {
    let timeline = common::read(film, Cut::Exact).timeline;
    let found = samples(film, &timeline, &[0], seek_point(film, &timeline, time), Cut::Blocks);
    (timeline, found)
}

#[test]
fn links_of_a_chain_that_one_decoder_reads_follow_one_another() {
    if !common::ffmpeg() {
        return;
    }
    let [(first, a), (_, b), (whole, both)] =
        [films::opus(), films::second_opus(), films::opus_chain()].map(|film| from(&film, Duration::ZERO));
    let [first_ns, size] = [first.duration().as_nanos() as i64, first.size() as i64];
    assert_eq!(both.len(), a.len() + b.len());
    assert!(both.is_sorted_by_key(|sample| sample.dts_ns));
    let (before, after) = both.split_at(a.len());
    assert_eq!(before, a);
    for (ours, alone) in after.iter().zip(&b) {
        assert_eq!((ours.offset as i64, &ours.data), (alone.offset as i64 + size, &alone.data));
        assert_eq!(ours.pts_ns, first_ns + alone.pts_ns.max(0));
    }
    // A reading may begin in any link, or pass from one to the next.
    for seconds in [20.0, 59.9, 60.5, 65.0] {
        let found = from(&films::opus_chain(), Duration::from_secs_f64(seconds)).1;
        assert!(found.len() > 10 && both.ends_with(&found), "{seconds}");
        assert!(found[0].pts_ns as f64 / 1e9 <= seconds, "{seconds}");
    }
    assert!(whole.duration() > first.duration());
}

#[test]
fn a_link_that_needs_another_decoder_is_left_out() {
    if !common::ffmpeg() {
        return;
    }
    let alone = from(&films::vorbis(), Duration::ZERO).1;
    assert_eq!(from(&films::chain(), Duration::ZERO).1, alone);
}

#[test]
fn damaged_pages_are_skipped_and_the_times_stay() {
    if !common::ffmpeg() {
        return;
    }
    let damage = |mut bytes: Vec<u8>| {
        let third = bytes.len() / 3;
        // A flipped bit, a hole with something like a page, and bytes that are missing.
        bytes[third] ^= 4;
        bytes[2 * third..2 * third + 10_000].fill(0);
        bytes[2 * third + 4000..2 * third + 4006].copy_from_slice(b"OggS\0\0");
        bytes.drain(2 * third + 60_000..2 * third + 65_000);
        bytes
    };
    for film in [films::opus(), films::vorbis()] {
        let whole = from(&film, Duration::ZERO).1;
        let (_, damaged) = from(&Film::altered(&film, "damaged.ogg", damage), Duration::ZERO);
        let lost = whole.len() - damaged.len();
        assert!((3..400).contains(&lost), "{lost} of {}", whole.len());
        let known = |sample: &&Sample| whole.iter().any(|w| (w.pts_ns, &w.data) == (sample.pts_ns, &sample.data));
        let strangers = damaged.iter().filter(|sample| !known(sample)).count();
        // The length of a block that follows a gap is not known, if it is a short one.
        assert!(strangers <= 3, "{}: {strangers}", film.name);
        let end = |samples: &[Sample]| samples.last().map(|last| (last.pts_ns, last.data.clone()));
        assert_eq!(end(&damaged), end(&whole), "{}", film.name);
    }
}

#[test]
fn damage_without_end_ends_the_reading() {
    if !common::ffmpeg() {
        return;
    }
    let film = films::opus();
    let timeline = common::read(&film, Cut::Exact).timeline;
    let mut reader = Samples::new(&timeline, &[0], seek_point(&film, &timeline, Duration::ZERO)).unwrap();
    while let Some(range) = reader.needed().into_iter().next() {
        assert!(range.end <= film.bytes().len() as u64);
        reader.feed(range.start, &vec![b'O'; (range.end - range.start) as usize]);
        assert!(reader.held_bytes() <= 2 << 20);
    }
    assert!(reader.next().is_none() && reader.end().is_some());
}
