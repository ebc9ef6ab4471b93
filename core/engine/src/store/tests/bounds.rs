//! Memory stays within its limit, and concurrent tasks do not disturb each other.

use super::*;

#[tokio::test]
async fn memory_stays_within_its_bound_however_much_is_fetched_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 48 * MIB)], 256 * KIB as u32);
    let limit = 8 << 20;
    let (store, _events) = made.open_with(StoreOptions { memory_limit_bytes: limit, ..options(dir.path()) }).await;
    store.set_readers([reader(0, made.pieces(), made.pieces())]);
    for piece in 0..made.pieces() {
        made.fetch(&store, piece).await;
        assert!(store.memory_bytes() <= limit, "{} after {piece}", store.memory_bytes());
    }
    store.sync_all().await.unwrap();
    for piece in 0..made.pieces() {
        assert_eq!(store.piece(PieceIndex(piece)).await.unwrap().as_deref(), Some(made.piece(piece)));
        assert!(store.memory_bytes() <= limit);
    }
    assert!(store.memory_bytes() > limit / 2, "the room is used");
}

#[tokio::test]
async fn pieces_on_disk_leave_memory_unless_a_reader_reads_them_soon() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 16 * MIB)], 256 * KIB as u32);
    let limit = 8 << 20;
    let (store, _events) = made.open_with(StoreOptions { memory_limit_bytes: limit, ..options(dir.path()) }).await;
    store.set_readers([reader(0, 4, made.pieces())]);
    made.fetch_all(&store).await;
    store.sync_all().await.unwrap();
    for piece in 0..40 {
        assert_eq!(store.piece(PieceIndex(piece)).await.unwrap().as_deref(), Some(made.piece(piece)));
    }
    // Four near pieces, an eighth of the limit of others, and spare buffers.
    assert!(store.memory_bytes() <= 3 << 20, "{}", store.memory_bytes());
    for near in 0..4 {
        assert!(store.try_piece(PieceIndex(near)).is_some(), "{near}");
    }
}

#[tokio::test]
async fn when_nothing_can_be_written_the_swarm_goes_on_and_no_more_is_kept_than_fits() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("sub/f", 32 * MIB), ("g", 1)], 256 * KIB as u32);
    std::fs::write(dir.path().join("sub"), b"mine").unwrap();
    let limit = 8 << 20;
    let (store, _events) = made.open_with(StoreOptions { memory_limit_bytes: limit, ..options(dir.path()) }).await;
    for piece in 0..made.pieces() {
        made.fetch(&store, piece).await;
        assert!(store.memory_bytes() <= limit);
    }
    let kept = store.have();
    assert!(kept.count() >= 12, "the room is used: {}", kept.count());
    assert!(store.room_for_pieces() > 0);
    std::fs::remove_file(dir.path().join("sub")).unwrap();
    store.close().await.unwrap();
    let (store, _events) = made.open(dir.path()).await;
    assert_eq!(store.have(), kept, "what was kept is written once that works");
}

#[tokio::test]
async fn pieces_larger_than_the_bound_still_work_and_the_one_being_read_stays() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 36 * MIB)], 12 << 20);
    let (store, _events) = made.open_with(StoreOptions { memory_limit_bytes: 8 << 20, ..options(dir.path()) }).await;
    assert!(store.room_for_pieces() > 0);
    made.fetch_all(&store).await;
    assert!(store.memory_bytes() <= 12 << 20);
    for piece in 0..3 {
        store.set_readers([reader(piece, 2, 3)]);
        assert_eq!(store.piece(PieceIndex(piece)).await.unwrap().as_deref(), Some(made.piece(piece)));
        // Also while the next piece is incomplete.
        assert!(store.try_piece(PieceIndex(piece)).is_some());
        assert!(store.memory_bytes() <= 12 << 20);
    }
}

