//! What a request's head says of its path, of us, and of proxies.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playswarm::fuzzing::http_head(data));
