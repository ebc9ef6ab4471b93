//! Gives the stream of a channel out.

use super::ChannelHead;
use super::channels::Open;
use crate::error::{Error, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use playswarm_logic::channel::Channel;
use playswarm_media::live::continuation;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};

/// A reader of a channel. It has no size, and its position is the number of bytes read.
///
/// It begins with the init bytes and a group at which a player can begin, a margin behind the
/// newest. A reader that is slower than the back buffer jumps to such a place again, and so does
/// one after a loss. It ends where the source goes on with another container.
pub struct LiveStream {
    cursor: Arc<Cursor>,
    pending: Option<Pin<Box<dyn Future<Output = Result<()>> + Send + Sync>>>,
}

/// A reader's place in the channel, shared with those that watch it.
struct Cursor {
    open: Arc<Open>,
    /// How far behind the newest group it begins, if not by the channel's margin.
    behind_s: Option<f64>,
    at: Mutex<At>,
}

#[derive(Default)]
struct At {
    place: Option<Place>,
    /// Bytes that were taken from the channel and not read.
    left: VecDeque<Bytes>,
    /// Bytes that were read.
    position: u64,
}

#[derive(Clone, Debug)]
struct Place {
    cast: u64,
    /// The next group.
    next: u64,
    /// The head of the groups before it: its revision and media type. `None` at the beginning.
    head: Option<(u8, Arc<str>)>,
}

/// What a look at the channel gave.
enum Found {
    Chunks(Place, Vec<Bytes>),
    Ended,
    Closed,
    Nothing,
}

impl Cursor {
    /// Takes what is here. Returns whether there is something to read; `None` at the end.
    fn fill(&self, at: &mut At) -> Result<Option<bool>> {
        while at.left.is_empty() {
            match self.open.look(at.place.as_ref(), self.behind_s) {
                Found::Chunks(place, chunks) => {
                    at.place = Some(place);
                    // The last group of a stream may be empty.
                    at.left.extend(chunks.into_iter().filter(|chunk| !chunk.is_empty()));
                }
                Found::Ended => return Ok(None),
                Found::Closed => return Err(Error::Closed),
                Found::Nothing => return Ok(Some(false)),
            }
        }
        Ok(Some(true))
    }

    async fn ready(&self) -> Result<()> {
        let look = || self.fill(&mut self.at.lock()).map(|found| found != Some(false));
        self.open.node.until(|| look().map(|ready| ready.then_some(())).transpose()).await
    }

    fn readable_at(&self, position: u64) -> u64 {
        let at = self.at.lock();
        if at.position != position {
            return 0;
        }
        let bytes = |chunks: &mut dyn Iterator<Item = &Bytes>| chunks.map(|chunk| chunk.len() as u64).sum::<u64>();
        let left = bytes(&mut at.left.iter());
        match self.open.look(at.place.as_ref(), self.behind_s) {
            Found::Chunks(_, chunks) => left + bytes(&mut chunks.iter()),
            Found::Ended | Found::Closed | Found::Nothing => left,
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.open.node.reader_closed();
    }
}

impl LiveStream {
    pub(super) fn new(open: Arc<Open>) -> LiveStream {
        LiveStream::of(open, None)
    }

    pub(super) fn behind(open: Arc<Open>, behind: Duration) -> LiveStream {
        LiveStream::of(open, Some(behind.as_secs_f64()))
    }

    fn of(open: Arc<Open>, behind_s: Option<f64>) -> LiveStream {
        open.node.reader_opened();
        LiveStream { cursor: Arc::new(Cursor { open, behind_s, at: Mutex::default() }), pending: None }
    }

    /// Waits for the next bytes. `None` at the end of the stream, or once the channel was left.
    pub async fn next(&mut self) -> Option<Vec<Bytes>> {
        self.cursor.ready().await.ok()?;
        let mut at = self.cursor.at.lock();
        let chunks: Vec<Bytes> = std::mem::take(&mut at.left).into();
        at.position += chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        (!chunks.is_empty()).then_some(chunks)
    }

    /// Returns the number of bytes that were read.
    pub fn position(&self) -> u64 {
        self.cursor.at.lock().position
    }

    /// Reads up to `max` bytes without a copy. Returns none at the end of the stream and for a `max`
    /// of 0. Dropping the future before it is done changes nothing.
    ///
    /// # Errors
    /// [`Error::Closed`] once the session is closed or the channel was left.
    pub async fn read_chunk(&mut self, max: usize) -> Result<Bytes> {
        loop {
            if let Some(bytes) = self.try_read_chunk(max)? {
                return Ok(bytes);
            }
            self.cursor.ready().await?;
        }
    }

