//! Settings at the edges of their ranges: a session with them starts, plays and ends, or is refused
//! with an error message.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Film, offline_with, soon};
use playswarm::{Config, ErrorKind, Session, SettingRange};
use std::net::SocketAddr;
use tokio::io::AsyncReadExt;

fn text(range: &SettingRange, value: f64) -> String {
    // Whole numbers are written without a point, because integer settings refuse one.
    if value.fract() == 0.0 && value < 1.8e19 {
        let default = Config::default().to_json().unwrap();
        let all: serde_json::Value = serde_json::from_str(&default).unwrap();
        if all.pointer(&format!("/{}", range.name.replace('.', "/"))).unwrap().is_u64() {
            return format!("{value:.0}");
        }
    }
    format!("{value:e}")
}

/// Opens the film, reads its first bytes, gets the status, and closes.
async fn play(config: Config, film: &Film) {
    let session = Session::new(config).await.unwrap();
    let handle = session.open(film.source()).await.unwrap();
    handle.fetch_all(true);
    let mut stream = handle.stream(0).unwrap();
    let mut first = vec![0; 100_000];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(first, film.data[..100_000]);
    let _ = handle.status();
    drop(stream);
    session.close().await;
}

fn base(dir: &std::path::Path, seed: SocketAddr) -> Config {
    offline_with(dir, |c| c.peers = vec![seed.into()])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_film_plays_with_each_number_at_either_edge_of_its_range() {
    let film = Film::new(400_000, 1).await;
    let seed = film.seed().await;
    for range in Config::default().ranges() {
        for value in [range.least, range.most] {
            let dir = tempfile::tempdir().unwrap();
            let mut config = base(dir.path(), seed.addr());
            config.set(&range.name, &text(&range, value)).unwrap();
            soon(&format!("{}={value}", range.name), play(config, &film)).await;
        }
    }
    // All settings together.
    for edge in [|r: &SettingRange| r.least, |r: &SettingRange| r.most] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = base(dir.path(), seed.addr());
        for range in Config::default().ranges() {
            config.set(&range.name, &text(&range, edge(&range))).unwrap();
        }
        soon("all settings at one edge", play(config, &film)).await;
    }
    seed.session.close().await;
}

#[tokio::test]
async fn a_number_beyond_its_range_is_refused_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = base(dir.path(), "127.0.0.1:1".parse().unwrap());
    config.advanced.picker.seek_targets = 4_000_000_000;
    let error = Session::new(config).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::BadConfig);
    assert!(
        error.to_string().contains("advanced.picker.seek_targets") && error.to_string().contains("1000"),
        "{error}"
    );
}
