//! Playlists of real packagers, and following one while it changes.

use super::{Follower, MAX_SEGMENTS, Map, Media, Playlist, Segment, best, parse, resolve};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// FFmpeg 5.1, `-f hls -hls_segment_type fmp4 -hls_flags single_file`.
const FFMPEG_FMP4: &[u8] = include_bytes!("../../../../fuzz/seeds/m3u8/ffmpeg-fmp4-single");
/// FFmpeg 5.1, `-f hls -hls_list_size 3 -hls_flags omit_endlist`.
const FFMPEG_LIVE: &[u8] = include_bytes!("../../../../fuzz/seeds/m3u8/ffmpeg-live");
/// A master playlist in the form of RFC 8216, section 8.6, with a variant of sound alone.
const MASTER: &str = "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"English, main\",DEFAULT=YES,URI=\"main/english-audio.m3u8\"\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"muxed\",NAME=\"x\"\n#EXT-X-STREAM-INF:BANDWIDTH=1280000,CODECS=\"avc1.4d401f,mp4a.40.2\",AUDIO=\"muxed\"\nlow/video-only.m3u8\n#EXT-X-STREAM-INF:CODECS=\"a,b\",BANDWIDTH=7680000,AUDIO=\"aac\"\nhi/video-only.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=65000\nmain/english-audio.m3u8\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=86000,URI=\"low/iframe.m3u8\"\n";

