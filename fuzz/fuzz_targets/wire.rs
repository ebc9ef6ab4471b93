//! What peers send: frames, extended handshakes, PEX, metadata messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playswarm::fuzzing::wire(data));
