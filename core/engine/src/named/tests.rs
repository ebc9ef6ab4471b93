//! Answers of servers about a file: its length and its tree.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::Source;
use crate::network::Network;
use crate::store::{StoreOptions, Verdict};
use playswarm_logic::torrent::Ticket;
use playswarm_logic::{BLOCK_BYTES, BlockRef, PieceIndex};
use playswarm_proto::sha1::sha1;
use playswarm_proto::tiger_tree::root_of;
use playswarm_proto::{AddressClass, FileHashes, magnet};
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const LENGTH: usize = 300_000;

fn content() -> Vec<u8> {
    (0..LENGTH).map(|n| (n / 1024 * 7 + n % 251) as u8).collect()
}

fn hashes(bytes: &[u8]) -> (FileHashes, FileHashes, FileHashes) {
    let mut both = FileHashes::default();
    (both.sha1, both.tiger) = (Some(sha1(bytes)), Some(root_of(bytes)));
    let (mut sha, mut tree) = (both, both);
    (sha.tiger, tree.sha1) = (None, None);
    (both, sha, tree)
}

fn file(hashes: FileHashes, rest: &str) -> NamedFile {
    magnet::parse_file(&format!("magnet:?xt={}&dn=film.mkv{rest}", hashes.urn().unwrap())).unwrap().unwrap().into()
}

fn tree_of(bytes: &[u8]) -> Vec<u8> {
    Level::of_file(bytes.len() as u64, [bytes]).unwrap().to_breadth_first()
}

/// A server that answers a path with a head's further lines and a body, and notes what was asked.
struct Server {
    base: String,
    asked: Arc<Mutex<Vec<String>>>,
}

