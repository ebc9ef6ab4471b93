//! Subtitles of any encoding on their way to a browser.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    playswarm_serve::fuzzing::subtitle(data);
});
