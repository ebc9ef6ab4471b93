//! `playswarm search`, and playing what it finds.
#![allow(clippy::unwrap_used)]

use playswarm_tests::content::Content;
use playswarm_tests::netlab::{Link, Net, PUBLIC};
use playswarm_tests::peers::servent::{Options, Servent};
use playswarm_tests::playswarm::{Builder, STARTUP};
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::{requirement, wait_for};
use std::time::Duration;

/// Longest run of a search that ends by its limit of files.
const SEARCH: Duration = Duration::from_secs(30);

/// Port of servents.
const PORT: u16 = 6346;

#[test]
fn a_film_plays_by_its_sha1_alone() {
    if !requirement::network() {
        return;
    }
    let net = Net::at(PUBLIC, &["viewer", "holder"].map(|host| (host, Link::default())));
    let folder = tempfile::tempdir().unwrap();
    let content = Content::new(17, 2 << 20);
    content.write_to(&folder.path().join("Big Buck Bunny.mkv"));
    let mut holder = Options::ultrapeer(&net.place("holder"), net.addr("holder", PORT));
    (holder.share, holder.dht_crowd) = (vec![folder.path().to_owned()], 18);
    let mut holder = Servent::start(&holder);
    holder.published();
    let (sha1, at) = (holder.files[0].sha1.clone(), holder.addr.to_string());
    let stream = Builder::stream(format!("urn:sha1:{sha1}")).place(net.place("viewer"), net.addr("viewer", 6881));
    let mut playswarm = stream.argument("--gnutella-node").argument(&at).argument("--accept-tree").spawn();
    let url = playswarm.wait_url(STARTUP);
    assert!(url.path.contains(&sha1), "it has no other name: {url:?}");
    CheckedReader::new(&playswarm, content).read_all();
    assert!(holder.events("violation").is_empty(), "{:?}", holder.events("violation"));
}

#[test]
fn a_film_is_found_by_words_and_its_link_plays() {
    if !requirement::network() {
        return;
    }
    // The filter of addresses is that of users: links from a search name no private ones.
    let net = Net::at(PUBLIC, &["viewer", "up", "leaf"].map(|host| (host, Link::default())));
    let folder = tempfile::tempdir().unwrap();
    let content = Content::new(17, 2 << 20);
    content.write_to(&folder.path().join("Big Buck Bunny.mkv"));
    let mut up = Servent::start(&Options::ultrapeer(&net.place("up"), net.addr("up", PORT)));
    let mut leaf = Options::leaf(&net.place("leaf"), net.addr("leaf", PORT));
    (leaf.share, leaf.connect) = (vec![folder.path().to_owned()], vec![up.addr]);
    let leaf = Servent::start(&leaf);
    wait_for("the leaf's table", STARTUP, || (up.status()["heard"]["0x30"].as_u64() >= Some(2)).then_some(()));

    let at_viewer = |program: Builder| program.place(net.place("viewer"), net.addr("viewer", 6881));
    let found = at_viewer(Builder::search("buck bunny", up.addr))
        .argument("--magnets")
        .argument("--limit")
        .argument("1")
        .run(SEARCH);
    let link = String::from_utf8(found.stdout).unwrap();
    assert!(found.status.success() && link.starts_with("magnet:?xt=urn:bitprint:"), "{link}");
    let mut playswarm = at_viewer(Builder::stream(link.trim())).spawn();
    playswarm.wait_url(STARTUP);
    CheckedReader::new(&playswarm, content).read_all();
    assert!(leaf.events("violation").is_empty(), "{:?}", leaf.events("violation"));
    drop(playswarm);

    let none = at_viewer(Builder::search("no such film", up.addr))
        .argument("--json")
        .argument("--wait")
        .argument("5")
        .run(SEARCH);
    let said = String::from_utf8(none.stderr).unwrap();
    assert_eq!(none.status.code(), Some(1), "{said}");
    assert!(said.contains("error: no file was found"), "{said}");
    assert_eq!(String::from_utf8(none.stdout).unwrap().trim(), r#"{"hits":[]}"#);
}
