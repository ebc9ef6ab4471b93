"""Reads recorded conversations, and cuts HTTP streams into answers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from .stream import Head, parse_head


@dataclass
class Part:
    """Bytes of one direction. Of a body that was not kept whole, `missing` bytes follow."""

    ours: bool
    data: bytes
    missing: int = 0
    # Comment lines before the bytes.
    notes: list[str] = field(default_factory=list)


@dataclass
class Connection:
    """A connection, or the datagrams of an address."""

    client: str
    server: str
    parts: list[Part] = field(default_factory=list)
    closed_by_servent: bool = False


def read(path: Path, place: str) -> list[Connection]:
    """Returns the connections of a recording, its addresses 44.77.x.y moved to another network of 16 bits."""
    text = path.read_text().replace("44.77.", place + ".")
    connections = [Connection("", "")]
    notes: list[str] = []
    for line in text.splitlines():
        if line[:2] in ("> ", "< "):
            data = bytes.fromhex(line[2:]).replace(b"44.77.", place.encode() + b".")
            connections[-1].parts.append(Part(line[0] == ">", data, notes=notes))
            notes = []
        elif found := re.match(r"# connected from ([\d.]+):\d+ to ([\d.]+):\d+", line):
            connections.append(Connection(found[1], found[2]))
        elif found := re.match(r"# (?:datagrams from and to|accepted a connection from) ([\d.]+)", line):
            connections.append(Connection(found[1], ""))
        elif found := re.match(r"# CUT: (\d+) further", line):
            connections[-1].parts[-1].missing += int(found[1])
        elif line.startswith("# the servent closed"):
            connections[-1].closed_by_servent = True
        elif line.startswith("#"):
            notes.append(line)
    return [one for one in connections if one.parts]


@dataclass
class Response:
    """An HTTP answer: its head, the known first bytes of its body, and the body's length."""

    head: Head
    body: bytearray = field(default_factory=bytearray)
    length: int = 0
    missing: int = 0

    @property
    def whole(self) -> bool:
        """Whether the body is complete."""
        return len(self.body) + self.missing >= self.length


class Responses:
    """Cuts what a server sends into answers. `heads_only` says which have no body, by their place."""

    def __init__(self, heads_only: set[int]) -> None:
        self.heads_only = heads_only
        self.all: list[Response] = []
        self.buffer = bytearray()

    def feed(self, data: bytes, missing: int = 0) -> None:
        """Takes what was received, and a number of bytes that were not kept."""
        self.buffer += data
        while self.buffer:
            if self.all and not self.all[-1].whole:
                last = self.all[-1]
                count = last.length - len(last.body) - last.missing
                last.body += self.buffer[:count]
                del self.buffer[:count]
                continue
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                break
            head = parse_head(bytes(self.buffer[:end]).decode("latin-1"))
            del self.buffer[: end + 4]
            length = 0 if len(self.all) in self.heads_only else int(head.get("Content-Length") or 0)
            self.all.append(Response(head, length=length))
        if missing:
            self.all[-1].missing += missing


def is_head_request(line: bytes) -> bool:
    """Whether a request has an answer without a body."""
    return line.startswith(b"HEAD ")
