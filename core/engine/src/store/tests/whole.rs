//! Files that hashes name: what a reader gets before and after the whole file is proven.

use super::*;
use crate::store::files::Source;
use crate::store::load_saved_tree;
use crate::store::whole::Stage;
use playswarm_proto::NamedFile;
use playswarm_proto::named_file::Tree;
use playswarm_proto::proof::WholeHashes;
use playswarm_proto::tiger_tree::{Level, root_of};
use std::os::unix::fs::MetadataExt;

const LENGTH: usize = 5 * 64 * KIB + 777;
const NAME: &str = "film.mkv";

/// Returns a file that these hashes name. `name` changes the hashes and says what is known of the
/// tree.
fn named(name: impl FnOnce(&mut WholeHashes, Level) -> Tree) -> Made {
    let Made { data, .. } = made(&[(NAME, LENGTH)], 64 << 10);
    let level = Level::of_file(LENGTH as u64, [&data[..]]).unwrap();
    let mut file = NamedFile::default();
    file.name = Some(NAME.to_owned());
    let tree = name(&mut file.whole, level);
    Made { torrent: Arc::new(file.metainfo(LENGTH as u64, tree).unwrap()), data }
}

/// Returns a file of which only the SHA-1 is named.
fn by_sha1() -> Made {
    let Made { data, .. } = made(&[(NAME, LENGTH)], 64 << 10);
    named(|whole, _| {
        whole.sha1 = Some(sha1(&data));
        Tree::Unknown
    })
}

/// Whether no reader gets a byte of this piece.
async fn is_hidden(store: &Arc<Store>, piece: u32) -> bool {
    let index = PieceIndex(piece);
    !store.has(index)
        && store.try_piece(index).is_none()
        && store.piece(index).await.unwrap().is_none()
        && store.block(index, 0, 100).await.unwrap().is_none()
        && store.ready_within(store.torrent.layout.start_of(index), 100) == 0
        && store.shown().count() == 0
}

#[tokio::test]
async fn nothing_is_shown_before_the_whole_file_is_proven_and_its_tree_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let made = by_sha1();
    let (store, _events) = made.open(dir.path()).await;
    assert!(store.is_sealed());
    for piece in 0..made.pieces() {
        assert_eq!(store.check_whole().await, WholeVerdict::NotYet);
        made.fetch(&store, piece).await;
        assert!(is_hidden(&store, piece).await, "piece {piece}");
    }
    assert_eq!((store.have().count(), store.proof().kind()), (6, "whole file"));
    assert_eq!(store.check_whole().await, WholeVerdict::Right);
    assert_eq!(store.check_whole().await, WholeVerdict::NotYet, "it is checked once");
    assert_eq!(store.proof().kind(), "tree");
    made.check_all(&store).await;
    store.close().await.unwrap();
    drop(store);

    // The next opening knows the tree, and shows each piece at once.
    let tree = load_saved_tree(dir.path(), &made.torrent.info_hash).unwrap();
    assert_eq!(tree.root(), root_of(&made.data));
    let again = Made {
        torrent: named(|whole, _| {
            whole.sha1 = Some(sha1(&made.data));
            Tree::Proven(tree)
        })
        .torrent,
        data: made.data,
    };
    let (store, _events) = again.open(dir.path()).await;
    assert!(!store.is_sealed());
    again.check_all(&store).await;
}

#[tokio::test]
async fn a_file_whose_whole_is_wrong_is_thrown_away() {
    let dir = tempfile::tempdir().unwrap();
    let made = by_sha1();
    let (store, _events) = made.open(dir.path()).await;
    for piece in 0..made.pieces() {
        let spoil = if piece == 3 { &[1][..] } else { &[] };
        made.put(&store, piece, |_| 1, spoil);
        assert_eq!(store.verify(PieceIndex(piece)).await, Verdict::Verified { liars: vec![] });
    }
    store.sync_all().await.unwrap();
    let path = store.path(0);
    assert!(std::fs::metadata(&path).unwrap().blocks() > 0);
    let WholeVerdict::Wrong(why) = store.check_whole().await else { panic!("it is right") };
    assert_eq!(why.to_string(), "its SHA-1 is not the named one");
    assert!(is_hidden(&store, 0).await && store.have().count() == 0);
    assert_eq!(store.disk_bytes(), 0);
    assert_eq!(std::fs::metadata(&path).unwrap().blocks(), 0, "its space is free");
    assert_eq!(made.put(&store, 0, |_| 1, &[]), Put::Ignored, "nothing more is taken");
    store.close().await.unwrap();
    drop(store);
    assert_eq!(load_saved_tree(dir.path(), &made.torrent.info_hash), None);
    let (store, _events) = made.open(dir.path()).await;
    assert_eq!(store.have().count(), 0);
    made.fetch_all(&store).await;
    assert_eq!(store.check_whole().await, WholeVerdict::Right);
    assert_eq!(std::fs::read(store.path(0)).unwrap(), made.data);
}

