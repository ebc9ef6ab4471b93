"""What all file objects of the module share."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Closable(Protocol):
    @property
    def is_closed(self) -> bool: ...


class _Readable(_Closable, Protocol):
    def readinto(self, buffer: Buffer, timeout: float | None) -> int: ...
    @property
    def position(self) -> int: ...
    def cancel(self) -> None: ...
    def reset(self) -> None: ...


C = TypeVar("C", bound=_Closable)
R = TypeVar("R", bound=_Readable)


class RawFile(io.RawIOBase, Generic[C]):
    """A raw binary file, which is open while the object of the library behind it is."""

    _raw: C

    def seekable(self) -> bool:
        self._check_open()
        return False

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        # The attribute is missing if the constructor failed.
        raw = getattr(self, "_raw", None)
        return raw is None or raw.is_closed

    def __reduce_ex__(self, protocol: Any, /) -> Any:
        raise TypeError(f"cannot pickle {type(self).__name__!r}: open it again in the other process")


class RawReader(RawFile[R]):
    """A raw binary file that is read."""

    timeout: float | None
    """Longest wait of a read, in seconds; None for no limit."""

    def readable(self) -> bool:
        self._check_open()
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        """Reads into writable memory without a further copy. Returns the number of bytes; 0 only at
        the end.
        """
        self._check_open()
        return self._raw.readinto(buffer, self.timeout)

    def tell(self) -> int:
        self._check_open()
        return self._raw.position

    def write(self, data: Buffer, /) -> NoReturn:
        """Fails: it is read-only."""
        raise io.UnsupportedOperation("not writable")

    def cancel(self) -> None:
        """Ends waiting reads with `CancelledError` and makes later ones fail, until `reset`. Other
        threads call it.
        """
        self._raw.cancel()

    def reset(self) -> None:
        """Allows reads again after `cancel`."""
        self._raw.reset()
