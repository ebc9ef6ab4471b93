//! What the tests of all containers share: films made by FFmpeg, their truth by ffprobe, the index as `playswarm-media` reads
//! it, and the comparison of the two. A container's tests add a file to `catalogue` and call [`check`] on its films.
#![allow(dead_code, unused_imports, clippy::unwrap_used, missing_docs, unreachable_pub)]

pub mod catalogue;
mod compare;
mod film;
pub mod mutate;
mod reader;
pub mod samples;
mod truth;

pub use compare::{Row, check_landings, compare};
pub use film::{Film, ffmpeg, programs};
pub use reader::{Cut, Read, locate, read};
pub use truth::{Packet, TrackTruth, Truth};

/// Reads a film in both cuts, compares it with ffprobe's truth, seeks in it, and gives the row of the first cut. The tests of
/// what is exact; a container that is searched calls the parts.
pub fn check(film: &Film) -> Row {
    let truth = Truth::of(&film.path());
    let row = compare(film, &truth, &read(film, Cut::Exact));
    row.assert_right();
    compare(film, &truth, &read(film, Cut::Blocks)).assert_right();
    check_landings(film, &truth, &read(film, Cut::Exact).timeline);
    row
}

/// A test for each film: `name: film;`. Each reads it, and all that it knows must be right.
#[allow(unused_macros)]
macro_rules! films {
    ($($test:ident: $film:expr;)*) => {$(
        #[test]
        fn $test() {
            if common::ffmpeg() {
                println!("{}", common::check(&$film));
            }
        }
    )*};
}

/// A test for each film: its samples must be ffprobe's packets.
#[allow(unused_macros)]
macro_rules! samples {
    ($($test:ident: $film:expr;)*) => {$(
        #[test]
        fn $test() {
            if common::ffmpeg() {
                common::samples::check_samples(&$film);
            }
        }
    )*};
}