type Answer = (&'static str, String, Vec<u8>);

const RANGES: &str = "Accept-Ranges: bytes\r\n";

/// Returns the part of an answer that was requested, if it has [`RANGES`].
fn ranged(request: &str, (_, head, body): &Answer) -> Option<Answer> {
    let range =
        request.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    let (from, to) = range.filter(|_| head == RANGES)?.split_once('-').map(|(a, b)| (a.to_owned(), b.to_owned()))?;
    let (from, to): (usize, usize) = (from.parse().ok()?, to.parse().unwrap_or(body.len() - 1));
    let part = body.get(from..=to)?.to_vec();
    Some(("206 Partial Content", format!("Content-Range: bytes {from}-{to}/{}\r\n", body.len()), part))
}

impl Server {
    async fn start(answer: impl Fn(&str) -> Answer + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let n = socket.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..n]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let answer = answer(&path);
                let (status, head, body) = ranged(&request, &answer).unwrap_or(answer);
                noted.lock().unwrap().push(path);
                let head =
                    format!("HTTP/1.1 {status}\r\nConnection: close\r\n{head}Content-Length: {}\r\n\r\n", body.len());
                let _ = socket.write_all(&[head.as_bytes(), &body].concat()).await;
                let _ = socket.shutdown().await;
            }
        });
        Server { base, asked }
    }

    /// Starts a server that says this length of its file and has this tree.
    async fn of(length: usize, tree: Vec<u8>) -> Server {
        Server::start(move |path| match path {
            "/film" => (
                "206 Partial Content",
                format!("Content-Range: bytes 0-0/{length}\r\nX-Thex-URI: /tree?urn:sha1:x;ROOT\r\n"),
                vec![0],
            ),
            path if path.starts_with("/tree") => ("200 OK", String::new(), tree.clone()),
            _ => ("404 Not Found", String::new(), Vec::new()),
        })
        .await
    }

    async fn honest() -> Server {
        let bytes = content();
        Server::of(LENGTH, tree_of(&bytes)).await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn config() -> Config {
    Config { read_only: true, web_seeds: true, ..Config::offline("") }
}

async fn prepared(file: NamedFile, config: &Config) -> Result<Arc<Metainfo>> {
    prepare(file, &[], config, &Web::new(Network::open())).await
}

#[tokio::test]
async fn a_tree_that_has_the_named_root_proves_each_slice() {
    let server = Server::honest().await;
    let (both, _, tree) = hashes(&content());
    for named in [both, tree] {
        let metainfo = prepared(file(named, &format!("&as={}/film", server.base)), &config()).await.unwrap();
        assert_eq!((metainfo.proof.kind(), metainfo.total_bytes()), ("tree", LENGTH as u64));
        assert!(metainfo.proof.accepts(1, &content()[64 << 10..128 << 10]));
        assert_eq!(metainfo.web_seeds.len(), 1);
    }
    assert_eq!(server.asked()[..2], ["/film", "/tree?urn:sha1:x"]);
}

#[tokio::test]
async fn a_link_may_name_the_tree_itself() {
    let bytes = content();
    let tree = tree_of(&bytes);
    let server = Server::start(move |path| match path {
        "/film.thex" => ("200 OK", String::new(), tree.clone()),
        "/t" => ("200 OK", "Content-Type: application/tigertree-breadthfirst\r\n".into(), tree.clone()),
        _ => ("206 Partial Content", format!("Content-Range: bytes 0-0/{LENGTH}\r\n"), vec![0]),
    })
    .await;
    for path in ["film.thex", "t"] {
        let rest = format!("&xs={0}/{path}&as={0}/film", server.base);
        let metainfo = prepared(file(hashes(&bytes).2, &rest), &config()).await.unwrap();
        assert_eq!(metainfo.proof.kind(), "tree", "{path}");
        let seeds: Vec<_> = metainfo.web_seeds.iter().map(|seed| seed.url.path().to_owned()).collect();
        assert_eq!(seeds, ["/film"], "{path} has the tree and not the film");
    }
}

#[tokio::test]
async fn a_tree_that_lies_is_worth_nothing_and_another_server_may_have_the_right_one() {
    let (bytes, mut other) = (content(), content());
    other[7] ^= 1;
    let liar = Server::of(LENGTH, tree_of(&other)).await;
    // The root is right, and a node below it is not.
    let mut nodes = tree_of(&bytes);
    let end = nodes.len() - 1;
    nodes[end] ^= 1;
    let upper = Server::of(LENGTH, nodes).await;
    let honest = Server::honest().await;
    let (_, _, tree) = hashes(&bytes);
    for lies in [&liar, &upper] {
        let alone = prepared(file(tree, &format!("&as={}/film", lies.base)), &config()).await.unwrap();
        assert_eq!(alone.proof.kind(), "whole file", "nothing else proves it");
        let rest = format!("&as={}/film&as={}/film", lies.base, honest.base);
        let metainfo = prepared(file(tree, &rest), &config()).await.unwrap();
        assert_eq!(metainfo.proof.kind(), "tree");
        assert!(metainfo.proof.accepts(0, &bytes[..64 << 10]) && !metainfo.proof.accepts(0, &other[..64 << 10]));
    }
}

#[tokio::test]
async fn the_length_is_the_one_with_which_the_hashes_agree() {
    let bytes = content();
    let (wrong, honest) = (Server::of(LENGTH * 3, tree_of(&bytes)).await, Server::honest().await);
    let (_, _, tree) = hashes(&bytes);
    // One that is too short has the upper levels, and one of twice the bytes has all of them.
    for said in [5, LENGTH * 2] {
        let rest = format!("&as={}/film&as={}/film&xl={said}", wrong.base, honest.base);
        let metainfo = prepared(file(tree, &rest), &config()).await.unwrap();
        assert_eq!(metainfo.total_bytes(), LENGTH as u64, "the link says {said}");
    }
}

#[tokio::test]
async fn a_server_that_says_the_links_length_outweighs_two_others() {
    let bytes = content();
    // One byte less has the same slices.
    let (one, two) = (Server::of(LENGTH - 1, tree_of(&bytes)).await, Server::of(LENGTH - 1, tree_of(&bytes)).await);
    let honest = Server::honest().await;
    let rest = format!("&as={}/film&as={}/film&as={}/film&xl={LENGTH}", one.base, two.base, honest.base);
    let metainfo = prepared(file(hashes(&bytes).2, &rest), &config()).await.unwrap();
    assert_eq!(metainfo.total_bytes(), LENGTH as u64);
}

#[tokio::test]
async fn the_length_of_a_sha1_is_the_one_that_most_servers_say_with_a_range() {
    let (_, sha, _) = hashes(&content());
    let page = Server::start(|_| ("200 OK", "Content-Type: text/html; charset=utf-8\r\n".into(), vec![b' '; 50])).await;
    let packed = Server::start(|_| ("200 OK", "Content-Encoding: gzip\r\n".into(), vec![1; 60])).await;
    for (server, why) in [(&page, "a web page"), (&packed, "compresses")] {
        let refused = prepared(file(sha, &format!("&as={}/film", server.base)), &config()).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    }
    let whole = Server::start(|_| ("200 OK", String::new(), vec![0; 70])).await;
    let (liar, honest, other) = (Server::of(80, Vec::new()).await, Server::honest().await, Server::honest().await);
    let outvoted: [&[&Server]; 2] = [&[&page, &packed, &whole, &honest], &[&liar, &honest, &other]];
    for servers in outvoted {
        let rest: String = servers.iter().map(|server| format!("&as={}/film", server.base)).collect();
        let metainfo = prepared(file(sha, &rest), &config()).await.unwrap();
        assert_eq!(metainfo.total_bytes(), LENGTH as u64, "{rest}");
    }
    let alone = prepared(file(sha, &format!("&as={}/film", whole.base)), &config()).await.unwrap();
    assert_eq!(alone.total_bytes(), 70, "nobody says more");
}

#[tokio::test]
async fn a_tree_that_is_longer_than_what_is_read_has_its_upper_levels() {
    let bytes = content();
    let long = [tree_of(&bytes), vec![0; tiger_tree::MAX_THEX_BYTES]].concat();
    let server = Server::of(LENGTH, long).await;
    let metainfo = prepared(file(hashes(&bytes).2, &format!("&as={}/film", server.base)), &config()).await.unwrap();
    assert_eq!(metainfo.proof.kind(), "tree");
}

#[tokio::test]
async fn a_sha1_alone_waits_for_the_whole_unless_the_user_accepts_a_tree() {
    let server = Server::honest().await;
    let (_, sha, _) = hashes(&content());
    let link = format!("&as={}/film", server.base);
    let waits = prepared(file(sha, &link), &config()).await.unwrap();
    assert_eq!((waits.proof.kind(), waits.total_bytes()), ("whole file", LENGTH as u64));
    assert_eq!(server.asked(), ["/film"], "a tree would be of no use");
    let accepting = Config { accept_tree: true, ..config() };
    let plays = prepared(file(sha, &link), &accepting).await.unwrap();
    assert_eq!(plays.proof.kind(), "accepted tree");
    assert_eq!(plays.info_hash, waits.info_hash);

    let mut other = content();
    other[7] ^= 1;
    let dissenting = Server::of(LENGTH, tree_of(&other)).await;
    let both = file(sha, &format!("{link}&as={}/film", dissenting.base));
    assert_eq!(prepared(both, &accepting).await.unwrap().proof.kind(), "whole file", "which one is right?");
}

#[tokio::test]
async fn a_file_without_a_useful_server_is_refused_in_a_sentence() {
    let (_, sha, tree) = hashes(&content());
    let none = prepared(file(tree, ""), &config()).await.unwrap_err().to_string();
    assert!(none.contains("no server that has it is known"), "{none}");
    let mirror = Source::File(file(tree, "")).with_mirrors(["http://h.example/film"]).unwrap();
    assert!(matches!(mirror, Source::File(file) if file.servers.len() == 1));
    assert!(Source::File(file(tree, "")).with_mirrors(["ftp://h.example/film"]).is_err());
    let server = Server::start(|_| ("404 Not Found", String::new(), Vec::new())).await;
    let missing = prepared(file(sha, &format!("&as={}/film", server.base)), &config()).await.unwrap_err();
    assert!(matches!(&missing, Error::Fetch { .. }) && missing.to_string().contains("404"), "{missing}");
    let asked = server.asked().len();
    let strangers = file(sha, &format!("&as={}/film", server.base)).named_by(AddressClass::Global);
    let refused = prepared(strangers, &config()).await.unwrap_err().to_string();
    assert!(refused.contains("local network"), "{refused}");
    assert_eq!(server.asked().len(), asked, "a stranger's link leads to no local server");
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::await_holding_lock)]
async fn a_file_is_complete_once_it_is_right_and_a_wrong_one_is_in_trouble() {
    let (_, sha, _) = hashes(&content());
    for is_right in [true, false] {
        let mut bytes = content();
        bytes[7] ^= u8::from(!is_right);
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.clone();
        let server = Server::start(move |_| {
            drop(closed.lock().unwrap());
            ("200 OK", RANGES.to_owned(), bytes.clone())
        })
        .await;
        let dir = tempfile::tempdir().unwrap();
        let config = Config { web_seeds: true, ..Config::offline(dir.path()) };
        let session = crate::Session::new(config).await.unwrap();
        let held = gate.lock().unwrap();
        let rest = format!("&xl={LENGTH}&as={}/film", server.base);
        let handle = session.open(Source::File(file(sha, &rest))).await.unwrap();
        let mut events = handle.events();
        drop(held);
        let seen = async {
            while let Ok(event) = events.recv().await {
                match event {
                    crate::Event::Completed => return None,
                    crate::Event::Notice { message } if message.contains("is not the file") => return Some(message),
                    _ => {}
                }
            }
            panic!("it was closed")
        };
        let wrong = tokio::time::timeout(Duration::from_secs(60), seen).await.unwrap();
        let status = handle.status();
        if is_right {
            assert_eq!((wrong, status.verified_bytes, status.trouble), (None, LENGTH as u64, None));
            assert!(handle.is_complete().unwrap());
        } else {
            assert!(wrong.is_some(), "it was said to be complete");
            assert_eq!((status.verified_bytes, status.trouble), (0, wrong));
            assert!(matches!(handle.is_complete(), Err(Error::WrongFile { .. })));
        }
        session.close().await;
    }
}

