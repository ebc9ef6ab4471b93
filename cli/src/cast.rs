//! `playswarm cast`: sends a stream to a live channel.

use crate::ExitCode;
use crate::args::NetworkArgs;
use crate::key;
use crate::log;
use crate::source::secret;
use crate::stop::{self, Stop};
use crate::units::{bytes, parse_address, parse_rate, parse_stripes};
use crate::view::{self, View};
use crate::watch;
use anyhow::{Result, anyhow, bail};
use clap::Args;
use playswarm::live::{ArchiveOptions, Cast, CastOptions, file_rate};
use playswarm::{Error, Session, printable};
use playswarm_serve::{IngestConfig, IngestStatus, parse_host, receive_udp, serve_ingest};
use std::fs::File;
use std::io::{IsTerminal, Read, Seek};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Longest time in which the viewers get the end of the stream.
const LAST_PACKETS: Duration = Duration::from_secs(1);
/// Time between two looks at whether viewers are still connected.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Bytes that are read at once.
const READ_BYTES: usize = 16 << 10;
/// Reads that wait for the channel. More of them would only add to the delay.
const READS_WAITING: usize = 4;

#[derive(Debug, Args)]
pub(crate) struct CastArgs {
    /// The stream: a file, - for standard input, the URL of a stream or HLS playlist, or udp://IP:PORT to receive MPEG-TS.
    /// Default: standard input, and --push where that is a terminal
    #[arg(conflicts_with = "push")]
    pub(crate) input: Option<String>,
    /// Wait for encoders that push over HTTP, Icecast's protocol or RTMP (FFmpeg, OBS), and print `push:` URLs for them.
    /// Default: 127.0.0.1 and a free port
    #[arg(long, value_name = "IP:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:0", value_parser = parse_address)]
    pub(crate) push: Option<SocketAddr>,
    /// Secret that encoders must know: in the URL, as password, or as stream key. Empty: none. Default: a new one each time
    #[arg(long, value_name = "SECRET")]
    pub(crate) push_token: Option<String>,
    /// File that contains the secret
    #[arg(long, value_name = "FILE", conflicts_with = "push_token")]
    pub(crate) push_token_file: Option<PathBuf>,
    /// Further host name of this machine that encoders may use; may be repeated
    #[arg(long, value_name = "NAME", value_parser = parse_host)]
    pub(crate) allow_host: Vec<String>,
    /// Name of the channel. Default: the name of the file
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
    /// File with the channel's secret key, which is made if there is none. Default: a new channel each time
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Media type of the stream, such as video/mp2t. Default: detected
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// Rate of the stream in bytes per second; a file is read at this rate. Default: by the file's duration
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) rate: Option<u64>,
    /// Stripes of data and of parity, such as 8+1: viewers bear the loss of as many as there are of parity. Default: by the rate
    #[arg(long, value_name = "DATA+PARITY", value_parser = parse_stripes)]
    pub(crate) stripes: Option<(u8, u8)>,
    /// Write the stream to this folder in files of about a minute, each a torrent that viewers seed, and all as one torrent at the end
    #[arg(long, value_name = "DIR")]
    pub(crate) archive: Option<PathBuf>,
    /// Least duration of a file of the archive: 2 to 120
    #[arg(long, value_name = "SECONDS", requires = "archive", default_value_t = 60)]
    pub(crate) archive_seconds: u32,
    /// Repeat the file until Ctrl-C
    #[arg(long = "loop")]
    pub(crate) repeat: bool,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

impl CastArgs {
    /// Returns the settings of the server for encoders that push.
    fn ingest(&self, listen: SocketAddr) -> Result<IngestConfig> {
        let mut config = IngestConfig::default();
        config.listen = listen;
        config.token = secret(self.push_token.as_ref(), self.push_token_file.as_deref())?;
        config.allow_hosts.clone_from(&self.allow_host);
        config.check()?;
        Ok(config)
    }
}

pub(crate) async fn cast(args: &CastArgs, view: view::Options) -> Result<ExitCode> {
    let config = watch::config(&args.network)?;
    let mut stop = Stop::new()?;
    let stated = stated_rate(args)?;
    let origin = Origin::of(args, stated)?;
    let (name, rate) = match &origin {
        Origin::Read(input) => (input.name.clone(), input.rate),
        _ => (None, stated),
    };
    if args.repeat && !matches!(&origin, Origin::Read(input) if input.paced) {
        bail!("this source cannot be repeated; name a file, or leave out --loop");
    }
    let mut options = CastOptions::default();
    options.name = args.name.clone().or(name).unwrap_or_default();
    options.key = args.key.as_deref().map(key::of).transpose()?;
    options.content_type.clone_from(&args.content_type);
    options.bytes_per_s = rate.map_or(0, |rate| rate as u32);
    options.stripes = args.stripes;
    options.archive = args.archive.as_ref().map(|dir| {
        let mut archive = ArchiveOptions::new(dir);
        archive.seconds = args.archive_seconds;
        archive
    });
    let session = Session::new(config).await?;
    let done = match session.cast(options) {
        Ok(cast) => on_air(Arc::new(cast), origin, &mut stop, view).await,
        Err(e) => Err(e.into()),
    };
    stop::close(&session).await;
    done
}

