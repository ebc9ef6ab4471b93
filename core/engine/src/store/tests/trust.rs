//! No wrong byte is ever handed out, whatever its origin, and nothing outside the folder is
//! touched.

use super::*;
use std::os::unix::fs::symlink;

#[tokio::test]
async fn the_sender_of_a_wrong_block_is_known_once_the_piece_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 64 * KIB)], 64 * KIB as u32);
    let (store, _events) = made.open(dir.path()).await;
    let piece = PieceIndex(0);
    made.put(&store, 0, |block| 10 + block % 3, &[2]);
    assert_eq!(store.verify(piece).await, Verdict::Corrupt { givers: vec![10, 11, 12] });
    assert!(!store.has(piece) && store.try_piece(piece).is_none());
    // A second attempt, with another hostile peer among the peers.
    made.put(&store, 0, |block| [10, 20, 10, 30][block as usize], &[3]);
    assert_eq!(store.verify(piece).await, Verdict::Corrupt { givers: vec![10, 20, 30] });
    made.put(&store, 0, |_| 40, &[]);
    assert_eq!(store.verify(piece).await, Verdict::Verified { liars: vec![12, 30] });
}

#[tokio::test]
async fn a_wrong_piece_from_one_peer_alone_names_that_peer_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 64 * KIB)], 64 * KIB as u32);
    let (store, _events) = made.open(dir.path()).await;
    made.put(&store, 0, |_| 5, &[1]);
    assert_eq!(store.verify(PieceIndex(0)).await, Verdict::Corrupt { givers: vec![5] });
    assert!(!dir.path().join("f").exists(), "nothing wrong is ever written");
    assert_eq!(store.memory_bytes(), 64 * KIB as u64, "only the buffer, to be used again");
}

#[tokio::test]
async fn a_file_that_was_changed_behind_our_back_is_noticed_and_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 96 * KIB)], 32 * KIB as u32);
    let (store, _events) = made.open(dir.path()).await;
    made.fetch_all(&store).await;
    store.close().await.unwrap();
    let mut changed = made.data.clone();
    changed[40 * KIB] ^= 1;
    std::fs::write(dir.path().join("f"), &changed).unwrap();

    let (store, mut events) = made.open(dir.path()).await;
    assert_eq!(store.have().count(), 3);
    assert_eq!(store.piece(PieceIndex(1)).await.unwrap(), None);
    assert!(matches!(next(&mut events).await, StoreEvent::Lost(PieceIndex(1))));
    assert!(matches!(next(&mut events).await, StoreEvent::FileChanged(path) if path.ends_with("f")));
    assert!(!store.has(PieceIndex(1)) && store.has(PieceIndex(0)));
    // The piece is fetched again, which repairs the file.
    made.fetch(&store, 1).await;
    store.close().await.unwrap();
    assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), made.data);
    let (store, _events) = made.open(dir.path()).await;
    made.check_all(&store).await;
}

#[tokio::test]
async fn claims_beyond_a_cut_file_and_in_a_missing_one_are_dropped_when_opening() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("cut", 96 * KIB), ("gone", 64 * KIB), ("whole", 32 * KIB)], 32 * KIB as u32);
    let (store, _events) = made.open(dir.path()).await;
    made.fetch_all(&store).await;
    store.close().await.unwrap();
    let cut = std::fs::OpenOptions::new().write(true).open(dir.path().join("cut")).unwrap();
    cut.set_len(64 * KIB as u64 - 1).unwrap();
    std::fs::remove_file(dir.path().join("gone")).unwrap();
    for _ in 0..2 {
        // The second time it is read from the record.
        let (store, _events) = made.open(dir.path()).await;
        assert_eq!(store.have().iter_ones().collect::<Vec<_>>(), [0, 5]);
        drop(store);
    }
}

