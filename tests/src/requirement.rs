//! A test's requirements on the machine. If one is missing, the test reports it and is skipped.
//! With `PLAYSWARM_TEST_REQUIRE=1`, as in CI, a missing requirement is a failure. Reasons are also
//! appended to the file that `PLAYSWARM_TEST_SKIPS` names, since test runners hide the output of a
//! passing test.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Reports why a test is skipped, and fails if skipping is not allowed. Returns `false` for the
/// caller to return on.
#[track_caller]
pub fn missing(why: &str) -> bool {
    assert!(
        std::env::var_os("PLAYSWARM_TEST_REQUIRE").is_none_or(|v| v.is_empty() || v == "0"),
        "this test must not be skipped here, but {why}"
    );
    if let Some(path) = std::env::var_os("PLAYSWARM_TEST_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path)
    {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let _ = writeln!(file, "{test}: {why}");
    }
    eprintln!("skipped: {why}; `bash scripts/setup.sh --test` prepares a machine for all tests");
    false
}

/// Whether namespaces and TUN devices can be created.
#[track_caller]
pub fn network() -> bool {
    root()
        && (Path::new("/dev/net/tun").exists() || missing("there is no /dev/net/tun"))
        && program("ip")
        && program("nsenter")
}

/// Whether the process runs as root, as mounts and namespaces require.
#[track_caller]
pub fn root() -> bool {
    rustix::process::geteuid().is_root() || missing("it needs root")
}

/// Whether a program can be run.
#[track_caller]
pub fn program(name: &str) -> bool {
    let found =
        std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|p| p.join(name).is_file()));
    found || missing(&format!("the program {name} is not installed"))
}

/// Whether GStreamer has this element.
#[track_caller]
pub fn gstreamer(element: &str) -> bool {
    let exists = || Command::new("gst-inspect-1.0").args(["--exists", element]).status().is_ok_and(|s| s.success());
    program("gst-launch-1.0") && (exists() || missing(&format!("GStreamer has no element {element}")))
}

/// Whether Python with libtorrent is available.
#[track_caller]
pub fn libtorrent() -> bool {
    python_module(&crate::peers::libtorrent::python().to_string_lossy(), "libtorrent")
}

/// Whether this Python has a module.
#[track_caller]
pub fn python_module(python: &str, module: &str) -> bool {
    let works = Command::new(python)
        .args(["-c", &format!("import {module}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    works || missing(&format!("{python} has no module {module}"))
}
