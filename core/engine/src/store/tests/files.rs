//! The user's files and ours: existing files are used or left alone, and ours never replace them.

use super::*;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, symlink};

/// Returns every file below a folder except the state folder: its path, bytes, inode and time of change.
fn everything(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u64, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (path, meta) = (entry.path(), entry.metadata().unwrap());
            if meta.is_dir() && !path.ends_with(STATE_DIR) {
                folders.push(path);
            } else if meta.is_file() {
                let bytes = std::fs::read(&path).unwrap();
                found.insert(path, (bytes, meta.ino(), meta.mtime_nsec(), meta.ctime_nsec()));
            }
        }
    }
    found
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

impl Made {
    fn short_hash(&self) -> String {
        self.torrent.info_hash.to_string()[..8].to_owned()
    }

    /// Reads every piece as a reader would, and fetches missing ones.
    async fn read_all(&self, store: &Arc<Store>) -> u32 {
        let mut fetched = 0;
        for piece in 0..self.pieces() {
            loop {
                if let Some(bytes) = store.piece(PieceIndex(piece)).await.unwrap() {
                    assert!(bytes == self.piece(piece), "piece {piece}");
                    break;
                }
                if !store.has(PieceIndex(piece)) {
                    self.fetch(store, piece).await;
                    fetched += 1;
                }
            }
        }
        fetched
    }
}

#[tokio::test]
async fn whole_files_of_another_client_play_with_nothing_fetched_and_nothing_written() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("s/a.mkv", 100 * KIB), ("s/sub/b.srt", 30 * KIB), ("s/empty", 0)], 32 * KIB as u32);
    write(&dir.path().join("s/a.mkv"), &made.data[..100 * KIB]);
    write(&dir.path().join("s/sub/b.srt"), &made.data[100 * KIB..]);
    let before = everything(dir.path());
    let (store, mut events) = made.open(dir.path()).await;
    assert!(store.have().is_full());
    assert_eq!(store.told().count(), 0, "peers hear of nothing that was not hashed");
    made.check_all(&store).await;
    assert_eq!(store.told().count(), made.pieces());
    assert!(matches!(next(&mut events).await, StoreEvent::Proven(_)));
    assert_eq!(store.disk_bytes(), 0, "none of it is ours");
    store.close().await.unwrap();
    assert_eq!(everything(dir.path()), before);
    assert!(!dir.path().join(STATE_DIR).exists());
}

#[tokio::test]
async fn another_file_of_that_name_stays_as_it_is_and_ours_is_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("film.mkv", 300 * KIB)], 32 * KIB as u32);
    let film = dir.path().join("film.mkv");
    for length in [10, 300 * KIB, 900 * KIB] {
        write(&film, &vec![7; length]);
        let before = everything(dir.path())[&film].clone();
        let (store, mut events) = made.open(dir.path()).await;
        assert!(made.read_all(&store).await > 0);
        store.close().await.unwrap();
        assert_eq!(everything(dir.path())[&film], before);
        let ours = dir.path().join(format!("film [{}].mkv", made.short_hash()));
        assert_eq!(std::fs::read(&ours).unwrap(), made.data);
        let mut told = 0;
        while let Ok(event) = events.try_recv() {
            if let StoreEvent::Elsewhere { taken, ours: named, .. } = event {
                assert_eq!((&taken, &named), (&film, &ours));
                told += 1;
            }
        }
        assert_eq!(told, 1, "one message for the user");
        drop(store);
        // It is found again, whatever has become of the other file.
        std::fs::remove_file(&film).unwrap();
        let (store, _events) = made.open(dir.path()).await;
        assert_eq!(store.told().count(), made.pieces());
        made.check_all(&store).await;
        store.close().await.unwrap();
        std::fs::remove_file(&ours).unwrap();
    }
}