#[tokio::test]
async fn a_file_that_is_removed_while_open_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 96 * KIB)], 32 * KIB as u32);
    let (store, mut events) = made.open(dir.path()).await;
    made.fetch(&store, 0).await;
    store.sync_all().await.unwrap();
    std::fs::remove_file(dir.path().join("f")).unwrap();
    made.fetch(&store, 1).await;
    store.close().await.unwrap();
    assert!(matches!(next(&mut events).await, StoreEvent::FileChanged(path) if path.ends_with("f")));
    drop(store);
    let (store, _events) = made.open(dir.path()).await;
    assert_eq!(store.piece(PieceIndex(1)).await.unwrap().as_deref(), Some(made.piece(1)));
    // The first piece was still in memory, so it was written again.
    assert_eq!(store.piece(PieceIndex(0)).await.unwrap().as_deref(), Some(made.piece(0)));
}

#[tokio::test]
async fn a_record_that_is_damaged_or_of_another_torrent_counts_as_empty() {
    let dir = tempfile::tempdir().unwrap();
    let one = made(&[("f", 96 * KIB)], 32 * KIB as u32);
    let other = made(&[("g", 64 * KIB)], 32 * KIB as u32);
    for made in [&one, &other] {
        let (store, _events) = made.open(dir.path()).await;
        made.fetch_all(&store).await;
        store.close().await.unwrap();
    }
    let record = |made: &Made| dir.path().join(STATE_DIR).join(format!("{}.have", made.torrent.info_hash));
    let good = std::fs::read(record(&one)).unwrap();
    let mut spare_bit = good.clone();
    spare_bit[64] |= 1;
    let mut version = good.clone();
    version[8] = 99;
    let foreign = std::fs::read(record(&other)).unwrap();
    for bad in [&b""[..], b"x", &good[..good.len() - 1], &spare_bit, &version, &foreign, &[0xff; 1 << 20]] {
        std::fs::write(record(&one), bad).unwrap();
        let (store, _events) = one.open(dir.path()).await;
        // The file is not known to be ours, so it is read like other programs' files.
        assert_eq!((store.told().count(), store.have().count()), (0, 3));
        one.check_all(&store).await;
        assert_eq!(store.disk_bytes(), 0);
    }
}

#[tokio::test]
async fn nothing_is_written_or_read_through_a_symbolic_link() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let made = made(&[("sub/f", 32 * KIB), ("g", 32 * KIB)], 32 * KIB as u32);
    std::fs::write(outside.path().join("target"), b"precious").unwrap();
    std::fs::create_dir(outside.path().join("folder")).unwrap();
    symlink(outside.path().join("folder"), dir.path().join("sub")).unwrap();
    symlink(outside.path().join("target"), dir.path().join("g")).unwrap();

    let (store, mut events) = made.open(dir.path()).await;
    made.fetch(&store, 0).await;
    made.fetch(&store, 1).await;
    let StoreEvent::WriteFailed(e) = next(&mut events).await else { panic!("no failure") };
    assert!(e.to_string().contains("symbolic link"), "{e}");
    assert!(matches!(next(&mut events).await, StoreEvent::Elsewhere { taken, .. } if taken.ends_with("g")));
    let e = store.sync_all().await.unwrap_err();
    assert!(e.to_string().contains("symbolic link"), "{e}");
    assert!(store.close().await.is_err());
    assert_eq!(std::fs::read(outside.path().join("target")).unwrap(), b"precious");
    assert_eq!(std::fs::read_dir(outside.path().join("folder")).unwrap().count(), 0);
    drop(store);

    // Nor is a claim accepted for a file behind a link, even if its bytes are correct.
    std::fs::write(outside.path().join("folder/f"), made.piece(0)).unwrap();
    std::fs::write(outside.path().join("target"), made.piece(1)).unwrap();
    let (store, _events) = made.open(dir.path()).await;
    store.claim(&Bits::full(2)).await.unwrap();
    assert_eq!(store.have().iter_ones().collect::<Vec<_>>(), [1], "which is in a file of ours");
    drop(store);

    let linked = tempfile::tempdir().unwrap();
    symlink(outside.path().join("folder"), linked.path().join(STATE_DIR)).unwrap();
    let e = Store::open(made.torrent.clone(), options(linked.path())).await.err().unwrap();
    assert!(e.to_string().contains("symbolic link"), "{e}");
}

