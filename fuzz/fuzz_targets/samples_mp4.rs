//! The samples of MP4 and MOV films, and their muxing. Seeds: `fuzz/seeds/media_mp4`.
#![no_main]

use playswarm_media::{Container, fuzzing};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzzing::samples(Container::Mp4, data);
});
