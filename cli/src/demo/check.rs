//! `playswarm demo --check`: acts as a player does. It reads the start, seeks, and compares every
//! byte.

use super::CLIP;
use crate::log;
use crate::units::bytes;
use anyhow::{Context, Result, bail, ensure};
use playswarm::TorrentHandle;
use playswarm_serve::Server;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Positions in the clip, in percent, in reading order.
const PLACES: [u64; 6] = [0, 70, 35, 90, 10, 99];
/// Bytes read at each position: more than one piece.
const READ_BYTES: u64 = 128 << 10;
/// Longest wait, far more than needed. A swarm that delivers nothing must not hang a test.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest response head in bytes, far more than usual.
const MAX_HEAD: usize = 16 << 10;

/// Whether all bytes were right. Prints a line for each position.
pub(super) async fn check(server: &Server, media: &TorrentHandle) -> Result<bool> {
    let url = server.url();
    let path = url.splitn(4, '/').nth(3).context("a URL has a path")?;
    let size = CLIP.len() as u64;
    let mut good = true;
    for place in PLACES {
        let start = size * place / 100;
        let end = (start + READ_BYTES).min(size);
        let read = timeout(PATIENCE, read(server, path, start, end)).await;
        let said = match read {
            Err(_) => Err(format!("nothing within {} s", PATIENCE.as_secs())),
            Ok(Err(e)) => Err(format!("{e:#}")),
            Ok(Ok((first, _))) if first > PATIENCE => Err("too late".into()),
            Ok(Ok((first, body))) if body == CLIP[start as usize..end as usize] => Ok(first),
            Ok(Ok(_)) => Err("the bytes differ from those of the clip".into()),
        };
        match said {
            Ok(first) => log::out(&format!(
                "at {place:>2} %: first byte after {:.3} s, {} verified",
                first.as_secs_f64(),
                bytes(end - start)
            )),
            Err(why) => {
                good = false;
                log::out(&format!("at {place:>2} %: {why}"));
            }
        }
    }
    let status = media.status();
    let gave = status.peers.iter().filter(|p| p.downloaded_bytes > 0).count();
    let waste = status.waste.total_bytes();
    log::out(&format!("{gave} peers sent {}, of which {} were wasted", bytes(status.downloaded_bytes), bytes(waste)));
    if gave == 0 {
        good = false;
        log::out("the bytes did not come from the swarm");
    }
    log::out(if good { "all is well" } else { "something is wrong" });
    Ok(good)
}

/// Reads bytes `[start, end)` over HTTP. Returns the time to the first byte as well.
async fn read(server: &Server, path: &str, start: u64, end: u64) -> Result<(Duration, Vec<u8>)> {
    let asked = Instant::now();
    let mut socket = TcpStream::connect(server.addr()).await.context("cannot connect")?;
    let addr = server.addr();
    let request = format!(
        "GET /{path} HTTP/1.1\r\nHost: {addr}\r\nRange: bytes={start}-{}\r\nConnection: close\r\n\r\n",
        end - 1
    );
    socket.write_all(request.as_bytes()).await.context("cannot ask")?;
    let mut answer = Vec::new();
    let body_at = loop {
        ensure!(socket.read_buf(&mut answer).await.context("cannot read")? > 0, "the connection was closed");
        match answer.windows(4).position(|w| w == b"\r\n\r\n") {
            Some(at) if answer.len() > at + 4 => break at + 4,
            Some(_) => {}
            None => ensure!(answer.len() < MAX_HEAD, "the answer has no end of its head"),
        }
    };
    let first = asked.elapsed();
    if !answer.starts_with(b"HTTP/1.1 206 ") {
        bail!("the answer was {}", String::from_utf8_lossy(&answer[..answer.len().min(60)]));
    }
    socket.read_to_end(&mut answer).await.context("the connection failed")?;
    answer.drain(..body_at);
    Ok((first, answer))
}
