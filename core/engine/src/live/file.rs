//! The rate at which a file is played, for files that are cast.

use playswarm_media::Indexer;
use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom};
use std::path::Path;

/// Most bytes read of a file for its rate. Indexes of long films have a few megabytes.
const MAX_READ_BYTES: u64 = 64 << 20;

/// Returns the bytes per second of a film or a piece of sound, by its own index. `None` if it states
/// no duration. It reads the file, so it blocks.
///
/// # Errors
///
/// Returns an error if the file cannot be read.
pub fn file_rate(path: &Path) -> Result<Option<f64>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut indexer = Indexer::new(&name, size);
    let mut left = MAX_READ_BYTES;
    while let Some(range) = indexer.needed().into_iter().next() {
        let length = range.end - range.start;
        if length > left {
            return Ok(None);
        }
        left -= length;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(range.start))?;
        file.by_ref().take(length).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < length {
            return Ok(None);
        }
        indexer.feed(range.start, &bytes);
    }
    let duration = indexer.timeline().filter(|timeline| timeline.knows_duration()).map(|timeline| timeline.duration());
    Ok(duration.map(|duration| size as f64 / duration.as_secs_f64()).filter(|rate| rate.is_finite()))
}
