//! Opens a source, serves its film over HTTP, and starts a player on it: `play SOURCE [PLAYER]`.

use anyhow::{Context, Result};
use playswarm::Source;
use playswarm_serve::{HttpConfig, serve};
use std::env::{args, temp_dir};

#[tokio::main]
async fn main() -> Result<()> {
    let source = args().nth(1).context("give a source: a torrent file, a magnet link or a URL")?;
    let player = args().nth(2).unwrap_or_else(|| "mpv".to_owned());

    let session = playswarm_examples::session(&temp_dir().join("playswarm-examples")).await?;
    let torrent = session.open(Source::parse(&source)?).await?;
    let file = torrent.choose_file().await?;
    // Fetches the film's beginning from now on, because the player will request it.
    torrent.prefetch(file);

    let server = serve(torrent.clone(), file, HttpConfig::default()).await?;
    println!("{} is at {}", torrent.metainfo().files[file].name, server.url());
    let status = tokio::process::Command::new(&player).arg(server.url()).status().await;
    status.with_context(|| format!("cannot start {player}"))?;

    server.stop().await;
    session.close().await;
    Ok(())
}
