//! The command line: commands, options, their help texts, and the conversion to settings. Each
//! command's own file has its behaviour.

use crate::source;
use crate::units::{parse_address, parse_at, parse_count, parse_node, parse_rate, parse_size, parse_wait};
use anyhow::{Result, anyhow, bail};
use clap::{ArgAction, Args, Parser, Subcommand};
use playswarm::{Config, PeerAddress};
use playswarm_serve::{HttpConfig, parse_host, parse_origin};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Plays the video of a swarm while it downloads, with instant seek.
#[derive(Debug, Parser)]
#[command(
    name = "playswarm",
    version,
    max_term_width = 110,
    after_help = "\
Try it without any internet:   playswarm demo
Play a torrent:                playswarm play film.torrent
Open it in any player:         playswarm stream 'magnet:?xt=urn:btih:…'

`playswarm COMMAND --help` shows examples for each command."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Log more to stderr: -v what happens, -vv every detail (addresses of peers too). PLAYSWARM_LOG=playswarm=trace,… chooses finely
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
    /// No live view and no remarks on stderr; errors only
    #[arg(short, long, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a file of a torrent to any player, at a URL that can be opened at once
    #[command(after_help = "\
Examples:
  playswarm stream film.torrent
      prints `url: http://127.0.0.1:PORT/stream/0/film.mkv` as soon as it can be opened, and serves it until Ctrl-C
  playswarm stream 'magnet:?xt=urn:btih:…' --file 'S01E02'
      the film whose name holds S01E02; without --file the largest that can be played and is no sample or extra
  playswarm stream https://example.org/film.torrent --dir ~/Videos --disk-limit 20GB
      keeps at most 20 GB on disk: what has been watched is given back first
  playswarm stream film.torrent --at 1:23:45
      the same URL, and what is played then is fetched at once: for a player that will jump there
  playswarm stream film.torrent --http 0.0.0.0:8080 --token-file secret.txt
      for a television in the same network; docs/HTTP.md says who may ask
  playswarm stream film.torrent --no-dht --no-lsd --no-port-map --peer 192.0.2.7:6881
      from this peer and those of the tracker only")]
    Stream(StreamArgs),
    /// The same, and open a player on it
    #[command(after_help = "\
Examples:
  playswarm play film.torrent                     mpv, VLC or the desktop's player, whichever is there
  playswarm play film.torrent --player 'mpv --fs'
  playswarm play film.torrent --at 1:23:45        begins there
  playswarm play film.torrent --at 90m --player 'ffplay -ss {time} {url}'
  playswarm play season.torrent --file 3          the third file of `playswarm info season.torrent`, counted from 0

playswarm ends when the player ends, with its exit code.")]
    Play(PlayArgs),
    /// Show what is in a torrent, and of its film: duration, tracks, keyframes, bit rate
    #[command(after_help = "\
Examples:
  playswarm info film.torrent                     asks peers for the film's index, a few hundred kilobytes
  playswarm info season.torrent --file S01E02     of that file
  playswarm info film.torrent --wait 0            what the torrent alone tells; asks nobody
  playswarm info 'magnet:?xt=urn:btih:…' --json   asks peers for what is in it
  curl -s https://example.org/a.torrent | playswarm info -

Exit code 3: what is in the torrent is shown, but not how long its film plays, since no peer gave its index.")]
    Info(InfoArgs),
    /// Show who is where in a film: the viewers that the slot index knows, and those that say so themselves
    #[command(after_help = "\
Examples:
  playswarm slots film.torrent                    looks up each slot of two minutes on the DHT, and asks peers
  playswarm slots 'magnet:?xt=urn:btih:…' --json

It announces nothing. A slot's viewers may have left within the last half an hour. docs/SLOTS.md says what a slot is.")]
    Slots(SlotsArgs),
    /// Make a torrent of a file or folder, with pieces chosen for streaming
    #[command(after_help = "\
Examples:
  playswarm create film.mkv                       writes film.mkv.torrent and prints its magnet link
  playswarm create season/ -o season.torrent --tracker https://tracker.example/announce
  playswarm create film.mkv --piece-size 1MiB

