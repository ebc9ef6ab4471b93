//! The stream of an HLS playlist. Segments are loaded ahead, and sent at the pace at which they play:
//! one that came at once would be more than viewers can pass on.

use super::{Body, Cast, End, open};
use crate::discovery::web::Web;
use crate::error::Result;
use bytes::Bytes;
use playswarm_proto::AddressClass;
use playswarm_proto::m3u8::{self, Follower, MAX_PLAYLIST_BYTES, Map, Media, Playlist, Segment, Update};
use reqwest::StatusCode;
use reqwest::header::{HeaderValue, RANGE};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use url::Url;

/// Longest segment, bytes: ten seconds at 50 Mbit/s.
const MAX_SEGMENT_BYTES: usize = 64 << 20;
/// Longest time for a segment or playlist.
const LOAD_WITHIN: Duration = Duration::from_secs(30);
/// Attempts to load a segment or playlist, and the pause between them.
const ATTEMPTS: usize = 4;
const PAUSE: Duration = Duration::from_secs(1);
/// Segments that are loaded ahead. Servers remove them soon after they leave the playlist.
const AHEAD: usize = 2;
/// Time between two parts of a segment.
const PART_EVERY: Duration = Duration::from_millis(50);

/// A segment as it is sent.
struct Piece {
    /// Bytes that a decoder needs first, where they are new.
    init: Option<Bytes>,
    bytes: Bytes,
    duration: Duration,
    /// Whether it does not continue the one before it.
    is_new: bool,
}

/// A playlist, and who named the addresses in it.
pub(super) struct List<'a> {
    pub(super) web: &'a Web,
    pub(super) url: Url,
    pub(super) from: AddressClass,
}

/// Pulls the stream of a playlist until it ends or breaks off.
pub(super) async fn pull(cast: &Arc<Cast>, web: &Web, url: Url, from: AddressClass, text: &[u8]) -> Result<End> {
    let (list, media) = match chosen(List { web, url, from }, text).await {
        Ok(chosen) => chosen,
        Err(why) => return Ok(End::broken(false)(why)),
    };
    let (tell, told) = mpsc::channel(AHEAD);
    let loading = async {
        // Dropped with this future, so that sending ends after it.
        let tell = tell;
        list.follow(media, &tell).await
    };
    let sending = send(cast, told);
    tokio::pin!(loading, sending);
    let (loaded, sent) = tokio::select! {
        biased;
        loaded = &mut loading => (loaded, sending.await?),
        sent = &mut sending => (Ok(()), sent?),
    };
    Ok(match loaded {
        Ok(()) if sent > 0 => End::Whole,
        Ok(()) => End::broken(false)("the playlist has no segments".to_owned()),
        Err(why) => End::broken(sent > 0)(why),
    })
}

/// Returns the playlist of segments: this one, or that of its best variant.
async fn chosen<'a>(list: List<'a>, text: &[u8]) -> Result<(List<'a>, Media), String> {
    let variants = match m3u8::parse(text).map_err(|e| e.to_string())? {
        Playlist::Media(media) => return Ok((list, media)),
        Playlist::Master(variants) => variants,
    };
    let best = m3u8::best(&variants).ok_or("the playlist has no variant")?;
    if best.has_separate_audio {
        tracing::warn!("the sound of this stream has a playlist of its own, and is left out");
    }
    let (url, text, from) = list.load(&best.uri, None, MAX_PLAYLIST_BYTES).await?;
    match m3u8::parse(&text).map_err(|e| e.to_string())? {
        Playlist::Media(media) => Ok((List { url, from, ..list }, media)),
        Playlist::Master(_) => Err("the playlist leads to another one of variants".to_owned()),
    }
}

