//! The live view on standard error: on a terminal, a few lines redrawn four times a second,
//! otherwise a line every few seconds. Pure functions of a status produce its text.

use crate::units::{Bytes, bytes};
use crate::{log, stream::rate};
use indicatif::{ProgressBar, ProgressStyle};
use playswarm::live::ChannelStatus;
use playswarm::printable;
use playswarm::{Metainfo, OpeningStatus, Playhead, Session, Source, TorrentHandle, TorrentStatus};
use playswarm_serve::clock_time;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Time between redraws. More frequent redrawing shows nothing more.
const REDRAW: Duration = Duration::from_millis(250);
/// Time between plain lines. It keeps a log file readable.
const PLAIN: Duration = Duration::from_secs(5);
/// Time before the first plain line, for work that is expected to end soon.
const FIRST_PLAIN: Duration = Duration::from_secs(1);
/// Width of the piece map in characters.
const MAP_CELLS: usize = 72;
/// Most peers shown. Those that delivered most come first.
const SHOWN_PEERS: usize = 12;

/// Shortest wait before playback that is worth a remark, seconds.
const LEAST_WAIT_S: f64 = 1.0;
/// Longest line in characters. Wider terminals are rare.
const LINE_CHARS: usize = 1024;

/// Most trackers shown that failed or sent a message.
const SHOWN_TRACKERS: usize = 3;

/// The content of the view.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Whether to show nothing.
    pub(crate) quiet: bool,
    /// Whether to show a line per peer.
    pub(crate) peers: bool,
}

/// A running view.
pub(crate) struct View {
    task: Option<JoinHandle<()>>,
}

impl View {
    pub(crate) fn start(media: TorrentHandle, options: Options) -> View {
        if options.quiet {
            return View { task: None };
        }
        let task = if log::screen().is_hidden() {
            tokio::spawn(plain(media))
        } else {
            tokio::spawn(live(move || render(&media.status(), media.metainfo(), options)))
        };
        View { task: Some(task) }
    }

    /// Shows lines that the caller renders, on a terminal only.
    pub(crate) fn lines(render: impl Fn() -> Vec<String> + Send + 'static, options: Options) -> View {
        let shown = !options.quiet && !log::screen().is_hidden();
        View { task: shown.then(|| tokio::spawn(live(render))) }
    }

    /// Shows the progress of the torrents that are being opened, and the server that is waited for.
    /// On a terminal it is always visible, otherwise a line is printed now and then.
    pub(crate) fn opening(session: Session, source: &Source, options: Options) -> View {
        let (host, begun) = (host(source), Instant::now());
        let lines = move || {
            let found: Vec<String> = session.opening().iter().map(opening).collect();
            let waiting = || host.iter().map(|host| fetching(host, begun.elapsed())).collect();
            if found.is_empty() { waiting() } else { found }
        };
        View::of(lines, options)
    }

    /// Shows the background work on torrents that are no longer played.
    pub(crate) fn start_kept(session: Session, options: Options) -> View {
        let lines = move || session.seeded_in_background().iter().map(seeded_in_background).collect::<Vec<_>>();
        View::of(lines, options)
    }

    /// Shows lines that the caller renders. Without a terminal they are printed now and then.
    pub(crate) fn of(lines: impl Fn() -> Vec<String> + Send + 'static, options: Options) -> View {
        if options.quiet {
            return View { task: None };
        }
        let task =
            if log::screen().is_hidden() { tokio::spawn(now_and_then(lines)) } else { tokio::spawn(live(lines)) };
        View { task: Some(task) }
    }

    /// Removes the view from the screen.
    pub(crate) async fn stop(self) {
        if let Some(task) = self.task {
            task.abort();
            // It stops drawing only once the task has ended. The error of an aborted task is
            // expected.
            let _ = task.await;
            let _ = log::screen().clear();
        }
    }
}

async fn plain(media: TorrentHandle) {
    let mut tick = tokio::time::interval(PLAIN);
    loop {
        tick.tick().await;
        let status = media.status();
        log::line(&format!("{}; {}", traffic(&status), ahead(&status)));
    }
}

async fn now_and_then(lines: impl Fn() -> Vec<String> + Send) {
    // Work that takes no time needs no line.
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + FIRST_PLAIN, PLAIN);
    loop {
        tick.tick().await;
        lines().iter().for_each(|line| log::line(line));
    }
}

