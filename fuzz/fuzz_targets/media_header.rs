//! Files of which only the header is read (ASF, FLV, RealMedia, MPEG-PS, WAV, AIFF, DV).
#![no_main]

use playswarm_media::{Container, fuzzing};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let head = &data[..data.len().min(Container::SNIFF_BYTES)];
    fuzzing::film(Container::sniff(head), data);
});
