//! Compares the library's exports and its name with the committed list.
#![allow(clippy::unwrap_used)]

mod common;

use common::{libraries, root, run};
use std::collections::BTreeSet;
use std::process::Command;

fn committed() -> BTreeSet<String> {
    let list = std::fs::read_to_string(root().join("ffi-c/symbols.txt")).unwrap();
    list.lines().map(str::to_owned).collect()
}

fn exported() -> BTreeSet<String> {
    let library = libraries().join("libplayswarm_c.so");
    let output = run(Command::new("nm").args(["-D", "--defined-only", "-f", "posix"]).arg(library));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn the_library_exports_exactly_the_committed_symbols() {
    let (exported, committed) = (exported(), committed());
    let foreign: Vec<_> = exported.iter().filter(|name| !name.starts_with("playswarm_")).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    if std::env::var_os("PLAYSWARM_UPDATE").is_some() {
        let list: String = exported.iter().map(|name| format!("{name}\n")).collect();
        std::fs::write(root().join("ffi-c/symbols.txt"), list).unwrap();
        return;
    }
    let gone: Vec<_> = committed.difference(&exported).collect();
    assert!(gone.is_empty(), "programs need these: {gone:?}");
    let new: Vec<_> = exported.difference(&committed).collect();
    assert!(
        new.is_empty(),
        "count PLAYSWARM_ABI_VERSION up and write the list anew with \
         PLAYSWARM_UPDATE=1 cargo test -p playswarm-c --test symbols: {new:?}"
    );
}

#[test]
fn every_function_is_declared_and_tried_with_null() {
    let header = std::fs::read_to_string(root().join("include/playswarm.h")).unwrap();
    let nulls = std::fs::read_to_string(root().join("ffi-c/tests/c/nulls.c")).unwrap();
    for name in committed() {
        let call = format!("{name}(");
        assert!(header.contains(&call), "{name} is not in the header");
        assert!(nulls.contains(&call), "{name} is not called with NULL in tests/c/nulls.c");
    }
}

#[test]
fn programs_look_for_the_library_by_the_number_of_its_abi() {
    let library = libraries().join("libplayswarm_c.so");
    let output = run(Command::new("readelf").arg("-d").arg(library));
    let dynamic = String::from_utf8(output.stdout).unwrap();
    let number = playswarm_c::PLAYSWARM_ABI_VERSION >> 16;
    assert!(dynamic.contains(&format!("soname: [libplayswarm.so.{number}]")), "{dynamic}");
}
