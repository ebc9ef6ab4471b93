//! Files as links name them, and the metainfo that they become.

use super::*;
use crate::magnet;
use crate::metalink::{HashKind, Pieces};
use crate::proof::Sha256;
use crate::sha1::sha1;
use crate::tiger_tree::root_of;

const LENGTH: usize = 1_000_000;

fn content() -> Vec<u8> {
    (0..LENGTH).map(|n| (n / 1024 * 7 + n % 251) as u8).collect()
}

fn file(link: &str) -> NamedFile {
    magnet::parse_file(link).unwrap().unwrap().into()
}

fn bitprint(bytes: &[u8]) -> String {
    FileHashes { sha1: Some(sha1(bytes)), tiger: Some(root_of(bytes)) }.urn().unwrap()
}

fn finest(bytes: &[u8]) -> Level {
    Level::of_file(bytes.len() as u64, [bytes]).unwrap()
}

#[test]
fn a_link_becomes_metainfo_of_one_file_whose_servers_are_web_seeds() {
    let bytes = content();
    let link = format!("magnet:?xt={}&dn=a%2Fb%20film.mkv&as=http://h.example/x&xl={LENGTH}", bitprint(&bytes));
    let named = file(&link);
    let metainfo = named.clone().metainfo(LENGTH as u64, Tree::Proven(finest(&bytes))).unwrap();
    assert_eq!((metainfo.name.as_str(), metainfo.files.len()), ("b film.mkv", 1));
    assert_eq!((metainfo.files[0].length, metainfo.total_bytes()), (LENGTH as u64, LENGTH as u64));
    assert_eq!(metainfo.piece_bytes(), 64 << 10, "the finest slices are coarsened");
    assert!(metainfo.private && metainfo.proof.is_by_piece());
    for (n, piece) in (0..).zip(bytes.chunks(64 << 10)) {
        assert!(metainfo.proof.accepts(n, piece));
    }
    let seed = &metainfo.web_seeds.iter().next().unwrap().url;
    assert_eq!(metainfo.web_paths().url(seed, 0).unwrap().as_str(), "http://h.example/x");
    let again = file(&metainfo.link().unwrap());
    assert_eq!((again.whole, again.id()), (named.whole, named.id()));
}

#[test]
fn a_link_for_others_has_no_secrets_of_the_user() {
    let link = format!("magnet:?xt={}&as=http://user:s3cret@h.example/film.mkv?id=1", bitprint(&content()));
    let mut named = file(&link);
    named.servers.push_mirror("http://nas.example/film.mkv?token=s3cret".parse().unwrap());
    let servers: Vec<String> = file(&named.link().unwrap()).servers.iter().map(|s| s.url.to_string()).collect();
    assert_eq!(servers, ["http://h.example/film.mkv?id=1"]);
}

#[test]
fn the_identity_is_no_hash_that_another_network_knows() {
    let bytes = content();
    let [both, sha, tree] = [
        file(&bitprint(&bytes)),
        file(&FileHashes { sha1: Some(sha1(&bytes)), tiger: None }.urn().unwrap()),
        file(&FileHashes { sha1: None, tiger: Some(root_of(&bytes)) }.urn().unwrap()),
    ];
    assert_eq!(both.id(), tree.id(), "the root names both");
    assert_ne!(sha.id(), tree.id());
    assert_ne!(sha.id().0, sha1(&bytes));
    let pieces = |byte| Pieces { kind: HashKind::Sha256, piece_bytes: 1 << 20, hashes: vec![byte; 32].into() };
    let by_pieces = |byte| NamedFile { pieces: Some(pieces(byte)), ..NamedFile::default() };
    assert_ne!(by_pieces(1).id(), by_pieces(2).id());
}

#[test]
fn the_pieces_of_a_file_without_a_tree_are_those_of_the_tree_that_it_will_have() {
    let sizes = [1, 1023, 1024, 1025, 65_536, 65_537, LENGTH as u64, 700 << 20, 5 << 30];
    for length in sizes {
        let whole = WholeHashes { sha1: Some([1; 20]), ..Default::default() };
        let named = NamedFile { whole, ..NamedFile::default() };
        let metainfo = named.metainfo(length, Tree::Unknown).unwrap();
        assert!(!metainfo.proof.is_by_piece());
        let nodes = vec![7; 24 * metainfo.pieces() as usize];
        let level = Level::of_nodes(length, nodes.into()).unwrap();
        assert_eq!(level.slice_bytes(), u64::from(metainfo.piece_bytes()), "{length}");
        assert_eq!(level.coarsened(64 << 10).slice_bytes(), u64::from(metainfo.piece_bytes()), "{length}");
    }
}

