//! The torrent argument of a command: a path, a link, or `-` for standard input.

use crate::stop::Stop;
use anyhow::{Result, anyhow, bail};
use playswarm::Source;
use playswarm::metainfo::MAX_TORRENT_BYTES;
use std::io::{IsTerminal, Read};
use std::path::Path;

/// Longest text in bytes that is examined for a link. Magnet links with a hundred trackers are
/// shorter.
const MAX_LINK_BYTES: usize = 64 << 10;

/// Largest settings or secret file in bytes.
const MAX_SMALL_FILE: u64 = 1 << 20;

/// Reads a settings or secret file: its text without the surrounding blanks and the byte order
/// mark.
pub(crate) fn small_file(path: &Path) -> Result<String> {
    let failed = |e: std::io::Error| anyhow!("cannot read {}: {e}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_SMALL_FILE + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_SMALL_FILE {
        bail!("{} is larger than {} KiB; choose another file", path.display(), MAX_SMALL_FILE >> 10);
    }
    // Windows editors prepend a byte order mark.
    Ok(text.trim_start_matches('\u{feff}').trim().to_owned())
}

/// Returns the secret of an option, or of the file that an option names.
pub(crate) fn secret(given: Option<&String>, file: Option<&Path>) -> Result<Option<String>> {
    let Some(path) = file else { return Ok(given.cloned()) };
    let text = small_file(path)?;
    if text.is_empty() {
        bail!("{} is empty; write the secret into it", path.display());
    }
    Ok(Some(text))
}

/// Reads the source that the user named. Returns `None` if the user stopped the program meanwhile.
pub(crate) async fn given(text: &str, stop: &mut Stop) -> Result<Option<Source>> {
    if text != "-" {
        return Ok(Some(Source::parse(text)?));
    }
    if std::io::stdin().is_terminal() {
        bail!("standard input is a terminal; pipe a torrent or a link into it, or write one instead of -");
    }
    // A thread of its own, since a read of standard input cannot be cancelled and the program would
    // wait for it.
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(MAX_TORRENT_BYTES as u64 + 1).read_to_end(&mut bytes);
        let _ = tell.send(read.map(|_| bytes));
    });
    let Some(read) = stop.unless(told).await else { return Ok(None) };
    let bytes = read.map_err(|_| anyhow!("standard input could not be read"))?;
    let bytes = bytes.map_err(|e| anyhow!("cannot read standard input: {e}"))?;
    piped(bytes).map(Some)
}

/// Interprets a torrent's bytes, or a text that names one.
fn piped(bytes: Vec<u8>) -> Result<Source> {
    if bytes.is_empty() {
        bail!("standard input is empty; pipe a torrent or a link into it");
    }
    let text = std::str::from_utf8(&bytes).ok().filter(|text| text.len() <= MAX_LINK_BYTES);
    match text.map(Source::parse) {
        // A text that matches nothing else, such as a small torrent, parses as a path.
        Some(Ok(source @ (Source::Magnet(_) | Source::File(_) | Source::Url(_)))) => Ok(source),
        _ => Ok(Source::TorrentBytes(bytes.into())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn links_and_torrents_are_distinguished() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        assert!(matches!(piped(format!("magnet:?xt=urn:btih:{hash}\n").into()), Ok(Source::Magnet(_))));
        assert!(matches!(piped(format!("{hash}\r\n").into()), Ok(Source::Magnet(_))));
        assert!(matches!(piped(b"https://example.org/x.torrent\n".to_vec()), Ok(Source::Url(_))));
        assert!(matches!(piped(b"d4:infod6:lengthi1eee".to_vec()), Ok(Source::TorrentBytes(_))));
        assert!(matches!(piped(b"film.torrent\n".to_vec()), Ok(Source::TorrentBytes(_))));
        assert!(piped(Vec::new()).unwrap_err().to_string().contains("empty"));
    }
}
