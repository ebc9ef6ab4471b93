//! AVI.

use super::{PICTURE, SOUND, h264};
use crate::common::Film;

pub fn all() -> Vec<Film> {
    vec![mpeg4(), h264_and_ac3(), b_frames(), uncompressed_sound(), pictures_alone(), sound_alone()]
}

pub fn large() -> Vec<Film> {
    vec![two_hours(), open_dml()]
}

pub fn mpeg4() -> Film {
    Film::new("mpeg4.avi", &format!("{PICTURE} {SOUND} -c:v mpeg4 -q:v 8 -g 50 -c:a libmp3lame -b:a 96k"))
}

pub fn h264_and_ac3() -> Film {
    h264("h264.avi", "-bf 0 -c:a ac3")
}

pub fn b_frames() -> Film {
    Film::new("b-frames.avi", &format!("{PICTURE} {SOUND} -c:v mpeg4 -q:v 8 -bf 2 -g 48 -c:a libmp3lame"))
}

pub fn uncompressed_sound() -> Film {
    Film::new("uncompressed-sound.avi", &format!("{PICTURE} {SOUND} -c:v mjpeg -q:v 20 -c:a pcm_s16le"))
}

pub fn pictures_alone() -> Film {
    Film::new("30-frames.avi", &format!("{PICTURE} -r 30000/1001 -c:v mpeg4 -q:v 8 -g 30"))
}

pub fn sound_alone() -> Film {
    Film::new("sound-alone.avi", &format!("{SOUND} -c:a libmp3lame"))
}

pub fn two_hours() -> Film {
    let minute = Film::new(
        "minute.avi",
        "-f lavfi -i nullsrc=size=320x180:rate=25:duration=60,geq=random(1)*255:128:128 -f lavfi -i sine=440:d=60 \
         -c:v mpeg4 -b:v 900k -g 125 -c:a libmp3lame -b:a 96k",
    );
    Film::of(&minute, "two-hours.avi", "-stream_loop 119 -i {} -c copy")
}

/// More than a gigabyte, where FFmpeg begins a second RIFF and writes an OpenDML index.
pub fn open_dml() -> Film {
    let size = "-f lavfi -i color=size=1280x720:rate=25:duration=40 -f lavfi -i sine=440:d=40";
    Film::new("open-dml.avi", &format!("{size} -c:v rawvideo -pix_fmt yuv420p -c:a libmp3lame"))
}
