//! The command line: commands, options, their help texts, and the conversion to settings. Each
//! command's own file has its behaviour.

use crate::cast::CastArgs;
use crate::channel::ChannelArgs;
use crate::demo::DemoArgs;
use crate::key::KeyCommand;
use crate::relay::RelayArgs;
use crate::search::{self, MaybeGnutellaArgs, SearchArgs};
use crate::source;
use crate::units::{parse_address, parse_at, parse_count, parse_node, parse_rate, parse_size, parse_wait};
use anyhow::{Result, anyhow, bail};
use clap::{ArgAction, Args, Parser, Subcommand};
use playswarm::{Config, PeerAddress, ProxyAddress};
use playswarm_serve::{HttpConfig, RtspConfig, parse_host, parse_origin};
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
    /// Log more to standard error: -v logs events, -vv every detail with peer addresses. PLAYSWARM_LOG=playswarm=trace,… sets a filter
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
    /// Print only errors to standard error: no live view, no messages
    #[arg(short, long, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a file of a torrent at a URL that any player can open at once
    #[command(after_help = "\
Examples:
  playswarm stream film.torrent
      prints `url: http://127.0.0.1:PORT/stream/0/film.mkv` as soon as it can be opened; serves it until Ctrl-C
  playswarm stream 'magnet:?xt=urn:btih:…' --file 'S01E02'
      serves the file whose name contains S01E02; the default is the largest playable file, without samples and extras
  playswarm stream https://example.org/film.torrent --dir ~/Videos --disk-limit 20GB
      keeps at most 20 GB on disk; pieces that were watched are evicted first
  playswarm stream film.torrent --at 1:23:45
      prints the same URL and fetches that minute at once, for a player that will seek there
  playswarm stream film.torrent --http 0.0.0.0:8080 --token-file secret.txt
      serves a television on the same network; docs/HTTP.md describes access control
  playswarm stream film.torrent --rtsp
      prints a second URL, `url: rtsp://127.0.0.1:PORT/0/film.mkv`, for RTSP players; docs/RTSP.md lists them
  playswarm stream 'magnet:?xt=urn:bitprint:…&as=https://host.example/film.mkv'
      serves a file that a hash names, from web servers; .meta4 files too, and docs/SOURCES.md says what plays at once
  playswarm stream film.torrent --no-dht --no-lsd --no-port-map --peer 192.0.2.7:6881
      uses only this peer and those of the tracker")]
    Stream(StreamArgs),
    /// Serve a file of a torrent and open a player on it
    #[command(after_help = "\
Examples:
  playswarm play film.torrent                     opens mpv, VLC or the desktop's default player
  playswarm play film.torrent --player 'mpv --fs'
  playswarm play film.torrent --at 1:23:45        starts at that time
  playswarm play film.torrent --at 90m --player 'ffplay -ss {time} {url}'
  playswarm play season.torrent --file 3          plays file 3 of the list that `playswarm info season.torrent` prints

playswarm ends when the player ends, with its exit code.")]
    Play(PlayArgs),
    /// Show the contents of a torrent, and the duration, tracks, keyframes and bit rate of its film
    #[command(after_help = "\
Examples:
  playswarm info film.torrent                     fetches the film's index from peers, a few hundred kilobytes
  playswarm info season.torrent --file S01E02     describes that file
  playswarm info film.torrent --wait 0            prints what the torrent contains, without contacting peers
  playswarm info 'magnet:?xt=urn:btih:…' --json   fetches the metadata from peers and prints JSON
  curl -s https://example.org/a.torrent | playswarm info -

Exit code 3: the contents are shown, but not the duration of the film, because no peer sent its index.")]
    Info(InfoArgs),
    /// Search the Gnutella network for files, by the words of their names
    #[command(after_help = search::EXAMPLES)]
    Search(SearchArgs),
    /// Show the positions of viewers in a film, from the slot index on the DHT and from the viewers themselves
    #[command(after_help = "\
Examples:
  playswarm slots film.torrent                    looks up each slot of two minutes on the DHT, and asks viewers
  playswarm slots 'magnet:?xt=urn:btih:…' --json