#[tokio::test]
#[allow(clippy::await_holding_lock)]
async fn a_piece_that_waits_to_be_written_is_thrown_away_too() {
    let dir = tempfile::tempdir().unwrap();
    let made = by_sha1();
    let (store, _events) = made.open(dir.path()).await;
    for piece in 0..made.pieces() - 1 {
        made.fetch(&store, piece).await;
    }
    store.sync_all().await.unwrap();
    let disk = store.disk.write();
    made.fetch(&store, made.pieces() - 1).await;
    while store.state.lock().queue.writing().is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    store.throw_away(&disk);
    drop(disk);
    store.writer_idle().await;
    assert_eq!(store.disk_bytes(), 0);
    assert_eq!(store.state.lock().writing_bytes, 0);
    store.close().await.unwrap();
    drop(store);
    let (store, _events) = made.open(dir.path()).await;
    assert_eq!(store.have().count(), 0, "the record has none");
}

#[tokio::test]
async fn a_piece_that_is_hashed_while_the_file_is_thrown_away_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let made = by_sha1();
    let (store, _events) = made.open(dir.path()).await;
    assert_eq!(made.put(&store, 0, |_| 1, &[]), Put::Complete);
    store.throw_away(&store.disk.write());
    assert_eq!(store.verify(PieceIndex(0)).await, Verdict::NotWhole);
    store.writer_idle().await;
    assert_eq!((store.have().count(), store.disk_bytes()), (0, 0));
}

#[tokio::test]
async fn pieces_that_nothing_proves_yet_are_known_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let made = by_sha1();
    let (store, _events) = made.open(dir.path()).await;
    for piece in 0..4 {
        made.fetch(&store, piece).await;
    }
    store.sync_all().await.unwrap();
    // Nothing is closed, as after `kill -9`.
    store.record.close();
    std::mem::forget(store);
    let (store, _events) = made.open(dir.path()).await;
    assert_eq!(store.have().count(), 4);
    assert!(is_hidden(&store, 0).await);
    made.fetch(&store, 4).await;
    made.fetch(&store, 5).await;
    assert_eq!(store.check_whole().await, WholeVerdict::Right);
    made.check_all(&store).await;
}

