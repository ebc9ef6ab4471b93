//! What others see of a node: its channel, its place in it, and when that changes.

use super::Node;
use crate::error::{Error, Result};
use crate::live::archive::Archive;
use crate::live::status::ChannelStatus;
use playswarm_logic::channel::Channel;
use playswarm_proto::live::{NodeId, SignedHead};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

impl Node {
    /// Reads the channel without changing it, and whether its stream has ended. `None` if the node is
    /// closed.
    pub(in crate::live) fn look<R>(&self, work: impl FnOnce(&Channel, bool) -> R) -> Option<R> {
        let inside = self.inside.lock();
        (!self.cancel.is_cancelled()).then(|| work(&inside.channel, inside.ended))
    }

    /// Waits until `look` returns something. It is called again after each change, and must return
    /// something once the node is closed.
    pub(in crate::live) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            // Registered before the look, so that no change in between is missed.
            news.as_mut().enable();
            if let Some(found) = look() {
                return found;
            }
            tokio::select! {
                () = news => {}
                () = self.cancel.cancelled() => {}
            }
        }
    }

    /// Returns the newest head.
    pub(in crate::live) fn head(&self) -> Option<SignedHead> {
        self.inside.lock().channel.head().cloned()
    }

    /// Returns the title of what is playing.
    pub(in crate::live) fn title(&self) -> Option<String> {
        self.inside.lock().channel.title().map(str::to_owned)
    }

    /// Returns whether this is the source.
    pub(in crate::live) fn is_source(&self) -> bool {
        self.is_source
    }

    /// Returns the addresses of connected nodes at which others can reach them too.
    pub(in crate::live) fn dialled(&self) -> Vec<SocketAddr> {
        let inside = self.inside.lock();
        inside.links.values().filter(|link| link.is_dialled).map(|link| link.remote).collect()
    }

    /// Returns how long new packets have waited for a connection.
    pub(in crate::live) fn waiting(&self) -> Duration {
        self.sender.delays().into_iter().map(|(_, waited)| waited).max().unwrap_or_default()
    }

    /// Returns the number of the next minute of a cast.
    pub(in crate::live) fn next_minute(&self, cast: u64) -> u32 {
        let inside = self.inside.lock();
        let last = inside.channel.minutes().last().filter(|signed| signed.minute.cast == cast);
        last.map_or(0, |signed| signed.minute.number + 1)
    }

    /// Sets the archive.
    ///
    /// # Errors
    ///
    /// [`Error::BadArgument`] if the node has one.
    pub(in crate::live) fn set_archive(&self, archive: Arc<Archive>) -> Result<()> {
        let has_one = "this channel has an archive already; a channel can have one in a session";
        self.archive.set(archive).map_err(|_| Error::BadArgument(has_one.to_owned()))
    }

    /// Returns the archive.
    pub(in crate::live) fn archive(&self) -> Option<&Arc<Archive>> {
        self.archive.get()
    }

    /// Returns the token that is cancelled when the node is closed.
    pub(in crate::live) fn closing(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Returns whether the stream has ended or the node is closed.
    pub(in crate::live) fn has_ended(&self) -> bool {
        self.cancel.is_cancelled() || self.inside.lock().ended
    }

    /// Returns whether the node is neither closed nor leaving.
    pub(in crate::live) fn is_open(&self) -> bool {
        !self.cancel.is_cancelled() && !self.leaving.load(Ordering::SeqCst)
    }

    pub(in crate::live) fn margin_s(&self) -> f64 {
        self.margin_s
    }

    pub(in crate::live) fn reader_opened(&self) {
        self.readers.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::live) fn reader_closed(&self) {
        self.readers.fetch_sub(1, Ordering::Relaxed);
    }

    pub(in crate::live) fn status(&self) -> ChannelStatus {
        let inside = self.inside.lock();
        let now = self.now();
        let (channel, relay, counts) = (&inside.channel, inside.channel.relay(), inside.channel.counts());
        let stripes = channel.head().map_or(0, |head| head.head().shape.packets());
        let all = 0..stripes as u8;
        let is_fed = |stripe| self.is_source || relay.parent(stripe).is_some();
        let parents: BTreeSet<NodeId> = all.clone().filter_map(|stripe| Some(relay.parent(stripe)?.node)).collect();
        let places: Option<Vec<u16>> = all.clone().map(|stripe| relay.free_places(stripe)).collect();
        ChannelStatus {
            ended: inside.ended,
            title: channel.title().map(str::to_owned),
            delay_ms: inside.delay_ms,
            first_packet_ms: channel.first_packet().map(|at| at.0 / 1000),
            stripes,
            fed: all.clone().filter(|stripe| is_fed(*stripe)).count(),
            stripe_map: all.clone().map(|stripe| if is_fed(stripe) { '#' } else { '-' }).collect(),
            depth: all.clone().map(|stripe| relay.path(stripe).len()).max().unwrap_or(0),
            parents: parents.len(),
            children: all.map(|stripe| relay.feeds(stripe).len()).sum(),
            connections: inside.links.len(),
            addresses: relay.contacts(),
            on_air: inside.beacon.as_ref().map(|(_, beacon)| beacon.on_air),
            full_for_s: relay.full_for_s(now).map(|s| (s.ceil() as u64).max(1)),
            reachable: relay.is_reachable(),
            free_places: places.and_then(|places| places.into_iter().min()).map(u64::from),
            readers: self.readers.load(Ordering::Relaxed),
            packets: counts.accepted,
            refused: counts.refused,
            restored: counts.restored,
            lost: counts.lost,
            gaps: inside.gaps,
            minutes: channel.minutes().count(),
            archived: self.archive.get().map(|archive| archive.kept()),
            trouble: self.archive.get().and_then(|archive| archive.trouble()),
        }
    }
}
