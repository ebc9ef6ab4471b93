//! `playswarm slots`: the positions of viewers in a film, from the slot index and from the viewers'
//! own messages.

use crate::ExitCode;
use crate::args::SlotsArgs;
use crate::info;
use crate::log;
use crate::source;
use crate::stop::{self, Stop};
use crate::view::{self, View};
use anyhow::{Result, bail};
use playswarm::printable;
use playswarm::{PeerStatus, Session, SlotCount, TorrentHandle};
use playswarm_serve::clock_time;
use serde_json::json;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Width of the film's line in characters.
const CELLS: usize = 60;
/// Most addresses shown of viewers that announce their position.
const MOST_SHOWN: usize = 40;

pub(crate) async fn slots(args: &SlotsArgs, view: view::Options) -> Result<ExitCode> {
    let mut config = args.network.config()?;
    let mut stop = Stop::new()?;
    let Some(source) = source::given(&args.source, &mut stop).await? else { return Ok(ExitCode::FAILURE) };
    config.read_only = true;
    config.seed_in_background = false;
    let session = Session::new(config).await?;
    let begun = Instant::now();
    // The index gets the remaining part of the waiting time.
    let done = match info::opened(&session, source, Some(Duration::from_secs_f64(args.wait)), view, &mut stop).await {
        Ok(Some(media)) => stop.unless(look(args, media, begun, view)).await,
        Ok(None) => None,
        Err(e) => Some(Err(e)),
    };
    stop::close(&session).await;
    match done {
        Some(text) => {
            log::print(text?.trim_end())?;
            Ok(ExitCode::SUCCESS)
        }
        None => Ok(ExitCode::FAILURE),
    }
}

async fn look(args: &SlotsArgs, media: TorrentHandle, begun: Instant, view: view::Options) -> Result<String> {
    let wait = Duration::from_secs_f64(args.wait);
    let file = match &args.file {
        Some(wanted) => media.find_file(wanted)?,
        None => media.choose_file().await?,
    };
    let name = media.metainfo().files[file].name.clone();
    let progress = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let shown = View::lines(shows(media.clone(), progress.clone(), name.clone()), view);
    let Ok(timeline) = timeout_at(begun + wait, media.timeline(file)).await else {
        shown.stop().await;
        bail!(
            "no peer sent the index of {name} within {} s, so its duration is unknown; extend the time with --wait SECONDS",
            args.wait
        );
    };
    let duration_s = timeline?.duration().as_secs_f64();
    let counts = media
        .survey_slots(file, |done, total| {
            progress.0.store(done, Ordering::Relaxed);
            progress.1.store(total, Ordering::Relaxed);
        })
        .await;
    if counts.is_ok() {
        // Viewers announce their position as soon as they are connected. The last ones may have
        // been found only just now.
        sleep_until(begun + wait).await;
    }
    shown.stop().await;
    let counts = counts?;
    let viewers: Vec<PeerStatus> = media.status().peers.into_iter().filter(|p| p.viewer.is_some()).collect();
    Ok(if args.json {
        as_json(&name, duration_s, &counts, &viewers)
    } else {
        text(&name, duration_s, &counts, &viewers)
    })
}

/// Returns the lines shown on a terminal during the search.
fn shows(
    media: TorrentHandle,
    progress: Arc<(AtomicUsize, AtomicUsize)>,
    name: String,
) -> impl Fn() -> Vec<String> + Send + 'static {
    move || {
        let (done, total) = (progress.0.load(Ordering::Relaxed), progress.1.load(Ordering::Relaxed));
        let peers = media.status().peers.len();
        vec![match total {
            0 => format!("reading the index of {name}: {peers} peers"),
            _ => format!("looking up slots: {done} of {total}, {peers} peers"),
        }]
    }
}

fn as_json(name: &str, duration_s: f64, counts: &[SlotCount], viewers: &[PeerStatus]) -> String {
    let viewers: Vec<_> =
        viewers.iter().map(|p| json!({ "addr": p.addr, "client": p.client, "viewer": p.viewer })).collect();
    let all = json!({ "file": name, "duration_s": duration_s, "slots": counts, "viewers": viewers });
    printable::json(&all.to_string()).into_owned()
}

