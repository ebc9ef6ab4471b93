//! Files that hashes name, from real web servers, without a torrent and without any peer: what plays
//! at once, what waits, and what is thrown away. RHash makes the links.
#![allow(clippy::unwrap_used)]

use playswarm_proto::tiger_tree::Level;
use playswarm_tests::http;
use playswarm_tests::nginx::Nginx;
use playswarm_tests::playswarm::{Builder, Playswarm, STARTUP};
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

const NAME: &str = "film.mkv";
const LENGTH: u64 = 3_000_777;
/// Directives of a server that says where the tree is, as Gnutella's servents do.
const WITH_TREE: &str = "location = /film.mkv { add_header X-Thex-URI '/film.thex;ROOT'; }";

/// A film on a server, and what RHash says of it.
struct Hosted {
    film: TestTorrent,
    sha1: String,
    tiger: String,
}

impl Hosted {
    /// Makes the film. `None` if a program is missing.
    fn new() -> Option<Hosted> {
        if !(requirement::program("nginx") && requirement::program("rhash")) {
            return None;
        }
        let film = TestTorrent::single(NAME, LENGTH, 64 << 10);
        let bytes = std::fs::read(film.data().join(NAME)).unwrap();
        let tree = Level::of_file(LENGTH, [&bytes[..]]).unwrap().to_breadth_first();
        std::fs::write(film.data().join("film.thex"), tree).unwrap();
        let output =
            Command::new("rhash").args(["--magnet", "--sha1", "--tth", NAME]).current_dir(film.data()).output();
        let link = String::from_utf8(output.unwrap().stdout).unwrap();
        let urn = |kind: &str| {
            let from = link.find(kind).unwrap() + kind.len();
            link[from..].split(['&', '\n']).next().unwrap().to_uppercase()
        };
        let (sha1, tiger) = (urn("urn:sha1:"), urn("urn:tree:tiger:"));
        Some(Hosted { film, sha1, tiger })
    }

    fn serve(&self, directives: &str) -> Nginx {
        Nginx::with(&self.film.data(), directives)
    }

    fn bitprint(&self, rest: &str) -> String {
        format!("magnet:?xt=urn:bitprint:{}.{}&dn={NAME}{rest}", self.sha1, self.tiger)
    }

    fn reader(&self, playswarm: &Playswarm) -> CheckedReader {
        CheckedReader::of_file(playswarm, 0, self.film.content(0))
    }
}

fn in_dir(source: &str, dir: &Path) -> Builder {
    Builder::stream(source).dir(dir)
}

#[test]
fn a_bitprint_plays_from_a_web_server_by_its_tree_and_is_known_after_a_kill() {
    let Some(hosted) = Hosted::new() else { return };
    let (nginx, dir) = (hosted.serve(WITH_TREE), tempfile::tempdir().unwrap());
    let link = hosted.bitprint(&format!("&as={}/{NAME}", nginx.origin));
    let playswarm = in_dir(&link, dir.path()).start();
    let reader = hosted.reader(&playswarm);
    // The end of the film, while its beginning is not here.
    reader.read(LENGTH - 100_000, 100_000);
    let status = playswarm.status();
    assert_eq!((status.proof.as_str(), status.unproven_bytes, status.total_bytes), ("tree", 0, LENGTH));
    assert!(status.peers.iter().all(|peer| peer.transport == "http"), "{:?}", status.peers);
    reader.read_all();
    playswarm.wait_status("the film is on disk", STARTUP, |status| status.disk_bytes == LENGTH);
    drop((playswarm, nginx));
    // Neither the tree nor the film is fetched again, and there is no server any more.
    let again = in_dir(&hosted.bitprint(""), dir.path()).start();
    hosted.reader(&again).read_all();
    assert_eq!(again.status().downloaded_bytes, 0);
}

#[test]
fn a_server_of_another_film_is_found_out_slice_by_slice() {
    let Some(hosted) = Hosted::new() else { return };
    let honest = hosted.serve(WITH_TREE);
    let elsewhere = tempfile::tempdir().unwrap();
    let mut other = std::fs::read(hosted.film.data().join(NAME)).unwrap();
    other.iter_mut().step_by(10_000).for_each(|byte| *byte ^= 1);
    std::fs::write(elsewhere.path().join(NAME), other).unwrap();
    let liar = Nginx::with(elsewhere.path(), "");
    let link = hosted.bitprint(&format!("&as={}/{NAME}&as={}/{NAME}", liar.origin, honest.origin));
    let playswarm = Builder::stream(&link).start();
    hosted.reader(&playswarm).read_all();
    let status = playswarm.status();
    assert_eq!(status.proof, "tree");
    assert!(status.waste.failed_bytes > 0, "the liar was asked: {:?}", status.waste);
}

#[test]
fn the_root_of_a_tree_plays_with_a_link_to_the_tree() {
    let Some(hosted) = Hosted::new() else { return };
    let nginx = hosted.serve("");
    let origin = &nginx.origin;
    let link = format!("urn:tree:tiger:{}?dn={NAME}&xs={origin}/film.thex&as={origin}/{NAME}", hosted.tiger);
    let playswarm = Builder::stream(&link).start();
    hosted.reader(&playswarm).read_all();
    assert_eq!(playswarm.status().proof, "tree");
}

