//! Streams that are pulled from HTTP servers: bodies without an end, and the playlists of `hls`.

mod hls;
#[cfg(test)]
mod tests;

use super::{Cast, Upload};
use crate::discovery::web::{self, Header, NotGot, Opened, Terms, Web};
use crate::error::{Error, Result};
use crate::printable::without_secrets;
use bytes::Bytes;
use playswarm_proto::AddressClass;
use playswarm_proto::icy::{self, Part};
use playswarm_proto::m3u8::MAX_PLAYLIST_BYTES;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Longest wait for the head of an answer, and longest silence within a body. A live stream that is
/// silent for longer has mostly lost its connection.
const SILENCE: Duration = Duration::from_secs(10);
/// Pauses before the attempts to continue a stream that broke off, seconds.
const PAUSES_S: [u64; 6] = [1, 2, 4, 8, 15, 30];
/// First bytes of a playlist.
const PLAYLIST: &[u8] = b"#EXTM3U";

/// How a pulled stream ended.
enum End {
    /// As its server wanted.
    Whole,
    /// For this reason, after it had begun or not.
    Broken { why: String, has_begun: bool },
}

impl End {
    fn broken(has_begun: bool) -> impl Fn(String) -> End {
        move |why| End::Broken { why, has_begun }
    }
}

