//! Creates a torrent from a file or folder, with a piece length that suits streaming.
//!
//! Deterministic: the same files give the same info-hash, on any machine and on any day. librqbit's
//! `create_torrent` is not used, because it hashes on one thread, lists files in the disk's order
//! and follows links to any file.

mod gather;
mod hash;

pub use gather::LeftOut;

use crate::error::{Error, Result};
use crate::metainfo::{MAX_PIECE_BYTES, MIN_PIECE_BYTES, Metainfo};
use gather::{Gathered, Input};
use hash::hash;
use playswarm_proto::bencode::{put_integer, put_string};
use playswarm_proto::metainfo::write_torrent;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The options for creating a torrent.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CreateOptions {
    /// Piece length in bytes: a power of two from 16 KiB to 64 MiB. `None` means
    /// [`streaming_piece_bytes`].
    pub piece_bytes: Option<u32>,
    /// Announce URLs, best first.
    pub trackers: Vec<String>,
    /// Whether peers come only from the trackers (BEP 27).
    pub private: bool,
    /// Comment, outside of the hashed part.
    pub comment: Option<String>,
    /// Name of the torrent. `None` means that of the file or folder.
    pub name: Option<String>,
}

/// Returns the piece length that suits streaming `total_bytes` of media.
///
/// A reader gets no byte before its piece is complete and verified, so a piece should play for
/// about half a second to a second. The length is 256 KiB up to 1 GiB of media (some 3 Mbit/s for
/// 90 minutes). It is 512 KiB up to 4 GiB, 1 MiB up to 16 GiB, and 2 MiB beyond. Past a million
/// pieces it doubles, so that the torrent file itself stays small.
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

/// A created torrent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Created {
    /// The parsed torrent.
    pub torrent: Metainfo,
    /// Bytes of its `.torrent` file.
    pub bytes: Vec<u8>,
    /// Entries of the folder that are not in the torrent; the first 1,000.
    pub left_out: Vec<LeftOut>,
    /// Number of such entries beyond those listed.
    pub left_out_more: usize,
}

