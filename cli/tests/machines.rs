//! Unusual machines and use: no certificates, small limits, no network, no peer, and the messages
//! for the user.
#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{OFFLINE, Serving, film, playswarm, run, season};
use playswarm_tests::requirement;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs a program to its end. Returns exit code, standard output and standard error.
fn outcome(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// Returns the body of this URL, or a range of it.
fn get(url: &str, range: Option<&str>) -> Vec<u8> {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut socket = TcpStream::connect(host).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let range = range.map(|range| format!("Range: bytes={range}\r\n")).unwrap_or_default();
    write!(socket, "GET /{path} HTTP/1.1\r\nHost: {host}\r\n{range}Connection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let body = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    assert!(answer.starts_with(b"HTTP/1.1 20"), "{}", String::from_utf8_lossy(&answer[..body]));
    answer.split_off(body)
}

fn url(serving: &Serving) -> &str {
    serving.line.strip_prefix("url: ").unwrap()
}

#[test]
fn without_certificates_everything_works_but_https_whose_sentence_names_them() {
    let (dir, _) = film();
    let bare = |args: &[&str]| {
        let mut command = playswarm(dir.path(), args);
        command.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
        command
    };
    let (code, _, err) = outcome(&mut bare(&["info", "film.mkv.torrent", "--wait", "0"]));
    assert_eq!((code, err.as_str()), (0, ""));
    // A server with its own certificate.
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"])
        .args([
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ])
        .current_dir(dir.path())
        .stderr(Stdio::null())
        .status();
    if !(made.is_ok_and(|status| status.success()) || requirement::missing("openssl is not installed")) {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut server = Command::new("openssl")
        .args(["s_server", "-quiet", "-www", "-key", "key.pem", "-cert", "cert.pem", "-accept", &port])
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while TcpStream::connect(format!("127.0.0.1:{port}")).is_err() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let (code, _, err) = outcome(&mut bare(&["info", &format!("https://localhost:{port}/film.torrent")]));
    let _ = server.kill();
    let _ = server.wait();
    assert_eq!(code, 1);
    assert!(err.contains("ca-certificates") && err.contains("SSL_CERT_FILE") && err.lines().count() == 1, "{err}");
}

#[test]
fn a_limit_on_the_size_of_files_does_not_end_the_program_and_the_film_plays_from_memory() {
    let (dir, bytes) = film();
    let seed = Serving::start(dir.path(), &[&["seed", "film.mkv", "film.mkv.torrent"][..], &OFFLINE].concat());
    let at = seed.line.rsplit(' ').next().unwrap().to_owned();
    let viewer = tempfile::tempdir().unwrap();
    let torrent = dir.path().join("film.mkv.torrent");
    let stream = [&["stream", torrent.to_str().unwrap(), "--peer", &at, "--dir", "."][..], &OFFLINE].concat();
    // In units of 512 or 1024 bytes, by the shell: less than the film in any case, and more than a
    // note about it.
    let limited = ["-c", "ulimit -f 128; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_playswarm")];
    let mut child = Command::new("sh");
    child.args(limited).args(&stream).current_dir(viewer.path()).env("HOME", viewer.path()).env_remove("PLAYSWARM_LOG");
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let serving = Serving { child, line: line.trim_end().to_owned() };
    assert!(get(url(&serving), None) == bytes, "the film's bytes");
    assert!(get(url(&serving), Some("0-9999")) == bytes[..10_000], "once more, from its beginning");
    assert_eq!(serving.end().0, 0, "it was not killed by SIGXFSZ");
    let mut printed = String::new();
    stderr.read_to_string(&mut printed).unwrap();
    assert!(printed.contains("cannot") && printed.contains("memory"), "a message for the user: {printed}");
    assert!(printed.matches("WARN").count() <= 2, "one message only: {printed}");
}

#[test]
fn a_torrent_or_a_link_is_read_from_standard_input_and_from_a_pipe() {
    let (dir, _) = film();
    let piped = |args: &[&str], input: &[u8]| {
        let mut command = playswarm(dir.path(), args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A program that reads no input may end before it is written.
        let _ = child.stdin.take().unwrap().write_all(input);
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    };
    let torrent = std::fs::read(dir.path().join("film.mkv.torrent")).unwrap();
    let (code, out, err) = piped(&["info", "-", "--wait", "0"], &torrent);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("name       film.mkv\n"), "{out}");
    let (code, _, err) = piped(&["info", "-", "--wait", "0"], b"");
    assert!(code == 1 && err.contains("standard input is empty"), "{err}");
    let link = b"magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567\n";
    let (code, _, err) = piped(&[&["info", "-", "--wait", "0.2"][..], &OFFLINE].concat(), link);
    assert!(code == 1 && err.contains("no peer found"), "{err}");
    let shell = format!("{} info <(cat film.mkv.torrent) --wait 0", env!("CARGO_BIN_EXE_playswarm"));
    let (code, out, err) = outcome(Command::new("bash").args(["-c", &shell]).current_dir(dir.path()));
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("name       film.mkv\n"), "{out}");
}

#[test]
fn empty_files_are_named_as_such() {
    let (dir, _) = film();
    std::fs::write(dir.path().join("empty"), b"").unwrap();
    for args in [&["info", "empty"][..], &["stream", "empty"], &["seed", "film.mkv", "empty"], &["create", "empty"]] {
        let (code, _, err) = run(dir.path(), args);
        assert!(code == 1 && err.contains("empty"), "{args:?}: {err}");
    }
    let (code, _, err) = run(dir.path(), &["stream", "film.mkv.torrent", "--config", "empty"]);
    assert!(code == 1 && err.contains("is empty"), "{err}");
    std::fs::create_dir(dir.path().join("two")).unwrap();
    std::fs::write(dir.path().join("two/a.mkv"), b"").unwrap();
    std::fs::write(dir.path().join("two/b.mkv"), b"something").unwrap();
    assert_eq!(run(dir.path(), &["create", "two", "-q"]).0, 0);
    let (code, _, err) = run(dir.path(), &[&["stream", "two.torrent", "--file", "a.mkv"][..], &OFFLINE].concat());
    assert!(code == 1 && err.contains("a.mkv is empty (0 bytes)"), "{err}");
}

#[test]
fn what_cannot_be_printed_is_no_success() {
    let (dir, _) = film();
    let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    for args in [&["info", "film.mkv.torrent", "--wait", "0"][..], &["create", "film.mkv", "--output", "again.torrent"]]
    {
        let mut command = playswarm(dir.path(), args);
        let child = command.stdout(full()).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let (code, err) = (child.status.code(), String::from_utf8(child.stderr).unwrap());
        assert!(code == Some(1) && err.contains("cannot write to standard output"), "{args:?}: {code:?} {err}");
    }
}

#[test]
fn the_file_that_a_torrent_is_made_of_is_never_overwritten() {
    let (dir, bytes) = film();
    std::fs::hard_link(dir.path().join("film.mkv"), dir.path().join("same.mkv")).unwrap();
    std::os::unix::fs::symlink("film.mkv", dir.path().join("link.mkv")).unwrap();
    for (output, wanted) in
        [("film.mkv", 1), ("./film.mkv", 1), ("link.mkv", 1), ("same.mkv", 0), ("film.mkv.torrent", 0)]
    {
        let (code, _, err) = run(dir.path(), &["create", "film.mkv", "--output", output, "--force"]);
        assert!(code == wanted && (code == 0 || err.contains("--output")), "{output}: {code} {err}");
        assert!(std::fs::read(dir.path().join("film.mkv")).unwrap() == bytes, "{output}");
    }
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    std::fs::rename(dir.path().join("film.mkv"), dir.path().join("folder/film.mkv")).unwrap();
    let (code, ..) = run(dir.path(), &["create", "folder", "--output", "folder/film.mkv", "--force"]);
    assert_eq!(code, 1);
    assert!(std::fs::read(dir.path().join("folder/film.mkv")).unwrap() == bytes);
}

#[test]
fn folders_that_cannot_be_used_and_odd_values_come_with_a_remedy() {
    let (dir, _) = film();
    for folder in ["film.mkv", "film.mkv/below"] {
        let args = ["stream", "film.mkv.torrent", "--dir", folder];
        let (code, _, err) = run(dir.path(), &[&args[..], &OFFLINE].concat());
        assert!(code == 1 && err.contains("choose another folder with --dir"), "{folder}: {err}");
    }
    for (option, value, remedy) in [
        ("--http", "8080", "127.0.0.1:8080"),
        ("--http", "localhost:8080", "127.0.0.1:8080"),
        ("--listen", "0.0.0.0:99999", "127.0.0.1:8080"),
        ("--dht-bootstrap", "router.example", "peer.example:6881"),
        ("--max-peers", "many", "whole number"),
    ] {
        let (code, _, err) = run(dir.path(), &["stream", "film.mkv.torrent", option, value]);
        assert!(code == 2 && err.contains(remedy), "{option} {value}: {err}");
    }
}

#[test]
fn settings_are_read_where_they_are_not_needed_too() {
    let (dir, _) = film();
    let with = |text: &str| {
        std::fs::write(dir.path().join("settings.json"), text).unwrap();
        run(dir.path(), &["info", "film.mkv.torrent", "--wait", "0", "--config", "settings.json"])
    };
    for text in ["[]", "null", "{\"max_peers\": 0}", "{\"no_such\": 1}"] {
        let (code, _, err) = with(text);
        assert!(code == 1 && err.contains("sett"), "{text}: {code} {err}");
    }
    let (code, _, err) = with("\u{feff}{\"max_peers\": 5}\r\n");
    assert_eq!(code, 0, "with the byte order mark of Windows editors: {err}");
}

#[test]
fn settings_and_secrets_come_from_pipes_and_a_silent_one_can_be_interrupted() {
    let (dir, _) = film();
    let silent = dir.path().join("silent");
    assert!(Command::new("mkfifo").arg(&silent).status().unwrap().success());
    for option in ["--config", "--token-file"] {
        let args = ["stream", "film.mkv.torrent", option, "silent"];
        let mut child = playswarm(dir.path(), &args).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(500));
        Command::new("kill").arg(child.id().to_string()).status().unwrap();
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let ended = child.try_wait().unwrap().is_some();
        let _ = child.kill();
        assert!(ended, "{option}");
    }
    let program = env!("CARGO_BIN_EXE_playswarm");
    let script = format!("echo '{{}}' | {program} info film.mkv.torrent --wait 0 --config /dev/stdin");
    let (code, _, err) = outcome(Command::new("sh").args(["-c", &script]).current_dir(dir.path()));
    assert_eq!(code, 0, "{err}");
    let script = format!(
        "echo '{{}}' | {program} seed film.mkv magnet:?xt=urn:btih:{} --config /dev/stdin -q {} & sleep 1; kill $!; wait $!",
        "0".repeat(40),
        OFFLINE.join(" ")
    );
    let (_, _, err) = outcome(Command::new("sh").args(["-c", &script]).current_dir(dir.path()));
    assert_eq!(err, "", "settings are read once");
    let (code, _, err) = run(dir.path(), &["stream", "film.mkv.torrent", "--config", "/dev/zero"]);
    assert!(code == 1 && err.contains("KiB"), "{err}");
}

