//! The open channels of a session. Each is open once, however many handles there are, and they
//! share the upload.

use super::archive::{Archive, ArchiveOptions, ChannelMinute};
use super::node::{Node, Surroundings};
use super::status::ChannelHead;
use crate::error::{Error, Result};
use crate::metainfo::InfoHash;
use parking_lot::Mutex;
use playswarm_logic::channel::Channel;
use playswarm_proto::live::ChannelKey;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

/// The open channels of a session.
pub(crate) struct Channels {
    open: Mutex<BTreeMap<InfoHash, Weak<Open>>>,
    /// Held while a channel is opened: concurrent calls for the same channel share it.
    turn: Mutex<()>,
    /// Upload limit for all channels, bytes per second.
    upload: Option<f64>,
}

/// An open channel. It is closed when the last handle and the last stream are dropped.
pub(super) struct Open {
    pub(super) node: Arc<Node>,
    pub(super) around: Surroundings,
}

impl Channels {
    /// Creates the record of a session's channels. `upload` is its limit in bytes per second, if
    /// there is one.
    pub(crate) fn new(upload: Option<u64>) -> Channels {
        Channels { open: Mutex::default(), turn: Mutex::default(), upload: upload.map(|rate| rate as f64) }
    }

    /// Returns the open channel of this key, which `start` opens if there is none.
    pub(super) fn join(&self, key: ChannelKey, around: &Surroundings, start: impl FnOnce() -> Arc<Node>) -> Arc<Open> {
        let _turn = self.turn.lock();
        self.find(&key).unwrap_or_else(|| self.insert(start(), around))
    }

    /// Opens a channel as its source.
    pub(super) fn cast(
        &self,
        key: ChannelKey,
        around: &Surroundings,
        start: impl FnOnce() -> Result<Arc<Node>>,
    ) -> Result<Arc<Open>> {
        let _turn = self.turn.lock();
        if self.find(&key).is_some() {
            let why = "this channel is open in this session already; close it first, or cast to another channel";
            return Err(Error::BadArgument(why.to_owned()));
        }
        Ok(self.insert(start()?, around))
    }

    fn find(&self, key: &ChannelKey) -> Option<Arc<Open>> {
        let known = self.open.lock().get(&key.id()).and_then(Weak::upgrade);
        known.filter(|open| open.node.is_open())
    }

    fn insert(&self, node: Arc<Node>, around: &Surroundings) -> Arc<Open> {
        let id = node.key().id();
        around.registry.insert(id, node.clone());
        let open = Arc::new(Open { node, around: around.clone() });
        self.open.lock().insert(id, Arc::downgrade(&open));
        self.share();
        open
    }

    /// Divides the upload limit among the open channels.
    fn share(&self) {
        // Collected first: the last handle may be dropped here, and takes the lock.
        let open: Vec<Arc<Open>> = {
            let mut all = self.open.lock();
            all.retain(|_, open| open.strong_count() > 0);
            all.values().filter_map(Weak::upgrade).collect()
        };
        let each = self.upload.map(|upload| upload / open.len().max(1) as f64);
        open.iter().for_each(|open| open.node.set_upload(each));
    }
}

impl Open {
    /// Begins the node's archive.
    pub(super) fn archive(&self, options: &ArchiveOptions) -> Result<()> {
        let _here = self.around.runtime.enter();
        Archive::begin(&self.node, options, &self.around.session)
    }

    /// Waits until the archive has all of an ended stream.
    pub(super) async fn archived(&self) {
        if let Some(archive) = self.node.archive() {
            archive.done().await;
        }
    }

    /// Returns the announced minutes, with links that name these nodes.
    pub(super) fn minutes(&self, peers: &[SocketAddr]) -> Vec<ChannelMinute> {
        let of = |channel: &Channel, _: bool| {
            let head = channel.head()?.head();
            Some(channel.minutes().map(|signed| ChannelMinute::of(&signed.minute, head, peers)).collect())
        };
        self.node.look(of).flatten().unwrap_or_default()
    }

    pub(super) fn head(&self) -> Option<ChannelHead> {
        self.node.head().map(|head| ChannelHead::of(head.head()))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.around.registry.remove(&self.node.key().id(), Arc::as_ptr(&self.node).cast());
        self.node.close();
        self.around.channels.share();
    }
}
