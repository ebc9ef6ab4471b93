//! Trees, their levels, and transfers as servers make them. `tests/tests/file_hashes.rs` compares
//! roots with a real program.

use super::level::{height, nodes_at};
use super::*;
use bytes::Bytes;
use data_encoding::BASE32_NOPAD;
use proptest::prelude::*;

fn text(digest: &Digest) -> String {
    BASE32_NOPAD.encode(digest)
}

/// Returns bytes of which no two leaves are equal.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n / 1024 * 7 + n % 251) as u8).collect()
}

/// Returns the level of slices of 2^`log2` KiB, computed slice by slice.
fn level(bytes: &[u8], log2: u32) -> Level {
    let nodes: Vec<u8> = match bytes {
        [] => root_of(bytes).to_vec(),
        _ => bytes.chunks(1024 << log2).flat_map(root_of).collect(),
    };
    Level::new(bytes.len() as u64, log2, nodes.into(), &root_of(bytes)).unwrap()
}

/// Returns a record of DIME.
fn record(flags: u8, id: &[u8], kind: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = vec![1 << 3 | flags, 0x20, 0, 0];
    out.extend((id.len() as u16).to_be_bytes());
    out.extend((kind.len() as u16).to_be_bytes());
    out.extend((data.len() as u32).to_be_bytes());
    for field in [id, kind, data] {
        out.extend_from_slice(field);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

/// Returns a transfer as servers make it: a description, which may be broken, and the nodes.
fn dime(description: &[u8], nodes: &[u8]) -> Bytes {
    let kind = b"http://open-content.net/spec/thex/breadthfirst";
    [record(4, b"", b"text/xml", description), record(2, b"\"uuid:1234567", kind, nodes)].concat().into()
}

#[test]
fn roots_are_those_of_the_specification_and_of_other_programs() {
    // The first three are in THEX, section 2.2; the others are RHash's.
    for (bytes, wanted) in [
        (vec![], "LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ"),
        (vec![0], "VK54ZIEEVTWNAUI5D5RDFIL37LX2IQNSTAXFKSA"),
        (vec![b'A'; 1024], "L66Q4YVNAFWVS23X2HJIRA5ZJ7WXR3F26RSASFA"),
        (vec![b'A'; 1025], "PZMRYHGY6LTBEH63ZWAHDORHSYTLO4LEFUIKHWY"),
    ] {
        assert_eq!(text(&root_of(&bytes)), wanted, "{} bytes", bytes.len());
    }
}

#[test]
fn the_length_of_a_file_gives_the_shape_of_its_tree() {
    let sizes = |bytes| (0..=height(bytes)).map(|level| nodes_at(bytes, level)).collect::<Vec<_>>();
    assert_eq!(sizes(0), [1]);
    assert_eq!(sizes(1024), [1]);
    assert_eq!(sizes(1025), [2, 1]);
    assert_eq!(sizes(5 * 1024 + 1), [6, 3, 2, 1]);
    assert_eq!(nodes_at(u64::MAX, 0), 1 << 54);
    assert_eq!(nodes_at(u64::MAX, 200), 1);
    assert!(height(u64::MAX) == 54);
}

#[test]
fn a_slice_is_checked_against_its_node() {
    let bytes = content(7 * 1024 + 100);
    for log2 in 0..4 {
        let level = level(&bytes, log2);
        let slices: Vec<&[u8]> = bytes.chunks(1024 << log2).collect();
        assert_eq!((level.slices(), level.slice_bytes()), (slices.len() as u64, 1024 << log2));
        for (n, slice) in slices.iter().enumerate() {
            assert!(level.check(n as u64, slice), "slice {n} of 2^{log2} KiB");
            let mut damaged = slice.to_vec();
            damaged[slice.len() / 2] ^= 1;
            assert!(!level.check(n as u64, &damaged));
            assert!(!level.check(n as u64, &slice[1..]) && !level.check(n as u64 + 1, slice));
        }
        assert!(!level.check(slices.len() as u64, &[]) && !level.check(u64::MAX, &[]));
    }
    assert!(level(&[], 0).check(0, &[]));
}

#[test]
fn a_level_that_does_not_lead_to_the_root_is_refused() {
    let bytes = content(5000);
    let right = level(&bytes, 0);
    let nodes = Bytes::from(bytes.chunks(1024).flat_map(root_of).collect::<Vec<u8>>());
    let new = |bytes, log2, nodes: &[u8]| Level::new(bytes, log2, nodes.to_vec().into(), &right.root());
    assert_eq!(new(5000, 0, &nodes), Ok(right.clone()));
    let mut wrong = nodes.to_vec();
    wrong[30] ^= 1;
    assert_eq!(new(5000, 0, &wrong), Err(BadTree::OtherRoot));
    assert_eq!(new(5000, 0, &nodes[24..]), Err(BadTree::Short));
    assert_eq!(new(5000, 1, &nodes), Err(BadTree::Short));
    assert_eq!(new(1 << 40, 0, &nodes), Err(BadTree::Long));
}

#[test]
fn the_finest_level_that_is_kept_is_computed_from_a_file() {
    for length in [0, 1, 1024, 1025, 100_000] {
        let bytes = content(length);
        assert_eq!(Level::of_file(length as u64, bytes.chunks(777)), Some(level(&bytes, 0)), "{length}");
    }
    let bytes = content((MAX_NODES as usize + 1) * 1024);
    let coarse = Level::of_file(bytes.len() as u64, [&bytes[..]]).unwrap();
    assert_eq!((coarse.slice_bytes(), coarse.root()), (2048, root_of(&bytes)));
    assert_eq!(Level::of_file(5, [&b"four"[..]]), None);
}

#[test]
fn a_transfer_yields_its_finest_level() {
    let bytes = content(20 * 1024 + 5);
    let (size, root) = (bytes.len() as u64, root_of(&bytes));
    for log2 in 0..6 {
        let sent = level(&bytes, log2);
        let nodes = sent.to_breadth_first();
        assert_eq!(&nodes[..24], root);
        for (transfer, body) in [
            (Transfer::Raw, Bytes::from(nodes.clone())),
            (Transfer::Dime, dime(b"<hashtree>", &nodes)),
            // A description that is cut, and bytes behind the end.
            (Transfer::Dime, [&dime(b"<", &nodes)[..], b"\0\0\0"].concat().into()),
        ] {
            let read = read(transfer, &body, size, &root).unwrap();
            // Where a level of several slices equals its root, the coarser one is the same.
            assert_eq!(read, sent, "2^{log2} KiB, {transfer:?}");
        }
    }
}

#[test]
fn a_cut_transfer_yields_the_levels_that_came() {
    let bytes = content(20 * 1024);
    let (size, root) = (bytes.len() as u64, root_of(&bytes));
    let nodes = level(&bytes, 0).to_breadth_first();
    let body = dime(b"<hashtree>", &nodes);
    let coarse = read(Transfer::Dime, &body.slice(..body.len() - 1), size, &root).unwrap();
    assert_eq!(coarse, level(&bytes, 1));
    assert_eq!(read(Transfer::Raw, &Bytes::copy_from_slice(&nodes[..24]), size, &root).unwrap().slices(), 1);
    assert_eq!(read(Transfer::Raw, &Bytes::copy_from_slice(&nodes[..23]), size, &root), Err(BadTree::Short));
    // More levels than are kept are not read: nothing behind them counts.
    let large = content((MAX_NODES as usize + 1) * 1024);
    let kept = Level::of_file(large.len() as u64, [&large[..]]).unwrap();
    let body = [kept.to_breadth_first(), vec![0; 1000]].concat().into();
    assert_eq!(read(Transfer::Raw, &body, large.len() as u64, &kept.root()), Ok(kept));
}

#[test]
fn a_transfer_that_lies_is_refused() {
    let bytes = content(20 * 1024);
    let (size, root) = (bytes.len() as u64, root_of(&bytes));
    let nodes = level(&bytes, 0).to_breadth_first();
    let with = |at: usize| {
        let mut nodes = nodes.clone();
        nodes[at] ^= 1;
        read(Transfer::Raw, &nodes.into(), size, &root)
    };
    assert_eq!(with(5), Err(BadTree::OtherRoot));
    assert_eq!(with(24), Err(BadTree::Contradiction(1)));
    assert_eq!(with(24 * 3), Err(BadTree::Contradiction(2)));
    assert_eq!(with(nodes.len() - 1), Err(BadTree::Contradiction(5)));
    let right = dime(b"<hashtree>", &nodes);
    let broken = |at: usize, byte: u8| {
        let mut body = right.to_vec();
        body[at] = byte;
        read(Transfer::Dime, &body.into(), size, &root)
    };
    assert!(broken(0, 1 << 3 | 4).is_ok());
    // Version 0, a chunk, an end before the nodes, and lengths beyond the end.
    for (at, byte) in [(0, 4), (0, 1 << 3 | 5), (0, 1 << 3 | 6), (2, 0xff), (8, 0xff)] {
        assert_eq!(broken(at, byte), Err(BadTree::NotDime), "byte {at} = {byte}");
    }
    for body in [Bytes::new(), Bytes::from_static(b"<html>"), Bytes::from(vec![0x08; 4096])] {
        assert_eq!(read(Transfer::Dime, &body, size, &root), Err(BadTree::NotDime));
    }
    // Only empty records.
    let body: Bytes = record(0, b"", b"", b"").repeat(1000).into();
    assert_eq!(read(Transfer::Dime, &body, size, &root), Err(BadTree::NotDime));
}

#[test]
fn media_types_name_the_transfer() {
    assert_eq!(Transfer::of_media_type("application/dime"), Some(Transfer::Dime));
    assert_eq!(Transfer::of_media_type("application/tigertree-breadthfirst"), Some(Transfer::Raw));
    assert_eq!(Transfer::of_media_type("text/html"), None);
}

proptest! {
    #[test]
    fn cuts_do_not_change_a_root(length in 0usize..20_000, cut in 1usize..3000) {
        let bytes = content(length);
        let mut hasher = TreeHasher::new();
        bytes.chunks(cut).for_each(|chunk| hasher.update(chunk));
        prop_assert_eq!(hasher.finish(), root_of(&bytes));
        // As the specification says it: level by level.
        let mut nodes: Vec<Digest> = match bytes.is_empty() {
            true => vec![leaf(&[])],
            false => bytes.chunks(1024).map(leaf).collect(),
        };
        while nodes.len() > 1 {
            nodes = nodes.chunks(2).map(|pair| if let [a, b] = pair { node(a, b) } else { pair[0] }).collect();
        }
        prop_assert_eq!(nodes[0], root_of(&bytes));
    }

    #[test]
    fn no_transfer_makes_it_panic(size in any::<u64>(), body in any::<Vec<u8>>(), dimes in any::<bool>()) {
        let transfer = if dimes { Transfer::Dime } else { Transfer::Raw };
        let _ = read(transfer, &body.into(), size, &[0; 24]);
    }
}
