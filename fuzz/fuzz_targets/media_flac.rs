//! The index of FLAC files. Seeds: `fuzz/seeds/media_flac`.
#![no_main]

use playswarm_media::{Container, fuzzing};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzzing::film(Container::Flac, data);
});