Nothing is announced. Viewers that left within the last half hour may be counted. docs/SLOTS.md explains slots.")]
    Slots(SlotsArgs),
    /// Create a torrent from a file or folder, with a piece size suited to streaming
    #[command(after_help = "\
Examples:
  playswarm create film.mkv                       writes film.mkv.torrent and prints its magnet link
  playswarm create season/ -o season.torrent --tracker https://tracker.example/announce
  playswarm create film.mkv --piece-size 1MiB

A player receives no byte before its piece is complete and verified, so pieces are small: 0.5 to 1 second of video each.")]
    Create(CreateArgs),
    /// Upload existing files to other peers
    #[command(after_help = "\
Examples:
  playswarm seed film.mkv film.mkv.torrent
  playswarm seed film.mkv film.mkv.torrent --listen 0.0.0.0:6881 --up-limit 2M

The files are checked against the torrent first.")]
    Seed(SeedArgs),
    /// Cast a live channel: a stream from an encoder, a file or a URL, which viewers pass on to each other
    #[command(after_help = "\
Examples:
  playswarm cast film.ts --loop
      repeats a file in real time; prints `link: playswarm:KEY?at=…`, which viewers open
  ffmpeg -re -i film.mp4 -c copy -f mpegts - | playswarm cast
      casts what an encoder makes, and ends with it
  playswarm cast --push --name 'My show'
      prints `push: http://127.0.0.1:PORT/live?token=…` and `push: rtmp://127.0.0.1:PORT/live/…`, for FFmpeg, OBS and others
  playswarm cast https://example.org/live.m3u8
      casts a stream of another server; udp://127.0.0.1:5000 receives MPEG-TS
  ffmpeg -f v4l2 -i /dev/video0 -c:v libx264 -g 50 -f mpegts - | playswarm cast --name 'My garden' --key garden.key
      keeps the channel's key in a file, so that the link is the same each time
  playswarm cast film.ts --rate 400k --up-limit 1M --listen 0.0.0.0:6881

Viewers begin at keyframes: let the encoder make one each second or two (-g 50 at 25 pictures a second). docs/LIVE-USE.md has more.")]
    Cast(CastArgs),
    /// Watch a live channel in any player
    #[command(after_help = "\
Examples:
  playswarm watch 'playswarm:KEY?at=192.0.2.7:6881'
      prints `url: http://127.0.0.1:PORT/live.ts` once the stream arrives; serves it until Ctrl-C
  playswarm watch 'playswarm:KEY?at=192.0.2.7:6881' --play
      opens mpv, VLC or the desktop's default player
  playswarm watch 'playswarm:KEY?at=192.0.2.7:6881' --player 'mpv --profile=low-latency'

  playswarm watch 'playswarm:KEY?at=192.0.2.7:6881' --archive films
      also writes the minutes that the source archives, downloads those before, and seeds them

Without a player of its own it ends with the stream. The stream is passed on to other viewers meanwhile; --up-limit bounds that. `playswarm stream` and `play` take such links as well.")]
    Watch(WatchArgs),
    /// Pass live channels on to viewers, without a player
    #[command(after_help = "\
Examples:
  playswarm relay 'playswarm:KEY?at=192.0.2.7:6881'
      takes part in the channel until its stream ends or Ctrl-C
  playswarm relay 'playswarm:KEY?at=192.0.2.7:6881' 'playswarm:KEY2?at=192.0.2.8:6881' --up-limit 10M
      divides 10 MB/s of upload among two channels

Without --up-limit, it finds out what its line carries.")]
    Relay(RelayArgs),
    /// Show whether a live channel is on the air, its type, rate, stripes and free places
    #[command(after_help = "\
Examples:
  playswarm channel 'playswarm:KEY?at=192.0.2.7:6881'
  playswarm channel 'playswarm:KEY?at=192.0.2.7:6881' --json --wait 5

Exit code 0 if it is on the air, 1 if not.")]
    Channel(ChannelArgs),
    /// Make the secret key of a live channel, or show the link that it leads to
    #[command(
        subcommand,
        after_help = "\
Examples:
  playswarm key new garden.key       writes a new key for its owner alone, and prints the channel's link
  playswarm key show garden.key      prints the link again
  playswarm cast --key garden.key    casts to that channel

