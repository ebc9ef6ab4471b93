//! The streams that a cast receives: encoders send one at a time, and each begins anew.

use super::{Cast, unusable};
use crate::error::{Error, Result};
use playswarm_logic::channel::{Cast as CastEvent, Input};
use playswarm_media::live::Splitter;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Silence after which an encoder loses its place to another.
const PAUSE: Duration = Duration::from_secs(10);

/// Time between keyframes from which the user is told, seconds. A viewer waits for up to as long.
const RARE_KEYFRAMES_S: f64 = 5.0;

/// The present stream of a cast, and the encoder that has the place.
pub(super) struct Feed {
    splitter: Splitter,
    /// Whether the user was told of rare keyframes.
    told: bool,
    /// Media type of streams for which the encoder states none.
    content_type: Option<String>,
    /// Bytes of the present stream so far.
    received: u64,
    /// Bytes of all streams so far.
    total: u64,
    /// Number of uploads so far, which is that of the last one.
    uploads: u64,
    /// When the last upload was last heard of. `None` once it has ended.
    heard: Option<Instant>,
}

impl Feed {
    pub(super) fn new(content_type: Option<String>) -> Feed {
        let splitter = Splitter::new(content_type.as_deref());
        Feed { splitter, told: false, content_type, received: 0, total: 0, uploads: 0, heard: None }
    }
}

/// The stream of one encoder, from [`Cast::begin`] on. Dropping it gives the place to the next one;
/// viewers then wait for that.
pub struct Upload {
    cast: Arc<Cast>,
    number: u64,
}

impl Upload {
    /// Sends bytes of the stream to the channel. They may end anywhere.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] if viewers could not join the stream; the text says what to do instead.
    /// [`Error::Cancelled`] if another encoder has got the place.
    pub fn push(&self, bytes: &[u8]) -> Result<()> {
        let mut feed = self.cast.feed.lock();
        if feed.uploads != self.number {
            return Err(Error::Cancelled);
        }
        feed.heard = Some(Instant::now());
        self.cast.take(&mut feed, bytes)
    }

    /// Whether no other encoder has got the place.
    pub fn has_place(&self) -> bool {
        self.cast.feed.lock().uploads == self.number
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let mut feed = self.cast.feed.lock();
        if feed.uploads == self.number {
            feed.heard = None;
        }
    }
}

impl Cast {
    /// Begins the stream of an encoder. Viewers go on with it after the stream of the encoder
    /// before; their players begin anew if it has another container. Without a media type, that of
    /// the cast is used.
    ///
    /// `offset` is the position of the next bytes in the encoder's stream. If the last stream
    /// stopped there, it goes on instead.
    ///
    /// Returns `None` while another encoder has the place. It loses that when it has been silent for
    /// ten seconds.
    pub fn begin(self: &Arc<Cast>, content_type: Option<&str>, offset: u64) -> Option<Upload> {
        let mut feed = self.feed.lock();
        if feed.heard.is_some_and(|at| at.elapsed() < PAUSE) {
            return None;
        }
        if offset == 0 || offset != feed.received {
            // Its end may be missing, and is of no importance then.
            let _ = self.finish(&mut feed);
            feed.splitter = Splitter::new(content_type.or(feed.content_type.as_deref()));
            (feed.received, feed.told) = (0, false);
        }
        feed.uploads += 1;
        feed.heard = Some(Instant::now());
        Some(Upload { cast: self.clone(), number: feed.uploads })
    }

    /// Returns the number of bytes that were pushed.
    pub fn received_bytes(&self) -> u64 {
        self.feed.lock().total
    }

    pub(super) fn take(&self, feed: &mut Feed, bytes: &[u8]) -> Result<()> {
        feed.received += bytes.len() as u64;
        feed.total += bytes.len() as u64;
        feed.splitter.push(bytes).map_err(|why| unusable("stream", &why))?;
        self.pass_on(&mut feed.splitter);
        let interval_s = feed.splitter.restart_interval_s().filter(|s| *s > RARE_KEYFRAMES_S && !feed.told);
        if let Some(interval_s) = interval_s {
            feed.told = true;
            tracing::warn!(
                "viewers can begin with this stream only each {interval_s:.0} s; set the encoder's keyframe interval to 2 s"
            );
        }
        Ok(())
    }

    pub(super) fn finish(&self, feed: &mut Feed) -> Result<()> {
        let finished = feed.splitter.finish().map_err(|why| unusable("stream", &why));
        self.pass_on(&mut feed.splitter);
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
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::live::CastOptions;
    use crate::{Config, Session};

    async fn scene() -> (tempfile::TempDir, Session, Arc<Cast>) {
        let dir = tempfile::tempdir().unwrap();
        let session = Session::new(Config::offline(dir.path())).await.unwrap();
        let cast = Arc::new(session.cast(CastOptions::default()).unwrap());
        (dir, session, cast)
    }

    #[tokio::test(start_paused = true)]
    async fn an_encoder_has_the_place_until_it_ends_or_is_silent_for_long() {
        let (_dir, _session, cast) = scene().await;
        let first = cast.begin(None, 0).unwrap();
        tokio::time::advance(PAUSE / 2).await;
        first.push(b"x").unwrap();
        tokio::time::advance(PAUSE / 2).await;
        assert!(cast.begin(None, 0).is_none() && first.has_place());
        tokio::time::advance(PAUSE / 2).await;
        let second = cast.begin(None, 0).expect("the first was silent for long");
        assert!(matches!(first.push(b"x"), Err(Error::Cancelled)) && !first.has_place());
        // The end of one without the place takes it from nobody.
        drop(first);
        assert!(cast.begin(None, 0).is_none());
        drop(second);
        assert!(cast.begin(None, 0).is_some());
        assert_eq!(cast.received_bytes(), 1);
    }

    #[tokio::test]
    async fn a_stream_in_several_pieces_goes_on_where_it_stopped() {
        let (_dir, _session, cast) = scene().await;
        // The header of a WebM, in two pieces: each alone is of no known container.
        let header = b"\x1a\x45\xdf\xa3\x88\x42\x82\x84webm";
        let piece = |bytes: &[u8], offset| cast.begin(None, offset).unwrap().push(bytes).unwrap();
        let whole = |cast: &Cast| cast.feed.lock().splitter.held_bytes();
        piece(&header[..5], 0);
        piece(&header[5..], 5);
        assert_eq!(whole(&cast), header.len());
        piece(&header[..5], 7);
        assert_eq!(whole(&cast), 5, "another position is another stream");
        piece(&header[..5], 0);
        assert_eq!(whole(&cast), 5, "and so is one from the beginning");
    }
}
