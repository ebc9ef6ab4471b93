//! The whole of a large file from nginx on loopback, beside curl.

use crate::Row;
use anyhow::{Context, Result};
use playswarm_tests::nginx::Nginx;
use playswarm_tests::playswarm::Builder;
use playswarm_tests::reader::CheckedReader;
use playswarm_tests::requirement;
use playswarm_tests::torrent::TestTorrent;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const PIECE: u64 = 1 << 20;

/// Measures both, one after the other.
pub(crate) fn whole(program: &Path, bytes: u64) -> Result<Vec<Row>> {
    if !requirement::program("curl") {
        return Ok(Vec::new());
    }
    let torrent = TestTorrent::single("film.mkv", bytes, PIECE);
    let nginx = Nginx::files(&torrent.data());
    let url = format!("{}/film.mkv", nginx.origin);
    let mib = bytes as f64 / f64::from(1 << 20);
    let copy = tempfile::tempdir()?;
    let began = Instant::now();
    let status = Command::new("curl").args(["-s", "-f", "-o"]).arg(copy.path().join("film")).arg(&url).status();
    anyhow::ensure!(status.context("Can't run curl.")?.success(), "curl failed");
    let curl = mib / began.elapsed().as_secs_f64();
    let playswarm = Builder::stream(torrent.file()).binary(program).argument("--mirror").argument(&url).start();
    let took = CheckedReader::new(&playswarm, torrent.content(0)).read_all().whole;
    let ours = mib / took.as_secs_f64();
    Ok(vec![
        (format!("{mib:.0} MiB, curl to a file"), String::new(), format!("{curl:.0} MiB/s")),
        (
            "playswarm, verified, read over HTTP".into(),
            "× 0.9".into(),
            format!("{ours:.0} MiB/s, × {:.2}", ours / curl),
        ),
    ])
}
