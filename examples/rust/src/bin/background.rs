//! An application that already runs librqbit: `background SOURCE`. It watches the beginning. Then
//! its own session completes and seeds the torrent, until it is watched again.

use anyhow::{Context, Result};
use playswarm::advanced::librqbit;
use playswarm::{Session, Source};
use std::env::{args, temp_dir};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let source = args().nth(1).context("give a source: a torrent file, a magnet link or a URL")?;
    let folder = temp_dir().join("playswarm-examples");

    // The application's session, with its own torrents. playswarm has the DHT and finds peers.
    let options = librqbit::SessionOptions {
        dht: None,
        disable_local_service_discovery: true,
        listen: Some(librqbit::ListenerOptions::default()),
        ..librqbit::SessionOptions::default()
    };
    let application = librqbit::Session::new_with_opts(folder.clone(), options).await?;

    let session = Session::with_background(playswarm_examples::config(&folder)?, application.clone()).await?;
    let torrent = session.open(Source::parse(&source)?).await?;
    let mut stream = torrent.stream(torrent.choose_file().await?)?;
    println!("{} bytes were watched", stream.read_chunk(1 << 20).await?.len());

    // With its last handle the torrent moves to the application's session.
    drop((stream, torrent));
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let Some(status) = session.seeded_in_background().pop() else { continue };
        let torrents = application.with_torrents(|torrents| torrents.count());
        println!("{} of {} bytes, {torrents} torrents in librqbit", status.verified_bytes, status.total_bytes);
        if status.verified_bytes == status.total_bytes {
            break;
        }
    }

    // Takes the torrent back; the application's session runs on.
    session.close().await;
    application.stop().await;
    Ok(())
}
