//! Prints how the indexes of films compare with what ffprobe says of them, as a table in Markdown:
//!
//! ```sh
//! cargo run --release -p playswarm-media --example films             # films of seconds, made by FFmpeg
//! cargo run --release -p playswarm-media --example films -- --large  # and those of hours and gigabytes
//! cargo run --release -p playswarm-media --example films -- mkv      # those whose names contain a word
//! ```
#![allow(clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Cut, Row, Truth, catalogue, compare, read};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let large = words.iter().any(|word| word == "--large");
    let wanted = |name: &str| {
        let mut names = words.iter().filter(|word| *word != "--large").peekable();
        names.peek().is_none() || names.any(|word| name.contains(word.as_str()))
    };
    let films = catalogue::all().into_iter().chain(if large { catalogue::large() } else { Vec::new() });
    println!("{}", Row::HEAD);
    for film in films.filter(|film| wanted(&film.name)) {
        let truth = Truth::of(&film.path());
        // The second time: the first warms the caches, as any program in use is warm.
        read(&film, Cut::Blocks);
        println!("{}", compare(&film, &truth, &read(&film, Cut::Blocks)));
    }
}
