//! Disks that are full, refuse writes, or are shared.

use super::*;
use std::os::unix::fs::MetadataExt;

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named_when_opening() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 32 * KIB)], 32 * KIB as u32);
    std::fs::write(dir.path().join("file"), b"").unwrap();
    for bad in ["file", "file/below"] {
        let bad = dir.path().join(bad);
        let e = Store::open(made.torrent.clone(), options(&bad)).await.err().unwrap();
        assert!(matches!(&e, Error::Storage { path, .. } if *path == bad), "{e}");
    }
    std::fs::write(dir.path().join(STATE_DIR), b"").unwrap();
    let e = Store::open(made.torrent.clone(), options(dir.path())).await.err().unwrap();
    assert!(matches!(&e, Error::Storage { .. }), "{e}");
}

#[tokio::test]
async fn a_second_playswarm_on_the_same_torrent_and_folder_has_files_of_its_own_and_uses_those_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let one = made(&[("f.mkv", 96 * KIB)], 32 * KIB as u32);
    let (first, _events) = one.open(dir.path()).await;
    one.fetch(&first, 0).await;
    first.sync_all().await.unwrap();
    let (second, mut events) = one.open(dir.path()).await;
    assert_eq!(second.piece(PieceIndex(0)).await.unwrap().as_deref(), Some(one.piece(0)), "read where it is");
    for piece in 1..3 {
        assert_eq!(second.piece(PieceIndex(piece)).await.unwrap(), None, "a hole");
        one.fetch(&second, piece).await;
        second.sync_all().await.unwrap();
    }
    assert!(matches!(next(&mut events).await, StoreEvent::Proven(PieceIndex(0))));
    let other = format!("f [{}].mkv", &one.torrent.info_hash.to_string()[..8]);
    assert_eq!(std::fs::read(dir.path().join(&other)).unwrap()[32 * KIB..], one.data[32 * KIB..]);
    one.fetch(&first, 1).await;
    first.close().await.unwrap();
    second.close().await.unwrap();
    drop((first, second));
    // Each record is found again: the first free one is used.
    let (again, _events) = one.open(dir.path()).await;
    assert_eq!(again.told().iter_ones().collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn a_full_disk_keeps_pieces_in_memory_until_there_is_room() {
    let Some(small) = Mounted::new("tmpfs", "size=4m") else { return };
    let made = made(&[("f", 6 * MIB)], 256 * KIB as u32);
    std::fs::write(small.path().join("ballast"), vec![1; 2 * MIB]).unwrap();
    let (store, mut events) = made.open(small.path()).await;
    for piece in 0..12 {
        made.fetch(&store, piece).await;
    }
    assert!(matches!(next(&mut events).await, StoreEvent::DiskFull));
    assert!(matches!(store.sync_all().await, Err(Error::DiskFull { .. })));
    for piece in 0..12 {
        assert_eq!(store.try_piece(PieceIndex(piece)).unwrap(), made.piece(piece), "still served");
    }
    std::fs::remove_file(small.path().join("ballast")).unwrap();
    assert!(matches!(next(&mut events).await, StoreEvent::DiskOk));
    store.sync_all().await.unwrap();
    assert!(events.try_recv().is_err(), "each change is reported once");
    drop(store);
    let (store, _events) = made.open(small.path()).await;
    assert_eq!(store.have().count(), 12);
    for piece in 0..12 {
        assert_eq!(store.piece(PieceIndex(piece)).await.unwrap().as_deref(), Some(made.piece(piece)));
    }
}

#[tokio::test]
async fn on_a_full_disk_a_film_is_read_from_memory_to_its_end_within_the_bound() {
    let Some(small) = Mounted::new("tmpfs", "size=1m") else { return };
    let (memory, piece_bytes) = (8 << 20, 256 * KIB);
    let made = made(&[("f", 24 * MIB)], piece_bytes as u32);
    let bounded = StoreOptions { memory_limit_bytes: memory, ..options(small.path()) };
    let (store, mut events) = made.open_with(bounded).await;
    for piece in 0..made.pieces() {
        store.set_readers([reader(piece, 8, made.pieces())]);
        let fetched = tokio::time::timeout(Duration::from_secs(10), made.fetch(&store, piece)).await;
        assert!(fetched.is_ok(), "the swarm is held back for ever at piece {piece}");
        assert_eq!(store.try_piece(PieceIndex(piece)).unwrap(), made.piece(piece), "it is served");
        assert!(store.memory_bytes() <= memory + 2 * piece_bytes as u64, "{}", store.memory_bytes());
    }
    let (mut full, mut given_back) = (0, 0);
    while let Ok(event) = events.try_recv() {
        match event {
            StoreEvent::DiskFull => full += 1,
            StoreEvent::GivenBack(piece) => {
                assert!(piece.0 + 8 < made.pieces() && !store.has(piece), "what is read next stays");
                given_back += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(full == 1 && given_back > 60, "reported {full} times, {given_back} pieces evicted");
    // The pieces left in memory are written once there is room.
    small.resize("64m");
    assert!(matches!(next(&mut events).await, StoreEvent::DiskOk));
    store.sync_all().await.unwrap();
}

#[tokio::test]
async fn closing_on_a_full_disk_says_so_and_keeps_what_was_written() {
    let Some(small) = Mounted::new("tmpfs", "size=1m") else { return };
    let made = made(&[("f", 2 * MIB)], 256 * KIB as u32);
    let (store, _events) = made.open(small.path()).await;
    for piece in 0..8 {
        made.fetch(&store, piece).await;
    }
    assert!(matches!(store.close().await, Err(Error::DiskFull { .. })));
    let (store, mut events) = made.open(small.path()).await;
    let here = store.have();
    assert!((1..8).contains(&here.count()), "{}", here.count());
    for piece in here.iter_ones() {
        assert_eq!(store.piece(PieceIndex(piece)).await.unwrap().as_deref(), Some(made.piece(piece)));
    }
    assert!(events.try_recv().is_err());
}

#[tokio::test]
async fn a_file_that_cannot_be_written_does_not_hold_up_the_others_and_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("sub/f", 32 * KIB), ("g", 64 * KIB)], 32 * KIB as u32);
    // Something other than a folder has the name of the file's folder.
    std::fs::write(dir.path().join("sub"), "mine").unwrap();
    let (store, mut events) = made.open(dir.path()).await;
    for piece in 0..3 {
        made.fetch(&store, piece).await;
    }
    let StoreEvent::WriteFailed(e) = next(&mut events).await else { panic!("no failure") };
    assert!(matches!(&e, Error::Storage { path, .. } if path.ends_with("sub/f")), "{e}");
    assert!(store.sync_all().await.is_err());
    assert_eq!(std::fs::read(dir.path().join("g")).unwrap(), made.data[32 * KIB..]);
    std::fs::remove_file(dir.path().join("sub")).unwrap();
    assert!(matches!(next(&mut events).await, StoreEvent::DiskOk));
    assert_eq!(std::fs::read(dir.path().join("sub/f")).unwrap(), made.data[..32 * KIB]);
}

/// Returns the bytes that the file occupies on disk.
fn allocated(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().blocks() * 512
}

/// Returns whether the file system makes holes. The oldest kernels and some file systems do not,
/// and then there is nothing to test.
fn has_holes(dir: &Path) -> bool {
    let probe = dir.join("probe");
    std::fs::write(&probe, vec![1; 64 * KIB]).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&probe).unwrap();
    use rustix::fs::FallocateFlags as Flags;
    let punched = rustix::fs::fallocate(&file, Flags::PUNCH_HOLE | Flags::KEEP_SIZE, 0, 64 * KIB as u64).is_ok();
    punched || requirement::missing(&format!("{} has no holes", dir.display()))
}

