"""The exceptions: a class for each kind of the engine's error table, derived from the matching
built-in exception.

Every message is a sentence that names the remedy. The kinds and their numbers are those of the Rust
enum ``ErrorKind`` and of the C header.
"""

from __future__ import annotations

import errno as _errno
import io
import os

__all__ = [
    "BadArgumentError",
    "BadConfigError",
    "BadSourceError",
    "BadTorrentError",
    "CancelledError",
    "ClosedError",
    "DiskFullError",
    "FetchError",
    "InternalError",
    "IoError",
    "ListenError",
    "NoMetadataError",
    "NoSizeError",
    "NoSuchFileError",
    "PlayswarmError",
    "StorageError",
    "TimedOutError",
]


class PlayswarmError(Exception):
    """Base class of all exceptions of this package."""

    kind: str = "unknown"
    """Name of the kind, as in the tables of Rust and C."""
    code: int = 0
    """Number of the kind, as in the tables of Rust and C."""
    temporary: bool = False
    """Whether a later attempt may succeed."""

    def __str__(self) -> str:
        # OSError would add its number before the message and the path after it; the message has
        # both.
        return str(self.args[-1]) if self.args else type(self).__name__


class BadSourceError(PlayswarmError, ValueError):
    """The source is not a torrent file, URL, magnet link or info-hash."""

    kind = "bad_source"
    code = 1


class BadTorrentError(PlayswarmError, ValueError):
    """The torrent's data is damaged, hostile or beyond a limit."""

    kind = "bad_torrent"
    code = 2


class FetchError(PlayswarmError, ConnectionError):
    """The torrent file could not be downloaded from its URL."""

    kind = "fetch"
    code = 3
    temporary = True


class NoMetadataError(PlayswarmError, TimeoutError):
    """No peer sent the metadata of a magnet link in time."""

    kind = "no_metadata"
    code = 4
    temporary = True


class NoSuchFileError(PlayswarmError, FileNotFoundError):
    """The torrent has no such file, or no playable file."""

    kind = "no_such_file"
    code = 5


class StorageError(PlayswarmError, OSError):
    """A file or folder cannot be used. ``filename`` names it and ``errno`` gives the cause."""

    kind = "storage"
    code = 6


class DiskFullError(PlayswarmError, OSError):
    """The disk is full. Reading resumes when space is available."""

    kind = "disk_full"
    code = 7
    temporary = True


class ListenError(PlayswarmError, OSError):
    """The session cannot listen on an address."""

    kind = "listen"
    code = 8


class BadConfigError(PlayswarmError, ValueError):
    """A setting is unknown, out of range or contradicts another setting."""

    kind = "bad_config"
    code = 9


class CancelledError(PlayswarmError, OSError):
    """Another thread cancelled the read (``MediaFile.cancel``). It is not asyncio's exception of
    the same name.
    """

    kind = "cancelled"
    code = 10


class ClosedError(PlayswarmError, ValueError):
    """The session, torrent or file is closed. It is a ``ValueError``, as for any closed file."""

    kind = "closed"
    code = 11


class TimedOutError(PlayswarmError, TimeoutError):
    """An operation exceeded its time limit."""

    kind = "timed_out"
    code = 12
    temporary = True


class IoError(PlayswarmError, OSError):
    """Any other input or output error."""

    kind = "io"
    code = 13


class BadArgumentError(PlayswarmError, ValueError):
    """A call had an invalid argument; nothing was done. Usually Python's ``TypeError`` or
    ``OverflowError`` is raised first.
    """

    kind = "bad_argument"
    code = 14


class InternalError(PlayswarmError, RuntimeError):
    """An internal error of playswarm. Please report it with the log."""

    kind = "internal"
    code = 15


class NoSizeError(PlayswarmError, io.UnsupportedOperation):
    """A live channel has no size and no positions."""

    kind = "no_size"
    code = 16


class _MissingError(StorageError, FileNotFoundError):
    """A missing file is also a ``FileNotFoundError``."""


class _ForbiddenError(StorageError, PermissionError):
    """A file without access permission is also a ``PermissionError``."""


CLASSES: dict[str, type[PlayswarmError]] = {
    cls.kind: cls
    for cls in (
        BadSourceError,
        BadTorrentError,
        FetchError,
        NoMetadataError,
        NoSuchFileError,
        StorageError,
        DiskFullError,
        ListenError,
        BadConfigError,
        CancelledError,
        ClosedError,
        TimedOutError,
        IoError,
        BadArgumentError,
        InternalError,
        NoSizeError,
    )
}

_ERRNO = {
    "cancelled": _errno.ECANCELED,
    "disk_full": _errno.ENOSPC,
    "no_metadata": _errno.ETIMEDOUT,
    "no_size": _errno.ESPIPE,
    "no_such_file": _errno.ENOENT,
    "timed_out": _errno.ETIMEDOUT,
}
_REFINED: dict[int, type[StorageError]] = {
    _errno.ENOENT: _MissingError,
    _errno.EACCES: _ForbiddenError,
    _errno.EPERM: _ForbiddenError,
}


def from_engine(
    kind: str, code: int, message: str, errno: int | None, path: str | os.PathLike[str] | None
) -> PlayswarmError:
    """Returns the exception for an error of the engine."""
    cls = CLASSES.get(kind, PlayswarmError)
    if cls is StorageError and errno is not None:
        cls = _REFINED.get(errno, cls)
    error: PlayswarmError
    if issubclass(cls, OSError):
        error = cls(errno if errno is not None else _ERRNO.get(kind, _errno.EIO), message)
        if path is not None:
            error.filename = os.fspath(path)
    else:
        error = cls(message)
    if kind not in CLASSES:
        error.kind, error.code = kind, code
    return error
