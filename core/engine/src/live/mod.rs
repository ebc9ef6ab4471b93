//! Live channels: streams that viewers pass on to each other, on the session's port.
//!
//! `playswarm_logic::channel` makes all decisions. [`node`] owns the connections and the clock of a
//! channel and finds its nodes, `link` sends what a connection has to send, and `reader` gives the
//! stream out. `channels` records which channels are open, and `archive` keeps the past of one.

mod addresses;
mod archive;
mod channels;
mod file;
mod link;
mod node;
mod parts;
mod pull;
mod reader;
mod status;
mod upload;

pub use archive::{ArchiveOptions, ChannelMinute};
pub use file::file_rate;
pub use parts::Part;
pub use playswarm_proto::live::{BadLink, ChannelKey, ChannelLink, parse as parse_link};
pub use reader::{LiveReadable, LiveStream};
pub use status::{ChannelHead, ChannelStatus};
pub use upload::Upload;

/// The protocols in which encoders push, without I/O.
pub mod protocol {
    pub use playswarm_proto::{ingest, rtmp};
}

use crate::error::{Error, Result};
use crate::random;
use bytes::Bytes;
use channels::Open;
use node::Node;
use parking_lot::Mutex;
use playswarm_logic::channel::{self, Cast as CastEvent, Input, Source};
use playswarm_logic::stripe::Cut;
use playswarm_proto::live::{CodeId, Head, Shape, SourceKey};
use std::sync::Arc;
use std::time::Duration;
use upload::Feed;

pub(crate) use channels::Channels;
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
    /// Stripes of data and of parity. Data is 1, 2, 4, 8 or 16, parity 0, 1 or 2. `None` suits the
    /// rate: 4 + 1 below 64 kB/s, else 8 + 1.
    pub stripes: Option<(u8, u8)>,
    /// Where the stream is archived. `None` keeps no archive.
    pub archive: Option<ArchiveOptions>,
}

/// The source of a live channel. Dropping it, and all its streams, takes the channel off the air.
pub struct Cast {
    open: Arc<Open>,
    feed: Mutex<Feed>,
}

/// A live channel that is watched or passed on. A session has one node in a channel, which all its
/// handles and streams share. Dropping them all leaves the channel without a word; see
/// [`Channel::leave`].
#[derive(Clone)]
pub struct Channel {
    open: Arc<Open>,
    link: ChannelLink,
}

impl Cast {
    pub(crate) fn start(options: CastOptions, settings: &channel::Config, around: &Surroundings) -> Result<Cast> {
        let key = SourceKey::from_seed(&match options.key {
            Some(seed) => seed,
            None => new_seed()?,
        });
        let bytes_per_s = if options.bytes_per_s == 0 { ASSUMED_BYTES_PER_S } else { options.bytes_per_s };
        let mut cut = Cut::of_rate(bytes_per_s.into());
        if let Some((data, parity)) = options.stripes {
            cut.shape = shape_of(data, parity)
                .ok_or_else(|| unusable("stripes", &"use 1, 2, 4, 8 or 16 of data, and 0, 1 or 2 of parity"))?;
        }
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
        let channel = key.channel();
        let source = |now, unix_ms| Source::new(now, unix_ms, key, cut, head);
        let start = || Node::cast(settings, around.clone(), source).map_err(|why| unusable("name", &why));
        let cast = Cast {
            open: around.channels.cast(channel, around, start)?,
            feed: Mutex::new(Feed::new(options.content_type)),
        };
        if let Some(archive) = &options.archive {
            cast.open.archive(archive)?;
        }
        Ok(cast)
    }

    /// Sends bytes of the stream to the channel. They may end anywhere.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] if viewers could not join the stream; the text says what to do instead.
    pub fn push(&self, bytes: &[u8]) -> Result<()> {
        self.take(&mut self.feed.lock(), bytes)
    }

    /// Tells viewers the title of what is playing from now on, such as `ARTIST - TITLE`, of which 255
    /// bytes are sent. An empty one takes the title back.
    pub fn set_title(&self, title: &str) {
        self.open.node.tell(Input::Cast(CastEvent::Title(title.to_owned())));
    }

    /// Ends the stream. Viewers receive all pushed bytes before the end.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] if viewers could not have joined the stream.
    pub fn end(&self) -> Result<()> {
        let finished = self.finish(&mut self.feed.lock());
        self.open.node.tell(Input::Cast(CastEvent::End));
        finished
    }

    /// Waits until all that was pushed was handed to the connections, at most this long.
    pub async fn flush(&self, limit: Duration) {
        // A connection that does not read must not delay the end of a program.
        let _ = tokio::time::timeout(limit, self.open.node.all_sent()).await;
    }

    /// Begins to archive the cast like [`CastOptions::archive`]. What was sent before may be missing.
    ///
    /// # Errors
    ///
    /// Those of [`Channel::archive`].
    pub fn archive(&self, options: &ArchiveOptions) -> Result<()> {
        self.open.archive(options)
    }

