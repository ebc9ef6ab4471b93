//! Behind a real reverse proxy with TLS: all links of the page, the playlist and the subtitles
//! work, and a real player plays the film. The proxy describes itself in headers, or does not, as a
//! plain `proxy_pass`.
#![allow(clippy::unwrap_used)]

use playswarm_tests::film::film;
use playswarm_tests::nginx::Nginx;
use playswarm_tests::peers::{RealPeer, libtorrent};
use playswarm_tests::playswarm::{Builder, Playswarm};
use playswarm_tests::process::Process;
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

/// Configurations: a proxy without forwarding headers, one at a prefix, and one with each of the
/// two kinds of headers.
const LOCATIONS: &str = "
location / { proxy_pass UPSTREAM/; }
location /films/ { proxy_pass UPSTREAM/; }
location /said/ { proxy_pass UPSTREAM/; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Prefix /said; }
location /rfc/ { proxy_pass UPSTREAM/; proxy_set_header Forwarded \"for=_hidden;proto=$scheme;host=\\\"$http_host\\\"\";
    proxy_set_header X-Forwarded-Prefix /rfc; }";

struct Scene {
    nginx: Nginx,
    playswarm: Playswarm,
    _seed: RealPeer,
    _torrent: TestTorrent,
    _folder: tempfile::TempDir,
}

fn scene(token: &[&str]) -> Option<Scene> {
    let programs = ["nginx", "openssl", "ffmpeg", "ffprobe", "mpv", "curl"];
    if !requirement::libtorrent() || !programs.into_iter().all(requirement::program) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let show = folder.path().join("show");
    std::fs::create_dir(&show).unwrap();
    film(&show, "a b.mkv", 8, 500_000);
    std::fs::write(show.join("a b.en.srt"), "1\n00:00:01,000 --> 00:00:02,000\nHello\n").unwrap();
    let torrent = TestTorrent::of_folder(&show, 64 << 10);
    let seed = libtorrent::seed(&torrent, &libtorrent::Options::default());
    let mut program = Builder::stream(torrent.file()).peers([seed.addr]);
    for argument in token {
        program = program.argument(argument);
    }
    let playswarm = program.start();
    let nginx = Nginx::start(playswarm.url().addr, LOCATIONS);
    Some(Scene { nginx, playswarm, _seed: seed, _torrent: torrent, _folder: folder })
}

/// Returns status and body, as curl prints them.
fn get(url: &str, headers: &[&str]) -> (String, String) {
    let mut command = Command::new("curl");
    command.args(["-sk", "--max-time", "60", "-w", "%{http_code}", url]);
    headers.iter().for_each(|header| _ = command.args(["-H", header]));
    let output = command.output().unwrap();
    let (body, status) = output.stdout.split_at(output.stdout.len() - 3);
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (text(status), text(body))
}

fn links(base: &str, text: &str, before: &str, after: char) -> BTreeSet<String> {
    let base = url::Url::parse(base).unwrap();
    let found = text.split(before).skip(1).filter_map(|rest| rest.split(after).next());
    found.map(|link| base.join(&link.replace("&amp;", "&")).unwrap().to_string()).collect()
}

#[test]
fn every_link_is_there_behind_tls_and_a_prefix() {
    for token in [vec![], vec!["--token", "a/b+c&d"]] {
        let Some(scene) = scene(&token) else { return };
        let query = if token.is_empty() { "" } else { "?token=a%2Fb%2Bc%26d" };
        for prefix in ["/", "/films/", "/said/", "/rfc/"] {
            let at = |path: &str| format!("{}{prefix}{path}{query}", scene.nginx.origin);
            let page = get(&at(""), &[]).1;
            let mut all = links(&at(""), &page, "href=\"", '"');
            all.append(&mut links(&at(""), &page, "src=\"", '"'));
            assert!(all.len() >= 7, "{page}");
            for path in ["subtitles", "subtitles/0", "subtitles/1"] {
                let list = get(&at(path), &[]).1;
                all.append(&mut links(&at(path), &list, "url\":\"", '"'));
            }
            let list = get(&at("playlist.m3u8"), &[]).1;
            let entries: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
            all.insert(url::Url::parse(&at("playlist.m3u8")).unwrap().join(entries[0]).unwrap().to_string());
            for link in &all {
                assert!(link.starts_with(&format!("{}{prefix}", scene.nginx.origin)), "{link}");
                assert_eq!(get(link, &[]).0, "200", "{link}");
            }
            // A saved playlist has absolute links only if the proxy describes itself.
            if ["/said/", "/rfc/"].contains(&prefix) {
                let saved = get(&at("playlist.m3u8"), &["Accept: text/html"]).1;
                let link = saved.lines().find(|line| !line.starts_with('#')).unwrap();
                assert!(link.starts_with(&format!("{}{prefix}stream/", scene.nginx.origin)), "{saved}");
                assert_eq!(get(link, &[]).0, "200", "{link}");
            }
        }
        drop(scene.playswarm);
    }
}

#[test]
fn mpv_plays_the_playlist_and_ffprobe_reads_the_film_behind_tls_and_a_prefix() {
    let Some(scene) = scene(&[]) else { return };
    for prefix in ["/", "/films/", "/said/"] {
        let list = format!("{}{prefix}playlist.m3u8", scene.nginx.origin);
        let mut command = Command::new("mpv");
        command.args(["--no-config", "--vo=null", "--ao=null", "--untimed", "--frames=20", "--tls-verify=no"]);
        command.args(["--msg-level=all=info", "--term-playing-msg=PLAYING ${filename}"]).arg(&list);
        let mut mpv = Process::start("mpv", command);
        let status = mpv.wait(Duration::from_secs(60));
        let log = [mpv.stdout(), mpv.stderr()].concat();
        assert!(status.success(), "{list}: {log:?}");
        assert!(log.iter().any(|line| line.contains("PLAYING a b.mkv")), "{list}: {log:?}");
        let film = format!("{}{prefix}stream/1/a%20b.mkv", scene.nginx.origin);
        let probe = Command::new("ffprobe")
            .args(["-v", "error", "-tls_verify", "0", "-show_entries", "format=duration", "-of", "csv=p=0", &film])
            .output()
            .unwrap();
        let duration: f64 = String::from_utf8(probe.stdout).unwrap().trim().parse().unwrap_or_default();
        assert!((7.5..8.5).contains(&duration), "{}", String::from_utf8_lossy(&probe.stderr));
    }
}
