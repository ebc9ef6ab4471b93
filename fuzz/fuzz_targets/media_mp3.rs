//! The index of MP3 files. Seeds: `fuzz/seeds/media_mp3`.
#![no_main]

use playswarm_media::{Container, fuzzing};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzzing::film(Container::Mp3, data);
});