#[tokio::test]
async fn what_a_reader_reads_next_stays_in_memory_longest() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 16 * MIB)], 256 * KIB as u32);
    let (store, _events) = made.open_with(StoreOptions { memory_limit_bytes: 8 << 20, ..options(dir.path()) }).await;
    store.set_readers([reader(0, 10, 64)]);
    made.fetch_all(&store).await;
    for near in 0..10 {
        assert!(store.try_piece(PieceIndex(near)).is_some(), "{near}");
    }
    assert!(store.try_piece(PieceIndex(11)).is_none());
}

#[tokio::test]
async fn all_readers_of_a_piece_on_disk_share_one_read() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 2 * MIB)], 1 << 20);
    let (store, _events) = made.open(dir.path()).await;
    made.fetch_all(&store).await;
    drop(store);
    let (store, _events) = made.open(dir.path()).await;
    let wanting = (0..50).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.piece(PieceIndex(1)).await.unwrap().unwrap() })
    });
    let wanting: Vec<_> = wanting.collect();
    let mut all = Vec::new();
    for one in wanting {
        all.push(one.await.unwrap());
    }
    assert!(all.iter().all(|bytes| bytes.as_ptr() == all[0].as_ptr()));
    assert_eq!(all[0], made.piece(1));
    store.prefetch(PieceIndex(0));
    while store.try_piece(PieceIndex(0)).is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_peers_and_readers_at_once_leave_everything_right() {
    let dir = tempfile::tempdir().unwrap();
    let made = Arc::new(made(&[("a", 5 * MIB + 3), (".pad/x", 9 * KIB), ("c", 11 * MIB)], 64 * KIB as u32));
    let (store, mut events) = made.open_with(StoreOptions { memory_limit_bytes: 8 << 20, ..options(dir.path()) }).await;
    let mut tasks = Vec::new();
    for peer in 0..6u32 {
        let (made, store) = (made.clone(), store.clone());
        tasks.push(tokio::spawn(async move {
            // Each peer has every block and starts at another piece; two of them sometimes send wrong blocks.
            for n in 0..made.pieces() {
                let piece = (n + peer * 41) % made.pieces();
                let blocks = made.torrent.layout.blocks_of(PieceIndex(piece));
                for block in 0..blocks {
                    let at = block as usize * BLOCK_BYTES as usize;
                    let block = BlockRef { piece: PieceIndex(piece), block };
                    let mut data = made.piece(piece)[at..at + made.torrent.layout.block_bytes(block) as usize].to_vec();
                    if peer < 2 && piece % 7 == peer {
                        data[0] ^= 0xff;
                    }
                    loop {
                        match store.put_block(first(block), &data, peer) {
                            Put::NoRoom => tokio::time::sleep(Duration::from_millis(1)).await,
                            Put::Complete => {
                                if let Verdict::Verified { liars } = store.verify(block.piece).await {
                                    assert!(liars.iter().all(|liar| *liar < 2));
                                }
                                break;
                            }
                            Put::More | Put::Ignored => break,
                        }
                    }
                }
            }
        }));
    }
    for reader in 0..3u32 {
        let (made, store) = (made.clone(), store.clone());
        tasks.push(tokio::spawn(async move {
            for n in 0..2000u32 {
                let piece = (n * 37 + reader * 11) % made.pieces();
                if let Some(bytes) = store.piece(PieceIndex(piece)).await.unwrap() {
                    assert!(bytes == made.piece(piece));
                }
                if n % 16 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    // The pieces that these two spoiled last are fetched once more.
    for piece in 0..made.pieces() {
        if !store.has(PieceIndex(piece)) {
            store.drop_blocks(PieceIndex(piece), 1);
            made.put(&store, piece, |_| 9, &[]);
            assert!(matches!(store.verify(PieceIndex(piece)).await, Verdict::Verified { .. }));
        }
    }
    store.sync_all().await.unwrap();
    assert!(store.have().is_full() && store.incomplete().is_empty());
    assert_eq!(store.disk_bytes(), made.data.len() as u64);
    made.check_all(&store).await;
    assert!(store.memory_bytes() <= 8 << 20);
    assert!(events.try_recv().is_err());
}
