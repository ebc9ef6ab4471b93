//! The films of the tests: one file per container, one function per film, and a list of all for the
//! table.

pub mod audio;
pub mod avi;
pub mod matroska;
pub mod mp4;
pub mod mp4_boxes;
pub mod mpeg_ts;

use super::Film;

/// Returns all films that are made in seconds.
pub fn all() -> Vec<Film> {
    [mp4::all(), matroska::all(), mpeg_ts::all(), avi::all(), audio::all()].concat()
}

/// Returns the films of hours and gigabytes, which only the table uses.
pub fn large() -> Vec<Film> {
    [mp4::large(), matroska::large(), mpeg_ts::large(), avi::large(), audio::large()].concat()
}

/// 16 seconds, and with GOPs of two seconds several keyframes: small and quick to make.
pub const PICTURE: &str = "-f lavfi -i testsrc2=size=160x120:rate=25:duration=16";
pub const SOUND: &str = "-f lavfi -i sine=frequency=440:sample_rate=44100:duration=16";

/// Returns a film of H.264 with B-frames and AAC, in the container by the name's extension.
pub fn h264(name: &str, rest: &str) -> Film {
    Film::new(name, &format!("{PICTURE} {SOUND} -c:v libx264 -preset veryfast -bf 2 -g 50 -c:a aac -b:a 64k {rest}"))
}