A player sees no byte before its piece is whole and verified, so pieces are small: half a second to a second of video each.")]
    Create(CreateArgs),
    /// Serve files that are here to other peers
    #[command(after_help = "\
Examples:
  playswarm seed film.mkv film.mkv.torrent
  playswarm seed film.mkv film.mkv.torrent --listen 0.0.0.0:6881 --up-limit 2M

The files are checked against the torrent first.")]
    Seed(SeedArgs),
    /// Play a built-in clip from a small swarm on this machine: no internet needed
    #[command(after_help = "\
Examples:
  playswarm demo                 six rate-limited peers on this machine; opens a player if there is one
  playswarm demo --no-player     prints the URL and serves it
  playswarm demo --check         no player needed: reads, jumps about, compares every byte; exit code 0 if all is well")]
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StreamArgs {
    /// A .torrent file, its URL, a magnet link, an info-hash (40 hexadecimal or 32 base32 characters), or - for standard input
    pub(crate) source: String,
    /// The file to stream: its number in `playswarm info`, or (a part of) its name. Without: the largest that can be played
    #[arg(long, value_name = "N|NAME")]
    pub(crate) file: Option<String>,
    /// Begin there: 83.5 (seconds), 1:23:45 or 1h23m45s. What is played then is fetched before anybody asks for it
    #[arg(long, value_name = "TIME", value_parser = parse_at)]
    pub(crate) at: Option<Duration>,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PlayArgs {
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
    /// The player's command; the URL is put in place of {url}, or added at the end, and the seconds of --at in place of {time}
    #[arg(long, value_name = "CMD")]
    pub(crate) player: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// A .torrent file, its URL, a magnet link, an info-hash, or - for standard input
    pub(crate) source: String,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The file to tell of: its number, or (a part of) its name. Without: the largest that can be played, and how long the others play
    #[arg(long, value_name = "N|NAME")]
    pub(crate) file: Option<String>,
    /// How long peers may take in all, for a magnet's contents and the file's index. 0: do not ask for the index. Without: 20 for the index,
    /// and for a magnet's contents as long as there is progress
    #[arg(long, value_name = "SECONDS", value_parser = parse_wait)]
    pub(crate) wait: Option<f64>,
    /// A folder with files of the torrent, which are read; nothing is written. Without: the folder of `stream`
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SlotsArgs {
    /// A .torrent file, its URL, a magnet link, an info-hash, or - for standard input
    pub(crate) source: String,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The file: its number, or (a part of) its name. Without: the largest that can be played
    #[arg(long, value_name = "N|NAME")]
    pub(crate) file: Option<String>,
    /// How long peers may take to give the film's length, and viewers to say where they are
    #[arg(long, value_name = "SECONDS", value_parser = parse_wait, default_value = "20")]
    pub(crate) wait: f64,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// The file or folder
    pub(crate) path: PathBuf,
    /// Where the torrent is written. Without: the path's name and .torrent, in the current folder
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Bytes of a piece, a power of two from 16KiB to 64MiB. Without: chosen for streaming
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) piece_size: Option<u64>,
    /// A tracker's announce URL; may be repeated, best first
    #[arg(long, value_name = "URL")]
    pub(crate) tracker: Vec<String>,
    /// Peers are to be had from its trackers only (BEP 27)
    #[arg(long)]
    pub(crate) private: bool,
    /// Overwrite the torrent file if it is there
    #[arg(short, long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SeedArgs {
    /// The file or folder that the torrent was made of, or the folder that it is in
    pub(crate) path: PathBuf,
    /// A .torrent file, its URL, a magnet link, or - for standard input
    pub(crate) torrent: String,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Do not open a player
    #[arg(long)]
    pub(crate) no_player: bool,
    /// The player's command; the URL is put in place of {url}, or added at the end
    #[arg(long, value_name = "CMD", conflicts_with = "no_player")]
    pub(crate) player: Option<String>,
    /// Read and jump about without a player, compare every byte with the clip, print the times, exit 0 or 1
    #[arg(long, conflicts_with_all = ["no_player", "player"])]
    pub(crate) check: bool,
    /// Where to serve it
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0", value_parser = parse_address)]
    pub(crate) http: SocketAddr,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Storage")]
pub(crate) struct StorageArgs {
    /// The folder that files are written in. Without: playswarm in the user's cache folder, mostly ~/.cache
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Bound on the torrent's bytes on disk (500M, 2GiB, 10GB); what was watched is given back first. At least 32MiB; 0: none
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) disk_limit: Option<u64>,
    /// Bound on verified and half-assembled bytes in memory, at least 8MiB. Without: 64MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) memory_limit: Option<u64>,
    /// Once it was read and nobody reads it any more: complete it and seed it on, until Ctrl-C. Not with --disk-limit
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "HTTP")]
pub(crate) struct HttpArgs {
    /// Where to serve players. Without: a free port of 127.0.0.1
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0", value_parser = parse_address)]
    pub(crate) http: SocketAddr,
    /// A secret that every request must bring; it is part of the printed URL. Others on this machine can see it in the list of processes: prefer --token-file
    #[arg(long, value_name = "SECRET")]
    pub(crate) token: Option<String>,
    /// A file that holds the secret
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
    /// Another name under which this server is known; may be repeated
    #[arg(long, value_name = "NAME", value_parser = parse_host)]
    pub(crate) allow_host: Vec<String>,
    /// A web site whose pages may read everything here, e.g. https://app.example; may be repeated
    #[arg(long, value_name = "ORIGIN", value_parser = parse_origin)]
    pub(crate) allow_origin: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArgs {
    /// Where peers may connect to us, TCP and uTP. Without: a free port of 6881 to 6889
    #[arg(long, value_name = "IP:PORT", value_parser = parse_address)]
    pub(crate) listen: Option<SocketAddr>,
    /// A peer to connect to; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) peer: Vec<PeerAddress>,
    /// Do not use the DHT
    #[arg(long)]
    pub(crate) no_dht: bool,
    /// Do not meet viewers of the same minute by the slot index on the DHT (docs/SLOTS.md)
    #[arg(long)]
    pub(crate) no_slots: bool,
    /// Do not look for peers on the local network
    #[arg(long)]
    pub(crate) no_lsd: bool,
    /// Do not exchange peers with peers
    #[arg(long)]
    pub(crate) no_pex: bool,
    /// Do not ask trackers
    #[arg(long)]
    pub(crate) no_trackers: bool,
    /// Do not ask the router for a port
    #[arg(long)]
    pub(crate) no_port_map: bool,
    /// TCP only
    #[arg(long)]
    pub(crate) no_utp: bool,
    /// A DHT node to begin with instead of the well-known ones; may be repeated
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_node)]
    pub(crate) dht_bootstrap: Vec<String>,
    /// Connections for each torrent, at least 1. Without: 80
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(crate) max_peers: Option<usize>,
    /// Bound on downloading, bytes per second (2M is 2,000,000, 2MiB is 2,097,152). 0: none
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) down_limit: Option<u64>,
    /// Bound on uploading, bytes per second. 0: none
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) up_limit: Option<u64>,
    /// Settings as JSON, as in docs/CLI.md; options given here come before it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl NetworkArgs {
    /// Returns the settings of the file, if there is one, changed by the options. Must be called
    /// once, as the file may be a pipe. Must be called before signals are handled, as the pipe's
    /// other end may be silent.
    pub(crate) fn config(&self) -> Result<Config> {
        let mut config = match &self.config {
            None => Config::default(),
            Some(path) => {
                let text = source::small_file(path)?;
                if !text.starts_with('{') {
                    let what = if text.is_empty() { "is empty" } else { "holds no settings" };
                    bail!("{} {what}; settings are a JSON object, at least {{}}", path.display());
                }
                serde_json::from_str(&text).map_err(|e| anyhow!("{} holds no settings: {e}", path.display()))?
            }
        };
        config.listen = self.listen.or(config.listen);
        config.peers.extend(self.peer.iter().cloned());
        config.dht &= !self.no_dht;
        config.slot_index &= !self.no_slots;
        config.lsd &= !self.no_lsd;
        config.pex &= !self.no_pex;
        config.trackers &= !self.no_trackers;
        config.port_map &= !self.no_port_map;
        config.utp &= !self.no_utp;
        if !self.dht_bootstrap.is_empty() {
            config.dht_bootstrap.clone_from(&self.dht_bootstrap);
        }
        config.max_peers = self.max_peers.unwrap_or(config.max_peers);
        config.download_bytes_per_s = self.down_limit.unwrap_or(config.download_bytes_per_s);
        config.upload_bytes_per_s = self.up_limit.unwrap_or(config.upload_bytes_per_s);
        Ok(config)
    }
}

