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
    let media = session.open(Source::parse(&source)?).await?;
    let mut events = media.events();
    media.fetch_all(true);

    let mut look = tokio::time::interval(Duration::from_secs(1));
    while media.status().verified_bytes < media.status().total_bytes {
        tokio::select! {
            _ = look.tick() => {
                let status = media.status();
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
    media.sync().await?;
    session.close().await;
    Ok(())
}
