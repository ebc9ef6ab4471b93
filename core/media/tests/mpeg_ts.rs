//! MPEG transport streams made by FFmpeg, beside what ffprobe says of them.
#![allow(clippy::unwrap_used, missing_docs)]

#[macro_use]
mod common;

use common::catalogue::mpeg_ts;
use common::{Cut, Truth, read};

films! {
    a_film_with_h264_and_aac: mpeg_ts::plain();
    a_film_with_packets_of_192_bytes: mpeg_ts::blu_ray();
    a_film_with_hevc_and_ac3: mpeg_ts::hevc();
    a_film_with_mpeg2: mpeg_ts::mpeg2();
    a_film_whose_timestamps_wrap: mpeg_ts::wrapping();
    a_film_that_begins_shortly_before_the_wrap: mpeg_ts::starting_at_the_wrap();
    a_film_whose_sound_begins_late: mpeg_ts::sparse_sound();
}

#[test]
fn tracks_say_what_ffprobe_says() {
    if !common::ffmpeg() {
        return;
    }
    for film in mpeg_ts::all() {
        let truth = Truth::of(&film.path());
        let timeline = read(&film, Cut::Exact).timeline;
        let of = |(kind, codec, language): (String, &String, &Option<String>)| (kind, codec.clone(), language.clone());
        let ours =
            timeline.tracks().iter().map(|t| of((format!("{:?}", t.kind).to_lowercase(), &t.codec, &t.language)));
        let theirs = truth.tracks.iter().map(|t| of((t.kind.clone(), &t.codec, &t.language)));
        assert_eq!(ours.collect::<Vec<_>>(), theirs.collect::<Vec<_>>(), "{}", film.name);
    }
}