impl Cast {
    /// Pulls the stream at an `http` or `https` URL and sends it to the channel, until it ends. It
    /// is a body without an end, or an HLS playlist with segments of MPEG-TS or fragmented MP4. A
    /// stream that breaks off is requested again for a minute.
    ///
    /// The URL may lead to any address. Those in a playlist, and redirects, lead from the Internet to
    /// the Internet only.
    ///
    /// # Errors
    ///
    /// [`Error::Fetch`] if the stream does not come, [`Error::BadConfig`] if viewers could not join
    /// it, [`Error::Cancelled`] if another encoder has the place.
    pub async fn pull(self: &Arc<Cast>, url: &str) -> Result<()> {
        let fail = |why: String| Error::Fetch { url: without_secrets(url), why };
        let parsed = Url::parse(url).map_err(|e| fail(e.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(fail("only http and https URLs can be pulled".to_owned()));
        }
        let (mut attempt, mut ever_begun) = (0, false);
        loop {
            let (why, has_begun) = match self.attempt(&parsed).await? {
                End::Whole => return Ok(()),
                End::Broken { why, has_begun } => (why, has_begun),
            };
            ever_begun |= has_begun;
            attempt = if has_begun { 0 } else { attempt };
            // A URL that never gave anything is more likely wrong than its server overloaded.
            let Some(pause) = PAUSES_S.get(attempt).filter(|_| ever_begun) else { return Err(fail(why)) };
            tracing::warn!(%why, "the pulled stream broke off; it is requested again in {pause} s");
            tokio::time::sleep(Duration::from_secs(*pause)).await;
            attempt += 1;
        }
    }

    /// Pulls the stream until it ends or breaks off.
    async fn attempt(self: &Arc<Cast>, url: &Url) -> Result<End> {
        let web = self.open.node.web();
        let broken = End::broken(false);
        let titles = (HeaderName::from_static("icy-metadata"), HeaderValue::from_static("1"));
        let (url, response, from) = match open(web, url.clone(), AddressClass::Loopback, Some(titles)).await {
            Ok(opened) => opened,
            Err(why) => return Ok(broken(why)),
        };
        let length = response.content_length();
        let mut body = Body { is_framed: is_framed(&response), response };
        let first = match body.next().await {
            Ok(Some(first)) => first,
            Ok(None) => return Ok(broken("the server's answer is empty".to_owned())),
            Err(why) => return Ok(broken(why)),
        };
        if first.starts_with(PLAYLIST) || names_playlist(&url, &body.response) {
            return match body.rest(first, MAX_PLAYLIST_BYTES).await {
                Ok(text) => hls::pull(self, web, url, from, &text).await,
                Err(why) => Ok(broken(why)),
            };
        }
        if let Some(length) = length {
            let why = format!("this is a file of {length} bytes, not a live stream; download it, and cast the file");
            return Err(Error::Fetch { url: without_secrets(url.as_str()), why });
        }
        let upload = self.place(stated_type(&body.response).as_deref())?;
        let mut titles = match titles_of(&body.response) {
            Ok(titles) => titles,
            Err(why) => return Ok(broken(why)),
        };
        let ended = self.forward(&upload, first, &mut body, titles.as_mut()).await;
        if titles.is_some() {
            self.set_title("");
        }
        ended
    }

    /// Sends a body to the channel until it ends, and the titles within it.
    async fn forward(
        &self,
        upload: &Upload,
        first: Bytes,
        body: &mut Body,
        mut titles: Option<&mut icy::Reader>,
    ) -> Result<End> {
        let mut next = first;
        loop {
            match &mut titles {
                Some(titles) => self.push_parts(upload, titles.read(next))?,
                None => upload.push(&next)?,
            }
            next = match body.next().await {
                Ok(Some(bytes)) => bytes,
                Ok(None) if body.is_framed => return Ok(End::Whole),
                Ok(None) => return Ok(End::broken(true)("the server closed the connection".to_owned())),
                Err(why) => return Ok(End::broken(true)(why)),
            };
        }
    }

    fn push_parts(&self, upload: &Upload, parts: Vec<Part>) -> Result<()> {
        for part in parts {
            match part {
                Part::Sound(bytes) => upload.push(&bytes)?,
                Part::Title(title) => self.set_title(&title),
            }
        }
        Ok(())
    }

    fn place(self: &Arc<Cast>, content_type: Option<&str>) -> Result<Upload> {
        self.begin(content_type, 0).ok_or(Error::Cancelled)
    }
}

/// Opens a URL that an address of class `named_by` named, with a further header. Returns the URL after all redirects, the
/// successful answer, and the class of the address that sent it.
async fn open(
    web: &Web,
    url: Url,
    named_by: AddressClass,
    header: Option<Header>,
) -> Result<(Url, Response, AddressClass), String> {
    let terms = Terms { named_by, announce_only: false, family: None, timeout: SILENCE, max_bytes: 0 };
    match web.open(url, terms, header).await {
        Ok(Opened::Response { url, response, from }) if response.status().is_success() => Ok((url, response, from)),
        Ok(Opened::Response { response, .. }) => Err(format!("the server answered {}", response.status())),
        Ok(Opened::Elsewhere { .. }) => Err("the server redirected to a URL that cannot be opened".to_owned()),
        Err(NotGot::Failed(why)) => Err(why),
        Err(NotGot::NoSuchFamily) => Err("its host name has no address".to_owned()),
    }
}

/// Whether the end of the body is marked. Without that, it cannot be told from a broken connection.
fn is_framed(response: &Response) -> bool {
    response.content_length().is_some() || response.headers().contains_key(reqwest::header::TRANSFER_ENCODING)
}

/// Returns the reader of a stream with titles in it, if it has any.
fn titles_of(response: &Response) -> Result<Option<icy::Reader>, String> {
    let stated = response.headers().get("icy-metaint").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let Some(interval) = stated.filter(|interval| *interval > 0) else { return Ok(None) };
    let (least, most) = (icy::MIN_INTERVAL, icy::MAX_INTERVAL);
    let why = || {
        format!(
            "its server puts a title after each {interval} bytes, and {least} to {most} are taken; try another of its streams"
        )
    };
    icy::Reader::new(interval).map(Some).ok_or_else(why)
}

/// Returns the media type of a stream that the server states.
fn stated_type(response: &Response) -> Option<String> {
    Some(response.headers().get(CONTENT_TYPE)?.to_str().ok()?.to_owned())
}

/// Whether the URL or the media type says that this is a playlist.
fn names_playlist(url: &Url, response: &Response) -> bool {
    let kind = stated_type(response).unwrap_or_default().to_ascii_lowercase();
    url.path().to_ascii_lowercase().ends_with(".m3u8") || kind.contains("mpegurl")
}

/// The body of an answer.
struct Body {
    response: Response,
    /// Whether its end is marked.
    is_framed: bool,
}

impl Body {
    /// Returns the next bytes. `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match tokio::time::timeout(SILENCE, self.response.chunk()).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(e)) => Err(web::why(&e)),
            Err(_) => Err(format!("the server sent nothing for {} s", SILENCE.as_secs())),
        }
    }

    /// Returns `first` and all that follows.
    async fn rest(&mut self, first: Bytes, max_bytes: usize) -> Result<Bytes, String> {
        let mut whole = first.to_vec();
        while let Some(bytes) = self.next().await? {
            whole.extend_from_slice(&bytes);
            if whole.len() > max_bytes {
                return Err(format!("the answer is larger than {max_bytes} bytes"));
            }
        }
        Ok(whole.into())
    }
}
