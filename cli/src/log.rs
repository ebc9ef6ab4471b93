//! Standard error: the log and remarks, without tearing the live view that is drawn there too.

use indicatif::{MultiProgress, ProgressDrawTarget};
use std::io::{self, Write};
use std::sync::OnceLock;
use tracing_subscriber::EnvFilter;

/// How often the live view is drawn, per second.
const DRAWS_PER_S: u8 = 4;

/// What is drawn at the bottom of the terminal; hidden where standard error is none.
pub(crate) fn screen() -> &'static MultiProgress {
    static SCREEN: OnceLock<MultiProgress> = OnceLock::new();
    SCREEN.get_or_init(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS_PER_S)))
}

/// A line on standard error, above the live view.
pub(crate) fn line(text: &str) {
    screen().suspend(|| {
        // Nobody is left to be told if standard error is gone.
        let _ = writeln!(io::stderr().lock(), "{text}");
    });
}

/// A line on standard output, at once: a script waits for it.
pub(crate) fn out(text: &str) {
    screen().suspend(|| {
        let mut out = io::stdout().lock();
        // A closed pipe is the reader's choice; serving goes on.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    });
}

/// `PLAYSWARM_LOG`, else `RUST_LOG`, else what -v asks for.
pub(crate) fn start(verbose: u8) {
    let by_flag = match verbose {
        // The uTP crate warns of a small socket buffer at each start, and the DHT crate of a network that is not there, again and
        // again: nothing that a user needs to act on.
        0 => "warn,librqbit_utp=error,mainline=off",
        1 => "warn,librqbit_utp=error,mainline=off,playswarm=info",
        _ => "info,playswarm=debug",
    };
    let given =
        ["PLAYSWARM_LOG", "RUST_LOG"].into_iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    let filter = given
        .filter(|_| verbose == 0)
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new(by_flag));
    let terminal = io::IsTerminal::is_terminal(&io::stderr());
    // Whoever runs the program inside of a process of their own may have a log already.
    let _ =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(terminal).with_writer(Stderr::default).try_init();
}

/// One event of the log: collected, then written in one go above the view.
#[derive(Default)]
struct Stderr(Vec<u8>);

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            screen().suspend(|| {
                let _ = io::stderr().lock().write_all(&self.0);
            });
        }
    }
}
