//! Live streams: units, restart points and init bytes, in pieces of any size.
#![no_main]

use playswarm_media::fuzzing;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzzing::live_split(data);
});
