//! The Range header of HTTP requests.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playswarm::fuzzing::http_range(data));
