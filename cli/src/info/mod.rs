//! `playswarm info`: the content of a torrent, and the time information from its film's index.
//! `describe` produces the output.

mod describe;
mod sparkline;

use crate::ExitCode;
use crate::args::InfoArgs;
use crate::log;
use crate::source;
use crate::stop::{self, Stop};
use crate::units::bytes;
use crate::view::{self, View};
use anyhow::{Result, anyhow};
use describe::Described;
use playswarm::{ChooseFile, Config, Container, Format, Metainfo, Session, Source, TorrentHandle};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Longest wait for the file's index if the user sets no limit.
const INDEX_WAIT: Duration = Duration::from_secs(20);
/// Time without peers after which the wait ends. A tracker responds and a peer completes its
/// handshake in less. A longer wait for an empty swarm is not useful.
const LONELY: Duration = Duration::from_secs(6);

pub(crate) async fn info(args: &InfoArgs, view: view::Options) -> Result<ExitCode> {
    // Checked even if the settings turn out to be unused.
    let mut config = args.network.config()?;
    args.gnutella.apply(&mut config);
    config.check()?;
    let mut stop = Stop::new()?;
    let Some(source) = source::given(&args.source, &mut stop).await? else { return Ok(ExitCode::FAILURE) };
    let Some(described) = describe(args, config, source, view, &mut stop).await? else {
        // The user stopped the program before there was a result.
        return Ok(ExitCode::FAILURE);
    };
    log::print(if args.json { described.json() } else { described.text() }.trim_end())?;
    let Some(why) = described.lacks() else { return Ok(ExitCode::SUCCESS) };
    if !view.quiet {
        log::line(&format!("some information is missing: {why}"));
    }
    Ok(ExitCode::INCOMPLETE)
}

/// Returns settings for reading the content of a torrent. Peers are needed only for the metadata
/// that a magnet link lacks.
pub(crate) fn asking(source: &Source, network: &Config) -> Config {
    let mut config = if needs_peers(source) { network.clone() } else { network.without_peers() };
    config.read_only = true;
    config.seed_in_background = false;
    config
}

fn needs_peers(source: &Source) -> bool {
    matches!(source, Source::Magnet(_))
}

/// Returns `None` if the user stopped the program before the torrent's content was known.
async fn describe(
    args: &InfoArgs,
    config: Config,
    source: Source,
    view: view::Options,
    stop: &mut Stop,
) -> Result<Option<Described>> {
    let wait = args.wait.filter(|s| *s > 0.0).map(Duration::from_secs_f64);
    let Some(source) = resolved(source, &config, wait, view, stop).await? else { return Ok(None) };
    if let Source::Metainfo(torrent) = &source {
        let file = chosen(torrent, args.file.as_deref())?;
        if !worth_a_look(torrent, file, args) {
            return Ok(Some(Described::without_time(torrent.clone(), file)));
        }
    }
    in_swarm(args, config, source, view, stop).await
}

/// Resolves the source to a torrent or a magnet link. If a waiting time is set, a server has no
/// longer. Of the settings, only those of [`Config::without_peers`] count. Returns `None` if the user
/// stopped the program before.
pub(crate) async fn resolved(
    source: Source,
    network: &Config,
    wait: Option<Duration>,
    view: view::Options,
    stop: &mut Stop,
) -> Result<Option<Source>> {
    if needs_peers(&source) {
        return Ok(Some(source));
    }
    let mut config = network.without_peers();
    config.read_only = true;
    let session = Session::new(config).await?;
    let shown = View::opening(session.clone(), &source, view);
    let resolve = async {
        let resolve = session.resolve(source);
        let Some(wait) = wait else { return Ok(resolve.await?) };
        match tokio::time::timeout(wait, resolve).await {
            Ok(source) => Ok(source?),
            Err(_) => Err(anyhow!(
                "no torrent was received within {} s; extend the time with --wait SECONDS",
                wait.as_secs_f64()
            )),
        }
    };
    let resolved = stop.unless(resolve).await;
    shown.stop().await;
    stop::close(&session).await;
    resolved.transpose()
}

/// Fetches the torrent's content and the index of its file from peers.
async fn in_swarm(
    args: &InfoArgs,
    mut config: Config,
    source: Source,
    view: view::Options,
    stop: &mut Stop,
) -> Result<Option<Described>> {
    // Inspecting a torrent leaves nothing behind.
    config.read_only = true;
    config.seed_in_background = false;
    if let Some(dir) = &args.dir {
        config.dir.clone_from(dir);
    }
    let session = Session::new(config).await?;
    let done = look(args, &session, source, view, stop).await;
    stop::close(&session).await;
    done
}

/// Opens a torrent and shows the progress. If a waiting time is set, it is the limit; otherwise it
/// waits as long as there is progress. Returns `None` if the user stopped the program.
pub(crate) async fn opened(
    session: &Session,
    source: Source,
    wait: Option<Duration>,
    view: view::Options,
    stop: &mut Stop,
) -> Result<Option<TorrentHandle>> {
    let shown = View::opening(session.clone(), &source, view);
    let open = async {
        let mut open = Box::pin(session.open(source));
        let Some(wait) = wait else { return Ok(open.await?) };
        match tokio::time::timeout(wait, &mut open).await {
            Ok(media) => Ok(media?),
            Err(_) => {
                // Read before the torrent is given up.
                let found = session.opening().first().map(view::opening).unwrap_or_default();
                Err(anyhow!(
                    "no metadata within {} s: {found}; extend the time with --wait SECONDS",
                    wait.as_secs_f64()
                ))
            }
        }
    };
    let media = stop.unless(open).await;
    shown.stop().await;
    media.transpose()
}

