//! The environment: network, film, tracker, DHT and origin.

use crate::options::{Options, Origin, Switch};
use anyhow::{Context, Result};
use playswarm_tests::mp4_head;
use playswarm_tests::netlab::{Link, Net};
use playswarm_tests::peers::{dht_net::DhtNet, libtorrent};
use playswarm_tests::playswarm::{Builder, Playswarm, binary};
use playswarm_tests::process::Process;
use playswarm_tests::torrent::TestTorrent;
use playswarm_tests::tracker::{Mode, Tracker};
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

const PEER_PORT: u16 = 6881;
const TRACKER_PORT: u16 = 6969;
pub(crate) const ORIGIN: &str = "origin";
const HUB: &str = "hub";

/// The origin's process.
enum Seed {
    Playswarm(Playswarm),
    Libtorrent(playswarm_tests::peers::RealPeer),
}

/// Everything that exists before the first viewer arrives. Processes in the network are dropped
/// before the network.
pub(crate) struct Scene {
    pub(crate) torrent: TestTorrent,
    file: PathBuf,
    origin: Seed,
    dht: Option<DhtNet>,
    _tracker: Tracker,
    pub(crate) net: Net,
    program: PathBuf,
    log: String,
    bootstrap: Vec<String>,
    /// The viewers' settings, if any.
    settings: Option<PathBuf>,
    _folder: tempfile::TempDir,
}

pub(crate) fn host_of(viewer: usize) -> String {
    format!("v{viewer}")
}

impl Scene {
    pub(crate) fn new(options: &Options) -> Result<Scene> {
        let folder = tempfile::tempdir()?;
        let settings = viewer_settings(options, folder.path())?;
        let program = options.program.clone().unwrap_or_else(binary);
        let torrent = torrent(options);
        let names = (0..options.viewers).map(host_of).collect::<Vec<_>>();
        let mut hosts: Vec<(&str, Link)> = vec![(HUB, options.hub_link()), (ORIGIN, options.origin_link())];
        hosts.extend(names.iter().map(|name| (name.as_str(), options.viewer_link())));
        let net = Net::new(&hosts);
        let tracker = Tracker::http_at(&net.place(HUB), net.addr(HUB, TRACKER_PORT), Mode::Frugal(options.named));
        let file = torrent.file_with(std::slice::from_ref(&tracker.url));
        let nodes = if options.no_dht { 0 } else { options.dht };
        let dht = (nodes > 0).then(|| DhtNet::start_at(&net.place(HUB), net.ip(HUB).into(), nodes.into()));
        let bootstrap = dht.as_ref().map(DhtNet::bootstrap).unwrap_or_default();
        let origin = start_origin(options, &net, &program, &torrent, &file);
        Ok(Scene {
            torrent,
            file,
            origin,
            dht,
            _tracker: tracker,
            net,
            program,
            log: options.log.clone(),
            bootstrap,
            settings,
            _folder: folder,
        })
    }

    pub(crate) fn origin_ip(&self) -> IpAddr {
        self.net.ip(ORIGIN).into()
    }

    pub(crate) fn origin(&self) -> &Process {
        match &self.origin {
            Seed::Playswarm(playswarm) => &playswarm.process,
            Seed::Libtorrent(peer) => &peer.process,
        }
    }

    /// Returns the process of the DHT nodes.
    pub(crate) fn dht(&self) -> Option<&Process> {
        self.dht.as_ref().map(|net| &net.process)
    }

    /// Prepares the program on a viewer's host.
    pub(crate) fn viewer(&self, viewer: usize) -> Builder {
        let host = host_of(viewer);
        let mut builder = Builder::stream(&self.file)
            .binary(&self.program)
            .log(&self.log)
            .place(self.net.place(&host), self.net.addr(&host, PEER_PORT));
        if let Some(settings) = &self.settings {
            builder = builder.argument("--config").argument(&settings.to_string_lossy());
        }
        if !self.bootstrap.is_empty() {
            builder = builder.open_network().argument("--no-lsd").argument("--no-port-map");
            for node in &self.bootstrap {
                builder = builder.argument("--dht-bootstrap").argument(node);
            }
        }
        builder
    }
}

fn start_origin(options: &Options, net: &Net, program: &Path, torrent: &TestTorrent, file: &Path) -> Seed {
    let (place, listen) = (net.place(ORIGIN), net.addr(ORIGIN, PEER_PORT));
    match options.origin {
        Origin::Libtorrent => {
            let upload = options.origin_limit.unwrap_or(0);
            let how = libtorrent::Options { place, listen, upload, ..libtorrent::Options::default() };
            Seed::Libtorrent(libtorrent::seed_with(torrent, file, &how, &[]))
        }
        Origin::Playswarm => {
            let film = torrent.data().join(&torrent.name);
            let mut builder = Builder::seed(&film, file).binary(program).log(&options.log).place(place, listen);
            if let Some(limit) = options.origin_limit {
                builder = builder.argument("--up-limit").argument(&limit.to_string());
            }
            if let Some(settings) = &options.origin_config {
                builder = builder.argument("--config").argument(&settings.to_string_lossy());
            }
            Seed::Playswarm(builder.spawn())
        }
    }
}

fn torrent(options: &Options) -> TestTorrent {
    let (length, piece) = (options.film_bytes(), options.piece << 10);
    if options.unknown_rate {
        return TestTorrent::single("film.bin", length, piece);
    }
    TestTorrent::headed("film.mp4", mp4_head::head(options.rate, length), length, piece)
}

/// Writes the file of the viewers' settings: the given ones, and the slot index switched on or off.
fn viewer_settings(options: &Options, folder: &Path) -> Result<Option<PathBuf>> {
    let mut settings = match &options.viewer_config {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("Can't read {}.", path.display()))?;
            serde_json::from_str::<Map<String, Value>>(&text)
                .with_context(|| format!("{} is no JSON object.", path.display()))?
        }
        None => Map::new(),
    };
    if let Some(index) = options.index {
        settings.insert("slot_index".into(), json!(index == Switch::On));
        // The network is 10.77.0.0/24; the index rejects such addresses on the internet.
        settings.insert("advanced".into(), json!({ "slots": { "local_addresses": true } }));
    }
    if settings.is_empty() {
        return Ok(None);
    }
    let path = folder.join("viewer.json");
    std::fs::write(&path, Value::Object(settings).to_string())?;
    Ok(Some(path))
}
