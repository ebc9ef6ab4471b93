//! A player's own loop: `loop SOURCE`. It takes ready bytes without waiting, waits only if there
//! are none, seeks to the middle by time, and stops during a wait.

use anyhow::{Context, Result};
use playswarm::{Source, Stream};
use std::env::{args, temp_dir};
use std::time::{Duration, Instant};

/// Most bytes that a demuxer takes at once.
const CHUNK: usize = 64 << 10;

/// Reads for a while, as a demuxer would. Returns the number of bytes.
async fn play(stream: &mut Stream, time: Duration) -> Result<u64> {
    let (began, mut bytes) = (Instant::now(), 0);
    while began.elapsed() < time && stream.position() < stream.size() {
        match stream.try_read_chunk(CHUNK)? {
            Some(chunk) => bytes += chunk.len() as u64,
            // No bytes are ready. A player would draw its next frame here. This one waits for a
            // short time.
            None => match tokio::time::timeout(Duration::from_millis(40), stream.ready()).await {
                Ok(ready) => ready?,
                Err(_) => continue,
            },
        }
    }
    Ok(bytes)
}

#[tokio::main]
async fn main() -> Result<()> {
    let source = args().nth(1).context("give a source: a torrent file, a magnet link or a URL")?;
    let session = playswarm_examples::session(&temp_dir().join("playswarm-examples")).await?;
    let torrent = session.open(Source::parse(&source)?).await?;
    let file = torrent.choose_file().await?;
    let mut stream = torrent.stream(file)?;

    println!("{} bytes from the start", play(&mut stream, Duration::from_secs(2)).await?);
    let duration = torrent.timeline(file).await?.duration();
    let place = stream.seek_to_time(duration / 2).await?;
    println!("jumped to {:.1} s, byte {}", place.time.as_secs_f64(), place.from);
    println!("{} bytes from there", play(&mut stream, Duration::from_secs(2)).await?);

    // Dropping a stream ends its fetch. The torrent stays open as long as there is a handle.
    drop(stream);
    session.close().await;
    Ok(())
}