#[tokio::test]
async fn a_link_commands_no_device_in_the_users_network_and_a_mirror_may_be_anywhere() {
    let (_, sha, _) = hashes(&content());
    let answer = ("206 Partial Content", format!("Content-Range: bytes 0-0/{LENGTH}\r\n"), vec![0]);
    let server = Server::start(move |_| answer.clone()).await;
    let command = format!("{}/apply.cgi?reboot=1", server.base);
    let port = "http://127.0.0.1:25/film".to_owned();
    for (url, says) in [(&command, "local network"), (&port, "another service")] {
        let refused = prepared(file(sha, &format!("&as={url}")), &config()).await.unwrap_err().to_string();
        assert!(refused.contains(says), "{url}: {refused}");
    }
    assert!(server.asked().is_empty(), "{:?}", server.asked());
    let Source::File(typed) = Source::File(file(sha, &format!("&as={command}"))).with_mirrors([&*command]).unwrap()
    else {
        panic!("it is a file");
    };
    let metainfo = prepared(typed.named_by(AddressClass::Global), &config()).await.unwrap();
    assert_eq!((server.asked().len(), metainfo.total_bytes()), (1, LENGTH as u64));
    assert!(metainfo.web_seeds.iter().all(|seed| seed.is_mirror), "{:?}", metainfo.web_seeds);
}

