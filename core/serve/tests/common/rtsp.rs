//! An RTSP server of the demo's clip, and its clients.

use playswarm::{Config, CreateOptions, Metainfo, Session, Source, TorrentHandle, create_torrent};
use playswarm_serve::{RtspConfig, RtspServer, serve_rtsp};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

/// Longest run of a player.
pub const LONG: Duration = Duration::from_secs(90);

/// A session that has all of the clip, and its server.
pub struct Stage {
    pub server: RtspServer,
    _torrent: TorrentHandle,
    _session: Session,
    pub folder: TempDir,
}

impl Stage {
    pub async fn new(config: RtspConfig) -> Stage {
        let (folder, metainfo) = clip(None).await;
        Stage::of(folder, &metainfo, config).await
    }

    /// Serves a film in a folder of its own.
    pub async fn with(folder: TempDir, path: PathBuf, config: RtspConfig) -> Stage {
        let metainfo = create_torrent(path, CreateOptions::default(), |_, _| {}).await.unwrap().torrent;
        Stage::of(folder, &metainfo, config).await
    }

    async fn of(folder: TempDir, metainfo: &Metainfo, config: RtspConfig) -> Stage {
        let (session, torrent) = holder(Config::offline(folder.path()), metainfo).await;
        let server = serve_rtsp(torrent.clone(), 0, config).await.unwrap();
        Stage { server, _torrent: torrent, _session: session, folder }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("clip.mp4")
    }

    /// The URL of the transport stream.
    pub fn ts_url(&self) -> String {
        self.server.url().replace("/0/clip", "/ts/0/clip")
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.server.addr()).await
    }
}

/// Copies the demo's clip into a folder of its own, and makes a torrent of it.
pub async fn clip(piece_bytes: Option<u32>) -> (TempDir, Metainfo) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp4");
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../../cli/demo/clip.mp4"), &path).unwrap();
    let mut options = CreateOptions::default();
    options.piece_bytes = piece_bytes;
    let metainfo = create_torrent(path, options, |_, _| {}).await.unwrap().torrent;
    (folder, metainfo)
}

/// Starts a session whose folder has all of a torrent.
pub async fn holder(config: Config, metainfo: &Metainfo) -> (Session, TorrentHandle) {
    let session = Session::new(config).await.unwrap();
    let torrent = session.open(Source::from(metainfo)).await.unwrap();
    torrent.recheck(|_, _| {}).await.unwrap();
    (session, torrent)
}

pub async fn run(program: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(LONG, command.output()).await;
    output.unwrap_or_else(|_| panic!("{program} {args:?} does not end")).unwrap()
}

/// Lets GStreamer decode pictures of a source, whose properties are given. Returns how many came, and its complaints.
///
/// Its exit status says nothing: at the end it takes its own PAUSE back, which may be an error to it.
pub async fn gstreamer_decodes(properties: &[&str], count: usize) -> (usize, String) {
    let sink = format!("num-buffers={count}");
    let chain = ["latency=200", "!", "rtph264depay", "!", "avdec_h264", "!", "fakesink", "silent=false", &sink];
    let output = run("gst-launch-1.0", &[&["-v", "rtspsrc"], properties, &chain].concat()).await;
    let pictures = String::from_utf8_lossy(&output.stdout).matches("last-message = chain ").count();
    (pictures, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Returns the MD5 of each picture that FFmpeg decodes.
pub async fn pictures(before: &[&str], input: &str, count: &str) -> Vec<String> {
    let after = ["-map", "0:v", "-frames:v", count, "-fps_mode", "passthrough", "-f", "framemd5", "-"];
    let args = [&["-v", "error"], before, &["-i", input], &after].concat();
    let output = run("ffmpeg", &args).await;
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.trim().is_empty(), "{args:?}: {complaints}");
    let text = String::from_utf8_lossy(&output.stdout);
    let hash = |line: &str| line.rsplit(',').next().unwrap_or_default().trim().to_owned();
    text.lines().filter(|line| !line.starts_with('#')).map(hash).collect()
}

/// A client that sends what it is told to.
pub struct Client {
    pub socket: TcpStream,
    pub cseq: u32,
}

impl Client {
    pub async fn connect(to: SocketAddr) -> Client {
        Client { socket: TcpStream::connect(to).await.unwrap(), cseq: 0 }
    }

    /// Sends a request, and returns the head of the answer and the media before it.
    pub async fn ask(&mut self, method: &str, url: &str, headers: &str) -> String {
        self.cseq += 1;
        let text = format!("{method} {url} RTSP/1.0\r\nCSeq: {}\r\n{headers}\r\n", self.cseq);
        self.socket.write_all(text.as_bytes()).await.unwrap();
        let (answer, _) = self.answer().await;
        assert!(answer.contains(&format!("CSeq: {}\r\n", self.cseq)), "{answer}");
        answer
    }

    /// Reads up to the next answer. Returns it and the sequence numbers of the packets before it.
    pub async fn answer(&mut self) -> (String, Vec<u16>) {
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
    pub async fn unit(&mut self) -> Result<String, Vec<u8>> {
        match self.frame().await {
            Ok((_, packet)) => Err(packet),
            Err(answer) => Ok(answer),
        }
    }

    /// Reads a packet and its channel, or an answer.
    pub async fn frame(&mut self) -> Result<(u8, Vec<u8>), String> {
        let read = async {
            let first = self.socket.read_u8().await.unwrap();
            if first == b'$' {
                let channel = self.socket.read_u8().await.unwrap();
                let mut packet = vec![0; usize::from(self.socket.read_u16().await.unwrap())];
                self.socket.read_exact(&mut packet).await.unwrap();
                return Ok((channel, packet));
            }
            let mut head = vec![first];
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.socket.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            self.socket.read_exact(&mut body).await.unwrap();
            Err(head + &String::from_utf8(body).unwrap())
        };
        timeout(LONG, read).await.unwrap()
    }

    pub async fn set_up(&mut self, url: &str, headers: &str) -> String {
        let answer = self.ask("SETUP", url, headers).await;
        assert!(answer.starts_with("RTSP/1.0 200"), "{answer}");
        let session = answer.lines().find_map(|line| line.strip_prefix("Session: ")).unwrap();
        session.split(';').next().unwrap().to_owned()
    }
}

pub fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}
