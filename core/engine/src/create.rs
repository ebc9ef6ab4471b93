//! Makes a torrent of a file or folder, with pieces of a size that suits streaming.
//!
//! Deterministic: the same files give the same info-hash, on any machine and on any day. Own code instead of librqbit's
//! `create_torrent`, which hashes on one thread, lists files in the disk's order and follows symbolic links.

use crate::bencode::{put_integer, put_string};
use crate::error::{Error, Result};
use crate::torrent::{
    MAX_FILES, MAX_NAME_BYTES, MAX_PATH_DEPTH, MAX_PIECE_BYTES, MIN_PIECE_BYTES, Torrent, natural_cmp, sha1,
    write_torrent,
};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// How a torrent is made.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// Bytes of a piece: a power of two from 16 KiB to 64 MiB. `None`: [`streaming_piece_bytes`].
    pub piece_bytes: Option<u32>,
    /// Announce URLs, best first.
    pub trackers: Vec<String>,
    /// BEP 27: peers come from the trackers alone.
    pub private: bool,
    /// A remark, outside of what is hashed.
    pub comment: Option<String>,
    /// The torrent's name. `None`: that of the file or folder.
    pub name: Option<String>,
}

/// The size of a piece that suits streaming `total_bytes` of media.
///
/// A reader sees no byte before its piece is whole and verified, so a piece should play for about half a second to a second:
/// 256 KiB up to 1 GiB (some 3 Mbit/s for 90 minutes), 512 KiB to 4 GiB, 1 MiB to 16 GiB, 2 MiB beyond. Past a million pieces it
/// doubles, so that the torrent file itself stays small.
pub fn streaming_piece_bytes(total_bytes: u64) -> u32 {
    const GIB: u64 = 1 << 30;
    const MAX_PIECES: u64 = 1_000_000;
    let mut piece: u32 = match total_bytes {
        0..=GIB => 256 << 10,
        _ if total_bytes <= 4 * GIB => 512 << 10,
        _ if total_bytes <= 16 * GIB => 1 << 20,
        _ => 2 << 20,
    };
    while total_bytes / u64::from(piece) > MAX_PIECES && piece < MAX_PIECE_BYTES {
        piece *= 2;
    }
    piece
}

/// Makes a torrent of a file or a folder; gives it, and the bytes of its `.torrent` file.
///
/// `progress` is called from several threads with the bytes hashed so far and all bytes. In a folder, hidden files and folders and
/// symbolic links are left out, and files stand in natural order. Dropping the future stops the hashing.
///
/// # Errors
/// [`Error::Storage`] for what cannot be read, has a name that a torrent cannot carry to every disk, or changes meanwhile;
/// [`Error::BadConfig`] for a piece length out of range; [`Error::BadTorrent`] where there is nothing to share.
pub async fn create_torrent(
    path: impl AsRef<Path>,
    options: CreateOptions,
    progress: impl Fn(u64, u64) + Send + Sync + 'static,
) -> Result<(Torrent, Vec<u8>)> {
    let path = path.as_ref().to_owned();
    let cancel = Arc::new(AtomicBool::new(false));
    let guard = CancelOnDrop(cancel.clone());
    let made = tokio::task::spawn_blocking(move || create(&path, &options, &progress, &cancel)).await;
    drop(guard);
    made.map_err(|_| Error::Closed)?
}

struct CancelOnDrop(Arc<AtomicBool>);
impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A file that goes into the torrent.
struct Input {
    /// Where it is.
    path: PathBuf,
    /// Its components below the torrent's name; none for a torrent of one file.
    parts: Vec<String>,
    length: u64,
    offset: u64,
}

