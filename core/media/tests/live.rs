//! Live streams made by FFmpeg: nothing is lost, and what a player gets from each restart point on
//! plays without an error.
#![allow(clippy::unwrap_used, missing_docs)]

#[macro_use]
mod common;

use common::Film;
use common::catalogue::mpeg_ts;
use common::live::{Split, check};

/// Six seconds of a picture with a keyframe each second, and sound.
const VIDEO: &str = "-f lavfi -i testsrc2=s=192x108:r=25:d=6 -f lavfi -i sine=f=440:d=6 -shortest";
const AUDIO: &str = "-f lavfi -i sine=f=440:r=48000:d=4 -ac 2";
const X264: &str = "-c:v libx264 -preset ultrafast -g 25 -pix_fmt yuv420p";

/// Returns a film that was written as a stream, without going back.
fn live(name: &str, recipe: &str) -> Film {
    Film::new(name, &format!("{recipe} -seekable 0"))
}

/// Asserts that units are the whole stream, apart from the init bytes that begin it.
fn assert_whole(split: &Split, film: &Film, init_bytes: usize) {
    assert!(film.bytes()[init_bytes..] == split.joined()[..], "{}: units are not the stream", film.name);
}

/// Asserts that the stream is the init bytes and then the units.
fn assert_headed(split: &Split, film: &Film) {
    assert!(film.bytes().starts_with(&split.init()), "{}: the stream begins otherwise", film.name);
    assert_whole(split, film, split.init().len());
}

#[test]
fn a_transport_stream() {
    if common::ffmpeg() {
        let film = live("live.ts", &format!("{VIDEO} {X264} -c:a aac -f mpegts"));
        let split = check(&film, 6);
        assert_whole(&split, &film, 0);
        assert_eq!((split.content_type.as_str(), split.extension), ("video/mp2t", Some("ts")));
        assert_eq!(split.init().len(), 2 * 188, "one packet of each table");
        assert_eq!(split.interval_s, Some(1.0));
    }
}

#[test]
fn a_flash_video() {
    if common::ffmpeg() {
        let film = live("live.flv", &format!("{VIDEO} {X264} -c:a aac -f flv"));
        let split = check(&film, 6);
        assert_headed(&split, &film);
        assert_eq!((split.content_type.as_str(), split.extension), ("video/x-flv", Some("flv")));
        assert_eq!(split.interval_s, Some(1.0));
    }
}

#[test]
fn a_webm_for_live_streaming() {
    if common::ffmpeg() {
        let film = live(
            "live.webm",
            &format!("{VIDEO} -c:v libvpx -deadline good -cpu-used 8 -b:v 1M -g 25 -c:a libopus -f webm -live 1"),
        );
        let split = check(&film, 5);
        assert_eq!((split.content_type.as_str(), split.extension), ("video/webm", Some("webm")));
    }
}

#[test]
fn a_matroska_in_a_pipe() {
    if common::ffmpeg() {
        let film = live("live.mkv", &format!("{VIDEO} {X264} -c:a aac -f matroska"));
        let split = check(&film, 5);
        assert_eq!((split.content_type.as_str(), split.extension), ("video/x-matroska", Some("mkv")));
    }
}

#[test]
fn a_fragmented_mp4() {
    if common::ffmpeg() {
        let flags = "-f mp4 -movflags frag_keyframe+empty_moov+default_base_moof";
        let film = live("live.mp4", &format!("{VIDEO} {X264} -c:a aac {flags}"));
        let split = check(&film, 6);
        assert_headed(&split, &film);
        assert_eq!((split.content_type.as_str(), split.extension), ("video/mp4", Some("mp4")));
        assert_eq!(split.interval_s, Some(1.0));
    }
}

#[test]
fn an_ogg_with_theora() {
    if common::ffmpeg() {
        let film = live("live.ogv", &format!("{VIDEO} -c:v libtheora -g 25 -c:a libvorbis -f ogg"));
        let split = check(&film, 6);
        assert_headed(&split, &film);
        assert_eq!((split.content_type.as_str(), split.extension), ("video/ogg", Some("ogv")));
    }
}

#[test]
fn an_ogg_with_vorbis() {
    if common::ffmpeg() {
        let film = live("vorbis.ogg", &format!("{AUDIO} -c:a libvorbis -f ogg"));
        let split = check(&film, 3);
        assert_headed(&split, &film);
        assert_eq!((split.content_type.as_str(), split.extension), ("audio/ogg", Some("ogg")));
    }
}

