//! Live streams: what the splitter makes of a film, and what FFmpeg says of what a player gets.

use super::Film;
use playswarm_media::live::{MAX_INIT_BYTES, MAX_UNIT_BYTES, Splitter, Unit, Unsplittable};
use std::io::Write;
use std::process::{Command, Stdio};

/// What a splitter made of a stream.
pub struct Split {
    pub units: Vec<Unit>,
    pub content_type: String,
    pub extension: Option<&'static str>,
    pub interval_s: Option<f64>,
}

/// Splits a stream that is pushed in pieces of a size.
pub fn split(stream: &[u8], piece: usize) -> Result<Split, Unsplittable> {
    split_as(None, stream, piece)
}

pub fn split_as(content_type: Option<&str>, stream: &[u8], piece: usize) -> Result<Split, Unsplittable> {
    let mut splitter = Splitter::new(content_type);
    let mut units: Vec<Unit> = Vec::new();
    for piece in stream.chunks(piece) {
        splitter.push(piece)?;
        units.extend(std::iter::from_fn(|| splitter.poll()));
        assert!(splitter.held_bytes() <= 2 * MAX_INIT_BYTES + piece.len());
    }
    splitter.finish()?;
    units.extend(std::iter::from_fn(|| splitter.poll()));
    assert!(units.iter().all(|unit| unit.restart || unit.init.is_none()));
    assert!(units.iter().all(|unit| (1..=MAX_UNIT_BYTES).contains(&unit.bytes.len())));
    if let Some(first) = units.iter().find(|unit| unit.restart) {
        assert!(first.init.is_some());
    }
    let content_type = splitter.content_type().unwrap_or_default().to_owned();
    Ok(Split { units, content_type, extension: splitter.extension(), interval_s: splitter.restart_interval_s() })
}

impl Split {
    /// Returns the first init bytes.
    pub fn init(&self) -> Vec<u8> {
        self.units.iter().find_map(|unit| unit.init.as_ref()).map(|init| init.to_vec()).unwrap_or_default()
    }

    /// Returns all units in a row.
    pub fn joined(&self) -> Vec<u8> {
        self.units.iter().flat_map(|unit| unit.bytes.to_vec()).collect()
    }

    /// Returns what a player gets that begins at each of the restart points.
    pub fn players(&self) -> Vec<Vec<u8>> {
        let (mut init, mut players) = (Vec::new(), Vec::new());
        for (n, unit) in self.units.iter().enumerate().filter(|(_, unit)| unit.restart) {
            if let Some(new) = &unit.init {
                init = new.to_vec();
            }
            let rest = self.units[n..].iter().flat_map(|unit| unit.bytes.to_vec());
            players.push(init.iter().copied().chain(rest).collect());
        }
        players
    }
}

/// Runs a program of FFmpeg's on a stream in a pipe, and returns what it prints, also of errors.
fn run(program: &str, arguments: &str, stream: &[u8]) -> (String, String) {
    let mut child = Command::new(program)
        .args(["-v", "error"])
        .args(arguments.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // The program may end before it has read everything.
        scope.spawn(move || input.write_all(stream));
        child.wait_with_output().unwrap()
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Asserts that FFmpeg decodes a stream without a message, and that its first picture is a
/// keyframe.
pub fn assert_plays(stream: &[u8], what: &str) {
    let (_, errors) = run("ffmpeg", "-xerror -i pipe:0 -f null -", stream);
    assert!(errors.is_empty(), "{what}: {errors}");
    let first = "-select_streams v:0 -show_entries frame=key_frame -read_intervals %+#1 -of csv=p=0 pipe:0";
    let (keys, _) = run("ffprobe", first, stream);
    let first = keys.lines().next().unwrap_or_default().trim_end_matches(',');
    assert!(matches!(first, "1" | ""), "{what}: the first picture is no keyframe");
}

/// Returns the number of pictures or, without any, of audio frames that FFmpeg decodes.
pub fn frames(stream: &[u8]) -> usize {
    let count = |streams: &str| {
        let arguments =
            format!("-select_streams {streams} -count_frames -show_entries stream=nb_read_frames -of csv=p=0 pipe:0");
        run("ffprobe", &arguments, stream).0.lines().next().and_then(|n| n.trim_end_matches(',').parse().ok())
    };
    count("v:0").or_else(|| count("a:0")).unwrap_or_default()
}

/// Splits a film. Asserts that nothing is lost, that pieces of any size give the same, and that
/// players can begin at each of the restart points, of which there are at least this many.
pub fn check(film: &Film, restarts: usize) -> Split {
    let stream = film.bytes();
    let split = split(&stream, stream.len()).unwrap();
    for piece in [1, 187, 5000] {
        assert_eq!(self::split(&stream, piece).unwrap().units, split.units, "{}: in pieces of {piece}", film.name);
    }
    let players = split.players();
    assert!(players.len() >= restarts, "{}: {} restart points", film.name, players.len());
    for (n, player) in players.iter().enumerate() {
        assert_plays(player, &format!("{}: from restart point {n} of {}", film.name, players.len()));
    }
    let later = players.len() > 1;
    assert!(
        !later || frames(&players[0]) > frames(&players[players.len() - 1]),
        "{}: later players get less",
        film.name
    );
    split
}
