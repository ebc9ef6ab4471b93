//! The program `playswarm`: its commands, its exit codes, its log. The library does all other work.
//!
//! Standard output carries the data for scripts: one `url:` line, a listing, a magnet link.
//! Messages for people go to standard error.

mod args;
mod cast;
mod channel;
mod create;
mod demo;
mod info;
mod key;
mod log;
mod player;
#[cfg(unix)]
mod process;
mod relay;
mod search;
mod seed;
mod sentence;
mod slots;
mod source;
mod stop;
mod stream;
mod subtitles;
mod units;
mod view;
mod watch;

use args::{Cli, Command};
use clap::Parser;
use std::ffi::OsString;
use std::time::Duration;

/// Time granted at exit to blocking tasks, such as a write to a slow disk.
const LAST_WRITES: Duration = Duration::from_millis(500);

/// A numeric exit code. `std::process::ExitCode` does not expose its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ExitCode(u8);

impl ExitCode {
    const SUCCESS: ExitCode = ExitCode(0);
    const FAILURE: ExitCode = ExitCode(1);
    /// Exit code if the requested data was printed in part.
    const INCOMPLETE: ExitCode = ExitCode(3);
}

impl From<u8> for ExitCode {
    fn from(code: u8) -> ExitCode {
        ExitCode(code)
    }
}

/// Runs the program with its arguments, its own name first, and returns its exit code.
///
/// It owns the process while it runs. It handles SIGINT and SIGTERM, writes to standard output and
/// error, and sets up the log unless there is one already. `python -m playswarm` calls it as well.
pub fn main_from(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => {
            // Help and the version go to standard output, mistakes to standard error. If that is
            // closed, there is no way to report it.
            let _ = e.print();
            return u8::try_from(e.exit_code()).unwrap_or(2);
        }
    };
    run(&cli).0
}

fn run(cli: &Cli) -> ExitCode {
    log::start(cli.verbose);
    #[cfg(unix)]
    process::raise_descriptor_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return failed(&anyhow::anyhow!("cannot start threads: {e}")),
    };
    let view = view::Options { quiet: cli.quiet, peers: false };
    let done = runtime.block_on(async {
        #[cfg(unix)]
        process::survive_file_size_limit();
        match &cli.command {
            Command::Stream(args) => stream::stream(args, view).await,
            Command::Play(args) => stream::play(args, view).await,
            Command::Info(args) => info::info(args, view).await,
            Command::Search(args) => search::search(args, view).await,
            Command::Slots(args) => slots::slots(args, view).await,
            Command::Create(args) => create::create(args, view).await,
            Command::Seed(args) => seed::seed(args, view).await,
            Command::Cast(args) => cast::cast(args, view).await,
            Command::Watch(args) => watch::watch(args, view).await,
            Command::Relay(args) => relay::relay(args, view).await,
            Command::Channel(args) => channel::channel(args, view).await,
            Command::Key(command) => key::key(command),
            Command::Demo(args) => demo::demo(args, view).await,
        }
    });
    runtime.shutdown_timeout(LAST_WRITES);
    done.unwrap_or_else(|e| failed(&e))
}

/// Prints the error as one sentence and returns exit code 1. Code 2 means a command line that
/// cannot be parsed.
fn failed(e: &anyhow::Error) -> ExitCode {
    log::line(&format!("error: {}", sentence::of(e)));
    ExitCode::FAILURE
}
