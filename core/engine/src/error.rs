//! The library's errors as one enum, and the table of kinds that all language bindings share.

use crate::printable;
use playswarm_proto::metainfo::BadMetainfo;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The library's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the library. Each message is a sentence that states the remedy where there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source is neither a torrent file, a URL, a magnet link nor an info-hash.
    #[error("'{given}' is not a torrent: {why}")]
    BadSource {
        /// The given source, shortened.
        given: String,
        /// The reason why it cannot be used.
        why: String,
    },
    /// The link does not lead to a live channel.
    #[error("'{given}' is no link to a live channel: {why}")]
    BadLink {
        /// The given link, shortened.
        given: String,
        /// The reason why it cannot be used.
        why: String,
    },
    /// The torrent's own data is damaged, hostile or beyond a limit.
    #[error("this torrent cannot be used: {0}")]
    BadTorrent(String),
    /// All bytes of a file that a hash names are here, and they do not have that hash.
    #[error("{name} is not the file that the link names: {why}; its bytes were thrown away, so try other servers")]
    WrongFile {
        /// Name of the file.
        name: String,
        /// The hash that differs.
        why: String,
    },
    /// A torrent could not be fetched from its URL.
    #[error("could not fetch {url}: {why}")]
    Fetch {
        /// The URL without credentials or query.
        url: String,
        /// The cause.
        why: String,
    },
    /// No peer sent the torrent's info, and no progress was made within the configured time.
    #[error("{}", no_metadata(*waited, *found, *met, *received_bytes))]
    NoMetadata {
        /// Time waited.
        waited: Duration,
        /// Number of known peer addresses.
        found: usize,
        /// Number of peers that were connected.
        met: usize,
        /// Received bytes of the info.
        received_bytes: u64,
    },
    /// No servent of the Gnutella network could be reached while a search went on.
    #[error("{}", no_servent(*waited, *tried))]
    NoServent {
        /// Duration of the search.
        waited: Duration,
        /// Number of servents that were dialled.
        tried: usize,
    },
    /// There is no such file in the torrent.
    #[error("there is no file {wanted} in this torrent, which has {files} files")]
    NoSuchFile {
        /// The requested file.
        wanted: String,
        /// Number of files in the torrent.
        files: usize,
    },
    /// A name matches several files of the torrent, or is only similar to some.
    #[error("{}", unclear(wanted, *several, files, *more))]
    UnclearFile {
        /// The requested name.
        wanted: String,
        /// Whether these files match; otherwise they are only similar.
        several: bool,
        /// Numbers and names of the files.
        files: Vec<(usize, String)>,
        /// Number of further matches.
        more: usize,
    },
    /// The film is in an archive or a disc image.
    #[error(
        "the film is in the archive {name} ({format}), which no player opens; unpack it first, or choose another file by its number or name"
    )]
    Packed {
        /// Name of the archive, or of its first volume.
        name: String,
        /// Format of the archive.
        format: &'static str,
    },
    /// The torrent contains no playable file.
    #[error("this torrent has no playable file; choose a file by its number or name")]
    NothingPlayable,
    /// A file or folder could not be used.
    #[error("cannot {doing} {}: {source}", shown(path))]
    Storage {
        /// The verb: "create", "write", …
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The disk is full. Reading continues by itself once there is room.
    #[error("the disk of {} is full; free space, and downloading continues, or set a disk limit", shown(path))]
    DiskFull {
        /// The folder.
        path: PathBuf,
    },
    /// The session could not listen on an address.
    #[error("cannot listen on {addr}: {source}; choose another address with the setting {setting}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The setting to change: `listen` for peers, `http.listen` for players.
        setting: &'static str,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// A setting is out of range or contradicts another.
    #[error("the setting {name} cannot be used: {why}")]
    BadConfig {
        /// Name of the setting.
        name: String,
        /// The reason.
        why: String,
    },
    /// The stream was cancelled from another thread or task.
    #[error("the read was cancelled")]
    Cancelled,
    /// The session or media was closed during the call.
    #[error("the session is closed")]
    Closed,
    /// An operation exceeded its time limit.
    #[error("{what} took longer than {} s", after.as_secs())]
    TimedOut {
        /// The operation.
        what: &'static str,
        /// The time limit.
        after: Duration,
    },
    /// A call was invalid and had no effect.
    #[error("{0}")]
    BadArgument(String),
    /// A live channel was asked for its size, or for another position.
    #[error("a live channel has no size and no positions; read its stream as it comes")]
    NoSize,
    /// An internal fault of playswarm, which it survived.
    #[error("internal error of playswarm: {0}; please report it with the log")]
    Internal(String),
    /// Any other I/O failure.
    #[error("{doing}: {source}")]
    Io {
        /// The operation.
        doing: &'static str,
        /// The operating system's error.
        source: std::io::Error,
    },
}

/// Returns the message of [`Error::UnclearFile`].
fn unclear(wanted: &str, several: bool, files: &[(usize, String)], more: usize) -> String {
    let clean = |name: &str| name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let list: Vec<String> = files.iter().map(|(n, name)| format!("{n}: {}", clean(name))).collect();
    let list = list.join(", ");
    match (several, more) {
        (false, _) => format!("there is no file {} in this torrent; similar names are {list}", clean(wanted)),
        (true, 0) => {
            format!("{} matches several files: {list}; write more of the name, or the number", clean(wanted))
        }
        (true, more) => format!(
            "{} matches several files: {list} and {more} more; write more of the name, or the number",
            clean(wanted)
        ),
    }
}

