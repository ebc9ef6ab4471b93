//! A Gnutella servent, run by the Python script `peers/servent.py` and controlled by JSON lines. It
//! behaves as gtk-gnutella does in recorded conversations, and has knobs for each fault.

use super::libtorrent::python;
use crate::place::Place;
use crate::process::Process;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Limit for what the script answers at once.
const ANSWER: Duration = Duration::from_secs(20);

/// The command line of a servent.
#[derive(Clone, Debug)]
pub struct Options {
    /// The place where it runs.
    pub place: Place,
    /// Its address for TCP and UDP.
    pub listen: SocketAddr,
    /// Whether it is an ultrapeer, not a leaf.
    pub ultrapeer: bool,
    /// Whether it does not listen, so that it is reached by pushes only.
    pub firewalled: bool,
    /// Files and folders that it shares.
    pub share: Vec<PathBuf>,
    /// Ultrapeers to connect to.
    pub connect: Vec<SocketAddr>,
    /// Number of nodes of the DHT that run beside it. If there are any, it stores there where its
    /// files are, and is itself a node to begin with.
    pub dht_crowd: usize,
    /// Nodes of the DHT that it joins. It stores there where its files are.
    pub dht: Vec<SocketAddr>,
    /// Knobs of `peers/gnutella/conduct.py` with their values.
    pub knobs: Vec<(&'static str, String)>,
}

impl Options {
    /// Returns the options of an honest leaf at an address.
    pub fn leaf(place: &Place, listen: SocketAddr) -> Options {
        let (ultrapeer, firewalled) = (false, false);
        let (share, connect, dht_crowd, dht, knobs) = Default::default();
        Options { place: place.clone(), listen, ultrapeer, firewalled, share, connect, dht_crowd, dht, knobs }
    }

    /// Returns the options of an honest ultrapeer at an address.
    pub fn ultrapeer(place: &Place, listen: SocketAddr) -> Options {
        Options { ultrapeer: true, ..Options::leaf(place, listen) }
    }

    /// Adds a knob.
    #[must_use]
    pub fn with(mut self, knob: &'static str, value: impl Into<String>) -> Options {
        self.knobs.push((knob, value.into()));
        self
    }
}

/// A shared file as the servent describes it.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// Its SHA-1 in base32.
    pub sha1: String,
    /// The root of its Tiger tree in base32.
    pub tiger: String,
}

impl Shared {
    /// Returns the path by which it is downloaded.
    pub fn path(&self) -> String {
        format!("/uri-res/N2R?urn:sha1:{}", self.sha1)
    }
}

/// A running servent.
pub struct Servent {
    /// Its process.
    pub process: Process,
    /// Its address.
    pub addr: SocketAddr,
    /// Its GUID in hexadecimal digits.
    pub guid: String,
    /// What it shares.
    pub files: Vec<Shared>,
}

/// Returns the script's command in a place.
pub fn script(place: &Place) -> Command {
    let mut command = place.command(python());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/servent.py"));
    command
}

impl Servent {
    /// Starts a servent and waits until it listens.
    #[track_caller]
    pub fn start(options: &Options) -> Servent {
        let mut command = script(&options.place);
        command.arg(options.listen.to_string());
        if options.ultrapeer {
            command.arg("--ultrapeer");
        }
        if options.firewalled {
            command.arg("--firewalled");
        }
        for path in &options.share {
            command.arg("--share").arg(path);
        }
        for ultrapeer in &options.connect {
            command.arg("--connect").arg(ultrapeer.to_string());
        }
        if options.dht_crowd > 0 {
            command.args(["--dht-crowd", &options.dht_crowd.to_string()]);
        }
        for node in &options.dht {
            command.arg("--dht").arg(node.to_string());
        }
        for (knob, value) in &options.knobs {
            command.arg("--set").arg(format!("{knob}={value}"));
        }
        let mut process = Process::start("Gnutella servent", command);
        let said: Value = process.expect_line(0, ANSWER, |line| {
            serde_json::from_str(line).ok().filter(|said: &Value| said["ready"].as_bool() == Some(true))
        });
        let addr = SocketAddr::new(options.listen.ip(), said["port"].as_u64().expect("a port") as u16);
        let files = said["files"].as_array().expect("files").iter().map(shared).collect();
        Servent { process, addr, guid: text(&said["guid"]), files }
    }

    /// Sends a command and returns its answer.
    #[track_caller]
    pub fn command(&mut self, command: &Value) -> Value {
        let from = self.process.stdout().len();
        self.process.send(&command.to_string());
        let said: Value = self.process.expect_line(from, ANSWER, |line| {
            let said: Value = serde_json::from_str(line).ok()?;
            (said.get("answer").is_some() || said.get("refused").is_some()).then_some(said)
        });
        assert!(said.get("refused").is_none(), "the servent says: {said}");
        said["answer"].clone()
    }

    /// Waits until it is in the DHT and has stored there where its files are.
    #[track_caller]
    pub fn published(&mut self) {
        self.process.expect_line(0, ANSWER, |line| line.contains("\"published\"").then_some(()));
    }

    /// Turns a knob.
    #[track_caller]
    pub fn set(&mut self, knob: &str, value: impl Into<String>) {
        self.command(&json!({ "do": "set", "knob": knob, "value": value.into() }));
    }

    /// Returns its figures: `uploaded`, `links`, `violations`, `heard`, `waiting`, `alternates`.
    #[track_caller]
    pub fn status(&mut self) -> Value {
        self.command(&json!({ "do": "status" }))
    }

    /// Returns the events of a kind so far: `request`, `query`, `violation`, `push`, `handshake`.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        let lines = self.process.stdout();
        let said = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        said.filter_map(|mut event| event.get_mut(kind).map(Value::take)).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text of servent.py").to_owned()
}

fn shared(said: &Value) -> Shared {
    Shared {
        name: text(&said["name"]),
        length: said["length"].as_u64().expect("a length"),
        sha1: text(&said["sha1"]),
        tiger: text(&said["tiger"]),
    }
}