#[tokio::test]
async fn right_pieces_of_another_clients_files_are_used_and_the_others_go_into_ours() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("s/a", 320 * KIB), ("s/b", 320 * KIB)], 32 * KIB as u32);
    // Half of it exists, as a client leaves it that creates files in full at once; the other file
    // is missing.
    let mut half = made.data[..320 * KIB].to_vec();
    half[160 * KIB..].fill(0);
    write(&dir.path().join("s/a"), &half);
    let before = everything(dir.path());
    let (store, _events) = made.open(dir.path()).await;
    assert_eq!(made.read_all(&store).await, 15);
    store.close().await.unwrap();
    drop(store);
    let after = everything(dir.path());
    assert!(before.iter().all(|(path, file)| after[path] == *file));
    let ours = format!("s [{}]", made.short_hash());
    assert_eq!(std::fs::read(dir.path().join(&ours).join("b")).unwrap(), made.data[320 * KIB..]);
    // The next session finds both.
    let (store, _events) = made.open(dir.path()).await;
    assert_eq!(store.told().count(), 15);
    assert_eq!(made.read_all(&store).await, 0);
}

#[tokio::test]
async fn fetching_everything_gives_complete_files() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 320 * KIB)], 32 * KIB as u32);
    let mut half = made.data.clone();
    half[160 * KIB..].fill(0);
    write(&dir.path().join("f"), &half);
    let (store, _events) = made.open(dir.path()).await;
    store.look_through_all();
    made.read_all(&store).await;
    let ours = dir.path().join(format!("f [{}]", made.short_hash()));
    store.sync_all().await.unwrap();
    assert!(std::fs::read(&ours).unwrap() == made.data);
    store.close().await.unwrap();
    assert!(std::fs::read(dir.path().join("f")).unwrap() == half);
}

#[tokio::test]
async fn two_torrents_of_one_name_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let one = made(&[("Film/film.mkv", 200 * KIB), ("Film/a", 5)], 32 * KIB as u32);
    let two = made(&[("Film/film.mkv", 230 * KIB), ("Film/b", 6)], 32 * KIB as u32);
    for _ in 0..2 {
        let (first, _events) = one.open(dir.path()).await;
        let (second, _events) = two.open(dir.path()).await;
        one.read_all(&first).await;
        two.read_all(&second).await;
        first.close().await.unwrap();
        second.close().await.unwrap();
    }
    let (first, _events) = one.open(dir.path()).await;
    let (second, _events) = two.open(dir.path()).await;
    assert_eq!((one.read_all(&first).await, two.read_all(&second).await), (0, 0));
    assert_eq!(std::fs::read(dir.path().join("Film/film.mkv")).unwrap(), one.data[..200 * KIB]);
    let other = dir.path().join(format!("Film [{}]/film.mkv", two.short_hash()));
    assert_eq!(std::fs::read(other).unwrap(), two.data[..230 * KIB]);
}

#[tokio::test]
async fn a_file_where_the_torrents_folder_belongs_and_a_folder_where_its_file_does_stay() {
    let dir = tempfile::tempdir().unwrap();
    let folder = made(&[("name/a", 40 * KIB), ("name/b", 1)], 32 * KIB as u32);
    let file = made(&[("other", 40 * KIB)], 32 * KIB as u32);
    write(&dir.path().join("name"), b"mine");
    write(&dir.path().join("other/mine"), b"mine");
    symlink(dir.path().join("nowhere"), dir.path().join("link")).unwrap();
    let linked = made(&[("link", 50 * KIB)], 32 * KIB as u32);
    for made in [&folder, &file, &linked] {
        let (store, _events) = made.open(dir.path()).await;
        made.fetch_all(&store).await;
        store.close().await.unwrap();
    }
    assert_eq!(std::fs::read(dir.path().join("name")).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(dir.path().join("other")).unwrap().count(), 1);
    assert!(!dir.path().join("nowhere").exists());
    let ours = |name: &str, made: &Made| dir.path().join(format!("{name} [{}]", made.short_hash()));
    assert_eq!(std::fs::read(ours("name", &folder).join("a")).unwrap(), folder.data[..40 * KIB]);
    assert_eq!(std::fs::read(ours("other", &file)).unwrap(), file.data);
    assert_eq!(std::fs::read(ours("link", &linked)).unwrap(), linked.data);
}