/// Creates a torrent from a file or a folder.
///
/// `progress` is called from several threads with the number of bytes hashed so far and of all
/// bytes. The files of a folder are in natural order. Links are followed if the user owns both the
/// link and its target. Hidden, special and unreadable files and folders are left out. So are names
/// that a torrent cannot carry, and links that lead nowhere, back, or to another user's files.
/// Dropping the future stops the hashing.
///
/// # Errors
///
/// Returns [`Error::Storage`] if the file or folder cannot be read or shared, or changes meanwhile.
/// Returns [`Error::BadConfig`] for a piece length out of range, and [`Error::BadTorrent`] if there
/// is nothing to share.
pub async fn create_torrent(
    path: impl AsRef<Path>,
    options: CreateOptions,
    progress: impl Fn(u64, u64) + Send + Sync + 'static,
) -> Result<Created> {
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

fn create(
    path: &Path,
    options: &CreateOptions,
    progress: &(dyn Fn(u64, u64) + Sync),
    cancel: &AtomicBool,
) -> Result<Created> {
    // A path that the user names is followed, whatever its owner.
    let root = fs::canonicalize(path).map_err(|e| storage("read", path, e))?;
    let name = match &options.name {
        Some(name) => name.clone(),
        // A link has a name of its own; only `.` and `..` take that of their target.
        None => path
            .file_name()
            .or(root.file_name())
            .map(gather::fit)
            .transpose()
            .map_err(|why| unfit(&root, why))?
            .unwrap_or_default(),
    };
    let meta = fs::metadata(&root).map_err(|e| storage("read", &root, e))?;
    let is_file = meta.is_file();
    let Gathered { mut inputs, left_out, not_listed, .. } = match is_file {
        true => Gathered::of_file(&root),
        false if meta.is_dir() => Gathered::of_folder(&root)?,
        false => return Err(unfit(&root, "it is neither a file nor a folder")),
    };
    let mut total = 0;
    for input in &mut inputs {
        input.length = fs::metadata(&input.path).map_err(|e| storage("read", &input.path, e))?.len();
        input.offset = total;
        total += input.length;
    }
    if total == 0 {
        let what = if root.is_file() { "is empty (0 bytes), so it cannot" } else { "has no file that can" };
        return Err(Error::BadTorrent(format!("{} {what} be shared", crate::error::shown(&root))));
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
    let torrent = Metainfo::from_info(info.into(), options.trackers.clone())?;
    // If a name was changed to be safe, peers with the files would not be recognised as having
    // them.
    for (input, entry) in inputs.iter().zip(&torrent.files) {
        let wanted: PathBuf = std::iter::once(&name).chain(&input.parts).collect();
        if entry.path != wanted {
            return Err(unfit(&input.path, "its name cannot be stored in a torrent; rename it"));
        }
    }
    let bytes = write_torrent(&torrent.info, &torrent.trackers, options.comment.as_deref(), None);
    Ok(Created { torrent, bytes, left_out, left_out_more: not_listed })
}

/// Returns the info dictionary of a public torrent of one file.
pub(crate) fn info_of_file(name: &str, length: u64, piece_bytes: u32, hashes: &[u8]) -> Vec<u8> {
    info_dictionary(name, None, length, piece_bytes, hashes, false)
}

/// Returns the torrent file of a folder with these files: their paths, names and lengths. Blocks.
///
/// # Errors
///
/// Returns [`Error::Storage`] if a file cannot be read, or is shorter.
pub(crate) fn torrent_of(name: &str, files: Vec<(PathBuf, String, u64)>) -> Result<Vec<u8>> {
    let mut total = 0;
    let mut inputs = Vec::with_capacity(files.len());
    for (path, name, length) in files {
        inputs.push(Input { path, parts: vec![name], length, offset: total });
        total += length;
    }
    let piece_bytes = streaming_piece_bytes(total);
    let hashes = hash(&inputs, total, piece_bytes, &|_, _| {}, &AtomicBool::new(false))?;
    let info = info_dictionary(name, Some(&inputs), total, piece_bytes, &hashes, false);
    let torrent = Metainfo::from_info(info.into(), Vec::new())?;
    torrent.to_torrent_bytes().ok_or_else(|| Error::Internal("a torrent was made and is none".to_owned()))
}

fn storage(doing: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Storage { doing, path: path.to_owned(), source }
}

fn unfit(path: &Path, why: impl Into<String>) -> Error {
    storage("share", path, io::Error::new(io::ErrorKind::InvalidInput, why.into()))
}

/// Returns BEP 3's info dictionary, keys in order. `inputs` is `None` for a torrent of one file.
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
    use playswarm_proto::sha1::sha1;
    use std::collections::BTreeSet;
    use std::sync::atomic::AtomicU64;

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

    /// Returns the entries left out, each as a line.
    fn reasons(root: &Path, left_out: &[LeftOut]) -> BTreeSet<String> {
        let root = root.canonicalize().unwrap();
        left_out.iter().map(|l| format!("{}: {}", l.path.strip_prefix(&root).unwrap().display(), l.why)).collect()
    }

    fn names(torrent: &Metainfo) -> Vec<&str> {
        torrent.files.iter().map(|f| f.name.as_str()).collect()
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn links_within_a_folder_are_followed_and_loops_end() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let (root, elsewhere) = (dir.path().join("Show"), dir.path().join("elsewhere"));
        fs::create_dir_all(root.join("a")).unwrap();
        fs::create_dir_all(elsewhere.join("deep")).unwrap();
        fs::write(root.join("own.mkv"), pattern(10, 1)).unwrap();
        fs::write(elsewhere.join("film.mkv"), pattern(20_000, 2)).unwrap();
        fs::write(elsewhere.join("deep/extra.mkv"), pattern(30, 3)).unwrap();
        symlink(elsewhere.join("film.mkv"), root.join("linked.mkv")).unwrap();
        symlink(&elsewhere, root.join("folder")).unwrap();
        symlink("..", root.join("a/back")).unwrap();
        symlink(".", elsewhere.join("self")).unwrap();
        symlink("nowhere", root.join("broken.mkv")).unwrap();
        symlink("circle", root.join("circle")).unwrap();
        let made = create_torrent(&root, CreateOptions::default(), |_, _| {}).await.unwrap();
        assert_eq!(names(&made.torrent), ["folder/deep/extra.mkv", "folder/film.mkv", "linked.mkv", "own.mkv"]);
        let told = reasons(&root, &made.left_out);
        let back = "it is a link to a folder that contains it";
        let nowhere = "it is a broken link";
        for (path, why) in [("a/back", back), ("folder/self", back), ("broken.mkv", nowhere), ("circle", nowhere)] {
            assert!(told.contains(&format!("{path}: {why}")), "{path}: {told:?}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn everything_that_is_left_out_of_a_folder_is_listed_with_the_reason() {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("Show");
        fs::create_dir_all(root.join("empty")).unwrap();
        fs::create_dir_all(root.join("locked")).unwrap();
        fs::write(root.join("film.mkv"), pattern(10, 1)).unwrap();
        fs::write(root.join("tab\there.mkv"), b"x").unwrap();
        fs::write(root.join(std::ffi::OsStr::from_bytes(b"Am\xe9lie.mkv")), b"x").unwrap();
        fs::write(root.join("secret.mkv"), b"x").unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        for closed in ["secret.mkv", "locked"] {
            fs::set_permissions(root.join(closed), fs::Permissions::from_mode(0o000)).unwrap();
        }
        let made = create_torrent(&root, CreateOptions::default(), |_, _| {}).await.unwrap();
        let told = reasons(&root, &made.left_out).into_iter().collect::<Vec<_>>().join("\n");
        for part in [
            "Am\u{fffd}lie.mkv: its name is not UTF-8",
            "empty: it is empty",
            "socket: it is a device, a pipe or a socket",
            "here.mkv: its name has characters",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        // Root can read every file.
        if !rustix::process::geteuid().is_root() {
            assert_eq!(names(&made.torrent), ["film.mkv"]);
            assert!(
                told.contains("secret.mkv: it cannot be read") && told.contains("locked: it cannot be read"),
                "{told}"
            );
        }
    }

    #[tokio::test]
    async fn names_that_another_system_would_not_take_are_shared() {
        if cfg!(windows) {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("Con.Air.1997");
        fs::create_dir(&root).unwrap();
        let given = ["AUX", "Con.Air.1997.mkv", "E.T. ", "E.T.", "What? 10:30.mkv", r"a\b.mkv", "film.MKV", "film.mkv"];
        for (n, name) in given.iter().enumerate() {
            fs::write(root.join(name), pattern(10, n as u8)).unwrap();
        }
        let made = create_torrent(&root, CreateOptions::default(), |_, _| {}).await.unwrap();
        assert!(made.left_out.is_empty(), "{:?}", made.left_out);
        let (shared, wanted): (BTreeSet<&str>, BTreeSet<&str>) =
            (names(&made.torrent).into_iter().collect(), given.into());
        assert_eq!(shared, wanted);
        for file in &made.torrent.files {
            assert!(dir.path().join(&file.path).is_file(), "{:?}", file.path);
        }
    }

    #[tokio::test]
    async fn a_folder_becomes_a_torrent_in_natural_order_without_hidden_files() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("Show");
        fs::create_dir_all(root.join("Extras/.playswarm")).unwrap();
        let files = [("E2.mkv", 100_000), ("E10.mkv", 70_001), ("empty.txt", 0), ("Extras/x.srt", 5)];
        for (n, (name, length)) in files.iter().enumerate() {
            fs::write(root.join(name), pattern(*length, n as u8)).unwrap();
        }
        fs::write(root.join(".hidden"), b"no").unwrap();
        fs::write(root.join("Extras/.playswarm/state"), b"no").unwrap();
        let seen = Arc::new(AtomicU64::new(0));
        let options = CreateOptions {
            piece_bytes: Some(16 << 10),
            trackers: vec!["udp://t.example:1/".into()],
            comment: Some("hello".into()),
            ..Default::default()
        };
        let counted = seen.clone();
        let Created { torrent, bytes, left_out, .. } = create_torrent(&root, options.clone(), move |done, total| {
            assert!(done <= total);
            counted.fetch_max(done, Ordering::Relaxed);
        })
        .await
        .unwrap();
        assert_eq!(seen.load(Ordering::Relaxed), 170_006);
        assert_eq!(
            reasons(&root, &left_out),
            ["Extras/.playswarm: it is hidden", ".hidden: it is hidden"].map(String::from).into()
        );
        let names: Vec<_> = torrent.files.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["E2.mkv", "E10.mkv", "empty.txt", "Extras/x.srt"]);

        // Every hash is that of the concatenated bytes.
        let all: Vec<u8> = torrent.files.iter().flat_map(|f| fs::read(dir.path().join(&f.path)).unwrap()).collect();
        for (n, piece) in all.chunks(16 << 10).enumerate() {
            assert_eq!(torrent.hash_of(n as u32).unwrap(), sha1(piece));
        }
        let read = Metainfo::from_bytes(&bytes).unwrap();
        assert_eq!((read.info_hash, read.trackers), (torrent.info_hash, torrent.trackers.clone()));
        let again = create_torrent(&root, options, |_, _| {}).await.unwrap();
        assert_eq!((again.torrent.info_hash, again.bytes), (torrent.info_hash, bytes));
    }

    #[tokio::test]
    async fn a_single_file_is_named_as_it_is_and_may_be_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("film.mp4");
        fs::write(&path, pattern(300_000, 3)).unwrap();
        let options = CreateOptions { private: true, ..Default::default() };
        let torrent = create_torrent(&path, options, |_, _| {}).await.unwrap().torrent;
        #[cfg(unix)]
        {
            let link = dir.path().join("My film.mp4");
            std::os::unix::fs::symlink(&path, &link).unwrap();
            let linked = create_torrent(&link, CreateOptions::default(), |_, _| {}).await.unwrap().torrent;
            assert_eq!(linked.name, "My film.mp4");
        }
        assert_eq!((torrent.name.as_str(), torrent.files.len(), torrent.private), ("film.mp4", 1, true));
        assert_eq!(torrent.layout.piece_bytes(), 256 << 10);
    }

    #[tokio::test]
    async fn what_cannot_be_shared_is_refused_with_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let refused =
            async |path: &Path, options| create_torrent(path, options, |_, _| {}).await.unwrap_err().to_string();
        assert!(refused(&dir.path().join("nothing"), CreateOptions::default()).await.contains("cannot read"));
        assert!(refused(dir.path(), CreateOptions::default()).await.contains("no file that can be shared"));
        let odd = dir.path().join("line\nbreak.mkv");
        fs::write(&odd, b"x").unwrap();
        assert!(refused(&odd, CreateOptions::default()).await.contains("rename it"));
        fs::write(dir.path().join("CON"), b"x").unwrap();
        for piece in [0, 1000, 8 << 10, 128 << 20] {
            assert!(
                refused(&dir.path().join("CON"), CreateOptions { piece_bytes: Some(piece), ..Default::default() })
                    .await
                    .contains("power of two")
            );
        }
    }
}