#[test]
fn a_silent_server_is_named_and_has_no_longer_than_the_user_gives() {
    let (dir, _) = film();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = silent.local_addr().unwrap().to_string();
    let url = format!("http://name:secret@{host}/a.torrent?passkey=secret");
    let begun = Instant::now();
    let (code, _, err) = run(dir.path(), &[&["info", &url, "--wait", "3"][..], &OFFLINE].concat());
    assert!(code == 1 && begun.elapsed() < Duration::from_secs(15), "{err}");
    assert!(err.contains(&format!("waiting for {host} ")) && err.contains("within 3 s"), "{err}");
    assert!(!err.contains("secret"), "{err}");
    let args = [&["stream", &url, "--dir", "made"][..], &OFFLINE].concat();
    let mut child = playswarm(dir.path(), &args).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.contains(&format!("waiting for {host} ")), "{line}");
}

#[test]
fn a_proxy_of_the_environment_that_is_dead_or_silent_is_named() {
    let (dir, _) = film();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    // A port without a listener.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (variable, proxy, url) in [
        ("http_proxy", closed, "http://films.example/a.torrent"),
        ("https_proxy", closed, "https://films.example/a.torrent"),
        ("all_proxy", silent.local_addr().unwrap(), "http://films.example/a.torrent"),
    ] {
        let mut command = playswarm(dir.path(), &[&["info", url, "--wait", "30"][..], &OFFLINE].concat());
        for other in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
            command.env_remove(other).env_remove(other.to_uppercase());
        }
        let (code, _, err) = outcome(command.env(variable, format!("http://name:secret@{proxy}")));
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("films.example") && err.contains(&format!("proxy {proxy} of the environment")), "{err}");
        assert!(!err.contains("secret"), "{err}");
    }
}

