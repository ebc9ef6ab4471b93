//! The status of a torrent.

use crate::discovery::Discovery;
use crate::status::{
    PeerStatus, Playhead, ReaderStatus, SourceStatus, TimelineStatus, TorrentStatus, TrackerStatus, Waste,
};
use crate::swarm::driver::Swarm;
use crate::swarm::readers::Purpose;
use playswarm_logic::picker::Picker;
use playswarm_logic::torrent::{Peer, Reader, Torrent};
use playswarm_logic::{Bits, PeerKey, ReaderKey, Time};
use std::time::Duration;

/// Time without any peer after which the status reports it.
const LONELY: Duration = Duration::from_secs(8);
/// Time for which a reader is blocked on data that no connected peer sends before the status
/// reports it. Peers announce their pieces within moments.
const STARVED: Duration = Duration::from_secs(2);

/// The data that stays constant while a status is assembled.
struct Frame<'a> {
    torrent: &'a Torrent,
    now: Time,
    have: &'a Bits,
}

impl Swarm {
    /// Returns a snapshot.
    pub(crate) fn status(&self) -> TorrentStatus {
        let content = self.content();
        let layout = content.map(|c| c.torrent.layout);
        let (memory_bytes, disk_bytes) = content.map_or((0, 0), |c| (c.store.memory_bytes(), c.store.disk_bytes()));
        // The pieces available to readers; the store is the first to know them.
        let have = content.map(|c| c.store.shown()).unwrap_or_default();
        let trackers = self.discovery.lock().as_ref().map(Discovery::trackers).unwrap_or_default();
        let (disk_trouble, notices) = {
            let reports = self.reports.lock();
            (reports.trouble.clone(), reports.notices.clone())
        };
        let lasting = self.check_right().err().map(|why| why.to_string()).or(disk_trouble);
        let timelines = self.times.lock().iter().map(|(file, time)| TimelineStatus::new(*file, time)).collect();
        self.look(|torrent, now| {
            let frame = Frame { torrent, now, have: &have };
            let counters = torrent.picker().map(Picker::counters).unwrap_or_default();
            let ((downloaded_bytes, download_bytes_per_s), (uploaded_bytes, upload_bytes_per_s)) =
                (torrent.download(now), torrent.upload(now));
            let sources = self.sources.status(torrent, now);
            let readers = torrent.readers().filter(|(_, reader)| reader.purpose != Purpose::Prefetch);
            TorrentStatus {
                info_hash: self.info_hash,
                name: content.map(|c| c.torrent.name.clone()).unwrap_or_default(),
                total_bytes: layout.map_or(0, |l| l.total_bytes()),
                verified_bytes: self.verified_bytes(&have),
                piece_bytes: layout.map_or(0, |l| l.piece_bytes()),
                pieces: layout.map_or(0, |l| l.pieces()),
                piece_map: torrent.picker().map(|picker| piece_map(&have, picker)).unwrap_or_default(),
                download_bytes_per_s,
                upload_bytes_per_s,
                downloaded_bytes,
                uploaded_bytes,
                waste: Waste {
                    duplicate_bytes: counters.duplicate_bytes,
                    unasked_bytes: counters.unasked_bytes,
                    failed_bytes: counters.failed_bytes,
                    forgotten_bytes: counters.forgotten_bytes,
                },
                readers: readers.map(|(key, reader)| self.reader_status(&frame, key, reader)).collect(),
                playhead: self.playhead(&frame),
                slots: torrent.slot_status(now),
                timelines,
                peers: torrent.peers().map(|(key, peer)| peer_status(&frame, key, peer)).collect(),
                known_peers: torrent.idle_addresses(),
                banned_peers: torrent.banned(now),
                trouble: lasting.or_else(|| trouble(&frame, &trackers, &sources)),
                sources,
                trackers,
                notices,
                memory_bytes,
                disk_bytes,
                proof: content.map(|c| c.store.proof().kind().to_owned()).unwrap_or_default(),
                unproven_bytes: content
                    .filter(|c| c.store.is_sealed())
                    .map_or(0, |c| self.verified_bytes(&c.store.have())),
                background: false,
            }
        })
    }

    fn reader_status(&self, frame: &Frame<'_>, key: ReaderKey, r: &Reader) -> ReaderStatus {
        let layout = self.content().map(|c| c.torrent.layout);
        let ahead = layout.map_or(0, |l| l.bytes_here(frame.have, r.position, r.end.saturating_sub(r.position)));
        let rate = frame.torrent.picker().and_then(|p| p.reader_rate(key)).filter(|rate| *rate > 0.0);
        let pointers = frame.torrent.picker().and_then(|p| p.pointers(key));
        let window_until = pointers.map_or(r.position + ahead, |pointers| pointers.end_of_buffer);
        let by_time = frame.torrent.time_of(r.file, r.position - r.start, ahead).map(|time| time.as_secs_f64());
        ReaderStatus {
            file: r.file,
            position: r.position - r.start,
            ahead_bytes: ahead,
            ahead_s: by_time.or(rate.map(|rate| ahead as f64 / rate)),
            window_until: window_until - r.start,
            waiting: r.waiting,
            index: r.purpose == Purpose::Index,
        }
    }