fn create(
    path: &Path,
    options: &CreateOptions,
    progress: &(dyn Fn(u64, u64) + Sync),
    cancel: &AtomicBool,
) -> Result<(Torrent, Vec<u8>)> {
    // What the user names is followed, also through a link; what lies within is not.
    let root = fs::canonicalize(path).map_err(|e| storage("read", path, e))?;
    let name = match &options.name {
        Some(name) => name.clone(),
        None => root.file_name().map(|n| text_of(&root, n)).transpose()?.unwrap_or_default(),
    };
    let mut inputs = Vec::new();
    let is_file = fs::metadata(&root).map_err(|e| storage("read", &root, e))?.is_file();
    if is_file {
        inputs.push(Input { path: root.clone(), parts: Vec::new(), length: 0, offset: 0 });
    } else {
        walk(&root, &mut Vec::new(), &mut inputs)?;
    }
    let mut total = 0;
    for input in &mut inputs {
        input.length = fs::metadata(&input.path).map_err(|e| storage("read", &input.path, e))?.len();
        input.offset = total;
        total += input.length;
    }
    if total == 0 {
        return Err(Error::BadTorrent(format!("{} holds nothing that could be shared", root.display())));
    }
    let piece_bytes = options.piece_bytes.unwrap_or_else(|| streaming_piece_bytes(total));
    if !piece_bytes.is_power_of_two() || !(MIN_PIECE_BYTES.max(16 << 10)..=MAX_PIECE_BYTES).contains(&piece_bytes) {
        return Err(Error::BadConfig {
            name: "piece_bytes".into(),
            why: "it must be a power of two from 16 KiB to 64 MiB".into(),
        });
    }
    let hashes = hash(&inputs, total, piece_bytes, progress, cancel)?;
    let info = info_dictionary(
        &name,
        if is_file { None } else { Some(&inputs) },
        total,
        piece_bytes,
        &hashes,
        options.private,
    );
    let torrent = Torrent::from_info(info.into(), options.trackers.clone())?;
    // Where a name was changed to be safe, nobody who has the files would be found to have them.
    for (input, entry) in inputs.iter().zip(&torrent.files) {
        let wanted: PathBuf = std::iter::once(&name).chain(&input.parts).collect();
        if entry.path != wanted {
            return Err(unfit(&input.path));
        }
    }
    let bytes = write_torrent(&torrent.info, &torrent.trackers, options.comment.as_deref());
    Ok((torrent, bytes))
}

fn storage(doing: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Storage { doing, path: path.to_owned(), source }
}

fn unfit(path: &Path) -> Error {
    let why = "not every disk takes this name, or two names differ by case alone; rename it";
    storage("share", path, io::Error::new(io::ErrorKind::InvalidInput, why))
}

fn text_of(path: &Path, name: &std::ffi::OsStr) -> Result<String> {
    match name.to_str() {
        Some(name) if name.len() <= MAX_NAME_BYTES => Ok(name.to_owned()),
        _ => Err(unfit(path)),
    }
}

fn walk(folder: &Path, parts: &mut Vec<String>, inputs: &mut Vec<Input>) -> Result<()> {
    if parts.len() + 2 > MAX_PATH_DEPTH {
        return Err(storage(
            "share",
            folder,
            io::Error::other(format!("its folders are more than {MAX_PATH_DEPTH} deep")),
        ));
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| storage("read", folder, e))? {
        let entry = entry.map_err(|e| storage("read", folder, e))?;
        if entry.file_name().as_encoded_bytes().first() == Some(&b'.') {
            continue;
        }
        // Not that of a link's target.
        let kind = entry.file_type().map_err(|e| storage("read", &entry.path(), e))?;
        if kind.is_dir() || kind.is_file() {
            entries.push((text_of(&entry.path(), &entry.file_name())?, kind.is_dir()));
        }
    }
    entries.sort_by(|a, b| natural_cmp(&a.0, &b.0));
    for (name, is_folder) in entries {
        let path = folder.join(&name);
        parts.push(name);
        if is_folder {
            walk(&path, parts, inputs)?;
        } else {
            if inputs.len() >= MAX_FILES {
                return Err(storage(
                    "share",
                    folder,
                    io::Error::other(format!("it holds more than {MAX_FILES} files")),
                ));
            }
            inputs.push(Input { path, parts: parts.clone(), length: 0, offset: 0 });
        }
        parts.pop();
    }
    Ok(())
}