/// Redraws the lines, whose number may change each time.
async fn live(render: impl Fn() -> Vec<String> + Send) {
    let style = ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    let mut bars: Vec<ProgressBar> = Vec::new();
    let mut tick = tokio::time::interval(REDRAW);
    loop {
        tick.tick().await;
        let lines = render();
        while bars.len() < lines.len() {
            bars.push(log::screen().add(ProgressBar::new_spinner().with_style(style.clone())));
        }
        for bar in bars.drain(lines.len()..) {
            bar.finish_and_clear();
            log::screen().remove(&bar);
        }
        for (bar, line) in bars.iter().zip(lines) {
            bar.set_message(printable::line_within(&line, LINE_CHARS).into_owned());
            bar.tick();
        }
    }
}

/// Returns the view's lines.
fn render(status: &TorrentStatus, torrent: &Metainfo, options: Options) -> Vec<String> {
    let mut lines = vec![format!("[{}]", map(status, torrent, MAP_CELLS)), traffic(status), ahead(status)];
    if options.peers {
        lines.extend(shares(status));
    }
    lines
}

/// Returns the server of a torrent's URL.
fn host(source: &Source) -> Option<String> {
    let Source::Url(url) = source else { return None };
    let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
    // Drops the user name and password before it.
    Some(authority.rsplit('@').next()?.to_owned())
}

fn fetching(host: &str, waited: Duration) -> String {
    format!("waiting for {host} to send the torrent ({:.0} s)", waited.as_secs_f64())
}

/// Returns the progress of a magnet link's search for its metadata.
pub(crate) fn opening(status: &OpeningStatus) -> String {
    let &OpeningStatus { found_peers, dialled_peers, connected_peers, offering_peers, .. } = status;
    let info = match status.total_bytes {
        Some(total) => {
            format!("{} of {} received from {offering_peers} of them", bytes(status.received_bytes), bytes(total))
        }
        None => "none of them offers it".to_owned(),
    };
    let who = match (found_peers, connected_peers) {
        (0, _) => "no peer found".to_owned(),
        (found, 0) => format!("{} found, {dialled_peers} being dialled", peers(found)),
        (found, connected) => format!("{} found, {connected} connected, {info}", peers(found)),
    };
    let said = status.trackers.iter().filter(|t| t.message.is_some()).take(SHOWN_TRACKERS);
    let said: String = said.map(|t| format!("; tracker {}: {t}", t.url)).collect();
    format!("fetching the metadata: {who} ({:.0} s){said}", status.waited_s)
}

pub(crate) fn peers(n: usize) -> String {
    if n == 1 { "1 peer".to_owned() } else { format!("{n} peers") }
}

/// Returns the line of a node of a live channel: its stripes, of which those without a parent are
/// `-`, and its place.
pub(crate) fn channel(status: &ChannelStatus) -> String {
    let delay = status.delay_ms.map_or_else(String::new, |ms| format!(" delay {:.2} s,", ms as f64 / 1000.0));
    let end = if status.ended { "; the stream has ended" } else { "" };
    let title = status.title.as_deref().map_or_else(String::new, |title| format!("; {}", printable::line(title)));
    let hidden = if status.reachable == Some(false) { "; no node can dial this one" } else { "" };
    format!(
        "[{}]{delay} depth {}, {} parents, {} stripes passed on, {} connections, {} gaps{title}{hidden}{}{end}",
        status.stripe_map,
        status.depth,
        status.parents,
        status.children,
        status.connections,
        status.gaps,
        archive(status)
    )
}

/// Returns the state of a channel's archive, as the end of a line. Empty where none is kept.
pub(crate) fn archive(status: &ChannelStatus) -> String {
    match (&status.trouble, status.archived) {
        (Some(trouble), _) => format!("; {}", printable::line(trouble)),
        (None, Some(minutes)) => format!("; {minutes} minutes archived"),
        (None, None) => String::new(),
    }
}

/// Returns the transfer rates and the numbers of peers.
fn traffic(status: &TorrentStatus) -> String {
    let serving = status.peers.iter().filter(|p| !p.choked_by).count();
    let (here, how) = match status.unproven_bytes {
        0 => (status.verified_bytes, "verified"),
        unproven => (unproven, "fetched (shown once all is proven)"),
    };
    format!(
        "{} of {} {how}, down {}, up {}, {} peers ({serving} serving, {}{} more known){}",
        percent(here, status.total_bytes),
        bytes(status.total_bytes),
        rate(status.download_bytes_per_s),
        rate(status.upload_bytes_per_s),
        status.peers.len(),
        parents(status),
        status.known_peers,
        sources(status),
    )
}