#[test]
fn a_player_that_is_not_there_is_noticed_before_anything_is_opened() {
    let (dir, _) = film();
    let args = ["play", "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567", "--dir", "made"];
    let (code, _, err) = run(dir.path(), &[&args[..], &["--player", "no-such-player --fs"], &OFFLINE].concat());
    assert_eq!(code, 1);
    assert!(err.contains("no-such-player was not found") && err.lines().count() == 1, "{err}");
    assert!(!dir.path().join("made").exists(), "nothing was opened");
}

#[test]
fn settings_out_of_range_name_the_option_and_what_it_takes() {
    let (dir, _) = film();
    for (args, printed) in [
        (&["--memory-limit", "1M"][..], "--memory-limit"),
        (&["--disk-limit", "1M"], "at least 32 MiB"),
        (&["--max-peers", "0"], "--max-peers"),
    ] {
        let (code, _, err) = run(dir.path(), &[&["stream", "film.mkv.torrent"][..], args, &OFFLINE].concat());
        assert!(code == 1 && err.contains(printed), "{args:?}: {err}");
    }
    std::fs::write(dir.path().join("c"), r#"{"advanced": {"picker": {"seek_targets": 4000000000}}}"#).unwrap();
    let (code, _, err) = run(dir.path(), &[&["stream", "film.mkv.torrent", "--config", "c"][..], &OFFLINE].concat());
    assert!(code == 1 && err.contains("advanced.picker.seek_targets") && err.contains("1000"), "{err}");
    let (_, help, _) = run(dir.path(), &["stream", "--help"]);
    for least in ["at least 8MiB", "At least 32MiB", "at least 1."] {
        assert!(help.contains(least), "{least}: {help}");
    }
}

#[test]
fn a_magnets_search_is_shown_and_ends_when_the_user_said() {
    let dir = tempfile::tempdir().unwrap();
    let link = "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567";
    let begun = Instant::now();
    let (code, out, err) = run(dir.path(), &[&["info", link, "--wait", "2"][..], &OFFLINE].concat());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("fetching the metadata: no peer found (1 s)"), "{err}");
    assert!(err.contains("no metadata within 2 s") && err.contains("--wait"), "{err}");
    // A peer that accepts and sends nothing is found and connected to, no more.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = silent.local_addr().unwrap().to_string();
    let (_, _, err) = run(dir.path(), &[&["info", link, "--wait", "1", "--peer", &peer][..], &OFFLINE].concat());
    assert!(err.contains("1 peer found"), "{err}");
}