#[test]
fn an_ogg_with_opus() {
    if common::ffmpeg() {
        let film = live("opus.ogg", &format!("{AUDIO} -c:a libopus -f ogg"));
        assert_headed(&check(&film, 3), &film);
    }
}

#[test]
fn a_stream_of_mp3() {
    if common::ffmpeg() {
        let film = live("live.mp3", &format!("{AUDIO} -c:a libmp3lame -b:a 96k -f mp3"));
        let split = check(&film, 7);
        assert_whole(&split, &film, 0);
        assert_eq!((split.content_type.as_str(), split.extension), ("audio/mpeg", Some("mp3")));
        let restarts = split.units.iter().filter(|unit| unit.restart).count();
        assert!(restarts <= 9, "{restarts} restart points in 4 s, although half a second apart");
    }
}

#[test]
fn a_stream_of_aac() {
    if common::ffmpeg() {
        let film = live("live.aac", &format!("{AUDIO} -c:a aac -f adts"));
        let split = check(&film, 7);
        assert_whole(&split, &film, 0);
        assert_eq!((split.content_type.as_str(), split.extension), ("audio/aac", Some("aac")));
    }
}

#[test]
fn a_stream_of_flac() {
    if common::ffmpeg() {
        let film = live("live.flac", &format!("{AUDIO} -c:a flac -f flac"));
        let split = check(&film, 7);
        assert_headed(&split, &film);
        assert_eq!((split.content_type.as_str(), split.extension), ("audio/flac", Some("flac")));
    }
}

#[test]
fn a_transport_stream_whose_encoder_never_sets_the_random_access_indicator() {
    if common::ffmpeg() {
        let film = mpeg_ts::without_indicators();
        assert_whole(&check(&film, 2), &film, 0);
    }
}

#[test]
fn transport_streams_of_hevc_and_mpeg2() {
    if common::ffmpeg() {
        let hevc = "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=25:open-gop=0 -c:a ac3";
        check(&live("hevc.ts", &format!("{VIDEO} {hevc} -f mpegts")), 6);
        check(&live("mpeg2.ts", &format!("{VIDEO} -c:v mpeg2video -g 25 -c:a mp2 -f mpegts")), 6);
    }
}

#[test]
fn streams_of_sound_alone() {
    if common::ffmpeg() {
        for (name, recipe, restarts, content_type) in [
            ("sound.ts", "-c:a aac -f mpegts", 5, "video/mp2t"),
            ("sound.flv", "-c:a aac -ar 44100 -f flv", 7, "video/x-flv"),
            ("sound.webm", "-c:a libopus -cluster_time_limit 500 -f webm -live 1", 5, "audio/webm"),
            ("sound.mka", "-c:a libvorbis -cluster_time_limit 500 -f matroska", 5, "audio/x-matroska"),
            (
                "sound.mp4",
                "-c:a aac -f mp4 -movflags empty_moov+default_base_moof -frag_duration 500000",
                5,
                "audio/mp4",
            ),
        ] {
            let split = check(&live(name, &format!("{AUDIO} {recipe}")), restarts);
            assert_eq!(split.content_type, content_type, "{name}");
        }
    }
}

#[test]
fn players_do_not_begin_with_a_cluster_or_a_fragment_that_has_no_keyframe_in_front() {
    if common::ffmpeg() {
        for (name, recipe) in [
            ("rare.mkv", "-s 640x360 -c:a aac -cluster_time_limit 300 -f matroska"),
            ("rare.mp4", "-c:a aac -f mp4 -movflags empty_moov+default_base_moof -frag_duration 300000"),
            (
                "rare-after-keyframes.mp4",
                "-c:a aac -f mp4 -movflags empty_moov+default_base_moof+frag_keyframe -frag_duration 300000",
            ),
        ] {
            let x264 = X264.replace("-g 25", "-g 50");
            let split = check(&live(name, &format!("{VIDEO} {x264} {recipe}")), 1);
            let restarts = split.units.iter().filter(|unit| unit.restart).count();
            assert!(restarts <= 3, "{name}: {restarts} restart points, but 3 keyframes");
        }
    }
}
