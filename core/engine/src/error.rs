//! What can go wrong, as one enum, and the table of kinds that every face of the library shares.

use crate::printable;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. Each message is a sentence that says what to do where something can be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source is neither a torrent file, a URL, a magnet link nor an info-hash.
    #[error("'{given}' is not a torrent: {why}")]
    BadSource {
        /// What was given, shortened.
        given: String,
        /// Why it cannot be used.
        why: String,
    },
    /// The torrent's own data is damaged, hostile or beyond a limit.
    #[error("this torrent cannot be used: {0}")]
    BadTorrent(String),
    /// A torrent was to be fetched from a URL and was not.
    #[error("could not fetch {url}: {why}")]
    Fetch {
        /// The URL without credentials or query.
        url: String,
        /// What went wrong.
        why: String,
    },
    /// No peer gave the torrent's info, and nothing new came for as long as the settings allow.
    #[error("{}", no_metadata(*waited, *found, *met, *received_bytes))]
    NoMetadata {
        /// How long it was waited for.
        waited: Duration,
        /// Addresses of peers that were known.
        found: usize,
        /// Peers that were connected.
        met: usize,
        /// Bytes of the info that came.
        received_bytes: u64,
    },
    /// There is no such file in the torrent.
    #[error("there is no file {wanted} in this torrent, which has {files} files")]
    NoSuchFile {
        /// What was asked for.
        wanted: String,
        /// How many files there are.
        files: usize,
    },
    /// A name fits several files of the torrent, or none but near ones.
    #[error("{}", unclear(wanted, *several, files, *more))]
    UnclearFile {
        /// What was asked for.
        wanted: String,
        /// Whether these files fit; otherwise they are only near.
        several: bool,
        /// Numbers and names of the files.
        files: Vec<(usize, String)>,
        /// How many more fit.
        more: usize,
    },
    /// The film is in an archive or the image of a disc.
    #[error(
        "the film is packed in {name} ({format}), and no player opens what is in it; unpack it first, or choose another file by its number or name"
    )]
    Packed {
        /// The archive, or the first of its volumes.
        name: String,
        /// What it is.
        format: &'static str,
    },
    /// Nothing in the torrent can be played.
    #[error("this torrent holds no file that can be played; choose one by its number or name")]
    NothingPlayable,
    /// A file or folder could not be used.
    #[error("cannot {doing} {}: {source}", shown(path))]
    Storage {
        /// The verb: "create", "write", …
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// There is no room on the disk. Reading goes on by itself once there is.
    #[error(
        "the disk that holds {} is full; free some room and it goes on by itself, or set a disk limit",
        shown(path)
    )]
    DiskFull {
        /// The folder.
        path: PathBuf,
    },
    /// An address could not be listened on.
    #[error("cannot listen on {addr}: {source}; choose another with the setting {setting}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The setting that names another: `listen` for peers, `http.listen` for players.
        setting: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A setting is out of range or contradicts another.
    #[error("the setting {name} cannot be used: {why}")]
    BadConfig {
        /// The setting.
        name: String,
        /// Why.
        why: String,
    },
    /// The stream was cancelled from another thread or task.
    #[error("the read was cancelled")]
    Cancelled,
    /// The session or media was closed while this was used.
    #[error("the session is closed")]
    Closed,
    /// Something did not happen in time.
    #[error("{what} took longer than {} s", after.as_secs())]
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// A call was made wrongly: nothing was done.
    #[error("{0}")]
    BadArgument(String),
    /// A fault of playswarm itself, which it survived.
    #[error("playswarm has a fault: {0}; please report it, with the log")]
    Internal(String),
    /// Any other failure of input or output.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// The sentence of [`Error::UnclearFile`].
