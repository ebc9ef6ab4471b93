//! The stream of one encoder on its way to the cast, and what the status says of it.

use parking_lot::Mutex;
use playswarm::Error;
use playswarm::live::protocol::ingest::Refusal;
use playswarm::live::{Cast, Upload};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// What an ingest server receives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IngestStatus {
    /// Protocol and address of the encoder that sends, such as `RTMP from 127.0.0.1:5000`.
    pub source: Option<String>,
    /// Title of what is playing, as an Icecast client told it.
    pub title: Option<String>,
    /// Bytes received from all encoders.
    pub received_bytes: u64,
}

/// The cast, and what is known of its encoders.
pub(super) struct Desk {
    cast: Arc<Cast>,
    status: Mutex<IngestStatus>,
    since: Instant,
}

impl Desk {
    pub(super) fn new(cast: Arc<Cast>) -> Arc<Desk> {
        Arc::new(Desk { cast, status: Mutex::default(), since: Instant::now() })
    }

    pub(super) fn status(&self) -> IngestStatus {
        self.status.lock().clone()
    }

    pub(super) fn set_title(&self, title: &str) {
        tracing::info!(title, "the encoder tells its title");
        self.cast.set_title(title);
        self.status.lock().title = Some(title.to_owned()).filter(|title| !title.is_empty());
    }
}

/// One encoder. Dropping it gives its place to the next one.
pub(super) struct Sender {
    desk: Arc<Desk>,
    name: String,
    upload: Option<Upload>,
}

impl Sender {
    pub(super) fn new(desk: Arc<Desk>, protocol: &str, peer: SocketAddr) -> Sender {
        Sender { desk, name: format!("{protocol} from {peer}"), upload: None }
    }

    pub(super) fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Begins a stream, or goes on with one at this position. Returns the time since the server
    /// began, in milliseconds: that of the stream, if it continues another one.
    pub(super) fn begin(&mut self, content_type: Option<&str>, offset: u64) -> Result<u32, Refusal> {
        // Its own stream before this one gives its place up first.
        self.end();
        // Other types, such as that of forms, say nothing of a stream.
        let told = content_type.filter(|kind| kind.starts_with("video/") || kind.starts_with("audio/"));
        self.upload = Some(self.desk.cast.begin(told, offset).ok_or_else(Refusal::busy)?);
        tracing::info!(source = %self.name, "an encoder sends");
        let mut status = self.desk.status.lock();
        status.source = Some(self.name.clone());
        let is_first = status.received_bytes == 0;
        // A cast of 49 days wraps around, as the times of FLV do.
        Ok(if is_first { 0 } else { self.desk.since.elapsed().as_millis() as u32 })
    }

    /// Sends bytes of the stream.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let Some(upload) = &self.upload else { return Err(Refusal::busy()) };
        self.desk.status.lock().received_bytes += bytes.len() as u64;
        upload.push(bytes).map_err(|e| match e {
            Error::BadConfig { why, .. } => Refusal::unsupported(why),
            _ => Refusal::busy(),
        })
    }

    /// Whether it has begun a stream.
    pub(super) fn has_begun(&self) -> bool {
        self.upload.is_some()
    }

    /// Whether another encoder has got its place.
    pub(super) fn is_replaced(&self) -> bool {
        self.upload.as_ref().is_some_and(|upload| !upload.has_place())
    }

    /// Gives the place up.
    pub(super) fn end(&mut self) {
        if let Some(upload) = self.upload.take()
            && upload.has_place()
        {
            tracing::info!(source = %self.name, "the encoder's stream has ended");
            self.desk.cast.set_title("");
            let mut status = self.desk.status.lock();
            (status.source, status.title) = (None, None);
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.end();
    }
}
