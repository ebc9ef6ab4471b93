//! Gives the stream of a channel out.

use super::{ChannelHead, Open};
use bytes::Bytes;
use playswarm_logic::channel::Channel;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};

/// A reader of a channel. It has no length and no positions.
///
/// It begins with the init bytes and a group at which a player can begin, a margin behind the
/// newest. A reader that is slower than the back buffer jumps to such a place again, and so does
/// one after a loss.
pub struct LiveStream {
    open: Arc<Open>,
    place: Option<Place>,
    left: Bytes,
    pending: Option<Pending>,
}

type Pending = Pin<Box<dyn Future<Output = Option<(Place, Vec<Bytes>)>> + Send + Sync>>;

#[derive(Clone, Copy, Debug)]
struct Place {
    cast: u64,
    revision: u8,
    next: u64,
}

/// What a look at the channel gave.
enum Found {
    Chunks(Place, Vec<Bytes>),
    Ended,
    Nothing,
}

impl LiveStream {
    pub(super) fn new(open: Arc<Open>) -> LiveStream {
        LiveStream { open, place: None, left: Bytes::new(), pending: None }
    }

    /// Waits for the next bytes. `None` at the end of the stream, or once the channel was left.
    pub async fn next(&mut self) -> Option<Vec<Bytes>> {
        let (place, chunks) = next(self.open.clone(), self.place).await?;
        self.place = Some(place);
        Some(chunks)
    }
}

/// Waits until a player can begin. `None` if the stream has ended before.
pub(super) async fn on_air(open: &Open) -> Option<ChannelHead> {
    loop {
        let news = open.node.news.notified();
        tokio::pin!(news);
        news.as_mut().enable();
        match open.node.look(|channel, ended| look(channel, None, ended)) {
            Found::Chunks(..) => return open.head(),
            Found::Ended => return None,
            Found::Nothing => news.await,
        }
    }
}

async fn next(open: Arc<Open>, place: Option<Place>) -> Option<(Place, Vec<Bytes>)> {
    loop {
        let news = open.node.news.notified();
        tokio::pin!(news);
        news.as_mut().enable();
        match open.node.look(|channel, ended| look(channel, place, ended)) {
            Found::Chunks(place, chunks) => return Some((place, chunks)),
            Found::Ended => return None,
            Found::Nothing => news.await,
        }
    }
}

/// Returns the next groups after `place`.
fn look(channel: &Channel, place: Option<Place>, ended: bool) -> Found {
    let Some(head) = channel.head().map(|head| head.head()) else {
        return if ended { Found::Ended } else { Found::Nothing };
    };
    let margin_s = f64::from(head.margin_ms) / 1000.0;
    // A new cast, a loss or a reader that was too slow: on at a place to begin.
    let place = place
        .filter(|place| place.cast == head.cast)
        .filter(|place| channel.next().is_none_or(|next| place.next >= next) || channel.read(place.next).is_some());
    let begins = place.is_none();
    let Some(first) = place.map(|place| place.next).or_else(|| channel.start(margin_s)) else {
        return if ended { Found::Ended } else { Found::Nothing };
    };
    let mut chunks = Vec::new();
    let mut next = first;
    let mut revision = place.map(|place| place.revision);
    while channel.next().is_some_and(|end| next < end)
        && let Some((group, bytes)) = channel.read(next)
    {
        if begins && chunks.is_empty() || revision != Some(group.revision) {
            revision = Some(group.revision);
            let init = channel.head_of(group).map(|head| head.head().init.clone());
            chunks.extend(init.filter(|init| !init.is_empty()));
        }
        chunks.push(bytes.clone());
        next += 1;
    }
    match (next > first, ended) {
        (true, _) => Found::Chunks(Place { cast: head.cast, revision: revision.unwrap_or(0), next }, chunks),
        (false, true) => Found::Ended,
        (false, false) => Found::Nothing,
    }
}

impl AsyncRead for LiveStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.left.is_empty() {
                let n = this.left.len().min(out.remaining());
                out.put_slice(&this.left.split_to(n));
                return Poll::Ready(Ok(()));
            }
            let begin = || -> Pending { Box::pin(next(this.open.clone(), this.place)) };
            let mut pending = this.pending.take().unwrap_or_else(begin);
            match pending.as_mut().poll(cx) {
                Poll::Pending => {
                    this.pending = Some(pending);
                    return Poll::Pending;
                }
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some((place, chunks))) => {
                    this.place = Some(place);
                    this.left = chunks.concat().into();
                }
            }
        }
    }
}
