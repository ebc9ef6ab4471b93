//! A live channel over HTTP, from the session of its source to that of a viewer.
#![allow(clippy::unwrap_used, missing_docs)]

use playswarm::live::{Cast, CastOptions, Channel};
use playswarm::{Config, Session};
use playswarm_serve::{ChannelServer, HttpConfig, serve_channel};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);
/// A block of the stream, of which no player knows the container.
const BLOCK: &[u8] = &[7; 4000];

struct Scene {
    cast: Cast,
    channel: Channel,
    server: ChannelServer,
    _sessions: [(TempDir, Session); 2],
}

async fn session(change: impl FnOnce(&mut Config)) -> (TempDir, Session) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::offline(dir.path());
    change(&mut config);
    let session = Session::new(config).await.unwrap();
    (dir, session)
}

async fn scene(config: HttpConfig, content_type: &str) -> Scene {
    scene_of(session(|_| ()).await, session(|_| ()).await, config, content_type).await
}

async fn scene_of(
    source: (TempDir, Session),
    viewer: (TempDir, Session),
    config: HttpConfig,
    content_type: &str,
) -> Scene {
    let mut options = CastOptions::default();
    (options.name, options.content_type) = ("Test".into(), Some(content_type.into()));
    options.bytes_per_s = 80_000;
    let cast = source.1.cast(options).unwrap();
    let link = cast.link();
    assert_eq!((link.at.len(), link.name.as_deref()), (1, Some("Test")));
    let channel = viewer.1.watch(&link).unwrap();
    let server = serve_channel(channel.clone(), &link, config).await.unwrap();
    Scene { cast, channel, server, _sessions: [source, viewer] }
}

/// Pushes the stream in real time until the viewer has some.
async fn on_air(scene: &Scene) {
    let began = async {
        tokio::select! {
            head = scene.channel.on_air() => assert_eq!(head.unwrap().name, "Test"),
            () = push(&scene.cast, 200) => panic!("the stream did not arrive"),
        }
    };
    timeout(LONG, began).await.unwrap();
}