Who has the file can cast to the channel."
    )]
    Key(KeyCommand),
    /// Play a built-in clip from a small swarm on this machine; needs no internet access
    #[command(after_help = "\
Examples:
  playswarm demo                 runs six rate-limited peers on this machine and opens a player if one is installed
  playswarm demo --no-player     prints the URL and serves it
  playswarm demo --check         needs no player: reads, seeks, compares every byte; exit code 0 if all are right")]
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StreamArgs {
    /// A .torrent or .meta4 file, its URL, a magnet link, an info-hash (40 hexadecimal or 32 base32 characters), the hash of a file
    /// (urn:sha1:…), a link to a live channel, or - for standard input
    pub(crate) source: String,
    /// File to stream: its number in `playswarm info`, or a part of its name. Default: the largest playable file
    #[arg(long, value_name = "N|NAME")]
    pub(crate) file: Option<String>,
    /// Start at this time: 83.5 (seconds), 1:23:45 or 1h23m45s. Its bytes are fetched before a player requests them
    #[arg(long, value_name = "TIME", value_parser = parse_at)]
    pub(crate) at: Option<Duration>,
    /// Web server that has the torrent's file, or the folder of its files (docs/SOURCES.md); may be repeated
    #[arg(long, value_name = "URL")]
    pub(crate) mirror: Vec<String>,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    #[command(flatten)]
    pub(crate) gnutella: MaybeGnutellaArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PlayArgs {
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
    /// Command of the player. The URL replaces {url} or is appended; the seconds of --at replace {time}
    #[arg(long, value_name = "CMD")]
    pub(crate) player: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// A .torrent or .meta4 file, its URL, a magnet link, an info-hash, the hash of a file, or - for standard input
    pub(crate) source: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// File to describe: its number, or a part of its name. Default: the largest playable file, and the durations of the others
    #[arg(long, value_name = "N|NAME")]
    pub(crate) file: Option<String>,
    /// Longest total wait for peers, for the metadata of a magnet link and the file's index. 0 does not fetch the index. Default: 20 for
    /// the index; the metadata is awaited while there is progress
    #[arg(long, value_name = "SECONDS", value_parser = parse_wait)]
    pub(crate) wait: Option<f64>,
    /// Folder with files of the torrent, which are read; nothing is written. Default: the folder of `stream`
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) gnutella: MaybeGnutellaArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SlotsArgs {
    /// A .torrent file, its URL, a magnet link, an info-hash, or - for standard input
    pub(crate) source: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// File: its number, or a part of its name. Default: the largest playable file
    #[arg(long, value_name = "N|NAME")]
    pub(crate) file: Option<String>,
    /// Longest wait for the film's duration from peers and for the positions of viewers
    #[arg(long, value_name = "SECONDS", value_parser = parse_wait, default_value = "20")]
    pub(crate) wait: f64,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// File or folder
    pub(crate) path: PathBuf,
    /// Torrent file to write. Default: the name of the path with .torrent, in the current folder
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Piece size, a power of two from 16KiB to 64MiB. Default: chosen for streaming
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) piece_size: Option<u64>,
    /// Announce URL of a tracker; may be repeated, preferred first
    #[arg(long, value_name = "URL")]
    pub(crate) tracker: Vec<String>,
    /// Restrict peers to those from its trackers (BEP 27)
    #[arg(long)]
    pub(crate) private: bool,
    /// Overwrite an existing torrent file
    #[arg(short, long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SeedArgs {
    /// File or folder from which the torrent was created, or the folder that contains it
    pub(crate) path: PathBuf,
    /// A .torrent file, its URL, a magnet link, or - for standard input
    pub(crate) torrent: String,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// A link to a channel: playswarm:KEY?at=HOST:PORT, or magnet:?xt=urn:psl:KEY
    pub(crate) link: String,
    /// Open a player
    #[arg(long)]
    pub(crate) play: bool,
    /// Open this player. The URL replaces {url} or is appended
    #[arg(long, value_name = "CMD")]
    pub(crate) player: Option<String>,
    /// Keep the archive of the channel in this folder, and seed it meanwhile. Its source must keep one
    #[arg(long, value_name = "DIR")]
    pub(crate) archive: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Storage")]
pub(crate) struct StorageArgs {
    /// Folder for downloaded files. Default: playswarm in the user's cache folder, usually ~/.cache
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Limit of the torrent's bytes on disk (500M, 2GiB, 10GB). Watched pieces are evicted first. At least 32MiB; 0: no limit
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) disk_limit: Option<u64>,
    /// Limit of verified and incomplete pieces in memory, at least 8MiB. Default: 64MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) memory_limit: Option<u64>,
    /// When the file was read and has no reader left, complete and seed the torrent until Ctrl-C. Not with --disk-limit
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "HTTP")]
pub(crate) struct HttpArgs {
    /// Address of the HTTP server. Default: 127.0.0.1 and a free port
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0", value_parser = parse_address)]
    pub(crate) http: SocketAddr,
    /// Serve over RTSP as well, and print a second `url:` line. Default: 127.0.0.1 and a free port
    #[arg(long, value_name = "IP:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:0", value_parser = parse_address)]
    pub(crate) rtsp: Option<SocketAddr>,
    /// Secret that every request must contain; the printed URL has it. Other users can see it in the process list: prefer --token-file
    #[arg(long, value_name = "SECRET")]
    pub(crate) token: Option<String>,
    /// File that contains the secret
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
    /// Further host name of this server; may be repeated
    #[arg(long, value_name = "NAME", value_parser = parse_host)]
    pub(crate) allow_host: Vec<String>,
    /// Web site whose pages may read from this server, such as https://app.example; may be repeated
    #[arg(long, value_name = "ORIGIN", value_parser = parse_origin)]
    pub(crate) allow_origin: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArgs {
    /// Address for incoming peer connections (TCP and uTP). Default: a free port from 6881 to 6889
    #[arg(long, value_name = "IP:PORT", value_parser = parse_address)]
    pub(crate) listen: Option<SocketAddr>,
    /// Interface to send from, by its name or one of its addresses; nothing is sent from others. Default: the address of --listen, if it
    /// names one
    #[arg(long, value_name = "NAME|IP")]
    pub(crate) interface: Option<String>,
    /// Proxy for all connections: socks5://[user:password@]host:port, or http:// for CONNECT. Nothing goes around it: no DHT, UDP tracker
    /// or incoming connection. Other users can see a password in the process list: prefer --config
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<ProxyAddress>,
    /// List of IP addresses that are neither dialled nor accepted, in P2P text or eMule's DAT format, may be gzipped
    #[arg(long, value_name = "FILE")]
    pub(crate) blocklist: Option<PathBuf>,
    /// Peer to connect to; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) peer: Vec<PeerAddress>,
    /// Do not use the DHT
    #[arg(long)]
    pub(crate) no_dht: bool,
    /// Do not use the DHT slot index to find other viewers (docs/SLOTS.md)
    #[arg(long)]
    pub(crate) no_slots: bool,
    /// Do not search for peers on the local network
    #[arg(long)]
    pub(crate) no_lsd: bool,
    /// Do not exchange peer addresses with peers (PEX)
    #[arg(long)]
    pub(crate) no_pex: bool,
    /// Do not use trackers
    #[arg(long)]
    pub(crate) no_trackers: bool,
    /// Do not fetch from the web seeds that the torrent or the link names
    #[arg(long)]
    pub(crate) no_web_seeds: bool,
    /// Do not request a port mapping from the router
    #[arg(long)]
    pub(crate) no_port_map: bool,
    /// Use TCP only, no uTP
    #[arg(long)]
    pub(crate) no_utp: bool,
    /// DHT node to bootstrap from instead of the well-known ones; may be repeated
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_node)]
    pub(crate) dht_bootstrap: Vec<String>,
    /// Most connections per torrent, at least 1. Default: 80
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(crate) max_peers: Option<usize>,
    /// Download limit in bytes per second (2M is 2,000,000, 2MiB is 2,097,152). 0: no limit
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) down_limit: Option<u64>,
    /// Upload limit in bytes per second. 0: no limit
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) up_limit: Option<u64>,
    /// Play a file before its only hash, a SHA-1, can be checked, by a tree from its servers. The SHA-1 is checked once the whole file is here
    #[arg(long)]
    pub(crate) accept_tree: bool,
    /// File with settings as JSON (docs/CLI.md). Command-line options take precedence
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
                    let what = if text.is_empty() { "is empty" } else { "contains no settings" };
                    bail!("{} {what}; it must be a JSON object, at least {{}}", path.display());
                }
                serde_json::from_str(&text)
                    .map_err(|e| anyhow!("{} contains no valid settings: {e}", path.display()))?
            }
        };
        config.listen = self.listen.or(config.listen);
        config.interface = self.interface.clone().or(config.interface);
        config.proxy = self.proxy.clone().or(config.proxy);
        config.blocklist = self.blocklist.clone().or(config.blocklist);
        config.peers.extend(self.peer.iter().cloned());
        config.dht &= !self.no_dht;
        config.slot_index &= !self.no_slots;
        config.lsd &= !self.no_lsd;
        config.pex &= !self.no_pex;
        config.trackers &= !self.no_trackers;
        config.web_seeds &= !self.no_web_seeds;
        config.port_map &= !self.no_port_map;
        config.utp &= !self.no_utp;
        config.accept_tree |= self.accept_tree;
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
        let mut config = HttpConfig::default();
        config.listen = self.http;
        config.token = source::secret(self.token.as_ref(), self.token_file.as_deref())?;
        config.allow_hosts.clone_from(&self.allow_host);
        config.allow_origins.clone_from(&self.allow_origin);
        config.remedies.host = "start playswarm with --allow-host {}".into();
        config.remedies.origin = "start playswarm with --allow-origin {}".into();
        config.check()?;
        Ok(config)
    }

    /// Returns the settings of the RTSP server, if it is wanted: those that HTTP has as well are the
    /// same.
    pub(crate) fn rtsp_config(&self, http: &HttpConfig) -> Result<Option<RtspConfig>> {
        let Some(listen) = self.rtsp else { return Ok(None) };
        let mut config = RtspConfig::default();
        config.listen = listen;
        config.token.clone_from(&http.token);
        config.allow_hosts.clone_from(&http.allow_hosts);
        config.check()?;
        Ok(Some(config))
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
    fn the_command_line_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn gnutella_is_off_unless_it_is_asked_for_or_a_way_to_it_is_named() {
        for (options, is_on) in [("", false), (" --gnutella", true), (" --gnutella-node 192.0.2.1:6346", true)] {
            let mut config = Config::default();
            stream(&format!("playswarm stream urn:sha1:x{options}")).gnutella.apply(&mut config);
            assert_eq!(config.gnutella.enabled, is_on, "{options}");
        }
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
    fn interface_proxy_and_blocklist_become_settings_and_the_password_is_not_shown() {
        let line = "playswarm stream x --interface tun0 --proxy socks5://u:s3cret@h:9050 --blocklist /b.p2p";
        let args = stream(line);
        let config = args.network.config().unwrap();
        let mut expected = Config::default();
        expected.interface = Some("tun0".to_owned());
        expected.proxy = Some("socks5://u:s3cret@h:9050".parse().unwrap());
        expected.blocklist = Some("/b.p2p".into());
        assert_eq!(config, expected);
        assert!(!format!("{args:?} {config:?}").contains("s3cret"));
    }

    #[test]
    fn rtsp_has_the_token_and_the_hosts_of_http() {
        let config = |line: &str| {
            let args = stream(line).http;
            args.rtsp_config(&args.config().unwrap()).unwrap()
        };
        assert_eq!(config("playswarm stream x"), None);
        assert_eq!(config("playswarm stream x --rtsp").unwrap().listen, "127.0.0.1:0".parse().unwrap());
        let config =
            config("playswarm stream x --token s3cret --allow-host films.example --rtsp 0.0.0.0:8554").unwrap();
        assert_eq!(config.allow_hosts, ["films.example"]);
        assert_eq!((config.listen, config.token.as_deref()), ("0.0.0.0:8554".parse().unwrap(), Some("s3cret")));
    }

    #[test]
    fn options_take_precedence_over_the_settings_file() {
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
