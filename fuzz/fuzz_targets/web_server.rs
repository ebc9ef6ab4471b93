//! Answers of web servers to requests for ranges: heads, bodies, redirects.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playswarm_proto::fuzzing::web_server(data));
