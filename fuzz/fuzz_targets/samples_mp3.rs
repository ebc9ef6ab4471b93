//! The samples of MPEG audio, and their muxing. Seeds: `fuzz/seeds/media_mp3`.
#![no_main]

use playswarm_media::{Container, fuzzing};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzzing::samples(Container::Mp3, data);
});
