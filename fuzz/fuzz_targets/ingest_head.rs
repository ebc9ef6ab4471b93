//! Streams pushed over HTTP and by Icecast's clients: heads, bodies, titles.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playswarm_proto::fuzzing::ingest_head(data));
