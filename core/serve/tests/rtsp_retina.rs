//! retina, an RTSP client in Rust that shares nothing with ours, reads what the server sends.
#![allow(clippy::unwrap_used)]

mod common;

use common::rtsp::{LONG, Stage};
use futures_util::StreamExt;
use playswarm_serve::RtspConfig;
use retina::client::{PlayOptions, Session, SessionOptions, SetupOptions, Transport};
use retina::codec::CodecItem;

/// Plays the clip for this many seconds of its time. Returns the times of pictures and of sound.
async fn play(url: &str, transport: &Transport, until_s: f64) -> (Vec<f64>, Vec<f64>) {
    let mut session = Session::describe(url.parse().unwrap(), SessionOptions::default()).await.unwrap();
    let kinds: Vec<String> = session.streams().iter().map(|stream| stream.media().to_owned()).collect();
    assert_eq!(kinds, ["video", "audio"]);
    for stream in 0..kinds.len() {
        session.setup(stream, SetupOptions::default().transport(transport.clone())).await.unwrap();
    }
    let mut playing = session.play(PlayOptions::default()).await.unwrap().demuxed().unwrap();
    let (mut pictures, mut sound) = (Vec::new(), Vec::new());
    loop {
        match playing.next().await.expect("the film is longer").unwrap() {
            CodecItem::VideoFrame(frame) => {
                assert_eq!(frame.loss(), 0);
                assert!(!pictures.is_empty() || frame.is_random_access_point(), "it begins with a keyframe");
                pictures.push(frame.timestamp().elapsed_secs());
            }
            CodecItem::AudioFrame(frame) => {
                assert_eq!(frame.loss(), 0);
                sound.push(frame.timestamp().elapsed_secs());
            }
            _ => {}
        }
        if pictures.last().is_some_and(|at| *at >= until_s) && sound.last().is_some_and(|at| *at >= until_s) {
            return (pictures, sound);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retina_gets_every_picture_and_all_sound_over_both_transports() {
    let stage = Stage::new(RtspConfig::default()).await;
    for transport in ["tcp", "udp"] {
        let (url, by) = (stage.server.url(), transport.parse().unwrap());
        let (pictures, sound) = tokio::time::timeout(LONG, play(&url, &by, 3.0)).await.expect("it plays in time");
        // Sound comes in order, and pictures in that of decoding.
        assert!(sound.windows(2).all(|pair| pair[0] < pair[1]), "{transport}: {sound:?}");
        let mut shown = pictures.clone();
        shown.sort_by(f64::total_cmp);
        // Those that are shown before the last one that came may still be on the way.
        shown.retain(|at| *at < 2.7);
        let steps: Vec<f64> = shown.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let step = steps[steps.len() / 2];
        assert!(shown.len() as f64 >= 2.6 / step, "{transport}: {} pictures, one each {step} s", shown.len());
        assert!(steps.iter().all(|other| (other - step).abs() < 0.01), "{transport}: a picture is missing: {steps:?}");
    }
}
