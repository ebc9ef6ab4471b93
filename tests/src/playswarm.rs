//! The program under test as a child process. It is started with options, observed through its
//! `url:` line and `/status`, read over HTTP, and may be killed. Its log is shown when a test
//! fails.

use crate::http::{self, Url};
use crate::peers::fresh_ip;
use crate::place::Place;
use crate::process::Process;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

/// Longest time until the `url:` line if the source is available locally.
pub const STARTUP: Duration = Duration::from_secs(30);

/// Returns the path of the built program: next to the tests' own binaries, or `PLAYSWARM_BIN`.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("PLAYSWARM_BIN") {
        return path.into();
    }
    built("playswarm")
}

/// Returns the path of a workspace binary in the target folder of the running test or program.
pub(crate) fn built(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a process knows its binary");
    let folder = exe.parent().expect("a binary is in a folder");
    // Programs are built in target/PROFILE, tests in target/PROFILE/deps.
    let profile = if folder.ends_with("deps") { folder.parent().expect("deps is in a folder") } else { folder };
    let path = profile.join(name);
    assert!(path.is_file(), "{} is not built; run `cargo build --workspace` first", path.display());
    path
}

/// The content of `/status` as far as tests use it (`TorrentStatus` of the library).
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)] // as documented in the library's `status.rs`
pub struct Status {
    pub info_hash: String,
    pub total_bytes: u64,
    pub verified_bytes: u64,
    pub pieces: u32,
    pub piece_map: String,
    pub downloaded_bytes: u64,
    pub uploaded_bytes: u64,
    pub waste: Waste,
    pub readers: Vec<Reader>,
    #[serde(default)]
    pub playhead: Option<Playhead>,
    pub peers: Vec<Peer>,
    #[serde(default)]
    pub sources: Vec<WebSource>,
    #[serde(default)]
    pub trackers: Vec<Tracker>,
    pub known_peers: usize,
    pub banned_peers: usize,
    pub trouble: Option<String>,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    pub proof: String,
    pub unproven_bytes: u64,
}

/// Bytes received without use.
#[derive(Clone, Copy, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Waste {
    pub duplicate_bytes: u64,
    pub unasked_bytes: u64,
    pub failed_bytes: u64,
    #[serde(default)]
    pub forgotten_bytes: u64,
}

impl Waste {
    /// Returns the sum of all causes.
    pub fn total(&self) -> u64 {
        self.duplicate_bytes + self.unasked_bytes + self.failed_bytes
    }
}

/// An open reader.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Reader {
    pub position: u64,
    pub ahead_bytes: u64,
    pub waiting: bool,
    #[serde(default)]
    pub window_until: u64,
}

/// The place of the player.
#[derive(Clone, Copy, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Playhead {
    pub initial_buffering_s: Option<f64>,
}

/// A connected peer.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Peer {
    pub addr: SocketAddr,
    pub client: String,
    pub transport: String,
    pub origin: String,
    pub has: f64,
    pub downloaded_bytes: u64,
    pub uploaded_bytes: u64,
    pub snubbed: bool,
    #[serde(default)]
    pub parent: bool,
}

/// A web seed or mirror.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct WebSource {
    pub url: String,
    pub origin: String,
    pub state: String,
    pub message: Option<String>,
    #[serde(default)]
    pub lanes: usize,
    pub downloaded_bytes: u64,
}

/// A tracker.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs)]
pub struct Tracker {
    pub url: String,
    pub tier: u32,
    pub state: String,
    pub message: Option<String>,
    pub peers: usize,
}

/// The options for starting the program.
pub struct Builder {
    place: Place,
    arguments: Vec<String>,
    dir: Option<PathBuf>,
    listen: SocketAddr,
    quiet_network: bool,
    binary: Option<PathBuf>,
    log: Option<String>,
    environment: Vec<(String, PathBuf)>,
}

