//! Live channels by the program, with FFmpeg as the encoder and real players.
#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{OFFLINE, Serving, playswarm, run};
use playswarm_tests::browser::Browser;
use playswarm_tests::{requirement, wait_for};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest time between Ctrl-C and the end of the program.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Encodes a picture with sound in real time, in a container for `-f`, to standard output.
fn encoder(seconds: u32, more: &[&str]) -> Child {
    Command::new("ffmpeg")
        .args(["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25", "-re", "-f", "lavfi"])
        .args(["-i", "sine", "-t", &seconds.to_string()])
        .args(more)
        .arg("-")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

const TS: [&str; 9] = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-f", "mpegts", "-y"];

/// A cast of what an encoder makes, and the link that it printed.
fn cast(dir: &Path, encoder: &mut Child, more: &[&str]) -> Serving {
    let mut child = playswarm(dir, &[&["cast", "--rate", "100k"][..], more, &OFFLINE].concat())
        .stdin(encoder.stdout.take().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    Serving { child, line: line.trim_end().to_owned() }
}

fn link(cast: &Serving) -> String {
    cast.line.strip_prefix("link: ").expect("a link is printed").to_owned()
}

fn url(watch: &Serving) -> String {
    watch.line.strip_prefix("url: ").expect("a URL is printed").to_owned()
}

fn watch(dir: &Path, command: &[&str]) -> Serving {
    Serving::start(dir, &[command, &OFFLINE].concat())
}

fn interrupt(mut serving: Serving) {
    let asked = Instant::now();
    Command::new("kill").args(["-INT", &serving.child.id().to_string()]).status().unwrap();
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
    assert!(asked.elapsed() < ENDS_WITHIN, "{:?}", asked.elapsed());
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn what_ffmpeg_encodes_is_played_by_viewers_that_know_only_the_link() {
    if !requirement::program("ffmpeg") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut ffmpeg = encoder(40, &TS);
    let cast = cast(dir.path(), &mut ffmpeg, &["--name", "Test"]);
    let link = link(&cast);
    assert!(link.starts_with("playswarm:") && link.contains("?at=127.0.0.1%3A"), "{link}");
    let first = watch(dir.path(), &["watch", &link]);
    // `stream` takes links to channels as well.
    let second = watch(dir.path(), &["stream", &link, "--token", "geheim"]);
    let [one, two] = [url(&first), url(&second)];
    assert!(one.ends_with("/live.ts") && two.ends_with("/live.ts?token=geheim"), "{one} {two}");

    // From a keyframe on, without an error.
    for url in [&one, &two] {
        let output = Command::new("ffmpeg").args(["-v", "error", "-i", url, "-t", "4", "-f", "null", "-"]).output();
        let output = output.unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{url}: {}", said(&output));
    }
    if requirement::program("mpv") {
        let mpv = Command::new("mpv")
            .args(["--no-config", "--vo=null", "--ao=null", "--frames=75", "--msg-level=all=error", &one])
            .output()
            .unwrap();
        assert!(mpv.status.success() && mpv.stderr.is_empty(), "{}", said(&mpv));
    }
    if requirement::program("curl") {
        let head = Command::new("curl").args(["-sSI", "-r", "0-", &one]).output().unwrap();
        let head = said(&head).to_ascii_lowercase();
        for line in ["http/1.1 200 ok", "content-type: video/mp2t", "accept-ranges: none", "cache-control: no-store"] {
            assert!(head.contains(line), "{line}: {head}");
        }
        assert!(!head.contains("content-length"), "{head}");
        let status = one.replace("/live.ts", "/status");
        let status = Command::new("curl").args(["-sS", &status]).output().unwrap();
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        assert_eq!((status["name"].as_str(), status["content_type"].as_str()), (Some("Test"), Some("video/mp2t")));
        assert_eq!((&status["fed"], &status["lost"]), (&status["stripes"], &serde_json::json!(0)), "{status}");
        assert_eq!(status["link"], link);
    }
    interrupt(first);
    interrupt(second);
    ffmpeg.kill().unwrap();
    ffmpeg.wait().unwrap();
    let mut cast = cast;
    assert_eq!(cast.child.wait().unwrap().code(), Some(0), "it ends with its input");
}

#[test]
fn each_container_reaches_a_player_under_its_own_ending() {
    if !requirement::program("ffmpeg") {
        return;
    }
    let x264 = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25"];
    let containers: [(&str, Vec<&str>); 4] = [
        ("/live.webm", vec!["-c:v", "libvpx", "-deadline", "realtime", "-g", "25", "-c:a", "libopus", "-f", "webm"]),
        ("/live.flv", [&x264[..], &["-ar", "44100", "-f", "flv"]].concat()),
        ("/live.mp4", [&x264[..], &["-movflags", "frag_keyframe+empty_moov+default_base_moof", "-f", "mp4"]].concat()),
        ("/live.mp3", vec!["-vn", "-c:a", "libmp3lame", "-f", "mp3"]),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (ending, more) in containers {
        let mut ffmpeg = encoder(12, &more);
        let cast = cast(dir.path(), &mut ffmpeg, &[]);
        let viewer = watch(dir.path(), &["watch", &link(&cast)]);
        let url = url(&viewer);
        assert!(url.ends_with(ending), "{url}");
        // To the end of the stream, which is that of the answer.
        let output = Command::new("ffmpeg").args(["-v", "error", "-i", &url, "-f", "null", "-"]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{url}: {}", said(&output));
        ffmpeg.wait().unwrap();
    }
}

#[test]
fn encoders_push_and_return_with_the_printed_urls() {
    if !requirement::program("ffmpeg") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "s3cret\n").unwrap();
    let args = ["cast", "--push", "127.0.0.1:0", "--push-token-file", "token", "--name", "Test"];
    let mut child = playswarm(dir.path(), &[&args[..], &OFFLINE].concat())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let [line, http, rtmp] = std::array::from_fn(|_| lines.next().expect("a line is printed"));
    let cast = Serving { child, line };
    assert!(http.starts_with("push: http://127.0.0.1:") && http.ends_with("/live?token=s3cret"), "{http}");
    assert!(rtmp.starts_with("push: rtmp://127.0.0.1:") && rtmp.ends_with("/live/s3cret"), "{rtmp}");
    let push = |url: &str, format: &str, seconds: &str| {
        let source = ["-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25", "-t", seconds];
        let coding = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-f", format];
        Command::new("ffmpeg")
            .args(source)
            .args(coding)
            .arg(&url["push: ".len()..])
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    };
    assert!(push(&rtmp, "flv", "1").wait().unwrap().success());
    let mut again = push(&rtmp, "flv", "30");
    let viewer = watch(dir.path(), &["watch", &link(&cast)]);
    let url = url(&viewer);
    assert!(url.ends_with("/live.flv"), "{url}");
    let output =
        Command::new("ffmpeg").args(["-v", "error", "-i", &url, "-t", "2", "-f", "null", "-"]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", said(&output));
    again.kill().unwrap();
    again.wait().unwrap();
    interrupt(cast);
}

#[test]
fn a_player_is_opened_and_its_exit_code_handed_on() {
    if !requirement::program("ffmpeg") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut ffmpeg = encoder(20, &TS);
    let cast = cast(dir.path(), &mut ffmpeg, &[]);
    let player = "sh -c 'case \"$0\" in *.ts) exit 7;; esac'";
    let magnet = link(&cast).replace("playswarm:", "magnet:?xt=urn:psl:").replace("?at=", "&x.pe=");
    let args = [&["watch", &magnet, "--player", player][..], &OFFLINE].concat();
    let (code, out, err) = run(dir.path(), &args);
    assert_eq!(code, 7, "{out}{err}");
    assert!(out.starts_with("url: http://127.0.0.1:") && out.lines().count() == 1, "{out}");
    ffmpeg.kill().unwrap();
    ffmpeg.wait().unwrap();
    interrupt_or_ended(cast);
}

/// The end of the input may have ended it already.
fn interrupt_or_ended(mut serving: Serving) {
    let _ = Command::new("kill").args(["-INT", &serving.child.id().to_string()]).stderr(Stdio::null()).status();
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_file_is_cast_in_its_own_time_and_its_channel_keeps_its_key() {
    let dir = tempfile::tempdir().unwrap();
    // Sound of 16,000 bytes a second.
    let format = [1 | 1 << 16, 8000, 16_000, 2 | 16 << 16].map(u32::to_le_bytes).concat();
    let sound = vec![0; 32_000];
    let head = [b"RIFF\x24\x7d\0\0WAVEfmt \x10\0\0\0", format.as_slice(), b"data\0\x7d\0\0"].concat();
    std::fs::write(dir.path().join("sound.wav"), [head, sound].concat()).unwrap();
    let args = [&["cast", "sound.wav", "--key", "channel.key"][..], &OFFLINE].concat();
    let begun = Instant::now();
    let (code, first, err) = run(dir.path(), &args);
    assert_eq!(code, 0, "{err}");
    assert!((1.8..6.0).contains(&begun.elapsed().as_secs_f64()), "two seconds took {:?}", begun.elapsed());
    let again = Serving::start(dir.path(), &[&args[..], &["--loop"]].concat());
    let key = |line: &str| line.split(['?', '&']).next().unwrap().to_owned();
    assert_eq!(key(&again.line), key(&first));
    assert!(again.line.ends_with("&name=sound"), "{}", again.line);
    std::thread::sleep(Duration::from_secs(3));
    interrupt(again);
}

#[test]
fn what_cannot_be_cast_or_watched_is_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let failed = |args: &[&str], input: &[u8]| {
        let mut child = playswarm(dir.path(), &[args, &["-q"], &OFFLINE[..]].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may end without reading all.
        let _ = child.stdin.take().unwrap().write_all(input);
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{args:?}: {err}");
        assert!(err.starts_with("error: ") && err.trim_end().lines().count() == 1, "{args:?}: {err}");
        err
    };
    let film = include_bytes!("../demo/clip.mp4");
    assert!(failed(&["cast"], film).contains("no fragments"));
    assert!(failed(&["cast", "no-such-file"], b"").contains("cannot read no-such-file"));
    assert!(failed(&["cast", "--loop"], b"").contains("cannot be repeated"));
    std::fs::write(dir.path().join("x"), "x").unwrap();
    assert!(failed(&["cast", "x"], b"").contains("--rate"));
    assert!(failed(&["cast", "--key", "x"], b"").contains("is no key of a channel"));
    assert!(
        failed(&["cast", "http://127.0.0.1:1/live.ts"], b"").contains("could not fetch http://127.0.0.1:1/live.ts")
    );
    assert!(failed(&["cast", "udp://somewhere"], b"").contains("no address for MPEG-TS"));
    assert!(failed(&["cast", "rtmp://127.0.0.1/live"], b"").contains("--push"));
    assert!(failed(&["cast", "--push", "--push-token", "a b"], b"").contains("A-Z, a-z, 0-9"));
    assert!(failed(&["watch", "film.torrent"], b"").contains("no link to a live channel"));
    assert!(failed(&["watch", "playswarm:short"], b"").len() > 20);
    let link = format!("playswarm:{}", "a".repeat(52));
    assert!(failed(&["stream", &link, "--at", "1:00"], b"").contains("leave out --file and --at"));
}

#[test]
fn a_key_file_leads_to_a_link_and_its_secret_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let (code, made, err) = run(dir.path(), &["key", "new", "a.key"]);
    assert_eq!(code, 0, "{err}");
    assert!(made.starts_with("link: playswarm:") && made.lines().count() == 1, "{made}");
    let secret = std::fs::read_to_string(dir.path().join("a.key")).unwrap();
    assert!(secret.trim().len() == 64 && !made.contains(secret.trim()));
    assert_eq!(run(dir.path(), &["key", "show", "a.key"]), (0, made, String::new()));
    let (code, out, err) = run(dir.path(), &["key", "new", "a.key"]);
    assert!(code == 1 && out.is_empty() && err.contains("was not changed"), "{err}");
    assert_eq!(std::fs::read_to_string(dir.path().join("a.key")).unwrap(), secret);
    let (code, _, err) = run(dir.path(), &["key", "show", "b.key"]);
    assert!(code == 1 && err.contains("cannot read b.key"), "{err}");
}

#[test]
fn a_channel_is_described_relayed_and_watched_until_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("noise"), (0..40_000u32).map(|i| (i * i / 7) as u8).collect::<Vec<u8>>()).unwrap();
    let args = ["cast", "noise", "--loop", "--rate", "20k", "--type", "application/x-test", "--key", "a.key"];
    let source = Serving::start(dir.path(), &[&args[..], &OFFLINE].concat());
    let link = link(&source);
    let relays = |link: &str| {
        playswarm(dir.path(), &[&["relay", link][..], &OFFLINE].concat()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let relay = relays(&link);
    let viewer = watch(dir.path(), &["watch", &link]);
    assert!(viewer.line.ends_with("/live"), "{}", viewer.line);

    let asked = |more: &[&str]| run(dir.path(), &[&["channel", &link][..], more, &OFFLINE].concat());
    let (code, out, err) = asked(&["--json"]);
    assert_eq!(code, 0, "{out}{err}");
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((found["on_air"].as_bool(), found["name"].as_str()), (Some(true), Some("noise")), "{found}");
    assert_eq!((&found["fed"], found["children"].as_u64()), (&found["stripes"], Some(0)), "{found}");
    assert!(found["free_places"].as_u64().is_some_and(|free| free > 0), "{found}");
    let (code, out, err) = asked(&[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.starts_with("on air: noise\ntype: application/x-test\nrate: 160 kbit/s\n"), "{out}");

    // The end of the stream is that of the viewer without a player, and of the relay.
    interrupt(source);
    let mut viewer = viewer;
    assert_eq!(viewer.child.wait().unwrap().code(), Some(0));
    let relay = relay.wait_with_output().unwrap();
    assert!(relay.status.success() && said(&relay).contains("the stream has ended"), "{}", said(&relay));
    let (code, out, _) = asked(&["--wait", "0.3"]);
    assert_eq!((code, out.as_str()), (1, "not on air: no node of the channel was reached within 0.3 s\n"));
    let (code, out, _) = asked(&["--wait", "0.3", "--json"]);
    assert!(code == 1 && out.contains("\"on_air\":false"), "{out}");
}

/// How far the page's player has come, in seconds, once it plays.
fn played(browser: &Browser) -> f64 {
    let video = "const v = document.querySelector('video'); return v.readyState > 1 ? v.currentTime : -1";
    wait_for("the browser's player", Duration::from_secs(40), || browser.run(video).as_f64().filter(|s| *s >= 0.0))
}

#[test]
fn chromium_plays_the_page_of_a_channel() {
    if !requirement::program("ffmpeg") || !requirement::program("chromium") || !requirement::program("chromedriver") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let browser = Browser::start();
    let webm =
        ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "25", "-c:a", "libopus", "-f", "webm"];
    let ts = [&["-c:a", "aac"], &TS[..]].concat();
    // As it comes, and as HLS.
    for container in [&webm[..], &ts[..]] {
        let mut ffmpeg = encoder(60, container);
        let cast = cast(dir.path(), &mut ffmpeg, &[]);
        let watch = watch(dir.path(), &["watch", &link(&cast)]);
        let page = url(&watch);
        // A viewer comes to a stream that runs.
        std::thread::sleep(Duration::from_secs(8));
        browser.open(page.split_at(page.find("/live").unwrap()).0);
        let first = played(&browser);
        let until = Instant::now() + Duration::from_secs(45);
        while played(&browser) < first + 2.0 {
            let state = "const v = document.querySelector('video');
                return [v.readyState, v.networkState, v.paused, v.currentTime, v.error && v.error.message]";
            assert!(Instant::now() < until, "{container:?} from {first} s: {}", browser.run(state));
            std::thread::sleep(Duration::from_millis(100));
        }
        let width = browser.run("return document.querySelector('video').videoWidth");
        assert_eq!(width, 320, "{container:?}");
        interrupt(watch);
        ffmpeg.kill().unwrap();
        ffmpeg.wait().unwrap();
    }
}
