//! Situations that the store must survive, each with a generated torrent in a folder of its own.
#![allow(clippy::unwrap_used)]

mod bounds;
mod disk;
mod files;
mod give;
mod kill;
mod round_trip;
mod speed;
mod syncing;
mod trust;
mod whole;

use super::record::STATE_DIR;
use super::*;
use crate::metainfo::FileEntry;
use playswarm_logic::torrent::Ticket;
use playswarm_logic::{BLOCK_BYTES, BlockRef};
use playswarm_proto::sha1::sha1;
use playswarm_tests::requirement;
use std::path::Path;
use std::time::Duration;

/// Returns the permission to store a block for the first attempt at its piece.
fn first(block: BlockRef) -> Ticket {
    Ticket { block, generation: 0 }
}

/// A generated torrent and its bytes.
struct Made {
    torrent: Arc<Metainfo>,
    data: Vec<u8>,
}

/// A file of a generated torrent: path and length. A path that begins with `.pad/` is a pad file.
type Spec<'a> = (&'a str, usize);

fn made(files: &[Spec<'_>], piece_bytes: u32) -> Made {
    let mut data = Vec::new();
    let mut entries = Vec::new();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    for (path, length) in files {
        let padding = path.starts_with(".pad/");
        let (offset, end) = (data.len() as u64, data.len() + length);
        if padding {
            data.resize(end, 0);
        }
        while data.len() < end {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let left = (end - data.len()).min(8);
            data.extend_from_slice(&seed.to_be_bytes()[..left]);
        }
        let mut entry = FileEntry::default();
        (entry.path, entry.name, entry.padding) = (PathBuf::from(path), (*path).to_owned(), padding);
        (entry.offset, entry.length) = (offset, *length as u64);
        entries.push(entry);
    }
    let hashes: Vec<u8> = data.chunks(piece_bytes as usize).flat_map(sha1).collect();
    let total = data.len();
    let head = format!("d6:lengthi{total}e4:name1:x12:piece lengthi{piece_bytes}e6:pieces{}:", hashes.len());
    let info = [head.as_bytes(), &hashes, b"e"].concat();
    let trackers = vec!["http://one/announce".to_owned(), "udp://two:1".to_owned()];
    let mut torrent = Metainfo::from_info(info.into(), trackers).unwrap();
    torrent.files = entries;
    Made { torrent: Arc::new(torrent), data }
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn options(dir: &Path) -> StoreOptions {
    StoreOptions { dir: dir.to_owned(), memory_limit_bytes: 64 << 20, disk_limit_bytes: 0, read_only: false }
}

type Opened = (Arc<Store>, mpsc::UnboundedReceiver<StoreEvent>);

impl Made {
    async fn open(&self, dir: &Path) -> Opened {
        self.open_with(options(dir)).await
    }

    async fn open_with(&self, options: StoreOptions) -> Opened {
        Store::open(self.torrent.clone(), options).await.unwrap()
    }

    fn pieces(&self) -> u32 {
        self.torrent.layout.pieces()
    }

    fn piece(&self, piece: u32) -> &[u8] {
        let start = self.torrent.layout.start_of(PieceIndex(piece)) as usize;
        &self.data[start..start + self.torrent.layout.bytes_of(PieceIndex(piece)) as usize]
    }

    /// Stores every block of a piece, each from the peer that `giver` returns for it. The blocks in
    /// `spoil` are wrong.
    fn put(&self, store: &Store, piece: u32, giver: impl Fn(u32) -> u32, spoil: &[u32]) -> Put {
        let mut last = Put::Ignored;
        for (n, block) in self.piece(piece).chunks(BLOCK_BYTES as usize).enumerate() {
            let n = n as u32;
            let mut block = block.to_vec();
            if spoil.contains(&n) {
                block[0] ^= 1;
            }
            last = store.put_block(first(BlockRef { piece: PieceIndex(piece), block: n }), &block, giver(n));
        }
        last
    }

    async fn fetch(&self, store: &Arc<Store>, piece: u32) {
        // The disk of a busy machine may be behind.
        while store.room_for_pieces() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(self.put(store, piece, |_| 1, &[]), Put::Complete, "piece {piece}");
        assert_eq!(store.verify(PieceIndex(piece)).await, Verdict::Verified { liars: vec![] }, "piece {piece}");
    }

    /// Fetches the whole torrent and waits until it is on disk.
    async fn fetch_all(&self, store: &Arc<Store>) {
        for piece in 0..self.pieces() {
            self.fetch(store, piece).await;
        }
        store.sync_all().await.unwrap();
    }

    /// Reads and compares each piece.
    async fn check_all(&self, store: &Arc<Store>) {
        for piece in 0..self.pieces() {
            let read = store.piece(PieceIndex(piece)).await.unwrap();
            assert!(read.as_deref() == Some(self.piece(piece)), "piece {piece}");
        }
    }
}

fn reader(at: u32, near: u32, pieces: u32) -> Reader {
    Reader { first: PieceIndex(0), at: PieceIndex(at), near, end: PieceIndex(pieces) }
}

/// Returns the next event, within ten seconds.
async fn next(events: &mut mpsc::UnboundedReceiver<StoreEvent>) -> StoreEvent {
    tokio::time::timeout(Duration::from_secs(10), events.recv()).await.unwrap().unwrap()
}

/// A file system mounted on a temporary folder, unmounted when dropped.
struct Mounted {
    place: tempfile::TempDir,
    options: Vec<String>,
    image: Option<PathBuf>,
}

impl Mounted {
    /// Mounts a file system in a file of `mib` MiB, made by the program `maker`. `None` where this
    /// user or machine cannot do it.
    fn image(kind: &str, maker: &str, mib: u64) -> Option<Mounted> {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().with_extension("img");
        std::fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
        let made = std::process::Command::new(maker).arg(&image).output();
        let mounted = Mounted {
            place: dir,
            options: vec!["-t".into(), kind.into(), "-o".into(), "loop".into()],
            image: Some(image),
        };
        let able = made.is_ok_and(|made| made.status.success()) || requirement::missing(&format!("{maker} fails"));
        (able && mounted.mount()).then_some(mounted)
    }

    /// Mounts a file system. `None` where this user or machine cannot do it.
    fn new(kind: &str, options: &str) -> Option<Mounted> {
        let options = ["-t", kind, "-o", options, "none"].map(str::to_owned).to_vec();
        let mounted = Mounted { place: tempfile::tempdir().unwrap(), options, image: None };
        mounted.mount().then_some(mounted)
    }

    /// Unmounts and mounts the image again.
    fn again(&self) {
        let done = std::process::Command::new("umount").arg(self.path()).status();
        assert!(done.unwrap().success() && self.mount());
    }

    fn mount(&self) -> bool {
        let mut mount = std::process::Command::new("mount");
        let done = mount.args(&self.options).args(&self.image).arg(self.path()).output().unwrap();
        let text = || format!("cannot mount {:?}: {}", self.options, String::from_utf8_lossy(&done.stderr).trim());
        done.status.success() || requirement::missing(&text())
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    /// Changes the size of a tmpfs.
    fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        let done = std::process::Command::new("mount").args(["-o", &options]).arg(self.place.path()).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.place.path()).status();
        if let Some(image) = &self.image {
            let _ = std::fs::remove_file(image);
        }
    }
}
