//! Subtitle files as UTF-8 and as WebVTT. Each is read and converted once for all requests, on a
//! thread of its own.

use super::charset::decode;
use super::library::{Library, Reader};
use super::vtt::to_webvtt;
use super::workers::Workers;
use bytes::Bytes;
use parking_lot::Mutex;
use playswarm::{Error, Result};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::{OnceCell, Semaphore};

/// Largest file that is converted, in bytes. A subtitle has about 100 KB.
pub(crate) const MOST_BYTES: u64 = 4 << 20;
/// Most bytes of files that are read at the same time.
const READ_AT_ONCE: u32 = 8 * MOST_BYTES as u32;
/// Most bytes of converted files that are kept: the subtitles of a film in all languages.
const KEPT_BYTES: usize = 8 << 20;
/// Bytes that one read asks for.
const CHUNK_BYTES: usize = 256 << 10;

/// The form that a file is converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// The same text in UTF-8.
    Text,
    /// WebVTT.
    WebVtt,
}

/// A converted file. `None` where it holds no cue.
type Converted = Option<Bytes>;
type Key = (usize, Form);

/// The conversions of one server.
pub(crate) struct Conversions {
    cells: Mutex<BTreeMap<Key, Arc<OnceCell<Converted>>>>,
    /// The files that are kept and their sizes in bytes, the oldest first.
    kept: Mutex<VecDeque<(Key, usize)>>,
    /// The bytes that may still be read.
    room: Arc<Semaphore>,
    /// One conversion at a time, because the largest file takes a core for a tenth of a second.
    workers: Workers,
}

impl Default for Conversions {
    fn default() -> Self {
        Conversions {
            cells: Mutex::default(),
            kept: Mutex::default(),
            room: Arc::new(Semaphore::new(READ_AT_ONCE as usize)),
            workers: Workers::new(1),
        }
    }
}

impl Conversions {
    /// Returns a converted file, and reads it from the swarm first where necessary. `language` (BCP
    /// 47) helps to detect its encoding.
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
        // A failed conversion is tried again with the next request.
        self.cells.lock().retain(|_, cell| cell.initialized() || Arc::strong_count(cell) > 1);
        converted
    }

    async fn convert<L: Library>(&self, library: &L, key: Key, language: Option<&str>) -> Result<Converted> {
        let (file, form) = key;
        let length = library.metainfo().files.get(file).map_or(0, |f| f.length);
        let room = self.room.acquire_many(u32::try_from(length).unwrap_or(READ_AT_ONCE)).await;
        let bytes = read_all(library, file, length).await?;
        let language = language.map(str::to_owned);
        let work = self.workers.run(move || match form {
            Form::Text => Some(decode(&bytes, language.as_deref())),
            Form::WebVtt => to_webvtt(&bytes, language.as_deref()),
        });
        let converted = work.await?.map(Bytes::from);
        drop(room);
        self.keep(key, converted.as_ref().map_or(0, Bytes::len));
        Ok(converted)
    }

    /// Records a file that is kept, and drops the oldest ones beyond the limit.
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
