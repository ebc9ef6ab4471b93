//! The index of AVI films. Seeds: `fuzz/seeds/media_avi`.
#![no_main]

use playswarm_media::{Container, fuzzing};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzzing::film(Container::Avi, data);
});
