//! Two background sessions on loopback that hand torrents over, to each other and back.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::create::{CreateOptions, create_torrent};
use crate::network::Network;
use crate::store::StoreOptions;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

fn is_complete(kept: &Kept) -> bool {
    let status = kept.status();
    status.verified_bytes == status.total_bytes
}

fn pattern(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

/// Returns a folder with a complete torrent of two files.
async fn seeded() -> (TempDir, Metainfo) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("Show/sub")).unwrap();
    fs::write(dir.path().join("Show/a.mkv"), pattern(900_000, 1)).unwrap();
    fs::write(dir.path().join("Show/sub/b.mkv"), pattern(700_001, 2)).unwrap();
    let options = CreateOptions { piece_bytes: Some(64 << 10), ..CreateOptions::default() };
    let torrent = create_torrent(dir.path().join("Show"), options, |_, _| {}).await.unwrap().torrent;
    (dir, torrent)
}
/// Opens the torrent's store in a folder.
async fn store(dir: &Path, torrent: &Metainfo) -> Arc<Store> {
    let options = StoreOptions::of(&Config::offline(dir));
    Store::open(Arc::new(torrent.clone()), options).await.unwrap().0
}

fn background(dir: &Path) -> Background {
    Background::new(&Config::offline(dir), None, None)
}
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verified_pieces_are_known_after_the_hand_over_and_come_back_unchanged() {
    let (dir, torrent) = seeded().await;
    // Piece 3 is wrong, and the second file ends early, as a sparse one may.
    let path = dir.path().join("Show/a.mkv");
    let mut bytes = fs::read(&path).unwrap();
    bytes[3 * 65536 + 5] ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::OpenOptions::new().write(true).open(dir.path().join("Show/sub/b.mkv")).unwrap().set_len(400_000).unwrap();

    let background = background(dir.path());
    let kept = background.hand_over(&store(dir.path(), &torrent).await, Vec::new()).await.unwrap();
    kept.checked().await.unwrap();
    let expected: Vec<u32> = (0..torrent.layout.pieces()).filter(|p| *p != 3 && (p + 1) * 65536 <= 1_300_000).collect();
    assert_eq!(kept.bits().unwrap().iter_ones().collect::<Vec<_>>(), expected);
    assert!(!is_complete(&kept));
    assert!(background.has(torrent.info_hash).await);
    assert!(
        background.hand_over(&store(dir.path(), &torrent).await, Vec::new()).await.is_err(),
        "the session has it already"
    );

    let bits = background.take_back(kept).await.unwrap().unwrap();
    assert_eq!(bits.iter_ones().collect::<Vec<_>>(), expected);
    assert!(!background.has(torrent.info_hash).await);
    assert!(path.exists(), "the files stay");
    // The same again.
    let kept = background.hand_over(&store(dir.path(), &torrent).await, Vec::new()).await.unwrap();
    kept.checked().await.unwrap();
    assert_eq!(kept.bits().unwrap().count(), expected.len() as u32);
    background.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_is_completed_from_a_peer_and_taken_back_whole() {
    let (full, torrent) = seeded().await;
    let seeder = background(full.path());
    let seeding = seeder.hand_over(&store(full.path(), &torrent).await, Vec::new()).await.unwrap();
    seeding.checked().await.unwrap();
    assert!(is_complete(&seeding));
    let port = seeder.listen_addr().await.unwrap().port();

    let empty = tempfile::tempdir().unwrap();
    // The first piece is stored already and is not fetched again.
    fs::create_dir_all(empty.path().join("Show")).unwrap();
    fs::write(empty.path().join("Show/a.mkv"), &pattern(900_000, 1)[..65536]).unwrap();
    let leecher = background(empty.path());
    let kept = leecher
        .hand_over(&store(empty.path(), &torrent).await, vec![SocketAddr::from(([127, 0, 0, 1], port))])
        .await
        .unwrap();
    until("the torrent is complete", || is_complete(&kept)).await;
    assert_eq!(kept.status().downloaded_bytes, 1_600_001 - 65536);
    assert_eq!(kept.status().verified_bytes, 1_600_001);
    let bits = leecher.take_back(kept).await.unwrap().unwrap();
    assert!(bits.is_full());
    // Beside the file that was there, which is unchanged.
    assert_eq!(fs::metadata(empty.path().join("Show/a.mkv")).unwrap().len(), 65536);
    let ours = empty.path().join(format!("Show [{}]", &torrent.info_hash.to_string()[..8]));
    let (theirs, ours) = (full.path().join("Show"), ours);
    assert!(fs::read(theirs.join("a.mkv")).unwrap()[65536..] == fs::read(ours.join("a.mkv")).unwrap()[65536..]);
    assert!(fs::read(theirs.join("sub/b.mkv")).unwrap() == fs::read(ours.join("sub/b.mkv")).unwrap());
    leecher.close().await;
    seeder.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_other_systems_refuse_are_found_and_pad_files_stay_unwritten() {
    use librqbit::storage::TorrentStorage;
    let dir = tempfile::tempdir().unwrap();
    let data = pattern(20_000, 3);
    let mut padded = data.clone();
    padded.resize(32768, 0);
    padded.extend_from_slice(&data);
    let hashes: Vec<u8> = padded.chunks(16384).flat_map(playswarm_proto::sha1::sha1).collect();
    let mut info = b"d5:filesld6:lengthi20000e4:pathl3:CONeed4:attr1:p6:lengthi12768e4:pathl4:.pad5:12768eed6:lengthi20000e4:pathl5:a.txteee4:name2:x 12:piece lengthi16384e6:pieces".to_vec();
    info.extend_from_slice(format!("{}:", hashes.len()).as_bytes());
    info.extend_from_slice(&hashes);
    info.push(b'e');
    let torrent = Metainfo::from_info(info.into(), Vec::new()).unwrap();
    assert_eq!(torrent.files[0].path, Path::new("x /CON"));
    for file in torrent.files.iter().filter(|f| !f.padding) {
        fs::create_dir_all(dir.path().join(&file.path).parent().unwrap()).unwrap();
        fs::write(dir.path().join(&file.path), &data).unwrap();
    }
    let background = background(dir.path());
    let store = store(dir.path(), &torrent).await;
    let kept = background.hand_over(&store, Vec::new()).await.unwrap();
    kept.checked().await.unwrap();
    assert!(kept.bits().unwrap().is_full());
    // librqbit 9.1 reads and writes no padding itself. If it did, a pad file would still read as
    // zeros, and zeros would not create it.
    let files = Files::new(store);
    let mut buffer = [1; 4];
    files.pread_exact(1, 0, &mut buffer).unwrap();
    assert_eq!(buffer, [0; 4]);
    files.pwrite_all(1, 0, &[0; 12_768]).unwrap();
    assert!(!dir.path().join(&torrent.files[1].path).exists());
    let top: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(top.len(), 1, "nothing but the torrent's own folder: {top:?}");
    background.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torrent_that_is_taken_back_at_once_is_as_it_was() {
    let (dir, torrent) = seeded().await;
    let background = background(dir.path());
    for _ in 0..5 {
        let kept = background.hand_over(&store(dir.path(), &torrent).await, Vec::new()).await.unwrap();
        // No piece is known yet, or all are; never a part.
        if let Some(bits) = background.take_back(kept).await.unwrap() {
            assert!(bits.is_full(), "{} of {}", bits.count(), bits.len());
        }
        assert_eq!(fs::read(dir.path().join("Show/a.mkv")).unwrap(), pattern(900_000, 1));
    }
    background.close().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_symbolic_link_in_the_way_is_not_followed() {
    let (dir, torrent) = seeded().await;
    let elsewhere = tempfile::tempdir().unwrap();
    fs::rename(dir.path().join("Show/sub"), elsewhere.path().join("sub")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("sub"), dir.path().join("Show/sub")).unwrap();
    let before = fs::read(elsewhere.path().join("sub/b.mkv")).unwrap();
    let background = background(dir.path());
    let kept = background.hand_over(&store(dir.path(), &torrent).await, Vec::new()).await.unwrap();
    let _ = timeout(Duration::from_secs(10), kept.checked()).await.unwrap();
    assert!(!is_complete(&kept));
    assert_eq!(fs::read(elsewhere.path().join("sub/b.mkv")).unwrap(), before);
    background.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_or_written_once_the_files_are_closed() {
    use librqbit::storage::TorrentStorage;
    let (dir, torrent) = seeded().await;
    let files = Files::new(store(dir.path(), &torrent).await);
    let theirs = files.take().unwrap();
    let mut buffer = [0; 4];
    theirs.pread_exact(0, 0, &mut buffer).unwrap();
    assert_eq!(buffer, pattern(4, 1)[..]);
    theirs.pwrite_all(1, 0, b"new").unwrap();
    assert_ne!(fs::read(dir.path().join("Show/sub/b.mkv")).unwrap()[..3], b"new"[..], "not ours");
    assert!(theirs.pwrite_all(1, 700_000, b"ab").is_err(), "beyond the end");
    files.close();
    assert!(theirs.pread_exact(0, 0, &mut buffer).is_err());
    assert!(theirs.pwrite_all(0, 0, b"no").is_err());
    assert!(theirs.ensure_file_length(0, 1).is_err());
    assert_eq!(fs::metadata(dir.path().join("Show/a.mkv")).unwrap().len(), 900_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_our_discovery_finds_later_reach_the_background() {
    let (full, torrent) = seeded().await;
    let net = tokio::task::spawn_blocking(|| mainline::Testnet::builder(5).build().unwrap()).await.unwrap();
    let start = |dir: &Path| {
        let config = Config { dht: true, dht_bootstrap: net.bootstrap.clone(), ..Config::offline(dir) };
        let shared = Shared::start(&config, SocketAddr::from(([127, 0, 0, 1], 9)), Network::open()).unwrap();
        Background::new(&config, Some(shared), None)
    };
    let empty = tempfile::tempdir().unwrap();
    // Neither is given the other's address: one announces itself on the DHT, and the other finds it
    // there.
    let (seeder, leecher) = (start(full.path()), start(empty.path()));
    let _seeding = seeder.hand_over(&store(full.path(), &torrent).await, Vec::new()).await.unwrap();
    let kept = leecher.hand_over(&store(empty.path(), &torrent).await, Vec::new()).await.unwrap();
    let end = Instant::now() + Duration::from_secs(90);
    while !is_complete(&kept) {
        assert!(Instant::now() < end, "{:?}", kept.status());
        sleep(Duration::from_millis(100)).await;
    }
    leecher.close().await;
    seeder.close().await;
}