    /// Waits until the archive of an ended stream is complete: its last minute, and the torrent of the
    /// whole. Returns at once if there is none.
    pub async fn archived(&self) {
        self.open.archived().await;
    }

    /// Returns the minutes of the archive, the newest 120.
    pub fn minutes(&self) -> Vec<ChannelMinute> {
        self.open.minutes(&self.open.node.reachable())
    }

    /// Returns the channel's key.
    pub fn key(&self) -> ChannelKey {
        self.open.node.key()
    }

    /// Returns a link to the channel, with the addresses at which this machine can be reached as far
    /// as it knows them.
    pub fn link(&self) -> ChannelLink {
        let mut link = ChannelLink::new(self.key());
        link.at = self.open.node.reachable().into_iter().map(Into::into).collect();
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
    pub(crate) fn join(link: &ChannelLink, settings: &channel::Config, around: &Surroundings) -> Channel {
        let open = around.channels.join(link.key, around, || Node::watch(link.key, settings, around.clone()));
        link.at.iter().for_each(|addr| open.node.add(addr));
        Channel { open, link: link.clone() }
    }

    /// Opens the stream. It begins a margin behind the newest group, with the init bytes.
    pub fn stream(&self) -> LiveStream {
        LiveStream::new(self.open.clone())
    }

    /// Opens the stream this much behind the newest group, as far as it is held. It begins with a
    /// place at which a player can begin, so zero is the newest such place.
    pub fn stream_behind(&self, behind: Duration) -> LiveStream {
        LiveStream::behind(self.open.clone(), behind)
    }

    /// Returns the channel's key.
    pub fn key(&self) -> ChannelKey {
        self.open.node.key()
    }

    /// Returns the link by which the channel was found.
    pub fn link(&self) -> &ChannelLink {
        &self.link
    }

    /// Returns the description of the stream, once a node has sent it.
    pub fn head(&self) -> Option<ChannelHead> {
        self.open.head()
    }

    /// Returns the title of what is playing, if the source tells it.
    pub fn title(&self) -> Option<String> {
        self.open.node.title()
    }

    /// Waits until a player can begin. `None` if the stream has ended before, or the channel was
    /// left.
    pub async fn on_air(&self) -> Option<ChannelHead> {
        reader::on_air(&self.open).await
    }

    /// Waits until the stream has ended and all of it is here, or the channel was left.
    pub async fn ended(&self) {
        self.open.node.over().await;
    }

    /// Begins to archive the channel: its minutes are written from the stream, missing ones are
    /// downloaded, and all are seeded until the channel is left. Only what the source archives can be.
    ///
    /// # Errors
    ///
    /// [`Error::BadArgument`] if the channel has an archive in this session already,
    /// [`Error::BadConfig`], [`Error::Storage`], [`Error::Closed`].
    pub fn archive(&self, options: &ArchiveOptions) -> Result<()> {
        self.open.archive(options)
    }

    /// Waits until all of an ended stream that can be had is in the archive. Returns at once if there
    /// is none.
    pub async fn archived(&self) {
        self.open.archived().await;
    }

    /// Returns the minutes that the source has announced, the newest 120.
    pub fn minutes(&self) -> Vec<ChannelMinute> {
        self.open.minutes(&self.open.node.dialled())
    }

    /// Returns the node's place in the channel.
    pub fn status(&self) -> ChannelStatus {
        self.open.node.status()
    }

    /// Returns whether other handles or streams of this session use the channel.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.open) > 1
    }

    /// Leaves the channel, for all handles of this session. Returns once the nodes that are fed here
    /// have other parents, or after 1.5 s. Streams then end.
    pub async fn leave(&self) {
        self.open.node.leave().await;
    }
}

/// Parses a link to a channel, of which there must be one. [`parse_link`] also tells other texts.
///
/// # Errors
///
/// [`Error::BadLink`].
pub fn channel_link(text: &str) -> Result<ChannelLink> {
    let bad = |why| Error::BadLink { given: text.chars().take(SHOWN_LINK_CHARS).collect(), why };
    let none = || bad("write one such as playswarm:KEY?at=HOST:PORT".to_owned());
    parse_link(text).ok_or_else(none)?.map_err(|why| bad(why.to_string()))
}

/// Most characters of a link in a message.
const SHOWN_LINK_CHARS: usize = 80;

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

/// Returns the key of the channel whose secret key has this seed.
pub fn channel_key(seed: &[u8; 32]) -> ChannelKey {
    SourceKey::from_seed(seed).channel()
}

/// Returns the shape with the cheapest code that makes so much parity.
fn shape_of(data: u8, parity: u8) -> Option<Shape> {
    let code = match parity {
        0 => CodeId::None,
        1 => CodeId::Xor,
        _ => CodeId::ReedSolomon,
    };
    Shape::new(data, parity, code)
}

fn unusable(name: &str, why: &dyn std::fmt::Display) -> Error {
    Error::BadConfig { name: name.to_owned(), why: why.to_string() }
}

/// Rate that is assumed for a stream without one, bytes per second: 3 Mbit/s.
const ASSUMED_BYTES_PER_S: u32 = 375_000;