/// The SHA-1 of every piece, by as many threads as there are processors; each holds one piece in memory.
fn hash(
    inputs: &[Input],
    total: u64,
    piece_bytes: u32,
    progress: &(dyn Fn(u64, u64) + Sync),
    cancel: &AtomicBool,
) -> Result<Vec<u8>> {
    let pieces = total.div_ceil(u64::from(piece_bytes));
    let hashes = Mutex::new(vec![0; pieces as usize * 20]);
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed = Mutex::new(None);
    let stop = AtomicBool::new(false);
    let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(pieces as usize);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut reader = PieceReader { inputs, open: None };
                let mut buffer = vec![0; piece_bytes.min(u32::try_from(total).unwrap_or(u32::MAX)) as usize];
                while !stop.load(Ordering::Relaxed) && !cancel.load(Ordering::Relaxed) {
                    let piece = next.fetch_add(1, Ordering::Relaxed);
                    if piece >= pieces {
                        break;
                    }
                    let start = piece * u64::from(piece_bytes);
                    let length = u64::from(piece_bytes).min(total - start) as usize;
                    if let Err(e) = reader.read(start, &mut buffer[..length]) {
                        stop.store(true, Ordering::Relaxed);
                        lock(&failed).get_or_insert(e);
                        break;
                    }
                    let at = piece as usize * 20;
                    let digest = sha1(&buffer[..length]);
                    lock(&hashes)[at..at + 20].copy_from_slice(&digest);
                    progress(done.fetch_add(length as u64, Ordering::Relaxed) + length as u64, total);
                }
            });
        }
    });
    if let Some(e) = lock(&failed).take() {
        return Err(e);
    }
    if cancel.load(Ordering::Relaxed) {
        return Err(Error::Cancelled);
    }
    Ok(std::mem::take(&mut *lock(&hashes)))
}

/// A worker that panicked took its piece with it; what is locked is whole all the same.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Reads across the ends of files, keeping the last one open.
struct PieceReader<'a> {
    inputs: &'a [Input],
    open: Option<(usize, File)>,
}

impl PieceReader<'_> {
    fn read(&mut self, mut at: u64, mut buffer: &mut [u8]) -> Result<()> {
        // The first file that ends behind the position; empty files end before it.
        let mut n = self.inputs.partition_point(|input| input.offset + input.length <= at);
        while !buffer.is_empty() {
            let input = &self.inputs[n];
            let within = at - input.offset;
            let length = (input.length - within).min(buffer.len() as u64) as usize;
            let (part, rest) = buffer.split_at_mut(length);
            self.read_part(n, within, part).map_err(|e| {
                let changed = e.kind() == io::ErrorKind::UnexpectedEof;
                storage(
                    "read",
                    &input.path,
                    if changed { io::Error::other("it became shorter meanwhile; try again") } else { e },
                )
            })?;
            buffer = rest;
            at += length as u64;
            n += 1;
        }
        Ok(())
    }

    fn read_part(&mut self, n: usize, within: u64, part: &mut [u8]) -> io::Result<()> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != n) {
            self.open = Some((n, File::open(&self.inputs[n].path)?));
        }
        let Some((_, file)) = &mut self.open else { return Ok(()) };
        file.seek(SeekFrom::Start(within))?;
        file.read_exact(part)
    }
}

