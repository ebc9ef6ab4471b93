//! What a torrent is doing, for the outside.

use crate::status::{MediaStatus, PeerStatus, ReaderStatus, Waste};
use crate::swarm::driver::Swarm;
use crate::swarm::readers::{Purpose, ready_bytes};
use playswarm_logic::picker::Picker;
use std::time::Duration;

/// With no peer at all for so long, the user is told.
const LONELY: Duration = Duration::from_secs(8);

impl Swarm {
    /// A snapshot.
    pub(crate) fn status(&self) -> MediaStatus {
        let content = self.content.get();
        let layout = content.map(|c| c.torrent.layout);
        let (memory_bytes, disk_bytes) = content.map_or((0, 0), |c| (c.store.memory_bytes(), c.store.disk_bytes()));
        let mut st = self.state.lock();
        let (download_bytes_per_s, upload_bytes_per_s) = (st.down.rate(), st.up.rate());
        let (st, now) = (&*st, self.now());
        let picker = st.picker.as_ref();
        let counters = picker.map(Picker::counters).unwrap_or_default();
        let readers = st
            .readers
            .iter()
            .filter(|(key, _)| st.warm.is_none_or(|(warm, _)| warm != **key))
            .map(|(key, r)| {
                let ahead = match (picker, layout) {
                    (Some(picker), Some(layout)) => {
                        ready_bytes(picker.have(), layout, r.position).min(r.end.saturating_sub(r.position))
                    }
                    _ => 0,
                };
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
            verified_bytes: picker.map_or(0, |p| self.verified_bytes(p.have())),
            piece_bytes: layout.map_or(0, |l| l.piece_bytes()),
            pieces: layout.map_or(0, |l| l.pieces()),
            piece_map: picker.map(piece_map).unwrap_or_default(),
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
            known_peers: st.book.idle(),
            banned_peers: st.book.bans.banned(now),
            trouble: self.trouble(st),
            notices: st.notices.clone(),
            memory_bytes,
            disk_bytes,
            background: false,
        }
    }

    fn trouble(&self, st: &super::driver::State) -> Option<String> {
        if let Some(trouble) = &st.disk_trouble {
            return Some(trouble.clone());
        }
        let complete = st.picker.as_ref().is_some_and(|p| p.have().is_full());
        let lonely = st.lonely_since.is_some_and(|since| since.elapsed() > LONELY);
        (lonely && !complete)
            .then(|| "no peer is connected; check the network and the tracker, or name a peer with --peer".to_owned())
    }
}

fn piece_map(picker: &Picker) -> String {
    let have = picker.have();
    let mut map: Vec<u8> = (0..have.len()).map(|i| if have.get(i) { b'#' } else { b'.' }).collect();
    for piece in picker.partial_pieces() {
        map[piece.0 as usize] = b'+';
    }
    String::from_utf8(map).unwrap_or_default()
}
