//! Process-wide settings of the program: descriptors and signals. A library must leave both to its
//! host.

use tokio::signal::unix::{SignalKind, signal};

/// Most descriptors requested: peers, files and players of many torrents. Systems offer up to a
/// billion.
const DESCRIPTORS: u64 = 65_536;

/// Raises the limit on open descriptors as far as the system allows. Many systems begin with 256 or
/// 1,024.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current: Some(current), maximum } = getrlimit(Resource::Nofile) else { return };
    let wanted = maximum.unwrap_or(DESCRIPTORS).min(DESCRIPTORS);
    if wanted > current {
        // Without it there are fewer peers.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

/// Turns the signal for a file that grows beyond `ulimit -f` into an error of that write. Must be
/// called within a runtime.
pub(crate) fn survive_file_size_limit() {
    // The handler only wakes a task that is not awaited; the write fails with EFBIG.
    if let Err(e) = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())) {
        tracing::debug!(error = %e, "the signal for the file size limit cannot be ignored");
    }
}
