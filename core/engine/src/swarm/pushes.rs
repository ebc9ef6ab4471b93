//! Connections that servents of Gnutella make to us (`GIV`).
//!
//! A servent that cannot be dialled connects to our port if a message asks it to (a push). Before such a
//! message is sent, [`Pushes::expect`] is called. The listener passes the connection on.

use parking_lot::Mutex;
use playswarm_proto::gnutella::{Callback, Guid, MAX_CALLBACK_BYTES, callback};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Most servents that are awaited at once.
const MAX_PENDING: usize = 8;
/// Longest wait for a servent.
const GIVE: Duration = Duration::from_secs(20);
/// Pause before the rest of a first line is looked for.
const REST_OF_LINE: Duration = Duration::from_millis(50);

/// A connection of a servent that answers our requests.
pub(crate) struct Given {
    pub(crate) stream: TcpStream,
    pub(crate) remote: SocketAddr,
}

/// The servents of a session that are awaited.
#[derive(Default)]
pub(crate) struct Pushes(Mutex<BTreeMap<Guid, oneshot::Sender<Given>>>);

impl Pushes {
    /// Awaits a servent. `None` if it is awaited already, or too many are.
    pub(crate) fn expect(self: &Arc<Self>, servent: Guid) -> Option<Expected> {
        let mut pending = self.0.lock();
        if pending.len() >= MAX_PENDING || pending.contains_key(&servent) {
            return None;
        }
        let (sender, given) = oneshot::channel();
        pending.insert(servent, sender);
        Some(Expected { pushes: self.clone(), servent, given })
    }

    /// Whether any servent is awaited.
    pub(crate) fn is_any(&self) -> bool {
        !self.0.lock().is_empty()
    }

    /// Takes a connection if its first line is that of a servent that is awaited. Others are returned as they
    /// came, and those of servents that nobody awaits are closed.
    pub(crate) async fn take(&self, mut stream: TcpStream, remote: SocketAddr) -> io::Result<Option<TcpStream>> {
        let mut start = [0; MAX_CALLBACK_BYTES];
        let (servent, skip) = loop {
            let length = stream.peek(&mut start).await?;
            match callback(&start[..length]) {
                Some((Callback::Give { servent }, skip)) => break (servent, skip),
                Some(_) => return Ok(Some(stream)),
                None if length == 0 => return Ok(Some(stream)),
                None => tokio::time::sleep(REST_OF_LINE).await,
            }
        };
        stream.read_exact(&mut start[..skip]).await?;
        if let Some(sender) = self.0.lock().remove(&servent) {
            // If nobody waits any more, the connection is closed.
            let _ = sender.send(Given { stream, remote });
        }
        Ok(None)
    }
}

/// A servent that is awaited until this is dropped.
pub(crate) struct Expected {
    pushes: Arc<Pushes>,
    servent: Guid,
    given: oneshot::Receiver<Given>,
}

impl Expected {
    /// Returns the connection of the servent; `None` if it does not come in time.
    pub(crate) async fn connection(&mut self) -> Option<Given> {
        tokio::time::timeout(GIVE, &mut self.given).await.ok()?.ok()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.given.close();
        let mut pending = self.pushes.0.lock();
        if pending.get(&self.servent).is_some_and(oneshot::Sender::is_closed) {
            pending.remove(&self.servent);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    const GUID: Guid = Guid([7; 16]);

    /// Connects and writes these texts. Returns both ends.
    async fn caller(texts: &[&str]) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        theirs.set_nodelay(true).unwrap();
        for text in texts {
            theirs.write_all(text.as_bytes()).await.unwrap();
        }
        (listener.accept().await.unwrap().0, theirs)
    }

    fn from() -> SocketAddr {
        "127.0.0.1:1".parse().unwrap()
    }

    #[tokio::test]
    async fn a_servent_that_is_awaited_is_passed_on_without_its_first_line() {
        let pushes = Arc::new(Pushes::default());
        let mut expected = pushes.expect(GUID).unwrap();
        let line = format!("GIV 7:{GUID}/film.mkv\n\n");
        let (ours, mut theirs) = caller(&[&line[..10], &line[10..]]).await;
        assert!(pushes.take(ours, from()).await.unwrap().is_none());
        let mut given = expected.connection().await.unwrap();
        theirs.write_all(b"answer").await.unwrap();
        let mut bytes = [0; 6];
        given.stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"answer");
        // A second one is of nobody.
        let (ours, mut theirs) = caller(&[&line]).await;
        assert!(pushes.take(ours, from()).await.unwrap().is_none());
        assert_eq!(theirs.read(&mut bytes).await.unwrap(), 0, "it is closed");
    }

    #[tokio::test]
    async fn other_connections_are_left_as_they_came() {
        let pushes = Arc::new(Pushes::default());
        let _expected = pushes.expect(GUID).unwrap();
        for text in ["\u{13}BitTorrent protocol", "GNUTELLA CONNECT/0.6\r\n", "GIVE me\n\n"] {
            let (ours, _theirs) = caller(&[text]).await;
            let mut stream = pushes.take(ours, from()).await.unwrap().unwrap();
            let mut bytes = vec![0; text.len()];
            stream.read_exact(&mut bytes).await.unwrap();
            assert_eq!(bytes, text.as_bytes());
        }
        assert!(pushes.is_any());
    }

    #[tokio::test(start_paused = true)]
    async fn eight_servents_are_awaited_each_once_and_for_twenty_seconds() {
        let pushes = Arc::new(Pushes::default());
        let mut all: Vec<_> = (0..8).filter_map(|n| pushes.expect(Guid([n; 16]))).collect();
        assert_eq!(all.len(), 8);
        assert!(pushes.expect(Guid([9; 16])).is_none(), "there are too many");
        assert!(all[0].connection().await.is_none());
        all.remove(0);
        assert!(pushes.expect(Guid([1; 16])).is_none(), "it is awaited already");
        assert!(pushes.expect(Guid([9; 16])).is_some());
    }
}
