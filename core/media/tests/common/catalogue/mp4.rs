//! MP4 and MOV.

use super::h264;
use crate::common::Film;

pub fn all() -> Vec<Film> {
    vec![moov_in_front(), moov_at_the_end()]
}

pub fn large() -> Vec<Film> {
    vec![]
}

pub fn moov_in_front() -> Film {
    h264("moov-in-front.mp4", "-movflags +faststart")
}

pub fn moov_at_the_end() -> Film {
    h264("moov-at-the-end.mp4", "")
}
