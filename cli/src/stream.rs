//! `playswarm stream` and `playswarm play`: open, serve, and show the status until stopped.

use crate::ExitCode;
use crate::args::{PlayArgs, StreamArgs};
use crate::player::{self, Player, Show};
use crate::stop::{self, Stop};
use crate::subtitles::Handover;
use crate::units::bytes;
use crate::view::{self, View};
use crate::{log, source, units, watch};
use anyhow::{Result, bail};
use playswarm::live::parse_link;
use playswarm::metainfo::is_playable;
use playswarm::{Session, TorrentHandle, printable};
use playswarm_serve::{HttpConfig, RtspConfig, RtspServer, Server, clock_time, natural_order, serve, serve_rtsp};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Time between two checks for readers.
const IDLE_LOOK: Duration = Duration::from_secs(1);
/// Time without a reader after which a film counts as idle. Players close one connection and open
/// another, and pause.
const IDLE: Duration = Duration::from_secs(10);

/// Most other files listed. A season fits, a collection of 10,000 does not.
const LISTED: usize = 30;

pub(crate) async fn stream(args: &StreamArgs, view: view::Options) -> Result<ExitCode> {
    run(args, None, view).await
}

pub(crate) async fn play(args: &PlayArgs, view: view::Options) -> Result<ExitCode> {
    // Done first, so that a missing player is reported before the wait for a magnet link.
    let player = player::chosen(args.player.as_deref())?;
    run(&args.stream, Some(player), view).await
}

async fn run(args: &StreamArgs, player: Option<Player>, view: view::Options) -> Result<ExitCode> {
    if let Some(link) = parse_link(&args.source) {
        if args.at.is_some() || args.file.is_some() {
            bail!("this is a link to a live channel, which has neither files nor times; leave out --file and --at");
        }
        return watch::run(&link?, None, &args.http, &args.network, player, view).await;
    }
    let http = args.http.config()?;
    let rtsp = args.http.rtsp_config(&http)?;
    let mut config = args.network.config()?;
    args.storage.apply(&mut config);
    args.gnutella.apply(&mut config);
    let mut stop = Stop::new()?;
    let Some(source) = source::given(&args.source, &mut stop).await? else { return Ok(ExitCode::SUCCESS) };
    let source = source.with_mirrors(args.mirror.iter().map(String::as_str))?;
    let keeps = config.seed_in_background && config.disk_limit_bytes == 0;
    let session = Session::new(config).await?;
    if let Some(player) = &player
        && args.at.is_some()
        && !player.takes_time()
        && !view.quiet
    {
        log::line(
            "this player has no known option for a start time: seek there in the player, or write {time} into --player",
        );
    }
    let finding = View::opening(session.clone(), &source, view);
    let media = stop.unless(session.open(source)).await;
    finding.stop().await;
    let opened = match media {
        None => None,
        Some(Err(e)) => Some(Err(e.into())),
        Some(Ok(media)) => match args.mirror.iter().try_for_each(|url| media.add_source(url)) {
            Ok(()) => stop.unless(serve_file(media, args, http, rtsp, view)).await,
            Err(e) => Some(Err(e.into())),
        },
    };
    let done = match opened {
        None => Ok(ExitCode::SUCCESS),
        Some(Err(e)) => Err(e),
        Some(Ok(Served { media, server, rtsp, index })) => {
            log::out(&format!("url: {}", server.url()));
            if let Some(rtsp) = &rtsp {
                log::out(&format!("url: {}", rtsp.url()));
            }
            let place = args.at.map(|at| Place::fetch(media.clone(), index, at, view));
            let mut show = Show { url: server.url(), at: args.at, ..Show::default() };
            let handover = match &player {
                Some(_) => Handover::begin(&media, &server, index, &mut show).unwrap_or_else(|e| {
                    log::line(&format!("playing without subtitles: {e:#}"));
                    None
                }),
                None => None,
            };
            let keeping = (keeps && player.is_none()).then(|| Idle::watch(media.clone(), view));
            let shown = View::start(media.clone(), view);
            let done = until_the_end(&mut stop, player, &show).await;
            drop((place, handover, keeping));
            shown.stop().await;
            server.stop().await;
            if let Some(rtsp) = rtsp {
                rtsp.stop().await;
            }
            let was_read = media.status().playhead.is_some();
            // The last handle: now the background takes over.
            drop(media);
            match done {
                Ok(code) if keeps && !stop.was_asked() => {
                    keep_on(&mut stop, &session, was_read, view).await;
                    Ok(code)
                }
                done => done,
            }
        }
    };
    stop::close(&session).await;
    done
}

/// Runs after the player has ended: completes and seeds the played film until the program is
/// stopped.
async fn keep_on(stop: &mut Stop, session: &Session, was_read: bool, view: view::Options) {
    if !was_read {
        if !view.quiet {
            log::line("the player ended without reading the film, so it is not completed in the background");
        }
        return;
    }
    if !view.quiet {
        log::line("the player ended; completing and seeding until Ctrl-C");
    }
    let shown = View::start_kept(session.clone(), view);
    stop.asked().await;
    shown.stop().await;
}