/// Returns the number of web seeds, mirrors and servents that serve, with their rate, the best place in
/// the queues of others, and the last failure. Empty if there are none.
fn sources(status: &TorrentStatus) -> String {
    if status.sources.is_empty() {
        return String::new();
    }
    let serving = status.sources.iter().filter(|s| s.state == "serving").count();
    let total: f64 = status.sources.iter().map(|s| s.rate_bytes_per_s).sum();
    let failed = status.sources.iter().find(|s| s.state != "serving" && s.message.is_some());
    let failed =
        failed.and_then(|s| Some(format!("; {}: {}", printable::line(&s.url), printable::line(s.message.as_ref()?))));
    let all = status.sources.len();
    let place = status.sources.iter().filter_map(|s| s.queue_position).min();
    let place = place.map(|place| format!(", place {place} in a queue")).unwrap_or_default();
    format!(", {serving} of {all} web sources serving ({}){place}{}", rate(total), failed.unwrap_or_default())
}

/// Returns how many of the peers are viewers just ahead of this one, and how much they delivered.
/// Empty if there are none.
fn parents(status: &TorrentStatus) -> String {
    match &status.slots {
        Some(slots) if slots.parents > 0 || slots.parent_bytes > 0 => {
            let all = slots.parent_bytes + slots.other_bytes;
            let count = if slots.parents == 1 { "1 parent".to_owned() } else { format!("{} parents", slots.parents) };
            format!("{count} sent {}, ", percent(slots.parent_bytes, all))
        }
        _ => String::new(),
    }
}

/// Returns the line of a torrent in the background.
fn seeded_in_background(status: &TorrentStatus) -> String {
    if let Some(trouble) = &status.trouble {
        return format!("{}: {trouble}", status.name);
    }
    format!(
        "{}: {} of {} verified, down {}, up {}, {} peers",
        status.name,
        percent(status.verified_bytes, status.total_bytes),
        bytes(status.total_bytes),
        rate(status.download_bytes_per_s),
        rate(status.upload_bytes_per_s),
        status.known_peers,
    )
}

/// Returns the amount of data buffered ahead of the player.
fn ahead(status: &TorrentStatus) -> String {
    if let Some(trouble) = &status.trouble {
        return trouble.clone();
    }
    // A player's probes of the index open readers too. The reader with the smallest buffer is the
    // one that may stall.
    let players = status.readers.iter().filter(|r| !r.index);
    let Some(reader) = players.min_by_key(|r| (!r.waiting, r.ahead_bytes)) else {
        return "no reader".into();
    };
    let position = status.playhead.as_ref().map(|p| at(status, p)).unwrap_or_default();
    let seconds = reader.ahead_s.map(|s| format!("{s:.0} s, ")).unwrap_or_default();
    let waiting = if reader.waiting { ", the player waits for data" } else { "" };
    let waste = status.waste.total_bytes();
    let slow = status.playhead.and_then(|p| p.initial_buffering_s).filter(|wait| *wait >= LEAST_WAIT_S);
    let slow = slow.map(|s| format!("; too slow to play without a pause: wait {s:.0} s first")).unwrap_or_default();
    format!(
        "{position}buffered ahead: {seconds}{}{waiting}{slow}; wasted {}",
        bytes(reader.ahead_bytes),
        percent(waste, status.downloaded_bytes.max(1))
    )
}

/// Returns the playhead and the end of the buffer if the film's time is known: `at 12:34 of
/// 1:30:00, buffered until 14:05; `.
fn at(status: &TorrentStatus, playhead: &Playhead) -> String {
    let timeline = status.timelines.iter().find(|t| t.file == playhead.file);
    match (playhead.time_s, playhead.buffered_until_s, timeline) {
        (Some(time), Some(until), Some(timeline)) => {
            let [time, until, all] = [time, until, timeline.duration_s].map(clock_time);
            let about = if timeline.accuracy == "estimate" { "about " } else { "" };
            format!("at {about}{time} of {all}, buffered until {until}; ")
        }
        _ => String::new(),
    }
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "100 %".into() } else { format!("{:.1} %", part as f64 * 100.0 / whole as f64) }
}

