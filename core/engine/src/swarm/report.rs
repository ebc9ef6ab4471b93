//! What a torrent is doing, for the outside.

use crate::discovery::Discovery;
use crate::status::{MediaStatus, PeerStatus, ReaderStatus, TrackerStatus, Waste};
use crate::swarm::driver::Swarm;
use crate::swarm::readers::Purpose;
use playswarm_logic::Bits;
use playswarm_logic::picker::Picker;
use std::time::{Duration, Instant};

/// With no peer at all for so long, the user is told.
const LONELY: Duration = Duration::from_secs(8);
/// A reader that waits for longer for what no connected peer gives is told of. Peers say what they have within moments.
const STARVED: Duration = Duration::from_secs(2);

impl Swarm {
    /// A snapshot.
    pub(crate) fn status(&self) -> MediaStatus {
        let content = self.content.get();
        let layout = content.map(|c| c.torrent.layout);
        let (memory_bytes, disk_bytes) = content.map_or((0, 0), |c| (c.store.memory_bytes(), c.store.disk_bytes()));
        let mut st = self.state.lock();
        // What readers can have, which the store knows first.
        let have = content.map(|c| c.store.have()).unwrap_or_default();
        let (download_bytes_per_s, upload_bytes_per_s) = (st.down.rate(), st.up.rate());
        let (st, now) = (&*st, self.now());
        let picker = st.picker.as_ref();
        let counters = picker.map(Picker::counters).unwrap_or_default();
        let readers = st
            .readers
            .iter()
            .filter(|(key, _)| st.warm.is_none_or(|(warm, _)| warm != **key))
            .map(|(key, r)| {
                let ahead =
                    layout.map_or(0, |layout| layout.bytes_here(&have, r.position, r.end.saturating_sub(r.position)));
                let rate = picker.and_then(|p| p.reader_rate(*key)).filter(|rate| *rate > 0.0);
                let by_time = Swarm::ahead_time(st, r, ahead).map(|time| time.as_secs_f64());
                ReaderStatus {
                    file: r.file,
                    position: r.position - r.start,
                    ahead_bytes: ahead,
                    ahead_s: by_time.or(rate.map(|rate| ahead as f64 / rate)),
                    waiting: r.waiting,
                    index: r.purpose == Purpose::Index,
                }
            })
            .collect();
        let peers = st
            .peers
            .iter()
            .map(|(key, p)| {
                let figures = picker.and_then(|picker| picker.peer(*key));
                PeerStatus {
                    addr: p.addr,
                    client: p.client.clone(),
                    transport: p.via,
                    incoming: p.incoming,
                    origin: p.origin.as_str(),
                    has: p.share(),
                    rate_bytes_per_s: figures.and_then(|f| f.rate_bytes_per_s),
                    rtt_ms: figures.map(|f| f.rtt).or(p.rtt).map_or(0.0, |d| d.as_secs_f64() * 1000.0),
                    outstanding: figures.map_or(0, |f| f.outstanding),
                    downloaded_bytes: p.downloaded,
                    uploaded_bytes: p.uploaded,
                    choked_by: p.chokes_us,
                    choking: p.uploads.is_choked(),
                    interested: p.interested,
                    snubbed: figures.is_some_and(|f| f.snubbed),
                    parent: Swarm::is_parent(st, *key),
                    viewer: p.said.map(|said| self.viewer_status(&said, now, p.uploaded)),
                }
            })
            .collect();
        MediaStatus {
            info_hash: self.info_hash,
            name: content.map(|c| c.torrent.name.clone()).unwrap_or_default(),
            total_bytes: layout.map_or(0, |l| l.total_bytes()),
            verified_bytes: self.verified_bytes(&have),
            piece_bytes: layout.map_or(0, |l| l.piece_bytes()),
            pieces: layout.map_or(0, |l| l.pieces()),
            piece_map: picker.map(|picker| piece_map(&have, picker)).unwrap_or_default(),
            download_bytes_per_s,
            upload_bytes_per_s,
            downloaded_bytes: st.down.total(),
            uploaded_bytes: st.up.total(),
            waste: Waste {
                duplicate_bytes: counters.duplicate_bytes,
                unasked_bytes: counters.unasked_bytes,
                failed_bytes: counters.failed_bytes,
                forgotten_bytes: counters.forgotten_bytes,
            },
            readers,
            playhead: self.playhead(st),
            slots: self.slot_status(st),
            timelines: st.times.statuses(),
            peers,
            trackers: st.discovery.as_ref().map(Discovery::trackers).unwrap_or_default(),
            known_peers: st.book.idle(),
            banned_peers: st.book.bans.banned(now),
            trouble: self.trouble(st),
            notices: st.notices.clone(),
            memory_bytes,
            disk_bytes,
            background: false,
        }
    }

    /// Where a reader waits for what no connected peer gives: how many peers are connected, how many of them have it, and
    /// how many of these serve us. A player's reader counts before our own.
    fn starved(&self, st: &super::driver::State) -> Option<(usize, usize, usize)> {
        let layout = self.content.get()?.torrent.layout;
        let waiting = st.readers.values().filter(|r| r.waiting);
        let reader = waiting.min_by_key(|r| r.purpose == Purpose::Index)?;
        let piece = layout.piece_at(reader.position);
        let picker = st.picker.as_ref().filter(|picker| !picker.have().get(piece.0))?;
        let (with, serving) = picker.piece_holders(piece);
        (serving == 0).then_some((st.peers.len(), with, serving))
    }

    /// Notes since when a reader is starved.
    pub(super) fn watch_starving(&self, st: &mut super::driver::State) {
        let starved = self.starved(st).is_some();
        st.starved_since = starved.then(|| st.starved_since.unwrap_or_else(Instant::now));
    }

    fn trouble(&self, st: &super::driver::State) -> Option<String> {
        if let Some(trouble) = &st.disk_trouble {
            return Some(trouble.clone());
        }
        if st.starved_since.is_some_and(|since| since.elapsed() > STARVED)
            && let Some((all, with, serving)) = self.starved(st)
            && all > 0
        {
            let peers =
                if all == 1 { "the only connected peer".to_owned() } else { format!("the {all} connected peers") };
            return Some(match (with, serving) {
                (0, _) => {
                    format!("{peers} {} what is waited for; it goes on when a peer with it comes", lacks(all))
                }
                (with, _) => {
                    format!("{with} of {peers} {} what is waited for, and none of them serves us yet", has(with))
                }
            });
        }
        let complete = st.picker.as_ref().is_some_and(|p| p.have().is_full());
        let lonely = st.lonely_since.is_some_and(|since| since.elapsed() > LONELY);
        let trackers = st.discovery.as_ref().map(Discovery::trackers).unwrap_or_default();
        let failed = trackers.into_iter().find(|t| t.state == "failed" && t.message.is_some());
        (lonely && !complete).then(|| match failed {
            Some(TrackerStatus { url, message: Some(why), .. }) => format!(
                "no peer is connected, and the tracker {url} failed: {why}; check the network, or add a peer that has it"
            ),
            _ => "no peer is connected; check the network and the tracker, or add a peer that has it".to_owned(),
        })
    }
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
