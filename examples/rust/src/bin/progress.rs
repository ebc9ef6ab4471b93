//! Fetches everything, and prints progress from status and events: `progress SOURCE FOLDER`.

use anyhow::{Context, Result};
use playswarm::{Event, Source};
use std::env::args;
use std::path::PathBuf;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let source = args().nth(1).context("give a source: a torrent file, a magnet link or a URL")?;
    let folder = PathBuf::from(args().nth(2).context("give a folder for the files")?);

    let session = playswarm_examples::session(&folder).await?;
    let torrent = session.open(Source::parse(&source)?).await?;
    let mut events = torrent.events();
    torrent.fetch_all(true);

    let mut look = tokio::time::interval(Duration::from_secs(1));
    while torrent.status().verified_bytes < torrent.status().total_bytes {
        tokio::select! {
            _ = look.tick() => {
                let status = torrent.status();
                println!(
                    "{:5.1} %  {:.0} kB/s from {} peers{}",
                    100.0 * status.verified_bytes as f64 / status.total_bytes.max(1) as f64,
                    status.download_bytes_per_s / 1000.0,
                    status.peers.len(),
                    status.trouble.map(|why| format!("; {why}")).unwrap_or_default(),
                );
            }
            event = events.recv() => {
                // A receiver that lags misses events; the status has everything.
                if let Ok(event @ (Event::PeerConnected { .. } | Event::Completed)) = event {
                    println!("{event:?}");
                }
            }
        }
    }
    // Everything that was fetched is on the disk when this returns.
    torrent.sync().await?;
    session.close().await;
    Ok(())
}
