//! Fast forward and backward over RTSP, from a swarm that is too slow for all pictures.
#![allow(clippy::unwrap_used)]

mod common;

use common::rtsp::{Client, Stage, clip, holder, status};
use playswarm::{Config, Session, Source};
use playswarm_serve::{RtspConfig, serve_rtsp};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Upload limit of the only peer in bytes per second: twice the rate of the clip.
const PEER_RATE: u64 = 450_000;

/// Reads the pictures up to the end of the stream. Returns their times in seconds since `start`.
async fn pictures(client: &mut Client, start: u32) -> Vec<f64> {
    let mut times: Vec<f64> = Vec::new();
    loop {
        let packet = client.unit().await.unwrap_err();
        if packet[1] == 200 {
            // The goodbye comes last.
            if packet[packet.len() - 7] == 203 {
                return times;
            }
            continue;
        }
        if packet[1] >> 7 == 1 {
            let time = u32::from_be_bytes(packet[4..8].try_into().unwrap());
            times.push(f64::from(time.wrapping_sub(start) as i32) / 90_000.0);
        }
    }
}

fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test(flavor = "multi_thread")]
async fn keyframes_alone_are_fetched_forward_and_backward() {
    let (folder, metainfo) = clip(Some(16 << 10)).await;
    let mut config = Config::offline(folder.path());
    config.upload_bytes_per_s = PEER_RATE;
    let (seed, seeded) = holder(config, &metainfo).await;
    let empty = tempfile::tempdir().unwrap();
    let mut config = Config::offline(empty.path());
    config.peers = vec![seed.listen_addr().unwrap().into()];
    let viewer = Session::new(config).await.unwrap();
    let torrent = viewer.open(Source::from(&metainfo)).await.unwrap();
    let server = serve_rtsp(torrent, 0, RtspConfig::default()).await.unwrap();

    let mut client = Client { socket: TcpStream::connect(server.addr()).await.unwrap(), cseq: 0 };
    let url = server.url();
    client.ask("DESCRIBE", &url, "").await;
    let headers = "User-Agent: GStreamer/1.22.0\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    let session = client.set_up(&format!("{url}/track0"), headers).await;
    for (range, scale, first, seconds) in
        [("npt=0-", "8", "0.000000-36.000000", 8.0), ("npt=36-", "-8", "34.000000-0.000000", 8.0)]
    {
        let begun = Instant::now();
        let play = format!("Session: {session}\r\nRange: {range}\r\nScale: {scale}\r\n");
        let answer = client.ask("PLAY", &url, &play).await;
        assert_eq!(field(&answer, "Scale"), Some(scale), "{answer}");
        assert_eq!(field(&answer, "Range"), Some(format!("npt={first}").as_str()), "{answer}");
        let start = answer.split(";rtptime=").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
        let times = pictures(&mut client, start).await;
        let expected: Vec<f64> = (0..18).map(|n| f64::from(n) * 0.25).collect();
        assert_eq!(times, expected, "all keyframes, each two seconds of the film");
        let took = begun.elapsed();
        // All of the film would take the peer 17 s.
        assert!(took > Duration::from_secs(4) && took < Duration::from_secs_f64(4.5 + seconds), "{took:?}");
    }
    drop(seeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn scales_that_are_not_honoured_are_not_answered() {
    let stage = Stage::new(RtspConfig::default()).await;
    for (url, scale, range, honoured) in [
        (stage.server.url() + "/track0", "2.0", "npt=4-", Some("2")),
        (stage.server.url() + "/track0", "1", "npt=4-", Some("1")),
        (stage.server.url() + "/track0", "1000", "npt=4-", None),
        (stage.server.url() + "/track0", "fast", "npt=4-", None),
        (stage.server.url() + "/track1", "4", "npt=4-", None),
        (stage.ts_url(), "4", "npt=4-", None),
    ] {
        let mut client = stage.client().await;
        client.ask("DESCRIBE", url.split("/track").next().unwrap(), "").await;
        let session = client.set_up(&url, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n").await;
        let play = format!("Session: {session}\r\nRange: {range}\r\nScale: {scale}\r\n");
        let answer = client.ask("PLAY", &url, &play).await;
        assert_eq!((status(&answer), field(&answer, "Scale")), ("200", honoured), "{url} {scale}: {answer}");
    }
    let mut client = stage.client().await;
    let url = stage.server.url() + "/track0";
    let session = client.set_up(&url, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n").await;
    for (range, scale) in [("npt=9-4", "2"), ("npt=4-9", "-2")] {
        let play = format!("Session: {session}\r\nRange: {range}\r\nScale: {scale}\r\n");
        assert_eq!(status(&client.ask("PLAY", &url, &play).await), "457", "{range} {scale}");
    }
}
