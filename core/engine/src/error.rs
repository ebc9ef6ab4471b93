//! What can go wrong, as one enum, and the table of kinds that every face of the library shares.

use std::net::SocketAddr;
use std::path::PathBuf;
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
    /// A magnet link named no peer that would give the torrent's info in time.
    #[error("no peer gave the torrent's info within {} s; check the link and the network, or name a peer with --peer", waited.as_secs())]
    NoMetadata {
        /// How long it was waited for.
        waited: Duration,
    },
    /// There is no such file in the torrent.
    #[error("there is no file {wanted} in this torrent; it has {files} files, listed by `playswarm info`")]
    NoSuchFile {
        /// What was asked for.
        wanted: String,
        /// How many files there are.
        files: usize,
    },
    /// Nothing in the torrent can be played.
    #[error("this torrent holds no file that can be played; choose one with --file")]
    NothingPlayable,
    /// A file or folder could not be used.
    #[error("cannot {doing} {}: {source}", path.display())]
    Storage {
        /// The verb: "create", "write", …
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// There is no room on the disk. Reading goes on by itself once there is.
    #[error("the disk that holds {} is full; free some room and it goes on by itself, or set a disk limit", path.display())]
    DiskFull {
        /// The folder.
        path: PathBuf,
    },
    /// An address could not be listened on.
    #[error("cannot listen on {addr}: {source}; choose another with {option}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The option that names another.
        option: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A setting is out of range or contradicts another.
    #[error("the setting {name} cannot be used: {why}")]
    BadConfig {
        /// The setting.
        name: &'static str,
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
    /// Any other failure of input or output.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
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
}

impl Error {
    /// The kind, for those who act on it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::BadSource { .. } => ErrorKind::BadSource,
            Error::BadTorrent(_) => ErrorKind::BadTorrent,
            Error::Fetch { .. } => ErrorKind::Fetch,
            Error::NoMetadata { .. } => ErrorKind::NoMetadata,
            Error::NoSuchFile { .. } | Error::NothingPlayable => ErrorKind::NoSuchFile,
            Error::Storage { .. } => ErrorKind::Storage,
            Error::DiskFull { .. } => ErrorKind::DiskFull,
            Error::Listen { .. } => ErrorKind::Listen,
            Error::BadConfig { .. } => ErrorKind::BadConfig,
            Error::Cancelled => ErrorKind::Cancelled,
            Error::Closed => ErrorKind::Closed,
            Error::TimedOut { .. } => ErrorKind::TimedOut,
            Error::Io { .. } => ErrorKind::Io,
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
            ErrorKind::BadSource | ErrorKind::BadTorrent | ErrorKind::BadConfig => Io::InvalidInput,
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
