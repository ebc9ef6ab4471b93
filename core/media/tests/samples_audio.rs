//! Samples of audio files against the packets that ffprobe reads.
#![allow(clippy::unwrap_used, missing_docs)]

#[macro_use]
mod common;

use common::catalogue::audio as films;

samples! {
    mp3_of_constant_rate: films::mp3_cbr();
    mp3_of_constant_rate_without_an_info_frame: films::mp3_bare_cbr();
    mp3_of_variable_rate: films::mp3_vbr();
    mp3_of_variable_rate_without_a_xing_frame: films::mp3_bare_vbr();
    mp3_of_a_low_rate: films::mp3_low_rate();
    mp3_behind_a_cover: films::mp3_cover();
    layer_2: films::layer_2();
}
