//! Live channels: streams that viewers pass on to each other, on the session's port.
//!
//! `playswarm_logic::channel` makes all decisions. [`node`] owns the connections and the clock of a
//! channel, `link` sends what a connection has to send, and `reader` gives the stream out.

mod addresses;
mod file;
mod link;
mod node;
mod reader;

pub use file::file_rate;
pub use playswarm_proto::live::{BadLink, ChannelKey, ChannelLink, parse as parse_link};
pub use reader::LiveStream;

use crate::error::{Error, Result};
use crate::random;
use crate::swarm::listen::Registry;
use bytes::Bytes;
use node::Node;
use parking_lot::Mutex;
use playswarm_logic::channel::{self, Cast as CastEvent, Input, Source};
use playswarm_logic::stripe::Cut;
use playswarm_media::live::Splitter;
use playswarm_proto::live::{Head, SourceKey};
use std::sync::Arc;

pub(crate) use node::Surroundings;

/// The description of a cast.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CastOptions {
    /// Seed of the channel's secret key (RFC 8032). `None` makes a new channel.
    pub key: Option<[u8; 32]>,
    /// Name of the channel.
    pub name: String,
    /// Media type of the stream, such as `video/mp2t`. Without one, it is detected.
    pub content_type: Option<String>,
    /// Rate of the stream in bytes per second, about. 0 if it is not known: 3 Mbit/s is assumed.
    pub bytes_per_s: u32,
}

/// The source of a live channel. Dropping it, and all its streams, takes the channel off the air.
pub struct Cast {
    open: Arc<Open>,
    splitter: Mutex<Splitter>,
}

/// A live channel that is watched or passed on. Dropping it, and all its streams, leaves the
/// channel without a word; see [`Channel::leave`].
#[derive(Clone)]
pub struct Channel {
    open: Arc<Open>,
}

/// An open channel. It is closed when the last handle and the last stream are dropped.
struct Open {
    node: Arc<Node>,
    registry: Arc<Registry>,
}

impl Open {
    fn new(node: Arc<Node>, registry: Arc<Registry>) -> Arc<Open> {
        registry.insert(node.key().id(), node.clone());
        Arc::new(Open { node, registry })
    }

    fn head(&self) -> Option<ChannelHead> {
        self.node.look(|channel, _| channel.head().map(|head| ChannelHead::of(head.head())))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.registry.remove(&self.node.key().id(), Arc::as_ptr(&self.node).cast());
        self.node.close();
    }
}

/// The description of a channel's stream, which its source signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelHead {
    /// Name of the channel for people. May be empty.
    pub name: String,
    /// Media type of the stream, such as `video/mp2t`. Empty before the source has detected it.
    pub content_type: String,
    /// Rate of the stream in bytes per second, about.
    pub bytes_per_s: u32,
}

impl ChannelHead {
    fn of(head: &Head) -> ChannelHead {
        let (name, content_type) = (head.name.clone(), head.content_type.clone());
        ChannelHead { name, content_type, bytes_per_s: head.bytes_per_s }
    }
}

/// A node's place in a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ChannelStatus {
    /// Stripes of the channel; 0 before its head is known.
    pub stripes: usize,
    /// Stripes for which this node has a parent.
    pub fed: usize,
    /// Nodes from the source to this one, over the longest path.
    pub depth: usize,
    /// Nodes that are fed with a stripe here, counted for each stripe.
    pub children: usize,
    /// Open connections.
    pub connections: usize,
    /// Packets that were verified and new.
    pub packets: u64,
    /// Packets that did not verify. Their senders are banned.
    pub refused: u64,
    /// Groups that were restored from parity.
    pub restored: u64,
    /// Groups that were lost for good.
    pub lost: u64,
}

impl Cast {
    pub(crate) fn start(options: CastOptions, settings: &channel::Config, around: Surroundings) -> Result<Cast> {
        let key = SourceKey::from_seed(&match options.key {
            Some(seed) => seed,
            None => new_seed()?,
        });
        let bytes_per_s = if options.bytes_per_s == 0 { ASSUMED_BYTES_PER_S } else { options.bytes_per_s };
        let cut = Cut::of_rate(bytes_per_s.into());
        let head = Head {
            key: key.channel(),
            cast: random::number(),
            revision: 0,
            started_ms: 0,
            shape: cut.shape,
            group_ms: 0,
            packet_bytes: 0,
            bytes_per_s,
            margin_ms: (settings.stripe.margin_s * 1000.0) as u32,
            name: options.name,
            content_type: options.content_type.clone().unwrap_or_default(),
            init: Bytes::new(),
        };
        let source = |now, unix_ms| Source::new(now, unix_ms, key, cut, head);
        let registry = around.registry.clone();
        let node = Node::cast(settings, around, source).map_err(|why| unusable("name", &why))?;
        Ok(Cast {
            open: Open::new(node, registry),
            splitter: Mutex::new(Splitter::new(options.content_type.as_deref())),
        })
    }

