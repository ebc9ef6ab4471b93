"""A file of a torrent as Python knows files."""

from __future__ import annotations

import io
import operator
import os
from typing import TYPE_CHECKING, Any, NoReturn

from . import _playswarm
from ._timeline import Landing
from ._torrent import FileEntry

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ._media import Media

READALL_BYTES = 4 << 20
"""What `MediaFile.readall` asks for at once."""


def target(size: int, position: int, offset: int, whence: int) -> int:
    """Where a seek leads."""
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


class MediaFile(io.RawIOBase):
    """A file of a torrent, opened for reading. Reads wait for verified bytes; seeks never wait.

    A true raw file: `readinto` gives what is there, at least a byte; `read` gives all that was asked for. ``io.BufferedReader``,
    PyAV, zipfile, numpy and whatever else takes a binary file take it. Threads may share it, and another thread may `close` or `cancel` it
    while it waits. Ctrl-C ends a read that waits, with nothing lost.

    ``timeout`` is the seconds that a read may wait (None: for ever). ``ahead`` bounds the bytes that are fetched beyond what is read
    (None: as far as the swarm gives): set it for jumping about, so that only what is needed is fetched.
    """

    mode = "rb"

    def __init__(
        self, raw: _playswarm.File, media: Media, entry: FileEntry, timeout: float | None, owns_media: bool
    ) -> None:
        super().__init__()
        self._owns_media = owns_media
        self._ahead: int | None = None
        self.media = media
        """The torrent that it belongs to."""
        self.entry = entry
        """What the torrent says of it."""
        self.timeout = timeout
        # Last: from here on it is open.
        self._raw = raw

    @property
    def name(self) -> str:
        """The path within the torrent."""
        return self.entry.name

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.entry.size

    @property
    def ahead(self) -> int | None:
        """How many bytes beyond what is read may be fetched; None for no bound."""
        return self._ahead

    @ahead.setter
    def ahead(self, bytes: int | None) -> None:
        self._raw.set_ahead(bytes)
        self._ahead = bytes

    def readable(self) -> bool:
        self._check_open()
        return True

    def seekable(self) -> bool:
        self._check_open()
        return True

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")

    def readinto(self, buffer: Buffer, /) -> int:
        """Reads into writable memory without another copy; gives the number of bytes, 0 at the end of the file only."""
        self._check_open()
        return self._raw.readinto(buffer, self.timeout)

    def read(self, size: int | None = -1, /) -> bytes:
        """``size`` bytes, fewer at the end of the file only; all that is left for None or a negative number."""
        self._check_open()
        if size is None or size < 0:
            return self.readall()
        # What is beyond the end cannot be asked for.
        return self._raw.read(min(operator.index(size), self.size), self.timeout)

    def readall(self) -> bytes:
        """All that is left."""
        self._check_open()
        left = max(0, self.size - self.tell())
        if left <= READALL_BYTES:
            return self._raw.read(left, self.timeout)
        start, whole = self.tell(), bytearray()
        try:
            while chunk := self._raw.read(READALL_BYTES, self.timeout):
                whole += chunk
        except BaseException:
            # As if it had not begun: nothing that was read is lost.
            if not self.closed:
                self._raw.seek(start)
            raise
        return bytes(whole)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves there, past the end too (reads then give nothing); what is fetched follows with the next read."""
        self._check_open()
        position = target(self.size, self._raw.position, offset, whence)
        self._raw.seek(position)
        return position

    def tell(self) -> int:
        self._check_open()
        return self._raw.position

    def seek_time(self, seconds: float, /) -> Landing:
        """Goes to the keyframe at or before a time and begins to fetch from there; gives where it came down.

        Where the file's index is not known yet it is read from the swarm first, within ``timeout``. A time past the end is the end's.
        """
        self._check_open()
        landing = Landing(*self._raw.seek_time(seconds).wait(self.timeout))
        self._raw.seek(landing.position)
        return landing

    @property
    def time(self) -> float | None:
        """The time in seconds that is played at the position; None where the file's time is not known yet."""
        self._check_open()
        return self._raw.time_at(self._raw.position)

    def readable_bytes(self) -> int:
        """How many bytes can be read now without waiting for the swarm."""
        self._check_open()
        return self._raw.readable_at(self._raw.position)

    def write(self, data: Buffer, /) -> NoReturn:
        """Torrents are not written."""
        raise io.UnsupportedOperation("not writable")

    def cancel(self) -> None:
        """Ends the reads that wait now and all later ones with `CancelledError`, until `reset`. For other threads to call."""
        self._raw.cancel()

    def reset(self) -> None:
        """Lets reads work again after `cancel`."""
        self._raw.reset()

    def buffered(self, buffer_size: int = 256 << 10) -> io.BufferedReader:
        """The same in a buffer: for many small reads, lines, ``peek``."""
        return io.BufferedReader(self, buffer_size)

    def close(self) -> None:
        """Frees its window at once; a read that waits ends with `ClosedError`. Can be called twice."""
        if not self.closed:
            self._raw.close(self.media._raw if self._owns_media else None)
        super().close()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        # Not there where the constructor did not come so far.
        raw = getattr(self, "_raw", None)
        return raw is None or raw.is_closed

    def __enter__(self) -> MediaFile:
        self._check_open()
        return self

    def __reduce_ex__(self, protocol: Any, /) -> Any:
        raise TypeError(f"cannot pickle {type(self).__name__!r}: open it again in the other process")

    def __repr__(self) -> str:
        where = "closed" if self.closed else f"at {self._raw.position} of {self.size}"
        return f"<MediaFile {self.name!r} {where}>"
