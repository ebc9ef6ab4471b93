"""Searches of the Gnutella network: `Session.search`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from . import _playswarm

__all__ = ["Hit", "HitSource", "Search"]


@dataclass(frozen=True, slots=True)
class HitSource:
    """A servent that has a file, or is said to have it."""

    address: str | None
    """Its address; None if it cannot be reached and has to connect to us."""
    program: str | None
    """Its program, by the four letters of Gnutella."""
    partial: bool
    """Whether it has a part of the file only."""
    busy: bool
    """Whether it has no free slot now."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A file that a search found."""

    name: str
    """Name that the first servent gave. It is no path."""
    size_bytes: int
    """Its length, in bytes."""
    urn: str | None
    """Its hashes: ``urn:bitprint:…``, or ``urn:sha1:…`` if no servent named a tree."""
    magnet: str | None
    """The link with which it is opened: `Session.open`. None if it has no hash."""
    networks: int
    """Number of networks in which servents have it, by which files are ordered."""
    sources: tuple[HitSource, ...]
    """Its sources so far."""
    hidden: str | None
    """Why it is not shown, if it looks like spam."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Hit:
        known = {field.name: values[field.name] for field in fields(cls)}
        names = [field.name for field in fields(HitSource)]
        known["sources"] = tuple(HitSource(**{name: one[name] for name in names}) for one in values["sources"])
        return cls(**known)


class SearchBase:
    """Shared base of the blocking and the asynchronous search."""

    def __init__(self, raw: _playswarm.Search) -> None:
        self._raw = raw

    def hits(self) -> list[Hit]:
        """Returns all files so far with all their sources, those of the most networks first. Those that
        look like spam say why.
        """
        return [Hit.from_dict(values) for values in json.loads(self._raw.hits())]


class Search(SearchBase):
    """A search that goes on, or has ended. Iterated, it waits for files and yields each once:
    ``for hit in session.search("big buck bunny"): …``
    """

    def __iter__(self) -> Iterator[Hit]:
        while (text := self._raw.next().wait()) is not None:
            yield Hit.from_dict(json.loads(text))

    def close(self) -> None:
        """Ends the search, and forgets what it found."""
        self._raw.close()

    def __enter__(self) -> Search:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
