//! Standard error: log and messages, without disturbing the live view that is drawn there too.
//!
//! Text from any foreign source cannot pass control sequences to the terminal: everything written
//! here is made printable. Text that must stay on one line is cleaned where it is composed.

use anyhow::{Result, anyhow};
use indicatif::{MultiProgress, ProgressDrawTarget};
use playswarm::printable;
use std::io::{self, Write};
use std::sync::OnceLock;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Redraws of the live view per second.
const DRAWS_PER_S: u8 = 4;

/// Returns the drawing area at the bottom of the terminal. It is hidden if standard error is not a
/// terminal.
pub(crate) fn screen() -> &'static MultiProgress {
    static SCREEN: OnceLock<MultiProgress> = OnceLock::new();
    SCREEN.get_or_init(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS_PER_S)))
}

/// Prints a line on standard error, above the live view.
pub(crate) fn line(text: &str) {
    screen().suspend(|| {
        // If standard error is closed, there is no way to report it.
        let _ = writeln!(io::stderr().lock(), "{}", printable::lines(text));
    });
}

/// Prints a line on standard output and flushes it, since a script waits for it. Reports a failure
/// on standard error, because the program continues.
pub(crate) fn out(text: &str) {
    if let Err(e) = print(text) {
        line(&e.to_string());
    }
}

/// Prints to standard output, for callers that end with it. Returns an error if the write fails. A
/// closed pipe is the reader's choice and no error.
pub(crate) fn print(text: &str) -> Result<()> {
    let written = screen().suspend(|| {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", printable::lines(text)).and_then(|()| out.flush())
    });
    match written {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow!("cannot write to standard output: {e}; redirect it elsewhere or free disk space"))
        }
        _ => Ok(()),
    }
}

/// Starts the log by `PLAYSWARM_LOG`, else `RUST_LOG`, else by the number of -v options.
pub(crate) fn start(verbose: u8) {
    let by_flag = match verbose {
        // Dependencies warn of a small socket buffer at each start, and repeatedly of a missing
        // network. A user can act on neither. Our own messages cover the relevant cases.
        0 => "off,playswarm=warn",
        1 => "warn,librqbit_utp=error,mainline=off,playswarm=info",
        _ => "info,playswarm=debug",
    };
    let given =
        ["PLAYSWARM_LOG", "RUST_LOG"].into_iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    let filter = given
        .filter(|_| verbose == 0)
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| by_flag.parse::<Targets>().expect("the filters above are valid"));
    let terminal = io::IsTerminal::is_terminal(&io::stderr());
    // A host program that runs this one in its own process may have a log already.
    let lines = tracing_subscriber::fmt::layer().with_ansi(terminal).with_writer(Stderr::default);
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
}

/// One event of the log, collected and then written at once above the view.
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

/// Returns an event as one line. Its escape sequences are the formatter's colours, as it escapes
/// foreign ones.
fn one_event(text: &str) -> String {
    let keep = |c: char| if c == '\u{1b}' || printable::is_printable(c) { c } else { ' ' };
    text.trim_end_matches('\n').chars().map(keep).chain(['\n']).collect()
}

impl Drop for Stderr {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            let text = one_event(&String::from_utf8_lossy(&self.0));
            screen().suspend(|| {
                let _ = io::stderr().lock().write_all(text.as_bytes());
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stays_on_its_line_and_turns_no_text_around() {
        assert_eq!(
            one_event("\u{1b}[33mWARN\u{1b}[0m a\nERROR forged \u{202e}b\u{9b}2J\n"),
            "\u{1b}[33mWARN\u{1b}[0m a ERROR forged  b 2J\n"
        );
    }
}
