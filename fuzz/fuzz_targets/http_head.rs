//! What a request's head says of its path, of us, and of proxies.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playswarm_serve::fuzzing::http_head(data));
