//! Real encoders push streams through the protocols' sessions, and a real packager's playlists are
//! read.
#![allow(clippy::unwrap_used)]

use playswarm_proto::ingest::{Kind, Push, Refusal, Request};
use playswarm_proto::m3u8::{self, Playlist};
use playswarm_tests::film::film;
use playswarm_tests::ingest::{self, Pushed, Rules};
use playswarm_tests::requirement;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const SECRET: &str = "s3cret";

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn rules() -> Rules {
    Rules { secret: Some(SECRET.to_owned()), refusal: None }
}

/// Runs a program whose arguments have no spaces, from its standard input if there is one.
#[track_caller]
fn run(command: &str, input: Option<&Path>) -> Output {
    let mut words = command.split_whitespace();
    let mut program = Command::new("timeout");
    program.arg("100").arg(words.next().unwrap()).args(words).stdin(Stdio::null());
    if let Some(path) = input {
        program.stdin(std::fs::File::open(path).unwrap());
    }
    program.output().unwrap()
}

#[track_caller]
fn succeeds(command: &str, input: Option<&Path>) {
    let output = run(command, input);
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Returns what a program that failed said.
#[track_caller]
fn fails(command: &str, input: Option<&Path>) -> String {
    let output = run(command, input);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(!output.status.success(), "{command} succeeded: {said}");
    said
}

/// Returns the packets of a file as ffprobe lists them: stream, codec, times and size.
#[track_caller]
fn packets(path: &Path) -> Vec<String> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "packet=codec_type,pts,dts,size", "-of", "csv"])
        .arg(path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{}: {said}", path.display());
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn push(request: &Request) -> &Push {
    match &request.kind {
        Kind::Push(push) => push,
        other => panic!("{other:?}"),
    }
}

/// Returns the bytes of all streams one after the other.
fn joined<R>(pushed: &[Pushed<R>]) -> Vec<u8> {
    pushed.iter().flat_map(|pushed| pushed.bytes.iter().copied()).collect()
}

/// Makes an MP3 file without a header of its own, so that a muxer writes the same bytes again.
fn mp3(folder: &Path) -> PathBuf {
    let path = folder.join("sound.mp3");
    let path_text = path.display();
    succeeds(
        &format!(
            "ffmpeg -v error -f lavfi -i sine=duration=5 -c:a libmp3lame -write_xing 0 -id3v2_version 0 -f mp3 {path_text}"
        ),
        None,
    );
    path
}

#[test]
fn ffmpeg_puts_a_transport_stream_in_chunks() {
    if !requirement::program("ffmpeg") {
        return;
    }
    let folder = folder();
    let source = film(folder.path(), "film.mkv", 4, 500_000);
    let (source, copy) = (source.display(), folder.path().join("copy.ts"));
    let server = ingest::http(Rules { secret: Some("pw".into()), refusal: None });
    let mux = format!("ffmpeg -v error -i {source} -c copy -f mpegts");
    succeeds(&format!("{mux} {}", copy.display()), None);
    succeeds(&format!("{mux} -method PUT http://source:pw@{}/cast", server.address), None);
    // It asks without its password first.
    let log = server.wait(2);
    assert_eq!((log.len(), log[0].refused, log[1].refused), (2, Some(401), None));
    assert_eq!(log[1].request.path, "/cast");
    assert!(log[1].has_ended);
    assert_eq!(log[1].bytes.len() as u64, copy.metadata().unwrap().len());
    assert_eq!(log[1].bytes, std::fs::read(copy).unwrap());
    let url = format!("http://{}/cast?token=pw", server.address);
    succeeds(&format!("{mux} -method POST -chunked_post 0 {url}"), None);
    assert_eq!(server.wait(3)[2].bytes, log[1].bytes, "without chunks, until the end of the connection");
}

#[test]
fn ffmpeg_pushes_as_icecasts_clients_do() {
    if !requirement::program("ffmpeg") {
        return;
    }
    let folder = folder();
    let source = mp3(folder.path());
    let mux = format!(
        "ffmpeg -v error -re -i {} -c copy -write_xing 0 -id3v2_version 0 -f mp3 -content_type audio/mpeg -ice_name Evening",
        source.display()
    );
    let sent = std::fs::read(&source).unwrap();
    for legacy in [0, 1] {
        let server = ingest::http(Rules { secret: Some("pw".into()), refusal: None });
        let to = format!("-legacy_icecast {legacy} icecast://source:pw@{}/live.mp3", server.address);
        succeeds(&format!("{mux} {to}"), None);
        let log = server.wait(1);
        let [pushed] = &log[..] else { panic!("{} requests", log.len()) };
        // In the old form FFmpeg closes the connection without having read the answer. The system
        // then resets it, and what the server had not read by then is lost.
        let least = if legacy == 1 { sent.len() / 2 } else { sent.len() };
        let got = pushed.bytes.len();
        assert!(got >= least && sent.starts_with(&pushed.bytes), "legacy {legacy}: {got} of {} bytes", sent.len());
        let (request, push) = (&pushed.request, push(&pushed.request));
        assert_eq!((&*request.path, push.content_type.as_deref()), ("/live.mp3", Some("audio/mpeg")));
        assert_eq!(push.name.as_deref(), Some("Evening"));
        assert_eq!(request.credentials.as_ref().unwrap().user.as_deref(), Some("source"));
        let wrong = run(&format!("{mux} {}", to.replace("source:pw", "source:pass")), None);
        let said = String::from_utf8_lossy(&wrong.stderr);
        assert_eq!(server.wait(2)[1].refused, Some(401));
        // In the old form FFmpeg does not read the answer.
        assert!(legacy == 1 || said.contains("401"), "{said}");
    }
}

#[test]
fn libshout_finds_its_way_to_a_stream() {
    if !requirement::program("ffmpeg") || !requirement::gstreamer("shout2send") {
        return;
    }
    let folder = folder();
    let source = mp3(folder.path());
    let server = ingest::http(Rules { secret: Some("pw".into()), refusal: None });
    let port = server.address.port();
    let send = format!(
        "gst-launch-1.0 -q filesrc location={} ! mpegaudioparse ! shout2send sync=false ip=127.0.0.1 port={port} mount=/live password=pw streamname=Evening",
        source.display()
    );
    succeeds(&send, None);
    let log = server.wait(2);
    // A request without a password comes first, after OPTIONS. Titles come in requests of their own,
    // which may end before the stream.
    let stream = log.iter().find(|pushed| matches!(pushed.request.kind, Kind::Push(_)) && pushed.refused.is_none());
    let stream = stream.expect("a stream is pushed");
    assert_eq!(log[0].refused, Some(401));
    assert_eq!(push(&stream.request).name.as_deref(), Some("Evening"));
    assert_eq!(stream.bytes, std::fs::read(&source).unwrap());
}

#[test]
fn curl_uploads_files_pipes_and_titles() {
    if !requirement::program("curl") {
        return;
    }
    let folder = folder();
    let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let file = folder.path().join("stream.bin");
    std::fs::write(&file, &bytes).unwrap();
    let server = ingest::http(Rules { secret: Some("pw".into()), refusal: None });
    let (address, path) = (server.address, file.display());
    succeeds(&format!("curl -sSf -u source:pw -T {path} http://{address}/cast"), None);
    succeeds(&format!("curl -sSf --oauth2-bearer pw -T - http://{address}/cast"), Some(&file));
    succeeds(&format!("curl -sSf --data-binary @{path} http://{address}/cast?token=pw"), None);
    succeeds(&format!("curl -sSf --http1.0 -u a:pw -T {path} http://{address}/cast"), None);
    let log = server.wait(4);
    for pushed in &log {
        assert!(pushed.has_ended && pushed.bytes == bytes, "{:?}: {} bytes", pushed.request, pushed.bytes.len());
    }
    let title = "admin/metadata?mount=/cast&mode=updinfo&song=Caf%E9+-+Un%20deux";
    succeeds(&format!("curl -sSf -u source:pw http://{address}/{title}"), None);
    let log = server.wait(5);
    let Kind::Metadata(metadata) = &log[4].request.kind else { panic!("{:?}", log[4]) };
    assert_eq!((metadata.mount.as_deref(), &*metadata.title), (Some("/cast"), "Café - Un deux"));
}

#[test]
fn each_refusal_has_its_status_and_a_sentence_that_curl_shows() {
    if !requirement::program("curl") {
        return;
    }
    let folder = folder();
    let file = folder.path().join("stream.bin");
    std::fs::write(&file, vec![7; 2_000_000]).unwrap();
    let path = file.display();
    let unsupported = Refusal::unsupported("an MP4 file whose index is at its end cannot be sent live");
    for (refusal, status) in [(Refusal::busy(), 403), (Refusal::not_found(), 404), (unsupported, 415)] {
        let server = ingest::http(Rules { secret: None, refusal: Some(refusal.clone()) });
        let output = run(&format!("curl -sS -T {path} -w %{{http_code}} http://{}/cast", server.address), None);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said, format!("{}\n{status}", refusal.sentence), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let server = ingest::http(Rules { secret: Some("pw".into()), refusal: None });
    let said = fails(&format!("curl -sSf -u source:wrong -T {path} http://{}/cast", server.address), None);
    assert!(said.contains("401"), "{said}");
}

#[test]
fn gstreamer_puts_one_stream_as_many_requests() {
    if !requirement::program("ffmpeg") || !requirement::gstreamer("souphttpclientsink") {
        return;
    }
    let folder = folder();
    let source = film(folder.path(), "film.ts", 2, 300_000);
    let server = ingest::http(Rules::default());
    let send = format!("filesrc location={} blocksize=9400 ! identity sleep-time=100000", source.display());
    succeeds(&format!("gst-launch-1.0 -q {send} ! souphttpclientsink location=http://{}/cast", server.address), None);
    let whole = std::fs::read(&source).unwrap();
    let log = server.wait(3);
    // It ends without sending what it has in its queue.
    let sent = joined(&log);
    assert!(sent.len() > whole.len() / 2 && whole.starts_with(&sent), "{} of {} bytes", sent.len(), whole.len());
    let mut sent = 0;
    for pushed in &log {
        assert_eq!(push(&pushed.request).offset.unwrap_or(0), sent);
        sent += pushed.bytes.len() as u64;
    }
}

/// Makes a film in FLV, and returns it with the packets that ffprobe finds.
fn flv(folder: &Path) -> (PathBuf, Vec<String>) {
    let path = film(folder, "film.flv", 4, 2_000_000);
    let packets = packets(&path);
    assert!(packets.len() > 250, "{} packets", packets.len());
    (path, packets)
}

/// Checks that a pushed stream has the packets of the film, and decodes without a complaint.
#[track_caller]
fn is_the_film<R>(folder: &Path, pushed: &Pushed<R>, expected: &[String]) {
    let path = folder.join("received.flv");
    std::fs::write(&path, &pushed.bytes).unwrap();
    let found = packets(&path);
    assert_eq!(found.len(), expected.len());
    assert_eq!(found, expected);
    let decoded = run(&format!("ffmpeg -v warning -xerror -i {} -f null -", path.display()), None);
    let said = String::from_utf8_lossy(&decoded.stderr);
    assert!(decoded.status.success() && said.is_empty(), "{said}");
}

#[test]
fn ffmpeg_publishes_over_rtmp() {
    if !requirement::program("ffmpeg") {
        return;
    }
    let folder = folder();
    let (source, expected) = flv(folder.path());
    let server = ingest::rtmp(Rules { secret: Some("k3y?x=1".into()), refusal: None });
    let publish = format!("ffmpeg -v error -i {} -c copy -f flv rtmp://{}", source.display(), server.address);
    succeeds(&format!("{publish}/live/k3y?x=1"), None);
    let log = server.wait(1);
    assert_eq!((&*log[0].request.app, &*log[0].request.key), ("live", "k3y?x=1"));
    is_the_film(folder.path(), &log[0], &expected);
    let said = fails(&format!("{publish}/live/other"), None);
    assert!(said.contains(&*Refusal::unauthorized().sentence), "{said}");
    assert_eq!(server.wait(2)[1].refused, Some(401));
}

#[test]
fn a_second_source_reads_why_it_is_refused() {
    if !requirement::program("ffmpeg") {
        return;
    }
    let folder = folder();
    let (source, _) = flv(folder.path());
    let server = ingest::rtmp(Rules { secret: None, refusal: Some(Refusal::busy()) });
    let said = fails(
        &format!("ffmpeg -v error -i {} -c copy -f flv rtmp://{}/live/a", source.display(), server.address),
        None,
    );
    assert!(said.contains(&*Refusal::busy().sentence), "{said}");
}

#[test]
fn gstreamer_publishes_over_rtmp_by_both_of_its_sinks() {
    if !requirement::program("ffmpeg") || !requirement::gstreamer("rtmpsink") || !requirement::gstreamer("rtmp2sink") {
        return;
    }
    let folder = folder();
    let (source, expected) = flv(folder.path());
    for sink in ["rtmpsink sync=false", "rtmp2sink sync=false", "rtmp2sink sync=false chunk-size=65536"] {
        let server = ingest::rtmp(rules());
        // rtmpsink is librtmp, which OBS uses as well.
        let to = format!("filesrc location={} ! flvdemux name=d flvmux name=m streamable=true", source.display());
        let to = format!("{to} d.video ! queue ! h264parse ! m. d.audio ! queue ! aacparse ! m.");
        let location = format!("location=rtmp://{}/live/{SECRET}", server.address);
        let launched = run(&format!("gst-launch-1.0 -q {to} m. ! {sink} {location}"), None);
        assert!(launched.status.success(), "{sink}: {}", String::from_utf8_lossy(&launched.stderr));
        let log = server.wait(1);
        assert_eq!(log[0].refused, None, "{sink}: {:?}", log[0].request);
        let count = |packets: &[String], kind: &str| packets.iter().filter(|line| line.contains(kind)).count();
        let path = folder.path().join("received.flv");
        std::fs::write(&path, &log[0].bytes).unwrap();
        let found = packets(&path);
        for kind in ["video", "audio"] {
            assert_eq!(count(&found, kind), count(&expected, kind), "{sink}: {kind}");
        }
    }
}

/// Has FFmpeg cut a film into segments, and returns the playlist.
fn playlist(folder: &Path, options: &str) -> Playlist {
    let source = film(folder, "film.mkv", 9, 300_000);
    let path = folder.join("live.m3u8");
    let arguments = format!("-v error -i {} -c copy -f hls -hls_time 2 -hls_list_size 0", source.display());
    succeeds(&format!("ffmpeg {arguments} {options} {}", path.display()), None);
    m3u8::parse(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn playlists_of_ffmpeg_are_read_and_ours_are_played_by_it() {
    if !requirement::program("ffmpeg") {
        return;
    }
    for (options, has_map, has_ranges) in [
        ("-hls_segment_filename seg%d.ts", false, false),
        ("-hls_segment_type fmp4", true, false),
        ("-hls_flags single_file", false, true),
        ("-hls_segment_type fmp4 -hls_flags single_file", true, true),
    ] {
        let folder = folder();
        let options = options.replace("seg%d", &folder.path().join("seg%d").display().to_string());
        let Playlist::Media(media) = playlist(folder.path(), &options) else { panic!("{options}") };
        assert!(media.has_ended && media.sequence == 0 && media.segments.len() == 5, "{options}: {media:?}");
        let total: Duration = media.segments.iter().map(|segment| segment.duration).sum();
        assert!(total.abs_diff(Duration::from_secs(9)) < Duration::from_millis(200), "{options}: {total:?}");
        for segment in &media.segments {
            assert_eq!((segment.map.is_some(), segment.bytes.is_some()), (has_map, has_ranges), "{options}");
        }
        let (theirs, ours) = (folder.path().join("live.m3u8"), folder.path().join("ours.m3u8"));
        std::fs::write(&ours, media.to_string()).unwrap();
        assert_eq!(packets(&ours), packets(&theirs), "{options}");
    }
}

#[test]
fn an_encrypted_playlist_of_ffmpeg_is_refused_with_a_sentence() {
    if !requirement::program("ffmpeg") {
        return;
    }
    let folder = folder();
    let source = film(folder.path(), "film.mkv", 4, 300_000);
    let path = folder.path().join("live.m3u8");
    let arguments = format!("-v error -i {} -c copy -f hls -hls_enc 1 -hls_enc_key 0123456789abcdef", source.display());
    succeeds(&format!("ffmpeg {arguments} {}", path.display()), None);
    let refused = m3u8::parse(&std::fs::read(path).unwrap()).unwrap_err();
    assert!(refused.to_string().contains("encrypted"), "{refused}");
}