#[tokio::test]
async fn names_that_the_file_system_takes_for_equal_do_not_meet() {
    let Some(disk) = Mounted::image("exfat-fuse", "mkfs.exfat", 16) else { return };
    let dir = disk.path();
    let made = made(&[("S/Film.mkv", 70 * KIB), ("S/film.MKV", 70 * KIB), ("S/\u{e9}", 10)], 32 * KIB as u32);
    write(&dir.join("s/film.mkv"), b"mine");
    let (store, _events) = made.open(dir).await;
    made.fetch_all(&store).await;
    store.close().await.unwrap();
    drop(store);
    assert_eq!(std::fs::read(dir.join("s/film.mkv")).unwrap(), b"mine");
    // The driver numbers its files anew with each mount, so ours are no longer known to be ours. They
    // are verified and used like those of another client.
    disk.again();
    let (store, _events) = made.open(dir).await;
    assert_eq!(made.read_all(&store).await, 0, "nothing is fetched again");
    store.close().await.unwrap();
    assert_eq!(std::fs::read(dir.join("s/film.mkv")).unwrap(), b"mine");
}

#[tokio::test]
async fn a_file_that_was_replaced_while_we_had_it_open_is_not_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("s/f", 160 * KIB), ("s/g", 64 * KIB)], 32 * KIB as u32);
    let (store, mut events) = made.open(dir.path()).await;
    made.fetch(&store, 0).await;
    store.sync_all().await.unwrap();
    let file = dir.path().join("s/f");
    std::fs::remove_file(&file).unwrap();
    write(&file, b"a note of the user");
    made.fetch(&store, 1).await;
    store.sync_all().await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"a note of the user");
    assert!(matches!(next(&mut events).await, StoreEvent::FileChanged(path) if path == file));
    assert!(matches!(next(&mut events).await, StoreEvent::Elsewhere { taken, .. } if taken == file));

    // The whole folder moved to another place, and another folder, or a link, has its name.
    let kept = tempfile::tempdir().unwrap();
    std::fs::rename(dir.path().join("s"), dir.path().join("library")).unwrap();
    let library = everything(&dir.path().join("library"));
    symlink(kept.path(), dir.path().join("s")).unwrap();
    made.fetch(&store, 2).await;
    made.fetch(&store, 5).await;
    store.sync_all().await.unwrap();
    assert_eq!(everything(&dir.path().join("library")), library, "what the user moved is the user's");
    assert_eq!(std::fs::read_dir(kept.path()).unwrap().count(), 0);
    made.read_all(&store).await;
    store.close().await.unwrap();
    drop(store);
    let (store, _events) = made.open(dir.path()).await;
    assert_eq!(made.read_all(&store).await, 0);
}

#[tokio::test]
async fn a_file_that_the_user_linked_elsewhere_is_neither_written_to_nor_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 4 * MIB)], 128 * KIB as u32);
    let bounded = StoreOptions { disk_limit_bytes: 1 << 20, ..options(dir.path()) };
    let (store, _events) = made.open_with(bounded).await;
    for piece in 0..6 {
        made.fetch(&store, piece).await;
    }
    store.sync_all().await.unwrap();
    let library = dir.path().join("library.mkv");
    std::fs::hard_link(dir.path().join("f"), &library).unwrap();
    let before = std::fs::read(&library).unwrap();
    for piece in 6..32 {
        store.set_readers([reader(piece, 1, 32)]);
        made.fetch(&store, piece).await;
        store.sync_all().await.unwrap();
    }
    assert!(std::fs::read(&library).unwrap() == before);
    assert_eq!(store.piece(PieceIndex(0)).await.unwrap().as_deref(), Some(made.piece(0)), "it is read there");
}

#[tokio::test]
async fn an_overwritten_file_is_reported_once_and_its_wrong_pieces_are_known_ahead_of_the_reader() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 2 * MIB)], 32 * KIB as u32);
    for (wrong, least) in [(0..64, 64), (10..40, 30)] {
        let small = StoreOptions { memory_limit_bytes: 8 * 32 * KIB as u64, ..options(dir.path()) };
        let (store, mut events) = made.open_with(small).await;
        made.read_all(&store).await;
        store.sync_all().await.unwrap();
        let mut bytes = made.data.clone();
        bytes[wrong.start * 32 * KIB..wrong.end * 32 * KIB].fill(0);
        std::fs::write(dir.path().join("f"), bytes).unwrap();
        // One read finds it; the others are found soon after, without being read.
        assert_eq!(store.piece(PieceIndex(wrong.start as u32)).await.unwrap(), None);
        let (mut changed, mut lost) = (0, 0);
        while lost + 8 < least {
            match next(&mut events).await {
                StoreEvent::FileChanged(_) => changed += 1,
                StoreEvent::Lost(_) => lost += 1,
                _ => {}
            }
        }
        assert_eq!(changed, 1);
        made.read_all(&store).await;
        store.close().await.unwrap();
        assert!(std::fs::read(dir.path().join("f")).unwrap() == made.data, "mended");
    }
}

