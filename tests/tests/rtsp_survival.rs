//! RTSP on bad networks: packets are lost, the swarm is slower than the film and stops, a cable is pulled. Real players,
//! judged by what they say.
#![allow(clippy::unwrap_used)]

use playswarm_tests::film::film;
use playswarm_tests::netlab::{Link, Net};
use playswarm_tests::peers::{RealPeer, libtorrent};
use playswarm_tests::playswarm::{Builder, Playswarm, STARTUP};
use playswarm_tests::process::Process;
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Rate of the film in bits per second, without its sound.
const RATE: u32 = 1_000_000;

/// A seed, the program on the host `viewer` and a host `player`.
struct Stage {
    playswarm: Playswarm,
    url: String,
    _seed: RealPeer,
    net: Net,
    _torrent: TestTorrent,
    folder: tempfile::TempDir,
}

/// `None` where the machine lacks something.
fn stage(seconds: u32, seed: Link, player: Link, programs: &[&str]) -> Option<Stage> {
    let able = requirement::network()
        && requirement::libtorrent()
        && requirement::program("ffmpeg")
        && programs.iter().all(|program| requirement::program(program));
    if !able {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let torrent = TestTorrent::of_file(&film(folder.path(), "film.mkv", seconds, RATE), 64 << 10);
    let net = Net::new(&[("viewer", Link::home(10_000, 50_000, 5.0)), ("seed", seed), ("player", player)]);
    let options = libtorrent::Options {
        place: net.place("seed"),
        listen: net.addr("seed", 6881),
        ..libtorrent::Options::default()
    };
    let seed = libtorrent::seed(&torrent, &options);
    let playswarm = Builder::stream(torrent.file())
        .place(net.place("viewer"), net.addr("viewer", 6881))
        .peers([seed.addr])
        .argument("--rtsp")
        .argument(&net.addr("viewer", 0).to_string())
        .start();
    let is_rtsp = |line: &str| line.strip_prefix("url: rtsp://").map(|rest| format!("rtsp://{rest}"));
    let url = playswarm.process.find_line(STARTUP, is_rtsp).unwrap();
    Some(Stage { playswarm, url, _seed: seed, net, _torrent: torrent, folder })
}

impl Stage {
    /// A program on the player's host that ends after two minutes in any case.
    fn command(&self, program: &str) -> Command {
        let mut command = self.net.place("player").command("timeout");
        command.args(["-k", "5", "120", program]).env("HOME", self.folder.path());
        command
    }

    fn port(&self) -> &str {
        self.url.strip_prefix("rtsp://").unwrap().split(['/', ':']).nth(1).unwrap()
    }

    /// Returns the number of connections that the RTSP server has.
    fn connections(&self) -> usize {
        let filter = format!("sport = :{}", self.port());
        let mut ss = self.net.place("viewer").command("ss");
        let output = ss.args(["-Htn", "state", "established", &filter]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).lines().count()
    }
}

#[test]
fn with_one_percent_loss_players_over_udp_show_nearly_all_pictures() {
    let lossy = Link { loss: 0.01, ..Link::home(10_000, 50_000, 5.0) };
    let Some(stage) = stage(20, Link::home(20_000, 20_000, 5.0), lossy, &["gst-launch-1.0"]) else { return };
    let source = format!("location={}", stage.url);
    let mut gstreamer = stage.command("gst-launch-1.0");
    gstreamer.args(["-q", "rtspsrc", &source, "protocols=udp", "latency=500", "!", "rtph264depay", "!"]);
    gstreamer.args(["avdec_h264", "!", "fakesink", "num-buffers=200"]);
    let mut gstreamer = Process::start("GStreamer", gstreamer);
    let mut ffmpeg = stage.command("ffmpeg");
    ffmpeg.args(["-v", "error", "-rtsp_transport", "udp", "-i", &stage.url, "-map", "0:v"]);
    ffmpeg.args(["-fps_mode", "passthrough", "-f", "framecrc", "-"]);
    let output = ffmpeg.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let pictures = text.lines().filter(|line| !line.starts_with('#')).count();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert!((475..=500).contains(&pictures), "{pictures} pictures of 500: {log}");
    assert!(gstreamer.wait(Duration::from_secs(60)).success());
    let lost = stage.net.traffic("player").lost_packets;
    assert!(lost > 20, "{lost} packets were lost");
}

/// A player that says its position.
struct Watched {
    name: &'static str,
    process: Process,
    parse: fn(&str) -> Option<f64>,
}

impl Watched {
    fn start(name: &'static str, command: Command, parse: fn(&str) -> Option<f64>) -> Watched {
        Watched { name, process: Process::start(name, command), parse }
    }

    /// Returns the last position in seconds. The player must run.
    #[track_caller]
    fn position(&mut self) -> f64 {
        if self.name == "VLC" {
            self.process.send("get_time");
            sleep(Duration::from_millis(300));
        }
        let ended = self.process.ended();
        assert!(ended.is_none(), "{} has ended: {ended:?}", self.name);
        let lines = self.process.stdout();
        lines.iter().rev().find_map(|line| (self.parse)(line)).unwrap_or(0.0)
    }
}

/// Says the position twice a second.
const MPV: &str = r#"
mp.add_periodic_timer(0.5, function() print(string.format("AT %.2f", mp.get_property_number("time-pos") or 0)) end)
"#;

/// Starts mpv, ffplay, VLC and GStreamer.
fn players(stage: &Stage) -> Vec<Watched> {
    let script = stage.folder.path().join("position.lua");
    std::fs::write(&script, MPV).unwrap();
    let after_at = |line: &str| line.split_once("AT ")?.1.trim().parse().ok();
    let mut mpv = stage.command("mpv");
    mpv.args(["--no-config", "--vo=null", "--ao=null", "--msg-level=all=warn,position=info"]);
    mpv.arg(format!("--script={}", script.display())).arg(&stage.url);

    let mut ffplay = stage.command("xvfb-run");
    let shell = "ffplay -v error -stats -rtsp_transport tcp \"$0\" 2>&1 | stdbuf -oL tr '\\r' '\\n'";
    ffplay.args(["-a", "sh", "-c", shell, &stage.url]).env("SDL_AUDIODRIVER", "dummy");

    // It refuses to run as root.
    let mut vlc = stage.command("setpriv");
    vlc.args(["--reuid=65534", "--regid=65534", "--clear-groups", "cvlc", "-I", "rc", "--rc-fake-tty"]);
    vlc.args(["--vout", "dummy", "--aout", "dummy", &stage.url]).env("HOME", "/nonexistent");

    let mut gstreamer = stage.command("/usr/bin/python3");
    gstreamer.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("rtsp/positions.py")).arg(&stage.url);
    vec![
        Watched::start("mpv", mpv, after_at),
        Watched::start("ffplay", ffplay, |line| line.split_once(" A-V")?.0.trim().parse().ok()),
        Watched::start("VLC", vlc, |line| line.trim_start_matches("> ").trim().parse().ok()),
        Watched::start("GStreamer", gstreamer, after_at),
    ]
}

