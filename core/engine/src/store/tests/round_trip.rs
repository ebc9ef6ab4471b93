//! Stored bytes come back, and are where other programs look for them.

use super::*;

#[tokio::test]
async fn a_verified_piece_is_read_from_memory_at_once_and_from_disk_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("film.mkv", 300 * KIB + 123)], 64 * KIB as u32);
    let (store, _events) = made.open(dir.path()).await;
    assert_eq!(store.have().count(), 0);
    assert_eq!(store.piece(PieceIndex(0)).await.unwrap(), None);
    for piece in 0..made.pieces() {
        made.fetch(&store, piece).await;
        assert_eq!(store.try_piece(PieceIndex(piece)).unwrap(), made.piece(piece));
    }
    store.sync_all().await.unwrap();
    // No close, as after a kill.
    drop(store);
    let (store, _events) = made.open(dir.path()).await;
    assert!(store.have().is_full());
    assert_eq!(store.try_piece(PieceIndex(0)), None, "nothing is read before it is wanted");
    made.check_all(&store).await;
    assert_eq!(std::fs::read(dir.path().join("film.mkv")).unwrap(), made.data);
    store.close().await.unwrap();
    assert!(matches!(made.open(dir.path()).await.0.have().count(), 5), "closing keeps the record");
}

#[tokio::test]
async fn pieces_that_span_files_go_to_the_right_places_and_pad_files_to_none() {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        ("a/first.bin", 20 * KIB),
        (".pad/12288", 12 * KIB),
        ("a/empty-in-between", 0),
        ("a/b/tiny", 3),
        ("a/b/second.bin", 70 * KIB + 1),
        ("last.bin", 5 * KIB),
        ("empty-at-the-end", 0),
    ];
    let made = made(&files, 32 * KIB as u32);
    let (store, _events) = made.open(dir.path()).await;
    // Also out of order.
    for piece in (0..made.pieces()).rev() {
        made.fetch(&store, piece).await;
    }
    store.close().await.unwrap();
    for entry in &made.torrent.files {
        let on_disk = std::fs::read(dir.path().join(&entry.path));
        if entry.padding {
            assert!(on_disk.is_err(), "{}", entry.name);
        } else {
            let (from, to) = (entry.offset as usize, (entry.offset + entry.length) as usize);
            assert_eq!(on_disk.unwrap(), made.data[from..to], "{}", entry.name);
        }
    }
    let (store, _events) = made.open(dir.path()).await;
    assert!(store.have().is_full());
    made.check_all(&store).await;
}

#[tokio::test]
async fn peers_are_given_blocks_of_verified_pieces_and_of_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 100 * KIB)], 64 * KIB as u32);
    let (store, _events) = made.open(dir.path()).await;
    made.fetch(&store, 1).await;
    let block = |piece, block| BlockRef { piece: PieceIndex(piece), block };
    let last = store.read_block(block(1, 2)).await.unwrap().unwrap();
    assert_eq!(last, made.data[96 * KIB..]);
    assert_eq!(store.read_block(block(1, 3)).await.unwrap(), None);
    assert_eq!(store.read_block(block(0, 0)).await.unwrap(), None);
    assert_eq!(store.read_block(block(9, 0)).await.unwrap(), None);
}

#[tokio::test]
async fn blocks_that_do_not_fit_or_were_here_before_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 40 * KIB)], 32 * KIB as u32);
    let (store, _events) = made.open(dir.path()).await;
    let block = |piece, block| BlockRef { piece: PieceIndex(piece), block };
    let data = vec![7; 16 * KIB];
    for (wrong, data) in [(block(0, 2), &data[..]), (block(1, 0), &data), (block(2, 0), &data), (block(0, 0), &[])] {
        assert_eq!(store.put_block(first(wrong), data, 1), Put::Ignored);
    }
    assert!(store.incomplete().is_empty());
    assert_eq!(store.put_block(first(block(0, 1)), &data, 1), Put::More);
    assert_eq!(store.put_block(first(block(0, 1)), &data, 2), Put::Ignored);
    assert!(store.blocks_here(PieceIndex(0)).unwrap().get(1));
    assert_eq!(store.verify(PieceIndex(0)).await, Verdict::NotWhole);
    store.drop_blocks(PieceIndex(0), 1);
    assert!(store.incomplete().is_empty());
    made.fetch(&store, 0).await;
    assert_eq!(made.put(&store, 0, |_| 1, &[]), Put::Ignored);
}

#[tokio::test]
async fn the_torrent_is_saved_for_the_next_time_its_magnet_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let mut made = made(&[("f", 40 * KIB)], 32 * KIB as u32);
    let info_hash = made.torrent.info_hash;
    assert_eq!(load_saved_metainfo(dir.path(), &info_hash), None);
    let (store, _events) = made.open(dir.path()).await;
    assert_eq!(load_saved_metainfo(dir.path(), &info_hash), None, "nothing is written before there is a piece");
    made.fetch(&store, 0).await;
    store.close().await.unwrap();
    drop(store);
    let saved = load_saved_metainfo(dir.path(), &info_hash).unwrap();
    let trackers = b"d8:announce19:http://one/announce13:announce-listll19:http://one/announceel11:udp://two:1ee";
    let info = [b"4:info", &made.torrent.info[..], b"e"].concat();
    assert!(saved.starts_with(trackers) && saved.ends_with(&info), "{}", saved.escape_ascii());
    // The same torrent from a magnet link without trackers keeps the saved trackers.
    Arc::get_mut(&mut made.torrent).unwrap().trackers.clear();
    drop(made.open(dir.path()).await);
    assert_eq!(load_saved_metainfo(dir.path(), &info_hash).unwrap(), saved);
}

#[tokio::test]
async fn ten_thousand_files_are_written_and_read_with_few_of_them_open() {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..10_000).map(|n| format!("d{}/{n}", n / 500)).collect();
    let files: Vec<Spec<'_>> = names.iter().map(|n| (n.as_str(), 200)).collect();
    let made = made(&files, 64 * KIB as u32);
    let (store, _events) = made.open(dir.path()).await;
    made.fetch_all(&store).await;
    assert!(store.files.open_count() <= open_files::OPEN_FILES);
    drop(store);
    let (store, _events) = made.open(dir.path()).await;
    assert!(store.have().is_full());
    made.check_all(&store).await;
    assert!(store.files.open_count() <= open_files::OPEN_FILES);
    let last = &made.torrent.files[9_999];
    assert_eq!(std::fs::read(dir.path().join(&last.path)).unwrap(), made.data[last.offset as usize..]);
}
