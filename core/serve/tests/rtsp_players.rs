//! The RTSP server with the players that come with a display, in Python or from GStreamer, and what an analyser of
//! networks finds in its datagrams. Those that are programs alone are in `rtsp.rs`.
#![allow(clippy::unwrap_used)]

mod common;

use common::rtsp::{LONG, Stage, run};
use playswarm_serve::RtspConfig;
use playswarm_tests::requirement;
use rustix::process::{Pid, Signal, kill_process};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// Returns the path of a script beside this file.
fn script(name: &str) -> String {
    format!("{}/tests/players/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Returns the Python of the tests, which has the modules of `tests/python/requirements.txt`.
fn python() -> String {
    playswarm_tests::peers::libtorrent::python().to_string_lossy().into_owned()
}

/// Returns what a script for Python prints.
async fn said(python: &str, name: &str, args: &[&str]) -> String {
    let output = run(python, &[&[script(name).as_str()], args].concat()).await;
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {args:?}: {text} {errors}");
    text.into_owned()
}

/// Asserts that a position lies up to four seconds after a time.
#[track_caller]
fn near(at: f64, least: f64, all: &[f64]) {
    assert!((least..least + 4.0).contains(&at), "{at} is not at {least} or soon after: {all:?}");
}

async fn ffplay_plays(transport: &str) {
    if !["xvfb-run", "xdotool", "ffplay"].into_iter().all(requirement::program) {
        return;
    }
    let stage = Stage::new(RtspConfig::default()).await;
    let mut command = Command::new("xvfb-run");
    command.args(["-a", "-e", "/dev/stderr", "sh", &script("ffplay.sh"), transport, &stage.server.url()]);
    command.env("SDL_AUDIODRIVER", "dummy").stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(LONG, command.output()).await.expect("ffplay ends").unwrap();
    let log = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && log.contains("A-V"), "{log}");
    let position = |line: &str| line.split_once(" A-V")?.0.trim().parse().ok();
    // It is silent while it is paused.
    let mut last = f64::NAN;
    let mut after = |part: &str| {
        last = part.split(['\r', '\n']).filter_map(position).next_back().unwrap_or(last);
        last
    };
    let at: Vec<f64> = log.split("MARK").map(&mut after).collect();
    assert!(at.len() == 6, "{log}");
    near(at[0], 0.2, &at);
    assert!(at[1] - at[0] < 0.5, "it moved while it was paused: {at:?}");
    near(at[2], at[1] + 0.2, &at);
    near(at[3], at[2] + 10.0, &at);
    // Two seconds after a jump that follows a pause, ffplay has hardly moved on yet.
    near(at[4], at[3] - 10.3, &at);
}

#[tokio::test(flavor = "multi_thread")]
async fn ffplay_plays_pauses_and_jumps_over_tcp() {
    ffplay_plays("tcp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ffplay_plays_pauses_and_jumps_over_udp() {
    ffplay_plays("udp").await;
}

async fn gstreamer_plays(protocol: &str) {
    // Debian's package is for Debian's Python, which need not be the first one.
    let python = "/usr/bin/python3";
    if !requirement::python_module(python, "gi") {
        return;
    }
    let stage = Stage::new(RtspConfig::default()).await;
    let text = said(python, "gstreamer.py", &[&stage.server.url(), protocol, "20.5", "5.3"]).await;
    let at: Vec<f64> = text.lines().filter_map(|line| line.strip_prefix("AT ")?.parse().ok()).collect();
    assert_eq!(at.len(), 6, "{text}");
    near(at[0], 0.2, &at);
    assert!((at[2] - at[1]).abs() < 0.1, "it moved while it was paused: {at:?}");
    near(at[3], at[2] + 0.2, &at);
    // A seek without precision begins at a keyframe, each two seconds.
    near(at[4], 20.1, &at);
    near(at[5], 4.1, &at);
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_pauses_and_jumps_over_tcp() {
    gstreamer_plays("tcp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_pauses_and_jumps_over_udp() {
    gstreamer_plays("udp").await;
}

/// Asserts that a line of PyAV agrees with that of the file. FFmpeg loses the time of the first picture over RTSP.
#[track_caller]
fn same_picture(found: &str, expected: &str, place: &str) {
    let (time, hash) = found.split_once(' ').unwrap_or(("None", found));
    let (right, picture) = expected.split_once(' ').unwrap_or(("None", expected));
    assert_eq!(hash, picture, "{place}");
    let distance = time.parse::<f64>().ok().zip(right.parse::<f64>().ok()).map(|(a, b)| (a - b).abs());
    // One tick of 90 kHz.
    assert!(distance.is_none_or(|distance| distance < 1.0 / 90_000.0), "{place}: {found}, {expected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pyav_decodes_the_pictures_of_the_file_with_their_times() {
    if !requirement::python_module(&python(), "av") {
        return;
    }
    let stage = Stage::new(RtspConfig::default()).await;
    // All over the film, in no order.
    let jumps: Vec<String> = (1..=100).map(|n| format!("{:.2}", f64::from(n * 7919 % 3400) / 100.0)).collect();
    let jumps: Vec<&str> = jumps.iter().map(String::as_str).collect();
    let expected = said(&python(), "pyav.py", &[&[stage.file().to_str().unwrap(), "tcp"], &jumps[..]].concat()).await;
    assert_eq!(expected.lines().count(), 605);
    // Over UDP, FFmpeg decodes first what its socket still has from before a jump.
    for (url, transport, jumps) in [
        (stage.server.url(), "tcp", &jumps[..]),
        (stage.ts_url(), "tcp", &jumps[..3]),
        (stage.server.url(), "udp", &[]),
    ] {
        let found = said(&python(), "pyav.py", &[&[url.as_str(), transport], jumps].concat()).await;
        let mut timed = 0;
        for (n, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
            same_picture(found, expected, &format!("{url} over {transport}, line {n}"));
            timed += usize::from(found.starts_with(|c: char| c.is_ascii_digit()));
        }
        assert_eq!(found.lines().count(), 5 + jumps.len() * 6);
        assert!(timed >= 4 * (1 + jumps.len()), "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn opencv_decodes_the_pictures_of_the_file() {
    if !requirement::python_module(&python(), "cv2") {
        return;
    }
    let stage = Stage::new(RtspConfig::default()).await;
    let jumps = ["20.5", "5.3"];
    let expected = said(&python(), "opencv.py", &[&[stage.file().to_str().unwrap(), "tcp"], &jumps[..]].concat()).await;
    // OpenCV jumps by the times of pictures. Over TCP, that of the first one is missing (see PyAV), and it reads on to
    // the end of the film. A transport stream has times of its own.
    for (url, transport, jumps) in
        [(stage.server.url(), "tcp", &[][..]), (stage.server.url(), "udp", &[]), (stage.ts_url(), "tcp", &jumps)]
    {
        let found = said(&python(), "opencv.py", &[&[url.as_str(), transport], jumps].concat()).await;
        assert_eq!(found.lines().count(), 5 + jumps.len() * 6);
        assert!(expected.starts_with(&found), "{url} over {transport}: {found}, {expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tshark_finds_no_packet_lost_or_out_of_order() {
    if !["tshark", "ffmpeg"].into_iter().all(requirement::program) || !requirement::root() {
        return;
    }
    let mut config = RtspConfig::default();
    // An address that no other test uses, so that only this server's packets are seen.
    config.listen = SocketAddr::from(([127, 9, 41, 7], 0));
    let stage = Stage::new(config).await;
    let file = stage.folder.path().join("packets.pcapng");
    let mut capture = Command::new("tshark");
    capture.args(["-i", "lo", "-f", "host 127.9.41.7", "-q", "-w", file.to_str().unwrap()]);
    let mut capture = capture.stderr(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let mut log = BufReader::new(capture.stderr.take().unwrap()).lines();
    while let Some(line) = timeout(LONG, log.next_line()).await.unwrap().unwrap() {
        if line.contains("Capture started") {
            break;
        }
    }
    let input = ["-v", "error", "-rtsp_transport", "udp", "-i", &stage.server.url(), "-t", "8", "-f", "null", "-"];
    assert!(run("ffmpeg", &input).await.status.success());
    // What the kernel still holds.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let tshark = Pid::from_raw(capture.id().unwrap() as i32).unwrap();
    kill_process(tshark, Signal::INT).unwrap();
    timeout(LONG, capture.wait()).await.unwrap().unwrap();

    let port = format!("tcp.port=={},rtsp", stage.server.addr().port());
    let read = ["-r", file.to_str().unwrap(), "-d", &port];
    let output = run("tshark", &[&read[..], &["-q", "-z", "rtp,streams"]].concat()).await;
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    // Times, both addresses with their ports, number, format, packets, lost.
    let rows = table.lines().filter(|line| line.contains("RTPType-")).map(|line| line.split_whitespace().collect());
    let rows: Vec<Vec<&str>> = rows.collect();
    assert_eq!(rows.len(), 2, "{table}");
    for row in rows {
        assert!(row[8].parse::<u32>().unwrap() > 100 && row[9..11] == ["0", "(0.0%)"], "{table}");
    }
    // A packet that comes after the player has closed its port is repeated in the answer (ICMP).
    let fields = ["-Y", "rtp.ssrc != 0 && !icmp", "-T", "fields", "-e", "rtp.ssrc", "-e", "rtp.seq"];
    let output = run("tshark", &[&read[..], &fields].concat()).await;
    let mut last = std::collections::BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let (stream, number) = line.split_once('\t').unwrap();
        let number: u16 = number.parse().unwrap();
        let previous = last.insert(stream.to_owned(), number);
        assert!(previous.is_none_or(|previous| number == previous.wrapping_add(1)), "{stream}: {previous:?}, {number}");
    }
    assert_eq!(last.len(), 2);
}
