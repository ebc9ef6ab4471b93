//! The programs of examples/c and examples/cpp, built and run as their README describes.
#![allow(clippy::unwrap_used)]

mod common;

use common::{World, build, installed, root, run};
use playswarm_tests::requirement;
use std::path::Path;
use std::process::{Command, Output};

/// Runs an example on a film that a peer has. `None` if it cannot be built here.
fn example(language: &str, name: &str, world: &World, dir: &Path) -> Option<Output> {
    if !requirement::program("cmake") {
        return None;
    }
    let programs = build(&root().join("examples").join(language), &format!("examples-{language}"), &[]);
    let mut command = Command::new(programs.join(name));
    command.arg(format!("dir={}", dir.display())).arg(format!("peers={}", world.peer)).arg("listen=127.0.0.1:0");
    command.args(["dht", "lsd", "trackers", "port_map"].map(|key| format!("{key}=false"))).arg(&world.torrent);
    Some(run(command.env("LD_LIBRARY_PATH", installed().join("lib"))))
}

fn the_player_gives_the_film(language: &str) {
    let world = World::new(1_000_000);
    let Some(output) = example(language, "player", &world, &world.fresh("here")) else { return };
    assert!(output.stdout == world.data, "{} bytes", output.stdout.len());
}

fn the_downloader_leaves_the_film_in_the_folder(language: &str) {
    let world = World::new(1_000_000);
    let dir = world.fresh("here");
    let Some(output) = example(language, "downloader", &world, &dir) else { return };
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("film.mkv") && printed.contains(&"#".repeat(40)), "{printed}");
    assert!(std::fs::read(dir.join("film.mkv")).unwrap() == world.data);
}

fn the_watcher_says_what_happens(language: &str) {
    let world = World::new(1_000_000);
    let Some(output) = example(language, "watcher", &world, &world.fresh("here")) else { return };
    let printed = String::from_utf8(output.stdout).unwrap();
    // The peer may connect before the watcher listens, and the watcher may end before the last
    // event.
    for part in ["piece_verified ", "ahead"] {
        assert!(printed.contains(part), "no '{part}' in {printed}");
    }
}

mod c {
    #[test]
    fn the_player_gives_the_film() {
        super::the_player_gives_the_film("c");
    }

    #[test]
    fn the_downloader_leaves_the_film_in_the_folder() {
        super::the_downloader_leaves_the_film_in_the_folder("c");
    }

    #[test]
    fn the_watcher_says_what_happens() {
        super::the_watcher_says_what_happens("c");
    }
}

mod cpp {
    #[test]
    fn the_player_gives_the_film() {
        super::the_player_gives_the_film("cpp");
    }

    #[test]
    fn the_downloader_leaves_the_film_in_the_folder() {
        super::the_downloader_leaves_the_film_in_the_folder("cpp");
    }

    #[test]
    fn the_watcher_says_what_happens() {
        super::the_watcher_says_what_happens("cpp");
    }
}
