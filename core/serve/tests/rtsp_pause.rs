//! Players that pause for longer than any time-out of RTSP go on where they were.
#![allow(clippy::unwrap_used)]

mod common;

use common::rtsp::{Client, Stage, status};
use playswarm_serve::RtspConfig;
use playswarm_tests::requirement;
use std::process::Stdio;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// Length of a pause: longer than the time-out of 60 seconds that sessions state, and than the 90
/// seconds after which a client that is gone is given up.
/// `PLAYSWARM_TEST_PAUSE_S` sets another one.
fn pause() -> Duration {
    let given = std::env::var("PLAYSWARM_TEST_PAUSE_S").ok().map(|text| text.parse().unwrap());
    Duration::from_secs(given.unwrap_or(100))
}

/// Returns the next sequence number that an answer to PLAY states.
fn next_sequence(answer: &str) -> u16 {
    assert_eq!(status(answer), "200", "{answer}");
    answer.split(";seq=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap()
}

fn sequence(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[2], packet[3]])
}

/// Asserts that the next packets over TCP have no gap. Returns the number after the last one.
async fn without_gap(client: &mut Client, mut next: u16, packets: usize) -> u16 {
    for _ in 0..packets {
        let mut packet = client.unit().await.unwrap_err();
        while packet[1] == 200 {
            packet = client.unit().await.unwrap_err();
        }
        assert_eq!(sequence(&packet), next);
        next = next.wrapping_add(1);
    }
    next
}

async fn set_up(stage: &Stage, transport: &str) -> (Client, String) {
    let (url, mut client) = (stage.server.url(), stage.client().await);
    client.ask("DESCRIBE", &url, "").await;
    let headers = format!("User-Agent: Lavf59\r\nTransport: {transport}\r\n");
    let session = client.set_up(&format!("{url}/track0"), &headers).await;
    (client, format!("Session: {session}\r\n"))
}

/// Reads nothing, as mpv does.
async fn a_client_that_reads_nothing(stage: &Stage) {
    let (mut client, session) = set_up(stage, "RTP/AVP/TCP;unicast;interleaved=0-1").await;
    let next = next_sequence(&client.ask("PLAY", &stage.server.url(), &session).await);
    let next = without_gap(&mut client, next, 100).await;
    sleep(pause()).await;
    without_gap(&mut client, next, 1500).await;
}

async fn a_client_that_sends_pause(stage: &Stage) {
    let (mut client, session) = set_up(stage, "RTP/AVP/TCP;unicast;interleaved=0-1").await;
    let url = stage.server.url();
    let next = next_sequence(&client.ask("PLAY", &url, &session).await);
    let next = without_gap(&mut client, next, 100).await;
    assert_eq!(status(&client.ask("PAUSE", &url, &session).await), "200");
    sleep(pause()).await;
    let stated = next_sequence(&client.ask("PLAY", &url, &session).await);
    // What was on the way when PAUSE came has been skipped by this client.
    assert!(stated.wrapping_sub(next) < 2000, "{stated} after {next}");
    without_gap(&mut client, stated, 100).await;
}

async fn a_client_that_sends_pause_over_udp(stage: &Stage) {
    let media = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = media.local_addr().unwrap().port();
    let (mut client, session) = set_up(stage, &format!("RTP/AVP;unicast;client_port={port}-{}", port - 1)).await;
    let url = stage.server.url();
    let mut next = next_sequence(&client.ask("PLAY", &url, &session).await);
    let mut packet = [0; 2000];
    for n in 0.. {
        if n == 100 {
            assert_eq!(status(&client.ask("PAUSE", &url, &session).await), "200");
        }
        let Ok(received) = timeout(Duration::from_secs(1), media.recv(&mut packet)).await else { break };
        received.unwrap();
        assert_eq!(sequence(&packet), next);
        next = next.wrapping_add(1);
    }
    sleep(pause()).await;
    assert_eq!(next_sequence(&client.ask("PLAY", &url, &session).await), next);
    timeout(Duration::from_secs(20), media.recv(&mut packet)).await.unwrap().unwrap();
    assert_eq!(sequence(&packet), next);
}

/// Pauses after two seconds, and says where it is before, after the pause and two seconds later.
const SCRIPT: &str = r#"
local function say() print(string.format("STEP AT %.2f", mp.get_property_number("time-pos") or -1)) end
mp.register_event("file-loaded", function()
    mp.add_timeout(2, function() mp.set_property_bool("pause", true); say() end)
    mp.add_timeout(2 + PAUSE, function() say(); mp.set_property_bool("pause", false) end)
    mp.add_timeout(6 + PAUSE, function() say(); mp.commandv("quit", 0) end)
end)
"#;

async fn mpv(stage: &Stage) {
    if !requirement::program("mpv") {
        return;
    }
    let script = stage.folder.path().join("script.lua");
    std::fs::write(&script, SCRIPT.replace("PAUSE", &pause().as_secs().to_string())).unwrap();
    let mut mpv = Command::new("mpv");
    // It would read on for minutes into a cache.
    mpv.args(["--no-config", "--vo=null", "--ao=null", "--msg-level=all=warn,script=info", "--cache=no"]);
    mpv.args(["--rtsp-transport=tcp", &format!("--script={}", script.display()), &stage.server.url()]);
    mpv.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(pause() + Duration::from_secs(60), mpv.output()).await.expect("mpv ends").unwrap();
    let log = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    let at: Vec<f64> = log.lines().filter_map(|line| line.split_once(" AT ")?.1.trim().parse().ok()).collect();
    assert!(at.len() == 3 && !log.to_lowercase().contains("error"), "{log}");
    assert!((at[1] - at[0]).abs() < 0.3 && (at[1] + 1.0..at[1] + 5.0).contains(&at[2]), "{at:?}: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_beyond_every_timeout_and_without_a_request_loses_nothing() {
    let stage = Stage::new(RtspConfig::default()).await;
    tokio::join!(
        a_client_that_reads_nothing(&stage),
        a_client_that_sends_pause(&stage),
        a_client_that_sends_pause_over_udp(&stage),
        mpv(&stage),
    );
}
