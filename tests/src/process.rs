//! A child process whose output is recorded. Tests wait for its lines; the output is shown when a
//! test fails. Dropping it kills the process.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Lines of each stream that are shown when a test fails.
const SHOWN: usize = 60;

#[derive(Default)]
struct Lines {
    kept: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Lines {
    fn collect(from: impl Read + Send + 'static) -> Arc<Lines> {
        let lines = Arc::<Lines>::default();
        let into = lines.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(from);
            let mut bytes = Vec::new();
            while reader.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
                into.kept.lock().unwrap().0.push(String::from_utf8_lossy(&bytes).trim_end().to_owned());
                into.more.notify_all();
                bytes.clear();
            }
            into.kept.lock().unwrap().1 = true;
            into.more.notify_all();
        });
        lines
    }

    fn all(&self) -> Vec<String> {
        self.kept.lock().unwrap().0.clone()
    }

    /// Returns the first line from `from` on that `wanted` accepts. `None` if the stream ends or
    /// the time runs out.
    fn wait<T>(&self, from: usize, limit: Duration, wanted: impl Fn(&str) -> Option<T>) -> Option<T> {
        let end = Instant::now() + limit;
        let mut next = from;
        let mut kept = self.kept.lock().unwrap();
        loop {
            while next < kept.0.len() {
                if let Some(found) = wanted(&kept.0[next]) {
                    return Some(found);
                }
                next += 1;
            }
            let left = end.saturating_duration_since(Instant::now());
            if kept.1 || left.is_zero() {
                return None;
            }
            kept = self.more.wait_timeout(kept, left).unwrap().0;
        }
    }
}

/// A running program.
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    out: Arc<Lines>,
    err: Arc<Lines>,
}

impl Process {
    /// Starts it; failures refer to it as `name`.
    #[track_caller]
    pub fn start(name: &str, mut command: Command) -> Process {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {name} ({command:?}): {e}"));
        let out = Lines::collect(child.stdout.take().expect("piped above"));
        let err = Lines::collect(child.stderr.take().expect("piped above"));
        let stdin = child.stdin.take();
        Process { name: name.into(), child, stdin, out, err }
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns all its standard output so far.
    pub fn stdout(&self) -> Vec<String> {
        self.out.all()
    }

    /// Returns all its standard error so far.
    pub fn stderr(&self) -> Vec<String> {
        self.err.all()
    }

    /// Takes its stdin, to write bytes.
    #[track_caller]
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("not taken and not closed")
    }

    /// Writes a line to its stdin.
    pub fn send(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("not closed");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).unwrap_or_else(|e| panic!("{} is gone: {e}", self.name));
    }

    /// Waits for the first line of stdout, from line `from` on, that `wanted` accepts. Panics if
    /// there is none in time.
    #[track_caller]
    pub fn expect_line<T>(&mut self, from: usize, limit: Duration, wanted: impl Fn(&str) -> Option<T>) -> T {
        match self.out.wait(from, limit, wanted) {
            Some(found) => found,
            None => {
                let state = self.state();
                panic!("{} did not print the expected line ({state})", self.name)
            }
        }
    }

    /// As [`Self::expect_line`], but returns `None` instead of panicking.
    pub fn find_line<T>(&self, limit: Duration, wanted: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.out.wait(0, limit, wanted)
    }

    fn state(&mut self) -> String {
        match self.child.try_wait() {
            Ok(Some(status)) => format!("it exited: {status}"),
            _ => "it is still running".into(),
        }
    }

    /// Waits for its exit.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let name = self.name.clone();
        let status = crate::wait_for(&format!("the end of {name}"), limit, || self.child.try_wait().unwrap());
        // Output still in the pipes belongs to the result.
        for lines in [&self.out, &self.err] {
            lines.wait(usize::MAX, Duration::from_secs(2), |_| None::<()>);
        }
        status
    }

    /// Returns its exit status, if it has exited.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends SIGKILL and waits for its exit.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(rustix::process::Signal::INT);
    }

    /// Sends SIGTERM, as a service manager does.
    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Stops it (SIGSTOP), as a laptop does that is closed.
    pub fn suspend(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Lets it go on after [`Process::suspend`].
    pub fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Returns its peak resident memory in bytes (VmHWM of proc(5)).
    #[track_caller]
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux reports it");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let state = self.state();
        self.kill9();
        if std::thread::panicking() {
            for (stream, lines) in [("stdout", self.out.all()), ("stderr", self.err.all())] {
                eprintln!(
                    "--- {} ({state}), {} lines of {stream}, the first and the last ones:",
                    self.name,
                    lines.len()
                );
                let shown = |at: usize| at < SHOWN || at + SHOWN >= lines.len();
                lines.iter().enumerate().filter(|(at, _)| shown(*at)).for_each(|(_, line)| eprintln!("    {line}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start("sh", command)
    }

    #[test]
    fn lines_are_found_and_the_exit_is_reported() {
        let mut process = shell("echo one; read x; echo got $x; echo bad >&2; exit 3");
        process.expect_line(0, Duration::from_secs(5), |line| (line == "one").then_some(()));
        process.send("two");
        process.expect_line(1, Duration::from_secs(5), |line| (line == "got two").then_some(()));
        assert_eq!(process.wait(Duration::from_secs(5)).code(), Some(3));
        assert_eq!(process.stderr(), ["bad"]);
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let process = shell("sleep 60");
        let id = process.id();
        assert!(process.peak_memory() > 0);
        drop(process);
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }
}
