//! RTSP tunnelled over HTTP, with which QuickTime, FFmpeg and GStreamer pass firewalls. A connection
//! that begins with GET carries answers and media, one that begins with POST carries requests in
//! Base64. A cookie that the client chooses binds them, on one address only.
//!
//! A page of another site can make a browser send GET and POST, but not with this cookie, and not
//! without `Origin` or fetch metadata.

use super::request::Request;
use crate::hosts::Hosts;
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Media type of a tunnel.
const KIND: &str = "application/x-rtsp-tunnelled";
/// Longest cookie in bytes.
const MAX_COOKIE_BYTES: usize = 256;
/// Parts of requests that POST carried and that wait to be read.
const WAITING: usize = 4;
/// Length in characters of a group of Base64.
const GROUP: usize = 4;

/// The answer to GET. What follows it is RTSP.
pub(crate) const OPENED: &str = "HTTP/1.0 200 OK\r\nContent-Type: application/x-rtsp-tunnelled\r\n\
    Cache-Control: no-store\r\nConnection: close\r\n\r\n";

/// The address of a client and its cookie.
type Key = (IpAddr, String);

/// The open tunnels.
#[derive(Debug, Default)]
pub(crate) struct Tunnels(Mutex<HashMap<Key, Carrier>>);

/// The way from POST to GET.
#[derive(Debug)]
struct Carrier {
    bytes: mpsc::Sender<io::Result<Vec<u8>>>,
    /// Ends the POST that carries now.
    replaced: CancellationToken,
}

/// One of the connections of a tunnel.
pub(crate) enum Half {
    Get(Requests),
    Post(Post),
}

impl Tunnels {
    /// Accepts a connection that begins with this head.
    ///
    /// # Errors
    /// The status of the answer over HTTP.
    pub(crate) fn open(self: &Arc<Tunnels>, head: &Request, peer: IpAddr, hosts: &Hosts) -> Result<Half, u16> {
        let cookie = head.header("x-sessioncookie").unwrap_or_default();
        if cookie.is_empty() || cookie.len() > MAX_COOKIE_BYTES {
            return Err(400);
        }
        let is_page = head.header("Origin").is_some() || head.header("Sec-Fetch-Site").is_some();
        if is_page || !head.values("Host").all(|host| hosts.is_ours(host)) {
            return Err(403);
        }
        let key = (peer, cookie.to_owned());
        if head.method == "GET" {
            return match head.header("Accept") {
                Some(kind) if kind.contains(KIND) => self.get(key).map(Half::Get),
                _ => Err(406),
            };
        }
        self.post(&key).map(Half::Post).ok_or(404)
    }

    fn get(self: &Arc<Tunnels>, key: Key) -> Result<Requests, u16> {
        let (bytes, carried) = mpsc::channel(WAITING);
        match self.0.lock().entry(key.clone()) {
            Entry::Occupied(_) => Err(400),
            Entry::Vacant(free) => {
                free.insert(Carrier { bytes, replaced: CancellationToken::new() });
                Ok(Requests { tunnels: self.clone(), key, carried })
            }
        }
    }

    /// Lets a new POST carry. A client may close the one before it, and its end may come later.
    fn post(&self, key: &Key) -> Option<Post> {
        let mut open = self.0.lock();
        let carrier = open.get_mut(key)?;
        std::mem::take(&mut carrier.replaced).cancel();
        Some(Post { bytes: carrier.bytes.clone(), ended: carrier.replaced.clone() })
    }
}

/// The requests of a tunnel. Dropping them closes it.
pub(crate) struct Requests {
    tunnels: Arc<Tunnels>,
    key: Key,
    carried: mpsc::Receiver<io::Result<Vec<u8>>>,
}

impl Drop for Requests {
    fn drop(&mut self) {
        if let Some(carrier) = self.tunnels.0.lock().remove(&self.key) {
            carrier.replaced.cancel();
        }
    }
}

impl Requests {
    /// Waits for the next bytes. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Where they are not Base64.
    pub(crate) async fn next(&mut self) -> io::Result<Vec<u8>> {
        match self.carried.recv().await {
            Some(bytes) => bytes,
            None => Ok(Vec::new()),
        }
    }
}

/// The connection that carries the requests of a tunnel.
pub(crate) struct Post {
    bytes: mpsc::Sender<io::Result<Vec<u8>>>,
    ended: CancellationToken,
}

impl Post {
    /// Carries what follows the head, whose first bytes are here, until either side ends. The length
    /// that the head states is not heeded: clients state any and send more.
    pub(crate) async fn carry(&self, mut stream: impl AsyncRead + Unpin, first: &[u8]) -> io::Result<()> {
        let mut decoder = Decoder::default();
        let mut decoded = decoder.decode(first);
        let mut buffer = vec![0; 4 << 10];
        loop {
            let is_bad = decoded.is_err();
            if !matches!(&decoded, Ok(bytes) if bytes.is_empty()) {
                tokio::select! {
                    sent = self.bytes.send(decoded) => sent.map_err(|_| io::ErrorKind::ConnectionAborted)?,
                    () = self.ended.cancelled() => return Ok(()),
                }
            }
            if is_bad {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let length = tokio::select! {
                read = stream.read(&mut buffer) => read?,
                () = self.ended.cancelled() => return Ok(()),
            };
            if length == 0 {
                return Ok(());
            }
            decoded = decoder.decode(&buffer[..length]);
        }
    }
}

/// A decoder of Base64 that comes in any cuts. Each request may be padded.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The beginning of a group.
    group: Vec<u8>,
}

impl Decoder {
    /// Decodes whole groups, and keeps the beginning of the next.
    ///
    /// # Errors
    /// Where the bytes are not Base64.
    pub(crate) fn decode(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(bytes.len());
        for byte in bytes.iter().filter(|byte| !byte.is_ascii_whitespace()) {
            self.group.push(*byte);
            if self.group.len() == GROUP {
                BASE64.decode_vec(&self.group, &mut out).map_err(|_| io::ErrorKind::InvalidData)?;
                self.group.clear();
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn requests_are_decoded_from_any_cuts(
            requests in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 1..6),
            cut in 1usize..9,
        ) {
            let text: String = requests.iter().map(|request| BASE64.encode(request) + "\r\n").collect();
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for part in text.as_bytes().chunks(cut) {
                found.extend(decoder.decode(part).unwrap());
            }
            prop_assert_eq!(found, requests.concat());
        }
    }

    #[test]
    fn other_characters_and_padding_within_a_group_are_refused() {
        for wrong in ["QUJD!UJD", "Q=JD", "====", "QUI\u{e9}"] {
            assert!(Decoder::default().decode(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
