//! Messages of peers: frames, extended handshakes, PEX, metadata messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playswarm_proto::fuzzing::peer_bytes(data));
