//! The RTSP server with real players, and with clients that misbehave. The film is the demo's clip.
#![allow(clippy::unwrap_used)]

use playswarm::{Config, CreateOptions, Session, Source, TorrentHandle, create_torrent};
use playswarm_serve::{RtspConfig, RtspServer, serve_rtsp};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::process::Command;
use tokio::time::timeout;

/// Longest run of a player.
const LONG: Duration = Duration::from_secs(90);

/// Whether a program can be run. Under `PLAYSWARM_TEST_REQUIRE=1`, as in CI, it must.
fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let required = std::env::var_os("PLAYSWARM_TEST_REQUIRE").is_some_and(|v| !v.is_empty() && v != "0");
    assert!(found || !required, "{program} is not installed");
    if !found {
        eprintln!(
            "skipped: {program} is not installed; `bash scripts/setup.sh --test` prepares a machine for all tests"
        );
    }
    found
}

/// A session that has all of the clip, and its server.
struct Stage {
    server: RtspServer,
    _torrent: TorrentHandle,
    _session: Session,
    folder: TempDir,
}

impl Stage {
    async fn new(config: RtspConfig) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.mp4");
        std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../../cli/demo/clip.mp4"), &path).unwrap();
        Stage::with(folder, path, config).await
    }

    /// Serves a film in a folder of its own.
    async fn with(folder: TempDir, path: PathBuf, config: RtspConfig) -> Stage {
        let metainfo = create_torrent(path, CreateOptions::default(), |_, _| {}).await.unwrap().torrent;
        let session = Session::new(Config::offline(folder.path())).await.unwrap();
        let torrent = session.open(Source::from(&metainfo)).await.unwrap();
        torrent.recheck(|_, _| {}).await.unwrap();
        let server = serve_rtsp(torrent.clone(), 0, config).await.unwrap();
        Stage { server, _torrent: torrent, _session: session, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clip.mp4")
    }

    /// The URL of the transport stream.
    fn ts_url(&self) -> String {
        self.server.url().replace("/0/clip", "/ts/0/clip")
    }

    async fn client(&self) -> Client {
        Client { socket: TcpStream::connect(self.server.addr()).await.unwrap(), cseq: 0 }
    }
}

async fn run(program: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(LONG, command.output()).await;
    output.unwrap_or_else(|_| panic!("{program} {args:?} does not end")).unwrap()
}

