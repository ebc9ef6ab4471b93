//! The index of MPEG transport streams. Seeds: `fuzz/seeds/media_mpeg_ts`.
#![no_main]

use playswarm_media::{Container, fuzzing};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzzing::film(Container::MpegTs, data);
});
