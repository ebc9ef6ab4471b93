//! Answers of DHT nodes over IPv6 (those over IPv4 are read by the `mainline` crate), and of HTTP trackers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playswarm::fuzzing::dht(data));
