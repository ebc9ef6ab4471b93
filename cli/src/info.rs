//! `playswarm info`: what is in a torrent, and what its film's index says of its time. What is printed is made by `describe`.

mod describe;
mod sparkline;

use crate::ExitCode;
use crate::args::{InfoArgs, NetworkArgs};
use crate::log;
use crate::stop::{self, Stop};
use crate::units::bytes;
use crate::view::{self, View};
use anyhow::Result;
use describe::Described;
use playswarm::{Config, Container, Media, Session, Source, Torrent};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

pub(crate) async fn info(args: &InfoArgs, view: view::Options) -> Result<ExitCode> {
    let mut stop = Stop::new()?;
    let source = Source::parse(&args.source)?;
    let Some(described) = describe(args, source, view, &mut stop).await? else {
        // Asked to end before there was an answer.
        return Ok(ExitCode::FAILURE);
    };
    log::out(if args.json { described.json() } else { described.text() }.trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Settings to learn what is in a torrent: peers are needed only for what a magnet does not say.
pub(crate) fn asking(source: &Source, network: &NetworkArgs) -> Result<Config> {
    let config = if needs_peers(source) { network.config()? } else { Config::offline("") };
    Ok(Config { read_only: true, keep: false, ..config })
}

fn needs_peers(source: &Source) -> bool {
    matches!(source, Source::Magnet(_) | Source::InfoHash(_))
}

/// `None` where it was asked to end before it was known what is in the torrent.
async fn describe(args: &InfoArgs, source: Source, view: view::Options, stop: &mut Stop) -> Result<Option<Described>> {
    let Some(source) = resolved(source, stop).await? else { return Ok(None) };
    if let Source::Torrent(torrent) = &source {
        let file = chosen(torrent, args.file.as_deref())?;
        if !worth_a_look(torrent, file, args) {
            return Ok(Some(Described::without_time(torrent.clone(), file)));
        }
    }
    in_swarm(args, source, view, stop).await
}

/// What the source leads to: the torrent, or a magnet link. `None` where it was asked to end before that was known.
pub(crate) async fn resolved(source: Source, stop: &mut Stop) -> Result<Option<Source>> {
    if needs_peers(&source) {
        return Ok(Some(source));
    }
    let session = Session::new(Config::offline(".")).await?;
    let resolved = stop.unless(session.resolve(source)).await;
    stop::close(&session).await;
    Ok(resolved.transpose()?)
}

/// Asks peers: for what is in the torrent, and for the index of its file.
async fn in_swarm(args: &InfoArgs, source: Source, view: view::Options, stop: &mut Stop) -> Result<Option<Described>> {
    let mut config = args.network.config()?;
    // A look at a torrent leaves nothing behind.
    config.read_only = true;
    config.keep = false;
    if let Some(dir) = &args.dir {
        config.dir.clone_from(dir);
    }
    let session = Session::new(config).await?;
    let done = look(args, &session, source, view, stop).await;
    stop::close(&session).await;
    done
}

async fn look(
    args: &InfoArgs,
    session: &Session,
    source: Source,
    view: view::Options,
    stop: &mut Stop,
) -> Result<Option<Described>> {
    let Some(media) = stop.unless(session.open(source)).await else { return Ok(None) };
    let media = media?;
    let torrent = media.torrent().clone();
    let file = chosen(&torrent, args.file.as_deref())?;
    if !worth_a_look(&torrent, file, args) {
        return Ok(Some(Described::without_time(torrent, file)));
    }
    let shown = View::lines(progress(media.clone(), file), view);
    // What is asked to end now has enough, and where there is nobody to ask, nobody is waited for: what is known is printed.
    tokio::select! {
        _ = stop.unless(learn(&media, file, args)) => {}
        () = nobody(&media) => {}
    }
    shown.stop().await;
    if file.is_some_and(|file| media.known_timeline(file).is_none()) && !view.quiet {
        log::line("the file's index did not come in time; --wait SECONDS gives it longer, --wait 0 asks nobody");
    }
    Ok(Some(Described::new(torrent, file, |file| media.known_timeline(file))))
}

/// The file that is meant; `None` in a torrent in which nothing can be played.
fn chosen(torrent: &Arc<Torrent>, wanted: Option<&str>) -> Result<Option<usize>> {
    Ok(match wanted {
        Some(wanted) => Some(torrent.find_file(wanted)?),
        None => torrent.default_file().ok(),
    })
}

fn worth_a_look(torrent: &Torrent, file: Option<usize>, args: &InfoArgs) -> bool {
    let named = |n: usize| Container::by_name(&torrent.files[n].name) != Container::Other;
    args.wait > 0.0 && file.is_some_and(named)
}

/// The index of the file that is shown; then, where none was named, how long the others play.
async fn learn(media: &Media, file: Option<usize>, args: &InfoArgs) {
    let end = Instant::now() + Duration::from_secs_f64(args.wait);
    if let Some(file) = file
        && !matches!(timeout_at(end, media.timeline(file)).await, Ok(Ok(_)))
    {
        return;
    }
    if args.file.is_none() {
        // The others are not waited for beyond the end; what came is shown.
        let _ = timeout_at(end, media.learn_durations()).await;
    }
}

/// Ends when no peer has been there for [`LONELY`].
async fn nobody(media: &Media) {
    let mut last = Instant::now();
    while last.elapsed() < LONELY {
        sleep(Duration::from_millis(200)).await;
        if !media.status().peers.is_empty() {
            last = Instant::now();
        }
    }
}

/// A tracker answers and a peer shakes hands in less; where the swarm is empty, nobody wants to wait for longer.
const LONELY: Duration = Duration::from_secs(6);

/// What is shown on a terminal while it waits.
fn progress(media: Media, file: Option<usize>) -> impl Fn() -> Vec<String> + Send + 'static {
    let begun = Instant::now();
    move || {
        let status = media.status();
        let what = match file.filter(|file| media.known_timeline(*file).is_none()) {
            Some(file) => format!("reading the index of {}", media.torrent().files[file].name),
            None => format!("reading the others' lengths, {} known", status.timelines.len()),
        };
        let s = begun.elapsed().as_secs();
        vec![format!("{what}: {} peers, {} ({s} s)", status.peers.len(), bytes(status.downloaded_bytes))]
    }
}