#[test]
fn a_sha1_alone_waits_for_the_whole_film_and_then_plays_at_once() {
    let Some(hosted) = Hosted::new() else { return };
    let (nginx, dir) = (hosted.serve("location = /film.mkv { limit_rate 1m; }"), tempfile::tempdir().unwrap());
    let (link, mirror) = (format!("urn:sha1:{}?dn={NAME}", hosted.sha1), format!("{}/{NAME}", nginx.origin));
    let playswarm = in_dir(&link, dir.path()).argument("--mirror").argument(&mirror).start();
    let waits = playswarm.wait_status("a part is here", STARTUP, |status| status.unproven_bytes > 0);
    assert_eq!((waits.proof.as_str(), waits.verified_bytes), ("whole file", 0));
    // The first byte comes when all are here.
    let mut answer = http::get_range(&playswarm.place, &playswarm.url(), 0, Some(1000)).unwrap();
    answer.read_exact(&mut [0]).unwrap();
    let status = playswarm.status();
    assert_eq!((status.proof.as_str(), status.verified_bytes, status.unproven_bytes), ("tree", LENGTH, 0));
    hosted.reader(&playswarm).read_all();
    assert!(playswarm.process.stderr().iter().any(|line| line.contains("nothing is shown before all 3000777 bytes")));
    playswarm.wait_status("the film is on disk", STARTUP, |status| status.disk_bytes == LENGTH);
    drop((playswarm, nginx));
    let again = in_dir(&link, dir.path()).start();
    assert_eq!(again.status().proof, "tree");
    hosted.reader(&again).read_all();
}

#[test]
fn a_film_that_is_another_one_is_thrown_away_at_the_end() {
    let Some(hosted) = Hosted::new() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(hosted.film.data().join(NAME)).unwrap();
    bytes[1_000_000] ^= 1;
    std::fs::write(hosted.film.data().join(NAME), bytes).unwrap();
    let nginx = hosted.serve("");
    let link = format!("urn:sha1:{}?dn={NAME}&as={}/{NAME}", hosted.sha1, nginx.origin);
    let playswarm = in_dir(&link, dir.path()).start();
    let answer = http::get_range(&playswarm.place, &playswarm.url(), 0, Some(1000));
    let shown = answer.is_ok_and(|mut answer| answer.status == 206 && answer.read(&mut [0]).is_ok_and(|n| n > 0));
    assert!(!shown, "not a byte of it is shown");
    let said = "film.mkv is not the file that the link names: its SHA-1 is not the named one";
    assert!(playswarm.process.stderr().iter().any(|line| line.contains(said)));
    playswarm.wait_status("it is thrown away", STARTUP, |status| status.disk_bytes == 0);
    assert_eq!(std::fs::metadata(dir.path().join(NAME)).map_or(0, |meta| meta.blocks()), 0);
}

#[test]
fn a_claimed_tree_plays_at_once_if_the_user_accepts_it() {
    let Some(hosted) = Hosted::new() else { return };
    let nginx = hosted.serve(WITH_TREE);
    let link = format!("urn:sha1:{}?dn={NAME}&as={}/{NAME}", hosted.sha1, nginx.origin);
    let playswarm = Builder::stream(&link).argument("--accept-tree").start();
    hosted.reader(&playswarm).read(LENGTH - 1000, 1000);
    assert_eq!(playswarm.status().proof, "accepted tree");
    hosted.reader(&playswarm).read_all();
    playswarm.wait_status("the SHA-1 has proven the tree", STARTUP, |status| status.proof == "tree");
}

#[test]
fn a_metalink_plays_from_the_mirror_that_has_the_film() {
    let Some(hosted) = Hosted::new() else { return };
    let nginx = hosted.serve("");
    let data = hosted.film.data();
    let piece = 1 << 20;
    // RHash hashes each piece.
    let hashes: String = std::fs::read(data.join(NAME))
        .unwrap()
        .chunks(piece)
        .map(|bytes| {
            std::fs::write(data.join("piece"), bytes).unwrap();
            let output =
                Command::new("rhash").args(["--sha256", "-p", "%{sha-256}", "piece"]).current_dir(&data).output();
            format!("<hash>{}</hash>", String::from_utf8(output.unwrap().stdout).unwrap().trim())
        })
        .collect();
    let origin = &nginx.origin;
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">\n\
         <file name=\"{NAME}\"><size>{LENGTH}</size><pieces length=\"{piece}\" type=\"sha-256\">{hashes}</pieces>\n\
         <url priority=\"1\">{origin}/gone.mkv</url><url priority=\"2\">{origin}/{NAME}</url></file></metalink>\n"
    );
    std::fs::write(data.join("film.meta4"), document).unwrap();
    for source in [data.join("film.meta4").display().to_string(), format!("{origin}/film.meta4")] {
        let playswarm = Builder::stream(&source).start();
        let reader = hosted.reader(&playswarm);
        reader.read(LENGTH - 1000, 1000);
        reader.read_all();
        assert_eq!(playswarm.status().proof, "pieces", "{source}");
    }
}
