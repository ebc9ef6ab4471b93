//! The samples of AVI films, and their muxing. Seeds: `fuzz/seeds/media_avi`.
#![no_main]

use playswarm_media::{Container, fuzzing};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzzing::samples(Container::Avi, data);
});
