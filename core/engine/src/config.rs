//! Every setting of a session, its unit in its name, its default and the reason beside it.

use crate::error::{Error, Result};
use crate::peer_address::PeerAddress;
use playswarm_logic::Range;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Settings of a [`Session`](crate::Session).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The folder that files are written in. Empty, the default: `playswarm` in the user's cache folder, which is
    /// `$XDG_CACHE_HOME`, or `~/.cache` where that is not set. Files that are there already are used if they match the
    /// torrent and are never changed; see docs/adr/0011-files-and-places.md.
    pub dir: PathBuf,
    /// Whether nothing is written: files in `dir` are read and seeded, and what is fetched stays in memory, within
    /// `memory_limit_bytes`. For seeding the user's own files, and for a look at a torrent.
    pub read_only: bool,
    /// Where peers may connect to us, TCP and uTP. `None`: any free port of 6881 to 6889, on all interfaces.
    pub listen: Option<SocketAddr>,
    /// Find peers on the mainline DHT (BEP 5).
    pub dht: bool,
    /// The DHT nodes asked first, `host:port`. Empty: the well-known ones.
    pub dht_bootstrap: Vec<String>,
    /// Find peers on the local network (BEP 14).
    pub lsd: bool,
    /// Learn of peers from peers (BEP 11).
    pub pex: bool,
    /// Ask the trackers that the torrent names.
    pub trackers: bool,
    /// Ask the router for a port (UPnP).
    pub port_map: bool,
    /// Speak uTP (BEP 29) with peers that cannot be reached over TCP.
    pub utp: bool,
    /// Peers to be dialled for every torrent, beside those that are found. Host names are looked up.
    pub peers: Vec<PeerAddress>,
    /// Connections per torrent. 80: enough for any film, few enough for home routers.
    pub max_peers: usize,
    /// Bound on bytes downloaded per second; 0 for none.
    pub download_bytes_per_s: u64,
    /// Bound on bytes uploaded per second; 0 for none.
    pub upload_bytes_per_s: u64,
    /// Peers unchoked at once, one of them optimistic (BEP 3). 8: what clients of today do.
    pub upload_slots: usize,
    /// Bound on the bytes of a torrent kept on disk; 0 for none. What was watched is given back first.
    pub disk_limit_bytes: u64,
    /// Bound on the verified and half-assembled bytes kept in memory for each torrent. 64 MiB.
    pub memory_limit_bytes: u64,
    /// How long a magnet waits for its metadata while nothing new comes, neither peers nor parts of it, in milliseconds. 60 s.
    pub metadata_timeout_ms: u64,
    /// Once nobody has a torrent open any more that was read: complete it and seed it on in the background, until it is
    /// opened again or the session ends (see [`Session::kept`](crate::Session::kept)). Not together with `disk_limit_bytes`.
    pub keep: bool,
    /// Meet viewers of the same minute by the slot index on the DHT (docs/SLOTS.md). Without effect where `dht` is off, and never for
    /// private torrents.
    pub slot_index: bool,
    /// How the slot index is used.
    pub slots: playswarm_logic::slots::Config,
    /// How blocks are picked.
    pub picker: playswarm_logic::picker::Config,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            dir: PathBuf::new(),
            read_only: false,
            listen: None,
            dht: true,
            dht_bootstrap: Vec::new(),
            lsd: true,
            pex: true,
            trackers: true,
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
            keep: false,
            slot_index: true,
            slots: playswarm_logic::slots::Config::default(),
            picker: playswarm_logic::picker::Config::default(),
        }
    }
}

