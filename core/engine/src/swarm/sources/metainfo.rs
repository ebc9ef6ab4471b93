//! The torrent file of a link, from the servers that the link names (`xs`, `as`).
//!
//! The info dictionary has the hash of the link, whoever sends it. So a link needs no peer here.

use crate::discovery::inflate::unpacked;
use crate::discovery::web::{Got, NotGot, Terms, permissions};
use crate::metainfo::{InfoHash, MAX_TORRENT_BYTES, Metainfo};
use crate::swarm::driver::Swarm;
use bytes::Bytes;
use playswarm_proto::gnutella::Target;
use playswarm_proto::{AddressClass, printable};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Longest time to fetch a torrent file.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Most servers that are asked.
const MAX_SERVERS: usize = 10;

impl Swarm {
    /// Fetches the torrent file of a link, and begins with it. The servers are asked one after the
    /// other, until the info dictionary is known. `named_by` is the class of the address that named
    /// them.
    pub(crate) async fn fetch_metainfo(self: Arc<Self>, servers: Vec<Url>, named_by: AddressClass) {
        let cancel = self.cancel.clone();
        // Servents have files, not torrents.
        let servers = servers.into_iter().filter(|url| Target::of_url(url).is_none());
        for url in servers.take(MAX_SERVERS) {
            if self.content().is_some() {
                return;
            }
            let shown = printable::line(&printable::without_secrets(url.as_str())).into_owned();
            let fetched = tokio::select! {
                () = cancel.cancelled() => return,
                fetched = self.fetch_from(url, named_by) => fetched,
            };
            let begun = match fetched {
                Ok(torrent) => self.begin(Arc::new(torrent)).await.map_err(|e| e.to_string()),
                Err(why) => Err(why),
            };
            match begun {
                Ok(()) => return,
                Err(why) => tracing::warn!("no torrent file from {shown}: {why}"),
            }
        }
    }

    async fn fetch_from(&self, url: Url, named_by: AddressClass) -> Result<Metainfo, String> {
        let named_by = permissions(&url, named_by, false)?;
        let terms =
            Terms { named_by, announce_only: false, family: None, timeout: TIMEOUT, max_bytes: MAX_TORRENT_BYTES };
        let (body, from) = match self.shared.web().get(url, terms).await {
            Ok(Got::Body { status, body, from, .. }) if status.is_success() => (body, from),
            Ok(Got::Body { status, .. }) => return Err(format!("the server answered {status}")),
            Ok(Got::Elsewhere { .. }) => return Err("the server redirects to something else".to_owned()),
            Err(NotGot::Failed(why)) => return Err(why),
            Err(NotGot::NoSuchFamily) => return Err("its host name has no address".to_owned()),
        };
        let info_hash = self.info_hash;
        let parsed = tokio::task::spawn_blocking(move || parse(body, info_hash));
        let theirs = parsed.await.map_err(|e| e.to_string())??;
        let mut torrent = Metainfo::from_info(theirs.info, self.trackers.clone()).map_err(|why| why.to_string())?;
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
