//! Real clients as peers: libtorrent (used by qBittorrent and Deluge), Transmission, rTorrent,
//! aria2 and rqbit's engine. `servent` is a Gnutella servent of ours. Each runs as a separate
//! process with its own address, because many clients accept one connection per address. Each
//! returns a [`RealPeer`], so a test of one works for all.

pub mod aria2;
pub mod dht_net;
pub mod libtorrent;
pub mod rqbit;
pub mod rtorrent;
pub mod servent;
pub mod transmission;

use crate::content::mix;
use crate::process::Process;
use crate::torrent::TestTorrent;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A running client with one torrent.
pub struct RealPeer {
    /// Its process.
    pub process: Process,
    /// Its listening address for peers.
    pub addr: SocketAddr,
    /// The folder of its files.
    pub dir: PathBuf,
    _folders: Vec<tempfile::TempDir>,
}

impl RealPeer {
    /// Waits until the file is complete and correct.
    #[track_caller]
    pub fn wait_complete(&self, torrent: &TestTorrent, limit: Duration) {
        crate::wait_for("the client's download", limit, || self.has_all(torrent).then_some(()));
    }

    /// Whether every file of the torrent is complete and correct.
    pub fn has_all(&self, torrent: &TestTorrent) -> bool {
        torrent.files.iter().all(|(path, content)| content.is_at(&self.dir.join(path)))
    }
}

/// Returns a loopback address that nothing else on this machine uses: 127.A.B.N with A and B from
/// the process id.
pub fn fresh_ip() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let pid = mix(u64::from(std::process::id()));
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    // Outside 127.0.*, which other programs use.
    Ipv4Addr::new(127, 16 + (pid % 200) as u8, (pid >> 8) as u8 ^ (n / 250) as u8, 2 + (n % 250) as u8)
}

/// Copies a torrent's content to a fresh folder, so that a client may write to it without side
/// effects.
fn copy_of(torrent: &TestTorrent) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, _) in &torrent.files {
        let to = folder.path().join(path);
        std::fs::create_dir_all(to.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::copy(torrent.data().join(path), to).unwrap();
    }
    folder
}
