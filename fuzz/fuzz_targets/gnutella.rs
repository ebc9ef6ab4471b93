//! Messages of servents: frames, compressed connections, extensions, the DHT.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playswarm_proto::fuzzing::gnutella(data));
