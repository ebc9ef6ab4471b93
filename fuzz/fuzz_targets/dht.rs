//! Answers of DHT nodes over IPv6 (those over IPv4 are parsed by the `mainline` crate) and of trackers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playswarm_proto::fuzzing::answers(data));