#[tokio::test]
async fn watched_pieces_are_given_back_when_the_bound_on_disk_use_is_reached() {
    let dir = tempfile::tempdir().unwrap();
    if !has_holes(dir.path()) {
        return;
    }
    // Pieces straddle the files, and neither file begins at a block of the disk.
    let made = made(&[("a", 3 * MIB + 1000), ("b", 5 * MIB + 77)], 128 * KIB as u32);
    let limit = 2 << 20;
    let (store, mut events) = made.open_with(StoreOptions { disk_limit_bytes: limit, ..options(dir.path()) }).await;
    for piece in 0..made.pieces() {
        store.set_readers([reader(piece, 4, made.pieces())]);
        made.fetch(&store, piece).await;
        store.sync_all().await.unwrap();
        assert!(store.disk_bytes() <= limit);
        assert!(store.disk_room_bytes() > 0);
    }
    let kept: u64 = ["a", "b"].map(|f| allocated(&dir.path().join(f))).iter().sum();
    // A few blocks for the edges of the kept pieces and the file system's own lists; none per
    // evicted piece.
    assert!(kept <= store.disk_bytes() + 24 * 1024, "{kept} for {}", store.disk_bytes());
    // The remaining pieces are the last ones, and correct; the evicted ones were reported.
    let here: Vec<u32> = store.have().iter_ones().collect();
    assert!(here.len() >= 12 && here.windows(2).all(|w| w[0] + 1 == w[1]), "{here:?}");
    let mut given_back = Vec::new();
    while let Ok(StoreEvent::GivenBack(piece)) = events.try_recv() {
        given_back.push(piece.0);
    }
    assert_eq!(given_back, (0..here[0]).collect::<Vec<_>>());
    assert_eq!(store.try_piece(PieceIndex(0)), None);
    drop(store);
    let (store, mut events) = made.open(dir.path()).await;
    assert_eq!(store.have().iter_ones().collect::<Vec<_>>(), here);
    for piece in here {
        assert_eq!(store.piece(PieceIndex(piece)).await.unwrap().as_deref(), Some(made.piece(piece)));
    }
    assert!(events.try_recv().is_err());
}

