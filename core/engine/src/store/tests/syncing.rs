//! Pieces that are synced to the disk, and pieces that a power cut may take.

use super::*;

/// Returns the two bits of each piece in the record: written, synced.
fn record(dir: &Path, made: &Made) -> (Bits, Bits) {
    let bytes = std::fs::read(dir.join(STATE_DIR).join(format!("{}.have", made.torrent.info_hash))).unwrap();
    let length = made.pieces().div_ceil(8) as usize;
    let field = |n: usize| Bits::from_bitfield(&bytes[64 + n * length..64 + (n + 1) * length], made.pieces()).unwrap();
    (field(0), field(1))
}

#[tokio::test]
async fn a_piece_is_noted_as_synced_only_after_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("s/f", 256 * KIB), ("s/g", 256 * KIB)], 32 * KIB as u32);
    let (store, _events) = made.open(dir.path()).await;
    for piece in 0..8 {
        made.fetch(&store, piece).await;
    }
    while record(dir.path(), &made).0.count() < 8 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(record(dir.path(), &made).1.count(), 0);
    store.sync_all().await.unwrap();
    assert_eq!(record(dir.path(), &made).1.count(), 8);
    // Also by itself after a while.
    made.fetch(&store, 8).await;
    let synced = async {
        while record(dir.path(), &made).1.count() < 9 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), synced).await.unwrap();
}

#[tokio::test]
async fn after_a_power_cut_no_unsynced_piece_is_announced_to_peers() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 256 * KIB)], 32 * KIB as u32);
    let (store, _events) = made.open(dir.path()).await;
    for piece in 0..4 {
        made.fetch(&store, piece).await;
    }
    store.sync_all().await.unwrap();
    for piece in 4..8 {
        made.fetch(&store, piece).await;
    }
    while record(dir.path(), &made).0.count() < 8 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Dropped without being closed, like a killed process. The disk then has the record, but not
    // all data.
    drop(store);
    let mut bytes = std::fs::read(dir.path().join("f")).unwrap();
    bytes[5 * 32 * KIB..].fill(0);
    std::fs::write(dir.path().join("f"), bytes).unwrap();
    let (store, mut events) = made.open(dir.path()).await;
    assert_eq!((store.have().count(), store.told().iter_ones().collect::<Vec<_>>()), (8, vec![0, 1, 2, 3]));
    assert_eq!(store.piece(PieceIndex(4)).await.unwrap().as_deref(), Some(made.piece(4)));
    assert!(matches!(next(&mut events).await, StoreEvent::Proven(PieceIndex(4))));
    assert_eq!(store.piece(PieceIndex(5)).await.unwrap(), None);
    assert!(matches!(next(&mut events).await, StoreEvent::Unfounded(PieceIndex(5))));
    store.close().await.unwrap();
    assert!(record(dir.path(), &made).1.get(4), "it is synced now");
}
