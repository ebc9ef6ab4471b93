//! Matroska and WebM.

use super::{PICTURE, SOUND, h264};
use crate::common::Film;

pub fn all() -> Vec<Film> {
    vec![
        cues_at_the_end(),
        cues_in_front(),
        cues_in_reserved_space(),
        live(),
        unseekable(),
        vp9(),
        av1(),
        hevc(),
        variable_frame_rate(),
        subtitles(),
        audio_only(),
        late_start(),
        coarse_times(),
        a_day_and_an_hour(),
    ]
}

pub fn large() -> Vec<Film> {
    vec![two_hours(), two_hours_without_cues()]
}

pub fn cues_at_the_end() -> Film {
    h264("cues-at-the-end.mkv", "")
}

pub fn cues_in_front() -> Film {
    h264("cues-in-front.mkv", "-cues_to_front 1")
}

pub fn cues_in_reserved_space() -> Film {
    h264("cues-in-reserved-space.mkv", "-reserve_index_space 20000")
}

/// Clusters of unknown size, without an index or a duration.
pub fn live() -> Film {
    h264("live.mkv", "-live 1")
}

/// As written to a pipe: small clusters, most without a keyframe, no index.
pub fn unseekable() -> Film {
    h264("unseekable.mkv", "-seekable 0")
}

pub fn vp9() -> Film {
    let coding = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 200k -g 50 -c:a libopus -b:a 64k";
    Film::new("vp9.webm", &format!("{PICTURE} {SOUND} {coding}"))
}

pub fn av1() -> Film {
    let coding = "-c:v libsvtav1 -preset 12 -g 50 -c:a libopus -b:a 64k";
    Film::new("av1.webm", &format!("{PICTURE} {SOUND} {coding}"))
}

pub fn hevc() -> Film {
    let coding = "-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=50:bframes=3 -c:a aac";
    Film::new("hevc.mkv", &format!("{PICTURE} {SOUND} {coding}"))
}

/// Some frames are left out.
pub fn variable_frame_rate() -> Film {
    let filter = "-vf select='mod(n,7)*mod(n,5)' -fps_mode vfr -c:v libx264 -preset veryfast -bf 2 -g 30 -c:a aac";
    Film::new("variable-frame-rate.mkv", &format!("{PICTURE} {SOUND} {filter}"))
}

/// Three tracks of sound and text with languages and titles.
pub fn subtitles() -> Film {
    let text = format!("{}/tests/common/catalogue/two-lines.srt", env!("CARGO_MANIFEST_DIR"));
    let maps = "-map 0:v -map 1:a -map 1:a -map 2:s -map 2:s -c:v libx264 -preset veryfast -g 50 -c:a libmp3lame";
    let languages = "-metadata:s:a:0 language=ger -metadata:s:a:1 language=eng -metadata:s:a:1 title=Comments \
        -metadata:s:s:0 language=fre -metadata:s:s:1 language=und -metadata:s:s:1 title=All -c:s:0 srt -c:s:1 ass";
    Film::new("subtitles.mkv", &format!("{PICTURE} {SOUND} -i {text} {maps} {languages}"))
}

pub fn audio_only() -> Film {
    Film::new("audio-only.mka", &format!("{SOUND} -c:a libopus -b:a 64k"))
}

/// Its timestamps begin at 100 s.
pub fn late_start() -> Film {
    Film::of(&cues_at_the_end(), "late-start.mkv", "-i {} -c copy -copyts -output_ts_offset 100")
}

/// Frame times that are not whole milliseconds, the unit of Matroska.
pub fn coarse_times() -> Film {
    h264("thirty-frames.mkv", "-r 30000/1001")
}

/// A keyframe every five seconds, in a gigabyte in all.
pub fn two_hours() -> Film {
    // A loop, because noise of two hours would take two hours to make.
    let minute = Film::new(
        "minute-of-noise.mkv",
        "-f lavfi -i nullsrc=size=320x180:rate=25:duration=60,geq=random(1)*255:128:128 -f lavfi -i sine=440:d=60 \
         -c:v libx264 -preset ultrafast -b:v 1200k -maxrate 1400k -bufsize 2000k -bf 2 -g 125 -c:a aac -b:a 96k",
    );
    Film::of(&minute, "two-hours.mkv", "-stream_loop 119 -i {} -c copy")
}

pub fn two_hours_without_cues() -> Film {
    Film::of(&two_hours(), "two-hours-without-cues.mkv", "-i {} -c copy -live 1")
}

/// 25 hours of one picture per second.
pub fn a_day_and_an_hour() -> Film {
    let picture = "-f lavfi -i color=size=32x32:rate=1:duration=90000 -c:v libx264 -preset ultrafast -g 10";
    Film::new("a-day-and-an-hour.mkv", picture)
}