#[tokio::test]
async fn without_web_seeds_only_mirrors_are_asked() {
    let (server, (_, sha, _)) = (Server::honest().await, hashes(&content()));
    let (link, config) = (format!("&as={}/film", server.base), Config { web_seeds: false, ..config() });
    let refused = prepared(file(sha, &link), &config).await.unwrap_err().to_string();
    assert!(refused.contains("web_seeds") && server.asked().is_empty(), "{refused}");
    let mirror = format!("{}/film", server.base);
    let Source::File(typed) = Source::File(file(sha, "&as=http://127.0.0.1:9/film")).with_mirrors([&*mirror]).unwrap()
    else {
        panic!("it is a file");
    };
    let metainfo = prepared(typed, &config).await.unwrap();
    assert_eq!((metainfo.total_bytes(), metainfo.web_seeds.len()), (LENGTH as u64, 1));
}

#[tokio::test]
async fn a_whole_file_needs_room_for_the_whole() {
    let (_, sha, tree) = hashes(&content());
    let whole = prepared(file(sha, "&xl=500000000"), &config()).await.unwrap();
    let refused = check_room(&whole, &config()).unwrap_err().to_string();
    assert!(refused.contains("only when all 500000000 bytes are here"), "{refused}");
    assert!(check_room(&whole, &Config { read_only: false, ..config() }).is_ok());
    let server = Server::honest().await;
    let by_slice = prepared(file(tree, &format!("&as={}/film", server.base)), &config()).await.unwrap();
    assert!(check_room(&by_slice, &Config { memory_limit_bytes: 1, ..config() }).is_ok());
}

#[tokio::test]
async fn a_tree_that_was_saved_needs_no_server() {
    let (dir, bytes, server) = (tempfile::tempdir().unwrap(), content(), Server::honest().await);
    let (_, _, tree) = hashes(&bytes);
    let config = Config { dir: dir.path().to_owned(), web_seeds: true, ..Config::offline("") };
    let metainfo = prepared(file(tree, &format!("&as={}/film", server.base)), &config).await.unwrap();
    // The root does not bind the length, so that the last slice must have come.
    for (piece, is_saved) in [(0, false), (4, true)] {
        let (store, _events) = crate::store::Store::open(metainfo.clone(), StoreOptions::of(&config)).await.unwrap();
        let slice = bytes.chunks(64 << 10).nth(piece as usize).unwrap();
        for (n, block) in (0..).zip(slice.chunks(BLOCK_BYTES as usize)) {
            let block_ref = BlockRef { piece: PieceIndex(piece), block: n };
            store.put_block(Ticket { block: block_ref, generation: 0 }, block, 1);
        }
        assert!(matches!(store.verify(PieceIndex(piece)).await, Verdict::Verified { .. }));
        store.close().await.unwrap();
        assert_eq!(load_saved_tree(dir.path(), &metainfo.info_hash).is_some(), is_saved, "{piece}");
    }
    assert!(prepared(file(tree, "&xl=300001"), &config).await.is_err(), "the link says another length");
    let again = prepared(file(tree, &format!("&xl={LENGTH}")), &config).await.unwrap();
    assert_eq!((again.proof.kind(), again.total_bytes()), ("tree", LENGTH as u64));
    assert!(again.proof.accepts(0, &bytes[..64 << 10]));
    // A damaged one is fetched again.
    let path = dir.path().join(".playswarm").join(format!("{}.tree", metainfo.info_hash));
    let mut saved = std::fs::read(&path).unwrap();
    *saved.last_mut().unwrap() ^= 1;
    std::fs::write(&path, saved).unwrap();
    assert!(prepared(file(tree, ""), &config).await.is_err());
}