async fn push(cast: &Cast, blocks: usize) {
    for _ in 0..blocks {
        cast.push(BLOCK).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn ask(server: &ChannelServer, method: &str, path: &str, more: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server.addr()).await.unwrap();
    let host = if more.contains("Host:") { "" } else { "Host: localhost\r\n" };
    let text = format!("{method} {path} HTTP/1.1\r\n{host}{more}Connection: close\r\n\r\n");
    socket.write_all(text.as_bytes()).await.unwrap();
    socket
}

/// Returns the whole answer.
async fn answer(server: &ChannelServer, method: &str, path: &str, more: &str) -> String {
    let mut socket = ask(server, method, path, more).await;
    let mut all = Vec::new();
    timeout(LONG, socket.read_to_end(&mut all)).await.expect("the answer ends").unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_a_stream_without_length_or_positions() {
    let scene = scene(HttpConfig::default(), "video/x-test").await;
    // A request may come before the first byte.
    let early = ask(&scene.server, "GET", "/live", "").await;
    on_air(&scene).await;
    for path in ["/live", "/live.ts", "/live.webm", "/live.mkv", "/live.flv", "/live.mp4", "/live.mp3", "/live.ogg"] {
        let head = answer(&scene.server, "HEAD", path, "Range: bytes=0-\r\n").await.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{path}: {head}");
        for line in ["content-type: video/x-test", "accept-ranges: none", "cache-control: no-store", "nosniff"] {
            assert!(head.contains(line), "{path}: {line}: {head}");
        }
        assert!(!head.contains("content-length") && !head.contains("content-range"), "{path}: {head}");
    }
    let status = answer(&scene.server, "GET", "/status", "").await;
    let status: serde_json::Value = serde_json::from_str(status.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(status["key"], scene.cast.key().to_string());
    assert_eq!((&status["name"], &status["bytes_per_s"]), (&"Test".into(), &80_000.into()), "{status}");
    assert!(status["fed"].as_u64().unwrap() > 0, "{status}");

    let read = tokio::spawn(async move {
        let mut all = Vec::new();
        let mut early = early;
        timeout(LONG, early.read_to_end(&mut all)).await.expect("the answer ends with the stream").unwrap();
        all
    });
    push(&scene.cast, 40).await;
    scene.cast.end().unwrap();
    let all = read.await.unwrap();
    assert!(all.starts_with(b"HTTP/1.1 200 ") && all.ends_with(b"\r\n0\r\n\r\n"), "it is whole, in chunks");
    let bytes = all.iter().filter(|byte| **byte == 7).count();
    assert!(bytes > 30 * BLOCK.len(), "{bytes} bytes");
    scene.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_channel_says_when_to_try_again() {
    // The source's upload suffices for no stripe.
    let source = session(|config| config.upload_bytes_per_s = 8_000).await;
    let scene = scene_of(source, session(|_| ()).await, HttpConfig::default(), "video/x-test").await;
    let asking = answer(&scene.server, "GET", "/live", "");
    let full = tokio::select! {
        full = asking => full,
        () = push(&scene.cast, 300) => panic!("there is no answer"),
    };
    assert!(full.starts_with("HTTP/1.1 503 "), "{full}");
    let (_, after) = full.split_once("retry-after: ").unwrap();
    let retry_s: u64 = after.split_once('\r').unwrap().0.parse().unwrap();
    let sentence = format!("the channel is full: no node has a free place; try again in {retry_s} s");
    assert!((1..=30).contains(&retry_s) && full.contains(&sentence), "{full}");
    let status = scene.channel.status();
    assert!(status.full_for_s.is_some_and(|s| (1..=30).contains(&s)) && status.fed == 0, "{status:?}");
    let page = answer(&scene.server, "GET", "/", "").await;
    assert!(page.contains("The channel is full."), "{page}");
    // The source can be dialled, as the viewer shows.
    assert_eq!((scene.cast.status().full_for_s, scene.cast.status().reachable), (None, Some(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_of_a_channel_is_guarded_as_that_of_files() {
    let mut config = HttpConfig::default();
    config.token = Some("geheim".into());
    let scene = scene(config, "text/html").await;
    on_air(&scene).await;
    assert!(scene.server.url().ends_with("/live?token=geheim"), "{}", scene.server.url());
    let begins = |answer: String, status: &str| assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    begins(answer(&scene.server, "HEAD", "/live", "").await, "401");
    begins(answer(&scene.server, "GET", "/status", "Authorization: Bearer falsch\r\n").await, "401");
    begins(answer(&scene.server, "GET", "/status?token=geheim", "Host: evil.example\r\n").await, "403");
    begins(answer(&scene.server, "GET", "/film?token=geheim", "").await, "404");
    let head = answer(&scene.server, "HEAD", "/live.ts?token=geheim", "").await;
    assert!(head.contains("content-type: application/octet-stream"), "no page of the source's is shown: {head}");
    begins(head, "200");
}

/// MPEG-TS of a picture with sound and a keyframe each second, as FFmpeg makes it.
fn film(container: &[&str]) -> Vec<u8> {
    let output = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=160x120:r=25", "-f", "lavfi", "-i", "sine", "-t", "12"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "aac"])
        .args(container)
        .arg("-")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Pushes a film of twelve seconds in as many, from now on.
fn push_in_time(cast: Cast, film: Vec<u8>) -> tokio::task::JoinHandle<Cast> {
    tokio::spawn(async move {
        let begun = tokio::time::Instant::now();
        for (step, bytes) in (1..).zip(film.chunks(film.len() / 240 + 1)) {
            cast.push(bytes).unwrap();
            tokio::time::sleep_until(begun + Duration::from_millis(50) * step).await;
        }
        cast
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ffmpeg_plays_hls_of_a_channel() {
    if !playswarm_tests::requirement::program("ffmpeg") {
        return;
    }
    let fmp4 = ["-movflags", "frag_keyframe+empty_moov+default_base_moof", "-f", "mp4"];
    for (content_type, container, segment) in
        [("video/mp2t", &["-f", "mpegts"][..], "0.ts?token=t"), ("video/mp4", &fmp4[..], "0.m4s?token=t")]
    {
        let mut config = HttpConfig::default();
        config.token = Some("t".into());
        let scene = scene(config, content_type).await;
        let casting = push_in_time(scene.cast, film(container));
        // The answer waits for the first segment.
        let list = answer(&scene.server, "GET", "/live.m3u8?token=t", "").await;
        assert!(list.starts_with("HTTP/1.1 200 ") && list.contains("application/vnd.apple.mpegurl"), "{list}");
        assert!(list.contains("#EXTINF:") && list.contains(segment), "{list}");
        let url = format!("http://{}/live.m3u8?token=t", scene.server.addr());
        let play = tokio::process::Command::new("ffmpeg")
            .args(["-v", "error", "-live_start_index", "0", "-i", &url, "-t", "4", "-f", "null", "-"])
            .output();
        let play = timeout(LONG, play).await.expect("FFmpeg plays in real time").unwrap();
        assert!(play.status.success() && play.stderr.is_empty(), "{}", String::from_utf8_lossy(&play.stderr));
        let gone = answer(&scene.server, "HEAD", "/live/99.ts?token=t", "").await;
        assert!(gone.starts_with("HTTP/1.1 404 "), "{gone}");
        casting.abort();
        scene.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn players_of_web_radio_get_the_name_within_the_sound() {
    let scene = scene(HttpConfig::default(), "audio/x-test").await;
    on_air(&scene).await;
    let mut socket = ask(&scene.server, "GET", "/live", "Icy-MetaData: 1\r\n").await;
    push(&scene.cast, 8).await;
    let mut all = vec![0; 30_000];
    timeout(LONG, socket.read_exact(&mut all)).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&all);
    for line in ["icy-metaint: 16000", "icy-name: Test", "icy-br: 640", "StreamTitle='Test';"] {
        assert!(text.contains(line), "{line}: {}", &text[..400]);
    }
    // Others get sound alone.
    let mut socket = ask(&scene.server, "GET", "/live", "").await;
    push(&scene.cast, 8).await;
    timeout(LONG, socket.read_exact(&mut all)).await.unwrap().unwrap();
    assert!(!String::from_utf8_lossy(&all).contains("StreamTitle"));
    // HLS has no such sound.
    let list = answer(&scene.server, "GET", "/live.m3u8", "").await;
    assert!(list.starts_with("HTTP/1.1 415 "), "{list}");
}

/// Bytes of a frame of MP3 at 320 kbit/s and 32 kHz, and its header.
const FRAME_BYTES: usize = 1440;
const FRAME: &[u8] = &[0xff, 0xfb, 0xe8, 0x64];

/// Returns frames with these numbers in them.
fn frames(numbers: std::ops::Range<u32>) -> Vec<u8> {
    let frame = |number: u32| {
        let mut frame = [FRAME, &number.to_be_bytes()].concat();
        frame.resize(FRAME_BYTES, 0);
        frame
    };
    numbers.flat_map(frame).collect()
}

/// Returns the numbers of the frames in a stream, also behind one that is cut.
fn numbers(stream: &[u8]) -> Vec<u32> {
    let (mut at, mut numbers) = (0, Vec::new());
    while let Some(frame) = stream.get(at..at + FRAME_BYTES) {
        if frame.starts_with(FRAME) {
            numbers.push(u32::from_be_bytes(frame[4..8].try_into().unwrap()));
            at += FRAME_BYTES;
        } else {
            at += 1;
        }
    }
    numbers
}

/// Asks for the stream as it is, without chunks, over a socket with a small buffer. Returns the socket
/// behind the head of the answer.
async fn ask_bare(server: &ChannelServer, more: &str) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut socket = socket.connect(server.addr()).await.unwrap();
    let text = format!("GET /live HTTP/1.0\r\nHost: localhost\r\n{more}\r\n");
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(LONG, socket.read_u8()).await.unwrap().unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.0 200 "), "{}", String::from_utf8_lossy(&head));
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_that_paused_for_longer_than_the_back_buffer_goes_on_with_the_newest_and_is_not_cut_off() {
    const STEP: u32 = 14;
    let viewer = session(|config| config.live_back_ms = 20_000).await;
    let scene = scene_of(session(|_| ()).await, viewer, HttpConfig::default(), "audio/mpeg").await;
    let mut pushed = 0;
    let step = async |pushed: &mut u32| {
        scene.cast.push(&frames(*pushed..*pushed + STEP)).unwrap();
        *pushed += STEP;
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    while timeout(Duration::ZERO, scene.channel.on_air()).await.is_err() {
        assert!(pushed < 400 * STEP, "the stream did not arrive");
        step(&mut pushed).await;
    }
    let mut player = ask_bare(&scene.server, "").await;
    let mut stream = vec![0; 2 * FRAME_BYTES];
    timeout(LONG, player.read_exact(&mut stream)).await.unwrap().unwrap();
    // It pauses until the group that it would get next is gone, whatever its socket holds.
    let pause = tokio::time::Instant::now() + Duration::from_secs(28);
    while tokio::time::Instant::now() < pause {
        step(&mut pushed).await;
    }
    let resumed = pushed;
    let reading = async {
        let mut bytes = vec![0; 1 << 16];
        while numbers(&stream[stream.len().saturating_sub(2 * FRAME_BYTES)..]).last().is_none_or(|n| *n < resumed) {
            let n = timeout(LONG, player.read(&mut bytes)).await.unwrap().unwrap();
            assert!(n > 0, "it is cut off after {} bytes", stream.len());
            stream.extend_from_slice(&bytes[..n]);
        }
    };
    tokio::select! {
        () = reading => {}
        () = async { loop { step(&mut pushed).await } } => {}
    }
    let numbers = numbers(&stream);
    let gaps: Vec<(u32, u32)> =
        numbers.windows(2).map(|pair| (pair[0], pair[1])).filter(|(a, b)| *b != a + 1).collect();
    assert!(gaps.iter().all(|(from, to)| from < to), "it never goes back: {gaps:?}");
    // A busy machine may lose something besides.
    let longest = gaps.iter().copied().max_by_key(|(from, to)| to - from);
    let Some((from, to)) = longest else { panic!("nothing was skipped up to frame {resumed}") };
    // The newest place to begin, and not the oldest that is held.
    let behind = resumed.saturating_sub(to) as usize * FRAME_BYTES;
    assert!(behind < 2 << 20, "from {from} to {to} of {resumed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn titles_of_a_pulled_stream_reach_players_and_are_not_part_of_the_sound() {
    // Web radio whose titles come within frames.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/radio", listener.local_addr().unwrap());
    let radio = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 4096];
        let n = socket.read(&mut asked).await.unwrap();
        let asked = String::from_utf8_lossy(&asked[..n]).to_ascii_lowercase();
        assert!(asked.contains("icy-metadata: 1"), "{asked}");
        socket.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg\r\nicy-metaint: 4000\r\n\r\n").await.unwrap();
        for (n, sound) in frames(0..3000).chunks(4000).enumerate() {
            socket.write_all(sound).await.unwrap();
            let title: &[u8] = if n == 5 { b"\x02StreamTitle='One - Two';\0\0\0\0\0\0\0\0" } else { b"\0" };
            socket.write_all(title).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let Scene { cast, channel, server, _sessions } = scene(HttpConfig::default(), "audio/mpeg").await;
    let cast = std::sync::Arc::new(cast);
    let pulling = tokio::spawn(async move { cast.pull(&url).await });
    let told = async {
        while channel.title().as_deref() != Some("One - Two") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, told).await.expect("the title arrives");
    assert_eq!(channel.status().title, channel.title());
    let mut bare = vec![0; 60_000];
    timeout(LONG, ask_bare(&server, "").await.read_exact(&mut bare)).await.unwrap().unwrap();
    let heard = numbers(&bare);
    assert!(heard.len() > 30 && heard.windows(2).all(|pair| pair[1] == pair[0] + 1), "{heard:?}");
    let mut titled = vec![0; 60_000];
    timeout(LONG, ask_bare(&server, "Icy-MetaData: 1\r\n").await.read_exact(&mut titled)).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&titled).contains("StreamTitle='One - Two';"));
    pulling.abort();
    radio.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_metrics_and_events_show_the_channel() {
    let scene = scene(HttpConfig::default(), "video/x-test").await;
    on_air(&scene).await;
    let page = answer(&scene.server, "GET", "/", "").await;
    for part in ["<h1>Test</h1>", "<video controls autoplay muted src=\"live\">", "default-src 'none'"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let metrics = answer(&scene.server, "GET", "/metrics", "").await;
    let sample = format!("playswarm_live_stripes{{channel=\"{}\",name=\"Test\"}} 9\n", scene.cast.key());
    assert!(metrics.contains(&sample) && metrics.contains("# TYPE playswarm_live_packets_total counter"), "{metrics}");
    let mut socket = ask(&scene.server, "GET", "/status/events", "").await;
    let mut text = String::new();
    while text.matches("event: status").count() < 2 {
        let mut bytes = [0; 4096];
        let n = timeout(LONG, socket.read(&mut bytes)).await.unwrap().unwrap();
        assert!(n > 0, "{text}");
        text += &String::from_utf8_lossy(&bytes[..n]);
    }
    assert!(text.contains("\"name\":\"Test\""), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_begins_as_far_back_as_it_asks() {
    if !playswarm_tests::requirement::program("ffmpeg") {
        return;
    }
    let scene = scene(HttpConfig::default(), "video/mp2t").await;
    let casting = push_in_time(scene.cast, film(&["-f", "mpegts"]));
    tokio::time::sleep(Duration::from_secs(8)).await;
    let mut at_once = Vec::new();
    for path in ["/live.ts?back=0", "/live.ts", "/live.ts?back=5", "/live.ts?back=600"] {
        let mut socket = ask(&scene.server, "GET", path, "").await;
        let (mut all, mut bytes) = (0, vec![0; 1 << 16]);
        // What is held comes at once, and the rest in time.
        while let Ok(Ok(n)) = timeout(Duration::from_millis(30), socket.read(&mut bytes)).await {
            all += n;
        }
        at_once.push(all);
    }
    assert!(at_once.is_sorted() && at_once[2] > 3 * at_once[1] / 2 && at_once[3] > at_once[2], "{at_once:?}");
    let bad = answer(&scene.server, "GET", "/live?back=-1", "").await;
    assert!(bad.starts_with("HTTP/1.1 400 ") && bad.contains("?back=20"), "{bad}");
    casting.abort();
}