impl StorageArgs {
    pub(crate) fn apply(&self, config: &mut Config) {
        if let Some(dir) = &self.dir {
            config.dir.clone_from(dir);
        }
        config.disk_limit_bytes = self.disk_limit.unwrap_or(config.disk_limit_bytes);
        config.memory_limit_bytes = self.memory_limit.unwrap_or(config.memory_limit_bytes);
        config.seed_in_background |= self.keep;
    }
}

impl HttpArgs {
    pub(crate) fn config(&self) -> Result<HttpConfig> {
        let token = match &self.token_file {
            None => self.token.clone(),
            Some(path) => {
                let text = source::small_file(path)?;
                if text.is_empty() {
                    bail!("{} is empty; the secret stands in it", path.display());
                }
                Some(text)
            }
        };
        let mut config = HttpConfig::default();
        config.listen = self.http;
        config.token = token;
        config.allow_hosts.clone_from(&self.allow_host);
        config.allow_origins.clone_from(&self.allow_origin);
        config.remedies.host = "start playswarm with --allow-host {}".into();
        config.remedies.origin = "start playswarm with --allow-origin {}".into();
        config.check()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::CommandFactory;

    fn stream(line: &str) -> StreamArgs {
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Stream(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_labs_command_line_becomes_its_settings() {
        let args = stream(
            "playswarm stream x.torrent --dir /d --listen 10.0.0.1:6881 --http 127.0.0.1:8080 --no-dht --no-lsd --no-port-map \
             --peer 10.0.0.2:1 --peer [::1]:2 --disk-limit 2GiB --memory-limit 64MiB --max-peers 7 --up-limit 2M/s",
        );
        let mut config = args.network.config().unwrap();
        args.storage.apply(&mut config);
        let mut expected = Config::default();
        expected.dir = "/d".into();
        expected.listen = Some("10.0.0.1:6881".parse().unwrap());
        (expected.dht, expected.lsd, expected.port_map) = (false, false, false);
        expected.peers = vec!["10.0.0.2:1".parse().unwrap(), "[::1]:2".parse().unwrap()];
        expected.disk_limit_bytes = 2 << 30;
        expected.memory_limit_bytes = 64 << 20;
        expected.max_peers = 7;
        expected.upload_bytes_per_s = 2_000_000;
        assert_eq!(config, expected);
        assert_eq!(args.http.config().unwrap().listen, "127.0.0.1:8080".parse().unwrap());
    }

    #[test]
    fn options_come_before_the_settings_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.json");
        std::fs::write(&file, r#"{"max_peers": 5, "dht": false, "upload_bytes_per_s": 9}"#).unwrap();
        let config =
            stream(&format!("playswarm stream x --config {} --max-peers 6", file.display())).network.config().unwrap();
        assert_eq!((config.max_peers, config.dht, config.upload_bytes_per_s), (6, false, 9));
        std::fs::write(&file, r#"{"max_pears": 5}"#).unwrap();
        let error = stream(&format!("playswarm stream x --config {}", file.display())).network.config().unwrap_err();
        assert!(error.to_string().contains("max_pears"), "{error}");
    }

    #[test]
    fn a_token_comes_from_a_file_without_its_line_break() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t");
        std::fs::write(&file, "s3cret\n").unwrap();
        let args = stream(&format!("playswarm stream x --token-file {}", file.display()));
        assert_eq!(args.http.config().unwrap().token.as_deref(), Some("s3cret"));
        std::fs::write(&file, "\n").unwrap();
        assert!(args.http.config().is_err());
    }
}
