"""The metainfo of a torrent, and its creation."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import _playswarm
from ._progress import Progress, amount, report

__all__ = ["FileEntry", "Metainfo", "create_torrent"]


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a torrent."""

    index: int
    """Index in the torrent, from 0."""
    name: str
    """Path in the torrent for display, joined by ``/``."""
    path: Path
    """Path below the session's folder: relative and sanitised."""
    size: int
    """Size of the file in bytes."""
    offset: int
    """Offset of its first byte in the torrent."""
    padding: bool
    """Whether it is a padding file (BEP 47), which cannot be opened."""
    content_type: str
    """Media type according to the name."""
    playable: bool
    """Whether the name indicates video or audio."""

    def __str__(self) -> str:
        return f"{self.index}: {self.name} ({amount(self.size)})"


class Metainfo:
    """A validated torrent: its name and its files."""

    __slots__ = ("_bytes", "_raw", "files", "left_out")

    def __init__(
        self, raw: _playswarm.Metainfo, data: bytes | None = None, left_out: Iterable[tuple[Path, str]] = ()
    ) -> None:
        self._raw, self._bytes = raw, data
        self.left_out: tuple[tuple[Path, str], ...] = tuple((Path(path), why) for path, why in left_out)
        """Files that `create_torrent` omitted, each with the reason; empty for other torrents."""
        self.files: tuple[FileEntry, ...] = tuple(
            FileEntry(n, name, Path(path), size, offset, padding, content_type, playable)
            for n, (path, name, size, offset, padding, content_type, playable) in enumerate(raw.files())
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Metainfo:
        """Parses the content of a ``.torrent`` file."""
        return cls(_playswarm.Metainfo.from_bytes(data), data)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Metainfo:
        """Reads a ``.torrent`` file."""
        return cls.from_bytes(Path(path).read_bytes())

    @property
    def info_hash(self) -> str:
        """The info-hash: 40 hexadecimal digits."""
        return self._raw.info_hash

    @property
    def name(self) -> str:
        return self._raw.name

    @property
    def total_bytes(self) -> int:
        """Size of all files in bytes."""
        return self._raw.total_bytes

    @property
    def piece_bytes(self) -> int:
        return self._raw.piece_bytes

    @property
    def pieces(self) -> int:
        """Number of pieces."""
        return self._raw.pieces

    @property
    def private(self) -> bool:
        """Whether the torrent is private (BEP 27): peers come only from its trackers."""
        return self._raw.private

    @property
    def trackers(self) -> list[str]:
        return self._raw.trackers

    @property
    def magnet(self) -> str:
        """A magnet link with the info-hash, the name and the trackers, or with the hash of a file."""
        return self._raw.magnet()

    def find_file(self, file: int | str | None = None) -> FileEntry:
        """Finds a file by its index, its name, or a part of its name that only one file has. The
        default is the largest playable file.

        Raises `NoSuchFileError` if no file or more than one file matches.
        """
        if file is None:
            return self.files[self._raw.default_file()]
        if isinstance(file, str):
            return self.files[self._raw.find_file(file)]
        if 0 <= file < len(self.files):
            return self.files[file]
        # Raises the engine's error for an invalid index.
        return self.files[self._raw.find_file(str(file))]

    def to_bytes(self) -> bytes:
        """Returns the content of the ``.torrent`` file.

        Raises `BadArgumentError` for a file that a hash names: it has a link, and no torrent.
        """
        return self._bytes if self._bytes is not None else self._raw.to_bytes()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes a ``.torrent`` file."""
        path = Path(path)
        path.write_bytes(self.to_bytes())
        return path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Metainfo) and self.info_hash == other.info_hash

    def __hash__(self) -> int:
        return hash(self.info_hash)

    def __repr__(self) -> str:
        files = sum(not f.padding for f in self.files)
        return (
            f"<Metainfo {self.name!r}, {amount(self.total_bytes)} in {files} file{'' if files == 1 else 's'}, "
            f"{self.info_hash}>"
        )


def creating(
    path: str | os.PathLike[str],
    piece_bytes: int | None,
    trackers: Iterable[str],
    private: bool,
    comment: str | None,
    name: str | None,
) -> _playswarm.Job[tuple[_playswarm.Metainfo, bytes, list[tuple[Path, str]]]]:
    return _playswarm.create_torrent(
        path, piece_bytes=piece_bytes, trackers=list(trackers), private=private, comment=comment, name=name
    )


def create_torrent(
    path: str | os.PathLike[str],
    *,
    piece_bytes: int | None = None,
    trackers: Iterable[str] = (),
    private: bool = False,
    comment: str | None = None,
    name: str | None = None,
    progress: Progress = False,
) -> Metainfo:
    """Creates a torrent from a file or folder. The default piece size suits streaming;
    ``piece_bytes`` overrides it.

    The torrent's ``left_out`` lists files in the folder that cannot be part of it: hidden, special
    and unreadable files, and links to files of other users. ``progress`` is True for a progress
    bar, or a function of the hashed bytes and the total bytes.
    """
    job = creating(path, piece_bytes, trackers, private, comment, name)
    with report(progress, "hashing") as tell:
        raw, data, left_out = job.wait(progress=tell)
    return Metainfo(raw, data, left_out)


Source = str | os.PathLike[str] | bytes | Metainfo
"""A path, a URL, a magnet link, an info-hash, the content of a ``.torrent`` file, or a Metainfo."""


def raw_source(source: Source) -> str | os.PathLike[str] | bytes | _playswarm.Metainfo:
    return source._raw if isinstance(source, Metainfo) else source
