//! Streams pushed over RTMP: handshake, chunks, commands, FLV.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playswarm_proto::fuzzing::rtmp(data));