#[test]
fn info_says_why_the_films_time_is_not_known_and_ends_with_3() {
    let (dir, _seed, at) = season();
    let viewer = tempfile::tempdir().unwrap();
    let torrent = dir.path().join("season.torrent");
    let ask = |more: &[&str]| run(viewer.path(), &[&["info", torrent.to_str().unwrap()][..], more, &OFFLINE].concat());
    let (code, out, err) = ask(&["--wait", "1"]);
    assert_eq!(code, 3, "{err}");
    assert!(out.contains("files      ") && err.contains("no peer was found"), "{out}{err}");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, _, err) = ask(&["--wait", "1", "--peer", &nobody]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("could be connected"), "{err}");
    // A peer that has nothing.
    let empty = tempfile::tempdir().unwrap();
    let other = Serving::start(empty.path(), &[&["stream", torrent.to_str().unwrap()][..], &OFFLINE_BUT_HERE].concat());
    let (code, _, err) = ask(&["--wait", "6", "--peer", "127.0.0.47:6881"]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("the only connected peer lacks the piece that a reader waits for"), "{err}");
    drop(other);
    let (code, out, err) = ask(&["--peer", &at]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("duration "), "{out}");
}

const OFFLINE_BUT_HERE: [&str; 6] =
    ["--no-dht", "--no-lsd", "--no-port-map", "--no-trackers", "--listen", "127.0.0.47:6881"];