impl Config {
    /// Only peers given by hand or connecting to us, on a free port of loopback: for tests and demonstrations.
    pub fn offline(dir: impl Into<PathBuf>) -> Config {
        Config {
            dir: dir.into(),
            listen: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)),
            dht: false,
            lsd: false,
            pex: false,
            trackers: false,
            port_map: false,
            ..Config::default()
        }
    }

    /// Settings from a JSON object; what it leaves out has its default.
    ///
    /// # Errors
    /// [`Error::BadConfig`] where it is no such object, or for a key or a value that no setting has.
    pub fn from_json(text: &str) -> Result<Config> {
        // By way of a map, since serde would take an array for a struct too.
        serde_json::from_str::<serde_json::Map<String, Value>>(text)
            .and_then(|all| serde_json::from_value(Value::Object(all)))
            .map_err(|e| bad("given as JSON", e.to_string()))
    }

    /// All settings as a JSON object, as [`Config::from_json`] takes it.
    ///
    /// # Errors
    /// [`Error::BadConfig`] where `dir` is not UTF-8.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|e| bad("dir", e.to_string()))
    }

    /// Changes one setting, for callers that have nothing but text: key and value as in JSON, the parts of the picker's
    /// keys joined by dots (`picker.seed`). Texts need no quotes, lists may be given as `a,b`. Nothing is changed where it
    /// fails.
    ///
    /// # Errors
    /// [`Error::BadConfig`] for a key that no setting has, or a value that is not of its kind.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let mut all = serde_json::to_value(&*self).map_err(|e| bad("dir", e.to_string()))?;
        // What kind of value it is shows in the default: a setting that may be absent is absent there.
        let kinds = serde_json::to_value(Config::default()).map_err(|e| bad(key, e.to_string()))?;
        let (mut place, mut kind) = (&mut all, &kinds);
        for part in key.split('.') {
            let none = || bad(key, "there is none of that name");
            place = place.get_mut(part).ok_or_else(none)?;
            kind = kind.get(part).ok_or_else(none)?;
        }
        let text = || Value::String(value.to_owned());
        let list = || {
            let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        };
        let given = match kind {
            Value::Object(_) => return Err(bad(key, "it is a group of settings; name one of them after a dot")),
            Value::String(_) => text(),
            Value::Array(_) => serde_json::from_str(value).ok().filter(Value::is_array).unwrap_or_else(list),
            _ => serde_json::from_str(value).unwrap_or_else(|_| text()),
        };
        *place = given;
        *self = serde_json::from_value(all).map_err(|e| bad(key, format!("'{value}' is not a value of it: {e}")))?;
        Ok(())
    }

    /// Bound on the bytes of verified pieces that are kept: on disk, or in memory where nothing is written; 0 for none.
    pub(crate) fn storage_limit_bytes(&self) -> u64 {
        if self.read_only { crate::store::memory_for_pieces(self.memory_limit_bytes) } else { self.disk_limit_bytes }
    }

    /// The folder that files are written in, the default included; `None` where nothing is written and none is named or
    /// known.
    ///
    /// # Errors
    /// [`Error::BadConfig`] where files are to be written and neither the setting nor the environment names a folder.
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
                 HOME are not set; name a folder",
            ));
        }
        Ok(default)
    }

    /// Refuses what could not work, with a sentence. Every number is checked, those of the nested groups too.
    ///
    /// # Errors
    /// [`Error::BadConfig`] with the setting's name and the values that it may have.
    pub fn check(&self) -> Result<()> {
        self.ranges().iter().try_for_each(SettingRange::check)?;
        if self.disk_limit_bytes != 0 && self.disk_limit_bytes < LEAST_DISK_LIMIT_BYTES {
            return Err(bad("disk_limit_bytes", "at least 32 MiB are needed; 0 stands for no limit"));
        }
        Ok(())
    }

    /// Every numeric setting but the seeds, which may be any number, with the values that it may have. The names are those of
    /// [`Config::set`].
    pub fn ranges(&self) -> Vec<SettingRange> {
        let groups = [("", self.own_ranges()), ("picker.", self.picker.ranges()), ("slots.", self.slots.ranges())];
        let named = |(group, ranges): (&str, Vec<Range>)| {
            let one = |Range { name, value, least, most }| SettingRange {
                name: format!("{group}{name}"),
                value,
                least,
                most,
            };
            ranges.into_iter().map(one).collect::<Vec<_>>()
        };
        groups.into_iter().flat_map(named).collect()
    }

    fn own_ranges(&self) -> Vec<Range> {
        /// An exbibyte: more than there is, and far from where sums overflow.
        const BYTES: f64 = (1u64 << 60) as f64;
        /// A month.
        const MONTH_MS: f64 = 31.0 * 86_400_000.0;
        vec![
            // More connections than ports help nobody.
            Range::new("max_peers", self.max_peers as f64, 1.0, 65_535.0),
            Range::new("download_bytes_per_s", self.download_bytes_per_s as f64, 0.0, BYTES),
            Range::new("upload_bytes_per_s", self.upload_bytes_per_s as f64, 0.0, BYTES),
            // Peers that get nothing give nothing.
            Range::new("upload_slots", self.upload_slots as f64, 1.0, 65_535.0),
            Range::new("disk_limit_bytes", self.disk_limit_bytes as f64, 0.0, BYTES),
            Range::new("memory_limit_bytes", self.memory_limit_bytes as f64, LEAST_MEMORY_LIMIT_BYTES as f64, BYTES),
            Range::new("metadata_timeout_ms", self.metadata_timeout_ms as f64, 1.0, MONTH_MS),
        ]
    }
}

