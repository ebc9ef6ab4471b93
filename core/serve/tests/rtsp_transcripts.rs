//! The requests of clients that cannot run in a test, one after another as they send them: VLC with
//! live555, ExoPlayer, and set-top boxes that take a transport stream.
#![allow(clippy::unwrap_used)]

mod common;

use common::rtsp::{Client, LONG, Stage, status};
use md5::{Digest, Md5};
use playswarm_serve::RtspConfig;
use tokio::net::UdpSocket;
use tokio::time::timeout;

fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Returns the start of `Range` in seconds.
fn start(answer: &str) -> f64 {
    field(answer, "Range").unwrap().strip_prefix("npt=").unwrap().split('-').next().unwrap().parse().unwrap()
}

/// Returns the entries of `RTP-Info` as URL, sequence number and timestamp.
fn info(answer: &str) -> Vec<(String, u16, u32)> {
    let entries = field(answer, "RTP-Info").unwrap().split(',');
    entries
        .map(|entry| {
            let part = |name: &str| entry.split(';').find_map(|part| part.strip_prefix(name)).unwrap().to_owned();
            (part("url="), part("seq=").parse().unwrap(), part("rtptime=").parse().unwrap())
        })
        .collect()
}

/// Two sockets of a client for one stream.
struct Ports {
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

impl Ports {
    async fn new() -> Ports {
        let bind = || UdpSocket::bind("127.0.0.1:0");
        Ports { rtp: bind().await.unwrap(), rtcp: bind().await.unwrap() }
    }

    fn header(&self) -> String {
        let [rtp, rtcp] = [&self.rtp, &self.rtcp].map(|socket| socket.local_addr().unwrap().port());
        format!("Transport: RTP/AVP;unicast;client_port={rtp}-{rtcp}\r\n")
    }

    /// Waits for a packet of media, and returns its sequence number and timestamp.
    async fn packet(&self) -> (u16, u32) {
        let mut packet = [0; 2000];
        timeout(LONG, self.rtp.recv(&mut packet)).await.unwrap().unwrap();
        (u16::from_be_bytes([packet[2], packet[3]]), u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]))
    }

    /// Waits for the packet with which an answer to PLAY says that the stream continues.
    async fn begins(&self, (_, sequence, _): &(String, u16, u32)) -> u32 {
        loop {
            let (found, time) = self.packet().await;
            if found == *sequence {
                return time;
            }
        }
    }
}

fn hash(text: &str) -> String {
    format!("{:032x}", u128::from_be_bytes(Md5::digest(text.as_bytes()).into()))
}

