//! The RTSP server with real players. The film is the demo's clip.
#![allow(clippy::unwrap_used)]

mod common;

use common::rtsp::{Client, LONG, Stage, gstreamer_decodes, pictures, run, status};
use common::{until, viewer};
use playswarm::{Config, CreateOptions, Session, Source, create_torrent};
use playswarm_serve::{RtspConfig, serve_rtsp};
use playswarm_tests::requirement;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::UdpSocket;
use tokio::process::Command;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_decodes_the_same_pictures_as_from_the_file() {
    if !requirement::program("ffmpeg") {
        return;
    }
    let stage = Stage::new(RtspConfig::default()).await;
    let expected = pictures(&[], stage.file().to_str().unwrap(), "60").await;
    assert_eq!(expected.len(), 60);
    for transport in ["tcp", "udp"] {
        for url in [stage.server.url(), stage.ts_url()] {
            let found = pictures(&["-rtsp_transport", transport], &url, "60").await;
            assert_eq!(found, expected, "{url} over {transport}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_jumps_to_the_same_pictures_as_in_the_file() {
    if !requirement::program("ffmpeg") {
        return;
    }
    let stage = Stage::new(RtspConfig::default()).await;
    for at in ["5.3", "20.5", "29.9"] {
        let expected = pictures(&["-ss", at], stage.file().to_str().unwrap(), "3").await;
        // Over UDP, FFmpeg decodes what its socket still has from before the jump. In a transport
        // stream nothing tells it that this is old.
        for (transport, url) in [("tcp", stage.server.url()), ("udp", stage.server.url()), ("tcp", stage.ts_url())] {
            let found = pictures(&["-rtsp_transport", transport, "-ss", at], &url, "4").await;
            // FFmpeg 5.1 loses the time of the first picture after a jump, so its `-ss` cannot skip
            // that picture, the keyframe.
            let is_same = found[..3] == expected || found[1..] == expected;
            assert!(is_same, "{url} at {at} s over {transport}: {found:?}, {expected:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ffprobe_sees_the_tracks_and_the_duration() {
    if !requirement::program("ffprobe") {
        return;
    }
    let stage = Stage::new(RtspConfig::default()).await;
    let show = ["-v", "error", "-show_entries", "stream=codec_name,width:format=duration", "-of", "csv"];
    let output = run("ffprobe", &[&["-rtsp_transport", "tcp"], &show[..], &[&stage.server.url()]].concat()).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.trim(), "stream,h264,640\nstream,aac\nformat,36.000000");
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_is_told_of_the_end() {
    if !requirement::program("ffmpeg") {
        return;
    }
    let stage = Stage::new(RtspConfig::default()).await;
    let output = run(
        "ffmpeg",
        &["-v", "error", "-rtsp_transport", "tcp", "-ss", "32", "-i", &stage.server.url(), "-f", "null", "-"],
    )
    .await;
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// Makes a film of four seconds with these codecs.
async fn made(name: &str, codecs: &[&str]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let picture = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=4,noise=alls=20:allf=t"];
    let sound = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=4"];
    let form = ["-pix_fmt", "yuv420p", "-g", "25", "-ac", "2", "-b:v", "1M", "-threads", "1"];
    let args = [&["-v", "error"], &picture[..], &sound, &form, codecs, &[path.to_str().unwrap()]].concat();
    let output = run("ffmpeg", &args).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (folder, path)
}

/// Returns the MD5 of coded packets of sound.
async fn sounds(before: &[&str], input: &str) -> Vec<String> {
    let after = ["-map", "0:a", "-c", "copy", "-frames:a", "40", "-f", "framemd5", "-"];
    let output = run("ffmpeg", &[&["-v", "error"], before, &["-i", input], &after].concat()).await;
    let text = String::from_utf8_lossy(&output.stdout);
    // The hash of a packet precedes that of its side data.
    let hash = |line: &str| line.split(',').nth(5).unwrap_or_default().trim().to_owned();
    text.lines().filter(|line| !line.starts_with('#')).map(hash).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_gets_every_codec_as_it_is_in_the_file() {
    if !requirement::program("ffmpeg") {
        return;
    }
    for (name, codecs, encodings) in [
        ("a.mp4", &["-c:v", "libx265", "-x265-params", "log-level=none", "-c:a", "libmp3lame"][..], ["H265", "MPA"]),
        ("b.mkv", &["-c:v", "libx264", "-c:a", "ac3", "-b:a", "448k"], ["H264", "AC3"]),
        ("c.webm", &["-c:v", "libvpx-vp9", "-cpu-used", "8", "-c:a", "libopus"], ["VP9", "opus"]),
        ("d.mkv", &["-c:v", "libvpx", "-cpu-used", "8", "-c:a", "aac"], ["VP8", "mpeg4-generic"]),
        ("h.avi", &["-c:v", "mpeg4", "-bf", "2", "-c:a", "libmp3lame"], ["MP4V-ES", "MPA"]),
        ("i.mkv", &["-c:v", "libx264", "-c:a", "libvorbis"], ["H264", "VORBIS"]),
        // Samples in the forms of broadcasts; those of the sound have headers.
        ("f.ts", &["-c:v", "libx264", "-c:a", "libmp3lame"], ["H264", "MPA"]),
        ("g.ts", &["-c:v", "libx264", "-c:a", "aac"], ["MP2T", "MP2T"]),
        // Neither has a format of its own that FFmpeg knows.
        ("e.mkv", &["-c:v", "mpeg2video", "-c:a", "eac3"], ["MP2T", "MP2T"]),
    ] {
        let (folder, path) = made(name, codecs).await;
        let file = path.to_str().unwrap().to_owned();
        let stage = Stage::with(folder, path, RtspConfig::default()).await;
        let url = stage.server.url();
        let description = stage.client().await.ask("DESCRIBE", &url, "").await;
        for encoding in encodings {
            assert!(description.contains(&format!(" {encoding}/")), "{name}: {description}");
        }
        let tcp = ["-rtsp_transport", "tcp"];
        assert_eq!(pictures(&tcp, &url, "50").await, pictures(&[], &file, "50").await, "{name}");
        let (found, expected) = (sounds(&tcp, &url).await, sounds(&[], &file).await);
        // The priming of a decoder is left out, and the file's last packets come at the film's pace.
        let at = expected.iter().position(|hash| Some(hash) == found.first());
        let at = at.unwrap_or_else(|| panic!("{name}: {found:?}, {expected:?}"));
        let length = found.len().min(expected.len() - at);
        assert!(at <= 2 && length > 20, "{name}: {found:?}, {expected:?}");
        assert_eq!(found[..length], expected[at..at + length], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_gets_uncompressed_sound_as_it_is_in_the_file() {
    if !requirement::program("ffmpeg") {
        return;
    }
    let decoded = async |before: &[&str], input: &str| {
        let after = ["-map", "0:a", "-t", "2", "-c:a", "pcm_s24le", "-f", "s24le", "-"];
        run("ffmpeg", &[&["-v", "error"], before, &["-i", input], &after].concat()).await.stdout
    };
    for (name, codec, encoding) in [
        ("a.mkv", "pcm_s16le", "L16/48000/2"),
        ("b.mov", "pcm_s24be", "L24/48000/2"),
        ("c.avi", "pcm_s16le", "L16/48000/2"),
        ("d.avi", "pcm_u8", "L16/48000/2"),
    ] {
        let (folder, path) = made(name, &["-c:v", "libx264", "-bf", "0", "-c:a", codec]).await;
        let file = path.to_str().unwrap().to_owned();
        let stage = Stage::with(folder, path, RtspConfig::default()).await;
        let url = stage.server.url();
        let description = stage.client().await.ask("DESCRIBE", &url, "").await;
        assert!(description.contains(&format!(" {encoding}\r\n")), "{name}: {description}");
        let found = decoded(&["-rtsp_transport", "tcp"], &url).await;
        let expected = decoded(&[], &file).await;
        assert!(found.len() > 250_000 && expected.starts_with(&found[..250_000]), "{name}: {}", found.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_plays_sound_in_ogg() {
    if !requirement::program("ffmpeg") {
        return;
    }
    for (name, codec, encoding) in [("a.ogg", "libvorbis", "VORBIS/"), ("b.opus", "libopus", "opus/")] {
        let (folder, path) = made(name, &["-vn", "-c:a", codec]).await;
        let file = path.to_str().unwrap().to_owned();
        let stage = Stage::with(folder, path, RtspConfig::default()).await;
        let url = stage.server.url();
        let description = stage.client().await.ask("DESCRIBE", &url, "").await;
        assert!(description.contains(&format!(" {encoding}")), "{name}: {description}");
        let (found, expected) = (sounds(&["-rtsp_transport", "tcp"], &url).await, sounds(&[], &file).await);
        let at = expected.iter().position(|hash| Some(hash) == found.first()).unwrap();
        assert!(at <= 2 && found.len() > 20, "{name}: {found:?}, {expected:?}");
        let length = found.len().min(expected.len() - at);
        assert_eq!(found[..length], expected[at..at + length], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vlc_of_debian_plays() {
    use std::os::unix::fs::PermissionsExt;
    /// The user `nobody`: VLC refuses to run as root.
    const NOBODY: u32 = 65534;
    if !requirement::program("cvlc") || !requirement::program("ffprobe") {
        return;
    }
    let stage = Stage::new(RtspConfig::default()).await;
    let home = tempfile::tempdir().unwrap();
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let saved = home.path().join("saved.ts");
    let sink = format!("#std{{access=file,mux=ts,dst={}}}", saved.display());
    let mut vlc = Command::new("cvlc");
    vlc.args(["--run-time=4", "--sout", &sink, &stage.server.url(), "vlc://quit"]);
    vlc.env("HOME", home.path()).current_dir(home.path()).stdin(Stdio::null()).kill_on_drop(true);
    if rustix::process::geteuid().is_root() {
        vlc.uid(NOBODY).gid(NOBODY);
    }
    let output = timeout(LONG, vlc.output()).await.expect("VLC ends").unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    let show = ["-v", "error", "-show_entries", "stream=codec_name:format=duration", "-of", "csv"];
    let probe = run("ffprobe", &[&show[..], &[saved.to_str().unwrap()]].concat()).await;
    let text = String::from_utf8_lossy(&probe.stdout);
    assert!(text.contains("h264") && text.contains("aac"), "{text}: {log}");
    let duration = text.lines().find_map(|line| line.strip_prefix("format,")).unwrap();
    assert!(duration.parse::<f64>().unwrap() > 2.0, "{duration} s of four: {log}");
}

/// Jumps three times, pauses and resumes, and says where it is after each.
const SCRIPT: &str = r#"
local steps = {
    function() mp.commandv("seek", 20.5, "absolute+exact") end,
    function() mp.commandv("seek", 5.3, "absolute+exact") end,
    function() mp.set_property_bool("pause", true) end,
    function() mp.set_property_bool("pause", false) end,
    function() mp.commandv("quit", 0) end,
}
local step = 0
mp.register_event("file-loaded", function()
    mp.add_periodic_timer(1.5, function()
        step = step + 1
        print(string.format("STEP %d AT %.2f", step, mp.get_property_number("time-pos") or -1))
        steps[step]()
    end)
end)
"#;

async fn mpv_plays(url: &str, folder: &Path, transport: &str) {
    let script = folder.join("script.lua");
    std::fs::write(&script, SCRIPT).unwrap();
    let (script, transport) = (format!("--script={}", script.display()), format!("--rtsp-transport={transport}"));
    let fixed = ["--no-config", "--vo=null", "--ao=null", "--msg-level=all=warn,script=info"];
    let output = run("mpv", &[&fixed[..], &[&script, &transport, url]].concat()).await;
    let log = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    let at: Vec<f64> = log.lines().filter_map(|line| line.split_once(" AT ")?.1.trim().parse().ok()).collect();
    assert_eq!(at.len(), 5, "{log}");
    let near = |at: f64, least: f64| (least..least + 3.0).contains(&at);
    // 1.5 s after the start, the first jump, the second, the pause, and the end of the pause.
    assert!(near(at[0], 0.2) && near(at[1], 20.6) && near(at[2], 5.4), "{at:?}: {log}");
    assert!((at[3] - at[2]).abs() < 0.3 && near(at[4], at[3] + 0.2), "{at:?}: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mpv_plays_jumps_and_pauses() {
    if !requirement::program("mpv") {
        return;
    }
    let stage = Stage::new(RtspConfig::default()).await;
    for transport in ["tcp", "udp"] {
        mpv_plays(&stage.server.url(), stage.folder.path(), transport).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_decodes_over_both_transports() {
    if !requirement::program("gst-launch-1.0") {
        return;
    }
    let stage = Stage::new(RtspConfig::default()).await;
    for transport in ["tcp", "udp"] {
        let source = format!("location={}", stage.server.url());
        let protocols = format!("protocols={transport}");
        let (found, text) = gstreamer_decodes(&[&source, &protocols], 48).await;
        assert_eq!(found, 48, "{transport}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vlc_of_debian_gets_a_transport_stream_without_describing_it() {
    let stage = Stage::new(RtspConfig::default()).await;
    let mut client = stage.client().await;
    let media = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = media.local_addr().unwrap().port();
    // As VLC 3.0.24 sends it: a URL in lower case, neither OPTIONS nor a name, and PLAY for a URL that
    // it makes up.
    let transport = format!("Transport: RTP/AVP;unicast;client_port={port}-{}\r\n", port - 1);
    let session = client.set_up(&stage.server.url().to_lowercase(), &transport).await;
    let url = format!("rtsp://{}/stream=0", stage.server.addr());
    let answer = client.ask("PLAY", &url, &format!("Session: {session}\r\n")).await;
    assert_eq!(status(&answer), "200", "{answer}");
    let mut packet = [0; 2000];
    for _ in 0..20 {
        let length = timeout(LONG, media.recv(&mut packet)).await.unwrap().unwrap();
        assert_eq!((packet[1] & 0x7f, (length - 12) % 188, packet[12]), (33, 0, 0x47));
    }
    assert_eq!(status(&client.ask("TEARDOWN", &url, &format!("Session: {session}\r\n")).await), "200");
    assert!(stage.server.sessions().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_packet_from_before_a_jump_follows_its_answer() {
    let stage = Stage::new(RtspConfig::default()).await;
    let mut client = stage.client().await;
    let url = stage.server.url();
    client.ask("DESCRIBE", &url, "Accept: application/sdp\r\n").await;
    let headers = "User-Agent: Lavf59.27.100\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    let session = client.set_up(&format!("{url}/track0"), headers).await;
    let in_session = format!("Session: {session}\r\n");
    client.ask("PLAY", &url, &in_session).await;
    let mut last = None;
    for n in 0..100 {
        // VLC and ExoPlayer jump without a pause, FFmpeg with one.
        if n % 2 == 0 {
            client.cseq += 1;
            let pause = format!("PAUSE {url} RTSP/1.0\r\nCSeq: {}\r\n{in_session}\r\n", client.cseq);
            client.socket.write_all(pause.as_bytes()).await.unwrap();
            last = client.answer().await.1.last().copied().or(last);
        }
        client.cseq += 1;
        let range = format!("Range: npt={}-\r\n", (n * 7) % 36);
        let play = format!("PLAY {url} RTSP/1.0\r\nCSeq: {}\r\n{in_session}{range}\r\n", client.cseq);
        client.socket.write_all(play.as_bytes()).await.unwrap();
        let (answer, packets) = client.answer().await;
        let next: u16 = answer.split(";seq=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
        last = packets.last().copied().or(last);
        if let Some(last) = last {
            assert_eq!(next, last.wrapping_add(1), "after jump {n}");
        }
        // The first report follows the answer, and then the media.
        assert_eq!(client.unit().await.unwrap_err()[1], 200);
        let first = client.unit().await.unwrap_err();
        assert_eq!(u16::from_be_bytes([first[2], first[3]]), next, "jump {n}: {answer} {first:?}");
        // The media begins with the keyframe, whose time the answer states.
        let time: u32 = answer.split(";rtptime=").nth(1).unwrap().trim().parse().unwrap();
        assert_eq!(first[4..8], time.to_be_bytes(), "jump {n}: {answer}");
        last = Some(next);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_is_waited_for_and_loses_nothing() {
    let stage = Stage::new(RtspConfig::default()).await;
    let (url, mut client) = (stage.server.url(), stage.client().await);
    client.ask("DESCRIBE", &url, "").await;
    let headers = "User-Agent: libmpv\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    let session = client.set_up(&format!("{url}/track0"), headers).await;
    let answer = client.ask("PLAY", &url, &format!("Session: {session}\r\n")).await;
    let mut next: u16 = answer.split(";seq=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    // As mpv does while it is paused.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut packets = 0;
    while packets < 2000 {
        let packet = client.unit().await.unwrap_err();
        if packet[1] != 200 {
            assert_eq!(u16::from_be_bytes([packet[2], packet[3]]), next);
            (next, packets) = (next.wrapping_add(1), packets + 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_moves_the_reader_before_the_swarm_has_answered() {
    if !requirement::program("ffmpeg") {
        return;
    }
    // In Matroska the exact place is known only when a piece of it is here.
    let (folder, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (clip, path) =
        (concat!(env!("CARGO_MANIFEST_DIR"), "/../../cli/demo/clip.mp4"), folder.path().join("clip.mkv"));
    let made = run("ffmpeg", &["-v", "error", "-i", clip, "-c", "copy", path.to_str().unwrap()]).await;
    assert!(made.status.success());
    let size = std::fs::metadata(&path).unwrap().len();
    let metainfo = create_torrent(path, CreateOptions::default(), |_, _| {}).await.unwrap().torrent;
    let mut config = Config::offline(folder.path());
    config.upload_bytes_per_s = 200_000;
    let seed = Session::new(config).await.unwrap();
    let whole = seed.open(Source::from(&metainfo)).await.unwrap();
    whole.recheck(|_, _| {}).await.unwrap();
    let session = viewer(here.path(), vec![seed.listen_addr().unwrap()]).await;
    let torrent = session.open(Source::from(&metainfo)).await.unwrap();
    let server = serve_rtsp(torrent.clone(), 0, RtspConfig::default()).await.unwrap();
    let mut client = Client::connect(server.addr()).await;
    client.ask("DESCRIBE", &server.url(), "").await;
    let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    let session_header =
        format!("Session: {}\r\n", client.set_up(&format!("{}/track0", server.url()), transport).await);
    assert_eq!(status(&client.ask("PLAY", &server.url(), &session_header).await), "200");
    seed.close().await;
    // A keyframe of which nothing is here.
    let (timeline, status) = (torrent.timeline(0).await.unwrap(), torrent.status());
    let piece_bytes = u64::from(status.piece_bytes);
    let here: Vec<bool> = status.piece_map.chars().map(|piece| piece == '#').collect();
    let is_missing = |from: u64| !here[(from / piece_bytes) as usize];
    let keyframe = timeline.keyframes().iter().rev().find(|keyframe| is_missing(keyframe.from)).unwrap();
    let range = format!("Range: npt={}-\r\n", keyframe.time.as_secs_f64() + 0.1);
    let play = format!("PLAY {} RTSP/1.0\r\nCSeq: 9\r\n{session_header}{range}\r\n", server.url());
    client.socket.write_all(play.as_bytes()).await.unwrap();
    // Also that of the samples, not only the one that searches the place.
    let is_there = || torrent.status().readers.iter().all(|reader| reader.position >= keyframe.from);
    until("the readers are there", is_there).await;
    assert!(keyframe.from > size / 2);
}
