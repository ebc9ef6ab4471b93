//! All settings of a session: each with its unit in its name, its default and its reason.

use crate::advanced::Advanced;
use crate::error::{Error, Result};
pub use crate::gnutella::GnutellaConfig;
pub use playswarm_logic::Range as SettingRange;
use playswarm_logic::{Range, channel, stripe};
use playswarm_proto::{PeerAddress, ProxyAddress};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// The settings of a [`Session`](crate::Session). Start from the defaults and set fields:
///
/// ```
/// let mut config = playswarm::Config::default();
/// config.dir = "/var/tmp/films".into();
/// config.max_peers = 60;
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Folder in which files are written. By default empty, which means `playswarm` in the user's
    /// cache folder: `$XDG_CACHE_HOME`, or `~/.cache` where that is not set. Existing files are
    /// used if they match the torrent, and are never changed; see
    /// docs/adr/0011-files-and-places.md.
    pub dir: PathBuf,
    /// Whether nothing is written. Files in `dir` are then read and seeded, and fetched pieces stay
    /// in memory, within `memory_limit_bytes`. For seeding the user's own files, and for inspecting
    /// a torrent.
    pub read_only: bool,
    /// Address for incoming peers over TCP and uTP. `None` means any free port of 6881 to 6889, on
    /// all interfaces.
    pub listen: Option<SocketAddr>,
    /// Interface from which everything is sent, by its name or one of its addresses; nothing is sent
    /// from others. `None` means the address of `listen`, if that names one, or the system's choice.
    pub interface: Option<String>,
    /// Proxy for all connections, `socks5://[user:password@]host:port` or the same with `http://`
    /// (CONNECT). Nothing goes around it: it looks names up, and there are no datagrams and no
    /// incoming connections.
    pub proxy: Option<ProxyAddress>,
    /// List of IP addresses that are neither dialled nor accepted, in P2P text format or eMule's DAT
    /// format, which may be compressed by gzip.
    pub blocklist: Option<PathBuf>,
    /// Whether to find peers on the mainline DHT (BEP 5).
    pub dht: bool,
    /// First DHT nodes to contact, as `host:port`. Empty means the well-known ones.
    pub dht_bootstrap: Vec<String>,
    /// Whether to find peers on the local network (BEP 14).
    pub lsd: bool,
    /// Whether to exchange peers with peers (BEP 11).
    pub pex: bool,
    /// Whether to announce to the trackers that the torrent names.
    pub trackers: bool,
    /// Whether to fetch from the web servers that the torrent or the link names: web seeds (BEP 19),
    /// and the torrent file of a link (`xs`, `as`), or the file that it names by a hash. Mirrors that
    /// the user adds are used in any case.
    pub web_seeds: bool,
    /// Whether to map a port on the router (UPnP).
    pub port_map: bool,
    /// Whether to use uTP (BEP 29) with peers that cannot be reached over TCP.
    pub utp: bool,
    /// Peers to dial for every torrent, in addition to discovered peers. Host names are resolved.
    pub peers: Vec<PeerAddress>,
    /// Most connections per torrent. 80 are enough for any film, and few enough for home routers.
    pub max_peers: usize,
    /// Limit on the download in bytes per second; 0 means no limit.
    pub download_bytes_per_s: u64,
    /// Limit on the upload in bytes per second; 0 means no limit.
    pub upload_bytes_per_s: u64,
    /// Number of peers unchoked at once, one of them optimistically (BEP 3). 8 is usual in current
    /// clients.
    pub upload_slots: usize,
    /// Limit on the bytes of a torrent on disk; 0 means no limit. Watched pieces are evicted first.
    pub disk_limit_bytes: u64,
    /// Limit on the bytes of verified and incomplete pieces in memory, per torrent. 64 MiB.
    pub memory_limit_bytes: u64,
    /// Longest wait for the metadata of a magnet link without progress, in milliseconds. Progress
    /// means new peers or new parts of the metadata. 60 s.
    pub metadata_timeout_ms: u64,
    /// Whether to complete a torrent that was read, after it was closed, and to seed it in the
    /// background. This lasts until it is opened again or the session ends (see
    /// [`Session::seeded_in_background`](crate::Session::seeded_in_background)). Not together with `disk_limit_bytes`.
    pub seed_in_background: bool,
    /// Whether to find viewers near the same playhead with the slot index on the DHT
    /// (docs/SLOTS.md). Has no effect where `dht` is off, and none for private torrents.
    pub slot_index: bool,
    /// Whether to play a file before its only hash, that of the whole, can be checked. Blocks are then
    /// checked against a tiger tree from a server. If the tree proves false at the end, the stream fails.
    /// Off by default: nothing is then shown before the whole file is proven.
    pub accept_tree: bool,
    /// How far behind the newest bytes of a live channel players begin, in milliseconds. Sources
    /// state theirs, and the larger value applies. 1 s: it hides a repair, which takes less.
    pub live_margin_ms: u64,
    /// Stretch of a live channel that is kept for late joiners and slow players, in milliseconds.
    /// 30 s.
    pub live_back_ms: u64,
    /// Most bytes kept of a live channel. 64 MiB: 30 s of 18 Mbit/s.
    pub live_back_bytes: u64,
    /// The Gnutella network: searches for files by words, and more sources of files that hashes name.
    pub gnutella: GnutellaConfig,
    /// Tuning of the algorithms. Unstable: these settings change without notice.
    pub advanced: Advanced,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            dir: PathBuf::new(),
            read_only: false,
            listen: None,
            interface: None,
            proxy: None,
            blocklist: None,
            dht: true,
            dht_bootstrap: Vec::new(),
            lsd: true,
            pex: true,
            trackers: true,
            web_seeds: true,
            port_map: true,
            utp: true,
            peers: Vec::new(),
            max_peers: 80,
            download_bytes_per_s: 0,
            upload_bytes_per_s: 0,
            upload_slots: 8,
            disk_limit_bytes: 0,
            memory_limit_bytes: 64 << 20,
            metadata_timeout_ms: 60_000,
            seed_in_background: false,
            slot_index: true,
            accept_tree: false,
            live_margin_ms: 1000,
            live_back_ms: 30_000,
            live_back_bytes: 64 << 20,
            gnutella: GnutellaConfig::default(),
            advanced: Advanced::default(),
        }
    }
}

