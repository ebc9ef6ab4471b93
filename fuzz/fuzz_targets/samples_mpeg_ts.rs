//! The samples of MPEG transport streams, and their muxing. Seeds: `fuzz/seeds/media_mpeg_ts`.
#![no_main]

use playswarm_media::{Container, fuzzing};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzzing::samples(Container::MpegTs, data);
});