    /// Reads like [`LiveStream::read_chunk`], but never waits. Returns `None` where nothing is here
    /// ([`LiveStream::ready`] ends when something is).
    ///
    /// # Errors
    /// Those of [`LiveStream::read_chunk`].
    pub fn try_read_chunk(&mut self, max: usize) -> Result<Option<Bytes>> {
        if max == 0 {
            return Ok(Some(Bytes::new()));
        }
        let at = &mut *self.cursor.at.lock();
        match self.cursor.fill(at)? {
            None => return Ok(Some(Bytes::new())),
            Some(false) => return Ok(None),
            Some(true) => {}
        }
        let Some(first) = at.left.front_mut() else { return Ok(None) };
        let bytes = first.split_to(first.len().min(max));
        if first.is_empty() {
            at.left.pop_front();
        }
        at.position += bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// Waits until [`LiveStream::try_read_chunk`] would return bytes, or the stream ends. The future
    /// does not borrow the stream.
    ///
    /// # Errors
    /// Those of [`LiveStream::read_chunk`].
    pub fn ready(&self) -> impl Future<Output = Result<()>> + Send + Sync + use<> {
        let cursor = self.cursor.clone();
        async move { cursor.ready().await }
    }

    /// Returns the number of bytes that can be read from `position` on without waiting. It is 0 for
    /// all positions but that of the reader.
    pub fn readable_at(&self, position: u64) -> u64 {
        self.cursor.readable_at(position)
    }

    /// Returns a watcher of changes to [`LiveStream::readable_at`]. It keeps the channel open like
    /// the stream.
    pub fn readable(&self) -> LiveReadable {
        LiveReadable { cursor: self.cursor.clone() }
    }
}

/// Watches how much of a channel can be read, independently of its [`LiveStream`].
pub struct LiveReadable {
    cursor: Arc<Cursor>,
}

impl LiveReadable {
    /// Returns the same as [`LiveStream::readable_at`].
    pub fn at(&self, position: u64) -> u64 {
        self.cursor.readable_at(position)
    }

    /// Waits until `at(position)` differs from `known`.
    ///
    /// # Errors
    /// [`Error::Closed`] once the stream has ended or the channel is closed.
    pub async fn changed(&self, position: u64, known: u64) -> Result<()> {
        let node = &self.cursor.open.node;
        node.until(|| {
            if node.has_ended() {
                return Some(Err(Error::Closed));
            }
            (self.at(position) != known).then_some(Ok(()))
        })
        .await
    }
}

/// Waits until a player can begin. `None` if the stream has ended before.
pub(super) async fn on_air(open: &Open) -> Option<ChannelHead> {
    let look = || match open.look(None, None) {
        Found::Chunks(..) => Some(open.head()),
        Found::Ended | Found::Closed => Some(None),
        Found::Nothing => None,
    };
    open.node.until(look).await
}

impl Open {
    /// Returns the next groups after a place. A reader may choose how far behind it begins.
    fn look(&self, place: Option<&Place>, behind_s: Option<f64>) -> Found {
        let find = |channel: &Channel, ended| {
            let stated = channel.head().map_or(0.0, |head| f64::from(head.head().margin_ms) / 1000.0);
            // What the reader chose is for its beginning.
            let behind_s = behind_s.filter(|_| place.is_none()).unwrap_or(self.node.margin_s().max(stated));
            look(channel, place, behind_s, ended)
        };
        self.node.look(find).unwrap_or(Found::Closed)
    }
}

/// Returns the next groups after `place`. `behind_s` is how far behind the newest group a player
/// begins.
fn look(channel: &Channel, place: Option<&Place>, behind_s: f64, ended: bool) -> Found {
    let Some(head) = channel.head().map(|head| head.head()) else {
        return if ended { Found::Ended } else { Found::Nothing };
    };
    // A new cast, a loss or a reader that was too slow: on at a place to begin.
    let place = place
        .filter(|place| place.cast == head.cast)
        .filter(|place| channel.next().is_none_or(|next| place.next >= next) || channel.read(place.next).is_some());
    let begin = || channel.start(behind_s).map(|next| Place { cast: head.cast, next, head: None });
    let Some(mut place) = place.cloned().or_else(begin) else {
        return if ended { Found::Ended } else { Found::Nothing };
    };
    let (mut chunks, mut ended) = (Vec::new(), ended);
    while channel.next().is_some_and(|end| place.next < end)
        && let Some((group, bytes)) = channel.read(place.next)
    {
        let known = place.head.as_ref().filter(|(revision, _)| *revision == group.revision);
        if known.is_none()
            && let Some(new) = channel.head_of(group).map(|head| head.head())
        {
            let init = match &place.head {
                // A player that began with the container of before would have to begin again at once.
                None if new.content_type != head.content_type => {
                    place.next += 1;
                    continue;
                }
                None => new.init.clone(),
                // No player goes on with another container. It may ask again.
                Some((_, before)) if **before != *new.content_type => {
                    ended = true;
                    break;
                }
                Some(_) => new.init.slice_ref(continuation(&new.init)),
            };
            chunks.extend(Some(init).filter(|init| !init.is_empty()));
            place.head = Some((group.revision, new.content_type.as_str().into()));
        }
        chunks.push(bytes.clone());
        place.next += 1;
    }
    match (chunks.is_empty(), ended) {
        (false, _) => Found::Chunks(place, chunks),
        (true, true) => Found::Ended,
        (true, false) => Found::Nothing,
    }
}

impl AsyncRead for LiveStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(bytes) = self.try_read_chunk(out.remaining())? {
                out.put_slice(&bytes);
                return Poll::Ready(Ok(()));
            }
            let mut pending = self.pending.take().unwrap_or_else(|| Box::pin(self.ready()));
            match pending.as_mut().poll(cx) {
                Poll::Pending => {
                    self.pending = Some(pending);
                    return Poll::Pending;
                }
                Poll::Ready(done) => done?,
            }
        }
    }
}