/// An open torrent with its servers, and the file that they serve by default.
struct Served {
    media: TorrentHandle,
    server: Server,
    rtsp: Option<RtspServer>,
    index: usize,
}

async fn serve_file(
    media: TorrentHandle,
    args: &StreamArgs,
    http: HttpConfig,
    rtsp: Option<RtspConfig>,
    view: view::Options,
) -> Result<Served> {
    let index = match &args.file {
        Some(wanted) => media.find_file(wanted)?,
        None => media.choose_file().await?,
    };
    let file = &media.metainfo().files[index];
    if file.length == 0 {
        bail!(
            "{} is empty (0 bytes), so there is nothing to play; choose another file with --file",
            printable::line(&file.name)
        );
    }
    if args.at.is_none() {
        // Fetches the beginning before the player requests it.
        media.prefetch(index);
    }
    if !view.quiet {
        report_streamed(&media, index, args.file.is_none());
    }
    let server = serve(media.clone(), index, http).await?;
    let rtsp = match rtsp {
        Some(config) => Some(serve_rtsp(media.clone(), index, config).await?),
        None => None,
    };
    rtsp.iter().for_each(|rtsp| server.show_rtsp(rtsp.view()));
    Ok(Served { media, server, rtsp, index })
}

/// Completes a film while it has no readers, once it has been read. Ends when it is dropped.
struct Idle(JoinHandle<()>);

impl Idle {
    fn watch(media: TorrentHandle, view: view::Options) -> Idle {
        Idle(tokio::spawn(async move {
            let mut looks = tokio::time::interval(IDLE_LOOK);
            let (mut last_read, mut completing, mut place) = (None::<Instant>, false, None);
            loop {
                looks.tick().await;
                let status = media.status();
                let now_at = status.playhead.map(|playhead| (playhead.file, playhead.position));
                // A reader may have come and gone between two checks.
                if now_at != place || status.readers.iter().any(|reader| !reader.index) {
                    (last_read, place) = (Some(Instant::now()), now_at);
                }
                let idle = last_read.is_some_and(|at| at.elapsed() > IDLE);
                if idle != completing {
                    completing = idle;
                    media.fetch_all(idle);
                    if idle && !view.quiet {
                        log::line("the film has no reader left; completing and seeding it until Ctrl-C");
                    }
                }
            }
        }))
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A time of the film that is fetched before a player requests it. Dropping it cancels the fetch.
struct Place(JoinHandle<()>);

impl Place {
    fn fetch(media: TorrentHandle, file: usize, at: Duration, view: view::Options) -> Place {
        Place(tokio::spawn(async move {
            match media.prefetch_at(file, at).await {
                Ok(seek_point) if !view.quiet => {
                    let [wanted, found] = [at, seek_point.time].map(|time| clock_time(time.as_secs_f64()));
                    let is_known = media.known_timeline(file).is_some_and(|timeline| timeline.knows_duration());
                    log::line(&match seek_point.estimated {
                        _ if !is_known => {
                            "this file has no index of times; the player must find the position".to_owned()
                        }
                        true => format!("{wanted} is at about byte {} (an estimate)", seek_point.from),
                        false => format!("{wanted} is played from the keyframe at {found}, byte {}", seek_point.from),
                    });
                }
                Ok(_) => {}
                Err(e) => tracing::debug!(error = %e, "the start position was not found"),
            }
        }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn report_streamed(media: &TorrentHandle, index: usize, list_others: bool) {
    let torrent = media.metainfo();
    let name = |i: usize| format!("{i}: {} ({})", torrent.files[i].name, bytes(torrent.files[i].length));
    log::line(&format!("streaming {}", name(index)));
    let others: Vec<usize> =
        natural_order(torrent).into_iter().filter(|&i| i != index && is_playable(&torrent.files[i].name)).collect();
    if list_others && !others.is_empty() {
        log::line("other files, for --file or from /playlist.m3u8:");
        others.iter().take(LISTED).for_each(|&i| log::line(&format!("  {}", name(i))));
        if others.len() > LISTED {
            log::line(&format!("  and {} more; `playswarm info` lists them all", others.len() - LISTED));
        }
    }
}

/// With a player, waits for its end and returns its exit code. Without one, or with one that cannot
/// be awaited, runs until stopped.
pub(crate) async fn until_the_end(stop: &mut Stop, player: Option<Player>, show: &Show) -> Result<ExitCode> {
    let Some(player) = player else {
        stop.asked().await;
        return Ok(ExitCode::SUCCESS);
    };
    let mut running = player.open(show)?;
    match stop.unless(running.ended()).await {
        None => {
            running.kill();
            Ok(ExitCode::SUCCESS)
        }
        Some(code) => code,
    }
}

/// Formats a rate for the demo's lines.
pub(crate) fn rate(bytes_per_s: f64) -> String {
    format!("{}/s", units::Bytes(bytes_per_s))
}
