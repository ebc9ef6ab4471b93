//! The index of Ogg files. Seeds: `fuzz/seeds/media_ogg`.
#![no_main]

use playswarm_media::{Container, fuzzing};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzzing::film(Container::Ogg, data);
});
