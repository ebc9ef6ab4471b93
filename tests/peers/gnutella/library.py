"""The shared files: their hashes, the parts that are there, the other places that have them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from . import tiger, wire
from .wire import Address

# Reporters of a dead address before it is believed, and most addresses of a file.
DEAD_AFTER, MOST_ALTERNATES = 3, 256


@dataclass
class Shared:
    """A shared file."""

    index: int
    name: str
    data: bytes
    modified: float
    # Ranges that are there, ends excluded; None for the whole file.
    have: list[tuple[int, int]] | None = None
    alternates: dict[Address, set[str]] = field(default_factory=dict)
    sha1: bytes = b""
    levels: list[list[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sha1 = hashlib.sha1(self.data).digest()
        self.levels = tiger.levels_of(self.data)

    @property
    def urn(self) -> str:
        """The file's urn:sha1."""
        return f"urn:sha1:{wire.base32(self.sha1)}"

    @property
    def root(self) -> bytes:
        """The root of its Tiger tree."""
        return self.levels[0][0]

    def available(self, first: int, last: int) -> tuple[int, int] | None:
        """Returns the part of a range, ends included, that is there from its first byte that is."""
        for start, end in self.have if self.have is not None else [(0, len(self.data))]:
            if start <= last and first < end:
                return max(start, first), min(end - 1, last)
        return None

    def add_alternate(self, address: Address) -> None:
        """Remembers another place that has the file."""
        if len(self.alternates) < MOST_ALTERNATES:
            self.alternates.setdefault(address, set())

    def dead_alternate(self, address: Address, reporter: str) -> None:
        """Forgets a place that enough clients call dead."""
        reporters = self.alternates.get(address)
        if reporters is not None:
            reporters.add(reporter)
            if len(reporters) >= DEAD_AFTER:
                del self.alternates[address]


class Library:
    """The files of a servent."""

    def __init__(self) -> None:
        self.files: list[Shared] = []

    def add(self, path: Path) -> None:
        """Shares a file, or the files of a folder in the order of their names."""
        for one in sorted(path.iterdir()) if path.is_dir() else [path]:
            index = len(self.files) + 1
            self.files.append(Shared(index, one.name, one.read_bytes(), one.stat().st_mtime))

    def by_sha1(self, sha1: bytes | None) -> Shared | None:
        """Returns the file of a hash."""
        return next((file for file in self.files if file.sha1 == sha1), None)

    def by_index(self, index: int) -> Shared | None:
        """Returns the file of an index."""
        return next((file for file in self.files if file.index == index), None)

    def whole(self) -> list[Shared]:
        """Returns the files that are not partial: the ones that queries find."""
        return [file for file in self.files if file.have is None]

    def matches(self, query: wire.Query) -> list[Shared]:
        """Returns the files that have each word of a query, or a hash that it names."""
        wanted = {wire.sha1_of_urn(urn) for urn in query.urns} - {None}
        words = set(wire.words_of(query.text))
        return [
            file
            for file in self.whole()
            if file.sha1 in wanted or (words and not wanted and words <= set(wire.words_of(file.name)))
        ]

    def words(self) -> set[str]:
        """Returns the words of all names, for the QRP table."""
        return {word for file in self.whole() for word in wire.words_of(file.name)}

    @property
    def kib(self) -> int:
        """Size of all files in KiB."""
        return sum(len(file.data) for file in self.files) >> 10