#[tokio::test]
async fn names_with_a_leading_dot_at_the_top_are_made_harmless() {
    for top in [".playswarm", ".PlaySwarm", ".ssh", "\u{200b}.ssh"] {
        let dir = tempfile::tempdir().unwrap();
        let made = made(&[(&format!("{top}/authorized_keys"), 32 * KIB), (&format!("{top}/.x"), 5)], 32 * KIB as u32);
        let (store, _events) = made.open(dir.path()).await;
        made.fetch_all(&store).await;
        let names = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        assert_eq!(names, [STATE_DIR.to_owned(), format!("_{top}")], "{top}");
        assert!(dir.path().join(format!("_{top}/.x")).exists());
    }
}

#[tokio::test]
async fn pieces_that_another_program_wrote_are_claimed_and_checked_when_read() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 128 * KIB)], 32 * KIB as u32);
    let (store, mut events) = made.open(dir.path()).await;
    let mut file = made.data.clone();
    file[100 * KIB] ^= 1;
    let lent = store.clone();
    tokio::task::spawn_blocking(move || lent.write_lent(0, &file)).await.unwrap().unwrap();
    // One of the pieces is incomplete.
    store.put_block(first(BlockRef { piece: PieceIndex(1), block: 0 }), &made.data[32 * KIB..48 * KIB], 1);
    let mut claims = Bits::full(4);
    claims.set(0, false);
    store.claim(&claims).await.unwrap();
    assert!(store.incomplete().is_empty());
    assert_eq!(store.have().iter_ones().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(store.piece(PieceIndex(1)).await.unwrap().as_deref(), Some(made.piece(1)));
    assert_eq!(store.piece(PieceIndex(3)).await.unwrap(), None);
    assert!(matches!(next(&mut events).await, StoreEvent::Lost(PieceIndex(3))));
    store.close().await.unwrap();
    drop(store);
    let (store, _events) = made.open(dir.path()).await;
    assert_eq!(store.told().iter_ones().collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_every_moment_the_recorded_pieces_are_in_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("a", 3 * MIB + 5), ("b", 5 * MIB)], 32 * KIB as u32);
    let (store, _events) = made.open(dir.path()).await;
    let record = dir.path().join(STATE_DIR).join(format!("{}.have", made.torrent.info_hash));
    let made = Arc::new(made);
    let fetching = tokio::spawn({
        let (made, store) = (made.clone(), store.clone());
        async move { made.fetch_all(&store).await }
    });
    let mut seen = 0;
    let mut last = false;
    while !last {
        last = fetching.is_finished();
        // As a kill would leave it: the record is copied first, so later writes are missing from
        // it.
        let bytes = std::fs::read(&record).unwrap_or_default();
        let field = bytes.get(64..64 + made.pieces().div_ceil(8) as usize);
        let bits = field.map_or(Bits::new(made.pieces()), |f| Bits::from_bitfield(f, made.pieces()).unwrap());
        let files = ["a", "b"].map(|f| std::fs::read(dir.path().join(f)).unwrap_or_default());
        let all = files.concat();
        for piece in bits.iter_ones() {
            let start = made.torrent.layout.start_of(PieceIndex(piece)) as usize;
            let right = made.piece(piece);
            // Until `a` has its full length, `b` is not at its place in `all`; nothing of `b` is
            // then read.
            if files[0].len() == 3 * MIB + 5 {
                assert!(all.get(start..start + right.len()) == Some(right), "piece {piece}");
            }
        }
        seen = seen.max(bits.count());
        tokio::task::yield_now().await;
    }
    fetching.await.unwrap();
    assert_eq!(seen, made.pieces());
}