#[track_caller]
fn media(bytes: &[u8]) -> Media {
    match parse(bytes) {
        Ok(Playlist::Media(media)) => media,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(text: &str) -> String {
    parse(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn the_best_variant_is_the_fastest_one_that_has_its_sound() {
    let Ok(Playlist::Master(mut variants)) = parse(MASTER.as_bytes()) else { panic!("no master playlist") };
    let found: Vec<_> = variants.iter().map(|v| (&*v.uri, v.bits_per_s, v.has_separate_audio)).collect();
    let expected = [
        ("low/video-only.m3u8", 1_280_000, false),
        ("hi/video-only.m3u8", 7_680_000, true),
        ("main/english-audio.m3u8", 65_000, false),
    ];
    assert_eq!(found, expected);
    assert_eq!(best(&variants).unwrap().uri, "low/video-only.m3u8");
    variants[2].bits_per_s = 1_280_000;
    assert_eq!(best(&variants).unwrap().uri, "low/video-only.m3u8", "of equal ones the first");
    variants.retain(|variant| variant.has_separate_audio);
    assert_eq!(best(&variants).unwrap().uri, "hi/video-only.m3u8");
}

#[test]
fn playlists_of_ffmpeg_are_read() {
    let found = media(FFMPEG_FMP4);
    assert!(found.has_ended && found.segments.len() > 1);
    let map = found.segments[0].map.clone().unwrap();
    let init = map.bytes.clone().unwrap();
    assert_eq!((&*map.uri, init.start), ("fmp4.m4s", 0));
    let mut end = init.end;
    for segment in &found.segments {
        let bytes = segment.bytes.clone().unwrap();
        assert_eq!((bytes.start, &segment.map), (end, &Some(map.clone())));
        end = bytes.end;
    }
    let found = media(FFMPEG_LIVE);
    assert!(!found.has_ended && found.segments.len() == 3 && found.sequence > 0, "{found:?}");
    assert_eq!(found.segments[0].duration, Duration::from_secs(2));
}

#[test]
fn tags_apply_to_the_segments_after_them() {
    let found = media(
        b"\xef\xbb\xbf#EXTM3U\r\n#EXT-X-TARGETDURATION:8\r\n#EXT-X-MEDIA-SEQUENCE:2680\r\n#EXT-X-DISCONTINUITY-SEQUENCE:4\r\n\
        #EXT-X-KEY:METHOD=NONE\r\n#EXTINF:7.975,Caf\xe9\r\n a.ts \r\n\r\n#EXT-X-DISCONTINUITY\r\n#EXT-X-MAP:URI=\"i,1.mp4\"\r\n\
        #EXT-X-BYTERANGE:100@50\r\n#EXTINF:7,\r\nb\r\n#EXTINF:7.9999999999\r\n#EXT-X-BYTERANGE:20\r\nb\r\n\
        #EXT-X-GAP\r\n#EXT-X-MAP:BYTERANGE=\"5@7\",URI=\"j\"\r\n# a comment\r\n#EXTINF:0.5,\r\nc\r\n#EXT-X-ENDLIST",
    );
    assert_eq!((found.target_duration_s, found.sequence, found.discontinuity_sequence), (8, 2680, 4));
    assert!(found.has_ended);
    let segment =
        |uri: &str, nanos| Segment { uri: uri.into(), duration: Duration::from_nanos(nanos), ..Segment::default() };
    let i = Some(Arc::new(Map { uri: "i,1.mp4".into(), bytes: None }));
    let j = Some(Arc::new(Map { uri: "j".into(), bytes: Some(7..12) }));
    let expected = [
        segment("a.ts", 7_975_000_000),
        Segment { bytes: Some(50..150), map: i.clone(), is_discontinuous: true, ..segment("b", 7_000_000_000) },
        Segment { bytes: Some(150..170), map: i, ..segment("b", 7_999_999_999) },
        Segment { map: j, is_gap: true, ..segment("c", 500_000_000) },
    ];
    assert_eq!(found.segments, expected);
    assert_eq!(parse(found.to_string().as_bytes()), Ok(Playlist::Media(found)));
    assert_eq!(media(b"#EXTM3U\n#EXTINF:2.5,\na\n#EXTINF:3,\nb").target_duration_s, 3, "without a stated one");
    assert_eq!(media(b"#EXTM3U\n#EXT-X-TARGETDURATION:3").segments, [], "of a stream that begins");
}

#[test]
fn a_playlist_is_written_with_the_version_that_it_needs() {
    let segment = Segment { uri: "1.ts".into(), duration: Duration::from_millis(2040), ..Segment::default() };
    let mut list = Media { target_duration_s: 3, sequence: 7, segments: vec![segment], ..Media::default() };
    let expected =
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:2.040000000,\n1.ts\n";
    assert_eq!(list.to_string(), expected);
    list.segments[0].bytes = Some(5..9);
    assert!(list.to_string().contains("VERSION:4\n") && list.to_string().contains("BYTERANGE:4@5\n"));
    list.segments[0].map = Some(Arc::new(Map { uri: "i.mp4".into(), bytes: None }));
    assert!(list.to_string().contains("VERSION:6\n") && list.to_string().contains("#EXT-X-MAP:URI=\"i.mp4\"\n"));
}

#[test]
fn what_cannot_be_pulled_is_refused_with_a_sentence() {
    let list = |tags: &str| format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{tags}\n#EXTINF:4,\na.ts\n");
    // The key that FFmpeg names applies to all segments after it.
    assert!(refused(&list("#EXT-X-KEY:METHOD=AES-128,URI=\"live.m3u8.key\",IV=0x0")).contains("encrypted"));
    assert!(refused(&list("#EXT-X-KEY:METHOD=AES-128,URI=\"k\"")).contains("encrypted"));
    assert!(refused(&list("#EXT-X-KEY:METHOD=SAMPLE-AES")).contains("encrypted"));
    assert!(refused(&list("#EXT-X-I-FRAMES-ONLY")).contains("keyframes"));
    assert!(refused(&list("#EXT-X-SKIP:SKIPPED-SEGMENTS=3")).contains("EXT-X-SKIP"));
    assert!(refused(&list("b.ts")).contains("without a duration"));
    for wrong in [
        "#EXT-X-MAP:URI=a\"b",
        "#EXT-X-MEDIA-SEQUENCE:18446744073709551615",
        "#EXTINF:x,",
        "#EXTINF:1e3,",
        "#EXTINF:,",
        "#EXT-X-MEDIA-SEQUENCE:-1",
        "#EXT-X-MAP:URI=",
        "#EXT-X-BYTERANGE:1@",
    ] {
        let said = refused(&list(wrong));
        assert!(said.contains("a wrong #EXT"), "{wrong}: {said}");
    }
    assert!(refused(&list("#EXT-X-BYTERANGE:5")).contains("BYTERANGE"), "without a segment before it");
    assert!(refused(&list("#EXT-X-BYTERANGE:9@18446744073709551615")).contains("BYTERANGE"));
    assert!(refused(&list("#EXT-X-STREAM-INF:X=1")).contains("STREAM-INF"));
    assert!(refused("#EXTM3U\n#EXTINF:-1 tvg-id=\"a\",News\nhttp://a/b.m3u8").contains("list of stations"));
    assert!(refused("#EXTM3U\n").contains("neither segments nor variants"));
    assert!(refused("<html>").contains("does not begin with #EXTM3U"));
    assert!(refused("").contains("#EXTM3U"));
}

#[test]
fn playlists_are_bounded() {
    assert!(refused(&format!("#EXTM3U\n{}", "#EXTINF:1,\na\n".repeat(MAX_SEGMENTS + 1))).contains("20000 segments"));
    assert!(
        refused(&format!("#EXTM3U\n{}", "#EXT-X-STREAM-INF:BANDWIDTH=1\na\n".repeat(300))).contains("256 variants")
    );
    assert!(refused(&format!("#EXTM3U\n#EXTINF:1,\n{}", "a".repeat(9000))).contains("8192 bytes"));
    assert!(refused(&format!("#EXTM3U\n{}", " ".repeat(5 << 20))).contains("4194304 bytes"));
}

#[test]
fn addresses_are_those_of_http() {
    let base = Url::parse("https://h/live/a.m3u8?x=1").unwrap();
    assert_eq!(resolve(&base, "b/1.ts").unwrap().as_str(), "https://h/live/b/1.ts");
    assert_eq!(resolve(&base, "//g/1.ts").unwrap().as_str(), "https://g/1.ts");
    assert!(resolve(&base, "file:///etc/passwd").unwrap_err().to_string().contains("file:"));
    assert!(resolve(&base, "http://[").unwrap_err().to_string().contains("address"));
}

/// Returns a live playlist with these segments of two seconds, named by their numbers.
fn live(numbers: std::ops::Range<u64>) -> Media {
    let segment = |n: u64| Segment { uri: n.to_string(), duration: Duration::from_secs(2), ..Segment::default() };
    Media {
        target_duration_s: 2,
        sequence: numbers.start,
        segments: numbers.map(segment).collect(),
        ..Media::default()
    }
}

/// Returns the names of new segments, a `!` before those that do not continue the one before.
fn news(follower: &mut Follower, playlist: Media) -> (String, u64, Option<u64>) {
    let update = follower.update(playlist);
    let name = |s: &Segment| format!("{}{}", if s.is_discontinuous { "!" } else { "" }, s.uri);
    let names: Vec<String> = update.segments.iter().map(name).collect();
    (names.join(" "), update.lost, update.wait.map(|wait| wait.as_millis() as u64))
}

#[test]
fn a_live_playlist_is_followed_from_near_its_end() {
    let mut follower = Follower::default();
    assert_eq!(news(&mut follower, live(10..20)), ("17 18 19".into(), 0, Some(2000)));
    assert_eq!(news(&mut follower, live(10..20)), (String::new(), 0, Some(1000)));
    assert_eq!(news(&mut follower, live(12..22)), ("20 21".into(), 0, Some(2000)));
    assert_eq!(news(&mut follower, live(11..21)), (String::new(), 0, Some(1000)), "an older one of a cache");
    assert_eq!(news(&mut follower, live(25..28)), ("!25 26 27".into(), 3, Some(2000)));
    assert_eq!(news(&mut follower, live(0..2)), ("!0 !1".replace(" !", " "), 0, Some(2000)), "a new start");
    let mut end = live(1..4);
    end.has_ended = true;
    assert_eq!(news(&mut follower, end), ("2 3".into(), 0, None));
}

#[test]
fn missing_segments_are_not_loaded_and_a_whole_playlist_is_taken_from_its_start() {
    let mut list = live(0..8);
    list.has_ended = true;
    list.segments[3].is_gap = true;
    list.segments[7].is_gap = true;
    let mut follower = Follower::default();
    assert_eq!(news(&mut follower, list), ("0 1 2 !4 5 6".into(), 0, None));
    assert_eq!(news(&mut follower, live(7..9)), ("!8".into(), 0, Some(2000)), "after a missing one");
    assert_eq!(news(&mut Follower::default(), live(3..4)), ("3".into(), 0, Some(2000)));
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(lines in proptest::collection::vec("(#EXT(INF|-X-MAP|-X-KEY|-X-BYTERANGE|-X-STREAM-INF):)?[A-Z0-9=\",.@-]{0,12}", 0..12)) {
        let text = format!("#EXTM3U\n{}", lines.join("\n"));
        if let Ok(Playlist::Media(found)) = parse(text.as_bytes()) {
            prop_assert_eq!(parse(found.to_string().as_bytes()), Ok(Playlist::Media(found)));
        }
    }
}