/// BEP 3's info dictionary, keys in order. `inputs` is `None` for a torrent of one file.
fn info_dictionary(
    name: &str,
    inputs: Option<&[Input]>,
    total: u64,
    piece_bytes: u32,
    hashes: &[u8],
    private: bool,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(hashes.len() + 1024);
    out.push(b'd');
    if let Some(inputs) = inputs {
        put_string(&mut out, b"files");
        out.push(b'l');
        for input in inputs {
            out.push(b'd');
            put_string(&mut out, b"length");
            put_integer(&mut out, input.length);
            put_string(&mut out, b"path");
            out.push(b'l');
            input.parts.iter().for_each(|part| put_string(&mut out, part.as_bytes()));
            out.extend_from_slice(b"ee");
        }
        out.push(b'e');
    } else {
        put_string(&mut out, b"length");
        put_integer(&mut out, total);
    }
    put_string(&mut out, b"name");
    put_string(&mut out, name.as_bytes());
    put_string(&mut out, b"piece length");
    put_integer(&mut out, u64::from(piece_bytes));
    put_string(&mut out, b"pieces");
    put_string(&mut out, hashes);
    if private {
        put_string(&mut out, b"private");
        put_integer(&mut out, 1);
    }
    out.push(b'e');
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pattern(length: usize, seed: u8) -> Vec<u8> {
        (0..length).map(|n| (n as u8).wrapping_mul(31).wrapping_add(seed) ^ (n >> 8) as u8).collect()
    }

    #[test]
    fn pieces_grow_with_the_media() {
        let gib = 1u64 << 30;
        for (total, kib) in
            [(1, 256), (gib, 256), (gib + 1, 512), (4 * gib, 512), (16 * gib, 1024), (17 * gib, 2048), (1 << 50, 65536)]
        {
            assert_eq!(streaming_piece_bytes(total), kib << 10, "{total}");
        }
    }

    #[tokio::test]
    async fn a_folder_becomes_a_torrent_in_natural_order_without_what_is_hidden_or_linked() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("Show");
        fs::create_dir_all(root.join("Extras/.playswarm")).unwrap();
        let files = [("E2.mkv", 100_000), ("E10.mkv", 70_001), ("empty.txt", 0), ("Extras/x.srt", 5)];
        for (n, (name, length)) in files.iter().enumerate() {
            fs::write(root.join(name), pattern(*length, n as u8)).unwrap();
        }
        fs::write(root.join(".hidden"), b"no").unwrap();
        fs::write(root.join("Extras/.playswarm/state"), b"no").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc", root.join("link")).unwrap();

        let seen = Arc::new(AtomicU64::new(0));
        let options = CreateOptions {
            piece_bytes: Some(16 << 10),
            trackers: vec!["udp://t.example:1/".into()],
            comment: Some("hello".into()),
            ..Default::default()
        };
        let counted = seen.clone();
        let (torrent, bytes) = create_torrent(&root, options.clone(), move |done, total| {
            assert!(done <= total);
            counted.fetch_max(done, Ordering::Relaxed);
        })
        .await
        .unwrap();
        assert_eq!(seen.load(Ordering::Relaxed), 170_006);
        let names: Vec<_> = torrent.files.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["E2.mkv", "E10.mkv", "empty.txt", "Extras/x.srt"]);

        // Every hash is that of the bytes one after the other.
        let all: Vec<u8> = torrent.files.iter().flat_map(|f| fs::read(dir.path().join(&f.path)).unwrap()).collect();
        for (n, piece) in all.chunks(16 << 10).enumerate() {
            assert_eq!(torrent.hash_of(n as u32).unwrap(), sha1(piece));
        }
        let read = Torrent::from_bytes(&bytes).unwrap();
        assert_eq!((read.info_hash, read.trackers), (torrent.info_hash, torrent.trackers.clone()));
        let (again, same) = create_torrent(&root, options, |_, _| {}).await.unwrap();
        assert_eq!((again.info_hash, same), (torrent.info_hash, bytes));
    }

    #[tokio::test]
    async fn a_single_file_is_named_as_it_is_and_may_be_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("film.mp4");
        fs::write(&path, pattern(300_000, 3)).unwrap();
        let (torrent, _) =
            create_torrent(&path, CreateOptions { private: true, ..Default::default() }, |_, _| {}).await.unwrap();
        assert_eq!((torrent.name.as_str(), torrent.files.len(), torrent.private), ("film.mp4", 1, true));
        assert_eq!(torrent.layout.piece_bytes(), 256 << 10);
    }

    #[tokio::test]
    async fn what_cannot_be_shared_is_refused_with_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let refused =
            async |path: &Path, options| create_torrent(path, options, |_, _| {}).await.unwrap_err().to_string();
        assert!(refused(&dir.path().join("nothing"), CreateOptions::default()).await.contains("cannot read"));
        assert!(refused(dir.path(), CreateOptions::default()).await.contains("nothing that could be shared"));
        fs::write(dir.path().join("CON"), b"x").unwrap();
        assert!(
            refused(dir.path(), CreateOptions { name: Some("t".into()), ..Default::default() })
                .await
                .contains("rename it")
        );
        for piece in [0, 1000, 8 << 10, 128 << 20] {
            assert!(
                refused(&dir.path().join("CON"), CreateOptions { piece_bytes: Some(piece), ..Default::default() })
                    .await
                    .contains("power of two")
            );
        }
    }
}