impl Config {
    /// Returns settings for tests and demonstrations: a free port of loopback, and only peers that
    /// are given or connect to us.
    pub fn offline(dir: impl Into<PathBuf>) -> Config {
        Config {
            dir: dir.into(),
            listen: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)),
            dht: false,
            lsd: false,
            pex: false,
            trackers: false,
            web_seeds: false,
            port_map: false,
            ..Config::default()
        }
    }

    /// Returns settings for a session without peers, which only fetches torrents from their URLs. Of
    /// these settings it has the interface, the proxy and the blocklist, and those about web servers and
    /// Gnutella.
    pub fn without_peers(&self) -> Config {
        let listen = self.listen.map(|listen| listen.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback());
        Config {
            interface: self.interface.clone().or(listen.map(|ip| ip.to_string())),
            proxy: self.proxy.clone(),
            blocklist: self.blocklist.clone(),
            accept_tree: self.accept_tree,
            web_seeds: self.web_seeds,
            gnutella: self.gnutella.clone(),
            ..Config::offline(PathBuf::new())
        }
    }

    /// Parses settings from a JSON object; missing ones have their default.
    ///
    /// # Errors
    /// [`Error::BadConfig`] where the text is not a JSON object, or for an unknown key or an
    /// invalid value.
    pub fn from_json(text: &str) -> Result<Config> {
        // Parsed as a map first, since serde would also accept an array for a struct.
        serde_json::from_str::<serde_json::Map<String, Value>>(text)
            .and_then(|all| serde_json::from_value(Value::Object(all)))
            .map_err(|e| bad("given as JSON", e.to_string()))
    }

    /// Returns all settings as a JSON object that [`Config::from_json`] accepts.
    ///
    /// # Errors
    /// [`Error::BadConfig`] where `dir` is not UTF-8.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|e| bad("dir", e.to_string()))
    }

    /// Changes one setting, for callers that only have text. Key and value are as in JSON, and the
    /// keys of groups are joined by dots (`advanced.picker.seed`).
    ///
    /// Texts need no quotes, and lists may be given as `a,b`. Nothing changes on an error.
    ///
    /// # Errors
    /// [`Error::BadConfig`] for an unknown key, or a value of the wrong type.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let mut all = serde_json::to_value(&*self).map_err(|e| bad("dir", e.to_string()))?;
        // The default shows the value's type: a setting that may be absent is absent there.
        let kinds = serde_json::to_value(Config::default()).map_err(|e| bad(key, e.to_string()))?;
        let (mut place, mut kind) = (&mut all, &kinds);
        for part in key.split('.') {
            let none = || bad(key, "there is no setting of that name");
            place = place.get_mut(part).ok_or_else(none)?;
            kind = kind.get(part).ok_or_else(none)?;
        }
        let text = || Value::String(value.to_owned());
        let list = || {
            let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        };
        let given = match kind {
            Value::Object(_) => {
                return Err(bad(key, "it is a group of settings; add a dot and the name of one of them"));
            }
            Value::String(_) => text(),
            Value::Array(_) => serde_json::from_str(value).ok().filter(Value::is_array).unwrap_or_else(list),
            _ => serde_json::from_str(value).unwrap_or_else(|_| text()),
        };
        *place = given;
        *self = serde_json::from_value(all).map_err(|e| bad(key, format!("'{value}' is not a valid value: {e}")))?;
        Ok(())
    }

    /// Returns the settings of live channels.
    pub(crate) fn channel(&self) -> channel::Config {
        let margin_s = self.live_margin_ms as f64 / 1000.0;
        let stripe = stripe::Config {
            margin_s,
            // Asked for and given up in time: see `stripe::Config`.
            want_after_s: margin_s / 2.0,
            patience_s: margin_s * 2.0,
            back_s: self.live_back_ms as f64 / 1000.0,
            back_bytes: usize::try_from(self.live_back_bytes).unwrap_or(usize::MAX),
            ..stripe::Config::default()
        };
        channel::Config { relay: self.advanced.relay.clone(), stripe }
    }

    /// Returns the limit on the bytes of verified pieces, on disk, or in memory for a read-only
    /// session; 0 means no limit.
    pub(crate) fn storage_limit_bytes(&self) -> u64 {
        if self.read_only { crate::store::memory_for_pieces(self.memory_limit_bytes) } else { self.disk_limit_bytes }
    }

    /// Returns the folder in which files are written, the default included. `None` for a read-only
    /// session without a given or known folder.
    ///
    /// # Errors
    /// [`Error::BadConfig`] where files are to be written and neither the setting nor the
    /// environment names a folder.
    pub fn folder(&self) -> Result<Option<PathBuf>> {
        if !self.dir.as_os_str().is_empty() {
            return Ok(Some(self.dir.clone()));
        }
        let variable = |name| std::env::var_os(name).map(PathBuf::from);
        let default = default_folder(variable("XDG_CACHE_HOME"), variable("HOME"));
        if default.is_none() && !self.read_only {
            return Err(bad(
                "dir",
                "it is empty, and the environment does not tell where the user's cache folder is: XDG_CACHE_HOME and \
                 HOME are not set to a full path; name a folder",
            ));
        }
        Ok(default)
    }

    /// Checks every setting, including all numbers of the nested groups.
    ///
    /// # Errors
    /// [`Error::BadConfig`] with the setting's name and its valid values.
    pub fn check(&self) -> Result<()> {
        self.ranges().iter().try_for_each(check_range)?;
        if self.disk_limit_bytes != 0 && self.disk_limit_bytes < LEAST_DISK_LIMIT_BYTES {
            return Err(bad("disk_limit_bytes", "it must be at least 32 MiB, or 0 for no limit"));
        }
        self.gnutella.check()
    }

    /// Returns every numeric setting with its valid values, except the seeds, which may be any
    /// number. The names are those of [`Config::set`].
    pub fn ranges(&self) -> Vec<Range> {
        let groups = [
            ("", self.own_ranges()),
            ("gnutella.", self.gnutella.ranges()),
            ("advanced.picker.", self.advanced.picker.ranges()),
            ("advanced.slots.", self.advanced.slots.ranges()),
            ("advanced.relay.", self.advanced.relay.ranges()),
            ("advanced.sources.", self.advanced.sources.ranges()),
        ];
        let mut all = Vec::new();
        for (group, mut ranges) in groups {
            ranges.iter_mut().for_each(|range| range.name.insert_str(0, group));
            all.append(&mut ranges);
        }
        all
    }

    fn own_ranges(&self) -> Vec<Range> {
        /// An exbibyte: more than any disk has, and far from overflow of sums.
        const BYTES: f64 = (1u64 << 60) as f64;
        /// A month in milliseconds.
        const MONTH_MS: f64 = 31.0 * 86_400_000.0;
        vec![
            // There are no more ports than this.
            Range::new("max_peers", self.max_peers as f64, 1.0, 65_535.0),
            Range::new("download_bytes_per_s", self.download_bytes_per_s as f64, 0.0, BYTES),
            Range::new("upload_bytes_per_s", self.upload_bytes_per_s as f64, 0.0, BYTES),
            // Peers that get nothing send nothing.
            Range::new("upload_slots", self.upload_slots as f64, 1.0, 65_535.0),
            Range::new("disk_limit_bytes", self.disk_limit_bytes as f64, 0.0, BYTES),
            Range::new("memory_limit_bytes", self.memory_limit_bytes as f64, LEAST_MEMORY_LIMIT_BYTES as f64, BYTES),
            Range::new("metadata_timeout_ms", self.metadata_timeout_ms as f64, 1.0, MONTH_MS),
            // Below, a packet that is merely late would be asked for twice.
            Range::new("live_margin_ms", self.live_margin_ms as f64, 100.0, 10_000.0),
            // At least twice the margin; at most what 1024 groups of the usual length hold.
            Range::new("live_back_ms", self.live_back_ms as f64, 20_000.0, 240_000.0),
            Range::new("live_back_bytes", self.live_back_bytes as f64, LEAST_MEMORY_LIMIT_BYTES as f64, BYTES),
        ]
    }
}

