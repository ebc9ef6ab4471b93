//! Heads of servents: the handshake, fields of HTTP, calls back, and a block of extensions.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playswarm_proto::fuzzing::gnutella_heads(data));
