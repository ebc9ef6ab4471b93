//! The indexes of MP3, FLAC and Ogg files, compared with ffprobe.
//!
//! ffprobe is the only reference, because symphonia is MPL-2.0, which deny.toml does not admit.
#![allow(clippy::unwrap_used)]

#[macro_use]
mod common;

use common::catalogue::audio as films;
use common::{Cut, Film, Row, Truth, check_landings, compare, ffmpeg, locate, programs, read};
use playswarm_media::{Accuracy, TrackKind};
use std::process::Command;
use std::time::Duration;

films! {
    a_bare_mp3_of_constant_bitrate_is_all_arithmetic: films::mp3_bare_cbr();
    an_mp3_of_a_low_sample_rate_has_frames_of_half_the_length: films::mp3_low_rate();
    layer_two_is_read_as_layer_three_is: films::layer_2();
    flac_without_a_seek_table_is_bisected: films::flac();
    flac_of_24_bits_has_frames_larger_than_a_window: films::flac_of_24_bits();
    theoras_keyframes_are_found_beside_vorbis: films::theora();
    theoras_keyframes_are_found_among_many_pages: films::theora_of_a_minute();
}

/// Returns the length of a file as FFmpeg decodes it, without the silence that an encoder adds
/// around the sound.
fn decoded_s(film: &Film) -> f64 {
    let output = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-nostdin", "-i"])
        .arg(film.path())
        .args(["-map", "0:a:0", "-ac", "1", "-ar", "8000", "-f", "s16le", "-"])
        .output()
        .unwrap();
    output.stdout.len() as f64 / 2.0 / 8000.0
}

/// Compares all but the duration, because with Xing frames ffprobe includes the encoder's silence.
fn compared(film: &Film) -> Row {
    let row = compare(film, &Truth::of(&film.path()), &read(film, Cut::Blocks));
    println!("{row}");
    assert!(row.max_time_error_s <= 0.001, "{row:#?}");
    assert_eq!((row.offsets_wrong, row.from_wrong), (0, 0), "{row:#?}");
    row
}

/// Seeks to forty times and compares with ffprobe's packets by position. Each seek point must be
/// the start of a packet, no later than the time and at most `most` seconds before it.
fn land(film: &Film, most: f64) {
    let truth = Truth::of(&film.path());
    let timeline = read(film, Cut::Exact).timeline;
    let origin = timeline.origin_us() as f64 / 1e6;
    for n in 0..40 {
        let time = timeline.duration().as_secs_f64() * f64::from(n) / 39.0;
        let (seek_point, touched) = locate(film, &timeline, Duration::from_secs_f64(time));
        let what = format!("{}: a seek to {time} gave {seek_point:?}", film.name);
        let packets = truth.main_packets().filter(|p| p.pos == Some(seek_point.offset));
        let times: Vec<f64> = packets.map(|p| p.time().unwrap() - origin).collect();
        let ours = seek_point.time.as_secs_f64();
        assert!(
            times.iter().any(|t| (t.max(0.0) - ours).abs() < 0.001),
            "{what}, but packets of {times:?} begin there"
        );
        assert!(ours <= time + 1e-6 && time - ours <= most, "{what}");
        assert!(
            seek_point.from <= seek_point.offset && seek_point.offset < seek_point.until && !seek_point.estimated,
            "{what}"
        );
        assert!(touched <= 512 << 10, "{what} after {touched} bytes");
    }
}

#[test]
fn a_variable_mp3_with_a_xing_frame_lasts_as_long_as_it_is_heard() {
    if !ffmpeg() {
        return;
    }
    let film = films::mp3_vbr();
    let row = compared(&film);
    assert!((row.duration_s - decoded_s(&film)).abs() < 0.001, "{row:#?}");
    assert_eq!(row.accuracy, Accuracy::Sparse);
    assert!(row.touched <= 48 << 10, "{row:#?}");
}

