//! The state of the disk after a power cut: the program's writes and syncs in order, as strace
//! recorded them.
//!
//! After a power cut the disk has all synced bytes, and any part of the bytes written since. The
//! test goes through the trace and checks at each moment that the disk's record cannot claim a
//! piece as synced while the piece is missing.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{OFFLINE, Serving, run};
use playswarm_tests::requirement;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PIECE: usize = 256 << 10;
const PIECES: usize = 200;
const FILM: usize = PIECES * PIECE;
/// Where the bits of synced pieces are in the record: behind its head and the bits of written ones.
const SYNCED_AT: usize = 64 + PIECES.div_ceil(8);

/// A system call on the film, the record, or their folders.
#[derive(Clone, Debug)]
struct Call {
    name: String,
    /// Path of its descriptor.
    path: String,
    arguments: String,
}

/// The start or the end of a call.
#[derive(Clone, Debug)]
enum Moment {
    Start(usize, Call),
    End(usize),
}

/// Reads the lines of `strace -f -y -xx`. Failed calls are left out where they ended.
fn moments(trace: &str) -> Vec<Moment> {
    let mut under_way: BTreeMap<&str, usize> = BTreeMap::new();
    let mut moments = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if rest.starts_with("<... ") {
            moments.extend(under_way.remove(thread).map(Moment::End));
            continue;
        }
        let Some((name, arguments)) = rest.split_once('(') else { continue };
        let Some(path) = arguments.split_once('<').and_then(|(_, path)| path.split_once('>')).map(|(path, _)| path)
        else {
            continue;
        };
        let call = Call { name: name.into(), path: path_of(path), arguments: arguments.into() };
        moments.push(Moment::Start(number, call));
        if rest.ends_with("<unfinished ...>") {
            under_way.insert(thread, number);
        } else {
            moments.push(Moment::End(number));
        }
    }
    moments
}

/// Returns the text of `\x2f\x74…`, or of a plain path.
fn path_of(text: &str) -> String {
    if text.starts_with("\\x") { String::from_utf8_lossy(&bytes_of(text)).into_owned() } else { text.into() }
}

fn bytes_of(text: &str) -> Vec<u8> {
    text.split("\\x").skip(1).map(|hex| u8::from_str_radix(&hex[..2], 16).unwrap()).collect()
}

/// The worst possible contents of the disk, as far as the trace was read.
struct Disk {
    calls: BTreeMap<usize, Call>,
    /// For each piece: the number of its last write, and whether that has ended and was synced.
    last_write: Vec<Option<usize>>,
    ended: Vec<bool>,
    synced: Vec<bool>,
    /// The parts of each piece that were written, in bytes.
    written: Vec<usize>,
    /// Pieces that the record on the disk may claim as synced, and those that the last written one
    /// does not.
    claimed: Vec<bool>,
    retracted: Vec<bool>,
    /// The pieces that were written, and those retracted, when each sync under way began.
    syncs: BTreeMap<usize, Vec<bool>>,
    /// Whether the film's name is on the disk.
    named: bool,
    punches: usize,
    faults: Vec<String>,
}

impl Disk {
    fn new() -> Disk {
        Disk {
            calls: BTreeMap::new(),
            last_write: vec![None; PIECES],
            ended: vec![false; PIECES],
            synced: vec![false; PIECES],
            written: vec![0; PIECES],
            claimed: vec![false; PIECES],
            retracted: vec![true; PIECES],
            syncs: BTreeMap::new(),
            named: false,
            punches: 0,
            faults: Vec::new(),
        }
    }

    fn start(&mut self, number: usize, call: &Call) {
        let in_film = call.path.ends_with("/film.mkv");
        let in_record = call.path.ends_with(".have");
        match call.name.as_str() {
            "pwrite64" if in_film => {
                let (at, length) = place(call);
                for piece in at / PIECE..(at + length).div_ceil(PIECE) {
                    self.written[piece] += length.min(PIECE);
                    (self.last_write[piece], self.ended[piece], self.synced[piece]) = (Some(number), false, false);
                }
            }
            "pwrite64" if in_record => {
                let (at, _) = place(call);
                let data = call.arguments.split('"').nth(1).unwrap();
                for (byte, value) in bytes_of(data).into_iter().enumerate() {
                    let Some(byte) = (at + byte).checked_sub(SYNCED_AT) else { continue };
                    for bit in 0..8 {
                        let piece = byte * 8 + bit;
                        if piece < PIECES {
                            let claims = value & (0x80 >> bit) != 0;
                            // Written bytes may reach the disk at once, or only with a sync.
                            self.claimed[piece] |= claims;
                            self.retracted[piece] = !claims;
                        }
                    }
                }
            }
            "fallocate" if in_film => {
                self.punches += 1;
                let numbers = numbers(call.arguments.split_once('>').unwrap().1);
                let [.., at, length] = numbers[..] else { panic!("{call:?}") };
                for piece in at / PIECE..(at + length).min(FILM).div_ceil(PIECE) {
                    (self.written[piece], self.synced[piece], self.ended[piece]) = (0, false, false);
                }
            }
            "fdatasync" | "fsync" if in_film => {
                self.syncs.insert(number, self.ended.clone());
            }
            "fdatasync" | "fsync" if in_record => {
                self.syncs.insert(number, self.retracted.clone());
            }
            _ => {}
        }
        self.calls.insert(number, call.clone());
        self.check(number);
    }

