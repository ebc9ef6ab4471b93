//! Samples of transport streams against the packets that ffprobe reads.
#![allow(clippy::unwrap_used, missing_docs)]

#[macro_use]
mod common;

use common::Cut;
use common::catalogue::mpeg_ts as films;
use common::samples::{check_samples_within, samples, seek_point};
use std::time::Duration;

/// FFmpeg truncates the durations of the frames within a PES packet to ticks of 1/90000 s and adds
/// them up. There are less than ten.
const TICKS_S: f64 = 10.0 / 90_000.0;

macro_rules! streams {
    ($($test:ident: $film:expr;)*) => {$(
        #[test]
        fn $test() {
            if common::ffmpeg() {
                check_samples_within(&$film, TICKS_S);
            }
        }
    )*};
}

streams! {
    h264_and_aac: films::plain();
    packets_of_192_bytes_with_ac3: films::blu_ray();
    hevc: films::hevc();
    mpeg2_and_mp2: films::mpeg2();
    cropped_pictures: films::cropped();
    interlaced_pictures: films::interlaced();
    full_colour: films::full_colour();
    cropped_hevc: films::hevc_cropped();
    hevc_with_temporal_layers: films::hevc_with_temporal_layers();
    interlaced_mpeg2: films::mpeg2_interlaced();
    without_indicators: films::without_indicators();
    with_a_jumping_clock: films::with_a_jumping_clock();
    across_the_wrap_of_the_clock: films::wrapping();
    before_the_wrap_of_the_clock: films::starting_at_the_wrap();
    sound_that_begins_late: films::sparse_sound();
}

#[test]
fn garbage_between_packets_is_skipped() {
    if !common::ffmpeg() {
        return;
    }
    let all = |film: &common::Film| {
        let timeline = common::read(film, Cut::Exact).timeline;
        samples(film, &timeline, &[0, 1], seek_point(film, &timeline, Duration::ZERO), Cut::Exact)
    };
    let (whole, damaged) = (all(&films::plain()), all(&films::with_garbage()));
    assert_eq!(whole.len(), damaged.len());
    assert!(whole.iter().zip(&damaged).all(|(a, b)| (a.pts_ns, &a.data) == (b.pts_ns, &b.data)));
}

#[test]
fn the_parameter_sets_of_the_first_keyframe_are_known() {
    if !common::ffmpeg() {
        return;
    }
    for (film, codec, video) in [(films::plain(), "h264", 0), (films::hevc(), "hevc", 1)] {
        let timeline = common::read(&film, Cut::Exact).timeline;
        let sets = timeline.setups()[0].parameter_sets(codec).unwrap();
        assert_eq!((sets.length_bytes, sets.vps.len(), sets.sps.len(), sets.pps.len()), (0, video, 1, 1), "{codec}");
        let from = seek_point(&film, &timeline, Duration::ZERO);
        let first = &samples(&film, &timeline, &[0], from, Cut::Exact)[0];
        let units: Vec<&[u8]> = sets.units(&first.data).collect();
        assert!(units.iter().any(|unit| unit.starts_with(&sets.sps[0])), "{codec}");
    }
}