#[test]
fn a_seek_in_a_variable_mp3_finds_a_frame_near_the_time_and_says_that_it_is_an_estimate() {
    if !ffmpeg() {
        return;
    }
    for film in [films::mp3_vbr(), films::mp3_bare_vbr()] {
        let truth = Truth::of(&film.path());
        let timeline = read(&film, Cut::Exact).timeline;
        for n in 0..40 {
            let time = timeline.duration() * n / 39;
            let (seek_point, _) = locate(&film, &timeline, time);
            let frame = truth.packets.iter().find(|p| p.pos == Some(seek_point.offset));
            let frame = frame.unwrap_or_else(|| panic!("{seek_point:?} in {} is no frame", film.name));
            assert!(seek_point.estimated && seek_point.time == time);
            if film.name == "vbr.mp3" {
                let error = frame.time().unwrap() - time.as_secs_f64();
                // The table has a point for each hundredth, each rounded to a 256th of the bytes.
                assert!(error.abs() < 0.03 * truth.duration, "{seek_point:?} is {error} s off");
            }
        }
    }
}

#[test]
fn a_constant_mp3_with_an_info_frame_lands_on_the_very_frame() {
    if !ffmpeg() {
        return;
    }
    let film = films::mp3_cbr();
    let row = compared(&film);
    assert!((row.duration_s - decoded_s(&film)).abs() < 0.001, "{row:#?}");
    check_landings(&film, &Truth::of(&film.path()), &read(&film, Cut::Exact).timeline);
}

#[test]
fn cover_art_of_megabytes_is_stepped_over() {
    if !ffmpeg() {
        return;
    }
    let film = films::mp3_cover();
    let row = compared(&film);
    assert!(row.size > 2 << 20, "the cover is large: {row:#?}");
    assert!(row.touched <= 64 << 10, "{row:#?}");
    let timeline = read(&film, Cut::Exact).timeline;
    let track = &timeline.tracks()[0];
    assert_eq!((track.title.as_deref(), track.language.as_deref()), (Some("Noise"), Some("deu")));
    check_landings(&film, &Truth::of(&film.path()), &timeline);
}

#[test]
fn a_variable_mp3_that_says_nothing_of_itself_is_an_estimate_with_a_reason() {
    if !ffmpeg() {
        return;
    }
    let timeline = read(&films::mp3_bare_vbr(), Cut::Exact).timeline;
    let Accuracy::Estimate { why } = timeline.accuracy() else { panic!("{:?}", timeline.accuracy()) };
    assert!(why.contains("bitrate varies"), "{why}");
    assert!((20.0..180.0).contains(&timeline.duration().as_secs_f64()), "{:?}", timeline.duration());
}

/// Makes a file with a VBRI frame before frames of FFmpeg's, with a point for every fifty of them.
fn vbri() -> Film {
    const STEP: usize = 50;
    let (source, truth) = (films::mp3_bare_vbr(), Truth::of(&films::mp3_bare_vbr().path()));
    let bytes = source.bytes();
    let starts: Vec<u64> = truth.packets.iter().map(|p| p.pos.unwrap()).collect();
    let sound = &bytes[starts[0] as usize..];
    let mut points: Vec<u64> = starts.iter().step_by(STEP).copied().collect();
    points.push(bytes.len() as u64);
    let mut frame = vec![0u8; 417];
    frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0xc4]);
    let mut tag = b"VBRI\0\x01\0\0\0\x4b".to_vec();
    tag.extend_from_slice(&(sound.len() as u32 + 417).to_be_bytes());
    tag.extend_from_slice(&(starts.len() as u32).to_be_bytes());
    for field in [points.len() as u16 - 1, 1, 4, STEP as u16] {
        tag.extend_from_slice(&field.to_be_bytes());
    }
    for pair in points.windows(2) {
        tag.extend_from_slice(&((pair[1] - pair[0]) as u32).to_be_bytes());
    }
    frame[36..36 + tag.len()].copy_from_slice(&tag);
    Film::built("vbri.mp3", [&frame, sound].concat())
}

