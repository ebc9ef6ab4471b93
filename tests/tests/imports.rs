//! The layers of docs/DESIGN.md: which crate imports which, and what the pure crates must not use.
//! The shape of the code, as CONTRIBUTING.md asks: modules, and the lengths of files and functions.
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

/// Ways to send something or to look a name up, which in the engine only the network policy uses.
const SENDS: [&str; 7] = [
    "lookup_host",
    "to_socket_addrs",
    "TcpSocket",
    "TcpStream::connect",
    "UdpSocket::bind",
    "Socket::new",
    "Client::builder",
];

/// Files of the engine that contain one of them and send nothing around the policy: a listener, and an
/// HTTP client to which the policy is applied.
const MAY_SEND: [(&str, &str); 2] =
    [("swarm/transport.rs", "Socket::new"), ("discovery/web/mod.rs", "Client::builder")];

/// Most lines of a file without its tests, and of a function.
const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 80;

/// Files that may use `#[path]`. An example shares the helpers of the tests in no other way.
const MAY_USE_PATH: [&str; 1] = ["core/media/examples/films.rs"];

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
        // A normal dependency has the kind null.
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
    assert_eq!(present, named, "each crate of the workspace needs a line in MAY_IMPORT, and a line in docs/DESIGN.md");
    for (name, imported) in &imports {
        let wrong: Vec<&String> = imported.iter().filter(|i| !allowed[name.as_str()].contains(&i.as_str())).collect();
        assert!(wrong.is_empty(), "{name} must not import {wrong:?}; docs/DESIGN.md has the layers");
    }
}

/// Returns the Rust files below a folder, without hidden folders and build output.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        match entry.file_type().unwrap().is_dir() {
            true if !name.starts_with('.') && name != "target" => found.extend(rust_files(&path)),
            false if name.ends_with(".rs") => found.push(path),
            _ => {}
        }
    }
    found
}

/// Returns the Rust files below a folder that are not tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let is_test = |path: &PathBuf| {
        let inside = path.strip_prefix(folder).unwrap();
        inside.components().any(|part| part.as_os_str() == "tests") || inside.ends_with("tests.rs")
    };
    rust_files(folder).into_iter().filter(|path| !is_test(path)).collect()
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
fn the_engine_sends_by_its_network_policy_alone() {
    let engine = root().join("core/engine/src");
    let mut seen = BTreeSet::new();
    for file in sources(&engine) {
        let name = file.strip_prefix(&engine).unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        for (number, line) in code(&text) {
            for way in SENDS.into_iter().filter(|way| line.contains(way)) {
                seen.insert(way);
                let may = name.starts_with("network/") || MAY_SEND.contains(&(name.as_str(), way));
                assert!(may, "{name}:{number} uses {way}; send by crate::network::Network: {line}");
            }
        }
    }
    assert!(seen.len() >= 5, "only {seen:?} seen");
}

/// Returns the functions of a file's code as the formatter writes it: name, first line and number
/// of lines.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let code = code(text);
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut found = Vec::new();
    for (n, (first, line)) in code.iter().enumerate() {
        let is_qualifier =
            |word: &str| word.starts_with("pub") || ["const", "async", "unsafe", "extern"].contains(&word);
        let Some((before, after)) = line.trim_start().split_once("fn ") else { continue };
        if !before.is_empty() && !before.split([' ', '(']).next().is_some_and(is_qualifier) {
            continue;
        }
        let mut same_indent = code[n..].iter().filter(|(_, other)| indent(other) == indent(line));
        // A signature may take several lines; a short body shares its line.
        let ends = |(_, line): &&&(usize, &str)| line.trim_end().ends_with(['{', '}', ';']);
        let Some((_, signature)) = same_indent.clone().find(|line| ends(&line)) else { continue };
        if signature.trim_end().ends_with('{')
            && let Some((last, _)) = same_indent.find(|(_, line)| line.trim() == "}")
        {
            let name = after.split(['(', '<']).next().unwrap_or_default();
            found.push((name.to_owned(), *first, last - first + 1));
        }
    }
    found
}

#[test]
fn a_file_is_at_most_500_lines_and_a_function_at_most_80() {
    // For `sources`, this whole crate is a folder of tests.
    let folders = [root(), root().join("tests/src")];
    let files: Vec<PathBuf> = folders.iter().flat_map(|folder| sources(folder)).collect();
    let mut counted = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = code(&text).len();
        assert!(lines <= MAX_FILE_LINES, "{}: {lines} lines without tests; cut it by idea", file.display());
        for (name, line, lines) in functions(&text) {
            assert!(lines <= MAX_FUNCTION_LINES, "{}:{line}: {name} has {lines} lines", file.display());
            counted += 1;
        }
    }
    assert!(counted > 3000, "{counted} functions seen");
}

#[test]
fn a_module_of_several_files_is_a_folder_with_mod_rs_and_none_uses_path() {
    for file in rust_files(&root()) {
        let beside = file.with_extension("");
        assert!(!beside.is_dir(), "{} must move into the folder beside it, as mod.rs", file.display());
        let text = std::fs::read_to_string(&file).unwrap();
        let uses_path = text.lines().any(|line| line.trim_start().starts_with("#[path"));
        let may = MAY_USE_PATH.iter().any(|allowed| file.ends_with(allowed));
        assert!(!uses_path || may, "{} uses #[path]", file.display());
    }
}

#[test]
fn functions_are_measured_from_their_first_line_to_the_brace_that_ends_them() {
    let text = "\
pub(crate) async fn one<T>(
    a: T,
) -> u8
where
    T: Copy,
{
    if true {
        2
    }
}
impl Trait for X {
    fn declared(&self);
    fn short(&self) -> u8 { 1 }
    pub const fn three() {
        // fn comment() {
    }
}
#[cfg(test)]
mod tests {
    fn unseen() {
    }
}
let the_fn = 1;
";
    let found = functions(text);
    let found: Vec<(&str, usize, usize)> = found.iter().map(|(name, first, lines)| (&**name, *first, *lines)).collect();
    assert_eq!(found, [("one", 1, 10), ("three", 14, 3)]);
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
