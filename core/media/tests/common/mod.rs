//! Shared code for all containers: films made by FFmpeg, their description by ffprobe, the index as
//! `playswarm-media` reads it, and the comparison. A container's tests add a file to `catalogue`
//! and call [`check`] on its films.
#![allow(dead_code, unused_imports, clippy::unwrap_used, missing_docs, unreachable_pub)]

pub mod catalogue;
mod compare;
mod film;
pub mod live;
pub mod mutate;
mod reader;
pub mod samples;
mod truth;

pub use compare::{Row, check_landings, compare};
pub use film::{Film, ffmpeg, programs};
pub use reader::{Cut, Read, locate, read};
pub use truth::{Packet, TrackTruth, Truth};

/// Reads a film with both kinds of feeding, compares it with ffprobe, and seeks in it. Returns the
/// row of the first kind. This is for exact indexes; tests of a container that is searched call the
/// parts.
pub fn check(film: &Film) -> Row {
    let truth = Truth::of(&film.path());
    let row = compare(film, &truth, &read(film, Cut::Exact));
    row.assert_right();
    compare(film, &truth, &read(film, Cut::Blocks)).assert_right();
    check_landings(film, &truth, &read(film, Cut::Exact).timeline);
    row
}

/// Makes a test for each film: `name: film;`. Each test reads the film and checks all that its
/// index claims.
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

/// Makes a test for each film: its samples must be ffprobe's packets.
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