    fn end(&mut self, number: usize) {
        let Some(call) = self.calls.get(&number) else { return };
        let folder = call.path.ends_with("/dir");
        match (call.name.as_str(), self.syncs.remove(&number)) {
            ("pwrite64", _) if call.path.ends_with("/film.mkv") => {
                for piece in 0..PIECES {
                    if self.last_write[piece] == Some(number) && self.written[piece] >= PIECE {
                        self.ended[piece] = true;
                    }
                }
            }
            (_, Some(before)) if call.path.ends_with("/film.mkv") => {
                for (piece, before) in before.iter().enumerate() {
                    self.synced[piece] |= *before && self.ended[piece];
                }
            }
            (_, Some(before)) => {
                for (piece, before) in before.iter().enumerate() {
                    if *before && self.retracted[piece] {
                        self.claimed[piece] = false;
                    }
                }
            }
            ("fsync" | "fdatasync", None) if folder => self.named = true,
            _ => {}
        }
    }

    fn check(&mut self, number: usize) {
        for piece in 0..PIECES {
            if self.claimed[piece] && !(self.synced[piece] && self.named) {
                self.faults.push(format!("line {}: piece {piece} is claimed and may not be there", number + 1));
            }
        }
    }
}

/// Returns the offset and length of a write.
fn place(call: &Call) -> (usize, usize) {
    let behind = call.arguments.rsplit('"').next().unwrap();
    let numbers = numbers(behind);
    (numbers[1], numbers[0])
}

/// Returns the numbers of a call's arguments, without its result.
fn numbers(arguments: &str) -> Vec<usize> {
    let arguments = arguments.split([')', '<']).next().unwrap_or_default();
    arguments.split([',', ' ']).filter_map(|part| part.parse().ok()).collect()
}

fn replay(trace: &str) -> Disk {
    let mut disk = Disk::new();
    for moment in moments(trace) {
        match moment {
            Moment::Start(number, call) => disk.start(number, &call),
            Moment::End(number) => disk.end(number),
        }
    }
    disk
}

/// A folder with a film and its torrent.
fn film() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let mut seed = 1u64;
    let mut bytes = Vec::with_capacity(FILM);
    while bytes.len() < FILM {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.extend_from_slice(&seed.to_be_bytes());
    }
    std::fs::write(dir.path().join("film.mkv"), bytes).unwrap();
    assert_eq!(run(dir.path(), &["create", "film.mkv", "--piece-size", "256KiB", "-q"]).0, 0);
    let torrent = dir.path().join("film.mkv.torrent");
    (dir, torrent)
}

fn seed(dir: &Path) -> (Serving, String) {
    let seed = Serving::start(dir, &[&["seed", "film.mkv", "film.mkv.torrent"][..], &OFFLINE].concat());
    let at = seed.line.rsplit(' ').next().unwrap().to_owned();
    (seed, at)
}

/// Starts the program under strace, which is not its parent process.
fn traced(strace: &[&str], trace: &Path, program: &[&str]) -> Serving {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-o"]).arg(trace).args(strace).arg(env!("CARGO_BIN_EXE_playswarm")).args(program);
    command.env_remove("PLAYSWARM_LOG").env_remove("RUST_LOG").current_dir(trace.parent().unwrap());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    Serving { child, line: line.trim_end().to_owned() }
}

/// Reads the first `bytes` of the film as a player does, as far as they come. Returns the bytes of
/// the answer.
fn play(line: &str, bytes: usize) -> usize {
    let Some((host, path)) = line.strip_prefix("url: http://").and_then(|url| url.split_once('/')) else { return 0 };
    let Ok(mut socket) = TcpStream::connect(host) else { return 0 };
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut answer = Vec::new();
    // The program may be killed meanwhile.
    let _ = write!(
        socket,
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nRange: bytes=0-{}\r\nConnection: close\r\n\r\n",
        bytes - 1
    );
    let _ = socket.read_to_end(&mut answer);
    answer.len()
}

