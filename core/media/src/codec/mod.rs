//! Syntax of codecs that several containers need.

pub(crate) mod aac;
pub(crate) mod access_units;
pub(crate) mod annex_b;
pub(crate) mod audio;
mod bits;
pub(crate) mod sps;
pub(crate) mod vorbis;