fn unclear(wanted: &str, several: bool, files: &[(usize, String)], more: usize) -> String {
    let clean = |name: &str| name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let list: Vec<String> = files.iter().map(|(n, name)| format!("{n}: {}", clean(name))).collect();
    let list = list.join(", ");
    match (several, more) {
        (false, _) => format!("there is no file {} in this torrent; near it are {list}", clean(wanted)),
        (true, 0) => {
            format!("{} may be any of these files: {list}; write more of the name, or the number", clean(wanted))
        }
        (true, more) => format!(
            "{} may be any of these files: {list} and {more} more; write more of the name, or the number",
            clean(wanted)
        ),
    }
}

/// The kinds of [`Error`]: the same table gives C's codes and Python's classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[repr(i32)]
pub enum ErrorKind {
    /// The caller's source is not a torrent.
    BadSource = 1,
    /// The torrent is damaged, hostile or beyond a limit.
    BadTorrent = 2,
    /// Something could not be fetched.
    Fetch = 3,
    /// Nobody gave the metadata of a magnet.
    NoMetadata = 4,
    /// No such file, or nothing playable.
    NoSuchFile = 5,
    /// A file or folder could not be used.
    Storage = 6,
    /// The disk is full.
    DiskFull = 7,
    /// An address could not be listened on.
    Listen = 8,
    /// A setting cannot be used.
    BadConfig = 9,
    /// Cancelled by the caller.
    Cancelled = 10,
    /// Closed.
    Closed = 11,
    /// Out of time.
    TimedOut = 12,
    /// Other input or output.
    Io = 13,
    /// A call was made wrongly.
    BadArgument = 14,
    /// A fault of playswarm itself.
    Internal = 15,
}

impl ErrorKind {
    /// Every kind, in the order of the numbers: what the faces of other languages are compared with.
    pub const ALL: &'static [ErrorKind] = &[
        ErrorKind::BadSource,
        ErrorKind::BadTorrent,
        ErrorKind::Fetch,
        ErrorKind::NoMetadata,
        ErrorKind::NoSuchFile,
        ErrorKind::Storage,
        ErrorKind::DiskFull,
        ErrorKind::Listen,
        ErrorKind::BadConfig,
        ErrorKind::Cancelled,
        ErrorKind::Closed,
        ErrorKind::TimedOut,
        ErrorKind::Io,
        ErrorKind::BadArgument,
        ErrorKind::Internal,
    ];

    /// Its number, which never changes; 0 stands for success and is no kind.
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The kind of a number.
    pub fn from_number(number: i32) -> Option<ErrorKind> {
        Self::ALL.iter().copied().find(|kind| kind.number() == number)
    }

    /// Its name in snake case: `bad_source`.
    pub const fn name(self) -> &'static str {
        match self {
            ErrorKind::BadSource => "bad_source",
            ErrorKind::BadTorrent => "bad_torrent",
            ErrorKind::Fetch => "fetch",
            ErrorKind::NoMetadata => "no_metadata",
            ErrorKind::NoSuchFile => "no_such_file",
            ErrorKind::Storage => "storage",
            ErrorKind::DiskFull => "disk_full",
            ErrorKind::Listen => "listen",
            ErrorKind::BadConfig => "bad_config",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Closed => "closed",
            ErrorKind::TimedOut => "timed_out",
            ErrorKind::Io => "io",
            ErrorKind::BadArgument => "bad_argument",
            ErrorKind::Internal => "internal",
        }
    }

    /// What it stands for, in a line.
    pub const fn description(self) -> &'static str {
        match self {
            ErrorKind::BadSource => "the source is not a torrent",
            ErrorKind::BadTorrent => "the torrent is damaged, hostile or beyond a limit",
            ErrorKind::Fetch => "something could not be fetched",
            ErrorKind::NoMetadata => "nobody gave the metadata of a magnet link",
            ErrorKind::NoSuchFile => "there is no such file, or nothing that can be played",
            ErrorKind::Storage => "a file or folder could not be used",
            ErrorKind::DiskFull => "the disk is full",
            ErrorKind::Listen => "an address could not be listened on",
            ErrorKind::BadConfig => "a setting cannot be used",
            ErrorKind::Cancelled => "cancelled by the caller",
            ErrorKind::Closed => "the session or media is closed",
            ErrorKind::TimedOut => "out of time",
            ErrorKind::Io => "other input or output",
            ErrorKind::BadArgument => "a call was made wrongly",
            ErrorKind::Internal => "a fault of playswarm itself",
        }
    }
}