#[tokio::test]
async fn a_removed_folder_of_many_files_is_reported_once() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("s/a", 96 * KIB), ("s/b", 96 * KIB), ("s/c", 96 * KIB)], 32 * KIB as u32);
    let (store, _events) = made.open(dir.path()).await;
    made.fetch_all(&store).await;
    store.close().await.unwrap();
    drop(store);
    let (store, mut events) = made.open(dir.path()).await;
    std::fs::remove_dir_all(dir.path().join("s")).unwrap();
    assert_eq!(made.read_all(&store).await, made.pieces());
    store.close().await.unwrap();
    let mut changed = 0;
    while let Ok(event) = events.try_recv() {
        changed += u32::from(matches!(event, StoreEvent::FileChanged(_)));
    }
    assert_eq!(changed, 1);
    assert_eq!(std::fs::read(dir.path().join("s/b")).unwrap(), made.data[96 * KIB..192 * KIB]);
}

#[tokio::test]
async fn a_read_only_store_writes_nothing_and_keeps_fetched_pieces_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f", 4 * MIB)], 32 * KIB as u32);
    write(&dir.path().join("f"), &made.data[..MIB]);
    let before = everything(dir.path());
    let reading = StoreOptions { read_only: true, memory_limit_bytes: MIB as u64, ..options(dir.path()) };
    let (store, mut events) = made.open_with(reading.clone()).await;
    assert_eq!(store.have().count(), 32);
    for piece in 0..made.pieces() {
        store.set_readers([reader(piece, 4, made.pieces())]);
        if !store.has(PieceIndex(piece)) {
            made.fetch(&store, piece).await;
        }
        assert_eq!(store.piece(PieceIndex(piece)).await.unwrap().as_deref(), Some(made.piece(piece)));
        assert!(store.memory_bytes() <= MIB as u64 + 64 * KIB as u64, "{}", store.memory_bytes());
    }
    assert!(store.has(PieceIndex(0)) && !store.has(PieceIndex(40)), "what was watched goes");
    assert!(store.disk_room_bytes() > 0);
    let mut given_back = 0;
    while let Ok(event) = events.try_recv() {
        given_back += u32::from(matches!(event, StoreEvent::GivenBack(_)));
    }
    assert!(given_back > 60, "{given_back}");
    store.close().await.unwrap();
    assert_eq!(everything(dir.path()), before);
    assert!(!dir.path().join(STATE_DIR).exists());
    // Links are followed there, as the user chose the files.
    let linked = tempfile::tempdir().unwrap();
    symlink(dir.path().join("f"), linked.path().join("f")).unwrap();
    let (store, _events) = made.open_with(StoreOptions { dir: linked.path().to_owned(), ..reading.clone() }).await;
    assert_eq!(store.piece(PieceIndex(5)).await.unwrap().as_deref(), Some(made.piece(5)));
    // Another user's link could make us share files that this user may not read. Only root can make
    // such a link here.
    if std::os::unix::fs::lchown(linked.path().join("f"), Some(1), None).is_ok() {
        let (store, _events) = made.open_with(StoreOptions { dir: linked.path().to_owned(), ..reading.clone() }).await;
        assert!(!matches!(store.piece(PieceIndex(5)).await, Ok(Some(_))));
    }
    // A missing folder is not created.
    let nowhere = StoreOptions { dir: dir.path().join("nowhere"), ..reading };
    let (store, _events) = made.open_with(nowhere).await;
    made.fetch(&store, 0).await;
    assert!(!dir.path().join("nowhere").exists());
}

