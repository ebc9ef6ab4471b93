//! The index of Matroska and WebM films. Seeds: `fuzz/seeds/media_matroska`.
#![no_main]

use playswarm_media::{Container, fuzzing};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzzing::film(Container::Matroska, data);
});
