"""What can go wrong: a class for each kind of the engine's error table, deriving from the built-in that fits.

Every message is a sentence that says what to do. The kinds and their numbers are those of the Rust enum ``ErrorKind`` and of the C header.
"""

from __future__ import annotations

import errno as _errno
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
    "NoSuchFileError",
    "PlayswarmError",
    "StorageError",
    "TimedOutError",
]


class PlayswarmError(Exception):
    """The base of all of them."""

    kind: str = "unknown"
    """The kind's name, as in Rust's and C's tables."""
    code: int = 0
    """The kind's number, as in Rust's and C's tables."""
    temporary: bool = False
    """Whether trying again later may help."""

    def __str__(self) -> str:
        # OSError would put its number before the sentence and the path after it; the sentence says both.
        return str(self.args[-1]) if self.args else type(self).__name__


class BadSourceError(PlayswarmError, ValueError):
    """The source is neither a torrent file, a URL, a magnet link nor an info-hash."""

    kind = "bad_source"
    code = 1


class BadTorrentError(PlayswarmError, ValueError):
    """The torrent's own data is damaged, hostile or beyond a limit."""

    kind = "bad_torrent"
    code = 2


class FetchError(PlayswarmError, ConnectionError):
    """A torrent was to be fetched from a URL and was not."""

    kind = "fetch"
    code = 3
    temporary = True


class NoMetadataError(PlayswarmError, TimeoutError):
    """No peer gave a magnet link's info in time."""

    kind = "no_metadata"
    code = 4
    temporary = True


class NoSuchFileError(PlayswarmError, FileNotFoundError):
    """There is no such file in the torrent, or nothing in it can be played."""

    kind = "no_such_file"
    code = 5


class StorageError(PlayswarmError, OSError):
    """A file or folder could not be used. ``errno`` and ``filename`` say which and why."""

    kind = "storage"
    code = 6


class DiskFullError(PlayswarmError, OSError):
    """The disk is full. Reading goes on by itself once there is room."""

    kind = "disk_full"
    code = 7
    temporary = True


class ListenError(PlayswarmError, OSError):
    """An address could not be listened on."""

    kind = "listen"
    code = 8


class BadConfigError(PlayswarmError, ValueError):
    """A setting is unknown, out of range or contradicts another."""

    kind = "bad_config"
    code = 9


class CancelledError(PlayswarmError, OSError):
    """The read was cancelled from another thread (``MediaFile.cancel``). Not asyncio's exception of that name."""

    kind = "cancelled"
    code = 10


class ClosedError(PlayswarmError, ValueError):
    """The session, torrent or file was closed; a ``ValueError``, as for any closed file."""

    kind = "closed"
    code = 11


class TimedOutError(PlayswarmError, TimeoutError):
    """Something did not happen in time."""

    kind = "timed_out"
    code = 12
    temporary = True


class IoError(PlayswarmError, OSError):
    """Any other failure of input or output."""

    kind = "io"
    code = 13


class BadArgumentError(PlayswarmError, ValueError):
    """A call was made wrongly: nothing was done. As a rule Python's own ``TypeError`` or ``OverflowError`` comes first."""

    kind = "bad_argument"
    code = 14


class InternalError(PlayswarmError, RuntimeError):
    """A fault of playswarm itself; please report it, with the log."""

    kind = "internal"
    code = 15


class _MissingError(StorageError, FileNotFoundError):
    """A file that is not there is a ``FileNotFoundError``, too."""


class _ForbiddenError(StorageError, PermissionError):
    """A file that may not be used is a ``PermissionError``, too."""


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
    )
}

_ERRNO = {
    "cancelled": _errno.ECANCELED,
    "disk_full": _errno.ENOSPC,
    "no_metadata": _errno.ETIMEDOUT,
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
    """The exception for an error of the engine."""
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