#[tokio::test]
async fn pad_bytes_that_are_not_zero_are_kept_as_a_file_and_zeros_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut made = made(&[("s/a", 20 * KIB), (".pad/1", 44 * KIB), ("s/b", 64 * KIB), (".pad/2", 10)], 32 * KIB as u32);
    made.data[40 * KIB..50 * KIB].fill(5);
    let hashes: Vec<u8> = made.data.chunks(32 * KIB).flat_map(sha1).collect();
    let mut torrent = Metainfo::clone(&made.torrent);
    torrent.proof = Proof::of_torrent(hashes.into());
    let made = Made { torrent: Arc::new(torrent), data: made.data };
    let (store, mut events) = made.open(dir.path()).await;
    assert_eq!(made.read_all(&store).await, 4, "the last piece is all zeros");
    store.sync_all().await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let (store, _events) = made.open(dir.path()).await;
    made.check_all(&store).await;
    assert_eq!(store.told().count(), made.pieces(), "nothing is fetched again");
    assert!(events.try_recv().is_err());
    assert!(dir.path().join("s/.pad/1").exists() && !dir.path().join("s/.pad/3").exists());
}

/// Puts a folder, a pipe, a link and a socket in turn at a path that `name` returns. Checks that
/// the film is nevertheless fetched, recorded and found again.
async fn with_something_at(name: impl Fn(&Made) -> String) {
    type Put = fn(&Path);
    let things: [Put; 4] = [
        |at| {
            std::fs::create_dir(at).unwrap();
            std::fs::write(at.join("mine"), b"mine").unwrap();
        },
        |at| {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, at, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        },
        |at| symlink(at.parent().unwrap().parent().unwrap().join("precious"), at).unwrap(),
        |at| drop(std::os::unix::net::UnixListener::bind(at).unwrap()),
    ];
    for put in things {
        let dir = tempfile::tempdir().unwrap();
        let made = made(&[("film.mkv", 100 * KIB)], 32 * KIB as u32);
        std::fs::write(dir.path().join("precious"), b"mine").unwrap();
        std::fs::create_dir(dir.path().join(STATE_DIR)).unwrap();
        let at = dir.path().join(STATE_DIR).join(name(&made));
        put(&at);
        let kind = std::fs::symlink_metadata(&at).unwrap().file_type();
        for fetched in [4, 0] {
            let (store, _events) = made.open(dir.path()).await;
            assert_eq!(made.read_all(&store).await, fetched, "{kind:?}");
            store.close().await.unwrap();
        }
        assert_eq!(std::fs::read(dir.path().join("film.mkv")).unwrap(), made.data);
        assert_eq!(std::fs::symlink_metadata(&at).unwrap().file_type(), kind, "it is left alone");
        assert_eq!(std::fs::read(dir.path().join("precious")).unwrap(), b"mine");
    }
}

#[tokio::test]
async fn a_folder_a_pipe_or_a_link_in_place_of_the_record_costs_only_its_name() {
    with_something_at(|made| format!("{}.have", made.torrent.info_hash)).await;
}

#[tokio::test]
async fn a_folder_a_pipe_or_a_link_in_place_of_the_saved_torrent_is_left_alone() {
    with_something_at(|made| format!("{}.torrent.new", made.torrent.info_hash)).await;
}

#[tokio::test]
async fn a_hundred_and_fifty_taken_names_leave_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let made = made(&[("f.mkv", 64 * KIB)], 32 * KIB as u32);
    let hash = made.short_hash();
    let taken = |n: u32| match n {
        0 => "f.mkv".to_owned(),
        1 => format!("f [{hash}].mkv"),
        n => format!("f [{hash}] ({n}).mkv"),
    };
    (0..150).for_each(|n| std::fs::write(dir.path().join(taken(n)), b"mine").unwrap());
    let (store, mut events) = made.open(dir.path()).await;
    made.fetch_all(&store).await;
    store.close().await.unwrap();
    assert!(matches!(next(&mut events).await, StoreEvent::Elsewhere { ours, .. } if ours.ends_with(taken(150))));
    assert_eq!(std::fs::read(dir.path().join(taken(150))).unwrap(), made.data);
    assert!((0..150).all(|n| std::fs::read(dir.path().join(taken(n))).unwrap() == b"mine"));
}