#[tokio::test(flavor = "multi_thread")]
async fn vlc_with_live555_authenticates_plays_jumps_pauses_and_speeds_up() {
    let mut config = RtspConfig::default();
    config.token = Some("S3cret".into());
    let stage = Stage::new(config).await;
    let url = stage.server.url().replace("~S3cret/", "");
    let mut client = stage.client().await;
    let agent = "User-Agent: LibVLC/3.0.20 (LIVE555 Streaming Media v2016.11.28)\r\n";
    let answer = client.ask("OPTIONS", &url, agent).await;
    assert!(field(&answer, "Public").unwrap().contains("GET_PARAMETER"), "{answer}");
    let accepts = format!("{agent}Accept: application/sdp\r\n");
    let answer = client.ask("DESCRIBE", &url, &accepts).await;
    assert_eq!(status(&answer), "401");
    // It takes the first challenge of Digest, and knows no `qop`.
    let challenge = field(&answer, "WWW-Authenticate").unwrap();
    let nonce = challenge.strip_prefix("Digest realm=\"playswarm\", nonce=\"").unwrap().strip_suffix('"').unwrap();
    let secret = hash("playswarm:playswarm:S3cret");
    let proof = |method: &str| {
        let response = hash(&format!("{secret}:{nonce}:{}", hash(&format!("{method}:{url}/"))));
        format!(
            "Authorization: Digest username=\"playswarm\", realm=\"playswarm\", nonce=\"{nonce}\", uri=\"{url}/\", response=\"{response}\"\r\n{agent}"
        )
    };
    let answer = client.ask("DESCRIBE", &url, &(proof("DESCRIBE") + "Accept: application/sdp\r\n")).await;
    assert!(answer.contains("a=range:npt=0-36"), "without a range it neither jumps nor pauses: {answer}");
    let (video, sound) = (Ports::new().await, Ports::new().await);
    let answer = client.ask("SETUP", &format!("{url}/track0"), &(proof("SETUP") + &video.header())).await;
    let session = field(&answer, "Session").unwrap().split(';').next().unwrap();
    let ports = answer.split("server_port=").nth(1).unwrap().split(';').next().unwrap();
    let reports: u16 = ports.split('-').nth(1).unwrap().parse().unwrap();
    let in_session = |method: &str, more: &str| format!("{}Session: {session}\r\n{more}", proof(method));
    client.ask("SETUP", &format!("{url}/track1"), &in_session("SETUP", &sound.header())).await;
    let answer = client.ask("PLAY", &format!("{url}/"), &in_session("PLAY", "Range: npt=0.000-\r\n")).await;
    let streams = info(&answer);
    // It reads the entries by their order.
    let urls: Vec<String> = streams.iter().map(|(url, ..)| url.clone()).collect();
    assert_eq!(urls, [format!("{url}/track0"), format!("{url}/track1")]);
    assert!(start(&answer) == 0.0 && field(&answer, "Scale").is_none(), "{answer}");
    video.begins(&streams[0]).await;
    sound.begins(&streams[1]).await;
    // A report keeps the session, and each request does.
    video.rtcp.send_to(&[0x80, 201, 0, 1, 0, 0, 0, 9], ("127.0.0.1", reports)).await.unwrap();
    assert_eq!(status(&client.ask("GET_PARAMETER", &url, &in_session("GET_PARAMETER", "")).await), "200");
    // A jump.
    assert_eq!(status(&client.ask("PAUSE", &url, &in_session("PAUSE", "")).await), "200");
    let answer = client.ask("PLAY", &url, &in_session("PLAY", "Range: npt=20.500-\r\n")).await;
    assert_eq!(start(&answer), 20.0, "{answer}");
    let streams = info(&answer);
    assert_eq!(video.begins(&streams[0]).await, streams[0].2);
    // A pause, after which PLAY has no range.
    assert_eq!(status(&client.ask("PAUSE", &url, &in_session("PAUSE", "")).await), "200");
    let answer = client.ask("PLAY", &url, &in_session("PLAY", "")).await;
    assert!((20.0..22.0).contains(&start(&answer)), "{answer}");
    video.begins(&info(&answer)[0]).await;
    // Another rate. It takes an answer without the scale for a refusal.
    let answer = client.ask("PLAY", &url, &in_session("PLAY", "Scale: 2.000000\r\n")).await;
    assert!(field(&answer, "Scale") == Some("2") && (20.0..24.0).contains(&start(&answer)), "{answer}");
    video.begins(&info(&answer)[0]).await;
    let answer = client.ask("PLAY", &url, &in_session("PLAY", "Scale: 1.000000\r\n")).await;
    assert_eq!(field(&answer, "Scale"), Some("1"), "{answer}");
    video.begins(&info(&answer)[0]).await;
    assert_eq!(status(&client.ask("TEARDOWN", &url, &in_session("TEARDOWN", "")).await), "200");
    assert_eq!(stage.server.sessions().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn exoplayer_gives_up_udp_and_jumps_over_tcp_with_and_without_a_pause() {
    let stage = Stage::new(RtspConfig::default()).await;
    let url = stage.server.url();
    let agent = "User-Agent: AndroidXMedia3/1.4.1\r\n";
    // No datagram reaches it, so it begins anew over TCP.
    let mut client = stage.client().await;
    client.ask("OPTIONS", &url, agent).await;
    let answer = client.ask("DESCRIBE", &url, agent).await;
    assert!(answer.contains("sprop-parameter-sets=") && answer.contains("profile-level-id="), "{answer}");
    let base = field(&answer, "Content-Base").unwrap().to_owned();
    let session = client.set_up(&format!("{base}track0"), &(agent.to_owned() + &Ports::new().await.header())).await;
    client.ask("TEARDOWN", &url, &format!("{agent}Session: {session}\r\n")).await;
    drop(client);

    let mut client = stage.client().await;
    client.ask("OPTIONS", &url, agent).await;
    client.ask("DESCRIBE", &url, agent).await;
    let interleaved = |stream: u8| {
        let (rtp, rtcp) = (stream * 2, stream * 2 + 1);
        format!("{agent}Transport: RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}\r\n")
    };
    let session = client.set_up(&format!("{base}track0"), &interleaved(0)).await;
    let in_session = format!("{agent}Session: {session}\r\n");
    let answer = client.ask("SETUP", &format!("{base}track1"), &(in_session.clone() + &interleaved(1))).await;
    assert_eq!(status(&answer), "200", "{answer}");
    let answer = client.ask("PLAY", &url, &format!("{in_session}Range: npt=0.000-\r\n")).await;
    // It must have the timing of each stream.
    assert!(info(&answer).len() == 2 && start(&answer) == 0.0, "{answer}");
    for (n, to) in [12.345, 30.0, 3.21, 3.3, 25.0].into_iter().enumerate() {
        if n % 2 == 0 {
            assert_eq!(status(&client.ask("PAUSE", &url, &in_session).await), "200");
        }
        let answer = client.ask("PLAY", &url, &format!("{in_session}Range: npt={to:.3}-\r\n")).await;
        assert_eq!(start(&answer), (to / 2.0_f64).floor() * 2.0, "{answer}");
        let (_, sequence, time) = info(&answer)[0].clone();
        let first = loop {
            // Skips reports, and the sound.
            let packet = client.unit().await.unwrap_err();
            if packet[1] & 0x7f == 96 {
                break packet;
            }
        };
        assert_eq!((&first[2..4], &first[4..8]), (&sequence.to_be_bytes()[..], &time.to_be_bytes()[..]));
    }
    assert_eq!(status(&client.ask("TEARDOWN", &url, &in_session).await), "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_top_box_takes_a_transport_stream_and_asks_for_its_position() {
    let stage = Stage::new(RtspConfig::default()).await;
    let url = stage.ts_url();
    let mut client: Client = stage.client().await;
    let answer = client.ask("DESCRIBE", &url, "Accept: application/sdp, application/x-rtsp-mh\r\n").await;
    assert!(answer.contains("m=video 0 RTP/AVP 33\r\n"), "{answer}");
    let media = Ports::new().await;
    // It prefers transports without RTP.
    let transport = media.header().replace("Transport: ", "Transport: MP2T/H2221/UDP;unicast;client_port=5000,");
    let session = client.set_up(&url, &(transport + "x-playNow:\r\n")).await;
    let in_session = |more: &str| format!("Session: {session}\r\n{more}");
    let answer = client.ask("PLAY", &url, &in_session("Range: npt=0-\r\nScale: 1.0\r\n")).await;
    assert!(status(&answer) == "200" && field(&answer, "Scale").is_none(), "{answer}");
    media.begins(&info(&answer)[0]).await;
    let position = "Content-Type: text/parameters\r\nContent-Length: 10\r\n\r\nposition\r\n";
    client.cseq += 1;
    let request = format!("GET_PARAMETER {url} RTSP/1.0\r\nCSeq: {}\r\nSession: {session}\r\n{position}", client.cseq);
    tokio::io::AsyncWriteExt::write_all(&mut client.socket, request.as_bytes()).await.unwrap();
    assert_eq!(status(&client.answer().await.0), "200");
    // Times within a transport stream are the film's, so it cannot run faster.
    let answer = client.ask("PLAY", &url, &in_session("Range: npt=now-\r\nScale: 8\r\n")).await;
    assert!(status(&answer) == "200" && field(&answer, "Scale").is_none(), "{answer}");
    let answer = client.ask("PLAY", &url, &in_session("Range: npt=0:00:24-\r\n")).await;
    assert_eq!(start(&answer), 24.0, "{answer}");
    media.begins(&info(&answer)[0]).await;
    assert_eq!(status(&client.ask("PAUSE", &url, &in_session("")).await), "200");
    assert_eq!(status(&client.ask("TEARDOWN", &url, &in_session("")).await), "200");
}