#[test]
fn a_vbri_frame_tells_the_length_and_a_line_that_follows_the_bitrate() {
    if !ffmpeg() {
        return;
    }
    let film = vbri();
    let truth = Truth::of(&film.path());
    let row = compared(&film);
    assert!(row.duration_error_s.abs() <= row.frame_s, "{row:#?}");
    let timeline = read(&film, Cut::Exact).timeline;
    for packet in truth.packets.iter().step_by(101) {
        let byte = timeline.byte_at(Duration::from_secs_f64(packet.time().unwrap()));
        let error = byte.abs_diff(packet.pos.unwrap());
        // There is a point every 1.3 seconds, with linear interpolation between them.
        assert!(error < 8000, "{packet:?} is expected at {byte}");
    }
}

#[test]
fn a_seek_table_gives_exact_points_and_fewer_looks() {
    if !programs(&[("ffmpeg", "-version"), ("ffprobe", "-version"), ("metaflac", "--version")]) {
        return;
    }
    let film = films::flac_with_points();
    let row = common::check(&film);
    println!("{row}");
    assert!(row.keyframes >= 60, "{row:#?}");
}

#[test]
fn a_seek_table_that_lies_is_found_out() {
    if !programs(&[("ffmpeg", "-version"), ("ffprobe", "-version"), ("metaflac", "--version")]) {
        return;
    }
    let honest = films::flac_with_points();
    let truth = Truth::of(&honest.path());
    let mut bytes = honest.bytes();
    // The block of type 3 behind the stream information. Its offsets are moved by a little, then
    // all set to one place.
    let at = 4 + 4 + 34;
    assert_eq!(bytes[at] & 0x7f, 3);
    let points = u32::from_be_bytes([0, bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize / 18;
    for to in [100u64, 5_000_000] {
        for n in 0..points {
            let place = at + 4 + n * 18 + 8;
            bytes[place..place + 8].copy_from_slice(&(to + n as u64).to_be_bytes());
        }
        let film = Film::built("lying.flac", bytes.clone());
        check_landings(&film, &truth, &read(&film, Cut::Exact).timeline);
    }
}

#[test]
fn the_title_of_a_flac_or_ogg_file_is_in_its_comments() {
    if !ffmpeg() {
        return;
    }
    for film in [films::flac(), films::vorbis()] {
        let timeline = read(&film, Cut::Exact).timeline;
        assert_eq!(timeline.tracks()[0].title.as_deref(), Some("Noise"), "{}", film.name);
    }
}

#[test]
fn a_flac_file_that_does_not_say_its_length_has_it_from_its_last_frame() {
    if !ffmpeg() {
        return;
    }
    let source = films::flac();
    let mut bytes = source.bytes();
    // The lower 36 bits of the eight bytes at 10 of the stream information.
    bytes[8 + 13] &= 0xf0;
    bytes[8 + 14..8 + 18].fill(0);
    let film = Film::built("unsaid.flac", bytes);
    let (timeline, honest) = (read(&film, Cut::Exact).timeline, read(&source, Cut::Exact).timeline);
    assert_eq!(timeline.duration(), honest.duration());
    check_landings(&film, &Truth::of(&source.path()), &timeline);
}

#[test]
fn a_flac_file_behind_an_id3_tag_is_read_all_the_same() {
    if !ffmpeg() {
        return;
    }
    let tag = [&b"ID3\x04\0\0\0\0\x02\0"[..], &[0; 256]].concat();
    let film = Film::built("tagged.flac", [tag, films::flac().bytes()].concat());
    let row = common::check(&film);
    assert!(row.touched <= 128 << 10, "{row:#?}");
}

#[test]
fn each_codec_in_ogg_lands_on_a_page_no_later_than_the_time() {
    if !ffmpeg() {
        return;
    }
    for film in [films::vorbis(), films::opus(), films::speex(), films::ogg_flac()] {
        let row = compared(&film);
        assert!(row.duration_error_s.abs() <= row.frame_s.max(0.025), "{row:#?}");
        land(&film, 1.2);
    }
}

#[test]
fn the_tracks_are_named_as_ffprobe_names_them() {
    if !ffmpeg() {
        return;
    }
    for film in films::all() {
        let truth = Truth::of(&film.path());
        let timeline = read(&film, Cut::Exact).timeline;
        let theirs = truth.tracks.iter().filter(|track| !track.attached);
        let theirs: Vec<_> = theirs.map(|t| (t.codec.clone(), t.resolution, t.audio)).collect();
        let ours: Vec<_> = timeline.tracks().iter().map(|t| (t.codec.clone(), t.resolution, t.audio)).collect();
        assert_eq!(ours, theirs, "{}", film.name);
        assert!(timeline.tracks().iter().all(|t| t.kind != TrackKind::Other));
    }
}

#[test]
fn the_links_of_a_chain_follow_each_other_in_time() {
    if !ffmpeg() {
        return;
    }
    let (first, second, chain) = (films::vorbis(), films::second_link(), films::chain());
    let [a, b] = [&first, &second].map(|film| read(film, Cut::Exact).timeline);
    let timeline = read(&chain, Cut::Blocks).timeline;
    assert_eq!(timeline.duration(), a.duration() + b.duration());
    let border = a.size();
    assert_eq!(timeline.keyframes().len(), 2);
    assert_eq!(timeline.keyframes()[1].time, a.duration());
    assert_eq!(timeline.keyframes()[1].offset, border + b.keyframes()[0].offset);
    for n in 0..30 {
        let time = timeline.duration() * n / 30;
        let (seek_point, _) = locate(&chain, &timeline, time);
        let alone = match time.checked_sub(a.duration()) {
            Some(into) => (locate(&second, &b, into).0, a.duration(), border),
            None => (locate(&first, &a, time).0, Duration::ZERO, 0),
        };
        assert_eq!(
            (seek_point.time, seek_point.offset),
            (alone.0.time + alone.1, alone.0.offset + alone.2),
            "{time:?}"
        );
    }
}

#[test]
fn twenty_five_hours_are_known_after_a_few_blocks() {
    if !ffmpeg() {
        return;
    }
    for film in [films::flac_of_25_hours(), films::ogg_flac_of_25_hours(), films::theora_of_25_hours()] {
        let row = compared(&film);
        assert!(row.duration_error_s.abs() <= row.frame_s + 0.001, "{row:#?}");
        assert!(row.touched <= row.size / 500 || row.touched <= 112 << 10, "{row:#?}");
        if film.name.ends_with(".oga") {
            land(&film, 1000.0);
        } else {
            check_landings(&film, &Truth::of(&film.path()), &read(&film, Cut::Exact).timeline);
        }
    }
}

#[test]
fn in_an_mp3_of_25_hours_arithmetic_is_right_to_the_last_frame() {
    if !ffmpeg() {
        return;
    }
    // Each frame has 72 bytes and 576 samples of 8,000 per second, so the times of a million frames
    // can be computed.
    let film = films::mp3_of_25_hours();
    let known = read(&film, Cut::Blocks);
    assert!(known.touched <= known.timeline.size() / 500, "{known:?}");
    assert_eq!(known.timeline.size() % 72, 0);
    assert_eq!(known.timeline.duration(), Duration::from_millis(known.timeline.size()));
    for n in 0..50 {
        let frame = known.timeline.size() / 72 * n / 50;
        let (seek_point, _) = locate(&film, &known.timeline, Duration::from_millis(frame * 72 + 71));
        assert_eq!((seek_point.time, seek_point.offset), (Duration::from_millis(frame * 72), frame * 72));
        assert!(!seek_point.estimated);
    }
}
