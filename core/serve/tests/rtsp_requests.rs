//! Requests over RTSP in odd forms and odd orders, which clients may send, and what they come to.
#![allow(clippy::unwrap_used)]

mod common;

use common::rtsp::{Client, LONG, Stage, status};
use playswarm_serve::RtspConfig;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

fn tcp(channels: &str) -> String {
    format!("Transport: RTP/AVP/TCP;unicast{channels}\r\n")
}

fn field<'a>(answer: &'a str, name: &str) -> &'a str {
    let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {name} in {answer}"))
}

/// Sets up pictures and sound. Returns the header that names the session.
async fn both(client: &mut Client, url: &str) -> String {
    client.ask("DESCRIBE", url, "").await;
    let session = client.set_up(&format!("{url}/track0"), &format!("User-Agent: Lavf59\r\n{}", tcp(""))).await;
    let session = format!("Session: {session}\r\n");
    client.set_up(&format!("{url}/track1"), &format!("{session}{}", tcp(""))).await;
    session
}

/// Reads this many packets of media, and returns their channels.
async fn channels(client: &mut Client, packets: usize) -> BTreeSet<u8> {
    let mut found = BTreeSet::new();
    for _ in 0..packets {
        let (channel, _) = timeout(LONG, client.frame()).await.unwrap().expect("a packet, not an answer");
        found.insert(channel);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_play_states_the_end_of_the_range_that_is_played() {
    let stage = Stage::new(RtspConfig::default()).await;
    let (url, mut client) = (stage.server.url(), stage.client().await);
    let session = both(&mut client, &url).await;
    let whole = client.ask("PLAY", &url, &session).await;
    let duration = field(&whole, "Range").strip_prefix("npt=0.000000-").unwrap().to_owned();
    for (range, end) in [
        ("npt=3-5.5", "5.500000"),
        ("npt=now-7", "7.000000"),
        ("npt=3-9999", &duration),
        ("npt=3-", &duration),
        ("npt=9999-", &duration),
    ] {
        let answer = client.ask("PLAY", &url, &format!("{session}Range: {range}\r\n")).await;
        assert_eq!(field(&answer, "Range").split('-').nth(1), Some(end), "{range}: {answer}");
    }
    let answer = client.ask("PLAY", &url, &format!("{session}Range: npt=9-4\r\nScale: -4\r\n")).await;
    assert!(field(&answer, "Range").ends_with("-4.000000"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_torn_down_leaves_the_others_and_the_last_one_ends_the_session() {
    let stage = Stage::new(RtspConfig::default()).await;
    let (url, mut client) = (stage.server.url(), stage.client().await);
    let session = both(&mut client, &url).await;
    client.ask("PLAY", &url, &session).await;
    assert_eq!(channels(&mut client, 200).await.len(), 4, "RTP and RTCP of both");
    let answer = client.ask("TEARDOWN", &format!("{url}/track1"), &session).await;
    assert!(status(&answer) == "200" && session.contains(field(&answer, "Session")), "{answer}");
    assert_eq!(channels(&mut client, 200).await.range(2..).count(), 0, "none of the sound");
    let answer = client.ask("PLAY", &url, &format!("{session}Range: npt=9-\r\n")).await;
    assert!(!field(&answer, "RTP-Info").contains("track1"), "{answer}");
    assert_eq!(status(&client.ask("TEARDOWN", &format!("{url}/track0"), &session).await), "200");
    assert!(stage.server.sessions().is_empty());
    assert_eq!(status(&client.ask("PLAY", &url, &session).await), "454");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_set_up_in_a_pause_is_played_after_it() {
    let stage = Stage::new(RtspConfig::default()).await;
    let (url, mut client) = (stage.server.url(), stage.client().await);
    client.ask("DESCRIBE", &url, "").await;
    let sound = format!("User-Agent: GStreamer\r\n{}", tcp(""));
    let session = client.set_up(&format!("{url}/track1"), &sound).await;
    let session = format!("Session: {session}\r\n");
    client.ask("PLAY", &url, &session).await;
    assert_eq!(channels(&mut client, 20).await, [2, 3].into());
    client.ask("PAUSE", &url, &session).await;
    client.set_up(&format!("{url}/track0"), &format!("{session}{}", tcp(""))).await;
    client.ask("PLAY", &url, &session).await;
    assert_eq!(channels(&mut client, 100).await, [0, 1, 2, 3].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_streams_share_a_channel() {
    let stage = Stage::new(RtspConfig::default()).await;
    let url = stage.server.url();
    for (first, second) in [("0-1", ";interleaved=0-1"), ("0-1", ";interleaved=1-2"), ("2-3", "")] {
        let mut client = stage.client().await;
        client.ask("DESCRIBE", &url, "").await;
        let own = format!(";interleaved={first}");
        let session = client.set_up(&format!("{url}/track0"), &tcp(&own)).await;
        let headers = format!("Session: {session}\r\n{}", tcp(second));
        let answer = client.ask("SETUP", &format!("{url}/track1"), &headers).await;
        let given = field(&answer, "Transport").split("interleaved=").nth(1).unwrap().split(';').next().unwrap();
        let pair = |text: &str| text.split('-').map(|channel| channel.parse().unwrap()).collect::<BTreeSet<u8>>();
        assert!(pair(first).is_disjoint(&pair(given)), "{first} and {second}: {given}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_line_ends_letters_and_encodings_are_understood() {
    let stage = Stage::new(RtspConfig::default()).await;
    let (url, mut client) = (stage.server.url(), stage.client().await);
    let describe = format!("DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\n");
    for more in [
        b"Accept: Application/SDP\r\n\r\n".as_slice(),
        b"User-Agent: Caf\xe9\r\n\r\n",
        b"X: y\n\r\n",
        b"X: y\r\n\n",
        b"X: y\n\n",
        b"X:\r\n y\r\n\tz\r\n\r\n",
    ] {
        client.socket.write_all(&[describe.as_bytes(), more].concat()).await.unwrap();
        let answer = timeout(Duration::from_secs(20), client.answer()).await.expect("an answer").0;
        assert!(status(&answer) == "200" && answer.contains("m=video"), "{more:?}: {answer}");
    }
}
