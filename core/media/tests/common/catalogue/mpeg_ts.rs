//! MPEG transport streams.

use super::{PICTURE, SOUND, h264};
use crate::common::Film;

pub fn all() -> Vec<Film> {
    vec![plain(), blu_ray(), hevc(), mpeg2(), without_indicators(), wrapping(), starting_at_the_wrap(), sparse_sound()]
}

pub fn large() -> Vec<Film> {
    vec![two_hours()]
}

pub fn plain() -> Film {
    h264("plain.ts", "-metadata:s:a:0 language=ger")
}

/// Packets of 192 bytes.
pub fn blu_ray() -> Film {
    h264("blu-ray.m2ts", "-c:a ac3 -mpegts_m2ts_mode 1")
}

pub fn hevc() -> Film {
    let coding = "-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=50:bframes=3 -c:a ac3";
    Film::new("hevc.ts", &format!("{PICTURE} {SOUND} {coding}"))
}

pub fn mpeg2() -> Film {
    Film::new("mpeg2.ts", &format!("{PICTURE} {SOUND} -c:v mpeg2video -b:v 400k -g 25 -bf 2 -c:a mp2"))
}

/// The same film as [`plain`]; the test takes the random access indicators out.
pub fn without_indicators() -> Film {
    Film::of(&plain(), "again.ts", "-i {} -map 0 -c copy")
}

/// Its timestamps of 33 bits wrap after 5 s.
pub fn wrapping() -> Film {
    Film::of(&plain(), "wrapping.ts", "-i {} -c copy -copyts -muxdelay 0 -output_ts_offset 95437")
}

/// Its first pictures lie before the wrap by less than a minute.
pub fn starting_at_the_wrap() -> Film {
    Film::of(&plain(), "a-minute-before-the-wrap.ts", "-i {} -c copy -copyts -muxdelay 0 -output_ts_offset 95340")
}

/// Its sound begins after seven seconds.
pub fn sparse_sound() -> Film {
    let filter = "-af adelay=0 -c:v libx264 -preset veryfast -bf 2 -g 50 -c:a aac";
    Film::new("late-sound.ts", &format!("{PICTURE} -itsoffset 7 {SOUND} {filter}"))
}

pub fn two_hours() -> Film {
    Film::of(&super::matroska::two_hours(), "two-hours.ts", "-i {} -c copy")
}
