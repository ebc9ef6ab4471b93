//! Subtitle files as UTF-8 and as WebVTT: each is read and converted once, however many ask, on a thread of its own.

use super::charset::decode;
use super::library::{Library, Reader};
use super::vtt::to_webvtt;
use crate::{Error, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::{OnceCell, Semaphore};

/// Largest file that is converted. A subtitle has some 100 KB.
pub(crate) const MOST_BYTES: u64 = 4 << 20;
/// Bytes of files that are read at the same time.
const READ_AT_ONCE: u32 = 8 * MOST_BYTES as u32;
/// Bytes of converted files that are kept: the subtitles of a film in all languages.
const KEPT_BYTES: usize = 8 << 20;
/// Read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// What a file is converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// The same text in UTF-8.
    Text,
    /// WebVTT.
    WebVtt,
}

/// A converted file; `None` where there is no cue in it.
type Converted = Option<Bytes>;
type Key = (usize, Form);

/// The conversions of one server.
pub(crate) struct Conversions {
    cells: Mutex<BTreeMap<Key, Arc<OnceCell<Converted>>>>,
    /// Files that are kept, the oldest first, with their bytes.
    kept: Mutex<VecDeque<(Key, usize)>>,
    /// Bytes that may still be read.
    room: Arc<Semaphore>,
    /// One conversion at a time: a file of the largest size takes a core for a tenth of a second.
    turn: Arc<Semaphore>,
}

impl Default for Conversions {
    fn default() -> Self {
        Conversions {
            cells: Mutex::default(),
            kept: Mutex::default(),
            room: Arc::new(Semaphore::new(READ_AT_ONCE as usize)),
            turn: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Conversions {
    /// A converted file, read from the swarm if it must be. `language` helps to read old encodings.
    pub(crate) async fn get<L: Library>(
        &self,
        library: &L,
        file: usize,
        form: Form,
        language: Option<&str>,
    ) -> Result<Converted> {
        let cell = self.cells.lock().entry((file, form)).or_default().clone();
        let converted = cell.get_or_try_init(|| self.convert(library, (file, form), language)).await.cloned();
        drop(cell);
        // What failed is made anew for the next one that asks.
        self.cells.lock().retain(|_, cell| cell.initialized() || Arc::strong_count(cell) > 1);
        converted
    }

    async fn convert<L: Library>(&self, library: &L, key: Key, language: Option<&str>) -> Result<Converted> {
        let (file, form) = key;
        let length = library.torrent().files.get(file).map_or(0, |f| f.length);
        let room = self.room.acquire_many(u32::try_from(length).unwrap_or(READ_AT_ONCE)).await;
        let bytes = read_all(library, file, length).await?;
        let turn = self.turn.clone().acquire_owned().await;
        let language = language.map(str::to_owned);
        let work = tokio::task::spawn_blocking(move || {
            let text = match form {
                Form::Text => Some(decode(&bytes, language.as_deref())),
                Form::WebVtt => to_webvtt(&bytes, language.as_deref()),
            };
            // Held to the end of the work, also where the one that asked has left.
            drop(turn);
            text.map(Bytes::from)
        });
        let converted = work.await.map_err(|e| Error::Internal(format!("converting a subtitle failed: {e}")))?;
        drop(room);
        self.keep(key, converted.as_ref().map_or(0, Bytes::len));
        Ok(converted)
    }

    /// Notes a file that is kept, and forgets the oldest that are too many.
    fn keep(&self, file: Key, bytes: usize) {
        let mut kept = self.kept.lock();
        kept.retain(|(other, _)| *other != file);
        kept.push_back((file, bytes));
        let mut sum: usize = kept.iter().map(|(_, bytes)| bytes).sum();
        while sum > KEPT_BYTES
            && let Some((oldest, bytes)) = kept.pop_front()
        {
            sum -= bytes;
            self.cells.lock().remove(&oldest);
        }
    }
}

async fn read_all<L: Library>(library: &L, file: usize, length: u64) -> Result<Vec<u8>> {
    let mut reader = library.open(file)?;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        let left = usize::try_from(length).unwrap_or(usize::MAX) - bytes.len();
        let chunk = reader.read_chunk(CHUNK_BYTES.min(left)).await?;
        if chunk.is_empty() {
            return Err(Error::Io { doing: "reading the subtitle", source: std::io::ErrorKind::UnexpectedEof.into() });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
