//! Saves the torrent itself beside the record, as an ordinary torrent file. A magnet link that is
//! opened again then needs no peer. For a file that hashes name, its tiger tree is saved. Other parts
//! of the session save what they know in the same folder.

use super::folder::{Access, Folder};
use super::record::STATE_DIR;
use crate::metainfo::{InfoHash, Metainfo};
use playswarm_proto::tiger_tree::{Level, MAX_THEX_BYTES};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Most bytes that are read of a saved torrent: more than a checked torrent of 100,000 files has.
const SAVED_LIMIT_BYTES: u64 = 64 << 20;

/// Returns the torrent file that was saved for this info-hash when it was last open in `dir`. The
/// caller checks it like any other.
pub(crate) fn load_saved_metainfo(dir: &Path, info_hash: &InfoHash) -> Option<Vec<u8>> {
    load_state(dir, &format!("{info_hash}.torrent"), SAVED_LIMIT_BYTES)
}

/// Returns the content of a file in the state folder, if it has at most `limit` bytes.
pub(crate) fn load_state(dir: &Path, name: &str, limit: u64) -> Option<Vec<u8>> {
    if dir.as_os_str().is_empty() || !dir.join(STATE_DIR).is_dir() {
        return None;
    }
    let state_dir = Folder::open(dir).ok()?.below(Path::new(STATE_DIR), false).ok()?;
    let file = state_dir.file(Path::new(name), Access::Read).ok()?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).ok()?;
    (!bytes.is_empty() && bytes.len() as u64 <= limit).then_some(bytes)
}

/// Writes a file of the state folder, which is created where it is missing. A failure is only
/// logged, as the file is a convenience; `what` names it there.
pub(crate) fn save_state(dir: &Path, name: &str, bytes: &[u8], what: &str) {
    match Folder::open(dir).and_then(|folder| folder.below(Path::new(STATE_DIR), true)) {
        Ok(state_dir) => replace(&state_dir, name, bytes, what),
        Err(e) => tracing::warn!(error = %e, "{what} cannot be saved in {}", dir.join(STATE_DIR).display()),
    }
}

/// Returns the tree that was saved for a file that hashes name. A damaged one counts as missing.
pub(crate) fn load_saved_tree(dir: &Path, id: &InfoHash) -> Option<Level> {
    Level::from_saved(&load_state(dir, &tree_name(id), 2 * MAX_THEX_BYTES as u64)?.into())
}

/// Saves the tree of a file that hashes name. The file's last slice, or the whole file, proves it.
pub(super) fn save_tree(state_dir: &Folder, id: &InfoHash, tree: &Level) {
    replace(state_dir, &tree_name(id), &tree.to_saved(), "the tree of a file");
}

fn tree_name(id: &InfoHash) -> String {
    format!("{id}.tree")
}

/// Saves the torrent, so that its magnet link needs no peer the next time. A saved torrent with
/// trackers is not replaced by one without. This is a convenience, so a failure is only logged.
pub(super) fn save_metainfo(state_dir: &Folder, torrent: &Metainfo) {
    // A file that hashes name has only a tree, which is saved once bytes prove it.
    let Some(bytes) = torrent.to_torrent_bytes() else { return };
    let name = format!("{}.torrent", torrent.info_hash);
    if let Ok(there) = state_dir.file(Path::new(&name), Access::Read) {
        let length = there.metadata().map_or(0, |m| m.len());
        let mut same = vec![0; bytes.len()];
        let unchanged = length == bytes.len() as u64 && there.read_exact_at(&mut same, 0).is_ok() && same == bytes;
        if unchanged || (torrent.trackers.is_empty() && length > bytes.len() as u64) {
            return;
        }
    }
    replace(state_dir, &name, &bytes, "the torrent");
}

/// Writes a file of the state folder.
fn replace(state_dir: &Folder, name: &str, bytes: &[u8], what: &str) {
    // Written under another name first: a kill must not leave half of it under its name.
    let beside = format!("{name}.new");
    let write = || {
        let file = state_dir.file(Path::new(&beside), Access::State)?;
        file.set_len(0)?;
        file.write_all_at(bytes, 0)?;
        state_dir.rename(&beside, name)
    };
    if let Err(e) = write() {
        tracing::warn!(error = %e, "{what} cannot be saved as {}", state_dir.full(Path::new(name)).display());
    }
}
