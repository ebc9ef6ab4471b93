//! The torrent file of a link, from the servers that the link names (`xs`, `as`).
//!
//! The info dictionary has the hash of the link, whoever sends it. So a link needs no peer here.

use crate::discovery::inflate::unpacked;
use crate::discovery::web::{Got, NotGot, Terms, permissions};
use crate::metainfo::{InfoHash, MAX_TORRENT_BYTES, Metainfo};
use crate::swarm::driver::Swarm;
use bytes::Bytes;
use playswarm_logic::sources::pause_after;
use playswarm_proto::gnutella::Target;
use playswarm_proto::metainfo::BadMetainfo;
use playswarm_proto::{AddressClass, printable};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Longest time to fetch a torrent file.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Most servers that are asked.
const MAX_SERVERS: usize = 10;

/// Why a server gave no torrent file.
enum NotGiven {
    /// Another attempt may succeed.
    Failed(String),
    /// It has none of this torrent, or may not be asked.
    Useless(String),
}

impl Swarm {
    /// Fetches the torrent file of a link, and begins with it. The servers are asked one after the
    /// other, and again after pauses that grow, until the info dictionary is known. `named_by` is the
    /// class of the address that named them.
    pub(crate) async fn fetch_metainfo(self: Arc<Self>, mut servers: Vec<Url>, named_by: AddressClass) {
        let cancel = self.cancel.clone();
        // Servents have files, not torrents.
        servers.retain(|url| Target::of_url(url).is_none());
        servers.truncate(MAX_SERVERS);
        for round in 0.. {
            let mut again = Vec::new();
            for url in servers {
                if self.phase.get().is_some() {
                    return;
                }
                let fetched = tokio::select! {
                    () = cancel.cancelled() => return,
                    fetched = self.fetch_from(&url, named_by) => fetched,
                };
                let why = match fetched {
                    Ok(torrent) => return self.begin_with(torrent).await,
                    Err(NotGiven::Useless(why)) => why,
                    Err(NotGiven::Failed(why)) => {
                        again.push(url.clone());
                        why
                    }
                };
                let shown = printable::line(&printable::without_secrets(url.as_str())).into_owned();
                tracing::warn!("no torrent file from {shown}: {why}");
            }
            servers = again;
            if servers.is_empty() {
                return;
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = self.phase.wait() => return,
                () = tokio::time::sleep(pause_after(round)) => {}
            }
        }
    }

    /// Begins with the torrent file of a server, and announces to its trackers.
    async fn begin_with(self: &Arc<Self>, torrent: Metainfo) {
        let torrent = Arc::new(torrent);
        match self.begin(torrent.clone()).await {
            Ok(()) => self.with_discovery(|discovery| discovery.add_trackers(&torrent.trackers)),
            // Neither a peer nor another server can help.
            Err(why) => self.fail(why),
        }
    }

    async fn fetch_from(&self, url: &Url, named_by: AddressClass) -> Result<Metainfo, NotGiven> {
        let named_by = permissions(url, named_by, false).map_err(NotGiven::Useless)?;
        let terms =
            Terms { named_by, announce_only: false, family: None, timeout: TIMEOUT, max_bytes: MAX_TORRENT_BYTES };
        let failed = |why: &str| NotGiven::Failed(why.to_owned());
        let (body, from) = match self.shared.web().get(url.clone(), terms).await {
            Ok(Got::Body { status, body, from, .. }) if status.is_success() => (body, from),
            Ok(Got::Body { status, .. }) => return Err(NotGiven::Failed(format!("the server answered {status}"))),
            Ok(Got::Elsewhere { .. }) => return Err(failed("the server redirects to something else")),
            Err(NotGot::Failed(why)) => return Err(NotGiven::Failed(why)),
            Err(NotGot::NoSuchFamily) => return Err(failed("its host name has no address")),
        };
        let info_hash = self.info_hash;
        let parsed = tokio::task::spawn_blocking(move || parse(body, info_hash));
        let theirs = parsed.await.map_err(|e| NotGiven::Failed(e.to_string()))?.map_err(NotGiven::Useless)?;
        let useless = |why: BadMetainfo| NotGiven::Useless(why.to_string());
        let mut torrent = Metainfo::from_info(theirs.info, self.trackers.clone()).map_err(useless)?;
        torrent.trackers.extend(&theirs.trackers.named_by(from));
        torrent.web_seeds = self.web_seeds.clone();
        torrent.web_seeds.extend(&theirs.web_seeds.named_by(from));
        Ok(torrent)
    }
}

fn parse(body: Bytes, info_hash: InfoHash) -> Result<Metainfo, String> {
    let body = unpacked(body, None, MAX_TORRENT_BYTES)?;
    let torrent = Metainfo::from_bytes(&body).map_err(|why| format!("it has no torrent file there: {why}"))?;
    let is_right = torrent.info_hash == info_hash;
    is_right.then_some(torrent).ok_or_else(|| "it has the file of another torrent".to_owned())
}
