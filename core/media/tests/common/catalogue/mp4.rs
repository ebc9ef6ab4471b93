//! MP4 and MOV.

use super::{PICTURE, SOUND, h264, mp4_boxes};
use crate::common::Film;

pub fn all() -> Vec<Film> {
    vec![
        moov_in_front(),
        moov_at_the_end(),
        mp4_boxes::co64(),
        no_b_frames_no_sound(),
        hevc(),
        av1(),
        vp9(),
        keyframes_alone(),
        two_languages(),
        surround(),
        late_sound(),
        cut_at_the_start(),
        without_edit_list(),
        variable_frame_rate(),
        mov(),
        mov_with_pcm(),
        audio_only(),
        alac(),
        audio_with_cover(),
        day_long(),
        fragments_with_mfra(),
        fragments_after_a_moov_with_samples(),
        fragments_with_sidx(),
        fragments_with_sidx_each(),
        fragments_bare(),
        fragments_shorter_than_gops(),
        fragments_of_one_track_each(),
        fragments_of_sound(),
        many_fragments_with_mfra(),
        many_fragments_with_sidx(),
        many_fragments_bare(),
    ]
}

pub fn large() -> Vec<Film> {
    vec![
        two_hours_in_front(),
        two_hours_at_the_end(),
        two_hours_fragmented(),
        two_hours_with_sidx(),
        two_hours_with_mfra(),
    ]
}

pub fn moov_in_front() -> Film {
    h264("moov-in-front.mp4", "-movflags +faststart")
}

pub fn moov_at_the_end() -> Film {
    h264("moov-at-the-end.mp4", "")
}

pub fn no_b_frames_no_sound() -> Film {
    Film::new("no-b-frames.mp4", &format!("{PICTURE} -c:v libx264 -preset veryfast -bf 0 -g 50"))
}

pub fn hevc() -> Film {
    let codec = "-c:v libx265 -preset ultrafast -x265-params keyint=50:bframes=3:log-level=error -tag:v hvc1 -c:a aac";
    Film::new("hevc.mp4", &format!("{PICTURE} {SOUND} {codec}"))
}

pub fn av1() -> Film {
    Film::new("av1.mp4", &format!("{PICTURE} {SOUND} -c:v libaom-av1 -cpu-used 8 -usage realtime -g 50 -c:a libopus"))
}

pub fn vp9() -> Film {
    Film::new(
        "vp9.mp4",
        &format!("{PICTURE} {SOUND} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 50 -c:a libopus"),
    )
}

/// No `stss`: every picture is a keyframe.
pub fn keyframes_alone() -> Film {
    Film::new("keyframes-alone.mp4", &format!("{PICTURE} {SOUND} -c:v mjpeg -c:a libmp3lame"))
}

pub fn two_languages() -> Film {
    let tracks = "-map 0:v -map 1:a -map 1:a -metadata:s:a:0 language=fra -metadata:s:a:1 language=eng";
    let titles = "-metadata:s:a:1 title=Commentary";
    Film::new(
        "two-languages.mp4",
        &format!("{PICTURE} {SOUND} {tracks} {titles} -c:v libx264 -g 50 -c:a:0 aac -c:a:1 ac3"),
    )
}

/// Six channels, in E-AC-3.
pub fn surround() -> Film {
    let sound = "-f lavfi -i anoisesrc=duration=16:sample_rate=48000:amplitude=0.1";
    Film::new("surround.mp4", &format!("{PICTURE} {sound} -c:v libx264 -g 50 -c:a eac3 -ac 6"))
}

/// An empty edit before the sound.
pub fn late_sound() -> Film {
    let shifted = SOUND.replace("-f lavfi", "-itsoffset 1.5 -f lavfi");
    Film::new("late-sound.mp4", &format!("{PICTURE} {shifted} -c:v libx264 -bf 2 -g 50 -c:a aac"))
}

/// Copied from the middle of a GOP, so that the edit list begins after the first keyframe.
pub fn cut_at_the_start() -> Film {
    let cut = "-ss 3.3 -i {} -c copy -avoid_negative_ts disabled";
    Film::of(&moov_in_front(), "cut-at-the-start.mp4", cut)
}

pub fn without_edit_list() -> Film {
    h264("without-edit-list.mp4", "-use_editlist 0")
}

pub fn variable_frame_rate() -> Film {
    let drop = "-vf select=not(mod(n\\,7))+lt(mod(n\\,50)\\,20) -fps_mode vfr";
    h264("variable-frame-rate.mp4", drop)
}

pub fn mov() -> Film {
    h264("quicktime.mov", "-metadata:s:a:0 language=fra")
}

/// Sound without compression: chunks of samples of four bytes.
pub fn mov_with_pcm() -> Film {
    Film::new("pcm.mov", &format!("{PICTURE} {SOUND} -c:v prores -profile:v 0 -c:a pcm_s16le"))
}

