//! Sources other than peers, as bytes: URLs of web seeds and ranges of real servers, and the hashes
//! that name files, beside real programs.
#![allow(clippy::unwrap_used)]

use playswarm_proto::http_range::{Conversation, Event, Request};
use playswarm_proto::metainfo::{Content, Metainfo, WebPaths};
use playswarm_proto::metalink::Metalink;
use playswarm_proto::named_file::Tree;
use playswarm_proto::sha1::sha1;
use playswarm_proto::tiger_tree::{Level, root_of};
use playswarm_proto::{FileHashes, NamedFile, magnet};
use playswarm_tests::nginx::Nginx;
use playswarm_tests::peers::libtorrent;
use playswarm_tests::playswarm::{Builder, STARTUP};
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

/// Makes a torrent with web seeds and downloads it from them. Prints the torrent.
const MAKE_AND_DOWNLOAD: &str = r#"
import sys, tempfile, time, libtorrent as lt
root, parent, kind, *urls = sys.argv[1:]
flags = lt.create_torrent.v1_only if kind == "v1" else lt.create_torrent.canonical_files
made = lt.create_torrent(lt.list_files(root), 16384, flags)
for url in urls:
    made.add_url_seed(url)
lt.set_piece_hashes(made, parent)
torrent = lt.bencode(made.generate())
session = lt.session({"listen_interfaces": "127.0.0.1:0", "enable_dht": False, "enable_lsd": False,
                      "enable_upnp": False, "enable_natpmp": False})
params = lt.load_torrent_buffer(torrent)
with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as params.save_path:
    handle = session.add_torrent(params)
    end = time.monotonic() + 60
    while not handle.status().is_seeding and time.monotonic() < end:
        time.sleep(0.02)
    assert handle.status().is_seeding, "libtorrent did not get everything from the web seed"
    session.remove_torrent(handle)
sys.stdout.buffer.write(torrent)
"#;

/// Returns a torrent that libtorrent made of `data/NAME` and downloaded from its web seeds.
fn made_by_libtorrent(data: &Path, name: &str, kind: &str, urls: &[String]) -> Metainfo {
    let mut command = Command::new(libtorrent::python());
    command.args(["-c", MAKE_AND_DOWNLOAD]).arg(data.join(name)).arg(data).arg(kind).args(urls);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Metainfo::from_bytes(&output.stdout).unwrap()
}

/// Writes a file with bytes that differ from those of other names.
fn write(path: &Path, length: usize) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let seed = sha1(path.file_name().unwrap().as_encoded_bytes());
    let bytes: Vec<u8> = (0..length).map(|n| seed[n % 20] ^ (n / 20 % 251) as u8).collect();
    std::fs::write(path, bytes).unwrap();
}