#[test]
fn stream_keep_completes_a_file_after_its_last_reader_left() {
    let (dir, _seed, at) = season();
    let viewer = tempfile::tempdir().unwrap();
    let torrent = dir.path().join("season.torrent");
    let args = ["stream", torrent.to_str().unwrap(), "--file", "E2.mp4", "--keep", "--peer", &at];
    let stream = Serving::start(viewer.path(), &[&args[..], &OFFLINE].concat());
    let (film, begun) = (url(&stream).to_owned(), Instant::now());
    let status = format!("http://{}/status", film.strip_prefix("http://").unwrap().split('/').next().unwrap());
    let here = || {
        let status: serde_json::Value = serde_json::from_slice(&get(&status, None)).unwrap();
        (status["verified_bytes"].as_u64().unwrap(), status["total_bytes"].as_u64().unwrap())
    };
    assert!(!get(&film, None).is_empty());
    let (verified, total) = here();
    assert!(verified < total, "the other episode is not fetched while this one is read");
    while here().0 < total {
        assert!(begun.elapsed() < Duration::from_secs(60), "not completed: {:?}", here());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn play_keep_says_when_there_is_nothing_to_keep() {
    let (dir, _seed, at) = season();
    let viewer = tempfile::tempdir().unwrap();
    let torrent = dir.path().join("season.torrent");
    let args = ["play", torrent.to_str().unwrap(), "--keep", "--player", "true", "--peer", &at];
    let (code, _, err) = run(viewer.path(), &[&args[..], &OFFLINE].concat());
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("without reading") && !err.contains("completing"), "{err}");
}

#[test]
fn without_a_network_nothing_but_what_matters_is_said() {
    let (dir, _) = film();
    let alone = |limit: &str| {
        let args = ["-n", "timeout", "-s", "INT", limit, env!("CARGO_BIN_EXE_playswarm"), "stream", "film.mkv.torrent"];
        outcome(
            Command::new("unshare")
                .args(args)
                .current_dir(dir.path())
                .env("HOME", dir.path())
                .env_remove("PLAYSWARM_LOG"),
        )
    };
    let (code, out, err) = alone("4");
    let able = !(code != 0 && out.is_empty() && err.contains("unshare"));
    if !(able || requirement::missing(&format!("there are no network namespaces: {err}"))) {
        return;
    }
    assert!(out.starts_with("url: "), "{out}{err}");
    assert!(!err.contains("WARN") && !err.contains("ERROR"), "{err}");
}

/// A folder mounted a second time as read-only; unmounted when dropped.
struct ReadOnly(tempfile::TempDir);

impl ReadOnly {
    fn of(folder: &std::path::Path) -> Option<ReadOnly> {
        let place = tempfile::tempdir().unwrap();
        let mount = |args: &[&str], more: &[&std::path::Path]| {
            Command::new("mount").args(args).args(more).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
        };
        let done = mount(&["--bind"], &[folder, place.path()]) && mount(&["-o", "remount,bind,ro"], &[place.path()]);
        (done || requirement::missing("this user cannot mount")).then_some(ReadOnly(place))
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn two_seed_the_files_of_one_read_only_folder_at_once() {
    let (dir, bytes) = film();
    let Some(shared) = ReadOnly::of(dir.path()) else { return };
    let path = |name: &str| shared.0.path().join(name).to_str().unwrap().to_owned();
    let (film, torrent) = (path("film.mkv"), path("film.mkv.torrent"));
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let seeds = homes
        .each_ref()
        .map(|home| Serving::start(home.path(), &[&["seed", film.as_str(), torrent.as_str()][..], &OFFLINE].concat()));
    for seed in &seeds {
        let at = seed.line.rsplit(' ').next().unwrap();
        let viewer = tempfile::tempdir().unwrap();
        let args = [&["stream", torrent.as_str(), "--peer", at, "--dir", "."][..], &OFFLINE].concat();
        let stream = Serving::start(viewer.path(), &args);
        assert!(get(url(&stream), None) == bytes);
    }
    for home in &homes {
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "seeding writes nothing");
    }
}

#[test]
fn what_a_tracker_says_is_shown_while_a_magnet_is_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    let tracker = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = tracker.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = tracker.accept() {
            if !client.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {
                continue;
            }
            let body = "d14:failure reason22:this torrent is closede";
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = client.write_all(format!("{head}{body}").as_bytes());
        }
    });
    let link = format!("magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567&tr=http://{at}/announce");
    let quiet = ["--no-dht", "--no-lsd", "--no-port-map", "--listen", "127.0.0.1:0"];
    let (code, _, err) = run(dir.path(), &[&["info", &link, "--wait", "3"][..], &quiet].concat());
    assert!(code == 1 && err.contains("this torrent is closed"), "{err}");
}