fn record(dir: &Path) -> Vec<u8> {
    let notes = std::fs::read_dir(dir.join(".playswarm")).unwrap().map(|e| e.unwrap().path());
    std::fs::read(notes.filter(|p| p.extension().is_some_and(|e| e == "have")).min().unwrap()).unwrap()
}

#[test]
fn no_power_cut_leaves_a_claim_without_its_piece() {
    if !requirement::program("strace") {
        return;
    }
    let (home, torrent) = film();
    let (_seed, at) = seed(home.path());
    for limit in ["0", "32MiB"] {
        let place = tempfile::tempdir().unwrap();
        let (dir, trace) = (place.path().join("dir"), place.path().join("trace"));
        let program = ["stream", torrent.to_str().unwrap(), "--dir", "dir", "--peer", &at, "--disk-limit", limit];
        let calls = "trace=pwrite64,fdatasync,fsync,syncfs,fallocate,ftruncate";
        let serving = traced(&["-y", "-xx", "-s", "64", "-e", calls], &trace, &[&program[..], &OFFLINE].concat());
        let synced =
            || record(&dir)[SYNCED_AT..SYNCED_AT + PIECES.div_ceil(8)].iter().map(|b| b.count_ones()).sum::<u32>();
        let wait_for = |wanted: u32| {
            let begun = Instant::now();
            while synced() < wanted && begun.elapsed() < Duration::from_secs(30) {
                std::thread::sleep(Duration::from_millis(100));
            }
        };
        // With a limit, many pieces are evicted. The first ones are claimed before that.
        assert!(play(&serving.line, FILM / 4) > FILM / 4, "a quarter of the film");
        wait_for(PIECES as u32 / 4);
        assert!(play(&serving.line, FILM) > FILM, "the whole film");
        wait_for(if limit == "0" { PIECES as u32 } else { 64 });
        assert_eq!(serving.end().0, 0);
        // The tracer ends after the program.
        std::thread::sleep(Duration::from_millis(500));
        let text = std::fs::read_to_string(&trace).unwrap();
        let disk = replay(&text);
        assert!(disk.faults.is_empty(), "limit {limit}: {:?}", &disk.faults[..disk.faults.len().min(5)]);
        assert!(disk.claimed.iter().filter(|c| **c).count() >= 64, "limit {limit}: hardly anything was claimed");
        assert_eq!(disk.punches > 0, limit != "0");
        // A check of the check: without the syncs of the film, or with its writes at the end, it
        // fails.
        let without =
            |unwanted: &dyn Fn(&str) -> bool| text.lines().filter(|l| !unwanted(l)).collect::<Vec<_>>().join("\n");
        let film = "film.mkv".bytes().map(|b| format!("\\x{b:02x}")).collect::<String>();
        let of_film = |line: &str| line.contains("film.mkv") || line.contains(&film);
        let unsynced = replay(&without(&|line| line.contains("fdatasync(") && of_film(line)));
        assert!(!unsynced.faults.is_empty(), "the check sees no missing sync");
        if limit != "0" {
            let unsynced = replay(&without(&|line| line.contains("fdatasync(") && !of_film(line)));
            assert!(!unsynced.faults.is_empty(), "the check sees no hole before its note");
        }
    }
}

#[test]
fn a_kill_between_a_files_creation_and_its_note_costs_no_other_name() {
    if !requirement::program("strace") {
        return;
    }
    let (home, torrent) = film();
    let (_seed, at) = seed(home.path());
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("dir");
    std::fs::create_dir(&dir).unwrap();
    let film = dir.join("film.mkv");
    let program = ["stream", torrent.to_str().unwrap(), "--dir", "dir", "--peer", &at];
    let program = [&program[..], &OFFLINE].concat();
    // The new file's data is looked up right after its creation.
    let kill = ["-P", film.to_str().unwrap(), "-e", "trace=statx", "-e", "inject=statx:signal=SIGKILL:when=1"];
    let mut killed = traced(&kill, &place.path().join("trace"), &program);
    play(&killed.line, FILM);
    assert!(!killed.child.wait().unwrap().success(), "it was killed");
    assert_eq!(std::fs::metadata(&film).unwrap().len(), 0, "right after the file was created");
    let serving = Serving::start(place.path(), &program);
    assert!(play(&serving.line, FILM) > FILM);
    assert_eq!(serving.end().0, 0);
    assert_eq!(std::fs::metadata(&film).unwrap().len(), FILM as u64);
    let names: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "the film and our record: {names:?}");
}
