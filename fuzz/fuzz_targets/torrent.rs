//! Metainfo files: bencode, names, lengths, limits.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| playswarm_proto::fuzzing::torrent(data));