#[test]
fn a_tree_that_is_too_coarse_for_a_piece_leaves_the_whole_file_as_proof() {
    let length = 1 << 30;
    let root = Level::of_nodes(length, vec![5; 24].into()).unwrap();
    let whole = WholeHashes { tiger: Some(root.root()), ..Default::default() };
    let metainfo = NamedFile { whole, ..NamedFile::default() }.metainfo(length, Tree::Proven(root)).unwrap();
    assert!(!metainfo.proof.is_by_piece());
}

#[test]
fn lengths_that_contradict_the_hashes_are_refused() {
    let pieces = |bytes| Pieces { kind: HashKind::Sha256, piece_bytes: bytes, hashes: vec![1; 64].into() };
    let named = |bytes| NamedFile { pieces: Some(pieces(bytes)), ..NamedFile::default() };
    assert!(named(1 << 20).metainfo((1 << 20) + 1, Tree::Unknown).is_ok());
    let why = |named: NamedFile, length| named.metainfo(length, Tree::Unknown).unwrap_err().0;
    assert!(why(named(1 << 20), 1 << 20).contains("have 1 pieces, but it has 2 hashes"));
    assert!(why(named(1 << 20), (2 << 20) + 1).contains("3 pieces"));
    assert!(why(named(1 << 30), 2 << 30).contains("its pieces are not of"));
    assert!(why(named(1 << 20), 0).contains("not that of a film"));
    assert!(why(named(1 << 20), u64::MAX).contains("not that of a film"));
}

#[test]
fn a_file_is_named_by_its_link_or_by_its_server() {
    let of = |rest: &str| file(&format!("magnet:?xt={}{rest}", bitprint(b"x"))).shown_name();
    assert_eq!(of("&dn=film.mkv&as=http://h/other.mkv"), "film.mkv");
    assert_eq!(of("&as=http://h/a%20film.mkv?key=1"), "a film.mkv");
    assert_eq!(of("&dn=..%2F..%2Fetc%2Fpasswd"), "passwd");
    // Otherwise by its hash. A message has it as links do.
    let urn = bitprint(b"x");
    assert_eq!(of("&as=http://h/"), urn.rsplit(':').next().unwrap());
    // A servent has all files by their hashes.
    let sha1 = "urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";
    assert_eq!(of(&format!("&xs=http://9.9.9.9:6346/uri-res/N2R?{sha1}")), urn.rsplit(':').next().unwrap());
    assert_eq!(file(&format!("magnet:?xt={urn}")).label(), urn);
    assert_eq!(file(&format!("magnet:?xt={urn}&dn=film.mkv")).label(), "film.mkv");
}

#[test]
fn a_file_that_hashes_name_has_a_link_and_no_torrent() {
    let urn = bitprint(&content());
    let named = file(&format!("magnet:?xt={urn}&dn=film.mkv"));
    let metainfo = named.metainfo(content().len() as u64, Tree::Unknown).unwrap();
    assert_eq!(metainfo.to_torrent_bytes(), None);
    assert!(metainfo.link().unwrap().contains(&urn));
}

#[test]
fn a_saved_tree_is_read_again_unless_it_is_damaged() {
    let level = finest(&content()).coarsened(64 << 10);
    let saved: bytes::Bytes = level.to_saved().into();
    assert_eq!(Level::from_saved(&saved), Some(level));
    for at in [0, 9, 20, 50, saved.len() - 1] {
        let mut damaged = saved.to_vec();
        damaged[at] ^= 1;
        // Another length may have as many pieces; the bytes of the last piece then fail.
        assert!(at == 9 || Level::from_saved(&damaged.into()).is_none(), "{at}");
    }
    assert_eq!(Level::from_saved(&saved.slice(..saved.len() - 1)), None);
    assert_eq!(Level::from_saved(&bytes::Bytes::new()), None);
}

#[test]
fn a_metalink_names_a_file_by_all_that_it_has() {
    let sha: Sha256 = [3; 32];
    let file = metalink::File { name: "f".into(), sha256: Some(sha), length: Some(5), ..Default::default() };
    let named = NamedFile::from(file);
    assert!(!named.is_nameless());
    assert_eq!(named.urn().unwrap(), format!("urn:sha256:{}", "03".repeat(32)));
    assert!(NamedFile::from(metalink::File::default()).is_nameless());
}