#[tokio::test]
async fn what_a_reader_reads_next_stays_and_a_piece_given_back_can_be_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    if !has_holes(dir.path()) {
        return;
    }
    let made = made(&[("f", 8 * MIB)], 128 * KIB as u32);
    let (store, _events) = made.open_with(StoreOptions { disk_limit_bytes: 2 << 20, ..options(dir.path()) }).await;
    store.set_readers([reader(2, 8, 64)]);
    // Far beyond the limit, the pieces farthest ahead are evicted.
    for piece in 0..40 {
        made.fetch(&store, piece).await;
        store.sync_all().await.unwrap();
    }
    let here = store.have();
    assert!((2..10).all(|near| here.get(near)), "{:?}", here.iter_ones().collect::<Vec<_>>());
    assert!(!here.get(0) && !here.get(38));
    assert!(store.disk_room_bytes() < 256 << 10);
    made.fetch(&store, 0).await;
    store.sync_all().await.unwrap();
    assert_eq!(store.piece(PieceIndex(0)).await.unwrap().as_deref(), Some(made.piece(0)));
}

#[tokio::test]
async fn where_holes_cannot_be_punched_nothing_is_given_up_and_it_is_said_once() {
    let Some(without_holes) = Mounted::new("ramfs", "mode=700") else { return };
    let made = made(&[("f", 4 * MIB)], 128 * KIB as u32);
    let bounded = StoreOptions { disk_limit_bytes: 1 << 20, ..options(without_holes.path()) };
    let (store, mut events) = made.open_with(bounded).await;
    made.fetch_all(&store).await;
    assert!(matches!(next(&mut events).await, StoreEvent::DiskLimitUnsupported));
    assert!(events.try_recv().is_err());
    assert_eq!(store.disk_room_bytes(), u64::MAX);
    drop(store);
    let (store, _events) = made.open(without_holes.path()).await;
    assert!(store.have().is_full());
    made.check_all(&store).await;
}

#[tokio::test]
async fn on_a_file_system_without_sparse_files_a_seek_blocks_no_writes_and_later_pieces_wait_in_memory() {
    let Some(stick) = Mounted::image("exfat-fuse", "mkfs.exfat", 80) else { return };
    let made = made(&[("f", 40 * MIB)], 256 * KIB as u32);
    let (store, mut events) = made.open(stick.path()).await;
    let last = made.pieces() - 1;
    // The film's index at its end, which every player reads first.
    made.fetch(&store, last).await;
    let StoreEvent::WriteFailed(e) = next(&mut events).await else { panic!("no failure") };
    assert!(e.to_string().contains("no sparse files"), "{e}");
    assert_eq!(store.try_piece(PieceIndex(last)).unwrap(), made.piece(last), "it is served from memory");
    for piece in 0..20 {
        made.fetch(&store, piece).await;
    }
    let file = stick.path().join("f");
    let begun = std::time::Instant::now();
    while file.metadata().unwrap().len() < 5 * MIB as u64 && begun.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let length = file.metadata().unwrap().len();
    assert_eq!(length, 5 * MIB as u64, "what follows is written, and no zeros before what does not");
    for piece in 20..last {
        made.fetch(&store, piece).await;
    }
    assert!(matches!(next(&mut events).await, StoreEvent::DiskOk));
    store.sync_all().await.unwrap();
    assert_eq!(std::fs::read(file).unwrap(), made.data);
}
