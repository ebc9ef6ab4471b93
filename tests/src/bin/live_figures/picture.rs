//! What people see: a film of FFmpeg's encoder, cast in real time, and mpv at the viewer. Its pictures
//! carry the time at which they were made.

use crate::crowd::{Crowd, PORT, host, with_options};
use crate::options::Options;
use anyhow::{Context, Result};
use playswarm_tests::figures::quantile;
use playswarm_tests::playswarm::Builder;
use playswarm_tests::process::Process;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longest wait for a picture.
const LONG: Duration = Duration::from_secs(30);
/// Time from the first picture to the one whose age is taken.
const LATER: Duration = Duration::from_secs(3);
/// Share of the channel's rate that the encoder aims at. The container and its peaks take the rest.
const VIDEO: f64 = 0.85;
const PICTURES_PER_S: f64 = 25.0;

/// Says when the first picture is there, and then the times of pictures as they are shown.
const SCRIPT: &str = r#"
mp.register_event("playback-restart", function()
    print("FRAME")
    mp.observe_property("time-pos/full", "native", function(_, at) if at then print(string.format("AT %.4f", at)) end end)
end)
"#;

/// What one start took, in seconds.
struct Start {
    /// From the start of `playswarm watch` to its URL, and to mpv's first picture.
    url: f64,
    picture: f64,
    /// Age of a picture that is shown.
    age: f64,
}

/// Starts viewers one after the other, and prints how long each step took.
pub(crate) fn run(options: &Options, starts: usize) -> Result<()> {
    let mut crowd = Crowd::new(options)?;
    let mut input = crowd.source.process.take_stdin();
    // Times of pictures count from here, in whole seconds.
    let zero = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut encoder = encode(options, zero)?;
    let mut film = encoder.stdout.take().context("piped")?;
    std::thread::spawn(move || std::io::copy(&mut film, &mut input));
    std::thread::sleep(Duration::from_secs(5));
    let mut took = Vec::new();
    for n in 0..starts {
        took.push(view(&crowd, zero)?);
        // The next one comes elsewhere between two keyframes.
        std::thread::sleep(Duration::from_secs_f64(options.keyframes * (n * 7 % 10) as f64 / 10.0));
    }
    encoder.kill()?;
    encoder.wait()?;
    let line = |what: &str, figure: fn(&Start) -> f64| {
        let values: Vec<f64> = took.iter().map(figure).collect();
        let [median, late, last] = [0.5, 0.95, 1.0].map(|share| quantile(&values, share));
        println!("| {what} | {median:.2} | {late:.2} | {last:.2} |");
    };
    println!("| {starts} starts, seconds | 50 % | 95 % | 100 % |\n|---|---:|---:|---:|");
    line("from `playswarm watch` to its URL", |start| start.url);
    line("to mpv's first picture", |start| start.picture);
    line("from a picture's making to its showing in mpv", |start| start.age);
    Ok(())
}

fn encode(options: &Options, zero: u64) -> Result<Child> {
    let kbit = options.rate as f64 * 8.0 / 1000.0 * VIDEO;
    let keyframes = (options.keyframes * PICTURES_PER_S).to_string();
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-re", "-f", "lavfi", "-i", &format!("testsrc2=size=320x180:rate={PICTURES_PER_S}")]);
    ffmpeg.arg("-vf").arg(format!("setpts=(RTCTIME/1000000-{zero})/TB"));
    ffmpeg.args(["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-x264-params", "scenecut=0"]);
    ffmpeg.args(["-g", &keyframes, "-b:v", &format!("{kbit}k"), "-maxrate", &format!("{kbit}k")]);
    ffmpeg.args(["-bufsize", &format!("{}k", kbit / 2.0), "-fps_mode", "passthrough", "-enc_time_base", "1:90000"]);
    ffmpeg.args(["-muxdelay", "0", "-muxpreload", "0", "-flush_packets", "1", "-f", "mpegts", "-"]);
    ffmpeg.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("FFmpeg did not start.")
}

fn view(crowd: &Crowd<'_>, zero: u64) -> Result<Start> {
    let (options, name) = (crowd.options, host(0));
    let place = crowd.net.place(&name);
    let begun = Instant::now();
    let builder = Builder::watch(&crowd.link).place(place.clone(), crowd.net.addr(&name, PORT));
    let mut program = with_options(options, builder, options.viewer_up(0)).spawn();
    let url = program.process.expect_line(0, LONG, |line| line.strip_prefix("url: ").map(str::to_owned));
    let url_s = begun.elapsed().as_secs_f64();
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("times.lua");
    std::fs::write(&script, SCRIPT)?;
    let mut command = place.command("mpv");
    command.args([
        "--no-config",
        "--vo=null",
        "--ao=null",
        "--rebase-start-time=no",
        "--msg-level=all=warn,times=info",
    ]);
    command.arg(format!("--script={}", script.display())).arg(url).env("HOME", folder.path());
    let mut mpv = Process::start("mpv", command);
    mpv.expect_line(0, LONG, |line| line.contains("FRAME").then_some(()));
    let picture = begun.elapsed().as_secs_f64();
    std::thread::sleep(LATER);
    let lines = mpv.stdout().len();
    let at: f64 = mpv.expect_line(lines, LONG, |line| line.split_once("AT ")?.1.trim().parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    mpv.kill9();
    program.process.interrupt();
    program.process.wait(LONG);
    Ok(Start { url: url_s, picture, age: now - zero as f64 - at })
}
