//! What the C interface adds to a read: 1 GiB from a seed over loopback, and from the disk of the viewer, through Rust's
//! `Stream` and through `playswarm_stream_read`, in turns.
//!
//!     cargo bench -p playswarm-c --bench read
//!
//! `BENCH_BYTES` and `BENCH_ROUNDS` change the size and the number of reads; medians are compared.
#![allow(clippy::unwrap_used, missing_docs)]

use engine::{Config, CreateOptions, Metainfo, Session, Source, create_torrent};
use playswarm_c::{
    PLAYSWARM_ABI_VERSION, PLAYSWARM_SEEK_SET, playswarm_code, playswarm_config_from_json, playswarm_config_unref,
    playswarm_session_new, playswarm_session_open_file, playswarm_session_unref, playswarm_stream_read,
    playswarm_stream_seek, playswarm_stream_unref, playswarm_torrent_stream, playswarm_torrent_unref,
};
use std::ffi::CString;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::ptr::null_mut;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// What players read at once.
const BUFFER: usize = 64 << 10;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn config(dir: &Path, peer: SocketAddr) -> Config {
    // As little of the rest as can be: nothing is found, all is one seed.
    let mut config = Config::offline(dir);
    config.peers.push(peer.into());
    config
}

/// Reads all that there is; how long it took.
fn drain(size: u64, mut read: impl FnMut(&mut [u8]) -> usize) -> Duration {
    let mut buffer = vec![0; BUFFER];
    let (start, mut total) = (Instant::now(), 0);
    loop {
        let n = read(&mut buffer);
        if n == 0 {
            assert_eq!(total, size);
            return start.elapsed();
        }
        total += n as u64;
    }
}

/// From the seed, then again from stored pieces.
fn in_rust(torrent: &Metainfo, dir: &Path, peer: SocketAddr) -> [Duration; 2] {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (session, stream) = runtime.block_on(async {
        let session = Session::new(config(dir, peer)).await.unwrap();
        let media = session.open(Source::from(torrent)).await.unwrap();
        (session, media.stream(0).unwrap())
    });
    let mut stream = stream.into_blocking();
    let times = [0, 1].map(|_| {
        std::io::Seek::rewind(&mut stream).unwrap();
        drain(stream.size(), |buffer| stream.read(buffer).unwrap())
    });
    drop(stream);
    runtime.block_on(session.close());
    times
}

fn in_c(file: &Path, size: u64, dir: &Path, peer: SocketAddr) -> [Duration; 2] {
    let json = CString::new(config(dir, peer).to_json().unwrap()).unwrap();
    let file = CString::new(file.to_str().unwrap()).unwrap();
    let (mut config, mut session, mut media, mut stream) = (null_mut(), null_mut(), null_mut(), null_mut());
    let ok = |code| assert_eq!(code, playswarm_code::PLAYSWARM_OK);
    // SAFETY: handles, texts and places of ours.
    unsafe {
        ok(playswarm_config_from_json(json.as_ptr(), &raw mut config, null_mut()));
        ok(playswarm_session_new(PLAYSWARM_ABI_VERSION, config, &raw mut session, null_mut()));
        ok(playswarm_session_open_file(session, file.as_ptr(), 0, null_mut(), &raw mut media, null_mut()));
        ok(playswarm_torrent_stream(media, 0, &raw mut stream, null_mut()));
    }
    let times = [0, 1].map(|_| {
        // SAFETY: NULL for outputs that are not needed.
        ok(unsafe { playswarm_stream_seek(stream, 0, PLAYSWARM_SEEK_SET, null_mut(), null_mut()) });
        drain(size, |buffer| {
            let mut n = 0;
            let to = buffer.as_mut_ptr().cast();
            // SAFETY: the buffer is as long as it is said to be.
            ok(unsafe { playswarm_stream_read(stream, to, buffer.len(), &raw mut n, null_mut()) });
            n
        })
    });
    ok(playswarm_stream_unref(stream));
    ok(playswarm_torrent_unref(media));
    ok(playswarm_config_unref(config));
    ok(playswarm_session_unref(session));
    times
}

fn main() {
    let (bytes, rounds) = (setting("BENCH_BYTES", 1 << 30), setting("BENCH_ROUNDS", 5));
    let folder = tempfile::tempdir().unwrap();
    let seed = folder.path().join("seed");
    std::fs::create_dir(&seed).unwrap();
    let film = seed.join("film.mkv");
    let mut to = std::io::BufWriter::new(std::fs::File::create(&film).unwrap());
    let mut state = 1u64;
    for _ in 0..bytes / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        to.write_all(&state.to_le_bytes()).unwrap();
    }
    to.flush().unwrap();
    let runtime = Runtime::new().unwrap();
    let (torrent, file, session, _media) = runtime.block_on(async {
        let made = create_torrent(&film, CreateOptions::default(), |_, _| {}).await.unwrap();
        let (torrent, text) = (made.torrent, made.bytes);
        let file = folder.path().join("film.torrent");
        std::fs::write(&file, text).unwrap();
        let session = Session::new(Config::offline(&seed)).await.unwrap();
        let media = session.open(Source::from(&torrent)).await.unwrap();
        media.recheck(|_, _| {}).await.unwrap();
        (torrent, file, session, media)
    });
    let peer = session.listen_addr().unwrap();

    let mut times = <[[Vec<f64>; 2]; 2]>::default();
    for round in 0..rounds {
        let dir = folder.path().join("viewer");
        for c in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let took = if c == 1 { in_c(&file, bytes, &dir, peer) } else { in_rust(&torrent, &dir, peer) };
            std::fs::remove_dir_all(&dir).unwrap();
            for (pass, took) in took.into_iter().enumerate() {
                times[pass][c].push(took.as_secs_f64());
            }
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    for (pass, name) in times.iter_mut().zip(["from a seed over loopback", "again, from stored pieces"]) {
        let [rust, c] = pass;
        let spread = |times: &[f64]| format!("{:.3} to {:.3}", times[0], times[times.len() - 1]);
        let (r, n) = (median(rust), median(c));
        // On a machine that does other things too the shortest times say more: what disturbs only adds.
        println!("{name}: C/Rust {:+.2} % by the shortest times", (c[0] / rust[0] - 1.0) * 100.0);
        println!(
            "{name}: Rust {r:.3} s ({}), C {n:.3} s ({}), C/Rust {:+.2} % (medians of {rounds}; {} MiB)",
            spread(rust),
            spread(c),
            (n / r - 1.0) * 100.0,
            bytes >> 20
        );
    }
}
