//! `playswarm cast`: sends a stream to a live channel.

use crate::ExitCode;
use crate::args::CastArgs;
use crate::log;
use crate::source::small_file;
use crate::stop::{self, Stop};
use crate::units::bytes;
use crate::view::{self, View};
use anyhow::{Result, anyhow, bail};
use playswarm::live::{Cast, CastOptions, file_rate, new_seed};
use playswarm::{Error, Session};
use std::fs::File;
use std::io::{IsTerminal, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Time in which the viewers get the end of the stream.
const LAST_PACKETS: Duration = Duration::from_secs(1);
/// Bytes that are read at once.
const READ_BYTES: usize = 16 << 10;
/// Reads that wait for the channel. More of them would only add to the delay.
const READS_WAITING: usize = 4;

pub(crate) async fn cast(args: &CastArgs, view: view::Options) -> Result<ExitCode> {
    let mut config = args.network.config()?;
    // A channel is in memory only.
    (config.read_only, config.seed_in_background) = (true, false);
    let mut stop = Stop::new()?;
    let input = Input::open(args)?;
    let mut options = CastOptions::default();
    options.name = input.name.clone();
    options.key = args.key.as_deref().map(key_of).transpose()?;
    options.content_type.clone_from(&args.content_type);
    options.bytes_per_s = input.rate.map_or(0, |rate| rate as u32);
    let session = Session::new(config).await?;
    let done = match session.cast(options) {
        Ok(cast) => on_air(cast, input, &mut stop, view).await,
        Err(e) => Err(e.into()),
    };
    stop::close(&session).await;
    done
}

async fn on_air(cast: Cast, input: Input, stop: &mut Stop, view: view::Options) -> Result<ExitCode> {
    log::out(&format!("link: {}", cast.link()));
    let (cast, sent) = (Arc::new(cast), Arc::new(AtomicU64::new(0)));
    let (shown, counted) = (cast.clone(), sent.clone());
    let status = View::of(move || vec![line(&shown, counted.load(Ordering::Relaxed))], view);
    let fed = stop.unless(feed(&cast, input, &sent)).await.unwrap_or(Ok(()));
    status.stop().await;
    let ended = cast.end().map_err(plainly);
    // Where viewers have nothing, they need not be waited for.
    if cast.status().connections > 0 {
        tokio::time::sleep(LAST_PACKETS).await;
    }
    fed.and(ended).map(|()| ExitCode::SUCCESS)
}

fn line(cast: &Cast, sent: u64) -> String {
    let status = cast.status();
    format!("on air: {} sent to {} connections, {} stripes", bytes(sent), status.connections, status.children)
}

/// Sends the input to the channel until it ends.
async fn feed(cast: &Cast, input: Input, sent: &AtomicU64) -> Result<()> {
    let rate = input.rate.filter(|_| input.paced);
    let mut reads = input.read();
    let begun = Instant::now();
    while let Some(read) = reads.recv().await {
        let read = read.map_err(|e| anyhow!("cannot read the stream: {e}"))?;
        cast.push(&read).map_err(plainly)?;
        let sent = sent.fetch_add(read.len() as u64, Ordering::Relaxed) + read.len() as u64;
        if let Some(rate) = rate {
            tokio::time::sleep_until(begun + Duration::from_secs_f64(sent as f64 / rate)).await;
        }
    }
    Ok(())
}

/// Returns the reason for a refused stream without the name of a setting.
fn plainly(e: Error) -> anyhow::Error {
    match e {
        Error::BadConfig { name, why } if name == "stream" => anyhow!(why),
        e => e.into(),
    }
}

/// The stream to be cast.
struct Input {
    from: Box<dyn Read + Send>,
    name: String,
    /// Bytes per second, if known.
    rate: Option<f64>,
    /// Whether it is sent at its rate. Standard input has its own time.
    paced: bool,
}

impl Input {
    fn open(args: &CastArgs) -> Result<Input> {
        let rate = args.rate.filter(|rate| *rate > 0).map(|rate| rate as f64);
        if rate.is_some_and(|rate| rate > f64::from(u32::MAX)) {
            bail!("--rate is too high; write bytes per second, such as 400k");
        }
        if args.input == "-" {
            if args.repeat {
                bail!("standard input cannot be repeated; write a file instead of -, or leave out --loop");
            }
            if std::io::stdin().is_terminal() {
                bail!("standard input is a terminal; pipe a stream into it, or name a file");
            }
            let name = args.name.clone().unwrap_or_default();
            return Ok(Input { from: Box::new(std::io::stdin()), name, rate, paced: false });
        }
        let path = Path::new(&args.input);
        let failed = |e: std::io::Error| anyhow!("cannot read {}: {e}", path.display());
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() == 0 {
            bail!("{} is empty, so there is nothing to cast", path.display());
        }
        let Some(rate) = rate.map_or_else(|| file_rate(path).map_err(failed), |rate| Ok(Some(rate)))? else {
            bail!("{} does not state its duration; write its rate in bytes per second with --rate", path.display());
        };
        let stem = || path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = args.name.clone().unwrap_or_else(stem);
        let from: Box<dyn Read + Send> = if args.repeat { Box::new(Repeated(file)) } else { Box::new(file) };
        Ok(Input { from, name, rate: Some(rate), paced: true })
    }

    /// Starts to read. A thread of its own, since a read of standard input cannot be cancelled and
    /// the program would wait for it.
    fn read(self) -> mpsc::Receiver<std::io::Result<Vec<u8>>> {
        let (tell, told) = mpsc::channel(READS_WAITING);
        let mut from = self.from;
        // About twenty reads a second, so that a slow stream does not come in jerks.
        let paced = self.rate.filter(|_| self.paced).map_or(READ_BYTES, |rate| (rate / 20.0) as usize);
        let mut buffer = vec![0; paced.clamp(1 << 10, READ_BYTES)];
        std::thread::spawn(move || {
            loop {
                let read = match from.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(n) => Ok(buffer[..n].to_vec()),
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(e) => Err(e),
                };
                let failed = read.is_err();
                if tell.blocking_send(read).is_err() || failed {
                    return;
                }
            }
        });
        told
    }
}

/// A file that begins again at its end.
struct Repeated(File);

impl Read for Repeated {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(into)? {
            0 => {
                self.0.rewind()?;
                self.0.read(into)
            }
            n => Ok(n),
        }
    }
}

/// Returns the seed in a key file, which is made if there is none.
fn key_of(path: &Path) -> Result<[u8; 32]> {
    if path.exists() {
        let text = small_file(path)?;
        return from_hex(&text)
            .ok_or_else(|| anyhow!("{} is no key of a channel, which has 64 hexadecimal digits", path.display()));
    }
    let seed = new_seed()?;
    let text: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| writeln!(file, "{text}"));
    written.map_err(|e| anyhow!("cannot write the key to {}: {e}", path.display()))?;
    Ok(seed)
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut seed = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (n, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(seed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_file_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("channel.key");
        let made = key_of(&path).unwrap();
        assert_eq!(key_of(&path).unwrap(), made);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&path, "no key").unwrap();
        assert!(key_of(&path).unwrap_err().to_string().contains("is no key of a channel"));
        assert!(from_hex(&"é0".repeat(32)).is_none());
    }

    #[test]
    fn a_repeated_file_has_no_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, b"abc").unwrap();
        let mut read = [0; 8];
        Repeated(File::open(&path).unwrap()).read_exact(&mut read).unwrap();
        assert_eq!(&read, b"abcabcab");
    }
}
