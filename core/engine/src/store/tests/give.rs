//! Uploads to peers, and their cost for the readers.

use super::*;

/// Returns the bytes that this process has read so far, from any file.
fn read_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    line.parse().unwrap()
}

/// Opens the test torrent on disk, with none of it in memory, and room for one piece there.
async fn cold(made: &Made, dir: &Path) -> Opened {
    let (store, events) = made.open(dir).await;
    made.fetch_all(&store).await;
    store.close().await.unwrap();
    drop((store, events));
    made.open_with(StoreOptions { memory_limit_bytes: 1 << 20, ..options(dir) }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn six_peers_at_six_large_pieces_cost_little_more_than_they_are_given() {
    let made = made(&[("film.mkv", 6 * MIB)], MIB as u32);
    let dir = tempfile::tempdir().unwrap();
    let (store, _events) = cold(&made, dir.path()).await;
    let before = read_bytes();
    for block in 0..MIB as u32 / BLOCK_BYTES {
        for piece in 0..6 {
            let (at, length) = (block * BLOCK_BYTES, BLOCK_BYTES);
            let given = store.block(PieceIndex(piece), at, length).await.unwrap().unwrap();
            assert!(given[..] == made.piece(piece)[at as usize..(at + length) as usize]);
        }
    }
    let read = (read_bytes() - before) as f64 / made.data.len() as f64;
    assert!(read < 4.0, "{read} times as much was read as was given");
    assert_eq!(store.memory_bytes(), 0, "nothing of it stays in memory");
    assert_eq!(store.block(PieceIndex(0), MIB as u32 - 1, 2).await.unwrap(), None);
    assert_eq!(store.block(PieceIndex(0), 0, 0).await.unwrap(), None);
    assert_eq!(store.block(PieceIndex(0), u32::MAX, 2).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_does_not_wait_for_what_peers_wait_for() {
    let made = made(&[("film.mkv", 4 * MIB)], MIB as u32);
    let dir = tempfile::tempdir().unwrap();
    let (store, _events) = cold(&made, dir.path()).await;
    let turns = store.giving.take_all_turns();
    let waiting = store.clone();
    let block = tokio::spawn(async move { waiting.block(PieceIndex(2), 0, BLOCK_BYTES).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let read = tokio::time::timeout(Duration::from_secs(10), store.piece(PieceIndex(2))).await.unwrap();
    assert!(read.unwrap().as_deref() == Some(made.piece(2)));
    assert!(!block.is_finished());
    drop(turns);
    assert!(block.await.unwrap().unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_peer_is_given_a_block_of_a_piece_that_was_changed_while_we_were_away() {
    let made = made(&[("film.mkv", 4 * MIB)], MIB as u32);
    let dir = tempfile::tempdir().unwrap();
    let (store, _events) = made.open(dir.path()).await;
    made.fetch_all(&store).await;
    store.close().await.unwrap();
    drop((store, _events));
    let path = walk(dir.path()).into_iter().find(|p| p.ends_with("film.mkv")).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[MIB + 900_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (store, mut events) = made.open(dir.path()).await;
    assert!(store.block(PieceIndex(0), 0, BLOCK_BYTES).await.unwrap().is_some());
    assert_eq!(store.block(PieceIndex(1), 0, BLOCK_BYTES).await.unwrap(), None);
    assert!(matches!(next(&mut events).await, StoreEvent::Lost(PieceIndex(1))));
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().flatten().map(|e| e.path());
    entries.flat_map(|p| if p.is_dir() { walk(&p) } else { vec![p] }).collect()
}
