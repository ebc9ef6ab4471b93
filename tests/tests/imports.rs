//! The layers of docs/DESIGN.md: which crate imports which, and what the pure crates must not use.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// For each crate of the workspace, the crates of ours that it may import.
const MAY_IMPORT: [(&str, &[&str]); 12] = [
    ("playswarm-proto", &[]),
    ("playswarm-media", &[]),
    ("playswarm-logic", &["playswarm-proto"]),
    ("playswarm-sim", &["playswarm-logic", "playswarm-proto"]),
    ("playswarm", &["playswarm-proto", "playswarm-logic", "playswarm-media"]),
    ("playswarm-serve", &["playswarm", "playswarm-media"]),
    ("playswarm-cli", &["playswarm", "playswarm-serve"]),
    ("playswarm-c", &["playswarm", "playswarm-serve"]),
    // The module also runs the program.
    ("playswarm-python", &["playswarm", "playswarm-serve", "playswarm-cli"]),
    ("playswarm-tests", &["playswarm-proto", "playswarm-sim"]),
    ("playswarm-benches", &["playswarm-logic", "playswarm-sim"]),
    ("playswarm-examples", &["playswarm", "playswarm-serve"]),
];

/// Crates that do no I/O, read no clock and draw no randomness.
const PURE: [&str; 3] = ["core/proto/src", "core/logic/src", "core/media/src"];

/// Names that the pure crates do not use: files, sockets, threads, clocks, randomness.
const IMPURE: [&str; 10] =
    ["fs", "TcpStream", "TcpListener", "UdpSocket", "thread", "Instant", "SystemTime", "tokio", "rand", "getrandom"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the crates of ours that each crate of the workspace depends on, other than for its tests.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--offline", "--no-deps", "--format-version", "1"];
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    let of = |package: &Value| {
        // A kind of null stands for a normal dependency.
        let normal = package["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"].is_null());
        (name(package), normal.map(name).filter(|dependency| ours.contains(dependency)).collect())
    };
    packages.iter().map(of).collect()
}

#[test]
fn each_crate_imports_only_the_layers_below_it() {
    let imports = imports();
    let allowed = BTreeMap::from(MAY_IMPORT);
    let named: BTreeSet<&str> = allowed.keys().copied().collect();
    let present: BTreeSet<&str> = imports.keys().map(String::as_str).collect();
    assert_eq!(
        present, named,
        "each crate of the workspace needs a line in MAY_IMPORT, and docs/DESIGN.md a word on it"
    );
    for (name, imported) in &imports {
        let wrong: Vec<&String> = imported.iter().filter(|i| !allowed[name.as_str()].contains(&i.as_str())).collect();
        assert!(wrong.is_empty(), "{name} must not import {wrong:?}; docs/DESIGN.md has the layers");
    }
}

/// Returns the Rust files below a folder that are not tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match path.is_dir() {
            true if name != "tests" => found.extend(sources(&path)),
            false if name.ends_with(".rs") && name != "tests.rs" => found.push(path),
            _ => {}
        }
    }
    found
}

/// Returns the lines of code with their numbers, without comments and without items for tests only.
fn code(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            found.push((number, line.split("//").next().unwrap_or_default()));
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let item = lines.by_ref().find(|(line, _)| !line.trim_start().starts_with("#["));
        // The formatter puts the brace that ends an item below its first letter.
        if item.is_some_and(|(line, _)| line.ends_with('{')) {
            let _ = lines.by_ref().find(|(line, _)| line.strip_prefix(indent) == Some("}"));
        }
    }
    found
}

fn impure_names(line: &str) -> Vec<&'static str> {
    let names: BTreeSet<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    IMPURE.into_iter().filter(|name| names.contains(name)).collect()
}

#[test]
fn the_pure_crates_use_no_files_sockets_threads_clocks_or_randomness() {
    for folder in PURE {
        let files = sources(&root().join(folder));
        assert!(files.len() > 10, "{folder}: {} files", files.len());
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for (number, line) in code(&text) {
                let found = impure_names(line);
                assert!(found.is_empty(), "{}:{number} uses {found:?}: {line}", file.display());
            }
        }
    }
}

#[test]
fn the_search_sees_uses_and_leaves_out_tests_and_comments() {
    let text = "\
use std::{fs, time::{Duration, Instant}};
// tokio is not used
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    fn sleeps() {
        std::thread::sleep(SECOND);
    }
}
#[cfg(test)]
mod more;
fn operand() {} // rand
";
    let found: Vec<(usize, Vec<&str>)> = code(text)
        .into_iter()
        .map(|(number, line)| (number, impure_names(line)))
        .filter(|(_, names)| !names.is_empty())
        .collect();
    assert_eq!(found, [(1, vec!["fs", "Instant"])]);
}
