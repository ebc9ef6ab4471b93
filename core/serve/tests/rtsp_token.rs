//! The token of the RTSP server: in the path, and as a password by Basic and Digest.
#![allow(clippy::unwrap_used)]

mod common;

use common::rtsp::{Stage, gstreamer_decodes, pictures, run, status};
use playswarm_serve::RtspConfig;
use playswarm_tests::requirement;

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_needed_by_path_or_by_password() {
    let mut config = RtspConfig::default();
    config.token = Some("S3cret".into());
    let stage = Stage::new(config).await;
    let (url, mut client) = (stage.server.url(), stage.client().await);
    assert!(url.contains("/~S3cret/0/"), "{url}");
    let bare = url.replace("~S3cret/", "");
    assert_eq!(status(&client.ask("OPTIONS", &bare, "").await), "200");
    let answer = client.ask("DESCRIBE", &bare, "").await;
    assert!(status(&answer) == "401" && answer.contains("WWW-Authenticate: Digest "), "{answer}");
    assert_eq!(status(&client.ask("DESCRIBE", &url.replace("S3cret", "S3cre"), "").await), "401");
    assert!(answer.contains("WWW-Authenticate: Basic ") && !answer.contains("S3cret"), "{answer}");
    let methods = "SETUP PLAY PAUSE TEARDOWN GET_PARAMETER SET_PARAMETER ANNOUNCE RECORD REDIRECT FLY";
    for method in methods.split(' ') {
        for session in ["", "Session: 0\r\n"] {
            assert_eq!(status(&client.ask(method, &bare, session).await), "401", "{method}");
        }
    }
    assert_eq!(status(&client.ask("DESCRIBE", &url.to_lowercase(), "").await), "200");
    // `playswarm:S3cret`
    assert_eq!(
        status(&client.ask("DESCRIBE", &bare, "Authorization: Basic cGxheXN3YXJtOlMzY3JldA==\r\n").await),
        "200"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn players_use_digest() {
    if !requirement::program("ffmpeg") || !requirement::program("gst-launch-1.0") {
        return;
    }
    let mut config = RtspConfig::default();
    config.token = Some("S3cret".into());
    let stage = Stage::new(config).await;
    let bare = stage.server.url().replace("~S3cret/", "");
    let with = |password: &str| bare.replace("rtsp://", &format!("rtsp://playswarm:{password}@"));
    let expected = pictures(&[], stage.file().to_str().unwrap(), "30").await;
    for transport in ["tcp", "udp", "http"] {
        let found = pictures(&["-rtsp_transport", transport], &with("S3cret"), "30").await;
        assert_eq!(found, expected, "{transport}");
    }
    for password in ["s3cret", "x"] {
        let url = with(password);
        let args = ["-v", "error", "-rtsp_transport", "tcp", "-i", &url, "-frames:v", "1", "-f", "null", "-"];
        assert!(!run("ffmpeg", &args).await.status.success(), "{password}");
    }
    for (protocol, password, pictures) in [("tcp", "S3cret", 40), ("udp", "S3cret", 40), ("tcp", "x", 0)] {
        let [source, protocols] = [format!("location={}", with(password)), format!("protocols={protocol}")];
        let (found, text) = gstreamer_decodes(&[&source, &protocols], 40).await;
        assert_eq!(found, pictures, "{protocol}: {text}");
        assert_eq!(text.contains("Unauthorized"), pictures == 0, "{text}");
    }
}
