//! Real encoders push to a live channel, and a viewer in another session gets what they sent.
#![allow(clippy::unwrap_used, missing_docs)]

use playswarm::live::{Cast, CastOptions, Channel, LiveStream};
use playswarm::{Config, Session};
use playswarm_serve::{IngestConfig, IngestServer, receive_udp, serve_ingest};
use playswarm_tests::requirement;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(40);
const TOKEN: &str = "s3cret";
/// Pictures that each encoder makes, twenty a second.
const PICTURES: usize = 20;

struct Scene {
    cast: Arc<Cast>,
    channel: Channel,
    dir: TempDir,
    _sessions: [(TempDir, Session); 2],
}

async fn session() -> (TempDir, Session) {
    let dir = tempfile::tempdir().unwrap();
    let session = Session::new(Config::offline(dir.path())).await.unwrap();
    (dir, session)
}

async fn scene() -> Scene {
    let (source, viewer) = (session().await, session().await);
    let cast = Arc::new(source.1.cast(CastOptions::default()).unwrap());
    let channel = viewer.1.watch(&cast.link()).unwrap();
    Scene { cast, channel, dir: tempfile::tempdir().unwrap(), _sessions: [source, viewer] }
}

async fn server(scene: &Scene, token: &str) -> IngestServer {
    let mut config = IngestConfig::default();
    config.token = Some(token.to_owned());
    serve_ingest(scene.cast.clone(), config).await.unwrap()
}

/// Runs a command whose arguments have no spaces.
async fn run(command: &str, input: Option<&Path>) -> Output {
    let mut words = command.split_whitespace();
    let mut program = Command::new("timeout");
    program.arg("30").arg(words.next().unwrap()).args(words).stdin(Stdio::null());
    if let Some(path) = input {
        program.stdin(std::fs::File::open(path).unwrap());
    }
    program.output().await.unwrap()
}

async fn succeeds(command: &str, input: Option<&Path>) {
    let output = run(command, input).await;
    assert!(output.status.success(), "{command}: {}", said(&output));
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Returns the arguments of FFmpeg for a second of pictures of this width, in real time.
fn encoder(width: usize) -> String {
    let source = format!("-re -f lavfi -i testsrc=s={width}x120:r=20 -frames:v {PICTURES}");
    format!("ffmpeg -v error {source} -c:v libx264 -b:v 200k -preset ultrafast -tune zerolatency -g 10")
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, waiting).await.expect(what);
}

/// Collects the stream in the background.
fn collect(mut stream: LiveStream) -> JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        let mut all = Vec::new();
        timeout(LONG, stream.read_to_end(&mut all)).await.expect("the stream ends").unwrap();
        all
    })
}

