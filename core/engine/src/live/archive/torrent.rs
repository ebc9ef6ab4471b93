//! The torrents of minutes and casts, and their files.

use super::Archive;
use super::spool::Image;
use crate::create::{info_of_file, streaming_piece_bytes};
use crate::error::{Error, Result};
use crate::metainfo::Metainfo;
use crate::session::{Place, Session};
use crate::store::{Store, StoreOptions};
use crate::torrent_handle::TorrentHandle;
use playswarm_logic::Bits;
use playswarm_proto::sha1::sha1;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Most names that are tried for a torrent file.
const MAX_NAMES: usize = 100;

/// Returns the torrent of a minute's file. `None` if some of the file is not here.
///
/// # Errors
///
/// Returns an error if the disk cannot be read.
pub(super) fn of_image(image: &Image, name: &str) -> Result<Option<Metainfo>> {
    let (total, piece_bytes) = (image.length(), streaming_piece_bytes(image.length()));
    let mut hashes = Vec::new();
    for at in (0..total).step_by(piece_bytes as usize) {
        let length = (total - at).min(u64::from(piece_bytes)) as usize;
        let read = image.read(at, length).map_err(|source| Error::Io { doing: "reading the archive", source })?;
        let Some(piece) = read else { return Ok(None) };
        hashes.extend(sha1(&piece));
    }
    let info = info_of_file(name, total, piece_bytes, &hashes);
    Ok(Some(Metainfo::from_info(info.into(), Vec::new())?))
}

/// Writes the pieces that are here into the torrent's file, and returns its path. Each is checked
/// against its hash, and pieces that the folder has already are left as they are.
///
/// # Errors
///
/// [`Error::Storage`] and [`Error::DiskFull`].
pub(super) async fn deposit(archive: &Archive, folder: &Path, torrent: Arc<Metainfo>, image: Image) -> Result<PathBuf> {
    fs::create_dir_all(folder).map_err(|e| cannot("create the folder", folder, e))?;
    let options = StoreOptions::of(&archive.config_in(folder));
    let (store, _) = Store::open(torrent.clone(), options).await?;
    let writing = store.clone();
    let work = move || {
        let (layout, have) = (torrent.layout, writing.told());
        let mut written = Bits::new(layout.pieces());
        for piece in (0..layout.pieces()).filter(|piece| !have.get(*piece)) {
            let index = playswarm_logic::PieceIndex(piece);
            let (start, length) = (layout.start_of(index), layout.bytes_of(index) as usize);
            let read =
                image.read(start, length).map_err(|source| Error::Io { doing: "reading the archive", source })?;
            if let Some(bytes) = read.filter(|bytes| torrent.proof.accepts(piece, bytes)) {
                writing.write_lent(start, &bytes)?;
                written.set(piece, true);
            }
        }
        Ok(written)
    };
    let written = match spawn_blocking(work).await.unwrap_or(Err(Error::Closed)) {
        Ok(written) => store.claim(&written).await,
        Err(e) => Err(e),
    };
    let path = store.path(0);
    written.and(store.close().await)?;
    Ok(path)
}

/// Opens a torrent of the archive in its folder.
///
/// # Errors
///
/// Those of [`Session::open`].
pub(super) async fn open(archive: &Archive, folder: &Path, source: crate::Source) -> Result<TorrentHandle> {
    let session = Session::of(archive.session.upgrade().ok_or(Error::Closed)?);
    session.open_in(source, Place { config: archive.config_in(folder), rates: archive.rates.clone() }).await
}

/// Writes a torrent file beside the folder of a cast. Existing files are not changed.
///
/// # Errors
///
/// [`Error::Storage`].
pub(super) fn write_new(dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    for n in 1..=MAX_NAMES {
        let path = dir.join(if n == 1 { format!("{name}.torrent") } else { format!("{name} ({n}).torrent") });
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => return file.write_all(bytes).map_err(|e| cannot("write", &path, e)),
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(cannot("create", &path, e)),
            Err(_) if fs::read(&path).is_ok_and(|there| there == bytes) => return Ok(()),
            Err(_) => {}
        }
    }
    let why = std::io::Error::other("too many files have this name; move them away");
    Err(cannot("create", &dir.join(name), why))
}

fn cannot(doing: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Storage { doing, path: path.to_owned(), source }
}
