//! What `bench/figures.py` compares Python with: reads a file of a swarm in Rust, by one thread or several, and prints MiB/s.
//!
//!     sequential TORRENT PEER DIR THREADS

use playswarm::{Config, Session, Source};
use std::io::{Read, Seek, SeekFrom};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, torrent, peer, dir, threads] = &args[..] else { return Err("TORRENT PEER DIR THREADS".into()) };
    let threads: u64 = threads.parse()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let mut config = Config::offline(dir);
    config.peers.push(peer.parse()?);
    let session = runtime.block_on(Session::new(config))?;
    let media = runtime.block_on(session.open(Source::parse(torrent)?))?;
    let size = media.metainfo().files[0].length;
    let began = Instant::now();
    std::thread::scope(|scope| {
        for n in 0..threads {
            let media = &media;
            scope.spawn(move || -> playswarm::Result<()> {
                let mut stream = media.stream(0)?.into_blocking();
                let (start, end) = (n * size / threads, (n + 1) * size / threads);
                let mut left = end - start;
                let mut buffer = vec![0; 1 << 20];
                let _ = stream.seek(SeekFrom::Start(start));
                while left > 0 {
                    let want = buffer.len().min(left as usize);
                    match stream.read(&mut buffer[..want]) {
                        Ok(0) | Err(_) => break,
                        Ok(read) => left -= read as u64,
                    }
                }
                assert_eq!(left, 0, "a read ended early");
                Ok(())
            });
        }
    });
    println!("{:.1}", size as f64 / (1 << 20) as f64 / began.elapsed().as_secs_f64());
    runtime.block_on(session.close());
    Ok(())
}
