//! Reads ranges of a file on a thread without async, as a parser does: `ranges SOURCE FROM..TO [FROM..TO ...]`.

use anyhow::{Context, Result};
use playswarm::Source;
use std::env::{args, temp_dir};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

fn range(text: &str) -> Result<Range<u64>> {
    let (from, to) = text.split_once("..").with_context(|| format!("{text} is not FROM..TO"))?;
    Ok(from.parse()?..to.parse()?)
}

#[tokio::main]
async fn main() -> Result<()> {
    let source = args().nth(1).context("give a source: a torrent file, a magnet link or a URL")?;
    let ranges = args().skip(2).map(|text| range(&text)).collect::<Result<Vec<_>>>()?;

    let session = playswarm_examples::session(&temp_dir().join("playswarm-examples")).await?;
    let torrent = session.open(Source::parse(&source)?).await?;
    let mut stream = torrent.stream(torrent.choose_file().await?)?.into_blocking();
    let reading = tokio::task::spawn_blocking(move || -> Result<()> {
        for range in ranges {
            stream.seek(SeekFrom::Start(range.start))?;
            let mut bytes = Vec::new();
            // Each byte was verified against the torrent's hashes.
            stream.by_ref().take(range.end.saturating_sub(range.start)).read_to_end(&mut bytes)?;
            println!("{range:?}: {}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        }
        Ok(())
    });
    reading.await??;
    session.close().await;
    Ok(())
}