    /// Sends bytes of the stream to the channel. They may end anywhere.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] if viewers could not join the stream; the text says what to do instead.
    pub fn push(&self, bytes: &[u8]) -> Result<()> {
        let mut splitter = self.splitter.lock();
        splitter.push(bytes).map_err(|why| unusable("stream", &why))?;
        self.pass_on(&mut splitter);
        Ok(())
    }

    /// Ends the stream. Viewers receive all pushed bytes before the end.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] if viewers could not have joined the stream.
    pub fn end(&self) -> Result<()> {
        let mut splitter = self.splitter.lock();
        let finished = splitter.finish().map_err(|why| unusable("stream", &why));
        self.pass_on(&mut splitter);
        self.open.node.tell(Input::Cast(CastEvent::End));
        finished
    }

    fn pass_on(&self, splitter: &mut Splitter) {
        while let Some(unit) = splitter.poll() {
            if let Some(init) = unit.init {
                let content_type = splitter.content_type().unwrap_or_default().to_owned();
                self.open.node.tell(Input::Cast(CastEvent::Init { init, content_type }));
            }
            self.open.node.tell(Input::Cast(CastEvent::Bytes(unit.bytes, unit.restart)));
        }
    }

    /// Returns the channel's key.
    pub fn key(&self) -> ChannelKey {
        self.open.node.key()
    }

    /// Returns a link to the channel, with the addresses at which this machine can be reached as far
    /// as it knows them.
    pub fn link(&self) -> ChannelLink {
        let mut link = ChannelLink::new(self.key());
        link.at = addresses::reachable(self.open.node.listen_addr()).into_iter().map(Into::into).collect();
        link.name = self.head().map(|head| head.name).filter(|name| !name.is_empty());
        link
    }

    /// Returns the description of the stream.
    pub fn head(&self) -> Option<ChannelHead> {
        self.open.head()
    }

    /// Opens the stream at the source itself.
    pub fn stream(&self) -> LiveStream {
        LiveStream::new(self.open.clone())
    }

    /// Returns the source's place in the channel.
    pub fn status(&self) -> ChannelStatus {
        self.open.node.status()
    }
}

impl Channel {
    pub(crate) fn join(link: &ChannelLink, settings: &channel::Config, around: Surroundings) -> Channel {
        let registry = around.registry.clone();
        let node = Node::watch(link.key, settings, around);
        for addr in &link.at {
            node.dial_by_name(addr.clone());
        }
        Channel { open: Open::new(node, registry) }
    }

    /// Opens the stream. It begins a margin behind the newest group, with the init bytes.
    pub fn stream(&self) -> LiveStream {
        LiveStream::new(self.open.clone())
    }

    /// Returns the channel's key.
    pub fn key(&self) -> ChannelKey {
        self.open.node.key()
    }

    /// Returns the description of the stream, once a node has sent it.
    pub fn head(&self) -> Option<ChannelHead> {
        self.open.head()
    }

    /// Waits until a player can begin. `None` if the stream has ended before, or the channel was
    /// left.
    pub async fn on_air(&self) -> Option<ChannelHead> {
        reader::on_air(&self.open).await
    }

    /// Returns the node's place in the channel.
    pub fn status(&self) -> ChannelStatus {
        self.open.node.status()
    }

    /// Leaves the channel once the nodes that are fed here have other parents, or after 1.5 s.
    pub async fn leave(&self) {
        self.open.node.leave().await;
    }
}

/// Draws the seed of a channel's secret key, for [`CastOptions::key`]. Its owner alone can cast to the
/// channel.
///
/// # Errors
///
/// [`Error::Io`] if the system has no good randomness.
pub fn new_seed() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    let no_randomness = |e: getrandom::Error| Error::Io { doing: "drawing a secret key", source: e.into() };
    getrandom::fill(&mut seed).map_err(no_randomness)?;
    Ok(seed)
}

fn unusable(name: &str, why: &dyn std::fmt::Display) -> Error {
    Error::BadConfig { name: name.to_owned(), why: why.to_string() }
}

/// Rate that is assumed for a stream without one, bytes per second: 3 Mbit/s.
const ASSUMED_BYTES_PER_S: u32 = 375_000;
