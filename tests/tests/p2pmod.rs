//! P2PMoD's experiment at a small scale: it runs from beginning to end, and its counters are
//! consistent. docs/P2PMOD.md has the figures of the full experiment.
#![allow(clippy::unwrap_used)]

use playswarm_tests::requirement;
use serde_json::Value;
use std::process::Command;

#[test]
fn four_viewers_see_a_short_film_to_its_end_and_every_byte_is_accounted_for() {
    if !requirement::network() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (json, svg) = (folder.path().join("run.json"), folder.path().join("run.svg"));
    let output = Command::new(env!("CARGO_BIN_EXE_p2pmod"))
        .args(["--viewers", "4", "--minutes", "0.2", "--spread", "3", "--no-dht", "--index", "on"])
        .arg("--json")
        .arg(&json)
        .arg("--svg")
        .arg(&svg)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let film = 480_000;
    let viewers = report["viewers"].as_array().unwrap();
    assert_eq!(viewers.len(), 4, "{printed}");
    for viewer in viewers {
        assert_eq!(viewer["verified_bytes"], film, "{printed}");
        assert!(viewer["start_s"].as_f64().unwrap() > 0.0, "{printed}");
        let found = viewer["bytes_by_finding"].as_object().unwrap().values();
        let by_peers: u64 = found.map(|bytes| bytes.as_u64().unwrap()).sum();
        let received = viewer["received_bytes"].as_u64().unwrap();
        assert!(by_peers > 0 && by_peers <= received, "{by_peers} of {received} bytes came from known peers");
        assert_eq!(
            received - viewer["wasted_bytes"].as_u64().unwrap(),
            film,
            "all payload other than the film is counted as waste"
        );
    }
    assert!(viewers[0]["origin_bytes"].as_u64().unwrap() > 0, "the first viewer began with no other source");
    let again = Command::new(env!("CARGO_BIN_EXE_p2pmod")).arg("--from").arg(&json).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&again.stdout), printed, "--from prints the same figures");
    assert!(std::fs::read_to_string(&svg).unwrap().contains("<polyline"));
}