/// Renders the pieces in `cells` characters: `#` complete, `=` partly complete, `+` being fetched,
/// `.` missing, `|` at a reader.
fn map(status: &TorrentStatus, torrent: &Metainfo, cells: usize) -> String {
    let pieces = status.piece_map.as_bytes();
    if pieces.is_empty() || cells == 0 {
        return String::new();
    }
    let cells = cells.min(pieces.len());
    let mut out: Vec<char> = (0..cells)
        .map(|cell| {
            // Cells differ by at most one piece, and none is empty.
            let part = &pieces[cell * pieces.len() / cells..(cell + 1) * pieces.len() / cells];
            if part.iter().all(|&p| p == b'#') {
                '#'
            } else if part.contains(&b'+') {
                '+'
            } else if part.contains(&b'#') {
                '='
            } else {
                '.'
            }
        })
        .collect();
    for reader in &status.readers {
        if let Some(file) = torrent.files.get(reader.file) {
            let piece = (file.offset + reader.position) / u64::from(status.piece_bytes.max(1));
            // A playhead at the end of the file is past the last piece.
            let piece = usize::try_from(piece).unwrap_or(usize::MAX).min(pieces.len() - 1);
            out[(((piece + 1) * cells).div_ceil(pieces.len()) - 1).min(cells - 1)] = '|';
        }
    }
    out.into_iter().collect()
}

