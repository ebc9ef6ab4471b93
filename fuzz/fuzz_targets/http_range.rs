//! The Range header of HTTP requests.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playswarm_serve::fuzzing::http_range(data));