impl Builder {
    /// Prepares `playswarm stream SOURCE`.
    pub fn stream(source: impl AsRef<std::ffi::OsStr>) -> Builder {
        Self::new(vec!["stream".into(), source.as_ref().to_str().unwrap().into()])
    }

    /// Prepares `playswarm play SOURCE` with this player command.
    pub fn play(source: impl AsRef<std::ffi::OsStr>, player: &str) -> Builder {
        Self::new(vec!["play".into(), source.as_ref().to_str().unwrap().into(), "--player".into(), player.into()])
    }

    /// Prepares `playswarm slots SOURCE`.
    pub fn slots(source: impl AsRef<std::ffi::OsStr>) -> Builder {
        Self::new(vec!["slots".into(), source.as_ref().to_str().unwrap().into()])
    }

    /// Prepares `playswarm search WORDS` in the network of this ultrapeer.
    pub fn search(words: &str, ultrapeer: SocketAddr) -> Builder {
        Self::new(vec!["search".into(), words.into(), "--gnutella-node".into(), ultrapeer.to_string()])
    }

    /// Prepares `playswarm watch LINK`.
    pub fn watch(link: &str) -> Builder {
        Self::new(vec!["watch".into(), link.into()])
    }

    /// Prepares `playswarm cast -`, which casts its standard input.
    pub fn cast() -> Builder {
        Self::new(vec!["cast".into(), "-".into()])
    }

    /// Prepares `playswarm seed PATH TORRENT`.
    pub fn seed(path: &Path, torrent: &Path) -> Builder {
        Self::new(vec!["seed".into(), path.to_str().unwrap().into(), torrent.to_str().unwrap().into()])
    }

    fn new(arguments: Vec<String>) -> Builder {
        let listen = SocketAddr::new(fresh_ip().into(), 6881);
        Builder {
            place: Place::Here,
            arguments,
            dir: None,
            listen,
            quiet_network: true,
            binary: None,
            log: None,
            environment: Vec::new(),
        }
    }

    /// Sets the place where it runs. `listen` must be an address of that host.
    pub fn place(mut self, place: Place, listen: SocketAddr) -> Builder {
        self.place = place;
        self.listen = listen;
        self
    }

    /// Sets the folder in which it writes, instead of a fresh one.
    pub fn dir(mut self, dir: &Path) -> Builder {
        self.dir = Some(dir.into());
        self
    }

    /// Adds peers to dial.
    pub fn peers(mut self, peers: impl IntoIterator<Item = SocketAddr>) -> Builder {
        for peer in peers {
            self = self.argument("--peer").argument(&peer.to_string());
        }
        self
    }

    /// Sets the address for incoming peers, instead of a fresh loopback address.
    pub fn listen(mut self, on: SocketAddr) -> Builder {
        self.listen = on;
        self
    }

    /// Adds an argument.
    pub fn argument(mut self, argument: &str) -> Builder {
        self.arguments.push(argument.into());
        self
    }

    /// Leaves DHT, LSD and port mapping enabled, as for a user.
    pub fn open_network(mut self) -> Builder {
        self.quiet_network = false;
        self
    }

    /// Runs this program instead of the one that was built.
    pub fn binary(mut self, path: &Path) -> Builder {
        self.binary = Some(path.into());
        self
    }