/// The least bound on memory, which a few pieces need.
pub const LEAST_MEMORY_LIMIT_BYTES: u64 = 8 << 20;
/// The least bound on disk use other than none: what a player has around it.
pub const LEAST_DISK_LIMIT_BYTES: u64 = 32 << 20;

/// A numeric setting and the values that it may have.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SettingRange {
    /// Its name, that of its group and a dot before it: `picker.comfort_s`.
    pub name: String,
    /// What it is set to.
    pub value: f64,
    /// The least value.
    pub least: f64,
    /// The largest value.
    pub most: f64,
}

impl SettingRange {
    fn check(&self) -> Result<()> {
        let SettingRange { name, value, least, most } = self;
        // A value that is no number is in no range.
        if (*least..=*most).contains(value) {
            return Ok(());
        }
        let limit = match (name.ends_with("_bytes") || name.ends_with("_bytes_per_s"), value < least) {
            (true, true) => format!("at least {} are needed", bytes(*least)),
            (true, false) => format!("at most {} are taken", bytes(*most)),
            (false, _) => format!("it must be a number from {least} to {most}"),
        };
        Err(bad(name, format!("{value} is out of range; {limit}")))
    }
}

/// Bytes in the largest unit that divides them.
fn bytes(n: f64) -> String {
    let n = n as u64;
    for (shift, unit) in [(60, "EiB"), (50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if n != 0 && n.trailing_zeros() >= shift {
            return format!("{} {unit}", n >> shift);
        }
    }
    format!("{n} bytes")
}

/// The default folder (XDG Base Directory Specification: relative paths do not count).
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

    /// The numbers among the settings, by their names joined with dots.
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
                // What does not even fit the setting's type is refused at once.
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
            config.picker.slack_ms = value;
            assert!(config.check().unwrap_err().to_string().contains("picker.slack_ms"));
        }
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
            ("picker.hedge_share", "0.01"),
            ("picker.seed", "9"),
        ] {
            config.set(key, value).unwrap();
        }
        assert_eq!(config.dir, PathBuf::from("/tmp/true"));
        assert_eq!(config.listen, Some("127.0.0.1:0".parse().unwrap()));
        assert!(!config.dht);
        assert_eq!(config.peers.len(), 2);
        assert_eq!(config.dht_bootstrap, ["router:6881"]);
        assert_eq!((config.max_peers, config.picker.seed), (7, 9));
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
            ("picker", "{}"),
            ("picker.no_such", "1"),
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