/// Returns a line for each of the peers that delivered most: address, rate, share of the total.
fn shares(status: &TorrentStatus) -> Vec<String> {
    let mut peers: Vec<_> = status.peers.iter().collect();
    peers.sort_by(|a, b| b.downloaded_bytes.cmp(&a.downloaded_bytes).then(a.addr.cmp(&b.addr)));
    let all: u64 = peers.iter().map(|p| p.downloaded_bytes).sum();
    peers
        .iter()
        .take(SHOWN_PEERS)
        .map(|p| {
            let share = if all == 0 { 0.0 } else { p.downloaded_bytes as f64 / all as f64 };
            let bar = "*".repeat((share * 30.0).round() as usize);
            let rate = p.rate_bytes_per_s.map_or_else(|| "not measured".into(), |r| format!("{}/s", Bytes(r)));
            format!("  {:<22} {rate:>14} {:>5.1} % {bar}", p.addr.to_string(), share * 100.0)
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use playswarm::status::{PeerStatus, ReaderStatus, SourceStatus, TimelineStatus};

    /// Returns a torrent of one file of that size.
    fn torrent(total: u64) -> Metainfo {
        let info = b"d6:lengthi1e4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
        let mut torrent = Metainfo::from_info(bytes::Bytes::from_static(info), Vec::new()).unwrap();
        torrent.files[0].length = total;
        torrent
    }

    fn status(piece_map: &str) -> TorrentStatus {
        let mut s = TorrentStatus::default();
        s.total_bytes = piece_map.len() as u64 * 100;
        s.verified_bytes = piece_map.matches('#').count() as u64 * 100;
        s.piece_bytes = 100;
        s.pieces = piece_map.len() as u32;
        s.piece_map = piece_map.into();
        s.download_bytes_per_s = 2048.0;
        s.downloaded_bytes = 1000;
        s.waste.duplicate_bytes = 20;
        s.known_peers = 3;
        s
    }

    fn peer(addr: &str, downloaded_bytes: u64, choked_by: bool) -> PeerStatus {
        let mut peer = PeerStatus::default();
        peer.addr = addr.parse().unwrap();
        peer.rate_bytes_per_s = Some(1024.0);
        (peer.downloaded_bytes, peer.choked_by) = (downloaded_bytes, choked_by);
        peer
    }

    fn reader(position: u64, waiting: bool) -> ReaderStatus {
        let mut reader = ReaderStatus::default();
        (reader.position, reader.waiting) = (position, waiting);
        (reader.ahead_bytes, reader.ahead_s) = (2048, Some(8.4));
        reader
    }

    #[test]
    fn the_map_shows_the_pieces_and_the_readers() {
        let mut s = status("####++......");
        assert_eq!(map(&s, &torrent(1200), 12), "####++......");
        assert_eq!(map(&s, &torrent(1200), 100), "####++......");
        assert_eq!(map(&s, &torrent(1200), 4), "#+..");
        assert_eq!(map(&status("#..#......"), &torrent(1000), 5), "==...");
        s.readers = vec![reader(0, false), reader(250, false), reader(1200, false)];
        assert_eq!(map(&s, &torrent(1200), 12), "|#|#++.....|");
        assert_eq!(map(&s, &torrent(1200), 4), "|+.|");
        assert_eq!(map(&status(""), &torrent(1), 4), "");
    }

    #[test]
    fn the_reader_lands_in_the_cell_that_holds_its_piece() {
        for pieces in 1..60usize {
            for cells in 1..=pieces {
                for piece in 0..pieces {
                    let mut s = status(&".".repeat(pieces));
                    s.readers = vec![reader(piece as u64 * 100, false)];
                    let shown = map(&s, &torrent(pieces as u64 * 100), cells).find('|').unwrap();
                    let held = shown * pieces / cells..(shown + 1) * pieces / cells;
                    assert!(held.contains(&piece), "piece {piece} of {pieces} in {cells} cells: {shown}");
                }
            }
        }
    }

    #[test]
    fn the_lines_show_the_traffic_and_the_buffer() {
        let mut s = status("##..");
        assert_eq!(
            traffic(&s),
            "50.0 % of 400 B verified, down 2.0 KiB/s, up 0 B/s, 0 peers (0 serving, 3 more known)"
        );
        let mut source = SourceStatus::default();
        (source.url, source.state, source.rate_bytes_per_s) = ("http://h.example/f".into(), "serving", 1024.0);
        s.sources = vec![source.clone()];
        assert!(traffic(&s).ends_with("3 more known), 1 of 1 web sources serving (1.0 KiB/s)"), "{}", traffic(&s));
        (source.state, source.message, source.rate_bytes_per_s) = ("refused", Some("it is gone".into()), 0.0);
        s.sources.push(source.clone());
        assert!(traffic(&s).ends_with("1 of 2 web sources serving (1.0 KiB/s); http://h.example/f: it is gone"));
        (source.state, source.message, source.queue_position) = ("queued", None, Some(3));
        s.sources[1] = source;
        assert!(traffic(&s).ends_with("1 of 2 web sources serving (1.0 KiB/s), place 3 in a queue"), "{}", traffic(&s));
        s.sources.clear();
        assert_eq!(ahead(&s), "no reader");
        s.readers = vec![reader(0, false)];
        assert_eq!(ahead(&s), "buffered ahead: 8 s, 2.0 KiB; wasted 2.0 %");
        s.readers.push(reader(0, true));
        assert_eq!(ahead(&s), "buffered ahead: 8 s, 2.0 KiB, the player waits for data; wasted 2.0 %");
        let mut index = reader(0, true);
        (index.index, index.ahead_bytes) = (true, 0);
        s.readers.push(index);
        s.readers.remove(1);
        assert_eq!(ahead(&s), "buffered ahead: 8 s, 2.0 KiB; wasted 2.0 %", "our own look at the index is no player");
        s.trouble = Some("the disk is full".into());
        assert_eq!(ahead(&s), "the disk is full");
    }

    #[test]
    fn the_position_is_a_time_where_the_films_time_is_known() {
        let mut s = status("##..");
        s.readers = vec![reader(0, false)];
        let mut playhead = Playhead::default();
        s.playhead = Some(playhead);
        assert!(ahead(&s).starts_with("buffered ahead: 8 s"));
        (playhead.time_s, playhead.buffered_until_s) = (Some(754.2), Some(845.0));
        s.playhead = Some(playhead);
        let mut timeline = TimelineStatus::default();
        (timeline.duration_s, timeline.accuracy) = (5400.0, "exact");
        s.timelines = vec![timeline.clone()];
        assert!(
            ahead(&s).starts_with("at 12:34 of 1:30:00, buffered until 14:05; buffered ahead: 8 s"),
            "{}",
            ahead(&s)
        );
        playhead.initial_buffering_s = Some(0.4);
        s.playhead = Some(playhead);
        assert!(!ahead(&s).contains("too slow"), "{}", ahead(&s));
        playhead.initial_buffering_s = Some(23.0);
        s.playhead = Some(playhead);
        assert!(ahead(&s).contains("; too slow to play without a pause: wait 23 s first; "), "{}", ahead(&s));
        timeline.accuracy = "estimate";
        s.timelines = vec![timeline];
        assert!(ahead(&s).starts_with("at about 12:34 of"), "{}", ahead(&s));
    }

    #[test]
    fn peers_are_listed_by_what_they_gave() {
        let mut s = status("##..");
        s.peers = vec![peer("127.0.0.1:1", 100, true), peer("127.0.0.1:2", 300, false)];
        assert!(traffic(&s).contains("2 peers (1 serving"));
        let lines = render(&s, &torrent(400), Options { quiet: false, peers: true });
        assert_eq!(lines[3].trim_end(), format!("  127.0.0.1:2                 1.0 KiB/s  75.0 % {}", "*".repeat(23)));
        assert_eq!(lines[4].trim_end(), format!("  127.0.0.1:1                 1.0 KiB/s  25.0 % {}", "*".repeat(8)));
    }
}
