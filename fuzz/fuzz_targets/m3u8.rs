//! HLS playlists.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playswarm_proto::fuzzing::m3u8(data));
