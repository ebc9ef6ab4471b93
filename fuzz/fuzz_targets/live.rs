//! Live channels: links, heads, packets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playswarm_proto::fuzzing::live(data));
