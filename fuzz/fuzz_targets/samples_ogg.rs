//! The samples of Ogg streams, and their muxing. Seeds: `fuzz/seeds/media_ogg`.
#![no_main]

use playswarm_media::{Container, fuzzing};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzzing::samples(Container::Ogg, data);
});
