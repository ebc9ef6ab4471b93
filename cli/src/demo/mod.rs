//! `playswarm demo`: a swarm of rate-limited peers within this process, on loopback, and a clip
//! that is played from it. It needs no internet and leaves nothing behind.

mod check;

use crate::ExitCode;
use crate::log;
use crate::player::{self, Player, Show};
use crate::stop::{self, Stop};
use crate::stream::until_the_end;
use crate::units::parse_address;
use crate::view::{self, View};
use anyhow::{Result, anyhow};
use clap::Args;
use playswarm::{Config, CreateOptions, Metainfo, Session, Source, TorrentHandle, create_torrent};
use playswarm_serve::{HttpConfig, Server, serve};
use std::net::SocketAddr;
use std::path::Path;
use tempfile::TempDir;

/// The clip, made for this project (see cli/demo/README.md), CC0.
pub(crate) static CLIP: &[u8] = include_bytes!("../../demo/clip.mp4");
const NAME: &str = "playswarm-demo.mp4";
/// Upload limits of the peers in bytes per second. They are uneven, as in real swarms, and add up
/// to about twice the clip's rate.
const PEER_RATES: [u64; 6] = [150_000, 100_000, 80_000, 50_000, 40_000, 30_000];
/// Piece size in bytes, small for a small clip: a piece is a third of a second of it.
const PIECE_BYTES: u32 = 64 << 10;

/// Everything that must live as long as the demo.
struct Demo {
    seeds: Vec<(Session, TorrentHandle)>,
    viewer: Session,
    media: TorrentHandle,
    file: usize,
    _folder: TempDir,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Do not open a player
    #[arg(long)]
    pub(crate) no_player: bool,
    /// Command of the player. The URL replaces {url} or is appended
    #[arg(long, value_name = "CMD", conflicts_with = "no_player")]
    pub(crate) player: Option<String>,
    /// Read and seek without a player, compare every byte with the clip, print the times, exit with 0 or 1
    #[arg(long, conflicts_with_all = ["no_player", "player"])]
    pub(crate) check: bool,
    /// Address of the HTTP server
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0", value_parser = parse_address)]
    pub(crate) http: SocketAddr,
}

pub(crate) async fn demo(args: &DemoArgs, view: view::Options) -> Result<ExitCode> {
    let mut stop = Stop::new()?;
    let player = match &args.player {
        Some(command) => Some(Player::from_command(command)?),
        None if args.no_player || args.check => None,
        None => player::find(),
    };
    let Some(demo) = stop.unless(Demo::start()).await else { return Ok(ExitCode::SUCCESS) };
    let demo = demo?;
    let done = demo.run(args, player, view, &mut stop).await;
    demo.close().await;
    done
}

impl Demo {
    async fn start() -> Result<Demo> {
        let folder = tempfile::Builder::new()
            .prefix("playswarm-demo-")
            .tempdir()
            .map_err(|e| anyhow!("cannot create a temporary folder: {e}; set TMPDIR to a writable folder"))?;
        let original = folder.path().join("original");
        put_clip(&original)?;
        let mut options = CreateOptions::default();
        options.piece_bytes = Some(PIECE_BYTES);
        let torrent = create_torrent(original.join(NAME), options, |_, _| {}).await?.torrent;
        let mut seeds = Vec::new();
        for (i, &rate) in PEER_RATES.iter().enumerate() {
            seeds.push(seed(&folder.path().join(format!("peer{i}")), &torrent, rate).await?);
        }
        let viewer_dir = folder.path().join("viewer");
        std::fs::create_dir(&viewer_dir).map_err(|e| anyhow!("cannot create {}: {e}", viewer_dir.display()))?;
        let mut config = Config::offline(viewer_dir);
        config.peers = seeds.iter().filter_map(|(session, _)| session.listen_addr()).map(Into::into).collect();
        let viewer = Session::new(config).await?;
        let media = viewer.open(Source::from(&torrent)).await?;
        let file = media.default_file()?;
        Ok(Demo { seeds, viewer, media, file, _folder: folder })
    }

    async fn run(
        &self,
        args: &DemoArgs,
        player: Option<Player>,
        view: view::Options,
        stop: &mut Stop,
    ) -> Result<ExitCode> {
        let mut config = HttpConfig::default();
        config.listen = args.http;
        let server: Server = serve(self.media.clone(), self.file, config).await?;
        let done = if args.check {
            match stop.unless(check::check(&server, &self.media)).await {
                Some(Ok(true)) => Ok(ExitCode::SUCCESS),
                Some(Err(e)) => Err(e),
                Some(Ok(false)) | None => Ok(ExitCode::FAILURE),
            }
        } else {
            self.media.prefetch(self.file);
            if !view.quiet {
                let all: u64 = PEER_RATES.iter().sum();
                log::line(&format!(
                    "{} peers on this machine upload {} kB/s together; seek as you like",
                    PEER_RATES.len(),
                    all / 1000
                ));
                if player.is_none() && !args.no_player {
                    log::line("no player was found; open the URL in mpv, VLC or a browser. Ctrl-C ends the demo");
                }
            }
            log::out(&format!("url: {}", server.url()));
            let shown = View::start(self.media.clone(), view::Options { peers: true, ..view });
            let done = until_the_end(stop, player, &Show { url: server.url(), ..Show::default() }).await;
            shown.stop().await;
            done
        };
        server.stop().await;
        done
    }

    async fn close(self) {
        let mut closing = tokio::task::JoinSet::new();
        for session in self.seeds.into_iter().map(|(session, _)| session).chain([self.viewer]) {
            closing.spawn(async move { stop::close(&session).await });
        }
        closing.join_all().await;
    }
}

/// Creates a folder that contains the clip.
fn put_clip(dir: &Path) -> Result<()> {
    std::fs::create_dir(dir)
        .and_then(|()| std::fs::write(dir.join(NAME), CLIP))
        .map_err(|e| anyhow!("cannot write the clip to {}: {e}", dir.display()))
}

async fn seed(dir: &Path, torrent: &Metainfo, upload_bytes_per_s: u64) -> Result<(Session, TorrentHandle)> {
    put_clip(dir)?;
    let mut config = Config::offline(dir);
    config.upload_bytes_per_s = upload_bytes_per_s;
    let session = Session::new(config).await?;
    let media = session.open(Source::from(torrent)).await?;
    media.fetch_all(false);
    let verified = media.recheck(|_, _| {}).await?;
    if verified != torrent.total_bytes() {
        return Err(anyhow!("only {verified} bytes of the clip were verified"));
    }
    Ok((session, media))
}