    /// Sets the log filter (`PLAYSWARM_LOG`), which `PLAYSWARM_TEST_LOG` overrides.
    pub fn log(mut self, filter: &str) -> Builder {
        self.log = Some(filter.into());
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: &Path) -> Builder {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn command(&self, dir: &Path) -> std::process::Command {
        let mut command = self.place.command(self.binary.clone().unwrap_or_else(binary));
        command.args(&self.arguments);
        let (serves, stores) = match self.arguments[0].as_str() {
            "stream" | "play" => (true, true),
            "watch" => (true, false),
            "search" => (false, true),
            _ => (false, false),
        };
        if stores {
            command.arg("--dir").arg(dir);
        }
        if serves {
            command.args(["--http", "127.0.0.1:0"]);
        }
        command.args(["--listen", &self.listen.to_string()]);
        if self.quiet_network {
            command.args(["--no-dht", "--no-lsd", "--no-port-map"]);
        }
        let log = std::env::var("PLAYSWARM_TEST_LOG").ok().or_else(|| self.log.clone());
        command.env("PLAYSWARM_LOG", log.unwrap_or_else(|| "warn,playswarm=debug".into()));
        // No test may touch the user's caches or settings.
        command.envs(self.environment.iter().cloned());
        command.env("HOME", dir).env("XDG_CACHE_HOME", dir.join(".cache")).env("XDG_DATA_HOME", dir.join(".data"));
        command
    }

    fn folder(&self) -> (PathBuf, Option<tempfile::TempDir>) {
        match &self.dir {
            Some(dir) => (dir.clone(), None),
            None => {
                let fresh = tempfile::tempdir().unwrap();
                (fresh.path().to_owned(), Some(fresh))
            }
        }
    }

    /// Starts it without waiting.
    #[track_caller]
    pub fn spawn(self) -> Playswarm {
        let (dir, fresh) = self.folder();
        let process = Process::start("playswarm", self.command(&dir));
        Playswarm { process, place: self.place, listen: self.listen, url: None, dir, _fresh: fresh }
    }

    /// Starts it and waits for its `url:` line.
    #[track_caller]
    pub fn start(self) -> Playswarm {
        let mut playswarm = self.spawn();
        playswarm.wait_url(STARTUP);
        playswarm
    }

    /// Runs it until it exits, for cases that must fail.
    #[track_caller]
    pub fn run(self, limit: Duration) -> Output {
        let mut playswarm = self.spawn();
        let status = playswarm.process.wait(limit);
        let join = |lines: Vec<String>| lines.join("\n").into_bytes();
        Output { status, stdout: join(playswarm.process.stdout()), stderr: join(playswarm.process.stderr()) }
    }
}

/// The running program.
pub struct Playswarm {
    /// The process: output, signals, memory.
    pub process: Process,
    /// The place where it runs.
    pub place: Place,
    /// Address for incoming peers.
    pub listen: SocketAddr,
    /// Folder in which it writes.
    pub dir: PathBuf,
    url: Option<Url>,
    _fresh: Option<tempfile::TempDir>,
}

impl Playswarm {
    /// Waits for the `url:` line.
    #[track_caller]
    pub fn wait_url(&mut self, limit: Duration) -> Url {
        let text = self.process.expect_line(0, limit, |line| line.strip_prefix("url: ").map(str::to_owned));
        let url = Url::parse(text.trim()).unwrap_or_else(|| panic!("not an HTTP URL: {text}"));
        self.url = Some(url.clone());
        url
    }

    /// Returns the URL of the film.
    #[track_caller]
    pub fn url(&self) -> Url {
        self.url.clone().expect("started with start()")
    }

    /// Returns `/status`, if it responds.
    pub fn try_status(&self) -> Option<Status> {
        let answer = http::request(&self.place, "GET", &self.url.as_ref()?.at("/status"), &[]).ok()?;
        assert_eq!(answer.status, 200, "status code of /status");
        let text = answer.text().ok()?;
        Some(serde_json::from_str(&text).unwrap_or_else(|e| panic!("cannot parse /status ({e}): {text}")))
    }

    /// Returns `/status`.
    #[track_caller]
    pub fn status(&self) -> Status {
        self.try_status().expect("/status answers while the program runs")
    }

    /// Waits until the status satisfies `wanted`.
    #[track_caller]
    pub fn wait_status(&self, what: &str, limit: Duration, wanted: impl Fn(&Status) -> bool) -> Status {
        crate::wait_for(what, limit, || self.try_status().filter(|status| wanted(status)))
    }
}