async fn look(
    args: &InfoArgs,
    session: &Session,
    source: Source,
    view: view::Options,
    stop: &mut Stop,
) -> Result<Option<Described>> {
    let begun = Instant::now();
    // 0 means not to read the index. The content of a magnet link is requested all the same.
    let wait = args.wait.filter(|s| *s > 0.0 && needs_peers(&source)).map(Duration::from_secs_f64);
    let Some(media) = opened(session, source, wait, view, stop).await? else { return Ok(None) };
    let torrent = media.metainfo().clone();
    let file = match &args.file {
        None if args.wait != Some(0.0) => media.choose_file().await.ok(),
        wanted => chosen(&torrent, wanted.as_deref())?,
    };
    if !worth_a_look(&torrent, file, args) {
        return Ok(Some(Described::without_time(torrent, file).with_trackers(media.status().trackers)));
    }
    let shown = View::lines(progress(media.clone(), file), view);
    let end = match args.wait {
        Some(wait) => begun + Duration::from_secs_f64(wait),
        None => Instant::now() + INDEX_WAIT,
    };
    // If the user stops the program now, the known information is printed.
    let trouble = RefCell::new(None);
    let lacks = tokio::select! {
        lacks = stop.unless(learn(&media, file, args, end)) => lacks.unwrap_or(Some("the program was interrupted".into())),
        // Without peers there is no point in waiting, unless the user set a time.
        () = nobody(&media, args.wait.is_none(), &trouble) => None,
    };
    shown.stop().await;
    let unknown = file.filter(|file| media.known_timeline(*file).is_none());
    let lacks = unknown.map(|file| lacks.unwrap_or_else(|| why_not(&media, file, begun.elapsed(), trouble.take())));
    let described = Described::new(torrent, file, |file| media.known_timeline(file)).lacking(lacks);
    Ok(Some(described.with_trackers(media.status().trackers)))
}

/// Returns the selected file; `None` if the torrent has no playable file.
fn chosen(torrent: &Arc<Metainfo>, wanted: Option<&str>) -> Result<Option<usize>> {
    Ok(match wanted {
        Some(wanted) => Some(torrent.find_file(wanted)?),
        None => torrent.default_file().ok(),
    })
}

fn worth_a_look(torrent: &Metainfo, file: Option<usize>, args: &InfoArgs) -> bool {
    // An unknown file extension may belong to a film as well.
    let may_tell = |n: usize| {
        torrent.files[n].length > 0
            && Format::by_name(&torrent.files[n].name).is_none_or(|f| f.container != Container::Other)
    };
    // The index of a file that only its whole proves would take the whole file.
    args.wait != Some(0.0) && torrent.proof.is_by_piece() && file.is_some_and(may_tell)
}

/// Reads the index of the selected file, then, if none was named, the durations of the others.
/// Returns the reason why the index could not be read, if known.
async fn learn(media: &TorrentHandle, file: Option<usize>, args: &InfoArgs, end: Instant) -> Option<String> {
    if let Some(file) = file {
        match timeout_at(end, media.timeline(file)).await {
            Ok(Ok(_)) => {}
            Ok(Err(e)) => {
                return Some(format!("the index of {} cannot be read: {e}", media.metainfo().files[file].name));
            }
            Err(_) => return None,
        }
    }
    if args.file.is_none() {
        // The others are not awaited beyond the end; those that arrived are shown.
        let _ = timeout_at(end, media.learn_durations()).await;
    }
    None
}

/// Returns the reason why the index of a file did not arrive.
fn why_not(media: &TorrentHandle, file: usize, waited: Duration, trouble: Option<String>) -> String {
    let (status, name) = (media.status(), &media.metainfo().files[file].name);
    let seconds = waited.as_secs_f64().round().max(1.0);
    let what = match (status.peers.len(), status.known_peers) {
        (0, 0) => "no peer was found".to_owned(),
        (0, known) => format!("none of {} could be connected", view::peers(known)),
        (n, _) => match trouble {
            Some(trouble) => format!("{trouble}; nothing was received"),
            None => format!("{} did not send the index of {name}", view::peers(n)),
        },
    };
    format!(
        "{what} within {seconds} s, so the duration of {name} is unknown; extend the time with --wait SECONDS, or skip the index with --wait 0"
    )
}

/// Returns once there has been no peer for [`LONELY`], if `may_end`. Records the last trouble,
/// which is lost with its reader.
async fn nobody(media: &TorrentHandle, may_end: bool, trouble: &RefCell<Option<String>>) {
    let mut last = Instant::now();
    while last.elapsed() < LONELY || !may_end {
        sleep(Duration::from_millis(200)).await;
        let status = media.status();
        if !status.peers.is_empty() {
            last = Instant::now();
        }
        trouble.replace(status.trouble);
    }
}

/// Returns the lines shown on a terminal during the wait.
fn progress(media: TorrentHandle, file: Option<usize>) -> impl Fn() -> Vec<String> + Send + 'static {
    let begun = Instant::now();
    move || {
        let status = media.status();
        let what = match file.filter(|file| media.known_timeline(*file).is_none()) {
            Some(file) => format!("reading the index of {}", media.metainfo().files[file].name),
            None => format!("reading the durations of the others, {} known", status.timelines.len()),
        };
        let s = begun.elapsed().as_secs();
        vec![format!("{what}: {} peers, {} ({s} s)", status.peers.len(), bytes(status.downloaded_bytes))]
    }
}
