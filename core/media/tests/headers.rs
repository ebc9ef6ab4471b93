//! Containers of which only the duration is read: films of a known length, and the same with
//! changed bytes.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Cut, Film, ffmpeg, read};
use playswarm_media::{Accuracy, Container, TrackKind, fuzzing};
use std::time::Duration;

const SECONDS: f64 = 20.0;
const PICTURES: &str = "-f lavfi -i testsrc2=size=320x240:rate=25:duration=20 -f lavfi -i sine=440:duration=20";
const SOUND: &str = "-f lavfi -i sine=440:sample_rate=44100:duration=20";

fn films() -> Vec<(Film, Container)> {
    let film = |name: &str, options: &str| Film::new(name, &format!("{PICTURES} {options}"));
    let sound = |name: &str, options: &str| Film::new(name, &format!("{SOUND} {options}"));
    vec![
        (film("film.wmv", "-c:v wmv2 -c:a wmav2 -g 25"), Container::Asf),
        (sound("sound.wma", "-c:a wmav2"), Container::Asf),
        (film("film.flv", "-c:v flv1 -c:a adpcm_swf -ar 44100"), Container::Flv),
        (film("keyed.flv", "-c:v flv1 -c:a adpcm_swf -ar 44100 -flvflags add_keyframe_index"), Container::Flv),
        (film("bare.flv", "-c:v flv1 -c:a adpcm_swf -ar 44100 -flvflags no_metadata"), Container::Flv),
        (film("film.rm", "-c:v rv10 -c:a ac3 -s 352x288"), Container::RealMedia),
        (film("film.mpg", "-c:v mpeg1video -b:v 2M -c:a mp2"), Container::MpegPs),
        (film("film.vob", "-c:v mpeg2video -b:v 2M -c:a ac3"), Container::MpegPs),
        (film("film.dv", "-c:v dvvideo -pix_fmt yuv420p -s 720x576 -ar 48000 -ac 2"), Container::Dv),
        (sound("sound.wav", "-c:a pcm_s16le"), Container::Wav),
        (sound("large.wav", "-c:a pcm_s24le -rf64 always"), Container::Wav),
        (sound("sound.aiff", "-c:a pcm_s16be"), Container::Aiff),
    ]
}

#[test]
fn the_header_or_the_ends_tell_how_long_a_film_is() {
    if !ffmpeg() {
        return;
    }
    for (film, container) in films() {
        for cut in [Cut::Exact, Cut::Blocks] {
            let timeline = read(&film, cut).timeline;
            assert_eq!(timeline.container(), container, "{}", film.name);
            let error = timeline.duration().as_secs_f64() - SECONDS;
            assert!(error.abs() < 0.5, "{}: {:?}, {:?}", film.name, timeline.duration(), timeline.accuracy());
            assert!(timeline.knows_duration() && matches!(timeline.accuracy(), Accuracy::Estimate { .. }));
            let middle = timeline.byte_at(Duration::from_secs(10)) as f64 / timeline.size() as f64;
            assert!((0.3..0.7).contains(&middle), "{}: {middle}", film.name);
        }
    }
}

#[test]
fn the_header_of_a_windows_film_tells_its_tracks() {
    if !ffmpeg() {
        return;
    }
    let timeline = read(&films()[0].0, Cut::Exact).timeline;
    let [video, audio] = timeline.tracks() else { panic!("{:?}", timeline.tracks()) };
    assert_eq!((video.kind, video.codec.as_str(), video.resolution), (TrackKind::Video, "wmv2", Some((320, 240))));
    assert_eq!((audio.kind, audio.codec.as_str()), (TrackKind::Audio, "wmav2"));
    assert_eq!(audio.audio.map(|(channels, rate)| (channels > 0, rate)), Some((true, 44_100)));
}

#[test]
fn changed_and_cut_headers_are_no_more_than_not_known() {
    if !ffmpeg() {
        return;
    }
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    for (film, container) in films() {
        let whole = std::fs::read(film.path()).unwrap();
        for round in 0..60 {
            let mut bytes = whole[..whole.len().min(64 << 10)].to_vec();
            for _ in 0..=round % 6 {
                let at = 12 + next(bytes.len().min(2000) - 12);
                bytes[at] = next(256) as u8;
            }
            if round % 3 == 0 {
                bytes.truncate(next(bytes.len()));
            }
            fuzzing::film(container, &bytes);
        }
    }
}

#[test]
fn of_a_film_that_tells_nothing_no_time_is_invented() {
    let size = 8 << 20;
    for name in ["film.wmv", "film.xyz", "film.mkv", "film.vob"] {
        let film = Film::built(name, vec![7; size]);
        let timeline = read(&film, Cut::Exact).timeline;
        assert!(!timeline.knows_duration(), "{name}: {:?}", timeline.duration());
        assert_eq!(timeline.duration(), Duration::ZERO, "{name}");
        assert_eq!((timeline.byte_at(Duration::from_secs(60)), timeline.bytes_per_s(Duration::ZERO)), (0, None));
        let seek_point = common::locate(&film, &timeline, Duration::from_secs(60)).0;
        assert_eq!((seek_point.time, seek_point.from, seek_point.estimated), (Duration::ZERO, 0, true));
    }
}