pub fn audio_only() -> Film {
    Film::new("sound.m4a", &format!("{SOUND} -c:a aac -b:a 64k"))
}

pub fn alac() -> Film {
    Film::new("alac.m4a", &format!("{SOUND} -c:a alac"))
}

pub fn audio_with_cover() -> Film {
    let cover = "-f lavfi -i color=size=64x64:duration=0.04:rate=25 -map 0:a -map 1:v -c:a aac -c:v png";
    Film::new("cover.m4a", &format!("{SOUND} {cover} -disposition:v attached_pic"))
}

/// 25 hours, a picture every two seconds and a keyframe every minute.
pub fn day_long() -> Film {
    let picture = "-f lavfi -i color=size=32x32:rate=1/2:duration=90000";
    Film::new("day-long.mp4", &format!("{picture} -c:v libx264 -preset ultrafast -bf 2 -g 30"))
}

/// The first fragment is in the `moov`'s own tables.
pub fn fragments_after_a_moov_with_samples() -> Film {
    h264("fragments-hybrid.mp4", "-movflags frag_keyframe")
}

pub fn fragments_with_mfra() -> Film {
    h264("fragments-mfra.mp4", "-movflags frag_keyframe+empty_moov")
}

pub fn fragments_with_sidx() -> Film {
    h264("fragments-sidx.mp4", "-movflags frag_keyframe+empty_moov+default_base_moof+global_sidx+dash+skip_trailer")
}

pub fn fragments_with_sidx_each() -> Film {
    h264("fragments-sidx-each.mp4", "-movflags frag_keyframe+empty_moov+dash+skip_trailer")
}

pub fn fragments_bare() -> Film {
    h264("fragments-bare.mp4", "-movflags frag_keyframe+empty_moov+default_base_moof+skip_trailer")
}

pub fn fragments_shorter_than_gops() -> Film {
    h264("fragments-short.mp4", "-frag_duration 500000 -movflags empty_moov+default_base_moof+skip_trailer")
}

pub fn fragments_of_one_track_each() -> Film {
    h264("fragments-separate.mp4", "-movflags frag_keyframe+empty_moov+separate_moof+default_base_moof+skip_trailer")
}

pub fn fragments_of_sound() -> Film {
    Film::new(
        "fragments-sound.m4a",
        &format!("{SOUND} -c:a aac -frag_duration 2000000 -movflags empty_moov+skip_trailer"),
    )
}

/// Ten minutes with a keyframe every second: too many fragments to read all headers.
fn many(name: &str, flags: &str) -> Film {
    let picture = "-f lavfi -i testsrc2=size=96x64:rate=10:duration=600 -f lavfi -i sine=duration=600";
    let codecs = "-c:v libx264 -preset ultrafast -bf 2 -g 10 -c:a aac -b:a 32k";
    Film::new(name, &format!("{picture} {codecs} -movflags frag_keyframe+empty_moov+default_base_moof+{flags}"))
}

pub fn many_fragments_with_mfra() -> Film {
    many("many-fragments-mfra.mp4", "frag_keyframe")
}

pub fn many_fragments_with_sidx() -> Film {
    many("many-fragments-sidx.mp4", "dash+global_sidx+skip_trailer")
}

pub fn many_fragments_bare() -> Film {
    many("many-fragments-bare.mp4", "skip_trailer")
}

/// A minute at 3 Mbit/s, repeated for films of hours.
fn minute() -> Film {
    let picture =
        "-f lavfi -i testsrc2=size=1280x720:rate=25:duration=60,noise=alls=6:allf=t -f lavfi -i sine=duration=60";
    let codecs = "-c:v libx264 -preset ultrafast -bf 2 -g 250 -b:v 3000k -maxrate 3000k -bufsize 3M -c:a aac -b:a 128k";
    Film::new("minute.mp4", &format!("{picture} {codecs}"))
}

fn two_hours(name: &str, rest: &str) -> Film {
    Film::of(&minute(), name, &format!("-stream_loop 119 -i {{}} -c copy {rest}"))
}

pub fn two_hours_in_front() -> Film {
    two_hours("two-hours-in-front.mp4", "-movflags +faststart")
}

pub fn two_hours_at_the_end() -> Film {
    two_hours("two-hours-at-the-end.mp4", "")
}

pub fn two_hours_fragmented() -> Film {
    two_hours("two-hours-bare.mp4", "-movflags frag_keyframe+empty_moov+default_base_moof+skip_trailer")
}

pub fn two_hours_with_sidx() -> Film {
    two_hours(
        "two-hours-sidx.mp4",
        "-movflags frag_keyframe+empty_moov+default_base_moof+dash+global_sidx+skip_trailer",
    )
}

pub fn two_hours_with_mfra() -> Film {
    two_hours("two-hours-mfra.mp4", "-movflags frag_keyframe+empty_moov+default_base_moof")
}