/// Smallest limit on memory in bytes: enough for a few pieces.
pub const LEAST_MEMORY_LIMIT_BYTES: u64 = 8 << 20;
/// Smallest limit on disk use in bytes, other than none: the pieces around a player's position.
pub const LEAST_DISK_LIMIT_BYTES: u64 = 32 << 20;

/// Returns an error if the setting's value is not valid.
fn check_range(setting: &Range) -> Result<()> {
    let Range { name, value, least, most, .. } = setting;
    // NaN is in no range.
    if (*least..=*most).contains(value) {
        return Ok(());
    }
    let limit = match (name.ends_with("_bytes") || name.ends_with("_bytes_per_s"), value < least) {
        (true, true) => format!("it must be at least {}", bytes(*least)),
        (true, false) => format!("it must be at most {}", bytes(*most)),
        (false, _) => format!("it must be a number from {least} to {most}"),
    };
    Err(bad(name, format!("{value} is out of range; {limit}")))
}

/// Formats bytes in the largest unit that divides them.
fn bytes(n: f64) -> String {
    let n = n as u64;
    for (shift, unit) in [(60, "EiB"), (50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if n != 0 && n.trailing_zeros() >= shift {
            return format!("{} {unit}", n >> shift);
        }
    }
    format!("{n} bytes")
}

/// Returns the default folder. Relative paths are ignored (XDG Base Directory Specification).
fn default_folder(cache: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let cache = cache.filter(absolute).or_else(|| {
        let home = home.filter(absolute)?;
        Some(home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }))
    });
    Some(cache?.join("playswarm"))
}

