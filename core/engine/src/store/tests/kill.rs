//! A process that is killed while it fetches: its recorded pieces are present, and correct.

use super::*;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const FOLDER: &str = "PLAYSWARM_TEST_KILLED_IN";

fn film() -> Made {
    made(&[("a", 7 * MIB + 5), ("b", 25 * MIB)], 32 * KIB as u32)
}

/// The process to be killed: it reports each piece that is on disk.
#[tokio::test]
#[ignore = "run by the test below"]
async fn the_process_to_be_killed() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let made = film();
    let (store, _events) = made.open(Path::new(&dir)).await;
    for piece in (0..made.pieces()).rev() {
        made.fetch(&store, piece).await;
        // At times several pieces are in progress at once.
        if piece % 5 == 0 {
            store.sync_all().await.unwrap();
            println!("piece {piece}");
        }
    }
}

#[tokio::test]
async fn a_kill_at_any_moment_loses_no_piece_that_was_on_disk_and_leaves_no_false_claim() {
    let made = film();
    let mut midway = 0;
    for lines in [1, 7, 40] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::kill::the_process_to_be_killed", "--ignored", "--nocapture"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(|line| line.ok());
        let lowest =
            said.filter_map(|line| line.split_once("piece ")?.1.trim().parse::<u32>().ok()).nth(lines).unwrap();
        // SIGKILL, at any moment.
        child.kill().unwrap();
        child.wait().unwrap();

        let (store, mut events) = made.open(dir.path()).await;
        let here = store.have();
        assert!((lowest..made.pieces()).all(|piece| here.get(piece)), "from {lowest} on");
        midway += u32::from(!here.is_full());
        for piece in here.iter_ones() {
            assert_eq!(store.piece(PieceIndex(piece)).await.unwrap().as_deref(), Some(made.piece(piece)), "{piece}");
        }
        // Claims that were not synced before the kill are proven as they are read.
        while let Ok(event) = events.try_recv() {
            assert!(matches!(event, StoreEvent::Proven(_)), "{event:?}");
        }
    }
    assert!(midway > 0, "all were killed too late to show anything");
}
