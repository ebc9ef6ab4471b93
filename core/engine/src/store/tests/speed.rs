//! Measures throughput. Run by hand:
//! `cargo test --release -p playswarm store::tests::speed -- --ignored --nocapture`.

use super::*;
use std::time::Instant;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn a_gibibyte_through_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 128 * MIB)], 1 << 20);
    let rounds = 8;
    let mut spent = Duration::ZERO;
    for _ in 0..rounds {
        let _ = std::fs::remove_dir_all(dir.path().join(STATE_DIR));
        let (store, _events) = made.open(dir.path()).await;
        let begun = Instant::now();
        for piece in 0..made.pieces() {
            while store.room_for_pieces() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            for (n, block) in made.piece(piece).chunks(BLOCK_BYTES as usize).enumerate() {
                store.put_block(first(BlockRef { piece: PieceIndex(piece), block: n as u32 }), block, 1);
            }
            store.verify(PieceIndex(piece)).await;
            assert!(store.try_piece(PieceIndex(piece)).is_some());
        }
        store.sync_all().await.unwrap();
        spent += begun.elapsed();
        store.close().await.unwrap();
    }
    let mib = (rounds * 128) as f64;
    println!("{:.0} MiB/s in, hashed, out and on disk", mib / spent.as_secs_f64());

    let (store, _events) = made.open(dir.path()).await;
    let begun = Instant::now();
    for piece in 0..made.pieces() {
        store.prefetch(PieceIndex(piece + 1));
        assert!(store.piece(PieceIndex(piece)).await.unwrap().is_some());
    }
    println!("{:.0} MiB/s from disk and hashed", 128.0 / begun.elapsed().as_secs_f64());
}