fn bad(name: &str, why: impl Into<String>) -> Error {
    Error::BadConfig { name: name.into(), why: why.into() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Config, default_folder};
    use crate::error::ErrorKind;
    use serde_json::Value;
    use std::path::PathBuf;

    /// Collects the names of the numeric settings, joined with dots.
    fn numbers(all: &Value, before: &str, into: &mut Vec<String>) {
        let Value::Object(all) = all else { return };
        for (name, value) in all {
            let name = format!("{before}{name}");
            match value {
                Value::Number(_) => into.push(name),
                value => numbers(value, &format!("{name}."), into),
            }
        }
    }

    #[test]
    fn every_number_has_a_range_and_values_beyond_it_are_refused_by_name() {
        let default = Config::default();
        let all = serde_json::to_value(&default).unwrap();
        let mut names = Vec::new();
        numbers(&all, "", &mut names);
        names.retain(|name| !name.ends_with("seed"));
        let ranges = default.ranges();
        let mut known: Vec<_> = ranges.iter().map(|range| range.name.clone()).collect();
        names.sort();
        known.sort();
        assert_eq!(names, known, "a number that nothing checks, or a check of what is no setting");
        assert!(default.check().is_ok());
        for range in ranges {
            let name = &range.name;
            let pointer = format!("/{}", name.replace('.', "/"));
            let whole = all.pointer(&pointer).unwrap().is_u64();
            for value in [range.most * 2.0 + 1.0, range.most + 1.0, range.least - 1.0, f64::from(u32::MAX), 1e19, 1e308]
            {
                if range.least <= value && value <= range.most {
                    continue;
                }
                let text = if whole { format!("{value:.0}") } else { format!("{value:e}") };
                let mut config = Config::default();
                // A value that does not fit the setting's type is refused at once.
                let error = config.set(name, &text).and_then(|()| config.check()).expect_err(&format!("{name}={text}"));
                assert_eq!(error.kind(), ErrorKind::BadConfig);
                assert!(error.to_string().contains(name), "{error}");
            }
            for value in [range.least, range.most] {
                let text = if whole { format!("{value:.0}") } else { format!("{value:e}") };
                let mut config = Config::default();
                config.set(name, &text).unwrap();
                assert!(config.check().is_ok(), "{name}={text}");
            }
        }
        let mut config = Config::default();
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            config.advanced.picker.slack_ms = value;
            assert!(config.check().unwrap_err().to_string().contains("advanced.picker.slack_ms"));
        }
    }

    #[test]
    fn the_settings_of_live_channels_follow_from_the_margin() {
        let config =
            Config { live_margin_ms: 3000, live_back_ms: 60_000, live_back_bytes: 9 << 20, ..Config::default() };
        let stripe = config.channel().stripe;
        assert_eq!((stripe.margin_s, stripe.want_after_s, stripe.patience_s), (3.0, 1.5, 6.0));
        assert_eq!((stripe.back_s, stripe.back_bytes), (60.0, 9 << 20));
        assert_eq!(Config::default().channel(), playswarm_logic::channel::Config::default());
    }

    #[test]
    fn a_session_without_peers_keeps_to_the_interface_the_proxy_and_the_blocklist() {
        let all = Config {
            listen: Some("192.0.2.1:6881".parse().unwrap()),
            proxy: Some("http://h:1".parse().unwrap()),
            blocklist: Some("/list".into()),
            peers: vec!["192.0.2.2:1".parse().unwrap()],
            ..Config::default()
        };
        let some = all.without_peers();
        assert_eq!(
            (some.interface.as_deref(), &some.proxy, &some.blocklist),
            (Some("192.0.2.1"), &all.proxy, &all.blocklist)
        );
        assert!(!some.dht && !some.lsd && !some.trackers && some.peers.is_empty());
        let named = Config { interface: Some("tun0".to_owned()), ..all };
        assert_eq!(named.without_peers().interface.as_deref(), Some("tun0"));
        assert_eq!(Config::default().without_peers(), Config { web_seeds: true, ..Config::offline("") });
    }

    #[test]
    fn the_default_folder_is_in_the_users_cache() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(default_folder(path("/c"), path("/home/u")), path("/c/playswarm"));
        for relative in [None, path(""), path("c")] {
            let found = default_folder(relative, path("/home/u"));
            assert!(found.is_some_and(|f| f.starts_with("/home/u") && f.ends_with("playswarm")));
        }
        assert_eq!(default_folder(None, None), None);
        assert_eq!(default_folder(None, path("home")), None);
        let named = Config { dir: "here".into(), ..Config::default() };
        assert_eq!(named.folder().unwrap(), path("here"));
    }

    #[test]
    fn settings_are_changed_by_name_and_text() {
        let mut config = Config::default();
        for (key, value) in [
            ("dir", "/tmp/true"),
            ("listen", "127.0.0.1:0"),
            ("dht", "false"),
            ("peers", "127.0.0.1:1, peer.example:2"),
            ("dht_bootstrap", r#"["router:6881"]"#),
            ("max_peers", "7"),
            ("advanced.picker.hedge_share", "0.01"),
            ("advanced.picker.seed", "9"),
            ("gnutella.enabled", "true"),
            ("gnutella.hosts", "192.0.2.1:6346, 192.0.2.2:6346"),
        ] {
            config.set(key, value).unwrap();
        }
        assert_eq!(config.dir, PathBuf::from("/tmp/true"));
        assert_eq!(config.listen, Some("127.0.0.1:0".parse().unwrap()));
        assert!(!config.dht);
        assert_eq!(config.peers.len(), 2);
        assert_eq!(config.dht_bootstrap, ["router:6881"]);
        assert_eq!((config.max_peers, config.advanced.picker.seed), (7, 9));
        assert!(config.gnutella.enabled && config.gnutella.hosts.len() == 2);
        assert_eq!(Config::from_json(&config.to_json().unwrap()).unwrap(), config);
        config.set("listen", "null").unwrap();
        config.set("peers", "").unwrap();
        assert!(config.listen.is_none() && config.peers.is_empty());
    }

    #[test]
    fn a_setting_that_cannot_be_changed_so_stays_as_it_was() {
        for (key, value) in [
            ("", "1"),
            ("no_such", "1"),
            ("advanced.picker", "{}"),
            ("advanced.picker.no_such", "1"),
            ("picker.seed", "1"),
            ("dht.", "true"),
            ("dht", "perhaps"),
            ("max_peers", "-1"),
            ("max_peers", "1e99"),
            ("max_peers", ""),
            ("peers", "not an address"),
            ("listen", "7"),
        ] {
            let mut config = Config::default();
            let e = config.set(key, value).expect_err(key);
            assert_eq!(e.kind(), ErrorKind::BadConfig, "{key}={value}");
            assert!(e.to_string().contains(key), "{e}");
            assert_eq!(config, Config::default());
        }
        for text in ["", "[]", "{", r#"{"no_such":1}"#, r#"{"max_peers":"many"}"#] {
            assert_eq!(Config::from_json(text).unwrap_err().kind(), ErrorKind::BadConfig, "{text}");
        }
    }
}
