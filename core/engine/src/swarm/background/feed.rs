//! Supplies librqbit's session with the peers that our own discovery finds for a torrent in the
//! background. The session accepts new peers only from trackers, so this is a tracker on loopback
//! for one torrent and client.

use crate::discovery::Discovery;
use crate::status::TrackerStatus;
use playswarm_logic::Time;
use playswarm_logic::torrent::{AddressBook, Finding};
use playswarm_proto::bencode::{put_integer, put_string};
use playswarm_proto::compact;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Announce interval for librqbit, seconds; the first is short, as there are no peers yet.
const INTERVAL_S: u64 = 20;
const FIRST_INTERVAL_S: u64 = 3;
/// Longest request, bytes.
const MAX_REQUEST: usize = 8 << 10;
/// Longest time for a client's request and the answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A discovery whose peers are available over HTTP until it is dropped.
pub(super) struct Feed {
    url: String,
    discovery: Discovery,
    _server: AbortOnDropHandle<()>,
}

impl Feed {
    /// Serves the peers that `discovery` finds, as far as `book` takes them. `secret` is part of the
    /// URL, so that no other user of the machine can request them.
    pub(super) async fn start(
        discovery: Discovery,
        mut found: mpsc::Receiver<Finding>,
        mut book: AddressBook,
        secret: &str,
    ) -> io::Result<Feed> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let path = format!("/{secret}/announce");
        let url = format!("http://{}{path}", listener.local_addr()?);
        let began = Instant::now();
        let server = tokio::spawn(async move {
            loop {
                let connection = tokio::select! {
                    Some(finding) = found.recv() => {
                        book.take(Time::ZERO + began.elapsed(), finding);
                        continue;
                    }
                    connection = listener.accept() => connection,
                };
                match connection {
                    // One connection at a time: there is one client, and it announces every 20 s.
                    Ok((socket, _)) => {
                        let known: Vec<SocketAddr> = book.known().collect();
                        let _ = tokio::time::timeout(TIMEOUT, answer(socket, &path, &known)).await;
                    }
                    Err(_) => tokio::time::sleep(TIMEOUT).await,
                }
            }
        });
        Ok(Feed { url, discovery, _server: AbortOnDropHandle::new(server) })
    }

    /// Returns the trackers in use.
    pub(super) fn trackers(&self) -> Vec<TrackerStatus> {
        self.discovery.trackers()
    }

    /// Returns the announce URL.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

async fn answer(mut socket: TcpStream, path: &str, known: &[SocketAddr]) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        if request.len() > MAX_REQUEST || socket.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let wanted = format!("GET {path}?");
    let (status, body) = if request.starts_with(wanted.as_bytes()) {
        ("200 OK", announce_answer(known))
    } else {
        ("404 Not Found", Vec::new())
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    socket.write_all(&[head.as_bytes(), &body].concat()).await?;
    socket.shutdown().await
}

/// Returns a compact answer (BEP 23, BEP 7).
fn announce_answer(peers: &[SocketAddr]) -> Vec<u8> {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for peer in peers {
        compact::put(if peer.is_ipv4() { &mut v4 } else { &mut v6 }, *peer);
    }
    let mut out = vec![b'd'];
    put_string(&mut out, b"interval");
    put_integer(&mut out, if peers.is_empty() { FIRST_INTERVAL_S } else { INTERVAL_S });
    put_string(&mut out, b"peers");
    put_string(&mut out, &v4);
    put_string(&mut out, b"peers6");
    put_string(&mut out, &v6);
    out.push(b'e');
    out
}
