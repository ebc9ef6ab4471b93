//! Transfers of tiger trees, alone and in DIME.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playswarm_proto::fuzzing::thex(data));