#[tokio::test]
#[allow(clippy::await_holding_lock)]
async fn pieces_that_a_power_cut_may_have_taken_are_not_believed_if_nothing_can_check_them() {
    let dir = tempfile::tempdir().unwrap();
    let made = by_sha1();
    let (store, _events) = made.open(dir.path()).await;
    for piece in 0..3 {
        made.fetch(&store, piece).await;
    }
    store.sync_all().await.unwrap();
    let syncing = store.syncing.lock();
    made.fetch(&store, 3).await;
    store.writer_idle().await;
    assert_eq!(store.disk_bytes(), 4 * 64 * KIB as u64);
    store.record.close();
    drop(syncing);
    std::mem::forget(store);
    let (store, _events) = made.open(dir.path()).await;
    assert_eq!(store.have().iter_ones().collect::<Vec<_>>(), [0, 1, 2]);
    for piece in 3..made.pieces() {
        made.fetch(&store, piece).await;
    }
    assert_eq!(store.check_whole().await, WholeVerdict::Right);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_at_the_moment_is_checked_later() {
    let dir = tempfile::tempdir().unwrap();
    let made = by_sha1();
    let (store, _events) = made.open(dir.path()).await;
    made.fetch_all(&store).await;
    {
        let mut state = store.state.lock();
        (0..made.pieces()).for_each(|piece| drop(state.cache.remove(piece)));
    }
    // Reading through it fails, as without descriptors or memory.
    store.files.replace_handle(0, std::fs::File::options().write(true).open(store.path(0)).unwrap());
    assert!(store.have().is_full() && !store.is_complete(), "the hash of the whole was not checked");
    let mut check = std::pin::pin!(store.check_whole());
    loop {
        let early = tokio::time::timeout(Duration::from_millis(20), &mut check).await;
        assert!(early.is_err(), "{early:?}");
        if store.state.lock().whole == (Stage::Due { sealed: true }) {
            break;
        }
    }
    store.files.close();
    assert_eq!(check.await, WholeVerdict::Right);
    assert!(store.is_complete());
}

#[tokio::test]
async fn a_piece_that_was_fetched_again_during_the_check_is_checked_too() {
    let dir = tempfile::tempdir().unwrap();
    let made = by_sha1();
    let (store, _events) = made.open(dir.path()).await;
    made.fetch_all(&store).await;
    let sealed = store.begin_check().unwrap();
    let found = store.hash_whole().await.unwrap();
    assert!(found.is_ok());
    store.state.lock().cache.remove(0);
    store.lose(&[0], Source::Ours);
    made.put(&store, 0, |_| 1, &[1]);
    assert_eq!(store.verify(PieceIndex(0)).await, Verdict::Verified { liars: vec![] });
    assert!(store.have().is_full() && !store.end_check(sealed, &found));
    assert!(is_hidden(&store, 0).await);
    assert!(matches!(store.check_whole().await, WholeVerdict::Wrong(_)));
}

#[tokio::test]
async fn pieces_are_known_when_another_tree_has_other_slices() {
    let dir = tempfile::tempdir().unwrap();
    let small = by_sha1();
    let (store, _events) = small.open(dir.path()).await;
    for piece in [0, 1, 2, 4, 5] {
        small.fetch(&store, piece).await;
    }
    store.close().await.unwrap();
    drop(store);
    let large = named(|whole, level| {
        whole.sha1 = Some(sha1(&small.data));
        Tree::Proven(level.coarsened(128 << 10))
    });
    assert_eq!((small.pieces(), large.pieces()), (6, 3));
    let (store, _events) = large.open(dir.path()).await;
    assert_eq!(store.have().iter_ones().collect::<Vec<_>>(), [0, 2]);
    large.fetch(&store, 1).await;
    large.check_all(&store).await;
    store.close().await.unwrap();
    drop(store);
    assert_eq!(std::fs::read(dir.path().join(NAME)).unwrap(), small.data, "the file is still ours");
    let (store, _events) = small.open(dir.path()).await;
    assert!(store.have().is_full());
    assert_eq!(store.check_whole().await, WholeVerdict::Right);
}

#[tokio::test]
async fn a_claimed_tree_is_kept_only_once_the_whole_file_proves_it() {
    let dir = tempfile::tempdir().unwrap();
    let Made { data, .. } = by_sha1();
    let claimed = |digest| {
        named(|whole, level| {
            whole.sha1 = Some(digest);
            Tree::Accepted(level)
        })
    };
    let made = claimed(sha1(&data));
    let (store, _events) = made.open(dir.path()).await;
    made.fetch(&store, 0).await;
    assert_eq!(store.piece(PieceIndex(0)).await.unwrap().as_deref(), Some(made.piece(0)), "it is shown at once");
    assert_eq!(load_saved_tree(dir.path(), &made.torrent.info_hash), None);
    for piece in 1..made.pieces() {
        made.fetch(&store, piece).await;
    }
    assert_eq!(store.check_whole().await, WholeVerdict::Right);
    assert_eq!(load_saved_tree(dir.path(), &made.torrent.info_hash).unwrap().root(), root_of(&data));

    // The tree is consistent, and belongs to another file.
    let lie = claimed([1; 20]);
    let elsewhere = tempfile::tempdir().unwrap();
    let (store, _events) = lie.open(elsewhere.path()).await;
    lie.fetch_all(&store).await;
    assert!(store.has(PieceIndex(0)));
    assert!(matches!(store.check_whole().await, WholeVerdict::Wrong(_)));
    assert!(is_hidden(&store, 0).await);
}

#[tokio::test]
async fn a_hash_that_contradicts_the_named_root_hides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let made = named(|whole, level| {
        (whole.sha1, whole.tiger) = (Some([1; 20]), Some(level.root()));
        Tree::Proven(level)
    });
    let (store, _events) = made.open(dir.path()).await;
    made.fetch_all(&store).await;
    assert!(matches!(store.check_whole().await, WholeVerdict::Contradiction(_)));
    made.check_all(&store).await;
    let spoilt = made.put(&store, 0, |_| 1, &[0]);
    assert_eq!(spoilt, Put::Ignored, "it is here");
}

#[tokio::test]
async fn a_wrong_slice_is_refused_and_its_giver_known() {
    let dir = tempfile::tempdir().unwrap();
    let made = named(|whole, level| {
        whole.tiger = Some(level.root());
        Tree::Proven(level)
    });
    let (store, _events) = made.open(dir.path()).await;
    made.put(&store, 2, |_| 7, &[1]);
    assert_eq!(store.verify(PieceIndex(2)).await, Verdict::Corrupt { givers: vec![7] });
    assert!(!store.has(PieceIndex(2)));
    made.fetch_all(&store).await;
    assert_eq!(store.check_whole().await, WholeVerdict::NotYet, "its slices prove the root");
    made.check_all(&store).await;
}

#[tokio::test]
async fn a_file_of_the_same_name_is_believed_only_if_pieces_can_be_checked() {
    let dir = tempfile::tempdir().unwrap();
    let made = by_sha1();
    std::fs::write(dir.path().join(NAME), vec![1; LENGTH]).unwrap();
    let (store, _events) = made.open(dir.path()).await;
    assert_eq!(store.have().count(), 0);
    made.fetch_all(&store).await;
    assert_eq!(store.check_whole().await, WholeVerdict::Right);
    assert_eq!(std::fs::read(dir.path().join(NAME)).unwrap(), vec![1; LENGTH], "it is unchanged");
}
