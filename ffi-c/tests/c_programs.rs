//! The C and C++ programs of tests/c, built and run against the installed library: plain, with the
//! address and undefined behaviour sanitizers, and in Valgrind.
#![allow(clippy::unwrap_used)]

mod common;

use common::{World, build, installed, run};
use playswarm_tests::requirement;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Length of the film: a little over thirty pieces.
const FILM: usize = 2_000_000;
/// Number of cancelled calls.
const CANCELS: &str = "10000";

#[derive(Clone, Copy, PartialEq)]
enum How {
    Plain,
    Sanitized,
    Valgrind,
}

fn programs(how: How) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c");
    match how {
        How::Sanitized => build(&source, "c-sanitized", &["-DSANITIZE=ON"]),
        How::Plain | How::Valgrind => build(&source, "c-plain", &["-DSANITIZE=OFF"]),
    }
}

/// A file system with room for half of the film, unmounted when it is dropped.
struct Small(PathBuf);

impl Small {
    fn new(at: PathBuf) -> Option<Small> {
        std::fs::create_dir_all(&at).unwrap();
        if !requirement::root() {
            std::fs::remove_dir(&at).unwrap();
            return None;
        }
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&at));
        Some(Small(at))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn passes(name: &str, how: How, count: &str) {
    passes_with(&World::new(FILM), name, how, count);
}

fn passes_with(world: &World, name: &str, how: How, count: &str) {
    if !requirement::program("cmake") || (how == How::Valgrind && !requirement::program("valgrind")) {
        return;
    }
    let program = programs(how).join(name);
    let folder = world.fresh("here");
    let _small = if name == "troubles" { Small::new(folder.join("small")) } else { None };
    let mut command = match how {
        How::Valgrind => {
            let mut command = Command::new("valgrind");
            command.args(["--quiet", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite"]);
            command.args(["--show-leak-kinds=definite", "--fair-sched=yes", "--num-callers=30"]);
            command.arg(program);
            command
        }
        How::Plain | How::Sanitized => Command::new(program),
    };
    command.arg(&world.torrent).arg(&world.film).arg(world.peer.to_string()).arg(&folder).arg(count);
    command
        .env("ASAN_OPTIONS", "detect_leaks=1:detect_stack_use_after_return=1")
        .env("UBSAN_OPTIONS", "print_stacktrace=1");
    command.env("LD_LIBRARY_PATH", installed().join("lib"));
    run(&mut command);
}

macro_rules! each_way {
    ($($name:ident $count:expr, $fewer:expr;)*) => { $(
        mod $name {
            use super::*;

            #[test]
            fn holds() {
                passes(stringify!($name), How::Plain, $count);
            }

            #[test]
            fn holds_with_sanitizers() {
                passes(stringify!($name), How::Sanitized, $count);
            }

            #[test]
            fn holds_in_valgrind() {
                passes(stringify!($name), How::Valgrind, $fewer);
            }
        }
    )* };
}

each_way! {
    nulls "0", "0";
    arguments "0", "0";
    playing "0", "0";
    threads "0", "0";
    // Valgrind runs one thread at a time, twenty times as slowly, so it gets fewer rounds.
    cancels CANCELS, "200";
    troubles "0", "0";
    polling "0", "0";
    callbacks "0", "0";
    timing "0", "0";
    serving "0", "0";
    channels "0", "0";
    raii "0", "0";
}

#[test]
fn a_film_is_sought_by_time_and_served() {
    if !requirement::program("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("film.mkv");
    run(Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=20"])
        .args(["-f", "lavfi", "-i", "sine=frequency=440:duration=20", "-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-g", "25", "-b:v", "1M", "-pix_fmt", "yuv420p", "-c:a", "aac"])
        .arg(&film));
    let world = World::of(&std::fs::read(film).unwrap());
    passes_with(&world, "timing", How::Sanitized, "20");
    passes_with(&world, "serving", How::Sanitized, "20");
}