/// Returns the MD5 of each picture that FFmpeg decodes.
async fn pictures(before: &[&str], input: &str, count: &str) -> Vec<String> {
    let after = ["-map", "0:v", "-frames:v", count, "-fps_mode", "passthrough", "-f", "framemd5", "-"];
    let args = [&["-v", "error"], before, &["-i", input], &after].concat();
    let output = run("ffmpeg", &args).await;
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.trim().is_empty(), "{args:?}: {complaints}");
    let text = String::from_utf8_lossy(&output.stdout);
    let hash = |line: &str| line.rsplit(',').next().unwrap_or_default().trim().to_owned();
    text.lines().filter(|line| !line.starts_with('#')).map(hash).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_decodes_the_same_pictures_as_from_the_file() {
    if !has("ffmpeg") {
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
    if !has("ffmpeg") {
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
    if !has("ffprobe") {
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
    if !has("ffmpeg") {
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
    if !has("ffmpeg") {
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
    if !has("ffmpeg") {
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
        ("d.mov", "pcm_u8", "L16/48000/2"),
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
    if !has("ffmpeg") {
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
    if !has("cvlc") || !has("ffprobe") {
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
    if !has("mpv") {
        return;
    }
    let stage = Stage::new(RtspConfig::default()).await;
    for transport in ["tcp", "udp"] {
        mpv_plays(&stage.server.url(), stage.folder.path(), transport).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_decodes_over_both_transports() {
    if !has("gst-launch-1.0") {
        return;
    }
    let stage = Stage::new(RtspConfig::default()).await;
    for transport in ["tcp", "udp"] {
        let source = format!("location={}", stage.server.url());
        let protocols = format!("protocols={transport}");
        let pipeline = ["-q", "rtspsrc", &source, &protocols, "latency=200", "!", "rtph264depay", "!", "avdec_h264"];
        let output = run("gst-launch-1.0", &[&pipeline[..], &["!", "fakesink", "num-buffers=48"]].concat()).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !text.contains("ERROR"), "{transport}: {text}");
    }
}

/// A client that sends what it is told to.
struct Client {
    socket: TcpStream,
    cseq: u32,
}

impl Client {
    /// Sends a request, and returns the head of the answer and the media before it.
    async fn ask(&mut self, method: &str, url: &str, headers: &str) -> String {
        self.cseq += 1;
        let text = format!("{method} {url} RTSP/1.0\r\nCSeq: {}\r\n{headers}\r\n", self.cseq);
        self.socket.write_all(text.as_bytes()).await.unwrap();
        let (answer, _) = self.answer().await;
        assert!(answer.contains(&format!("CSeq: {}\r\n", self.cseq)), "{answer}");
        answer
    }

    /// Reads up to the next answer. Returns it and the sequence numbers of the packets before it.
    async fn answer(&mut self) -> (String, Vec<u16>) {
        let mut packets = Vec::new();
        loop {
            match self.unit().await {
                Ok(answer) => return (answer, packets),
                Err(packet) if packet[1] & 0x7f != 72 && packet[1] != 200 => {
                    packets.push(u16::from_be_bytes([packet[2], packet[3]]));
                }
                Err(_) => {}
            }
        }
    }

    /// Reads an answer, or a packet.
    async fn unit(&mut self) -> Result<String, Vec<u8>> {
        let read = async {
            let first = self.socket.read_u8().await.unwrap();
            if first == b'$' {
                let _channel = self.socket.read_u8().await.unwrap();
                let mut packet = vec![0; usize::from(self.socket.read_u16().await.unwrap())];
                self.socket.read_exact(&mut packet).await.unwrap();
                return Err(packet);
            }
            let mut head = vec![first];
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.socket.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            self.socket.read_exact(&mut body).await.unwrap();
            Ok(head + &String::from_utf8(body).unwrap())
        };
        timeout(LONG, read).await.unwrap()
    }

    async fn set_up(&mut self, url: &str, headers: &str) -> String {
        let answer = self.ask("SETUP", url, headers).await;
        assert!(answer.starts_with("RTSP/1.0 200"), "{answer}");
        let session = answer.lines().find_map(|line| line.strip_prefix("Session: ")).unwrap();
        session.split(';').next().unwrap().to_owned()
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
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
    assert_eq!(stage.server.sessions(), 0);
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
async fn media_goes_only_to_the_client_and_a_session_only_to_its_connection() {
    let stage = Stage::new(RtspConfig::default()).await;
    let (url, mut client) = (stage.server.url(), stage.client().await);
    let media = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = media.local_addr().unwrap().port();
    let transport = |more: &str| format!("Transport: RTP/AVP;unicast;{more}client_port={port}-{}\r\n", port - 1);
    let answer = client.ask("SETUP", &url, &transport("destination=192.0.2.1;")).await;
    assert!(status(&answer) == "200" && !answer.contains("192.0.2.1"), "{answer}");
    let session = answer.lines().find_map(|line| line.strip_prefix("Session: ")).unwrap().split(';').next().unwrap();
    client.ask("PLAY", &url, &format!("Session: {session}\r\n")).await;
    let mut packet = [0; 2000];
    timeout(LONG, media.recv(&mut packet)).await.unwrap().unwrap();

    let mut thief = stage.client().await;
    for method in ["PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER"] {
        assert_eq!(status(&thief.ask(method, &url, &format!("Session: {session}\r\n")).await), "454", "{method}");
    }
    assert_eq!(stage.server.sessions(), 1);
    drop(client);
    while stage.server.sessions() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_needed_by_path_or_by_password() {
    let mut config = RtspConfig::default();
    config.token = Some("S3cret".into());
    let stage = Stage::new(config).await;
    let (url, mut client) = (stage.server.url(), stage.client().await);
    assert!(url.contains("/~S3cret/0/"), "{url}");
    let bare = url.replace("~S3cret/", "");
    assert_eq!(status(&client.ask("OPTIONS", &bare, "").await), "200");
    let answer = client.ask("DESCRIBE", &bare, "").await;
    assert!(status(&answer) == "401" && answer.contains("WWW-Authenticate: Basic "), "{answer}");
    assert_eq!(status(&client.ask("DESCRIBE", &url.replace("S3cret", "S3cre"), "").await), "401");
    assert_eq!(status(&client.ask("SETUP", &bare, "").await), "401");
    assert_eq!(status(&client.ask("DESCRIBE", &url.to_lowercase(), "").await), "200");
    // `playswarm:S3cret`
    assert_eq!(
        status(&client.ask("DESCRIBE", &bare, "Authorization: Basic cGxheXN3YXJtOlMzY3JldA==\r\n").await),
        "200"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_server_does_not_have_is_refused_with_the_right_status() {
    let mut config = RtspConfig::default();
    config.max_sessions = 1;
    let stage = Stage::new(config).await;
    let (url, mut client) = (stage.server.url(), stage.client().await);
    let tcp = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    for (method, at, headers, expected) in [
        ("SETUP", url.as_str(), "Transport: RTP/AVP;multicast;client_port=5000-5001\r\n", "461"),
        ("SETUP", &format!("{url}/track9"), tcp, "404"),
        ("DESCRIBE", "rtsp://127.0.0.1/7/none.mp4", "", "404"),
        ("DESCRIBE", &url, "Accept: text/html\r\n", "406"),
        ("DESCRIBE", &url, "Require: com.example\r\n", "551"),
        ("PLAY", &url, "", "454"),
        ("RECORD", &url, "", "405"),
        ("FLY", &url, "", "501"),
    ] {
        assert_eq!(status(&client.ask(method, at, headers).await), expected, "{method} {headers}");
    }
    let session = client.set_up(&url, tcp).await;
    let wrong = format!("Session: {session}\r\nRange: clock=19961108T142300Z-\r\n");
    assert_eq!(status(&client.ask("PLAY", &url, &wrong).await), "457");
    let mut second = stage.client().await;
    assert_eq!(status(&second.ask("SETUP", &url, tcp).await), "453");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_an_error_and_is_disconnected() {
    let stage = Stage::new(RtspConfig::default()).await;
    let mut socket = TcpStream::connect(stage.server.addr()).await.unwrap();
    socket.write_all(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nOPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n").await.unwrap();
    let mut text = String::new();
    timeout(LONG, socket.read_to_string(&mut text)).await.unwrap().unwrap();
    assert!(text.starts_with("HTTP/1.1 400") && !text.contains("RTSP"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_requests_frames_and_connections_are_bounded() {
    let mut config = RtspConfig::default();
    (config.max_connections, config.max_sessions) = (2, 2);
    let stage = Stage::new(config).await;
    let (url, mut client) = (stage.server.url(), stage.client().await);
    for _ in 0..500 {
        client.socket.write_all(b"$\x01\xff\xff").await.unwrap();
        client.socket.write_all(&[0; 0xffff]).await.unwrap();
        client.set_up(&url, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n").await;
    }
    assert_eq!(stage.server.sessions(), 1, "a new session replaces the connection's last one");
    let _second = stage.client().await;
    let mut third = stage.client().await;
    let closed = timeout(LONG, third.socket.read(&mut [0])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");

    let endless = [b"OPTIONS * RTSP/1.0\r\nX: ".to_vec(), vec![b'a'; 20 << 10]].concat();
    client.socket.write_all(&endless).await.unwrap();
    let mut text = String::new();
    timeout(LONG, client.socket.read_to_string(&mut text)).await.unwrap().ok();
    assert!(text.starts_with("RTSP/1.0 413"), "{text}");
    while stage.server.sessions() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
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