/// Changes the record to that of a process that was killed between noting the torrent's folder and
/// files and learning their identities: no piece, and names alone.
fn forget_identities(dir: &Path, made: &Made) {
    let path = dir.join(STATE_DIR).join(format!("{}.have", made.torrent.info_hash));
    let mut bytes = std::fs::read(&path).unwrap();
    let bits = 2 * made.pieces().div_ceil(8) as usize;
    bytes[64..64 + bits].fill(0);
    bytes[64 + bits..].chunks_exact_mut(24).for_each(|entry| entry[8..].fill(0));
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_file_that_was_being_created_at_a_kill_is_used_by_the_next_start() {
    for (path, noted) in
        [("film.mkv", true), ("film.mkv", false), ("Film/a/film.mkv", true), ("Film/a/film.mkv", false)]
    {
        let dir = tempfile::tempdir().unwrap();
        let made = made(&[(path, 100 * KIB)], 32 * KIB as u32);
        let (store, _events) = made.open(dir.path()).await;
        made.fetch_all(&store).await;
        store.close().await.unwrap();
        drop(store);
        forget_identities(dir.path(), &made);
        let film = dir.path().join(path);
        std::fs::remove_file(&film).unwrap();
        if noted {
            std::fs::write(&film, b"").unwrap();
        }
        if path.contains('/') {
            // The folder is created and noted before its files, so it is empty.
            std::fs::remove_dir_all(dir.path().join("Film/a")).unwrap();
        }
        let (store, mut events) = made.open(dir.path()).await;
        made.fetch_all(&store).await;
        store.close().await.unwrap();
        assert_eq!(std::fs::read(&film).unwrap(), made.data);
        assert!(events.try_recv().is_err(), "no other name is used, and there is no message");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "our notes and the film");
        drop(store);
        let (store, _events) = made.open(dir.path()).await;
        assert!(store.told().is_full(), "it is ours again");
    }
}

#[tokio::test]
async fn a_file_with_bytes_or_another_name_is_not_taken_for_one_that_was_being_created() {
    for linked in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let made = made(&[("film.mkv", 100 * KIB)], 32 * KIB as u32);
        let (store, _events) = made.open(dir.path()).await;
        made.fetch_all(&store).await;
        store.close().await.unwrap();
        drop(store);
        forget_identities(dir.path(), &made);
        let film = dir.path().join("film.mkv");
        std::fs::remove_file(&film).unwrap();
        std::fs::write(&film, if linked { &b""[..] } else { b"mine" }).unwrap();
        if linked {
            std::fs::hard_link(&film, dir.path().join("other")).unwrap();
        }
        let before = std::fs::read(&film).unwrap();
        let (store, mut events) = made.open(dir.path()).await;
        made.fetch_all(&store).await;
        store.close().await.unwrap();
        assert_eq!(std::fs::read(&film).unwrap(), before);
        assert!(matches!(next(&mut events).await, StoreEvent::Elsewhere { taken, .. } if taken == film));
    }
}

#[tokio::test]
async fn where_the_disk_refuses_a_name_a_form_that_every_disk_accepts_is_used() {
    let Some(stick) = Mounted::image("exfat-fuse", "mkfs.exfat", 40) else { return };
    let single = made(&[("Alien: Resurrection?.mkv", 100 * KIB)], 32 * KIB as u32);
    let folder = made(&[("What: now?/S01: one/a?.mkv", 100 * KIB), ("What: now?/plain.srt", 10)], 32 * KIB as u32);
    for (made, names) in [
        (&single, &["Alien_ Resurrection_.mkv"][..]),
        (&folder, &["What_ now_/S01_ one/a_.mkv", "What_ now_/plain.srt"]),
    ] {
        let (store, mut events) = made.open(stick.path()).await;
        made.fetch_all(&store).await;
        store.close().await.unwrap();
        let written: Vec<u8> = names.iter().flat_map(|name| std::fs::read(stick.path().join(name)).unwrap()).collect();
        assert!(written == made.data, "{names:?}");
        assert!(matches!(next(&mut events).await, StoreEvent::Elsewhere { refused: true, .. }), "the user is told");
    }
}