async fn on_air(cast: Arc<Cast>, origin: Origin, stop: &mut Stop, view: view::Options) -> Result<ExitCode> {
    let fed = match origin {
        Origin::Read(input) => {
            let status = begin(&cast, view, String::new);
            let fed = stop.unless(feed(&cast, input)).await.unwrap_or(Ok(()));
            status.stop().await;
            fed
        }
        Origin::Pull(url) => {
            let status = begin(&cast, view, String::new);
            let pulled = stop.unless(cast.pull(&url)).await.unwrap_or(Ok(()));
            status.stop().await;
            pulled.map_err(plainly)
        }
        Origin::Udp(addr) => {
            let server = Arc::new(receive_udp(cast.clone(), addr).await?);
            let shown = server.clone();
            let status = begin(&cast, view, move || source(&shown.status()));
            log::out(&format!("push: {}", server.url()));
            stop.asked().await;
            status.stop().await;
            Ok(())
        }
        Origin::Push(config) => {
            let server = Arc::new(serve_ingest(cast.clone(), config).await?);
            let shown = server.clone();
            let status = begin(&cast, view, move || source(&shown.status()));
            log::out(&format!("push: {}", server.http_url()));
            log::out(&format!("push: {}", server.rtmp_url()));
            stop.asked().await;
            status.stop().await;
            Ok(())
        }
    };
    let ended = cast.end().map_err(plainly);
    // Its last minute is announced, and the torrent of the whole written. A second Ctrl-C ends that.
    let _ = stop.unless(cast.archived()).await;
    let sent = async {
        cast.flush(LAST_PACKETS).await;
        // What the system has taken may still be on its way. Viewers leave once they have it.
        while cast.status().connections > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    // Some stay connected while their players play on.
    let _ = tokio::time::timeout(LAST_PACKETS, sent).await;
    fed.and(ended).map(|()| ExitCode::SUCCESS)
}

/// Prints the link, and shows the status with what `source` says.
fn begin(cast: &Arc<Cast>, view: view::Options, source: impl Fn() -> String + Send + 'static) -> View {
    log::out(&format!("link: {}", cast.link()));
    let shown = cast.clone();
    View::of(move || vec![line(&shown) + &source()], view)
}

fn line(cast: &Cast) -> String {
    let (status, sent) = (cast.status(), cast.received_bytes());
    let archive = view::archive(&status);
    format!("on air: {} sent to {} connections, {} stripes{archive}", bytes(sent), status.connections, status.children)
}

fn source(status: &IngestStatus) -> String {
    match (&status.source, &status.title) {
        (None, _) => "; waiting for an encoder".to_owned(),
        (Some(source), None) => format!("; {source}"),
        (Some(source), Some(title)) => format!("; {source}: {}", printable::line(title)),
    }
}

/// Sends the input to the channel until it ends.
async fn feed(cast: &Cast, input: Input) -> Result<()> {
    let rate = input.rate.filter(|_| input.paced);
    let mut reads = input.read();
    let (begun, mut sent) = (Instant::now(), 0);
    while let Some(read) = reads.recv().await {
        let read = read.map_err(|e| anyhow!("cannot read the stream: {e}"))?;
        cast.push(&read).map_err(plainly)?;
        sent += read.len();
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

/// Where the stream comes from.
enum Origin {
    /// From a file or standard input.
    Read(Input),
    /// From the URL of a server.
    Pull(String),
    /// From encoders that send to this address.
    Udp(SocketAddr),
    /// From encoders that push.
    Push(IngestConfig),
}

impl Origin {
    /// Opens what the arguments name. `rate` is the stated one, in bytes per second.
    fn of(args: &CastArgs, rate: Option<f64>) -> Result<Origin> {
        let input = match (args.push, &args.input) {
            (Some(listen), _) => return Ok(Origin::Push(args.ingest(listen)?)),
            (None, None) if std::io::stdin().is_terminal() => {
                return Ok(Origin::Push(args.ingest(IngestConfig::default().listen)?));
            }
            (None, None) => "-",
            (None, Some(input)) => input,
        };
        let (scheme, rest) = input.split_once("://").unwrap_or(("", input));
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => Ok(Origin::Pull(input.to_owned())),
            "udp" => match parse_address(rest.trim_start_matches('@')) {
                Ok(addr) => Ok(Origin::Udp(addr)),
                Err(why) => bail!("{input} is no address for MPEG-TS: {why}"),
            },
            "rtmp" => bail!("encoders push over RTMP; start with --push, and give them the printed URL"),
            _ => Input::open(args, input, rate).map(Origin::Read),
        }
    }
}

/// Returns the rate that the arguments state, in bytes per second.
fn stated_rate(args: &CastArgs) -> Result<Option<f64>> {
    let rate = args.rate.filter(|rate| *rate > 0).map(|rate| rate as f64);
    if rate.is_some_and(|rate| rate > f64::from(u32::MAX)) {
        bail!("--rate is too high; write bytes per second, such as 400k");
    }
    Ok(rate)
}

/// The stream to be read.
struct Input {
    from: Box<dyn Read + Send>,
    name: Option<String>,
    /// Bytes per second, if known.
    rate: Option<f64>,
    /// Whether it is sent at its rate. Standard input has its own time.
    paced: bool,
}

impl Input {
    fn open(args: &CastArgs, input: &str, rate: Option<f64>) -> Result<Input> {
        if input == "-" {
            if std::io::stdin().is_terminal() {
                bail!("standard input is a terminal; pipe a stream into it, name a file, or use --push");
            }
            return Ok(Input { from: Box::new(std::io::stdin()), name: None, rate, paced: false });
        }
        let path = Path::new(input);
        let failed = |e: std::io::Error| anyhow!("cannot read {}: {e}", path.display());
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() == 0 {
            bail!("{} is empty, so there is nothing to cast", path.display());
        }
        let Some(rate) = rate.map_or_else(|| file_rate(path).map_err(failed), |rate| Ok(Some(rate)))? else {
            bail!("{} does not state its duration; write its rate in bytes per second with --rate", path.display());
        };
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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
