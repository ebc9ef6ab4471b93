//! libtorrent, run by the Python script `peers/lt_peer.py` and controlled by JSON lines.

use super::{RealPeer, fresh_ip};
use crate::place::Place;
use crate::process::Process;
use crate::torrent::TestTorrent;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Returns the Python that has libtorrent: `PLAYSWARM_TEST_PYTHON`, else that of the set-up
/// script's virtual environment.
pub fn python() -> PathBuf {
    std::env::var_os("PLAYSWARM_TEST_PYTHON")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python"), PathBuf::from)
}

/// The settings of a libtorrent peer.
#[derive(Clone, Debug)]
pub struct Options {
    /// The place where it runs.
    pub place: Place,
    /// Its listening address.
    pub listen: SocketAddr,
    /// Upload limit in bytes per second; 0 for no limit.
    pub upload: u64,
    /// Number of peers that it unchokes at once.
    pub slots: u32,
    /// Whether it uses PEX.
    pub pex: bool,
    /// DHT node for bootstrapping. If given, the peer is a DHT node itself; `Some("")` creates the
    /// first one.
    pub dht: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        let listen = SocketAddr::new(fresh_ip().into(), 6881);
        Options { place: Place::Here, listen, upload: 0, slots: 100, pex: false, dht: None }
    }
}

impl Options {
    /// Returns settings with an upload limit in bytes per second.
    pub fn limited(upload: u64) -> Options {
        Options { upload, ..Options::default() }
    }
}

/// Starts a session without a torrent.
#[track_caller]
pub fn start(options: &Options) -> RealPeer {
    let mut command = options.place.command(python());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/lt_peer.py")).arg(options.listen.to_string());
    command.args(["--upload", &options.upload.to_string(), "--slots", &options.slots.to_string()]);
    if options.pex {
        command.arg("--pex");
    }
    if let Some(nodes) = &options.dht {
        command.args(["--dht", nodes]);
    }
    let mut process = Process::start("libtorrent", command);
    process.expect_line(0, Duration::from_secs(20), |line| line.contains("\"ready\"").then_some(()));
    let folder = tempfile::tempdir().unwrap();
    RealPeer { process, addr: options.listen, dir: folder.path().into(), _folders: vec![folder] }
}

/// Starts a seed of the whole torrent.
#[track_caller]
pub fn seed(torrent: &TestTorrent, options: &Options) -> RealPeer {
    seed_with(torrent, &torrent.file(), options, &[])
}

/// Starts a seed that uses this torrent file (its trackers). It has only the pieces `keep` (first,
/// last) if any are given.
#[track_caller]
pub fn seed_with(torrent: &TestTorrent, file: &Path, options: &Options, keep: &[(u32, u32)]) -> RealPeer {
    let mut peer = start(options);
    peer.dir = torrent.data();
    let add = json!({ "do": "add", "torrent": file, "dir": peer.dir, "seed": keep.is_empty(), "keep": keep });
    peer.command(&add);
    peer
}

/// Starts a seed that offers a piece or two to each peer, and others only as these spread (BEP 16).
#[track_caller]
pub fn super_seed(torrent: &TestTorrent, options: &Options) -> RealPeer {
    let mut peer = start(options);
    peer.dir = torrent.data();
    let add = json!({ "do": "add", "torrent": torrent.file(), "dir": peer.dir, "seed": true, "super": true });
    peer.command(&add);
    peer
}

/// Downloads from a torrent file.
#[track_caller]
pub fn leech(file: &Path, options: &Options) -> RealPeer {
    let mut peer = start(options);
    let add = json!({ "do": "add", "torrent": file, "dir": peer.dir, "seed": false });
    peer.command(&add);
    peer
}

/// Downloads from a magnet link.
#[track_caller]
pub fn leech_magnet(magnet: &str, options: &Options) -> RealPeer {
    let mut peer = start(options);
    let add = json!({ "do": "add", "magnet": magnet, "dir": peer.dir });
    peer.command(&add);
    peer
}

/// Makes a torrent of a file or folder, with web seeds. Prints it.
const MAKE: &str = r#"
import sys, libtorrent as lt
root, parent, kind, *urls = sys.argv[1:]
flags = lt.create_torrent.v1_only if kind == "v1" else lt.create_torrent.canonical_files
made = lt.create_torrent(lt.list_files(root), 16384, flags)
for url in urls:
    made.add_url_seed(url)
lt.set_piece_hashes(made, parent)
sys.stdout.buffer.write(lt.bencode(made.generate()))
"#;

/// Returns a torrent file of `folder/name` with these web seeds. A `kind` other than `v1` is a hybrid
/// torrent, which has pad files.
#[track_caller]
pub fn make_torrent(folder: &Path, name: &str, kind: &str, urls: &[String]) -> Vec<u8> {
    let mut command = std::process::Command::new(python());
    command.args(["-c", MAKE]).arg(folder.join(name)).arg(folder).arg(kind).args(urls);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Commands that only libtorrent peers accept.
impl RealPeer {
    /// Sends a command and returns its response.
    #[track_caller]
    pub fn command(&mut self, command: &Value) -> Value {
        let from = self.process.stdout().len();
        self.process.send(&command.to_string());
        let answer = self.process.expect_line(from, Duration::from_secs(20), |line| {
            let answer: Value = serde_json::from_str(line).ok()?;
            (answer.get("finished").is_none() && answer.get("metadata").is_none()).then_some(answer)
        });
        assert!(answer.get("error").is_none(), "libtorrent says: {answer}");
        answer
    }

    /// Dials a peer.
    #[track_caller]
    pub fn connect(&mut self, to: SocketAddr) {
        self.command(&json!({ "do": "connect", "peer": to.to_string() }));
    }

    /// Sets its upload limit in bytes per second; 0 for no limit.
    #[track_caller]
    pub fn limit_upload(&mut self, bytes_per_s: u64) {
        self.command(&json!({ "do": "limit", "upload": bytes_per_s }));
    }

    /// Returns a figure of its first torrent: `uploaded`, `downloaded`, `progress`, `peers`.
    #[track_caller]
    pub fn figure(&mut self, name: &str) -> f64 {
        self.command(&json!({ "do": "status" }))["status"][name].as_f64().expect("a figure of lt_peer.py")
    }
}