/// The kind of an [`Error`]. C's codes and Python's classes come from the same table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[repr(i32)]
pub enum ErrorKind {
    /// The caller's source is not a torrent.
    BadSource = 1,
    /// The torrent is damaged, hostile or beyond a limit.
    BadTorrent = 2,
    /// A download failed.
    Fetch = 3,
    /// No peer sent the metadata of a magnet link.
    NoMetadata = 4,
    /// There is no such file, or no playable one.
    NoSuchFile = 5,
    /// A file or folder could not be used.
    Storage = 6,
    /// The disk is full.
    DiskFull = 7,
    /// The session could not listen on an address.
    Listen = 8,
    /// A setting cannot be used.
    BadConfig = 9,
    /// Cancelled by the caller.
    Cancelled = 10,
    /// The session or media is closed.
    Closed = 11,
    /// An operation exceeded its time limit.
    TimedOut = 12,
    /// Another I/O failure.
    Io = 13,
    /// A call was invalid.
    BadArgument = 14,
    /// An internal fault of playswarm.
    Internal = 15,
    /// A live channel has no size and no positions.
    NoSize = 16,
}

impl From<BadMetainfo> for Error {
    fn from(why: BadMetainfo) -> Error {
        Error::BadTorrent(why.0)
    }
}

impl ErrorKind {
    /// Every kind with its name and description, in numerical order from 1.
    const TABLE: [(ErrorKind, &str, &str); 16] = [
        (ErrorKind::BadSource, "bad_source", "the source is not a torrent"),
        (ErrorKind::BadTorrent, "bad_torrent", "the torrent is damaged, hostile or beyond a limit"),
        (ErrorKind::Fetch, "fetch", "a torrent could not be fetched from its URL"),
        (ErrorKind::NoMetadata, "no_metadata", "no peer sent the metadata of a magnet link"),
        (ErrorKind::NoSuchFile, "no_such_file", "there is no such file, or no playable file"),
        (ErrorKind::Storage, "storage", "a file or folder could not be used"),
        (ErrorKind::DiskFull, "disk_full", "the disk is full"),
        (ErrorKind::Listen, "listen", "the session could not listen on an address"),
        (ErrorKind::BadConfig, "bad_config", "a setting cannot be used"),
        (ErrorKind::Cancelled, "cancelled", "cancelled by the caller"),
        (ErrorKind::Closed, "closed", "the session or media is closed"),
        (ErrorKind::TimedOut, "timed_out", "an operation exceeded its time limit"),
        (ErrorKind::Io, "io", "another I/O operation failed"),
        (ErrorKind::BadArgument, "bad_argument", "a call was invalid"),
        (ErrorKind::Internal, "internal", "an internal error of playswarm"),
        (ErrorKind::NoSize, "no_size", "a live channel has no size and no positions"),
    ];

    /// Returns every kind in numerical order, for comparison with other language bindings.
    pub fn all() -> impl Iterator<Item = ErrorKind> {
        Self::TABLE.iter().map(|(kind, ..)| *kind)
    }

    /// Returns the kind's number, which never changes. 0 means success and is not a kind.
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// Returns the kind with a number.
    pub fn from_number(number: i32) -> Option<ErrorKind> {
        Self::all().find(|kind| kind.number() == number)
    }

    /// Returns the kind's name in snake case: `bad_source`.
    pub const fn name(self) -> &'static str {
        Self::TABLE[self as usize - 1].1
    }

    /// Returns a description in one line.
    pub const fn description(self) -> &'static str {
        Self::TABLE[self as usize - 1].2
    }
}

fn no_metadata(waited: Duration, found: usize, met: usize, received_bytes: u64) -> String {
    let seconds = waited.as_secs();
    let what = match (found, met, received_bytes) {
        (0, 0, _) => "no peer was found".to_owned(),
        (_, 0, _) => format!("none of {} could be connected", peers(found)),
        (_, _, 0) => format!("none of {} that were connected sent the metadata", peers(met)),
        _ => format!("{} sent only {received_bytes} bytes of the metadata", peers(met)),
    };
    format!("{what} within {seconds} s; check the link and the network, or add a peer that has it")
}

fn no_servent(waited: Duration, tried: usize) -> String {
    let (seconds, what) = (waited.as_secs_f64(), "of the Gnutella network");
    let what = match tried {
        0 => format!("no servent {what} became known"),
        1 => format!("the only known servent {what} could not be reached"),
        _ => format!("none of {tried} servents {what} could be reached"),
    };
    format!("{what} within {seconds} s; check the network, search for longer, or name a host that is up")
}

fn peers(n: usize) -> String {
    if n == 1 { "1 peer".to_owned() } else { format!("{n} peers") }
}

/// Formats a path for messages. Parts of it may come from a torrent, so it is sanitised.
pub(crate) fn shown(path: &Path) -> String {
    printable::line_within(&path.to_string_lossy(), SHOWN_PATH_CHARS).into_owned()
}

/// Most characters of a path in a message: the longest path that Linux accepts.
const SHOWN_PATH_CHARS: usize = 4096;

impl Error {
    /// Returns the kind, for callers that act on it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::BadSource { .. } | Error::BadLink { .. } => ErrorKind::BadSource,
            Error::BadTorrent(_) | Error::WrongFile { .. } => ErrorKind::BadTorrent,
            Error::Fetch { .. } => ErrorKind::Fetch,
            Error::NoMetadata { .. } => ErrorKind::NoMetadata,
            Error::NoServent { .. } => ErrorKind::TimedOut,
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
            Error::NoSize => ErrorKind::NoSize,
        }
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
            ErrorKind::NoSize => Io::NotSeekable,
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
        for (n, kind) in ErrorKind::all().enumerate() {
            assert_eq!(kind.number(), n as i32 + 1);
            assert_eq!(ErrorKind::from_number(kind.number()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert!(!kind.description().is_empty());
        }
        assert_eq!(ErrorKind::from_number(0), None);
    }
}