/// Requests all parts at once over one connection, and returns the bytes of each request.
fn fetch(requests: &[Request]) -> BTreeMap<u64, Vec<u8>> {
    let url = requests[0].url();
    let mut socket = TcpStream::connect((url.host_str().unwrap(), url.port().unwrap())).unwrap();
    let mut conversation = Conversation::new();
    let mut got: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for request in requests {
        conversation.request(request.clone()).unwrap();
    }
    let mut buffer = [0; 10_000];
    while conversation.outstanding() > 0 {
        socket.write_all(&conversation.take_output()).unwrap();
        let length = socket.read(&mut buffer).unwrap();
        assert!(length > 0, "nginx closed with {} requests unanswered", conversation.outstanding());
        conversation.feed(&buffer[..length]);
        while let Some(event) = conversation.next_event() {
            match event {
                Event::Accepted { version, .. } => assert!(version.etag.is_some()),
                Event::Data { request, bytes, .. } => got.entry(request).or_default().extend_from_slice(&bytes),
                Event::End { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    got
}

/// Fetches the torrent from its first web seed, piece by piece in order, and verifies each.
fn fetch_and_verify(torrent: &Metainfo, paths: &WebPaths) {
    let seed = &torrent.web_seeds.iter().next().unwrap().url;
    let parts = |piece: u32| {
        let start = u64::from(piece) * u64::from(torrent.piece_bytes());
        paths.parts(torrent, seed, start..torrent.total_bytes().min(start + u64::from(torrent.piece_bytes())))
    };
    let parts: Vec<(u32, _)> =
        (0..torrent.pieces()).flat_map(|piece| parts(piece).map(move |part| (piece, part))).collect();
    let requests: Vec<Request> = parts
        .iter()
        .filter_map(|(_, part)| match &part.content {
            Content::Server(request) => Some((**request).clone()),
            _ => None,
        })
        .collect();
    let mut got = fetch(&requests).into_values();
    let mut pieces: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for (piece, part) in parts {
        let bytes = pieces.entry(piece).or_default();
        match part.content {
            Content::Server(_) => bytes.extend(got.next().unwrap()),
            Content::Zeros => bytes.resize(bytes.len() + (part.bytes.end - part.bytes.start) as usize, 0),
            Content::Unavailable => panic!("{part:?}"),
        }
    }
    assert_eq!(pieces.len() as u32, torrent.pieces());
    for (piece, bytes) in pieces {
        assert_eq!(Some(&sha1(&bytes)[..]), torrent.hash_of(piece), "piece {piece}");
    }
}

fn decoded(path: &str) -> Vec<u8> {
    let mut bytes = path.bytes();
    let mut next = || {
        Some(match bytes.next()? {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            plain => plain,
        })
    };
    std::iter::from_fn(&mut next).collect()
}

#[test]
fn torrents_of_libtorrent_are_fetched_from_nginx_by_the_urls_that_libtorrent_uses() {
    if !requirement::libtorrent() || !requirement::program("nginx") {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let name = "a set+of #files?";
    for (path, length) in [
        ("100%/AC DC/x&y=z;.bin", 70_000),
        ("plus+plus.bin", 1),
        ("z.bin", 33_000),
        ("empty", 0),
        ("é ü!~'().bin", 40_000),
    ] {
        write(&data.path().join(name).join(path), length);
    }
    write(&data.path().join("é +ü.bin"), 40_000);
    let files = ["a set+of #files?", "é +ü.bin"];
    for (name, kind, folder) in [(files[0], "v1", "/"), (files[0], "hybrid", ""), (files[1], "v1", "/")] {
        let nginx = Nginx::files(data.path());
        let urls = [format!("{}{folder}", nginx.origin)];
        let torrent = made_by_libtorrent(data.path(), name, kind, &urls);
        assert_eq!(torrent.web_seeds.len(), 1);
        assert_eq!(kind == "hybrid", torrent.files.iter().any(|file| file.padding), "hybrid torrents have pad files");
        let paths = torrent.web_paths();
        let theirs: BTreeSet<Vec<u8>> = nginx.requested().iter().map(|path| decoded(path)).collect();
        let wanted = torrent.files.iter().enumerate().filter(|(_, file)| !file.padding && file.length > 0);
        let seed = &torrent.web_seeds.iter().next().unwrap().url;
        let ours = wanted.map(|(n, _)| decoded(paths.url(seed, n).unwrap().path())).collect();
        assert_eq!(theirs, ours, "{name} {kind}");
        fetch_and_verify(&torrent, &paths);
    }
}

#[test]
fn several_web_seeds_of_libtorrent_are_kept_in_their_order() {
    if !requirement::libtorrent() || !requirement::program("nginx") {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    write(&data.path().join("film.bin"), 5000);
    let nginx = Nginx::files(data.path());
    let urls = ["/film.bin", "/other/"].map(|path| format!("{}{path}", nginx.origin));
    let torrent = made_by_libtorrent(data.path(), "film.bin", "v1", &urls);
    let kept: Vec<&str> = torrent.web_seeds.iter().map(|seed| seed.url.as_str()).collect();
    assert_eq!(kept, urls);
    let again = Metainfo::from_bytes(&torrent.to_torrent_bytes().unwrap()).unwrap();
    assert_eq!(again.web_seeds, torrent.web_seeds);
    fetch_and_verify(&torrent, &torrent.web_paths());
}

#[test]
fn a_mirror_by_https_serves_if_its_certificate_is_trusted_and_otherwise_the_remedy_is_shown() {
    if !requirement::program("nginx") || !requirement::program("openssl") {
        return;
    }
    let torrent = TestTorrent::single("film.mkv", 600_000, 64 << 10);
    let nginx = Nginx::secure(&torrent.data());
    let mirror = format!("{}/film.mkv", nginx.origin);
    let start = |trusted: &Path| {
        let stream = Builder::stream(torrent.file()).argument("--mirror").argument(&mirror);
        stream.env("SSL_CERT_FILE", trusted).start()
    };
    let viewer = start(&nginx.certificate());
    CheckedReader::new(&viewer, torrent.content(0)).read_all();
    let status = viewer.status();
    assert_eq!((status.sources[0].origin.as_str(), &status.sources[0].url), ("mirror", &mirror));
    drop(viewer);
    let other = Nginx::secure(&torrent.data());
    let viewer = start(&other.certificate());
    let status = viewer.wait_status("the failure is shown", STARTUP, |s| s.sources.iter().any(|s| s.message.is_some()));
    let message = status.sources[0].message.clone().unwrap();
    assert!(message.contains("install CA certificates"), "{message}");
    assert_eq!(status.sources[0].downloaded_bytes, 0);
}

/// Returns the lengths of files around each boundary of a tree: of a leaf, of powers of two of
/// leaves, and of numbers of leaves that leave nodes without a sibling.
fn lengths() -> BTreeSet<usize> {
    let powers = (0..9).map(|k| 1024 << k);
    let others = [3, 5, 6, 7, 11, 13].map(|leaves| leaves * 1024);
    let around = powers.chain(others).flat_map(|at: usize| [at - 1, at, at + 1, at + 1024]);
    around.chain([0, 1, 2, 1000]).collect()
}

#[test]
fn hashes_and_links_of_files_are_those_of_rhash() {
    if !requirement::program("rhash") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let lengths = lengths();
    assert!(lengths.len() >= 40);
    let name = |length: usize| format!("a+b {length:07}.bin");
    lengths.iter().for_each(|length| write(&folder.path().join(name(*length)), *length));
    let mut command = Command::new("rhash");
    command.args(["--magnet", "--sha1", "--tth"]).args(lengths.iter().map(|length| name(*length)));
    let output = command.current_dir(folder.path()).output().unwrap();
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.lines().count(), lengths.len());
    for (length, line) in lengths.into_iter().zip(printed.lines()) {
        let link = magnet::parse_file(line).unwrap().unwrap();
        let bytes = std::fs::read(folder.path().join(name(length))).unwrap();
        assert_eq!(link.hashes.tiger, Some(root_of(&bytes)), "{length}");
        assert_eq!(link.hashes.sha1, Some(sha1(&bytes)), "{length}");
        assert_eq!((link.length, link.name.clone()), (Some(length as u64), Some(name(length))));
        let level = Level::of_file(length as u64, [&bytes[..]]).unwrap();
        assert_eq!(level.root(), root_of(&bytes), "{length}");
        // What we write names the same file.
        assert_eq!(magnet::parse_file(&link.to_string()), Some(Ok(link)));
    }
}

#[test]
fn a_link_of_rhash_with_a_torrent_names_the_file_too() {
    if !requirement::program("rhash") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("film.bin"), 20_000);
    let mut command = Command::new("rhash");
    command.args(["--magnet", "--sha1", "--tth", "--btih", "film.bin"]).current_dir(folder.path());
    let printed = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let link = magnet::parse(&magnet::bare(&printed)).unwrap().unwrap();
    let bytes = std::fs::read(folder.path().join("film.bin")).unwrap();
    let urn = FileHashes::from_urn(&link.hashes.urn().unwrap()).unwrap();
    assert_eq!((urn.sha1, urn.tiger), (Some(sha1(&bytes)), Some(root_of(&bytes))));
    assert!(magnet::parse_file(&printed).unwrap().is_err(), "it names a torrent");
}

/// Returns the hashes of these files, as RHash prints them: SHA-1, SHA-256 and the root of the tree.
fn hashes_by_rhash(folder: &Path, names: &[String]) -> Vec<[Vec<u8>; 3]> {
    let mut command = Command::new("rhash");
    command.args(["-p", "%{sha1} %{sha-256} %{tth}\\n"]).args(names).current_dir(folder);
    let printed = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let hex =
        |text: &str| (0..text.len()).step_by(2).map(|n| u8::from_str_radix(&text[n..n + 2], 16).unwrap()).collect();
    let tiger = |text: &str| FileHashes::from_urn(&format!("urn:tree:tiger:{text}")).unwrap().tiger.unwrap().to_vec();
    let of = |line: &str| {
        let [sha1, sha256, tth] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        [hex(sha1), hex(sha256), tiger(tth)]
    };
    printed.lines().map(of).collect()
}

#[test]
fn each_kind_of_proof_takes_the_pieces_that_rhash_hashed_and_no_others() {
    if !requirement::program("rhash") {
        return;
    }
    const PIECE: usize = 64 << 10;
    let folder = tempfile::tempdir().unwrap();
    for length in [1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 1025, 8 * PIECE] {
        write(&folder.path().join("whole"), length);
        let bytes = std::fs::read(folder.path().join("whole")).unwrap();
        let pieces: Vec<&[u8]> = bytes.chunks(PIECE).collect();
        let mut names: Vec<String> = (0..pieces.len()).map(|n| n.to_string()).collect();
        names.iter().zip(&pieces).for_each(|(name, piece)| std::fs::write(folder.path().join(name), piece).unwrap());
        names.push("whole".into());
        let mut hashes = hashes_by_rhash(folder.path(), &names);
        let [sha1, _, root] = hashes.pop().unwrap();
        let all = |kind: usize| hashes.iter().flat_map(|of| of[kind].clone()).collect::<Vec<u8>>();
        let level = Level::of_nodes(length as u64, all(2).into()).unwrap();
        assert_eq!(level.root().to_vec(), root, "{length}: the roots of the pieces lead to that of the whole");
        let document = |kind: &str, hashes: Vec<u8>, bytes: usize| {
            let list: String = hashes
                .chunks(bytes)
                .map(|hash| format!("<hash>{}</hash>", playswarm_tests::torrent::hex(hash)))
                .collect();
            let text = format!(
                "<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\"><file name=\"f\"><size>{length}</size>\
                 <pieces length=\"{PIECE}\" type=\"{kind}\">{list}</pieces></file></metalink>"
            );
            let file = Metalink::from_bytes(text.as_bytes()).unwrap().files.remove(0);
            NamedFile::from(file).metainfo(length as u64, Tree::Unknown).unwrap().proof
        };
        let named: NamedFile = magnet::parse_file(&urn_of(&sha1, &root)).unwrap().unwrap().into();
        for proof in [
            document("sha-1", all(0), 20),
            document("sha-256", all(1), 32),
            named.metainfo(length as u64, Tree::Proven(level)).unwrap().proof,
        ] {
            assert!(proof.is_by_piece());
            for (n, piece) in (0..).zip(&pieces) {
                assert!(proof.accepts(n, piece), "{} {length} {n}", proof.kind());
                assert!(!proof.accepts(n, &[piece, &b"\0"[..]].concat()), "{} {length} {n}", proof.kind());
            }
        }
    }
}

fn urn_of(sha1: &[u8], root: &[u8]) -> String {
    let mut hashes = FileHashes::default();
    (hashes.sha1, hashes.tiger) = (sha1.try_into().ok(), root.try_into().ok());
    hashes.urn().unwrap()
}
