//! Each kind of proof accepts the bytes that it names and no others.

use super::*;
use crate::sha1::sha1;
use crate::tiger_tree::root_of;
use aws_lc_rs::digest::digest;

const PIECE: usize = 64 << 10;

/// Returns five pieces and the beginning of a sixth, no two of them equal.
fn content() -> Vec<u8> {
    (0..5 * PIECE + 777).map(|n| (n / PIECE * 31 + n % 251) as u8).collect()
}

fn sha256(bytes: &[u8]) -> Sha256 {
    digest(&SHA256, bytes).as_ref().try_into().unwrap()
}

fn flat(kind: HashKind, bytes: &[u8]) -> metalink::Pieces {
    let hashes: Vec<u8> = match kind {
        HashKind::Sha1 => bytes.chunks(PIECE).flat_map(sha1).collect(),
        HashKind::Sha256 => bytes.chunks(PIECE).flat_map(sha256).collect(),
    };
    metalink::Pieces { kind, piece_bytes: PIECE as u64, hashes: hashes.into() }
}

fn level(bytes: &[u8]) -> Level {
    let nodes: Vec<u8> = bytes.chunks(PIECE).flat_map(root_of).collect();
    Level::of_nodes(bytes.len() as u64, nodes.into()).unwrap()
}

fn whole(bytes: &[u8]) -> WholeHashes {
    WholeHashes { sha1: Some(sha1(bytes)), sha256: Some(sha256(bytes)), tiger: Some(root_of(bytes)) }
}

/// Returns what the check of these bytes as a whole file finds.
fn judge(proof: &Proof, bytes: &[u8]) -> Result<Option<Level>, Mismatch> {
    let mut check = proof.check_whole(bytes.len() as u64).unwrap();
    bytes.chunks(PIECE).for_each(|piece| check.add(piece));
    check.finish()
}

#[test]
fn each_piece_has_its_own_hash_and_no_other_bytes_have_it() {
    let bytes = content();
    let none = WholeHashes::default();
    for proof in [
        Proof::of_torrent(flat(HashKind::Sha1, &bytes).hashes),
        Proof::of_pieces(&flat(HashKind::Sha1, &bytes), none),
        Proof::of_pieces(&flat(HashKind::Sha256, &bytes), none),
        Proof::of_tree(level(&bytes), none),
        Proof::of_accepted_tree(level(&bytes), whole(&bytes)),
    ] {
        assert!(proof.is_by_piece());
        assert_eq!(proof.hashes(), 6);
        for (n, piece) in (0..).zip(bytes.chunks(PIECE)) {
            assert!(proof.accepts(n, piece), "{} {n}", proof.kind());
            assert!(!proof.accepts(n + 1, piece), "{} {n}", proof.kind());
            assert!(!proof.accepts(n, &piece[1..]), "{} {n}", proof.kind());
            let mut wrong = piece.to_vec();
            *wrong.last_mut().unwrap() ^= 1;
            assert!(!proof.accepts(n, &wrong), "{} {n}", proof.kind());
            let mut check = proof.check();
            piece.chunks(1000).for_each(|part| check.update(part));
            assert!(proof.confirms(n, check), "{} {n}", proof.kind());
        }
        assert!(!proof.accepts(u32::MAX, &bytes[..PIECE]));
    }
}

#[test]
fn a_check_of_one_kind_confirms_nothing_of_another() {
    let bytes = content();
    let tree = Proof::of_tree(level(&bytes), WholeHashes::default());
    let sealed = Proof::of_whole(whole(&bytes));
    assert!(!tree.confirms(0, sealed.check()));
    assert!(!sealed.confirms(0, tree.check()));
}

#[test]
fn only_the_whole_proves_a_file_of_which_only_the_whole_is_named() {
    let bytes = content();
    let mut wrong = bytes.clone();
    wrong[PIECE] ^= 1;
    for (hash, named) in [
        ("SHA-1", WholeHashes { sha1: Some(sha1(&bytes)), ..Default::default() }),
        ("SHA-256", WholeHashes { sha256: Some(sha256(&bytes)), ..Default::default() }),
        ("tiger tree", WholeHashes { tiger: Some(root_of(&bytes)), ..Default::default() }),
    ] {
        let proof = Proof::of_whole(named);
        assert!(!proof.is_by_piece() && proof.is_settled_by_whole());
        assert!(proof.accepts(1, &wrong[PIECE..2 * PIECE]), "nothing speaks against it yet");
        assert_eq!(judge(&proof, &bytes), Ok(Some(level(&bytes))), "{hash}: the tree is learned");
        assert_eq!(judge(&proof, &wrong), Err(Mismatch(hash)));
        assert_eq!(judge(&proof, &bytes[..bytes.len() - 1]), Err(Mismatch(hash)));
    }
}

#[test]
fn a_hash_beside_the_tree_is_checked_at_the_end() {
    let bytes = content();
    let lie = WholeHashes { sha1: Some([1; 20]), tiger: Some(root_of(&bytes)), ..Default::default() };
    // The root was named: the bytes are the named ones, and the link contradicts itself.
    let named = Proof::of_tree(level(&bytes), lie);
    assert_eq!(judge(&named, &bytes), Err(Mismatch("SHA-1")));
    assert!(!named.is_settled_by_whole());
    // The tree was only claimed: the file is another one.
    let claimed = Proof::of_accepted_tree(level(&bytes), WholeHashes { tiger: None, ..lie });
    assert_eq!(judge(&claimed, &bytes), Err(Mismatch("SHA-1")));
    assert!(claimed.is_settled_by_whole());
    assert_eq!(judge(&Proof::of_tree(level(&bytes), whole(&bytes)), &bytes), Ok(None));
}

#[test]
fn pieces_prove_a_torrent_and_the_root_of_their_tree() {
    let bytes = content();
    assert!(Proof::of_torrent(flat(HashKind::Sha1, &bytes).hashes).check_whole(1).is_none());
    let root = WholeHashes { tiger: Some(root_of(&bytes)), ..Default::default() };
    assert!(Proof::of_tree(level(&bytes), root).check_whole(1).is_none());
}