impl List<'_> {
    /// Loads segments until the playlist ends or nobody takes them.
    async fn follow(&self, mut media: Media, out: &mpsc::Sender<Piece>) -> Result<(), String> {
        let (mut follower, mut map) = (Follower::default(), None);
        let mut is_cut = false;
        loop {
            let loaded = Instant::now();
            let Update { segments, lost, wait } = follower.update(media);
            if lost > 0 {
                tracing::warn!(lost, "segments were gone before they were loaded");
            }
            for segment in segments {
                match self.piece(&segment, &mut map).await {
                    Ok(piece) => {
                        let piece = Piece { is_new: piece.is_new || is_cut, ..piece };
                        is_cut = false;
                        if out.send(piece).await.is_err() {
                            return Ok(());
                        }
                    }
                    Err(why) => {
                        tracing::warn!(%why, "a segment is left out");
                        is_cut = true;
                    }
                }
            }
            let Some(wait) = wait else { return Ok(()) };
            sleep_until(loaded + wait).await;
            let (_, text, _) = self.load(self.url.as_str(), None, MAX_PLAYLIST_BYTES).await?;
            media = match m3u8::parse(&text).map_err(|e| e.to_string())? {
                Playlist::Media(media) => media,
                Playlist::Master(_) => return Err("the playlist became one of variants".to_owned()),
            };
        }
    }

    async fn piece(&self, segment: &Segment, map: &mut Option<Arc<Map>>) -> Result<Piece, String> {
        let is_other = segment.map != *map;
        let init = match &segment.map {
            Some(needed) if is_other || segment.is_discontinuous => {
                Some(self.load(&needed.uri, needed.bytes.as_ref(), MAX_SEGMENT_BYTES).await?.1)
            }
            _ => None,
        };
        let (_, bytes, _) = self.load(&segment.uri, segment.bytes.as_ref(), MAX_SEGMENT_BYTES).await?;
        map.clone_from(&segment.map);
        Ok(Piece { init, bytes, duration: segment.duration, is_new: is_other || segment.is_discontinuous })
    }

    /// Loads bytes that the playlist names, in several attempts.
    pub(super) async fn load(
        &self,
        uri: &str,
        range: Option<&Range<u64>>,
        most: usize,
    ) -> Result<(Url, Bytes, AddressClass), String> {
        let url = m3u8::resolve(&self.url, uri).map_err(|e| e.to_string())?;
        let mut attempt = 1;
        loop {
            let loading = self.load_once(url.clone(), range, most);
            let late = || Err(format!("{} s were not enough to load it", LOAD_WITHIN.as_secs()));
            match tokio::time::timeout(LOAD_WITHIN, loading).await.unwrap_or_else(|_| late()) {
                Err(why) if attempt < ATTEMPTS => tracing::debug!(%why, "a segment or playlist is requested again"),
                done => return done,
            }
            attempt += 1;
            sleep(PAUSE).await;
        }
    }

    async fn load_once(
        &self,
        url: Url,
        range: Option<&Range<u64>>,
        most: usize,
    ) -> Result<(Url, Bytes, AddressClass), String> {
        let header = range.map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let header = header.and_then(|text| Some((RANGE, HeaderValue::from_str(&text).ok()?)));
        let (url, response, from) = open(self.web, url, self.from, header).await?;
        let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
        let bytes = Body { response, is_framed: true }.rest(Bytes::new(), most).await?;
        // A server without ranges sends the whole file.
        let part = range.filter(|_| !is_part).map(|range| {
            let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
            bytes.slice(at(range.start)..at(range.end).max(at(range.start)))
        });
        Ok((url, part.unwrap_or(bytes), from))
    }
}

/// Sends segments to the channel at the pace at which they play, and returns their number.
async fn send(cast: &Arc<Cast>, mut pieces: mpsc::Receiver<Piece>) -> Result<usize> {
    let (mut upload, mut due, mut sent) = (None, Instant::now(), 0);
    while let Some(piece) = pieces.recv().await {
        let begun = Instant::now();
        if piece.is_new || upload.is_none() {
            // The place is free only after the stream before.
            drop(upload.take());
            due = begun;
        }
        let upload = match &mut upload {
            Some(upload) => upload,
            none => none.insert(cast.place(None)?),
        };
        upload.push(&piece.init.unwrap_or_default())?;
        // A stream that is late catches up by a quarter.
        due += piece.duration;
        let end = due.max(begun + piece.duration.mul_f64(0.8));
        let parts = ((end - begun).as_secs_f64() / PART_EVERY.as_secs_f64()).ceil().max(1.0);
        let part = (piece.bytes.len() as f64 / parts).ceil().max(1.0) as usize;
        for (n, bytes) in piece.bytes.chunks(part).enumerate() {
            upload.push(bytes)?;
            sleep_until(end.min(begun + PART_EVERY * (n as u32 + 1))).await;
        }
        sleep_until(end).await;
        sent += 1;
    }
    Ok(sent)
}