fn no_metadata(waited: Duration, found: usize, met: usize, received_bytes: u64) -> String {
    let seconds = waited.as_secs();
    let what = match (found, met, received_bytes) {
        (0, 0, _) => "no peer was found".to_owned(),
        (_, 0, _) => format!("none of {} could be connected", peers(found)),
        (_, _, 0) => format!("none of {} that were connected gave the torrent's info", peers(met)),
        _ => format!("{} gave only {received_bytes} bytes of the torrent's info", peers(met)),
    };
    format!("{what} within {seconds} s; check the link and the network, or add a peer that has it")
}

fn peers(n: usize) -> String {
    if n == 1 { "1 peer".to_owned() } else { format!("{n} peers") }
}

/// A path for messages: parts of it may come from a torrent.
pub(crate) fn shown(path: &Path) -> String {
    printable::line_within(&path.to_string_lossy(), SHOWN_PATH_CHARS).into_owned()
}

/// Most characters of a path in a message: the longest that Linux takes.
const SHOWN_PATH_CHARS: usize = 4096;

impl Error {
    /// The kind, for those who act on it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::BadSource { .. } => ErrorKind::BadSource,
            Error::BadTorrent(_) => ErrorKind::BadTorrent,
            Error::Fetch { .. } => ErrorKind::Fetch,
            Error::NoMetadata { .. } => ErrorKind::NoMetadata,
            Error::NoSuchFile { .. } | Error::UnclearFile { .. } | Error::Packed { .. } | Error::NothingPlayable => {
                ErrorKind::NoSuchFile
            }
            Error::Storage { .. } => ErrorKind::Storage,
            Error::DiskFull { .. } => ErrorKind::DiskFull,
            Error::Listen { .. } => ErrorKind::Listen,
            Error::BadConfig { .. } => ErrorKind::BadConfig,
            Error::Cancelled => ErrorKind::Cancelled,
            Error::Closed => ErrorKind::Closed,
            Error::TimedOut { .. } => ErrorKind::TimedOut,
            Error::Io { .. } => ErrorKind::Io,
            Error::BadArgument(_) => ErrorKind::BadArgument,
            Error::Internal(_) => ErrorKind::Internal,
        }
    }

    /// Whether trying again later may help.
    pub fn is_temporary(&self) -> bool {
        matches!(self.kind(), ErrorKind::Fetch | ErrorKind::NoMetadata | ErrorKind::DiskFull | ErrorKind::TimedOut)
    }
}

impl From<Error> for std::io::Error {
    fn from(e: Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match e.kind() {
            ErrorKind::BadSource | ErrorKind::BadTorrent | ErrorKind::BadConfig | ErrorKind::BadArgument => {
                Io::InvalidInput
            }
            ErrorKind::NoSuchFile => Io::NotFound,
            // Not `Interrupted`, which std retries for ever.
            ErrorKind::Cancelled => Io::ConnectionAborted,
            ErrorKind::TimedOut | ErrorKind::NoMetadata => Io::TimedOut,
            ErrorKind::DiskFull => Io::StorageFull,
            _ => Io::Other,
        };
        std::io::Error::new(kind, e)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::ErrorKind;

    #[test]
    fn the_table_of_kinds_is_numbered_from_one_without_gaps_and_named_as_it_is_serialised() {
        for (n, kind) in ErrorKind::ALL.iter().enumerate() {
            assert_eq!(kind.number(), n as i32 + 1);
            assert_eq!(ErrorKind::from_number(kind.number()), Some(*kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert!(!kind.description().is_empty());
        }
        assert_eq!(ErrorKind::from_number(0), None);
    }
}
