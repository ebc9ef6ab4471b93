//! The programs in docs/C.md are compiled and run.
#![allow(clippy::unwrap_used)]

mod common;

use common::{installed, root, run};
use playswarm_tests::requirement;
use std::process::Command;

/// Returns the first code block of this language that has a `main`.
fn program(language: &str) -> String {
    let guide = std::fs::read_to_string(root().join("docs/C.md")).unwrap();
    let fence = format!("```{language}\n");
    let blocks = guide.split(&fence).skip(1);
    let mut programs = blocks.map(|rest| rest.split("```").next().unwrap()).filter(|block| block.contains("int main"));
    programs.next().unwrap().to_owned()
}

/// Compiles a program as the guide describes, with the flags of pkg-config. Runs it in an empty
/// folder, where it must fail with an error message.
fn fails_with_a_sentence(compiler: &str, language: &str, standard: &str) {
    if !requirement::program("pkg-config") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join(format!("film.{language}"));
    std::fs::write(&source, program(language).replace("/var/tmp/films", folder.path().to_str().unwrap())).unwrap();
    let config = installed().join("lib/pkgconfig");
    let flags = |what: &str| {
        let output = run(Command::new("pkg-config").arg(what).arg("playswarm").env("PKG_CONFIG_PATH", &config));
        String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let binary = folder.path().join("film");
    let mut compile = Command::new(compiler);
    compile.args([standard, "-Wall", "-Wextra", "-Werror"]).arg(&source).arg("-o").arg(&binary);
    run(compile.args(flags("--cflags")).args(flags("--libs")));
    let output = Command::new(binary)
        .env("LD_LIBRARY_PATH", installed().join("lib"))
        .current_dir(folder.path())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && printed.contains("cannot read film.torrent"), "{printed}");
}

#[test]
fn the_film_in_c_is_a_program() {
    fails_with_a_sentence("cc", "c", "-std=c99");
}

#[test]
fn the_film_in_cpp_is_a_program() {
    fails_with_a_sentence("c++", "cpp", "-std=c++17");
}