/// Returns how many pictures of a width a player decodes of a stream.
async fn pictures(stream: &[u8], dir: &Path, width: usize) -> usize {
    let path = dir.join("received");
    std::fs::write(&path, stream).unwrap();
    let probe = format!("ffprobe -v error -show_entries frame=width -of csv=p=0 {}", path.display());
    let output = run(&probe, None).await;
    assert!(output.status.success(), "{}", said(&output));
    let width = width.to_string();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter(|line| line.split(',').next() == Some(&width)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn encoders_of_all_kinds_follow_each_other_and_viewers_decode_each() {
    if !requirement::program("ffmpeg") || !requirement::program("curl") {
        return;
    }
    let scene = scene().await;
    let (closed, open) = (server(&scene, TOKEN).await, server(&scene, "").await);
    let udp = receive_udp(scene.cast.clone(), "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (at, tcp, url) = (closed.addr(), open.addr(), closed.http_url());
    let viewer = collect(scene.channel.stream());
    let film = scene.dir.path().join("film.ts");
    let mpeg_ts = "-f mpegts -content_type video/mp2t";
    let pushes = [
        format!("{mpeg_ts} -method PUT {url}"),
        format!("{mpeg_ts} -method POST -chunked_post 0 http://source:{TOKEN}@{at}/any"),
        format!("{mpeg_ts} icecast://source:{TOKEN}@{at}/live"),
        format!("{mpeg_ts} -legacy_icecast 1 icecast://source:{TOKEN}@{at}/live"),
        format!("-f mpegts tcp://{tcp}"),
        format!("-f mpegts {}?pkt_size=1316", udp.url()),
    ];
    let width = |n: usize| 160 + 16 * n;
    for (n, push) in pushes.iter().enumerate() {
        succeeds(&format!("{} {push}", encoder(width(n))), None).await;
        // UDP has no end, so that it is known by a pause alone.
        until("the place is free", || udp.status().source.is_none()).await;
    }
    let mut expected = pushes.len();
    succeeds(&format!("{} -y {}", encoder(width(expected)).replace("-re ", ""), film.display()), None).await;
    succeeds(&format!("curl -sSf -T - {url}"), Some(&film)).await;
    expected += 1;
    if requirement::gstreamer("souphttpclientsink") {
        succeeds(&format!("{} -y {}", encoder(width(expected)).replace("-re ", ""), film.display()), None).await;
        let source = format!("filesrc location={} blocksize=4700 ! identity sleep-time=100000", film.display());
        succeeds(&format!("gst-launch-1.0 -q {source} ! souphttpclientsink location={url}"), None).await;
        expected += 1;
    }
    // What comes over RTMP is another container, with which a player must begin anew.
    let rtmp = closed.rtmp_url();
    succeeds(&format!("{} -f flv {rtmp}", encoder(width(0))), None).await;
    let first = timeout(LONG, viewer).await.expect("the viewer's stream ends").unwrap();
    let second = collect(scene.channel.stream());
    for n in 1..3 {
        succeeds(&format!("{} -f flv {rtmp}", encoder(width(n))), None).await;
    }
    scene.cast.end().unwrap();
    let second = second.await.unwrap();
    let mut shown = Vec::new();
    for n in 0..expected {
        shown.push(pictures(&first, scene.dir.path(), width(n)).await);
    }
    // FFmpeg's old form of Icecast closes without an answer, and loses what was not read yet.
    // GStreamer ends without sending what it has in its queue.
    let are_shown = shown.iter().all(|count| (PICTURES / 2..=PICTURES).contains(count));
    assert!(are_shown, "{shown:?} pictures of {PICTURES} each: {pushes:?}, curl, GStreamer");
    assert!(second.starts_with(b"FLV\x01"), "{:?}", second.get(..13));
    for n in 1..3 {
        let shown = pictures(&second, scene.dir.path(), width(n)).await;
        assert!((PICTURES - 1..=PICTURES).contains(&shown), "RTMP {n}: {shown} pictures");
    }
    assert_eq!((closed.status().source, closed.status().received_bytes > 0), (None, true));
    for server in [closed, open] {
        server.stop().await;
    }
    udp.stop().await;
}

/// Sends a request, and returns the answer up to its end.
async fn ask(server: &IngestServer, head: &str, body: &[u8]) -> String {
    let mut socket = TcpStream::connect(server.addr()).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    // It may be refused before all was sent.
    let _ = socket.write_all(body).await;
    let mut answer = Vec::new();
    let _ = timeout(LONG, socket.read_to_end(&mut answer)).await.expect("the answer ends");
    String::from_utf8_lossy(&answer).into_owned()
}

fn put(more: &str) -> String {
    format!("PUT /live HTTP/1.1\r\n{more}Content-Length: 400000\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_push_and_what_cannot_be_cast_is_answered_with_a_sentence() {
    let scene = scene().await;
    let server = server(&scene, TOKEN).await;
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    let body = vec![7; 400_000];
    for (more, status, sentence) in [
        (String::new(), 401, "the password or token is missing or wrong"),
        ("Authorization: Basic c291cmNlOndyb25n\r\n".into(), 401, "the one that was printed"),
        (format!("{right}Host: evil.example\r\n"), 403, "DNS rebinding"),
        (format!("{right}Host: localhost\r\nOrigin: http://evil.example\r\n"), 403, "web pages may not push"),
        (format!("{right}Sec-Fetch-Site: same-site\r\n"), 403, "web pages may not push"),
    ] {
        let answer = ask(&server, &put(&more), &body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(sentence), "{more}: {answer}");
    }
    // A film whose index is at its end.
    let mp4 = [&b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2\0\x06\0\0mdat"[..], &body].concat();
    let answer = ask(&server, &put(&right), &mp4[..400_000]).await;
    assert!(answer.starts_with("HTTP/1.1 415 ") && answer.contains("no fragments"), "{answer}");

    // MPEG-TS over plain TCP has no token.
    let mut raw = TcpStream::connect(server.addr()).await.unwrap();
    raw.write_all(&[0x47, 0x40, 0, 0x10]).await.unwrap();
    let _ = timeout(LONG, raw.read_to_end(&mut Vec::new())).await.expect("it is closed");
    assert_eq!(server.status().source, None);

    // One at a time.
    let mut first = TcpStream::connect(server.addr()).await.unwrap();
    first.write_all(put(&right).as_bytes()).await.unwrap();
    first.write_all(&body[..1000]).await.unwrap();
    until("the first encoder sends", || server.status().source.is_some()).await;
    let answer = ask(&server, &put(&right), &body).await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("another source is sending"), "{answer}");
    if requirement::program("ffmpeg") {
        for (url, why) in [(server.rtmp_url(), "while another sends"), (server.rtmp_url() + "x", "with a wrong key")] {
            let output = run(&format!("{} -f flv {url}", encoder(160)), None).await;
            assert!(!output.status.success(), "{why}: {}", said(&output));
        }
    }
    let title = format!("GET /admin/metadata?mode=updinfo&song=A+-+B HTTP/1.0\r\n{right}\r\n");
    assert!(ask(&server, &title, b"").await.starts_with("HTTP/1.0 200 "));
    assert_eq!(server.status().title.as_deref(), Some("A - B"));
    assert_eq!(scene.cast.status().title.as_deref(), Some("A - B"));
    // After the first has gone, the next one is taken.
    drop(first);
    until("the place is free", || server.status().source.is_none()).await;
    let answer = ask(&server, &put(&format!("{right}Connection: close\r\n")), &body).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Serves the files of a folder over HTTP, and returns the URL of the folder.
async fn serve_folder(dir: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, dir) = (format!("http://{}", listener.local_addr().unwrap()), dir.to_owned());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let read = socket.read(&mut head).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&head[..read]).into_owned();
            let name = text.split([' ', '?']).nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
            let (status, body) = match std::fs::read(dir.join(&name)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = socket.write_all(&[head.as_bytes(), &body].concat()).await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_servers_are_pulled() {
    if !requirement::program("ffmpeg") {
        return;
    }
    let files = tempfile::tempdir().unwrap();
    let at = files.path().display();
    let encode = encoder(160).replace("-re ", "");
    let list = "-f hls -hls_time 0.5 -hls_list_size 0 -hls_playlist_type vod";
    succeeds(&format!("{encode} {list} -hls_segment_filename {at}/a%d.ts -master_pl_name all.m3u8 {at}/ts.m3u8"), None)
        .await;
    succeeds(&format!("{encode} {list} -hls_segment_type fmp4 -hls_fmp4_init_filename init.mp4 {at}/mp4.m3u8"), None)
        .await;
    let folder = serve_folder(files.path()).await;
    // FFmpeg is a server of a stream without an end.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endless = format!("http://127.0.0.1:{port}/live");
    let mut ffmpeg = Command::new("timeout");
    let serve = format!("30 {} -f mpegts -listen 1 {endless}", encoder(160));
    ffmpeg.args(serve.split_whitespace()).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let _ffmpeg = ffmpeg.spawn().unwrap();
    let listening = format!(":{port:04X} 00000000:0000 0A");
    until("FFmpeg listens", || std::fs::read_to_string("/proc/net/tcp").unwrap().contains(&listening)).await;
    let pulls = [format!("{folder}/all.m3u8"), format!("{folder}/mp4.m3u8"), endless].map(|url| async move {
        let scene = scene().await;
        let viewer = collect(scene.channel.stream());
        timeout(LONG, scene.cast.pull(&url)).await.expect("the stream ends").unwrap();
        scene.cast.end().unwrap();
        let shown = pictures(&viewer.await.unwrap(), scene.dir.path(), 160).await;
        assert_eq!(shown, PICTURES, "{url}");
    });
    futures_util::future::join_all(pulls).await;

    let scene = scene().await;
    for (url, why) in [
        (format!("{folder}/none.m3u8"), "404"),
        (format!("{folder}/a0.ts"), "this is a file"),
        ("ftp://127.0.0.1/x".into(), "only http and https"),
    ] {
        let failed = timeout(LONG, scene.cast.pull(&url)).await.unwrap().unwrap_err().to_string();
        assert!(failed.contains(why), "{url}: {failed}");
    }
}