#[test]
fn players_go_on_after_a_slow_swarm_has_stopped_for_fifteen_seconds() {
    // About two thirds of what the film takes, so that no player has anything ahead when the swarm stops.
    let slow = Link::home(800, 20_000, 5.0);
    let programs = ["mpv", "xvfb-run", "ffplay", "cvlc", "setpriv", "stdbuf"];
    let Some(stage) = stage(90, slow, Link::home(10_000, 50_000, 5.0), &programs) else { return };
    if !requirement::python_module("/usr/bin/python3", "gi") {
        return;
    }
    let mut players = players(&stage);
    let positions = |players: &mut [Watched]| players.iter_mut().map(Watched::position).collect::<Vec<f64>>();
    sleep(Duration::from_secs(18));
    let slow = positions(&mut players);
    stage.net.cut("seed");
    // What is on the way arrives, and then fifteen seconds without a byte.
    sleep(Duration::from_secs(3));
    let stopped = positions(&mut players);
    sleep(Duration::from_secs(15));
    let still = positions(&mut players);
    stage.net.set("seed", |link| (link.cut, link.up_kbit) = (false, 20_000));
    // TCP of the seed tries again after up to eight seconds, as it has waited for so long.
    sleep(Duration::from_secs(20));
    let end = positions(&mut players);
    let all = format!("{slow:?}, {stopped:?}, {still:?}, {end:?}");
    eprintln!("{all}");
    for (n, player) in players.iter().enumerate() {
        let name = player.name;
        assert!((3.0..16.0).contains(&slow[n]), "{name} plays what the swarm sends: {all}");
        assert!(end[n] > stopped[n] + 4.0, "{name} plays on: {all}");
        // The clock of ffplay runs on while it has nothing to play, and goes back then.
        match name {
            "ffplay" => assert!(end[n] < still[n] + 10.0, "{name} plays on: {all}"),
            _ => assert!(still[n] - stopped[n] < 4.0, "{name} has nothing to play: {all}"),
        }
    }
}

#[test]
fn a_pulled_cable_ends_the_sessions_behind_it() {
    let perfect = Link::home(20_000, 20_000, 5.0);
    let Some(stage) = stage(150, perfect, perfect, &["ss"]) else { return };
    // Over TCP, bytes are on the way when the cable is pulled, and TCP's probes do not run.
    let _playing = ["udp", "tcp"].map(|transport| {
        let mut ffmpeg = stage.command("ffmpeg");
        ffmpeg.args(["-v", "error", "-rtsp_transport", transport, "-re", "-i", &stage.url, "-f", "null", "-"]);
        Process::start("ffmpeg", ffmpeg)
    });
    // A connection without a request is closed after 60 seconds, one with a session is not.
    let mut paused = Client::new(&stage);
    let url = stage.url.clone();
    let answer = paused.ask("SETUP", &format!("{url}/track0"), "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n");
    assert!(answer.starts_with("RTSP/1.0 200"), "{answer}");
    playswarm_tests::wait_for("three connections and media", STARTUP, || {
        (stage.connections() == 3 && stage.net.traffic("player").received_bytes > 2_000_000).then_some(())
    });
    let readers = stage.playswarm.status().readers.len();
    assert!(readers >= 1, "{readers} readers");
    stage.net.cut("player");
    let cut = Instant::now();
    playswarm_tests::wait_for("the end of all connections", Duration::from_secs(120), || {
        (stage.connections() == 0).then_some(())
    });
    assert!(cut.elapsed() > Duration::from_secs(30), "a short interruption ends nothing");
    stage.playswarm.wait_status("the end of the reader", STARTUP, |status| status.readers.is_empty());
}

/// A client that sends what it is told to.
struct Client {
    socket: std::net::TcpStream,
    cseq: u32,
}

impl Client {
    fn new(stage: &Stage) -> Client {
        let addr = stage.net.addr("viewer", stage.port().parse().unwrap());
        let socket = stage.net.place("player").connect(addr, STARTUP).unwrap();
        socket.set_read_timeout(Some(STARTUP)).unwrap();
        Client { socket, cseq: 0 }
    }

    /// Returns the head of an answer.
    fn ask(&mut self, method: &str, url: &str, headers: &str) -> String {
        use std::io::{Read, Write};
        self.cseq += 1;
        write!(self.socket, "{method} {url} RTSP/1.0\r\nCSeq: {}\r\n{headers}\r\n", self.cseq).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }
}
