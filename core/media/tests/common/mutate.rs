//! Films with a few bytes changed, the same for the same seed.

use playswarm_media::{Container, fuzzing};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// xorshift64, which is sufficient to choose bytes and is the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Values that malicious files use: limits of the integers of sizes and counts.
const LIES: [u64; 10] =
    [0, 1, 7, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, u64::MAX, 0x0000_0100_0000_0000];

/// Changes one to six places of the first or last 4 KiB of a film, and sometimes truncates it.
fn mutate(film: &[u8], random: &mut Random) -> Vec<u8> {
    const NEAR: usize = 4096;
    let mut bytes = film.to_vec();
    for _ in 0..=random.below(6) {
        let near = bytes.len().min(NEAR);
        let place = random.below(near);
        let place = if random.below(2) == 0 { place } else { bytes.len() - 1 - place };
        match random.below(6) {
            0 => bytes[place] ^= 1 << random.below(8),
            1 => bytes[place] = random.next() as u8,
            2 => {
                let lie = LIES[random.below(LIES.len())].to_be_bytes();
                let width = [1, 2, 4, 8][random.below(4)];
                let end = bytes.len().min(place + width);
                bytes[place..end].copy_from_slice(&lie[8 - (end - place)..]);
            }
            3 => {
                let (other, length) = (random.below(near), random.below(64));
                let end = bytes.len().min(other + length);
                let copy = bytes[other..end].to_vec();
                let end = bytes.len().min(place + copy.len());
                bytes[place..end].copy_from_slice(&copy[..end - place]);
            }
            4 => {
                let end = bytes.len().min(place + random.below(64));
                bytes.drain(place..end);
            }
            _ => {
                let length = random.below(64);
                let copy = bytes[place..bytes.len().min(place + length)].to_vec();
                bytes.splice(place..place, copy);
            }
        }
        if bytes.is_empty() {
            return bytes;
        }
    }
    if random.below(16) == 0 {
        bytes.truncate(random.below(bytes.len()));
    }
    bytes
}

/// Returns the files in `fuzz/seeds/NAME`, in the order of their names.
pub fn seeds(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(name);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Calls `work` with mutations of files, each with its number, on all cores.
pub fn each(files: &[Vec<u8>], mutations: usize, work: impl Fn(usize, &[u8]) + Sync) {
    // Each mutation has its own seed, so the result does not depend on the threads' order.
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= mutations {
                return;
            }
            let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n as u64 + 1) | 1);
            random.next();
            work(n, &mutate(&files[n % files.len()], &mut random));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
}

/// One of this number of mutations has all of its samples read and muxed.
const MUXED_EACH: usize = 8;

/// Runs mutations of the films in `fuzz/seeds/NAME` through the index and three searches. The
/// driver asserts what must always hold. This function asserts that most films are still read, and
/// that some mutations are noticed.
pub fn run(name: &str, container: Container, mutations: usize) {
    let seeds = seeds(name);
    for (path, film) in &seeds {
        let timeline = fuzzing::film(container, film).unwrap();
        assert!(!timeline.is_estimate(), "{}: {:?}", path.display(), timeline.accuracy());
    }
    let films: Vec<Vec<u8>> = seeds.into_iter().map(|(_, film)| film).collect();
    let (read, estimates) = (AtomicUsize::new(0), AtomicUsize::new(0));
    each(&films, mutations, |n, mutated| {
        if n % MUXED_EACH == 0 {
            fuzzing::samples(container, mutated);
        }
        if let Some(timeline) = fuzzing::film(container, mutated) {
            read.fetch_add(1, Ordering::Relaxed);
            estimates.fetch_add(usize::from(timeline.is_estimate()), Ordering::Relaxed);
        }
    });
    let (read, estimates) = (read.into_inner(), estimates.into_inner());
    println!("{mutations} mutations of {} films: {read} begun, of these {estimates} only estimated", films.len());
    assert!(read > mutations / 2, "most mutated films are still known by their first bytes: {read}");
    assert!(0 < estimates && estimates < read, "{estimates} of {read} are estimates");
}
