//! GnuStream's experiments at a small scale: they run from beginning to end. docs/GNUSTREAM.md has the
//! figures of the full ones.
#![allow(clippy::unwrap_used)]

use playswarm_tests::requirement;
use serde_json::Value;
use std::process::Command;

#[test]
fn three_senders_play_a_clip_and_a_standby_takes_the_place_of_one_that_is_killed() {
    if !requirement::network() || !requirement::program("nginx") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("run.json");
    let (seconds, rate) = (8u64, 1_200_000u64);
    let output = Command::new(env!("CARGO_BIN_EXE_gnustream"))
        .args(["--only", "e1,killed", "--sender", "500", "--failure", "2"])
        .args(["--seconds", &seconds.to_string(), "--rate", &rate.to_string(), "--json"])
        .arg(&json)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let runs = report["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2, "{printed}");
    for (run, senders) in runs.iter().zip([3, 4]) {
        assert!(run["error"].is_null() && run["start_s"].is_f64(), "{run}");
        let gave: Vec<u64> = run["senders"].as_array().unwrap().iter().map(|bytes| bytes.as_u64().unwrap()).collect();
        assert!(gave.len() == senders && gave.iter().all(|bytes| *bytes > 0), "{run}");
        assert!(gave.iter().sum::<u64>() >= seconds * rate, "all of the clip came from the senders: {run}");
        assert_eq!(run["noticed_s"].is_f64(), senders == 4, "{run}");
    }
    let again = Command::new(env!("CARGO_BIN_EXE_gnustream")).arg("--from").arg(&json).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&again.stdout), printed, "--from prints the same figures");
}
