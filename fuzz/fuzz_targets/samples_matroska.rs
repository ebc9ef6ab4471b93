//! The samples of Matroska films, and their muxing. Seeds: `fuzz/seeds/media_matroska`.
#![no_main]

use playswarm_media::{Container, fuzzing};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzzing::samples(Container::Matroska, data);
});