    /// Returns the playhead and how far playback can continue from there.
    fn playhead(&self, frame: &Frame<'_>) -> Option<Playhead> {
        let (file, position) = frame.torrent.playhead()?;
        let (timeline, content) = (self.timeline(file), self.content()?);
        let entry = content.torrent.files.get(file)?;
        let ahead = content.torrent.layout.bytes_here(
            frame.have,
            entry.offset + position,
            entry.length.saturating_sub(position),
        );
        let is_here = position + ahead == entry.length;
        let seconds = |byte| timeline.as_ref().map(|t| t.time_at(byte).as_secs_f64());
        Some(Playhead {
            file,
            position,
            time_s: frame.torrent.shown_s(frame.now, file).or_else(|| seconds(position)),
            buffered_until: position + ahead,
            buffered_until_s: seconds(position + ahead),
            initial_buffering_s: if is_here { Some(0.0) } else { frame.torrent.initial_buffering_s(frame.now, file) },
        })
    }
}

fn peer_status(frame: &Frame<'_>, key: PeerKey, p: &Peer) -> PeerStatus {
    let torrent = frame.torrent;
    let figures = torrent.picker().and_then(|picker| picker.peer(key));
    PeerStatus {
        addr: p.addr,
        client: p.client.clone(),
        transport: match (p.source, p.utp) {
            (Some(_), _) => "http",
            (None, true) => "utp",
            (None, false) => "tcp",
        },
        incoming: p.incoming,
        origin: p.origin.as_str(),
        has: torrent.share_of(key),
        rate_bytes_per_s: figures.and_then(|f| f.rate_bytes_per_s),
        rtt_ms: figures.map(|f| f.rtt).or(p.rtt).map_or(0.0, |d| d.as_secs_f64() * 1000.0),
        outstanding: figures.map_or(0, |f| f.outstanding),
        downloaded_bytes: p.downloaded,
        uploaded_bytes: p.uploaded,
        choked_by: p.chokes_us,
        choking: p.uploads.is_choked(),
        interested: p.interested,
        snubbed: figures.is_some_and(|f| f.snubbed),
        parent: torrent.is_parent(key),
        viewer: torrent.viewer_status(frame.now, key),
    }
}

/// Returns the reason why a reader is blocked, as a sentence with a remedy.
fn trouble(frame: &Frame<'_>, trackers: &[TrackerStatus], sources: &[SourceStatus]) -> Option<String> {
    if let Some((since, all, with)) = frame.torrent.starving()
        && frame.now.since(since) > STARVED
        && all > 0
    {
        let peers = if all == 1 { "the only connected peer".to_owned() } else { format!("the {all} connected peers") };
        return Some(match with {
            0 => format!(
                "{peers} {} the piece that a reader waits for; playback continues when a peer with it connects",
                lacks(all)
            ),
            with => format!(
                "{with} of {peers} {} the piece that a reader waits for, and none of them has unchoked us yet",
                has(with)
            ),
        });
    }
    let lonely = frame.torrent.lonely_since().is_some_and(|since| frame.now.since(since) > LONELY);
    if !lonely || frame.torrent.is_complete() {
        return None;
    }
    if let Some((source, why)) = sources.iter().find_map(|source| Some((source, source.message.as_ref()?))) {
        return Some(format!("no peer is connected, and the web server {} failed: {why}", source.url));
    }
    let failed = trackers.iter().find(|t| t.state == "failed" && t.message.is_some());
    Some(match failed {
        Some(TrackerStatus { url, message: Some(why), .. }) => format!(
            "no peer is connected, and the tracker {url} failed: {why}; check the network, or add a peer that has it"
        ),
        _ => "no peer is connected; check the network and the tracker, or add a peer that has it".to_owned(),
    })
}

fn lacks(n: usize) -> &'static str {
    if n == 1 { "lacks" } else { "lack" }
}

fn has(n: usize) -> &'static str {
    if n == 1 { "has" } else { "have" }
}

fn piece_map(have: &Bits, picker: &Picker) -> String {
    let mut map: Vec<u8> = (0..have.len()).map(|i| if have.get(i) { b'#' } else { b'.' }).collect();
    for piece in picker.partial_pieces().filter(|piece| !have.get(piece.0)) {
        map[piece.0 as usize] = b'+';
    }
    String::from_utf8(map).unwrap_or_default()
}
