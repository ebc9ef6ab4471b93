//! What a client of the RTSP server sends: requests with their headers, frames, reports.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playswarm_serve::fuzzing::rtsp(data));
