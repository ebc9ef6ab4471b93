"""A file of a torrent as a Python file object."""

from __future__ import annotations

import io
import operator
import os
from typing import TYPE_CHECKING

from . import _playswarm
from ._metainfo import FileEntry
from ._raw_file import RawReader
from ._timeline import SeekPoint

if TYPE_CHECKING:
    from ._torrent_handle import TorrentHandle

READALL_BYTES = 4 << 20
"""Largest single read of `MediaFile.readall`, in bytes."""


def target(size: int, position: int, offset: int, whence: int) -> int:
    """Returns the position to which a seek leads."""
    offset = operator.index(offset)
    if whence == os.SEEK_SET:
        if offset < 0:
            raise ValueError(f"negative seek value {offset}")
        return offset
    if whence == os.SEEK_CUR:
        return max(0, position + offset)
    if whence == os.SEEK_END:
        return max(0, size + offset)
    raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")


class MediaFile(RawReader[_playswarm.File]):
    """A file of a torrent, opened for reading. Reads wait for verified bytes; seeks never wait.

    It is a raw binary file. `readinto` returns the available data, at least one byte. `read`
    returns all requested data. ``io.BufferedReader``, PyAV, zipfile, numpy and other users of
    binary files accept it. Threads may share it. Another thread may `close` or `cancel` it while it
    waits. Ctrl-C ends a waiting read without loss of data.

    ``timeout`` is the longest wait of a read in seconds (None: no limit). ``ahead`` limits the
    bytes downloaded beyond the data being read (None: no limit). Set it for random access, so that
    only the needed data is downloaded.
    """

    mode = "rb"

    def __init__(
        self, raw: _playswarm.File, torrent: TorrentHandle, entry: FileEntry, timeout: float | None, owns_torrent: bool
    ) -> None:
        super().__init__()
        self._owns_torrent = owns_torrent
        self._ahead: int | None = None
        self.torrent = torrent
        """The torrent of this file."""
        self.entry = entry
        """The entry of this file in the torrent."""
        self.timeout = timeout
        # Set last: the file is open from here on.
        self._raw = raw

    @property
    def name(self) -> str:
        """The path within the torrent."""
        return self.entry.name

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self.entry.size

    @property
    def ahead(self) -> int | None:
        """Limit for downloading beyond the data being read, in bytes; None for no limit."""
        return self._ahead

    @ahead.setter
    def ahead(self, bytes: int | None) -> None:
        self._raw.set_ahead(bytes)
        self._ahead = bytes

    def seekable(self) -> bool:
        self._check_open()
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Returns ``size`` bytes, fewer only at the end of the file; all remaining bytes for None
        or a negative number.
        """
        self._check_open()
        if size is None or size < 0:
            return self.readall()
        # A request cannot exceed the size of the file.
        return self._raw.read(min(operator.index(size), self.size), self.timeout)

    def readall(self) -> bytes:
        """Returns all remaining bytes."""
        self._check_open()
        left = max(0, self.size - self.tell())
        if left <= READALL_BYTES:
            return self._raw.read(left, self.timeout)
        start, whole = self.tell(), bytearray()
        try:
            while chunk := self._raw.read(READALL_BYTES, self.timeout):
                whole += chunk
        except BaseException:
            # Restores the position, so that no data is lost.
            if not self.closed:
                self._raw.seek(start)
            raise
        return bytes(whole)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves to a position, which may be past the end (reads then return nothing). Downloading
        follows with the next read.
        """
        self._check_open()
        position = target(self.size, self._raw.position, offset, whence)
        self._raw.seek(position)
        return position

    def seek_time(self, seconds: float, /) -> SeekPoint:
        """Moves to the keyframe at or before a time, and starts to download there. Returns the
        position.

        If the index of the file is not known yet, it is first read from the swarm, within
        ``timeout``. A time past the end selects the end.
        """
        self._check_open()
        seek_point = SeekPoint(*self._raw.seek_time(seconds).wait(self.timeout))
        self._raw.seek(seek_point.position)
        return seek_point

    @property
    def time(self) -> float | None:
        """Media time at the position, in seconds; None while the timing of the file is unknown."""
        self._check_open()
        return self._raw.time_at(self._raw.position)

    def readable_bytes(self) -> int:
        """Returns the number of bytes that can be read now without waiting for the swarm."""
        self._check_open()
        return self._raw.readable_at(self._raw.position)

    def buffered(self, buffer_size: int = 256 << 10) -> io.BufferedReader:
        """Returns a buffered reader of this file, for many small reads, lines or ``peek``."""
        return io.BufferedReader(self, buffer_size)

    def close(self) -> None:
        """Closes the file and frees its read-ahead at once. Waiting reads fail with `ClosedError`.
        It may be called twice.
        """
        if not self.closed:
            self._raw.close(self.torrent._raw if self._owns_torrent else None)
        super().close()

    def __enter__(self) -> MediaFile:
        self._check_open()
        return self

    def __repr__(self) -> str:
        where = "closed" if self.closed else f"at {self._raw.position} of {self.size}"
        return f"<MediaFile {self.name!r} {where}>"