fn text(name: &str, duration_s: f64, counts: &[SlotCount], viewers: &[PeerStatus]) -> String {
    let mut out = String::new();
    let end = clock_time(duration_s);
    let _ = writeln!(out, "{name}  {end}");
    let _ = writeln!(out, "0:00 {} {end}", picture(duration_s, counts));
    let answered = counts.iter().filter(|count| count.answered).count();
    let addresses: usize = counts.iter().map(|count| count.addresses.len()).sum();
    let taken = counts.iter().filter(|count| !count.addresses.is_empty()).count();
    match answered {
        0 => {
            let _ = writeln!(out, "the DHT answered none of {} lookups", counts.len());
        }
        _ => {
            let _ = writeln!(
                out,
                "{addresses} announced in {taken} of {} slots ({answered} lookups answered)",
                counts.len()
            );
        }
    }
    for count in counts.iter().filter(|count| !count.addresses.is_empty()) {
        let (from, until) = (clock_time(count.from_s), clock_time(count.until_s));
        let _ = writeln!(out, "  {from:>8} to {until:<8} {:>4}", count.addresses.len());
    }
    if viewers.is_empty() {
        let _ = writeln!(out, "no peer reports its position");
    } else {
        let _ = writeln!(out, "{} report their position:", viewers.len());
    }
    let mut said: Vec<_> = viewers.iter().filter_map(|p| Some((p.addr, p.viewer?))).collect();
    said.sort_by(|(_, a), (_, b)| a.playhead_s.total_cmp(&b.playhead_s));
    for (addr, viewer) in said.iter().take(MOST_SHOWN) {
        let how = if viewer.playing { "plays" } else { "paused" };
        let at = clock_time(viewer.playhead_s);
        let _ = writeln!(out, "  {at:>8} {how:<6} {:>5.0} s buffered  {addr}", viewer.ahead_s);
    }
    out
}

/// Renders the film as a line. Each cell's height is its share of the viewers; those of a slot are
/// spread over the cells that it covers.
fn picture(duration_s: f64, counts: &[SlotCount]) -> String {
    const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut cells = [0.0f64; CELLS];
    let cell = |s: f64| ((s / duration_s.max(1e-9) * CELLS as f64) as usize).min(CELLS - 1);
    for count in counts {
        let (first, last) = (cell(count.from_s), cell(count.until_s));
        let share = count.addresses.len() as f64 / (last - first.min(last) + 1) as f64;
        cells[first.min(last)..=last].iter_mut().for_each(|c| *c += share);
    }
    let most = cells.iter().copied().fold(0.0, f64::max);
    let level = |c: f64| if c > 0.0 { LEVELS[((c / most * 8.0).ceil() as usize).clamp(1, 8)] } else { LEVELS[0] };
    format!("│{}│", cells.into_iter().map(level).collect::<String>())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn count(slot: i64, from_s: f64, until_s: f64, viewers: u8) -> SlotCount {
        let addresses = (0..viewers).map(|n| std::net::SocketAddr::new([10, 0, 0, n].into(), 6881)).collect();
        let mut count = SlotCount::default();
        (count.slot, count.from_s, count.until_s) = (slot, from_s, until_s);
        (count.addresses, count.answered) = (addresses, true);
        count
    }

    #[test]
    fn the_picture_has_viewers_where_they_are() {
        let counts = [count(9, 0.0, 60.0, 2), count(8, 60.0, 180.0, 0), count(0, 3540.0, 3600.0, 1)];
        let line: Vec<char> = picture(3600.0, &counts).chars().collect();
        assert_eq!(line.len(), CELLS + 2);
        assert!(line[1] != ' ' && line[3..CELLS - 1].iter().all(|c| *c == ' ') && line[CELLS] != ' ');
        let shown = text("film.mkv", 3600.0, &counts, &[]);
        assert!(shown.contains("3 announced in 2 of 3 slots") && shown.contains("59:00 to 1:00:00"), "{shown}");
    }

    #[test]
    fn no_viewer_and_no_answer_are_reported() {
        let mut unanswered = count(1, 0.0, 120.0, 0);
        unanswered.answered = false;
        assert!(text("film.mkv", 0.0, &[unanswered], &[]).contains("answered none of 1 lookups"));
    }
}
